//! In what a product differs from one that treats both families alike.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ItemKind;

/// In what a product differs from one that treats both families alike: what the pilots met (S2 sections 2.3.1 to 2.4).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Quirk {
    /// The menu has one field for the management address of a box, for IPv4 or IPv6.
    OneAddress,
    /// An upload waits long for IPv6 before it goes on with IPv4, and says nothing of it.
    SilentFallback,
    /// An upload goes over IPv4 first.
    Ipv4First,
    /// An upload tries the first address alone.
    NoFallback,
    /// An upload goes on with IPv4 soon, and says nothing of it.
    UntoldFallback,
    /// The menu takes no IPv6 time server.
    NoIpv6Time,
    /// A couple of unequal families is complained of when the draft is made final, and not before.
    MixedCouples,
    /// The subnet that is proposed for the other side is always IPv4.
    ProposesIpv4,
    /// No subnet is proposed for an IPv6 network of this side.
    ProposesNoIpv6,
    /// The subnet that is proposed for the other side is the one of this side.
    ProposesOwnSide,
    /// What is no IPv6 address or prefix is complained of when the draft is made final, and not before.
    LateErrors,
    /// The software does not run on a host that has no IPv4 address.
    NeedsIpv4,
    /// The manual tells of two management addresses and of nothing else that IPv6 needs.
    OldManual,
    /// A box that starts again has lost its IPv6 time servers.
    LosesIpv6Time,
    /// A box that starts again has lost its IPv6 directories.
    LosesIpv6Directory,
    /// A box takes IPv4 alone from an integration file.
    IntegratesIpv4Alone,
    /// A box takes IPv6 from an integration file only when it is given it once more.
    NeedsSecondUpload,
    /// A box takes no IPv6 time server from an integration file, and says nothing of it.
    IgnoresIpv6Time,
    /// A box refuses an integration file that has IPv6 in it.
    RefusesIpv6,
    /// A monitoring server asks agents over IPv4 alone.
    WatchesIpv4Alone,
    /// A monitoring server shows an agent as up at each of its addresses if it answers at one of them.
    UpByEither,
}

impl Quirk {
    /// Every quirk.
    pub const ALL: [Self; 21] = [
        Self::OneAddress,
        Self::SilentFallback,
        Self::Ipv4First,
        Self::NoFallback,
        Self::UntoldFallback,
        Self::NoIpv6Time,
        Self::MixedCouples,
        Self::ProposesIpv4,
        Self::ProposesNoIpv6,
        Self::ProposesOwnSide,
        Self::LateErrors,
        Self::NeedsIpv4,
        Self::OldManual,
        Self::LosesIpv6Time,
        Self::LosesIpv6Directory,
        Self::IntegratesIpv4Alone,
        Self::NeedsSecondUpload,
        Self::IgnoresIpv6Time,
        Self::RefusesIpv6,
        Self::WatchesIpv4Alone,
        Self::UpByEither,
    ];

    /// The word of the input files.
    pub fn word(self) -> &'static str {
        match self {
            Self::OneAddress => "one-address",
            Self::SilentFallback => "silent-fallback",
            Self::Ipv4First => "ipv4-first",
            Self::NoFallback => "no-fallback",
            Self::UntoldFallback => "untold-fallback",
            Self::NoIpv6Time => "no-ipv6-time",
            Self::MixedCouples => "mixed-couples",
            Self::ProposesIpv4 => "proposes-ipv4",
            Self::ProposesNoIpv6 => "proposes-no-ipv6",
            Self::ProposesOwnSide => "proposes-own-side",
            Self::LateErrors => "late-errors",
            Self::NeedsIpv4 => "needs-ipv4",
            Self::OldManual => "old-manual",
            Self::LosesIpv6Time => "loses-ipv6-time",
            Self::LosesIpv6Directory => "loses-ipv6-directory",
            Self::IntegratesIpv4Alone => "integrates-ipv4-alone",
            Self::NeedsSecondUpload => "needs-second-upload",
            Self::IgnoresIpv6Time => "ignores-ipv6-time",
            Self::RefusesIpv6 => "refuses-ipv6",
            Self::WatchesIpv4Alone => "watches-ipv4-alone",
            Self::UpByEither => "up-by-either",
        }
    }

    /// Whether it is one of a box, not of the station.
    pub fn is_of_box(self) -> bool {
        let of_files = matches!(
            self,
            Self::IntegratesIpv4Alone
                | Self::NeedsSecondUpload
                | Self::IgnoresIpv6Time
                | Self::RefusesIpv6
        );
        self.loses().is_some() || of_files
    }

    /// Whether it is one of a monitoring server.
    pub fn is_of_monitor(self) -> bool {
        matches!(self, Self::WatchesIpv4Alone | Self::UpByEither)
    }

    /// What a box loses of IPv6 when it starts again.
    pub fn loses(self) -> Option<ItemKind> {
        match self {
            Self::LosesIpv6Time => Some(ItemKind::Ntp),
            Self::LosesIpv6Directory => Some(ItemKind::Ldap),
            _ => None,
        }
    }
}

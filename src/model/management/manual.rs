//! What the documents of a product claim about IPv6.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Quirk, VERSION};
use crate::model::name::NodeName;

/// What a manual can claim about IPv6, and a device can do or not.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// A box can be given management addresses of both families.
    TwoAddresses,
    /// Configurations are uploaded over IPv6.
    UploadsOverIpv6,
    /// A couple of unequal families is refused when it is entered.
    RefusesMixedCouples,
    /// The subnet that is proposed for the other side has the family of this side.
    ProposesSameFamily,
    /// What was entered is still there after the box has started again.
    KeepsIpv6Items,
    /// The software runs on a host that has no IPv4 address.
    RunsWithoutIpv4,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 6] = [
        Self::TwoAddresses,
        Self::UploadsOverIpv6,
        Self::RefusesMixedCouples,
        Self::ProposesSameFamily,
        Self::KeepsIpv6Items,
        Self::RunsWithoutIpv4,
    ];

    /// The word of the manual.
    pub fn word(self) -> &'static str {
        match self {
            Self::TwoAddresses => "two-addresses",
            Self::UploadsOverIpv6 => "uploads-over-ipv6",
            Self::RefusesMixedCouples => "refuses-mixed-couples",
            Self::ProposesSameFamily => "proposes-same-family",
            Self::KeepsIpv6Items => "keeps-ipv6-items",
            Self::RunsWithoutIpv4 => "runs-without-ipv4",
        }
    }
}

/// What a document says that management software does: written down by who has read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// The node of the software.
    pub of: NodeName,
    /// The document, with edition or date.
    pub document: String,
    /// Where in it.
    pub place: Option<String>,
    /// What the software is said to do.
    pub says: Vec<Feature>,
}

/// What the manual says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manual {
    /// Its edition.
    pub edition: String,
    /// What it claims.
    pub claims: Vec<Feature>,
}

impl Manual {
    /// What the product of this lab says of itself.
    pub(super) fn of(quirks: &[Quirk]) -> Self {
        let old = quirks.contains(&Quirk::OldManual);
        let claims = if old { vec![Feature::TwoAddresses] } else { Feature::ALL.to_vec() };
        Self { edition: if old { "first".to_owned() } else { VERSION.to_owned() }, claims }
    }
}

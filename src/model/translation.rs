//! Translation: how users with IPv6 alone reach what has IPv4 alone (NAT64, RFC 6146), and who synthesizes addresses for
//! them (DNS64, RFC 6147).
//!
//! The translator stands on the far side of a link of its gateway: the inside, a segment that bears the name of the
//! translation. Its IPv6 prefix is the translation prefix and its IPv4 prefix is the pool, so that routes, paths and filters
//! know both as they know any other segment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    name::{EngineName, InterfaceName, NodeName, SegmentName, TranslationName},
    service::Transport,
};

/// The Well-Known Prefix (RFC 6052 section 2.1).
pub const WELL_KNOWN: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// The octet that stays zero in every address with an embedded one (RFC 6052 section 2.2).
const U_OCTET: usize = 8;

/// A translation prefix: IPv6 addresses that hold IPv4 addresses (RFC 6052 section 2.2).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "Ipv6Net", into = "Ipv6Net")]
pub struct Pref64(#[schemars(with = "String")] Ipv6Net);

/// Why a prefix is no translation prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPref64 {
    /// Its length.
    #[error(
        "a translation prefix has one of the lengths 32, 40, 48, 56, 64 and 96 (RFC 6052 section 2.2), not {0}"
    )]
    Length(u8),
    /// The octet that interface identifiers keep for themselves.
    #[error(
        "bits 64 to 71 of a translation prefix must be zero (RFC 6052 section 2.2), and in {0} they are not"
    )]
    Octet(Ipv6Net),
}

impl TryFrom<Ipv6Net> for Pref64 {
    type Error = BadPref64;

    fn try_from(net: Ipv6Net) -> Result<Self, BadPref64> {
        let length = net.prefix_len();
        if !Self::LENGTHS.contains(&length) {
            return Err(BadPref64::Length(length));
        }
        let net = net.trunc();
        if net.addr().octets()[U_OCTET] != 0 {
            return Err(BadPref64::Octet(net));
        }
        Ok(Self(net))
    }
}

impl From<Pref64> for Ipv6Net {
    fn from(prefix: Pref64) -> Self {
        prefix.0
    }
}

impl std::fmt::Display for Pref64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Pref64 {
    /// The lengths that a translation prefix may have.
    pub const LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

    /// The prefix as any other.
    pub fn net(self) -> Ipv6Net {
        self.0
    }

    /// The address that holds this one.
    pub fn embed(self, address: Ipv4Addr) -> Ipv6Addr {
        let mut octets = self.0.network().octets();
        for (place, octet) in self.places().zip(address.octets()) {
            octets[place] = octet;
        }
        octets.into()
    }

    /// The address that this one holds, where it is of the prefix.
    pub fn extract(self, address: Ipv6Addr) -> Option<Ipv4Addr> {
        self.0.contains(&address).then_some(())?;
        let octets = address.octets();
        let mut held = [0; 4];
        for (octet, place) in held.iter_mut().zip(self.places()) {
            *octet = octets[place];
        }
        Some(held.into())
    }

    /// The prefix that an address was made with that is known to hold this one (RFC 7050 section 3): by where it is found.
    pub fn found_in(address: Ipv6Addr, held: Ipv4Addr) -> Option<Self> {
        let of = |length| Self::try_from(Ipv6Net::new(address, length).ok()?).ok();
        let holds = |prefix: &Self| prefix.embed(held) == address;
        Self::LENGTHS.into_iter().rev().filter_map(of).find(holds)
    }

    fn places(self) -> impl Iterator<Item = usize> {
        let first = usize::from(self.0.prefix_len() / 8);
        (first..16).filter(|place| *place != U_OCTET).take(4)
    }
}

/// A translation as the testbed means it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Translation {
    /// Its name in the file.
    pub name: TranslationName,
    /// The segment of the same name between the gateway and its translator.
    pub inside: SegmentName,
    /// The node that translates.
    pub gateway: NodeName,
    /// The IPv6 addresses that IPv4 hosts have for users with IPv6.
    pub prefix: Pref64,
    /// The IPv4 addresses that users with IPv6 have for IPv4 hosts; the gateway itself has the first.
    #[schemars(with = "String")]
    pub pool: Ipv4Net,
    /// The nodes whose resolvers synthesize addresses (DNS64).
    pub resolvers: Vec<NodeName>,
    /// The program that translates, in the place of what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineName>,
}

/// What a gateway is told of its translator in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Translator {
    /// The translation.
    pub translation: TranslationName,
    /// The interface of the gateway that leads to the translator.
    pub interface: InterfaceName,
    /// The gateway's own address on the link to the translator: whoever asks for what is refused is told so from there.
    pub gateway: Ipv6Addr,
    /// The translation prefix.
    pub prefix: Pref64,
    /// The addresses that users get, in order.
    pub pool: Vec<Ipv4Addr>,
    /// What is never translated to: prefixes of the management plane (RFC 6052 section 5.1).
    pub refuses: Vec<Ipv4Net>,
    /// The program that translates, in the place of what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineName>,
}

impl Translation {
    /// The addresses of the pool that users get: those between the gateway's own and the last.
    pub fn shared(&self) -> Vec<Ipv4Addr> {
        self.pool.hosts().skip(1).take(Self::MOST_SHARED).collect()
    }

    /// More addresses than a lab has users are of no use.
    const MOST_SHARED: usize = 64;

    /// The address for users with IPv6 of a host with this one.
    pub fn for_users(&self, address: IpAddr) -> Option<IpAddr> {
        match address {
            IpAddr::V4(address) => Some(self.prefix.embed(address).into()),
            IpAddr::V6(_) => None,
        }
    }
}

/// What is translated: TCP, UDP, or echo by its identifier.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Translated {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Echo requests and replies.
    Echo,
}

impl From<Transport> for Translated {
    fn from(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp,
            Transport::Udp => Self::Udp,
        }
    }
}

/// Who has which address of the pool: a line of the log by which users are told apart afterwards (RFC 6888 section 4,
/// RFC 6302).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mapping {
    /// What is translated; nothing stands for whatever the user sends, with its ports and identifiers as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub what: Option<Translated>,
    /// The user, with port or identifier.
    #[serde(rename = "user")]
    pub user: (Ipv6Addr, u16),
    /// What IPv4 hosts see of the user.
    pub shown: (Ipv4Addr, u16),
    /// When it was made, in milliseconds since the translator was opened.
    pub since_ms: u64,
}

/// How long a translator keeps what it has learned, in seconds (RFC 6146 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// UDP sessions: at least 120, 300 unless there is reason.
    pub udp_s: u64,
    /// TCP connections that are established.
    pub tcp_established_s: u64,
    /// TCP connections that begin or end.
    pub tcp_transitory_s: u64,
    /// Fragments of a packet that is not whole.
    pub fragment_s: u64,
    /// Echo.
    pub icmp_s: u64,
}

impl Timers {
    /// The least that RFC 6146 section 4 allows.
    pub const LEAST: Self = Self {
        udp_s: 120,
        tcp_established_s: 7_440,
        tcp_transitory_s: 240,
        fragment_s: 2,
        icmp_s: 60,
    };

    /// What is kept, in words, and for how long.
    pub fn named(&self) -> [(&'static str, u64); 5] {
        [
            ("UDP", self.udp_s),
            ("established TCP", self.tcp_established_s),
            ("other TCP", self.tcp_transitory_s),
            ("echo", self.icmp_s),
            ("fragments", self.fragment_s),
        ]
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            udp_s: 300,
            tcp_established_s: 7_440,
            tcp_transitory_s: 240,
            fragment_s: 2,
            icmp_s: 60,
        }
    }
}

/// A translator as it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranslatorState {
    /// What the gateway was told.
    pub told: Translator,
    /// What carries it out.
    pub engine: String,
    /// How long it keeps what it has learned; nothing where it keeps no sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timers: Option<Timers>,
    /// Who has which address of the pool now.
    pub mappings: Vec<Mapping>,
    /// Packets translated.
    pub translated: u64,
    /// Packets that could not be, or may not be.
    pub dropped: u64,
}

/// Whether an IPv4 address is global (RFC 6890): the Well-Known Prefix must not be used for any other (RFC 6052 section
/// 3.1).
pub fn is_global(net: IpNet) -> bool {
    const OTHERS: [([u8; 4], u8); 14] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 0, 0, 0], 24),
        ([192, 0, 2, 0], 24),
        ([192, 168, 0, 0], 16),
        ([198, 18, 0, 0], 15),
        ([198, 51, 100, 0], 24),
        ([203, 0, 113, 0], 24),
        ([224, 0, 0, 0], 4),
        ([240, 0, 0, 0], 4),
    ];
    let other = |&(address, length): &([u8; 4], u8)| {
        let other = Ipv4Net::new_assert(address.into(), length);
        matches!(net, IpNet::V4(net) if other.contains(&net) || net.contains(&other))
    };
    !OTHERS.iter().any(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6052 section 2.4, tables 2 and 3.
    #[test]
    fn addresses_are_embedded_as_in_the_tables_of_rfc_6052() {
        for (prefix, expected) in [
            ("2001:db8::/32", "2001:db8:c000:221::"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
            ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
            ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
            ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
            ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
            ("64:ff9b::/96", "64:ff9b::192.0.2.33"),
        ] {
            let prefix = Pref64::try_from(prefix.parse::<Ipv6Net>().unwrap()).unwrap();
            let held = Ipv4Addr::new(192, 0, 2, 33);
            let expected: Ipv6Addr = expected.parse().unwrap();
            assert_eq!(prefix.embed(held), expected, "{prefix}");
            assert_eq!(prefix.extract(expected), Some(held), "{prefix}");
            assert_eq!(prefix.extract("2001:db9::1".parse().unwrap()), None);
        }
        assert_eq!(
            Pref64::try_from("2001:db8::/60".parse::<Ipv6Net>().unwrap()),
            Err(BadPref64::Length(60))
        );
        let odd: Ipv6Net = "2001:db8:64:0:ff00::/96".parse().unwrap();
        assert_eq!(Pref64::try_from(odd), Err(BadPref64::Octet(odd)));
    }

    #[test]
    fn a_prefix_is_found_by_what_its_address_holds() {
        let held = Ipv4Addr::new(192, 0, 0, 170);
        for length in Pref64::LENGTHS {
            let net = Ipv6Net::new("2001:db8:122:344::".parse().unwrap(), length).unwrap();
            let prefix = Pref64::try_from(net).unwrap();
            assert_eq!(Pref64::found_in(prefix.embed(held), held), Some(prefix));
        }
        assert_eq!(Pref64::found_in("2001:db8::1".parse().unwrap(), held), None);
    }

    #[test]
    fn documentation_and_private_addresses_are_not_global() {
        for (net, global) in [
            ("10.1.0.0/24", false),
            ("192.0.0.0/16", false),
            ("11.0.0.0/8", true),
            ("9.9.9.0/24", true),
        ] {
            assert_eq!(is_global(net.parse().unwrap()), global, "{net}");
        }
    }
}

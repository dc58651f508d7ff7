//! Automatic tunnels: IPv6 over IPv4 that a host makes by itself, and that nobody behind it sees into (RFC 6169).

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use ipnet::Ipv6Net;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of automatic tunnel.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AutomaticTunnel {
    /// To the relay of an anycast address, or to whom the address itself tells (RFC 3056).
    #[serde(rename = "6to4")]
    ToRelays,
    /// Through NAT, in UDP (RFC 4380).
    Teredo,
    /// Across a network that has IPv4 alone (RFC 5214).
    Isatap,
}

/// The server that a client of Teredo bears in its address.
const TEREDO_SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 35);
/// The port that a client of Teredo was seen at.
const TEREDO_PORT: u16 = 40_000;
/// What the identifier of ISATAP has before the IPv4 address, and the bit for an address that is unique (RFC 5214 section 6.1).
const ISATAP: u16 = 0x5efe;
const UNIQUE: u16 = 0x0200;

impl AutomaticTunnel {
    /// The one that an address is of.
    pub fn of(address: Ipv6Addr) -> Option<Self> {
        match address.segments() {
            [0x2002, ..] => Some(Self::ToRelays),
            [0x2001, 0, ..] => Some(Self::Teredo),
            [_, _, _, _, 0 | UNIQUE, ISATAP, ..] => Some(Self::Isatap),
            _ => None,
        }
    }

    /// The address that a host with an IPv4 address gives itself.
    pub fn address(self, host: Ipv4Addr) -> Ipv6Net {
        let halves = |v4: Ipv4Addr| {
            let [a, b, c, d] = v4.octets();
            [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
        };
        let [high, low] = halves(host);
        let (segments, length) = match self {
            Self::ToRelays => ([0x2002, high, low, 0, 0, 0, 0, 1], 16),
            Self::Teredo => {
                let [server_high, server_low] = halves(TEREDO_SERVER);
                ([0x2001, 0, server_high, server_low, 0, !TEREDO_PORT, !high, !low], 32)
            }
            Self::Isatap => {
                let unique = if host.is_private() { 0 } else { UNIQUE };
                ([0xfe80, 0, 0, 0, unique, ISATAP, high, low], 64)
            }
        };
        Ipv6Net::new(segments.into(), length).expect("a length of IPv6")
    }

    /// The interface that usual programs make for it.
    pub fn interface(self) -> &'static str {
        match self {
            Self::ToRelays => "tun6to4",
            Self::Teredo => "teredo",
            Self::Isatap => "isatap0",
        }
    }
}

/// As an auditor calls it.
impl fmt::Display for AutomaticTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ToRelays => "6to4 (RFC 3056)",
            Self::Teredo => "Teredo (RFC 4380)",
            Self::Isatap => "ISATAP (RFC 5214)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_tunnel() {
        let all = [AutomaticTunnel::ToRelays, AutomaticTunnel::Teredo, AutomaticTunnel::Isatap];
        let addresses = all.map(|kind| kind.address("192.0.2.9".parse().unwrap()));
        assert_eq!(
            addresses.map(|net| net.to_string()),
            [
                "2002:c000:209::1/16",
                "2001:0:c000:223:0:63bf:3fff:fdf6/32",
                "fe80::200:5efe:c000:209/64"
            ]
        );
        assert_eq!(addresses.map(|net| AutomaticTunnel::of(net.addr())), all.map(Some));
        let inside = AutomaticTunnel::Isatap.address("10.1.0.9".parse().unwrap());
        assert_eq!(inside.to_string(), "fe80::5efe:a01:9/64");
        for other in ["2001:db8::1", "2001:db8::1:5efe", "fe80::1", "2003::1"] {
            assert_eq!(AutomaticTunnel::of(other.parse().unwrap()), None);
        }
    }
}

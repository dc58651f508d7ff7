//! Access: when a service locks log-ins, and how it goes wrong about whom it lets in.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::Family;

/// Whether an access list names a source; one that names nobody stands for everybody.
pub fn names(list: &[IpNet], source: IpAddr) -> bool {
    list.is_empty() || list.iter().any(|net| net.contains(&source))
}

/// When log-ins are locked after failures: for a user, and for the network that the failures came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Lockout {
    /// After so many failures.
    pub after: u8,
    /// How much of an IPv4 address tells one source from another, in bits.
    pub ipv4: u8,
    /// The same of IPv6: a host changes its address within the prefix of its link as it likes (RFC 8981), so that no more
    /// than 64 bits tell anything.
    pub ipv6: u8,
}

impl Lockout {
    /// What is counted as one source with an address.
    pub fn source(&self, address: IpAddr) -> IpNet {
        let bits = match Family::of(address) {
            Family::V4 => self.ipv4,
            Family::V6 => self.ipv6,
        };
        IpNet::new(address, bits).unwrap_or_else(|_| IpNet::from(address)).trunc()
    }
}

/// How a service goes wrong about whom it lets in.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AccessFault {
    /// One socket takes both families, and IPv4 is seen as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), which the list does
    /// not name.
    Mapped,
    /// The list is written in upper case and compared as text.
    UpperCase,
    /// The list is written in eight groups of four digits and compared as text.
    ZeroPadded,
    /// The list was not continued for IPv6.
    WithoutIpv6,
    /// The list is applied to IPv4 alone.
    OpenToIpv6,
}

/// How a service goes wrong about locking log-ins over IPv6.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LockFault {
    /// It counts for each address: whoever changes the address begins anew.
    EachAddress,
    /// Its column holds IPv4 alone: all of IPv6 is one source.
    Everybody,
    /// It does not count at all.
    Never,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_link_is_one_source() {
        let lockout = Lockout { after: 3, ipv4: 32, ipv6: 64 };
        let source = |text: &str| lockout.source(text.parse().unwrap()).to_string();
        assert_eq!(source("2001:db8::1"), "2001:db8::/64");
        assert_eq!(source("2001:db8::ffff:1"), "2001:db8::/64");
        assert_eq!(source("192.0.2.1"), "192.0.2.1/32");
    }
}

//! Addresses that a host forms itself and that say nothing of its link-layer address (RFC 7217), as Linux forms them: the
//! first eight octets of a hash over a secret and the prefix. So a plan can tell them before the host does.

use std::net::Ipv6Addr;

use sha1::block_api::compress;
use sha2::{Digest, Sha256};

use crate::model::name::{InterfaceName, NodeName};

/// What SHA-1 begins with (FIPS 180-4 section 5.3.1).
const BEGINNING: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
/// The prefix of link-local addresses.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// The secret of an interface, as the kernel takes it: written like an address. It stays when link-layer addresses and
/// other nodes come and go. Nothing in a testbed is secret, and addresses should be the same in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secret(pub Ipv6Addr);

impl Secret {
    /// That of an interface.
    pub fn of(node: &NodeName, interface: &InterfaceName) -> Self {
        let name = format!("{node}/{interface}");
        let hash = Sha256::new().chain_update(name).chain_update("stable").finalize();
        let half = hash.first_chunk::<16>().expect("SHA-256 has 32 octets");
        Self(Ipv6Addr::from(*half))
    }

    /// The address that is formed within a /64, if no other node has it: the kernel hashes one block of secret, prefix, 32
    /// octets for the permanent link-layer address, of which virtual cables have none, and the number of duplicates met,
    /// and writes the words of the result as the machine does.
    pub fn within(self, prefix: Ipv6Addr) -> Ipv6Addr {
        let mut block = [0; 64];
        block[..16].copy_from_slice(&self.0.octets());
        block[16..24].copy_from_slice(&prefix.octets()[..8]);
        let mut words = BEGINNING;
        compress(&mut words, &[block]);
        let mut octets = prefix.octets();
        octets[8..12].copy_from_slice(&words[0].to_ne_bytes());
        octets[12..].copy_from_slice(&words[1].to_ne_bytes());
        octets.into()
    }

    /// The link-local address.
    pub fn link_local(self) -> Ipv6Addr {
        self.within(LINK_LOCAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_those_that_linux_forms() {
        // Read from an interface of Linux 6.18 with this `stable_secret`.
        let secret = Secret("2001:db8::1".parse().unwrap());
        assert_eq!(secret.link_local().to_string(), "fe80::88cf:4891:a68c:e03f");
    }

    #[test]
    fn every_interface_and_every_prefix_has_its_own() {
        let secret = |node: &str, interface: &str| {
            Secret::of(&node.parse().unwrap(), &interface.parse().unwrap())
        };
        let prefix = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        let one = secret("desk", "eth0");
        assert_eq!(one, secret("desk", "eth0"));
        assert_ne!(one, secret("desk", "eth1"));
        let (here, there) =
            (one.within(prefix("2001:db8:1::")), one.within(prefix("2001:db8:2::")));
        assert_ne!(here.octets()[8..], there.octets()[8..], "nobody follows a host by its address");
    }
}

//! What a probe must know of an interface before it sends by hand: index, link-layer address, addresses.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
};

use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex};

use crate::model::{family::Family, mac::Mac};

/// An interface of the namespace that it was read in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its index.
    pub index: u32,
    /// Its link-layer address, where it has one.
    pub mac: Option<Mac>,
    /// Its addresses, in the order that the kernel gives.
    pub addresses: Vec<IpAddr>,
}

impl Interface {
    /// Reads an interface in the namespace of this thread.
    pub fn read(name: &str) -> io::Result<Self> {
        let index = if_nametoindex(name)
            .map_err(|_| io::Error::other(format!("there is no interface `{name}`")))?;
        let mut interface = Self { index, mac: None, addresses: Vec::new() };
        for entry in getifaddrs()?.filter(|entry| entry.interface_name == name) {
            let Some(address) = entry.address else { continue };
            if let Some(link) = address.as_link_addr() {
                interface.mac = link.addr().map(Mac);
            }
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            let v6 = address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip()));
            interface.addresses.extend(v4.or(v6));
        }
        Ok(interface)
    }

    /// Its link-local IPv6 address.
    pub fn link_local(&self) -> Option<Ipv6Addr> {
        self.addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) if address.is_unicast_link_local() => Some(*address),
            _ => None,
        })
    }

    /// An address to ask neighbours from: link-local for IPv6.
    pub fn source(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.addresses.iter().copied().find(IpAddr::is_ipv4),
            Family::V6 => self.link_local().map(IpAddr::V6),
        }
    }
}

//! In which order a host tries the addresses of a name: destination address selection (RFC 6724 section 6, rules 1, 5
//! and 6), then interleaved by family (RFC 8305 section 4).

use std::{
    cmp::Reverse,
    net::{IpAddr, Ipv6Addr},
};

use ipnet::Ipv6Net;

use crate::model::family::Family;

/// The default policy table (RFC 6724 section 2.1): prefix, precedence, label.
const POLICY: [(Ipv6Addr, u8, u8, u8); 9] = [
    (Ipv6Addr::LOCALHOST, 128, 50, 0),
    (Ipv6Addr::UNSPECIFIED, 0, 40, 1),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, 35, 4),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, 30, 2),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32, 5, 5),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7, 3, 13),
    (Ipv6Addr::UNSPECIFIED, 96, 1, 3),
    (Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10, 1, 11),
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16, 1, 12),
];

/// Destinations with the source that would be used for each, in the order to be tried.
pub(super) fn tried(mut destinations: Vec<(IpAddr, Option<IpAddr>)>) -> Vec<IpAddr> {
    destinations.sort_by_key(|(to, source)| {
        let (precedence, label) = policy(*to);
        let matches = source.is_some_and(|source| policy(source).1 == label);
        Reverse((source.is_some(), matches, precedence))
    });
    interleave(destinations.into_iter().map(|(to, _)| to).collect())
}

/// The family of the first alternates with the other, each in its own order.
fn interleave(sorted: Vec<IpAddr>) -> Vec<IpAddr> {
    let Some(first) = sorted.first().map(|ip| Family::of(*ip)) else { return sorted };
    let (one, other): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|ip| Family::of(*ip) == first);
    let longest = one.len().max(other.len());
    (0..longest).flat_map(|at| [one.get(at), other.get(at)]).flatten().copied().collect()
}

/// Precedence and label of an address, by the longest prefix that holds it.
fn policy(address: IpAddr) -> (u8, u8) {
    let address = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let holds = |(prefix, length, ..): &&(Ipv6Addr, u8, u8, u8)| {
        Ipv6Net::new(*prefix, *length).is_ok_and(|net| net.contains(&address))
    };
    let (_, _, precedence, label) =
        POLICY.iter().filter(holds).max_by_key(|entry| entry.1).expect("::/0 holds every address");
    (*precedence, *label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(destinations: &[(&str, Option<&str>)]) -> Vec<String> {
        let parsed = destinations.iter().map(|(to, source)| {
            (to.parse().unwrap(), source.map(|source| source.parse().unwrap()))
        });
        tried(parsed.collect()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn global_ipv6_comes_first_and_families_alternate() {
        let v4 = Some("192.0.2.9");
        let v6 = Some("2001:db8::9");
        assert_eq!(
            order(&[("192.0.2.1", v4), ("2001:db8::1", v6), ("2001:db8::2", v6)]),
            ["2001:db8::1", "192.0.2.1", "2001:db8::2"]
        );
    }

    #[test]
    fn unique_local_loses_to_ipv4_and_what_has_no_route_comes_last() {
        let v4 = Some("192.0.2.9");
        assert_eq!(order(&[("fd00::1", Some("fd00::9")), ("192.0.2.1", v4)])[0], "192.0.2.1");
        assert_eq!(order(&[("2001:db8::1", None), ("192.0.2.1", v4)])[0], "192.0.2.1");
        // A unique local source for a global destination: labels differ.
        assert_eq!(order(&[("2001:db8::1", Some("fd00::9")), ("192.0.2.1", v4)])[0], "192.0.2.1");
    }
}

//! Addresses: what the file gives, and for everything else a host number in the order of the file.
//!
//! Routers get the low numbers from 1, other nodes those from 10, the same for both families, and the decimal digits of
//! the number are the digits of the IPv6 address too: host 10 is `.10` and `::10`. People compare them by eye.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use super::{macs, names};
use crate::{
    input::{
        diagnostic::{Diagnostic, Span},
        table::At,
        written::{
            node::{Interface, Node},
            segment::Segment,
            testbed::Testbed,
        },
    },
    model::{
        family::Family,
        mac::Mac,
        name::{InterfaceName, NodeName},
        node::{Address, Origin},
        segment::{Plane, SegmentKind},
    },
    wire::stable::Secret,
};

/// The link-layer address and the addresses of every interface.
pub(super) type Plan = BTreeMap<(NodeName, InterfaceName), (Mac, Vec<Address>)>;

/// The highest host number that is given without being asked for.
const HIGHEST_HOST: u32 = 9999;

/// Plans every address of the testbed.
pub(super) fn plan(written: &Testbed, found: &mut Vec<Diagnostic>) -> Plan {
    let macs = macs::derive(written, found);
    let mut plan = Plan::new();
    for segment in &written.segments {
        let mut on = Segmented { segment, owners: BTreeMap::new(), found };
        let members: Vec<_> = written.members(&segment.name.is).collect();
        let mut fixed = Vec::new();
        for (node, interface) in &members {
            fixed.push(on.fixed(node, interface, macs[&key(node, interface)]));
        }
        for ((node, interface), mut addresses) in members.into_iter().zip(fixed) {
            on.fill(node, interface, &mut addresses);
            on.given_by_server(node, interface, &mut addresses);
            addresses.sort_by_key(Address::family);
            let key = key(node, interface);
            plan.insert(key.clone(), (macs[&key], addresses));
        }
    }
    for interface in written.nodes.iter().flat_map(|node| &node.on) {
        names::segment(written, &interface.segment, found);
    }
    plan
}

fn key(node: &Node, interface: &Interface) -> (NodeName, InterfaceName) {
    (node.name.is.clone(), interface.name.is.clone())
}

/// A segment while its addresses are given out.
struct Segmented<'w> {
    segment: &'w Segment,
    owners: BTreeMap<IpAddr, (NodeName, Span)>,
    found: &'w mut Vec<Diagnostic>,
}

impl Segmented<'_> {
    /// What the file says of an interface: addresses, a host number, SLAAC.
    fn fixed(&mut self, node: &Node, interface: &Interface, mac: Mac) -> Vec<Address> {
        let mut addresses = Vec::new();
        for address in &interface.addresses {
            addresses.extend(self.given(node, interface, address));
        }
        addresses.extend(self.slaac(node, interface, mac));
        let host = interface.host.as_ref().or(node.host.as_ref());
        let Some(host) = host else { return addresses };
        for prefix in &self.segment.prefixes {
            let family = Family::of_net(prefix.is);
            if has(&addresses, family) {
                continue;
            }
            let Some(ip) = numbered(prefix.is, host.is) else {
                let message = format!(
                    "host {} does not fit into {} of segment `{}`",
                    host.is, prefix.is, self.segment.name.is
                );
                self.found.push(
                    Diagnostic::error(&host.at, message)
                        .note(&prefix.at, "this prefix is too small"),
                );
                continue;
            };
            let net = IpNet::new(ip, prefix.is.prefix_len()).unwrap_or(prefix.is);
            addresses.extend(self.claim(node, net, &host.at));
        }
        addresses
    }

    /// An address of the file.
    fn given(&mut self, node: &Node, interface: &Interface, ip: &At<IpAddr>) -> Option<Address> {
        let family = Family::of(ip.is);
        let name = &self.segment.name.is;
        let Some(prefix) = self.segment.prefix(family) else {
            if !self.segment.lacks(family) {
                return None;
            }
            let message = format!("segment `{name}` has no {family} prefix for {}", ip.is);
            self.found.push(
                Diagnostic::error(&ip.at, message).note(&self.segment.name.at, "this segment"),
            );
            return None;
        };
        if let Some(host) = &interface.host {
            let message = format!(
                "interface `{}` of node `{}` has host {} and the address {}; one of the two is enough",
                interface.name.is, node.name.is, host.is, ip.is
            );
            self.found.push(Diagnostic::error(&ip.at, message).note(&host.at, "the other"));
        }
        let why = if !prefix.is.contains(&ip.is) {
            format!("{} is outside {} of segment `{name}`", ip.is, prefix.is)
        } else if is_special(prefix.is, ip.is) {
            let what = match family {
                Family::V4 if ip.is == prefix.is.network() => "the network address",
                Family::V4 => "the broadcast address",
                Family::V6 => "the subnet-router anycast address (RFC 4291 section 2.6.1)",
            };
            format!("{} is {what} of {}; no node can have it", ip.is, prefix.is)
        } else {
            let net = IpNet::new(ip.is, prefix.is.prefix_len()).ok()?;
            return self.claim(node, net, &ip.at);
        };
        self.found.push(Diagnostic::error(&ip.at, why).note(&prefix.at, "the prefix"));
        None
    }

    fn slaac(&mut self, node: &Node, interface: &Interface, mac: Mac) -> Option<Address> {
        let at = interface.slaac.as_ref()?;
        let name = &self.segment.name.is;
        let refuse = |why: String, hint: &str| Diagnostic::error(at, why).hint(hint);
        let autonomous = |a: &crate::input::written::segment::Advertise| {
            a.autonomous.as_ref().is_none_or(|f| f.is)
        };
        let refusal = match (self.segment.prefix(Family::V6), &self.segment.advertise) {
            (None, _) if !self.segment.lacks(Family::V6) => return None,
            (None, _) => refuse(
                format!("segment `{name}` has no IPv6 prefix to form an address from"),
                "give the segment an `ipv6` prefix",
            ),
            (Some(_), None) => refuse(
                format!(
                    "no router announces a prefix on segment `{name}`, so no address can be formed"
                ),
                "say `advertise = \"…\"` in the segment, or give the node a static address",
            ),
            (Some(_), Some(plan)) if !autonomous(plan) => refuse(
                format!("the prefix of segment `{name}` is announced without the autonomous flag"),
                "say `autonomous = true`, or give the node a static address",
            ),
            (Some(_), Some(_)) if node.role().forwards() => refuse(
                format!("`{}` forwards, and routers do not form addresses", node.name.is),
                "give it a static address",
            ),
            // Other lengths have been complained of with the segment.
            (Some(prefix), Some(_)) if prefix.is.prefix_len() != 64 => return None,
            (Some(prefix), Some(_)) => {
                let IpNet::V6(net) = prefix.is else { return None };
                let secret = Secret::of(&node.name.is, &interface.name.is);
                let (formed, origin) = if interface.stable {
                    (secret.within(net.addr()), Origin::Stable)
                } else {
                    (mac.within(net.addr()), Origin::Slaac)
                };
                let address = self.claim(node, IpNet::new(formed.into(), 64).ok()?, at)?;
                return Some(Address { origin, ..address });
            }
        };
        self.found.push(refusal);
        None
    }

    /// Where a server gives the IPv6 address, it gives the planned one.
    fn given_by_server(&mut self, node: &Node, interface: &Interface, addresses: &mut [Address]) {
        let Some(at) = &interface.dhcp else { return };
        let name = &self.segment.name.is;
        let refuse = |why: String, hint: &str| Diagnostic::error(at, why).hint(hint);
        let refusal = match (&self.segment.dhcp, &self.segment.advertise) {
            _ if self.segment.lacks(Family::V6) => refuse(
                format!("segment `{name}` has no IPv6 prefix to give an address from"),
                "give the segment an `ipv6` prefix",
            ),
            (None, _) => refuse(
                format!("nobody serves DHCPv6 on segment `{name}`, so no address can be given"),
                "say `dhcpv6 = \"…\"` in the segment, or give the node a static address",
            ),
            (Some(_), None) => refuse(
                format!(
                    "no router announces itself on segment `{name}`, and DHCPv6 gives no default route (RFC 8415)"
                ),
                "say `advertise = \"…\"` in the segment",
            ),
            _ if node.role().forwards() => refuse(
                format!("`{}` forwards, and others rely on its address", node.name.is),
                "give it a static address",
            ),
            _ => {
                let v6 = addresses.iter_mut().filter(|a| a.family() == Family::V6);
                v6.for_each(|address| address.origin = Origin::Dhcp);
                return;
            }
        };
        self.found.push(refusal);
    }

    /// Gives an address to a node, unless another has it.
    fn claim(&mut self, node: &Node, net: IpNet, at: &Span) -> Option<Address> {
        let ip = net.addr();
        if let Some((owner, first)) = self.owners.get(&ip) {
            let message = format!("{ip} is given to `{owner}` and to `{}`", node.name.is);
            self.found.push(
                Diagnostic::error(at, message)
                    .label(format!("for `{}`", node.name.is))
                    .note(first, format!("first used here, for `{owner}`")),
            );
            return None;
        }
        self.owners.insert(ip, (node.name.is.clone(), at.clone()));
        Some(Address { net, origin: Origin::Static })
    }

    /// Gives an interface an address of every family that it has none of yet.
    fn fill(&mut self, node: &Node, interface: &Interface, addresses: &mut Vec<Address>) {
        // Who is inside a tunnel without being its gateway has been complained of.
        let is_intruder =
            self.segment.kind.is_inside() && interface.segment.at != self.segment.name.at;
        if node.host.is_some() || interface.host.is_some() || is_intruder {
            return;
        }
        let written = |family| {
            interface.address(family).is_some()
                || (family == Family::V6 && interface.slaac.is_some())
        };
        let missing: Vec<_> = self
            .segment
            .prefixes
            .iter()
            .filter(|prefix| !written(Family::of_net(prefix.is)))
            .collect();
        if missing.is_empty() {
            return;
        }
        let number = self.candidates(node).find_map(|host| {
            let ips: Option<Vec<_>> = missing
                .iter()
                .map(|p| IpNet::new(numbered(p.is, host)?, p.is.prefix_len()).ok())
                .collect();
            ips.filter(|nets| nets.iter().all(|net| !self.owners.contains_key(&net.addr())))
        });
        let Some(nets) = number else {
            let nets: BTreeSet<_> = missing.iter().map(|p| p.is.to_string()).collect();
            let nets = nets.into_iter().collect::<Vec<_>>().join(" and ");
            let message = format!(
                "no address is left for `{}` in {nets} of segment `{}`",
                node.name.is, self.segment.name.is
            );
            self.found.push(
                Diagnostic::error(&interface.segment.at, message)
                    .note(&missing[0].at, "this prefix is too small"),
            );
            return;
        };
        for net in nets {
            addresses.extend(self.claim(node, net, &interface.segment.at));
        }
    }

    /// Host numbers in the order in which they are tried.
    fn candidates(&self, node: &Node) -> impl Iterator<Item = u32> + use<> {
        let low = self.segment.kind == SegmentKind::PointToPoint
            || (node.role().forwards() && self.segment.plane == Plane::Data);
        let first = if low { 1 } else { 10 };
        (first..=HIGHEST_HOST).chain(1..first)
    }
}

fn has(addresses: &[Address], family: Family) -> bool {
    addresses.iter().any(|address| address.family() == family)
}

/// The address of a host number in a prefix. On a /31 or /127, whose addresses are both for hosts (RFC 3021, RFC 6164),
/// host 1 is the lower and host 2 the higher.
fn numbered(prefix: IpNet, host: u32) -> Option<IpAddr> {
    let family = Family::of_net(prefix);
    let room = family.bits() - prefix.prefix_len();
    let part = match family {
        _ if room == 1 => u128::from(host - 1),
        Family::V4 => u128::from(host),
        Family::V6 => u128::from_str_radix(&host.to_string(), 16).ok()?,
    };
    if room < 128 && part >> room != 0 {
        return None;
    }
    let ip: IpAddr = match prefix.network() {
        IpAddr::V4(ip) => (u32::from(ip) | u32::try_from(part).ok()?).to_be_bytes().into(),
        IpAddr::V6(ip) => (u128::from(ip) | part).to_be_bytes().into(),
    };
    (!is_special(prefix, ip)).then_some(ip)
}

/// Whether an address of a prefix is not for hosts.
fn is_special(prefix: IpNet, ip: IpAddr) -> bool {
    let pair = Family::of_net(prefix).bits() - prefix.prefix_len() == 1;
    match prefix {
        _ if pair => false,
        IpNet::V4(net) => ip == net.network() || ip == net.broadcast(),
        IpNet::V6(net) => ip == net.network(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_numbers_look_the_same_in_both_families() {
        let ip = |prefix: &str, host| {
            numbered(prefix.parse().unwrap(), host).map(|ip: IpAddr| ip.to_string())
        };
        assert_eq!(ip("10.1.0.0/24", 10).as_deref(), Some("10.1.0.10"));
        assert_eq!(ip("2001:db8:a:1::/64", 10).as_deref(), Some("2001:db8:a:1::10"));
        assert_eq!(ip("10.1.0.0/24", 255), None, "broadcast");
        assert_eq!(ip("10.1.0.0/24", 256), None);
        assert_eq!(ip("192.0.2.0/31", 1).as_deref(), Some("192.0.2.0"));
        assert_eq!(ip("2001:db8::/127", 2).as_deref(), Some("2001:db8::1"));
        assert_eq!(ip("2001:db8::/127", 3), None);
    }
}

//! Segments: prefixes that do not overlap, an MTU that fits, announcements that hosts can use.

use std::collections::BTreeMap;

use super::{dhcp, families, names, overlaps};
use crate::{
    input::{
        diagnostic::Diagnostic,
        table::At,
        written::{
            self,
            segment::{Advertise, Segment},
            testbed::Testbed,
        },
    },
    model::{
        family::Family,
        name::{NodeName, SegmentName},
        node::Role,
        segment::{self, Advertisement, SegmentKind},
    },
};

/// The smallest MTU of a link with IPv6 (RFC 8200 section 5).
pub(super) const LEAST_MTU_V6: u32 = 1280;
/// RFC 4861 section 6.2.1: three times the longest interval between advertisements.
const USUAL_LIFETIME_S: u16 = 1800;

/// Every segment.
pub(super) fn resolve(
    written: &Testbed,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<SegmentName, segment::Segment> {
    partial(written, found);
    overlaps::check(written, found);
    for empty in &written.empty {
        let message = format!("the testbed is empty: there is nothing under `{}`", empty.is);
        let hint = "the least testbed is a segment with a node on it";
        found.push(Diagnostic::error(&empty.at, message).hint(hint));
    }
    let resolved = |segment: &Segment| (segment.name.is.clone(), one(written, segment, found));
    written.segments.iter().map(resolved).collect()
}

fn one(written: &Testbed, segment: &Segment, found: &mut Vec<Diagnostic>) -> segment::Segment {
    mtu(segment, found);
    members(written, segment, found);
    if segment.kind != SegmentKind::Tunnel && segment.said.is_empty() {
        let message = format!("segment `{}` has no prefix", segment.name.is);
        let hint = "give it `ipv4`, `ipv6` or both";
        found.push(Diagnostic::error(&segment.name.at, message).hint(hint));
    }
    if let (Some(why), Some(prefix)) = (&segment.stays_ipv4, segment.prefix(Family::V6)) {
        let message = format!(
            "segment `{}` stays without IPv6, and has the IPv6 prefix {}",
            segment.name.is, prefix.is
        );
        found.push(
            Diagnostic::error(&why.at, message)
                .note(&prefix.at, "this prefix")
                .hint("take one of the two away"),
        );
    }
    segment::Segment {
        name: segment.name.is.clone(),
        stays_ipv4: segment.stays_ipv4.as_ref().map(|why| why.is.clone()),
        site: segment.site.as_ref().and_then(|site| names::site(written, site, found)),
        kind: segment.kind,
        plane: segment.plane,
        prefixes: segment.prefixes.iter().map(|prefix| prefix.is).collect(),
        mtu: segment.size(),
        advertise: segment.advertise.as_ref().map(|a| advertisement(written, segment, a, found)),
        dhcp: segment.dhcp.as_ref().and_then(|plan| dhcp::plan(written, segment, plan, found)),
        impairment: segment.impairment,
        ra_guard: guards(segment, found),
        families: families::of_segment(written, segment, found),
    }
}

/// Whether its switch stops forged Router Advertisements; without IPv6, nobody would ever try it.
fn guards(segment: &Segment, found: &mut Vec<Diagnostic>) -> bool {
    let Some(said) = segment.ra_guard.as_ref().filter(|said| said.is) else { return false };
    if !segment.said.is_empty() && segment.lacks(Family::V6) {
        let message = format!(
            "segment `{}` guards against forged Router Advertisements and never has IPv6",
            segment.name.is
        );
        let hint = "the guard is tried where IPv6 is live: give the segment `ipv6`, or take `ra-guard` away";
        found.push(Diagnostic::warning(&said.at, message).hint(hint));
    }
    true
}

/// Names in `[partial]`, once each.
fn partial(written: &Testbed, found: &mut Vec<Diagnostic>) {
    let partial = &written.partial;
    let mut known = BTreeMap::new();
    for name in partial.dual_stack.iter().chain(&partial.ipv6_only) {
        let Some(segment) = names::segment(written, name, found) else { continue };
        if let Some(first) = known.insert(&name.is, &name.at) {
            let message = format!("segment `{}` is named twice for the partial phase", name.is);
            found.push(Diagnostic::error(&name.at, message).note(first, "first used here"));
        }
        if segment.lacks(Family::V6) {
            let message = format!(
                "segment `{}` is to have IPv6 in the partial phase, but has no IPv6 prefix",
                name.is
            );
            found.push(Diagnostic::error(&name.at, message).note(&segment.name.at, "this segment"));
        }
    }
    for name in &partial.stay_ipv4 {
        names::node(written, name, found);
    }
}

/// A link with IPv6 has the MTU for it. Of those inside of tunnels, `outside` tells.
fn mtu(segment: &Segment, found: &mut Vec<Diagnostic>) {
    if segment.kind == SegmentKind::Tunnel {
        return;
    }
    let (Some(mtu), Some(prefix)) = (&segment.mtu, segment.prefix(Family::V6)) else { return };
    if mtu.is < LEAST_MTU_V6 {
        let message = format!(
            "segment `{}` has IPv6 and an MTU of {}; a link with IPv6 carries at least {LEAST_MTU_V6} \
             octets (RFC 8200 section 5)",
            segment.name.is, mtu.is
        );
        found.push(
            Diagnostic::error(&mtu.at, message)
                .note(&prefix.at, "IPv6 is here")
                .hint(format!("raise the MTU to {LEAST_MTU_V6} or take the IPv6 prefix away")),
        );
    }
}

fn members(written: &Testbed, segment: &Segment, found: &mut Vec<Diagnostic>) {
    let members: Vec<_> = written.members(&segment.name.is).collect();
    let name = &segment.name;
    // Somebody's segment is not known, and it may be this one.
    if members.len() < 2 && written.nodes.iter().any(|node| written.is_dangling(node)) {
        return;
    }
    if members.is_empty() {
        let message = format!("segment `{}` has no node on it", name.is);
        let hint = format!("plug a node in: `on = {{ eth0 = \"{}\" }}`", name.is);
        found.push(Diagnostic::warning(&name.at, message).hint(hint));
    } else if segment.kind == SegmentKind::PointToPoint && members.len() != 2 {
        let ends = match members.len() {
            1 => "one end".to_owned(),
            many => format!("{many} ends"),
        };
        let message =
            format!("segment `{}` is point-to-point and has {ends}; it needs exactly two", name.is);
        let diagnostic = members.iter().fold(
            Diagnostic::error(&name.at, message).hint("a link with more ends is a `lan`"),
            |diagnostic, (node, interface)| {
                diagnostic.note(&interface.segment.at, format!("`{}` is an end", node.name.is))
            },
        );
        found.push(diagnostic);
    }
    for (node, interface) in &members {
        let first = node.interface_on(&name.is).map(|first| &first.name);
        if let Some(first) = first.filter(|first| first.is != interface.name.is) {
            let message =
                format!("node `{}` is on segment `{}` with two interfaces", node.name.is, name.is);
            found.push(
                Diagnostic::error(&interface.segment.at, message)
                    .note(&first.at, "the first is here")
                    .hint("one interface per segment is enough for everything that is tested"),
            );
        }
    }
}

fn advertisement(
    written: &Testbed,
    segment: &Segment,
    plan: &Advertise,
    found: &mut Vec<Diagnostic>,
) -> Advertisement {
    let yes = |flag: &Option<At<bool>>| flag.as_ref().is_none_or(|f| f.is);
    let said = |flag: &Option<At<bool>>, otherwise| flag.as_ref().map_or(otherwise, |f| f.is);
    match segment.prefix(Family::V6) {
        None if segment.lacks(Family::V6) => {
            let message =
                format!("segment `{}` has no IPv6 prefix to be announced", segment.name.is);
            found.push(Diagnostic::error(&plan.at, message));
        }
        Some(prefix) if yes(&plan.autonomous) && prefix.is.prefix_len() != 64 => {
            let message = format!(
                "hosts cannot form addresses from {}: SLAAC needs a /64 (RFC 4862 section 5.5.3)",
                prefix.is
            );
            found.push(
                Diagnostic::error(&plan.at, message)
                    .note(&prefix.at, "this prefix")
                    .hint("say `autonomous = false`, or give the segment a /64"),
            );
        }
        Some(_) | None => {}
    }
    let dns = plan.dns.iter().filter(|name| super::uses::resolver(written, name, found));
    let dns = dns.map(|name| name.is.clone()).collect();
    Advertisement {
        routers: routers(written, segment, plan, found),
        on_link: yes(&plan.on_link),
        autonomous: yes(&plan.autonomous),
        // The flags follow from who serves: addresses where some host gets its own so, and everything else from whoever serves.
        managed: said(&plan.managed, dhcp::gives_addresses(written, segment)),
        other: said(&plan.other, segment.dhcp.is_some()),
        lifetime_s: plan.lifetime_s.as_ref().map_or(USUAL_LIFETIME_S, |lifetime| lifetime.is),
        dns,
    }
}

fn routers(
    written: &Testbed,
    segment: &Segment,
    plan: &Advertise,
    found: &mut Vec<Diagnostic>,
) -> Vec<NodeName> {
    let forwards = |node: &written::node::Node| node.may_be(Role::forwards);
    if plan.by.is_empty() {
        let members = written.members(&segment.name.is).map(|(node, _)| node);
        let routers: Vec<_> =
            members.filter(|node| forwards(node)).map(|node| node.name.is.clone()).collect();
        if routers.is_empty() {
            let message =
                format!("segment `{}` has no router that could announce", segment.name.is);
            let hint = "routers are nodes with the role `router`, `firewall` or `vpn-gateway`";
            found.push(Diagnostic::error(&plan.at, message).hint(hint));
        }
        return routers;
    }
    let mut routers = Vec::new();
    for name in &plan.by {
        let Some(node) = names::node(written, name, found) else { continue };
        if node.interface_on(&segment.name.is).is_none() {
            let message = format!("`{}` is not on segment `{}`", name.is, segment.name.is);
            found.push(Diagnostic::error(&name.at, message).note(&node.name.at, "this node"));
        } else if !forwards(node) {
            let message = format!(
                "`{}` has the role `{}` and does not forward; it cannot announce itself as a router",
                name.is,
                node.role()
            );
            found.push(Diagnostic::error(&name.at, message).note(&node.name.at, "this node"));
        } else {
            routers.push(name.is.clone());
        }
    }
    routers
}

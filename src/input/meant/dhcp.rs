//! DHCPv6: a server that hosts can reach, over a relay where it is not on their link.

use super::{names, uses};
use crate::{
    input::{
        diagnostic::Diagnostic,
        written::{
            segment::{Dhcp, Segment},
            testbed::Testbed,
        },
    },
    model::{dhcp::DhcpPlan, family::Family, name::NodeName, node::Role, segment::Plane},
};

/// The plan for DHCPv6 of a segment; `None` where it cannot be as it is written.
pub(super) fn plan(
    written: &Testbed,
    segment: &Segment,
    plan: &Dhcp,
    found: &mut Vec<Diagnostic>,
) -> Option<DhcpPlan> {
    let name = &segment.name.is;
    let server = names::node(written, &plan.by, found);
    let resolvers = plan.dns.iter().filter(|name| uses::resolver(written, name, found));
    let dns: Vec<NodeName> = resolvers.map(|name| name.is.clone()).collect();
    if segment.lacks(Family::V6) {
        let message = format!("segment `{name}` has no IPv6 prefix that DHCPv6 could serve");
        found.push(Diagnostic::error(&plan.at, message).hint("give the segment an `ipv6` prefix"));
        return None;
    }
    if segment.plane == Plane::Management {
        let message =
            format!("segment `{name}` is of the management plane; its nodes have static addresses");
        found.push(Diagnostic::error(&plan.at, message).hint("take `dhcpv6` out"));
        return None;
    }
    let search = plan.search.iter().map(|name| name.is.clone()).collect();
    let Some(server) = server else {
        names::nodes(written, plan.relay.as_slice(), found);
        return None;
    };
    let relay = if server.interface_on(name).is_some() {
        if let Some(relay) = &plan.relay {
            let message =
                format!("`{}` is on segment `{name}` itself and needs no relay", plan.by.is);
            found.push(Diagnostic::error(&relay.at, message).hint("take `relay` out"));
        }
        None
    } else {
        Some(relay(written, segment, plan, found)?)
    };
    Some(DhcpPlan { server: plan.by.is.clone(), relay, dns, search })
}

fn relay(
    written: &Testbed,
    segment: &Segment,
    plan: &Dhcp,
    found: &mut Vec<Diagnostic>,
) -> Option<NodeName> {
    let name = &segment.name.is;
    let announces = segment.advertise.as_ref().and_then(|advertise| advertise.by.first());
    let Some(relay) = plan.relay.as_ref().or(announces) else {
        let message = format!(
            "the DHCPv6 server `{}` is not on segment `{name}`, and nobody relays",
            plan.by.is
        );
        let hint = "name a router on the segment: `dhcpv6 = { by = \"…\", relay = \"…\" }`";
        found.push(Diagnostic::error(&plan.at, message).hint(hint));
        return None;
    };
    let node = names::node(written, relay, found)?;
    if node.interface_on(name).is_none() || !node.may_be(Role::forwards) {
        let message =
            format!("`{}` is no router on segment `{name}` and cannot relay from it", relay.is);
        found.push(Diagnostic::error(&relay.at, message).note(&node.name.at, "this node"));
        return None;
    }
    Some(relay.is.clone())
}

/// Whether some host on a segment gets its address from a server.
pub(super) fn gives_addresses(written: &Testbed, segment: &Segment) -> bool {
    let mut members = written.members(&segment.name.is);
    members.any(|(_, interface)| interface.dhcp.is_some())
}

//! DHCPv6: what servers and relays do in a phase, derived from the segments that have IPv6 live.

use std::net::{IpAddr, Ipv6Addr};

use super::{Stage, StagedInterface};
use crate::model::{
    dhcp::{DhcpDuty, DhcpLink, DhcpPlan},
    family::Family,
    name::NodeName,
    node::Origin,
    segment::{Plane, Segment},
};

/// Fills in the duties of every server and relay.
pub(super) fn derive(stage: &mut Stage) {
    let mut duties = Vec::new();
    for segment in stage.testbed.segments.values() {
        let live = stage.segment_families(&segment.name).has(Family::V6);
        if let Some(plan) = segment.dhcp.as_ref().filter(|_| live) {
            duties.extend(of_segment(stage, segment, plan));
        }
    }
    for (node, duty) in duties {
        stage.nodes.get_mut(&node).expect("a node of the testbed").dhcp.push(duty);
    }
}

fn of_segment(stage: &Stage, segment: &Segment, plan: &DhcpPlan) -> Vec<(NodeName, DhcpDuty)> {
    let Some(prefix) = segment.prefix(Family::V6) else { return Vec::new() };
    let interface =
        |node: &NodeName| stage.nodes[node].interfaces.iter().find(|i| i.segment == segment.name);
    let v6 = |addresses: Vec<IpAddr>| addresses.into_iter().filter_map(v6);
    let dns = plan.dns.iter().flat_map(|node| v6(stage.addresses(node, Plane::Data, Family::V6)));
    let hosts = stage.nodes.values().flat_map(|node| &node.interfaces);
    let leases = hosts.filter(|i| i.segment == segment.name && i.leases).flat_map(|interface| {
        let given = interface.addresses.iter().filter(|a| a.origin == Origin::Dhcp);
        given.filter_map(|address| Some((interface.mac, v6_of(address.ip())?)))
    });
    let on = plan.relay.is_none().then(|| interface(&plan.server)).flatten();
    let link = DhcpLink {
        segment: segment.name.clone(),
        interface: on.map(|interface| interface.name.clone()),
        prefix: prefix.trunc(),
        leases: leases.collect(),
        dns: dns.collect(),
        search: plan.search.clone(),
        relayed_to: None,
        spoilt: Vec::new(),
    };
    let served = |link| (plan.server.clone(), DhcpDuty::Serve(link));
    let Some(relay) = &plan.relay else { return vec![served(link)] };
    let near = interface(relay).and_then(|on| {
        let address = on.addresses.iter().find_map(|address| v6_of(address.ip()))?;
        Some((on.name.clone(), address))
    });
    let servers = stage.addresses(&plan.server, Plane::Data, Family::V6);
    let reached = servers.into_iter().find(|server| stage.path(relay, *server).is_ok());
    let reached = reached.and_then(v6_of);
    let holds = |server: &Ipv6Addr| {
        let mut interfaces = stage.nodes[&plan.server].interfaces.iter();
        let is = |interface: &&StagedInterface| {
            interface.addresses.iter().any(|address| address.ip() == IpAddr::V6(*server))
        };
        Some((interfaces.find(is)?.name.clone(), *server))
    };
    let mut found = vec![served(DhcpLink { relayed_to: reached.as_ref().and_then(holds), ..link })];
    if let (Some((interface, link)), Some(server)) = (near, reached) {
        found.push((relay.clone(), DhcpDuty::Relay { interface, link, server }));
    }
    found
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    v6_of(address)
}

fn v6_of(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(_) => None,
    }
}

//! Tunnels: over what each is carried in a phase, and the routes of what it couples.

use std::net::{IpAddr, SocketAddr};

use super::{Stage, StagedInterface, routes};
use crate::model::{
    family::Family,
    name::NodeName,
    node::Route,
    segment::Plane,
    tunnel::{Tunnel, TunnelEnd, TunnelKind},
};

/// Fills in the ends of every tunnel, and routes what it couples through it. What a tunnel couples never goes another way:
/// where the tunnel is not there for a family, there is no way at all.
pub(super) fn derive(stage: &mut Stage) {
    let testbed = std::sync::Arc::clone(&stage.testbed);
    for tunnel in testbed.tunnels.values() {
        let outer = outer(stage, tunnel);
        for gateway in &tunnel.between {
            couple(stage, tunnel, gateway, &outer);
        }
    }
    routes::lead_to_tunnels(stage);
}

/// The outside addresses of both ends, in every family of the tunnel in which they can reach one another, in its order.
fn outer(stage: &Stage, tunnel: &Tunnel) -> Vec<[IpAddr; 2]> {
    let ends = |family: &Family| {
        let [here, there] = &tunnel.between;
        let (a, b) =
            (outside(stage, tunnel, here, *family)?, outside(stage, tunnel, there, *family)?);
        let reaches = |from, to| stage.path(from, to).is_ok();
        (reaches(here, b) && reaches(there, a)).then_some([a, b])
    };
    tunnel.outer.iter().filter_map(ends).collect()
}

/// The address that a gateway is heard at by the other: on the first interface that is no inside of a tunnel and that
/// nothing coupled is on.
fn outside(stage: &Stage, tunnel: &Tunnel, gateway: &NodeName, family: Family) -> Option<IpAddr> {
    let relations = tunnel.seen_from(gateway);
    let is_inner = |interface: &StagedInterface| {
        let segment = &stage.testbed.segments[&interface.segment];
        segment.kind.is_inside()
            || segment.prefixes.iter().any(|net| relations.iter().any(|r| net.contains(&r.here)))
    };
    let outer = stage.interfaces(gateway, Plane::Data).filter(|interface| !is_inner(interface));
    let addresses = outer.flat_map(|interface| &interface.addresses);
    addresses.filter(|a| a.family() == family).map(super::Address::ip).next()
}

fn couple(stage: &mut Stage, tunnel: &Tunnel, gateway: &NodeName, outer: &[[IpAddr; 2]]) {
    let all = tunnel.seen_from(gateway);
    let peer = tunnel.other_end(gateway);
    let within = inside_of(stage, tunnel, gateway);
    let beyond = inside_of(stage, tunnel, peer);
    let inside = |family| beyond.iter().copied().find(|ip| Family::of(*ip) == family);
    let mut relations = all.clone();
    relations.retain(|relation| !outer.is_empty() && inside(relation.family()).is_some());
    let interface = inside_interface(stage, tunnel, gateway).map(|i| i.name.clone());
    let mac = |node| inside_interface(stage, tunnel, node).map(|interface| interface.mac);
    let macs = match (tunnel.kind, mac(gateway), mac(peer)) {
        (TunnelKind::Vxlan, Some(own), Some(theirs)) => Some([own, theirs]),
        _ => None,
    };
    let node = stage.nodes.get_mut(gateway).expect("input resolved the name");
    node.routes.retain(|route| !all.iter().any(|relation| relation.there.contains(&route.to)));
    node.routes.extend(relations.iter().filter_map(|relation| {
        Some(Route { to: relation.there, via: inside(relation.family())? })
    }));
    let begins = *gateway == tunnel.between[0];
    let mut outsides = outer.iter().map(|[first, second]| {
        let ends = if begins { [*first, *second] } else { [*second, *first] };
        ends.map(|end| SocketAddr::new(end, tunnel.port))
    });
    let (Some([local, remote]), Some(interface), false) =
        (outsides.next(), interface, relations.is_empty())
    else {
        return;
    };
    node.tunnels.push(TunnelEnd {
        tunnel: tunnel.name.clone(),
        kind: tunnel.kind,
        number: tunnel.number,
        engine: tunnel.engine.clone(),
        interface,
        peer: peer.clone(),
        macs,
        begins,
        local,
        remote,
        // Only an end that agrees on keys notices that nobody answers any more.
        spare: if tunnel.kind.is_encrypted() { outsides.collect() } else { Vec::new() },
        relations,
        within: within.into_iter().map(Into::into).collect(),
        beyond: beyond.into_iter().map(Into::into).collect(),
    });
}

fn inside_interface<'s>(
    stage: &'s Stage,
    tunnel: &Tunnel,
    gateway: &NodeName,
) -> Option<&'s StagedInterface> {
    stage.nodes[gateway].interfaces.iter().find(|i| i.segment == tunnel.inside)
}

fn inside_of(stage: &Stage, tunnel: &Tunnel, gateway: &NodeName) -> Vec<IpAddr> {
    let interface = inside_interface(stage, tunnel, gateway);
    interface.into_iter().flat_map(|i| &i.addresses).map(super::Address::ip).collect()
}

//! Routes and advertisements: derived from the topology, unless the file gives a route for the same destination.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
};

use super::{Stage, StagedAdvertisement, StagedInterface};
use crate::model::{
    family::Family,
    name::{NodeName, SegmentName},
    node::Route,
    segment::{Plane, SegmentKind},
    tunnel::Relation,
};

/// Fills in routes and advertisements of every node.
pub(super) fn derive(stage: &mut Stage) {
    for family in Family::ALL {
        let map = RouterMap::new(stage, family);
        let routes: Vec<_> = stage
            .nodes
            .keys()
            .map(|node| (node.clone(), map.routes(stage, node)))
            .filter(|(_, routes)| !routes.is_empty())
            .collect();
        for (node, routes) in routes {
            stage.nodes.get_mut(&node).expect("a key of the map").routes.extend(routes);
        }
    }
    advertise(stage);
}

/// Routers behind a gateway learn what its tunnels lead to, where nothing else leads there: IPv6 of an island goes inside a
/// tunnel over IPv4, and no segment outside joins the islands.
pub(super) fn lead_to_tunnels(stage: &mut Stage) {
    let relations = stage.ends().flat_map(|(_, end)| &end.relations);
    let coupled: BTreeSet<_> = relations.map(Relation::family).collect();
    for family in coupled {
        let map = RouterMap::new(stage, family);
        let routers = stage.nodes.iter().filter(|(_, node)| node.forwarding.has(family));
        let routes: Vec<_> =
            routers.map(|(name, _)| (name.clone(), map.to_tunnels(stage, name))).collect();
        for (name, routes) in routes {
            stage.nodes.get_mut(&name).expect("a key of the map").routes.extend(routes);
        }
    }
}

/// The forwarding nodes of a family and the segments that they join, in the data plane.
struct RouterMap {
    family: Family,
    /// For each segment with at least one router: the routers on it and their addresses there.
    on_segment: BTreeMap<SegmentName, BTreeMap<NodeName, IpAddr>>,
    /// For each segment, the distance in routers to every other segment.
    distance: BTreeMap<SegmentName, BTreeMap<SegmentName, usize>>,
}

impl RouterMap {
    fn new(stage: &Stage, family: Family) -> Self {
        let mut on_segment = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (name, node) in &stage.nodes {
            if !node.forwarding.has(family) {
                continue;
            }
            for interface in stage.interfaces(name, Plane::Data) {
                // What goes through a tunnel is what it couples, and nothing else.
                if stage.testbed.segments[&interface.segment].kind == SegmentKind::Tunnel {
                    continue;
                }
                if let Some(address) = first_address(interface, family) {
                    let routers = on_segment.entry(interface.segment.clone()).or_default();
                    routers.insert(name.clone(), address);
                }
            }
        }
        let mut map = Self { family, on_segment, distance: BTreeMap::new() };
        map.distance = map.on_segment.keys().map(|s| (s.clone(), map.distances_from(s))).collect();
        map
    }

    fn distances_from(&self, start: &SegmentName) -> BTreeMap<SegmentName, usize> {
        let mut distance = BTreeMap::from([(start.clone(), 0)]);
        let mut queue = VecDeque::from([start.clone()]);
        let mut used = BTreeSet::new();
        while let Some(segment) = queue.pop_front() {
            let next = distance[&segment] + 1;
            for router in self.on_segment[&segment].keys() {
                if !used.insert(router.clone()) {
                    continue;
                }
                for other in self.segments_of(router) {
                    if !distance.contains_key(other) {
                        distance.insert(other.clone(), next);
                        queue.push_back(other.clone());
                    }
                }
            }
        }
        distance
    }

    fn segments_of<'a>(&'a self, router: &'a NodeName) -> impl Iterator<Item = &'a SegmentName> {
        let joins = move |(_, routers): &(_, &BTreeMap<NodeName, _>)| routers.contains_key(router);
        self.on_segment.iter().filter(joins).map(|(segment, _)| segment)
    }

    /// The routes of a node: the ones of the file, a route to every remote segment for a forwarding node, and one
    /// default route for any other node.
    fn routes(&self, stage: &Stage, name: &NodeName) -> Vec<Route> {
        let of_family = |route: &Route| Family::of(route.via) == self.family;
        let given = stage.testbed.nodes[name].routes.iter().copied().filter(of_family);
        let mut routes: Vec<_> = given.filter(|r| is_on_link(stage, name, r.via)).collect();
        let derived = if stage.nodes[name].forwarding.has(self.family) {
            self.to_every_segment(stage, name)
        } else {
            self.default_route(stage, name).into_iter().collect()
        };
        for route in derived {
            if !routes.iter().any(|given| given.to == route.to) {
                routes.push(route);
            }
        }
        routes
    }

    fn to_every_segment(&self, stage: &Stage, name: &NodeName) -> Vec<Route> {
        let own: BTreeSet<_> = self.segments_of(name).cloned().collect();
        self.on_segment
            .keys()
            .filter(|target| !own.contains(*target))
            .filter_map(|target| {
                let to = stage.testbed.segments[target].prefix(self.family)?;
                Some(Route { to: to.trunc(), via: self.next_hop(&own, name, target)? })
            })
            .collect()
    }

    /// Routes to what tunnels of others couple and this node does not reach otherwise.
    fn to_tunnels(&self, stage: &Stage, name: &NodeName) -> Vec<Route> {
        let node = &stage.nodes[name];
        let own: BTreeSet<_> = self.segments_of(name).cloned().collect();
        let on_link = node.interfaces.iter().flat_map(|i| &i.addresses).map(|a| a.net);
        let mut known: Vec<_> = on_link.chain(node.routes.iter().map(|route| route.to)).collect();
        // What its own tunnels couple never goes another way, also while they are not there.
        let couples = stage.testbed.tunnels.values().flat_map(|tunnel| tunnel.seen_from(name));
        known.extend(couples.map(|relation| relation.there));
        let mut found = Vec::new();
        for (gateway, end) in stage.ends().filter(|(gateway, _)| *gateway != name) {
            let coupled = end.relations.iter().map(|relation| relation.there);
            for to in coupled.filter(|to| Family::of_net(*to) == self.family) {
                if known.iter().any(|net| net.contains(&to)) {
                    continue;
                }
                if let Some(via) = self.towards(&own, name, gateway) {
                    known.push(to);
                    found.push(Route { to, via });
                }
            }
        }
        found
    }

    /// The next hop of a node towards another router.
    fn towards(&self, own: &BTreeSet<SegmentName>, me: &NodeName, to: &NodeName) -> Option<IpAddr> {
        let direct = own.iter().find_map(|segment| self.on_segment[segment].get(to)).copied();
        direct.or_else(|| self.segments_of(to).find_map(|s| self.next_hop(own, me, s)))
    }

    fn next_hop(
        &self,
        own: &BTreeSet<SegmentName>,
        me: &NodeName,
        target: &SegmentName,
    ) -> Option<IpAddr> {
        own.iter()
            .flat_map(|segment| &self.on_segment[segment])
            .filter(|(router, _)| *router != me)
            .filter_map(|(router, address)| {
                let left = self.segments_of(router).filter_map(|s| self.distance[s].get(target));
                Some((*left.min()?, router, *address))
            })
            .min()
            .map(|(_, _, address)| address)
    }

    /// By the router that its Router Advertisements come from, a host that accepts them needs no static route.
    fn default_route(&self, stage: &Stage, name: &NodeName) -> Option<Route> {
        let interfaces =
            stage.interfaces(name, Plane::Data).filter(|i| i.families.has(self.family));
        let via = interfaces
            .filter(|i| self.family == Family::V4 || !i.accepts_advertisements)
            .find_map(|i| self.on_segment.get(&i.segment)?.values().next().copied())?;
        Some(Route { to: self.family.everything(), via })
    }
}

fn first_address(interface: &StagedInterface, family: Family) -> Option<IpAddr> {
    interface.addresses.iter().find(|a| a.family() == family).map(super::Address::ip)
}

/// Whether a next hop is on a live link of the node.
fn is_on_link(stage: &Stage, name: &NodeName, via: IpAddr) -> bool {
    let addresses = stage.nodes[name].interfaces.iter().flat_map(|i| &i.addresses);
    addresses.into_iter().any(|address| address.net.contains(&via))
}

fn advertise(stage: &mut Stage) {
    let testbed = std::sync::Arc::clone(&stage.testbed);
    let mut found = Vec::new();
    for segment in testbed.segments.values() {
        let Some(plan) = &segment.advertise else { continue };
        let Some(prefix) = segment.prefix(Family::V6) else { continue };
        let dns: Vec<IpAddr> = plan
            .dns
            .iter()
            .flat_map(|node| stage.addresses(node, segment.plane, Family::V6))
            .collect();
        for router in &plan.routers {
            found.push((
                router.clone(),
                segment.name.clone(),
                StagedAdvertisement {
                    plan: plan.clone(),
                    prefix: prefix.trunc(),
                    mtu: segment.mtu,
                    dns: dns.clone(),
                    pref64: Vec::new(),
                },
            ));
        }
    }
    for (router, segment, advertisement) in found {
        let node = stage.nodes.get_mut(&router).expect("input resolved the name");
        let on = |i: &&mut StagedInterface| i.segment == segment && i.families.has(Family::V6);
        if let Some(interface) = node.interfaces.iter_mut().find(on) {
            interface.advertises = Some(advertisement);
        }
    }
}

//! Paths: where a packet would go by the plan, hop by hop.

use std::net::IpAddr;

use super::{Stage, StagedInterface};
use crate::model::{
    family::Family,
    impairment::Rate,
    name::{NodeName, SegmentName},
    node::Route,
    segment::{Plane, SegmentKind},
    tunnel::Carrier,
};

/// The way from a node to an address by the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Every node on the way, both ends included.
    pub nodes: Vec<NodeName>,
    /// Every segment on the way.
    pub segments: Vec<SegmentName>,
    /// The address that the first node would send from.
    pub source: IpAddr,
    /// The address that it goes to.
    pub destination: IpAddr,
    /// The smallest MTU on the way, in octets.
    pub mtu: u32,
    /// What carries it, where it goes through a tunnel.
    pub carried: Option<Box<Carriage>>,
}

/// What a tunnel sends outside for what goes inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carriage {
    /// The inside of the tunnel.
    pub inside: SegmentName,
    /// The way from gateway to gateway.
    pub way: Path,
    /// What the tunnel's own packets are known by.
    pub carrier: Carrier,
}

impl Path {
    /// The nodes that forward, without the ends.
    pub fn transit(&self) -> &[NodeName] {
        match self.nodes.as_slice() {
            [_, transit @ .., _] => transit,
            _ => &[],
        }
    }

    /// The family of the packets.
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }

    /// Every segment that the packets cross, those outside of a tunnel among them: a tunnel may be carried by another.
    pub fn crossed(&self) -> impl Iterator<Item = &SegmentName> {
        let ways = std::iter::successors(Some(self), |way| Some(&way.carried.as_deref()?.way));
        ways.flat_map(|way| &way.segments)
    }
}

/// Why there is no way by the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPath {
    /// No live node has the address in this phase.
    NobodyHasIt,
    /// This node has no route there.
    NoRouteAt(NodeName),
    /// This node would have to forward the family and does not.
    NotForwardedBy(NodeName),
    /// This gateway has a route into a tunnel that does not couple source and destination.
    NotCoupledBy(NodeName),
}

/// What a tunnel makes of a packet.
enum Through {
    /// It goes through none.
    Nothing,
    /// It is not coupled.
    Refused,
    /// It is carried on this way.
    Carrier(Option<Box<Carriage>>),
}

impl Stage {
    /// The way from a node to an address that some node has in this phase.
    pub fn path(&self, from: &NodeName, to: IpAddr) -> Result<Path, NoPath> {
        self.path_from(from, None, to)
    }

    /// The same with a source that is not the one of the first interface: an answer comes from the address that was asked.
    pub fn path_from(
        &self,
        from: &NodeName,
        source: Option<IpAddr>,
        to: IpAddr,
    ) -> Result<Path, NoPath> {
        const MOST_HOPS: usize = 64;
        let family = Family::of(to);
        let (owner, _) = self.owner(to).ok_or(NoPath::NobodyHasIt)?;
        let mut path = Path {
            nodes: vec![from.clone()],
            segments: Vec::new(),
            source: family.loopback(),
            destination: to,
            mtu: 65_535,
            carried: None,
        };
        let mut here = from.clone();
        while here != *owner {
            if path.nodes.len() > 1 && !self.nodes[&here].forwarding.has(family) {
                return Err(NoPath::NotForwardedBy(here));
            }
            let no_route = || NoPath::NoRouteAt(here.clone());
            let (interface, next) = self.next_hop(&here, to).ok_or_else(no_route)?;
            if path.segments.last().is_some_and(|came| !self.in_data([came, &interface.segment])) {
                return Err(NoPath::NotForwardedBy(here));
            }
            if path.nodes.len() == 1 {
                let usual = || source_on(interface, family);
                path.source = source.or_else(usual).ok_or_else(no_route)?;
            }
            match self.through_tunnel(&here, interface, path.source, to) {
                Through::Nothing => {}
                Through::Refused => return Err(NoPath::NotCoupledBy(here)),
                Through::Carrier(carrier) => path.carried = carrier,
            }
            path.mtu = path.mtu.min(interface.mtu);
            path.segments.push(interface.segment.clone());
            let (next, _) = self.owner(next).ok_or_else(no_route)?;
            path.nodes.push(next.clone());
            if path.nodes.len() > MOST_HOPS {
                return Err(no_route());
            }
            here = next.clone();
        }
        if path.nodes.len() == 1 {
            path.source = to;
        }
        Ok(path)
    }

    /// The rate of the slowest link that a way crosses; `None` where none is planned to be slow.
    pub fn slowest(&self, way: &Path) -> Option<Rate> {
        way.crossed().filter_map(|link| self.testbed.segments[link].impairment.rate).min()
    }

    /// Whether both segments are of the data plane: nothing is forwarded from, to or within the management plane.
    fn in_data(&self, segments: [&SegmentName; 2]) -> bool {
        segments.iter().all(|segment| self.testbed.segments[*segment].plane == Plane::Data)
    }

    /// What a tunnel makes of a packet that would leave by an interface.
    fn through_tunnel(
        &self,
        node: &NodeName,
        interface: &StagedInterface,
        source: IpAddr,
        to: IpAddr,
    ) -> Through {
        if self.testbed.segments[&interface.segment].kind != SegmentKind::Tunnel {
            return Through::Nothing;
        }
        let mut ends = self.nodes[node].tunnels.iter();
        match ends.find(|end| end.interface == interface.name && end.couples(source, to)) {
            Some(end) => Through::Carrier(self.path(node, end.remote.ip()).ok().map(|way| {
                let (inside, carrier) = (interface.segment.clone(), end.carrier());
                Box::new(Carriage { inside, way, carrier })
            })),
            None => Through::Refused,
        }
    }

    /// The interface and the address of the next hop (the destination itself where it is on-link).
    fn next_hop(&self, node: &NodeName, to: IpAddr) -> Option<(&StagedInterface, IpAddr)> {
        let staged = &self.nodes[node];
        let on_link = |i: &&StagedInterface| i.addresses.iter().any(|a| a.net.contains(&to));
        if let Some(interface) = staged.interfaces.iter().find(on_link) {
            return Some((interface, to));
        }
        let covers = |route: &&Route| route.to.contains(&to);
        let best = staged.routes.iter().filter(covers).max_by_key(|route| route.to.prefix_len());
        let via = best.map(|route| route.via).or_else(|| self.announced_router(node, to))?;
        let towards = |i: &&StagedInterface| i.addresses.iter().any(|a| a.net.contains(&via));
        Some((staged.interfaces.iter().find(towards)?, via))
    }

    /// The default router that a node learns from Router Advertisements, by its address on the segment.
    fn announced_router(&self, node: &NodeName, to: IpAddr) -> Option<IpAddr> {
        if Family::of(to) != Family::V6 {
            return None;
        }
        let accepting = self.nodes[node].interfaces.iter().filter(|i| i.accepts_advertisements);
        accepting.into_iter().find_map(|interface| {
            let plan = self.testbed.segments[&interface.segment].advertise.as_ref()?;
            let router = plan.routers.first().filter(|_| plan.lifetime_s > 0)?;
            let on = |i: &&StagedInterface| i.segment == interface.segment;
            source_on(self.nodes[router].interfaces.iter().find(on)?, Family::V6)
        })
    }
}

fn source_on(interface: &StagedInterface, family: Family) -> Option<IpAddr> {
    interface.addresses.iter().find(|a| a.family() == family).map(super::Address::ip)
}

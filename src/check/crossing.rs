//! Crossings: ways through a filtering node, from one of its sides to another. What policy checks choose their samples
//! from.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    model::{
        family::Family,
        flow::Traffic,
        name::{NodeName, SegmentName},
        segment::Plane,
        service::{Port, Transport},
    },
    stage::{Path, Stage},
};

/// How many nodes stand for a segment. Rules of filters are written for segments and nodes with services, and two nodes
/// of a segment differ only where a service makes them differ.
const FOR_A_SEGMENT: usize = 4;

/// A way through a filtering node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The filtering node.
    pub by: NodeName,
    /// Where it stands on the way: `path.nodes[at]`.
    pub at: usize,
    /// The way.
    pub path: Path,
}

/// From which of its segments to which a filtering node is crossed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side {
    /// The filtering node.
    pub by: NodeName,
    /// Where packets come in.
    pub before: SegmentName,
    /// Where they leave.
    pub after: SegmentName,
}

/// `firewall: lan to dmz`.
impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} to {}", self.by, self.before, self.after)
    }
}

impl Crossing {
    /// Who sends.
    pub fn from(&self) -> &NodeName {
        self.path.nodes.first().expect("a path has ends")
    }

    /// Who is reached.
    pub fn to(&self) -> &NodeName {
        self.path.nodes.last().expect("a path has ends")
    }

    /// The link on which packets come to the filtering node.
    pub fn before(&self) -> &SegmentName {
        &self.path.segments[self.at - 1]
    }

    /// The link on which they leave it.
    pub fn after(&self) -> &SegmentName {
        &self.path.segments[self.at]
    }

    /// Whether packets leave by another link than they come in by: on one and the same, no tap can tell the two apart.
    pub fn has_two_sides(&self) -> bool {
        self.before() != self.after()
    }

    /// Whether no other filtering node comes before this one: only then what it is to stop comes to it at all.
    pub fn is_first(&self, stage: &Stage) -> bool {
        !self.path.nodes[1..self.at].iter().any(|name| stage.testbed.nodes[name].role.filters())
    }

    /// Whether a filtering node on the way has to stop the traffic: neither does a flow name it, nor do rules for somebody
    /// else cover it.
    pub fn is_closed(&self, stage: &Stage, traffic: &Traffic) -> bool {
        let Path { source, destination, .. } = self.path;
        !stage.is_allowed(self.from(), self.to(), traffic)
            && !stage.is_covered(source, destination, traffic)
    }

    /// A port that looks random and is the same in every run: from the names at both ends. No service has it, and it lies
    /// below the ports that nodes speak from by default (from 32768 on Linux, from 49152 by RFC 6335).
    pub fn unused_port(&self, stage: &Stage, transport: Transport) -> Port {
        let hash = fnv(&format!("{} {} {transport}", self.from(), self.to()));
        let services = stage.testbed.nodes.values().flat_map(|node| &node.services);
        let used: BTreeSet<_> = services.map(|service| service.port).collect();
        let number = |n: u64| 16_384 + u16::try_from(n % 16_000).expect("below 16000");
        let mut all = (hash..=hash.saturating_add(16_000)).map(number);
        let number = all.find(|port| !used.contains(port)).expect("some port is free");
        Port { transport, number }
    }

    /// The same side crossed from next door: from the node just before, whose packets no other filter can stop.
    fn next_door(&self, stage: &Stage) -> Option<Self> {
        let path = stage.path(&self.path.nodes[self.at - 1], self.path.destination).ok()?;
        let crossing = of_path(stage, &path).into_iter().next()?;
        (crossing.at == 1 && crossing.side() == self.side()).then_some(crossing)
    }

    /// From where to where it crosses.
    pub fn side(&self) -> Side {
        Side { by: self.by.clone(), before: self.before().clone(), after: self.after().clone() }
    }
}

/// The hash FNV-1a of 64 bits: short, and the same everywhere.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The filtering nodes of a path, as crossings.
pub fn of_path(stage: &Stage, path: &Path) -> Vec<Crossing> {
    let filters = |name: &NodeName| stage.testbed.nodes[name].role.filters();
    (1..path.nodes.len().saturating_sub(1))
        .filter(|at| filters(&path.nodes[*at]))
        .map(|at| Crossing { by: path.nodes[at].clone(), at, path: path.clone() })
        .collect()
}

/// Every side of every filtering node, with some ways across it, in a fixed order.
pub fn by_side(stage: &Stage, family: Family) -> BTreeMap<Side, Vec<Crossing>> {
    let ends = representatives(stage, family);
    let mut sides = BTreeMap::<_, Vec<_>>::new();
    for (from, _) in &ends {
        for (_, to) in &ends {
            let Ok(path) = stage.path(from, *to) else { continue };
            for crossing in of_path(stage, &path).into_iter().filter(Crossing::has_two_sides) {
                sides.entry(crossing.side()).or_default().push(crossing);
            }
        }
    }
    sides
}

/// Every side of every filtering node, with the ways across it on which this node is the first filter: from farther away
/// first, and from next door. A side without such a way is there without any.
pub fn first_by_side(stage: &Stage, family: Family) -> BTreeMap<Side, Vec<Crossing>> {
    let mut sides = by_side(stage, family);
    for ways in sides.values_mut() {
        let near: Vec<_> = ways.iter().filter_map(|way| way.next_door(stage)).collect();
        ways.retain(|way| way.is_first(stage));
        for way in near {
            if !ways.contains(&way) {
                ways.push(way);
            }
        }
    }
    sides
}

/// One way between hosts for every sequence of links that the plan has between them, routers on the way, in both
/// directions; only where pings are allowed.
pub fn ways(stage: &Stage, family: Family) -> Vec<Path> {
    let ends = representatives(stage, family);
    let mut found = BTreeMap::new();
    for (from, _) in &ends {
        for (_, to) in &ends {
            let Ok(path) = stage.path(from, *to) else { continue };
            let end = path.nodes.last().expect("a path has ends");
            let comes_back = stage.path_from(end, Some(*to), path.source).is_ok();
            if comes_back
                && !path.transit().is_empty()
                && stage.is_allowed(from, end, &Traffic::Ping)
            {
                found.entry(path.segments.clone()).or_insert(path);
            }
        }
    }
    found.into_values().collect()
}

/// Nodes and addresses that stand for the segments of the data plane: hosts first, routers where there is no host.
fn representatives(stage: &Stage, family: Family) -> Vec<(NodeName, std::net::IpAddr)> {
    let data = stage.testbed.segments.values().filter(|segment| segment.plane == Plane::Data);
    let mut found = Vec::new();
    for segment in data {
        let mut on: Vec<_> = stage
            .nodes
            .iter()
            .filter_map(|(name, node)| {
                let interface = node.interfaces.iter().find(|i| i.segment == segment.name)?;
                let address = interface.addresses.iter().find(|a| a.family() == family)?;
                let forwards = stage.testbed.nodes[name].role.forwards();
                Some((forwards, name.clone(), address.ip()))
            })
            .collect();
        on.sort();
        let hosts = on.iter().filter(|(forwards, ..)| !forwards).count();
        on.truncate(FOR_A_SEGMENT.min(hosts.max(1)));
        found.extend(on.into_iter().map(|(_, name, address)| (name, address)));
    }
    found
}

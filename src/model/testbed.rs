//! The testbed: everything that the file means, with every reference found and every address checked.

use std::{collections::BTreeMap, net::IpAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    flow::{End, Flow},
    management::Claim,
    name::{DomainName, NodeName, SegmentName, SiteName, TranslationName, TunnelName},
    node::{Interface, Node},
    record::Zone,
    segment::{Plane, Segment, Site},
    translation::Translation,
    tunnel::Tunnel,
};

/// A testbed as it is meant. Only `input` makes one, and only from a file without errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Testbed {
    /// What people call it.
    pub title: String,
    /// The document that it follows.
    pub source: Option<String>,
    /// The sites by name.
    pub sites: BTreeMap<SiteName, Site>,
    /// The segments by name.
    pub segments: BTreeMap<SegmentName, Segment>,
    /// The nodes by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// The zones in the order of the file.
    pub zones: Vec<Zone>,
    /// The flows in the order of the file.
    pub flows: Vec<Flow>,
    /// The tunnels by name.
    pub tunnels: BTreeMap<TunnelName, Tunnel>,
    /// The translations by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub translations: BTreeMap<TranslationName, Translation>,
    /// What documents claim of management software, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
}

impl Testbed {
    /// The nodes and their interfaces on a segment.
    pub fn on_segment<'a>(
        &'a self,
        segment: &'a SegmentName,
    ) -> impl Iterator<Item = (&'a Node, &'a Interface)> {
        self.nodes.values().flat_map(move |node| {
            let interfaces = node.interfaces.iter().filter(move |i| i.segment == *segment);
            interfaces.map(move |interface| (node, interface))
        })
    }

    /// The segments that somebody is on: on the others, nothing can be sent and nothing proved.
    pub fn links(&self) -> impl Iterator<Item = &Segment> {
        let used = |segment: &&Segment| self.on_segment(&segment.name).next().is_some();
        self.segments.values().filter(used)
    }

    /// The tunnel of which a segment is the inside.
    pub fn tunnel_inside(&self, inside: &SegmentName) -> Option<&Tunnel> {
        self.tunnels.values().find(|tunnel| tunnel.inside == *inside)
    }

    /// The zone that a name is in: the deepest.
    pub fn zone_of(&self, name: &DomainName) -> Option<&Zone> {
        let zones = self.zones.iter().filter(|zone| name.is_within(&zone.origin));
        zones.max_by_key(|zone| zone.origin.as_str().len())
    }

    /// The zone that delegates another one.
    pub fn zone_above(&self, below: &DomainName) -> Option<&Zone> {
        let above = |zone: &&Zone| zone.origin != *below && below.is_within(&zone.origin);
        self.zones.iter().filter(above).max_by_key(|zone| zone.origin.as_str().len())
    }

    /// The plane of an interface.
    pub fn plane(&self, interface: &Interface) -> Plane {
        self.segments[&interface.segment].plane
    }

    /// The node and interface that are planned to have an address.
    pub fn owner(&self, address: IpAddr) -> Option<(&Node, &Interface)> {
        self.nodes.values().find_map(|node| {
            let has = |i: &&Interface| i.addresses.iter().any(|a| a.ip() == address);
            node.interfaces.iter().find(has).map(|interface| (node, interface))
        })
    }

    /// The nodes that an end of a flow stands for: of the data plane, unless a node is named. A segment and a site stand
    /// for their hosts: a router there has addresses elsewhere too, and filters know segments by their prefixes.
    pub fn members(&self, end: &End) -> Vec<&Node> {
        match end {
            End::Node(name) => self.nodes.get(name).into_iter().collect(),
            _ => self.nodes.values().filter(|node| self.is_member(end, node)).collect(),
        }
    }

    /// Whether an end of a flow stands for a node.
    pub fn is_member(&self, end: &End, node: &Node) -> bool {
        let is_host = !node.role.forwards();
        let in_data = || node.interfaces.iter().any(|i| self.plane(i) == Plane::Data);
        match end {
            End::Node(name) => node.name == *name,
            End::Segment(segment) => is_host && node.interface_on(segment).is_some(),
            End::Site(site) => is_host && node.site.as_ref() == Some(site) && in_data(),
            End::Everywhere => in_data(),
        }
    }
}

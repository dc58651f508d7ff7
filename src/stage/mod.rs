//! The stage: what should be live in a phase. A pure function of testbed and phase; everything that is planned, applied,
//! verified and expected is read from it.

mod routes;
mod tunnels;
mod translations;
mod path;
pub mod rules;
pub mod zones;
mod logs;
mod exchange;
mod dhcp;
mod fronts;
mod watches;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    model::{
        dhcp::DhcpDuty,
        family::{Families, Family},
        front::Fronts,
        function::Function,
        mac::Mac,
        monitor::Watch,
        name::{DomainName, InterfaceName, NodeName, SegmentName, ServiceName},
        node::{Address, Interface, Node, Origin, Route},
        phase::Phase,
        policy::Filter,
        record::Zone,
        segment::{Advertisement, Plane, Segment},
        service::{Service, ServiceKind},
        testbed::Testbed,
        translation::{Pref64, Translator},
        tunnel::TunnelEnd,
    },
    wire::stable::Secret,
};

pub use exchange::{Exchange, Expect};
pub use path::{Carriage, NoPath, Path};
pub use translations::Translated;

/// What should be live in a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The phase.
    pub phase: Phase,
    /// The testbed that it is a stage of.
    pub testbed: Arc<Testbed>,
    /// Every node, also one with nothing live.
    pub nodes: BTreeMap<NodeName, StagedNode>,
    /// Who has each live address, and on which of its interfaces: every hop of every path is looked up here.
    owners: BTreeMap<IpAddr, (NodeName, usize)>,
}

/// A node in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedNode {
    /// Its interfaces in the order of the file.
    pub interfaces: Vec<StagedInterface>,
    /// Its static routes.
    pub routes: Vec<Route>,
    /// The families that it forwards.
    pub forwarding: Families,
    /// What it filters.
    pub filter: Filter,
    /// Its listening sockets.
    pub listeners: Vec<Listener>,
    /// The zones that it is authoritative for, and by which service.
    pub zones: Option<(ServiceName, Vec<Zone>)>,
    /// The servers that its resolver service asks, zone by zone, and that service.
    pub delegations: Option<(ServiceName, Vec<Delegation>)>,
    /// The resolvers that it asks itself, in this order.
    pub resolvers: Vec<IpAddr>,
    /// The syslog sinks that log-ins at its web services are sent on to: the first of them, IPv6 before IPv4.
    pub log_sinks: Vec<SocketAddr>,
    /// Whom the status pages of its web services ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watches: Vec<Watch>,
    /// The tunnels that it ends.
    pub tunnels: Vec<TunnelEnd>,
    /// What its translators are told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub translators: Vec<Translator>,
    /// The prefix with which its resolver service synthesizes addresses (DNS64), and that service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synthesizes: Option<(ServiceName, Pref64)>,
    /// What it does for DHCPv6.
    #[serde(default)]
    pub dhcp: Vec<DhcpDuty>,
    /// What its services have to do with fronts.
    #[serde(default, skip_serializing_if = "Fronts::is_empty")]
    pub fronts: Fronts,
}

/// A zone and the servers to ask for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegation {
    /// The origin of the zone.
    pub zone: DomainName,
    /// Its servers, IPv6 first.
    pub servers: Vec<IpAddr>,
}

impl Delegation {
    /// Those that a resolver has to be told because no zone above them refers to them.
    pub fn told(all: &[Self]) -> impl Iterator<Item = &Self> {
        all.iter().filter(|one| {
            !all.iter().any(|above| above.zone != one.zone && one.zone.is_within(&above.zone))
        })
    }
}

/// An interface in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedInterface {
    /// Its name.
    pub name: InterfaceName,
    /// Its segment.
    pub segment: SegmentName,
    /// Its link-layer address.
    pub mac: Mac,
    /// The MTU of its link.
    pub mtu: u32,
    /// The families that are live on it.
    pub families: Families,
    /// The addresses that are live on it, SLAAC ones included, link-local ones not.
    pub addresses: Vec<Address>,
    /// Whether it takes addresses and default routes from Router Advertisements.
    pub accepts_advertisements: bool,
    /// The secret from which it forms addresses (RFC 7217), where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<std::net::Ipv6Addr>,
    /// Whether it gets its IPv6 address from a server.
    #[serde(default)]
    pub leases: bool,
    /// What it announces as a router.
    pub advertises: Option<StagedAdvertisement>,
}

/// What a router announces on an interface in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedAdvertisement {
    /// The flags and lifetimes.
    pub plan: Advertisement,
    /// The prefix.
    pub prefix: IpNet,
    /// The MTU.
    pub mtu: u32,
    /// The recursive DNS servers.
    pub dns: Vec<IpAddr>,
    /// The translation prefixes (RFC 8781).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pref64: Vec<Pref64>,
}

/// Listening sockets of a service: one for each transport of its kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    /// The service.
    pub service: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Unspecified, or the address of the one interface that the service is offered on.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl Stage {
    /// Derives what should be live.
    pub fn new(testbed: &Arc<Testbed>, phase: Phase) -> Self {
        let nodes: BTreeMap<_, _> = testbed
            .nodes
            .values()
            .map(|node| (node.name.clone(), StagedNode::bare(testbed, node, phase)))
            .collect();
        let owners = owners(&nodes);
        let mut stage = Self { phase, testbed: Arc::clone(testbed), nodes, owners };
        routes::derive(&mut stage);
        tunnels::derive(&mut stage);
        translations::derive(&mut stage);
        dhcp::derive(&mut stage);
        fronts::derive(&mut stage);
        zones::derive(&mut stage);
        logs::derive(&mut stage);
        watches::derive(&mut stage);
        rules::derive(&mut stage);
        stage
    }

    /// The hosts that are told by a node on its links what they need there.
    pub fn told_by(&self, node: &NodeName, function: Function) -> BTreeSet<NodeName> {
        let served: BTreeSet<_> = self.served_by(node, function).map(|it| &it.name).collect();
        let is_told = |interface: &StagedInterface| {
            interface.accepts_advertisements && served.contains(&interface.segment)
        };
        let told = self.nodes.iter().filter(|(_, host)| host.interfaces.iter().any(is_told));
        told.map(|(host, _)| host.clone()).collect()
    }

    /// Those without whom a node does nothing for its links, itself among them: of DHCPv6 a server and its relays.
    pub fn at_work_with(&self, node: &NodeName, function: Function) -> BTreeSet<NodeName> {
        let plans = self.served_by(node, function).filter_map(|segment| segment.dhcp.as_ref());
        let plans = plans.filter(|_| function == Function::Dhcpv6);
        let all = plans.flat_map(|plan| plan.relay.iter().chain([&plan.server]));
        all.chain([node]).cloned().collect()
    }

    fn served_by(&self, node: &NodeName, function: Function) -> impl Iterator<Item = &Segment> {
        let segments = self.testbed.segments.values();
        segments.filter(move |segment| function.is_of(node, [*segment]))
    }

    /// The families live on some interface of a node in a plane.
    pub fn families(&self, node: &NodeName, plane: Plane) -> Families {
        self.interfaces(node, plane).fold(Families::NONE, |all, i| all.or(i.families))
    }

    /// The interfaces of a node in a plane.
    pub fn interfaces(
        &self,
        node: &NodeName,
        plane: Plane,
    ) -> impl Iterator<Item = &StagedInterface> {
        self.nodes[node]
            .interfaces
            .iter()
            .filter(move |i| self.testbed.segments[&i.segment].plane == plane)
    }

    /// The live addresses of a node in a plane and family.
    pub fn addresses(&self, node: &NodeName, plane: Plane, family: Family) -> Vec<IpAddr> {
        self.interfaces(node, plane)
            .flat_map(|interface| &interface.addresses)
            .filter(|address| address.family() == family)
            .map(Address::ip)
            .collect()
    }

    /// The live addresses under which a service of a node is to be reached in a family, whether or not it listens: those
    /// of its one interface, or those of the data plane, or, on a node without data plane, those of management.
    pub fn service_addresses(&self, node: &Node, service: &Service, family: Family) -> Vec<IpAddr> {
        let planned = |address: &&Address| address.family() == family;
        match &service.on {
            Some(name) => self.nodes[&node.name]
                .interfaces
                .iter()
                .filter(|interface| interface.name == *name)
                .flat_map(|interface| interface.addresses.iter().filter(planned).map(Address::ip))
                .collect(),
            None if self.interfaces(&node.name, Plane::Data).next().is_some() => {
                self.addresses(&node.name, Plane::Data, family)
            }
            None => self.addresses(&node.name, Plane::Management, family),
        }
    }

    /// Whether a service is to listen in a family: the file says so and the node has an address for it; a front, as long
    /// as some site behind it lives.
    pub fn listens(&self, node: &Node, service: &Service, family: Family) -> bool {
        service.listen.in_phase(self.phase).has(family)
            && !self.service_addresses(node, service, family).is_empty()
            && (service.front.is_none() || self.sites_behind(node, service).next().is_some())
    }

    /// The node and interface that have an address live.
    pub fn owner(&self, address: IpAddr) -> Option<(&NodeName, &StagedInterface)> {
        let (name, at) = self.owners.get(&address)?;
        Some((name, self.nodes.get(name)?.interfaces.get(*at)?))
    }

    /// Every end of every tunnel, with its gateway.
    pub fn ends(&self) -> impl Iterator<Item = (&NodeName, &TunnelEnd)> {
        self.nodes.iter().flat_map(|(name, node)| node.tunnels.iter().map(move |end| (name, end)))
    }

    /// The families live on a segment in this phase.
    pub fn segment_families(&self, segment: &SegmentName) -> Families {
        *self.testbed.segments[segment].families.in_phase(self.phase)
    }
}

/// The secret of an interface that forms its address from one.
fn secret(node: &NodeName, interface: &Interface) -> Option<std::net::Ipv6Addr> {
    let forms = interface.addresses.iter().any(|a| a.origin == Origin::Stable);
    forms.then(|| Secret::of(node, &interface.name).0)
}

impl StagedInterface {
    /// Its link-local address.
    pub fn link_local(&self) -> std::net::Ipv6Addr {
        self.secret.map_or_else(|| self.mac.link_local(), |secret| Secret(secret).link_local())
    }
}

fn owners(nodes: &BTreeMap<NodeName, StagedNode>) -> BTreeMap<IpAddr, (NodeName, usize)> {
    let mut owners = BTreeMap::new();
    for (name, node) in nodes {
        for (at, interface) in node.interfaces.iter().enumerate() {
            for address in &interface.addresses {
                owners.entry(address.ip()).or_insert_with(|| (name.clone(), at));
            }
        }
    }
    owners
}

impl StagedNode {
    /// Interfaces, forwarding and listeners: what needs no look at other nodes.
    fn bare(testbed: &Testbed, node: &Node, phase: Phase) -> Self {
        let interfaces: Vec<_> = node
            .interfaces
            .iter()
            .map(|interface| {
                let segment = &testbed.segments[&interface.segment];
                let families = *interface.families.in_phase(phase);
                let live = |address: &&Address| families.has(address.family());
                StagedInterface {
                    name: interface.name.clone(),
                    segment: interface.segment.clone(),
                    mac: interface.mac,
                    mtu: segment.mtu,
                    families,
                    addresses: interface.addresses.iter().filter(live).copied().collect(),
                    accepts_advertisements: families.has(Family::V6)
                        && interface.addresses.iter().any(|a| a.origin != Origin::Static),
                    secret: secret(&node.name, interface),
                    leases: families.has(Family::V6)
                        && interface.addresses.iter().any(|a| a.origin == Origin::Dhcp),
                    advertises: None,
                }
            })
            .collect();
        let live = interfaces.iter().fold(Families::NONE, |all, i| all.or(i.families));
        let mut bare = Self {
            forwarding: if node.role.forwards() { live } else { Families::NONE },
            interfaces,
            routes: Vec::new(),
            filter: Filter::default(),
            listeners: Vec::new(),
            zones: None,
            delegations: None,
            resolvers: Vec::new(),
            log_sinks: Vec::new(),
            watches: Vec::new(),
            tunnels: Vec::new(),
            translators: Vec::new(),
            synthesizes: None,
            dhcp: Vec::new(),
            fronts: Fronts::default(),
        };
        bare.listeners =
            node.services.iter().flat_map(|service| bare.listeners_of(service, phase)).collect();
        bare
    }

    fn listeners_of(&self, service: &Service, phase: Phase) -> Vec<Listener> {
        let live = self.interfaces.iter().fold(Families::NONE, |all, i| all.or(i.families));
        let families = service.listen.in_phase(phase).and(live);
        let listener = |address| Listener {
            service: service.name.clone(),
            kind: service.kind,
            address,
            port: service.port,
        };
        let Some(name) = &service.on else {
            return families.iter().map(|family| listener(family.unspecified())).collect();
        };
        self.interfaces
            .iter()
            .filter(|interface| interface.name == *name)
            .flat_map(|interface| &interface.addresses)
            .filter(|address| families.has(address.family()))
            .map(|address| listener(address.ip()))
            .collect()
    }

    /// Its interface of this name.
    pub fn interface(&self, name: &str) -> Option<&StagedInterface> {
        self.interfaces.iter().find(|interface| interface.name.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_something_by_whoever_does_it_on_their_links() {
        let text = include_str!("../../tests/faults/testbeds/leased.toml");
        let testbed = Arc::new(crate::input::examine("leased.toml", text).0.unwrap());
        let joined = |all: BTreeSet<NodeName>| {
            all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let told = |phase, name: &str, function| {
            joined(Stage::new(&testbed, phase).told_by(&name.parse().unwrap(), function))
        };
        let [routers, servers] = Function::ALL;
        assert_eq!(told(Phase::DualStack, "fw", routers), "desk guest");
        assert_eq!(told(Phase::DualStack, "edge", routers), "far-desk");
        assert_eq!(told(Phase::DualStack, "web", routers), "");
        assert_eq!(told(Phase::DualStack, "names", servers), "desk far-desk");
        assert_eq!(told(Phase::DualStack, "edge", servers), "far-desk");
        assert_eq!(told(Phase::DualStack, "web", servers), "guest");
        assert_eq!(told(Phase::Ipv4Only, "fw", routers), "");

        let stage = Stage::new(&testbed, Phase::DualStack);
        let with =
            |name: &str, function| joined(stage.at_work_with(&name.parse().unwrap(), function));
        assert_eq!(with("fw", routers), "fw");
        assert_eq!(with("names", servers), "edge names");
        assert_eq!(with("edge", servers), "edge names");
        assert_eq!(with("web", servers), "web");
    }
}

//! Small testbeds made of model values, for tests and benches that need a lab and no file.

#![allow(dead_code, unreachable_pub, missing_docs)] // each test program uses a part of it

use std::{collections::BTreeMap, sync::Arc};

use ipnet::IpNet;
use sixwalk::{
    model::{
        family::{Families, Family},
        mac::Mac,
        node::{Address, Interface, Node, Origin, Role},
        phase::{PerPhase, Phase},
        segment::{Advertisement, Plane, Segment, SegmentKind},
        step::Change,
        testbed::Testbed,
    },
    stage::{Stage, StagedNode},
};

/// A testbed in the making. Both families are live from the partial phase on, IPv4 until the dual-stack phase.
#[derive(Debug)]
pub struct Draft(Testbed);

fn families() -> PerPhase<Families> {
    PerPhase::from_fn(|phase| match phase {
        Phase::Ipv4Only => Families::only(Family::V4),
        Phase::Partial | Phase::DualStack => Families::BOTH,
        Phase::Ipv6Only => Families::only(Family::V6),
    })
}

/// A name of any kind.
pub fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("tests use good names")
}

impl Draft {
    pub fn new() -> Self {
        Self(Testbed {
            title: "a draft".to_owned(),
            source: None,
            sites: BTreeMap::new(),
            segments: BTreeMap::new(),
            nodes: BTreeMap::new(),
            zones: Vec::new(),
            flows: Vec::new(),
            claims: Vec::new(),
            tunnels: BTreeMap::new(),
            translations: BTreeMap::new(),
        })
    }

    /// Adds a segment with one prefix of each family.
    pub fn segment(mut self, segment: &str, prefixes: [&str; 2]) -> Self {
        let segment = Segment {
            name: name(segment),
            site: None,
            kind: SegmentKind::Lan,
            plane: Plane::Data,
            prefixes: prefixes.map(|prefix| prefix.parse().expect("a prefix")).into(),
            mtu: 1500,
            advertise: None,
            dhcp: None,
            impairment: sixwalk::model::impairment::Impairment::default(),
            ra_guard: false,
            families: families(),
            stays_ipv4: None,
        };
        self.0.segments.insert(segment.name.clone(), segment);
        self
    }

    /// Lets a router announce the prefix of a segment.
    pub fn advertised_by(mut self, segment: &str, router: &str) -> Self {
        let segment = self.0.segments.get_mut(segment).expect("a segment of the draft");
        segment.advertise = Some(Advertisement {
            routers: vec![name(router)],
            on_link: true,
            autonomous: true,
            managed: false,
            other: false,
            lifetime_s: 1800,
            dns: Vec::new(),
        });
        self
    }

    /// Gives a segment another MTU.
    pub fn mtu(mut self, segment: &str, mtu: u32) -> Self {
        self.0.segments.get_mut(segment).expect("a segment of the draft").mtu = mtu;
        self
    }

    /// Adds a node with an interface `eth0`, `eth1` … on each segment, and the host number as its place in every prefix.
    pub fn node(mut self, node: &str, role: Role, host: u16, segments: &[&str]) -> Self {
        let number = u8::try_from(self.0.nodes.len() % 250).expect("below 250");
        let high = u8::try_from(self.0.nodes.len() / 250).expect("a small testbed");
        let interfaces = segments.iter().zip(0u8..).map(|(segment, index)| {
            let segment = &self.0.segments[*segment];
            Interface {
                name: name(&format!("eth{index}")),
                segment: segment.name.clone(),
                mac: Mac([2, 0x51, 0, high, number, index]),
                addresses: segment.prefixes.iter().map(|net| address(*net, host)).collect(),
                families: segment.families,
            }
        });
        let node = Node {
            name: name(node),
            title: node.to_owned(),
            site: None,
            role,
            interfaces: interfaces.collect(),
            services: Vec::new(),
            routes: Vec::new(),
            resolvers: Vec::new(),
            logs_to: None,
            time_from: None,
            users_from: None,
            engines: BTreeMap::default(),
        };
        self.0.nodes.insert(node.name.clone(), node);
        self
    }

    /// Lets the first interface of a node form its IPv6 address from Router Advertisements.
    pub fn by_slaac(mut self, node: &str) -> Self {
        let interface = &mut self.0.nodes.get_mut(node).expect("a node").interfaces[0];
        for address in &mut interface.addresses {
            if let IpNet::V6(net) = address.net {
                let formed = interface.mac.within(net.trunc().addr());
                address.net = IpNet::new(formed.into(), 64).expect("in range");
                address.origin = Origin::Slaac;
            }
        }
        self
    }

    pub fn done(self) -> Arc<Testbed> {
        Arc::new(self.0)
    }
}

fn address(net: IpNet, host: u16) -> Address {
    let ip = match net.trunc().addr() {
        std::net::IpAddr::V4(v4) => (u32::from(v4) + u32::from(host)).to_be_bytes().into(),
        std::net::IpAddr::V6(v6) => (u128::from(v6) + u128::from(host)).to_be_bytes().into(),
    };
    Address { net: IpNet::new(ip, net.prefix_len()).expect("in range"), origin: Origin::Static }
}

/// The same, with `alice` listening to the router of her LAN.
pub fn with_slaac() -> Arc<Testbed> {
    Draft(Arc::unwrap_or_clone(two_routers())).advertised_by("left", "ra").by_slaac("alice").done()
}

/// `alice` and `bob` on one LAN, a router, a transit network, a router, and `srv` on another LAN.
pub fn two_routers() -> Arc<Testbed> {
    Draft::new()
        .segment("left", ["10.1.0.0/24", "2001:db8:1::/64"])
        .segment("transit", ["10.9.0.0/24", "2001:db8:9::/64"])
        .segment("right", ["10.2.0.0/24", "2001:db8:2::/64"])
        .node("alice", Role::Workplace, 10, &["left"])
        .node("bob", Role::Workplace, 11, &["left"])
        .node("ra", Role::Router, 1, &["left", "transit"])
        .node("rb", Role::Router, 2, &["right", "transit"])
        .node("srv", Role::Server, 80, &["right"])
        .done()
}

/// A router and many leaves on one LAN.
pub fn leaves(count: u16) -> Arc<Testbed> {
    let lan = Draft::new().segment("lan", ["10.64.0.0/16", "2001:db8:64::/64"]);
    let hub = lan.node("hub", Role::Server, 1, &["lan"]);
    let leaf =
        |draft: Draft, n: u16| draft.node(&format!("leaf{n}"), Role::Workplace, n + 2, &["lan"]);
    (1..count).fold(hub, leaf).done()
}

/// The changes that bring a node from nothing to its stage, as far as the kernel's network goes.
pub fn go_live(node: &StagedNode) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut live = Families::NONE;
    for interface in &node.interfaces {
        live = live.or(interface.families);
        if interface.accepts_advertisements {
            let interface = interface.name.clone();
            changes.push(Change::AcceptAdvertisements { interface, on: true, form: true });
        }
        for family in interface.families.iter() {
            let interface = interface.name.to_string();
            changes.push(Change::Switch { interface, family, on: true });
        }
    }
    for family in live.iter() {
        changes.push(Change::Switch { interface: "lo".to_owned(), family, on: true });
    }
    for interface in &node.interfaces {
        for address in interface.addresses.iter().filter(|a| a.origin == Origin::Static) {
            changes
                .push(Change::AddAddress { interface: interface.name.clone(), net: address.net });
        }
    }
    changes.extend(node.routes.iter().map(|r| Change::AddRoute { to: r.to, via: r.via }));
    changes.extend(node.forwarding.iter().map(|family| Change::Forward { family, on: true }));
    for interface in &node.interfaces {
        changes.extend(interface.advertises.iter().cloned().map(|announced| Change::Advertise {
            interface: interface.name.clone(),
            plan: announced.plan,
            prefix: announced.prefix,
            mtu: announced.mtu,
            dns: announced.dns,
            pref64: announced.pref64,
        }));
    }
    changes
}

/// The changes that take a family off a node.
pub fn drop_family(node: &StagedNode, family: Family) -> Vec<Change> {
    let mut changes = Vec::new();
    if node.forwarding.has(family) {
        changes.push(Change::Forward { family, on: false });
    }
    for route in node.routes.iter().filter(|route| Family::of(route.via) == family) {
        changes.push(Change::RemoveRoute { to: route.to, via: route.via });
    }
    for interface in &node.interfaces {
        for address in interface.addresses.iter().filter(|a| a.family() == family) {
            if address.origin == Origin::Static {
                let interface = interface.name.clone();
                changes.push(Change::RemoveAddress { interface, net: address.net });
            }
        }
        if interface.families.has(family) {
            let interface = interface.name.to_string();
            changes.push(Change::Switch { interface, family, on: false });
        }
    }
    changes.push(Change::Switch { interface: "lo".to_owned(), family, on: false });
    changes
}

/// A stage of a testbed.
pub fn stage(testbed: &Arc<Testbed>, phase: Phase) -> Stage {
    Stage::new(testbed, phase)
}

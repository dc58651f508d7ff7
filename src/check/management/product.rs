//! A product: the software of a station together with a box, and what the testbed means for both.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::{
    check::reading,
    model::{
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope},
        management::{Draft, Integration, Item, ItemKind, Pair, Site},
        node::Node,
        segment::Plane,
        service::{Port, Service, ServiceKind, Transport},
        tunnel::{Relation, TunnelEnd},
    },
    stage::Stage,
};

/// How many routes are entered: enough of both families.
const MOST_ROUTES: usize = 12;

/// The software of a station together with a box that is configured by it.
#[derive(Clone, Copy)]
pub(in crate::check) struct Product<'s> {
    pub(super) stage: &'s Stage,
    /// Where the software runs, and where its operator sits.
    pub(in crate::check) station: &'s Node,
    /// The software.
    pub(in crate::check) manager: &'s Service,
    /// The box.
    pub(in crate::check) device: &'s Node,
    /// Its interface for configurations.
    pub(in crate::check) port: &'s Service,
    /// The family over which both are spoken to: IPv6 where both have it.
    pub(in crate::check) family: Family,
}

impl Product<'_> {
    /// `manager->gateway-a`.
    pub(in crate::check) fn subject(&self) -> String {
        format!("{}->{}", self.station.name, self.device.name)
    }

    /// A part of the software.
    pub(in crate::check) fn culprit(&self, part: impl Into<String>) -> Culprit {
        Culprit::node(&self.station.name, part)
    }

    /// What is touched by what the software does.
    pub(in crate::check) fn scope(&self) -> Scope {
        let port = Port { transport: Transport::Tcp, number: self.manager.port };
        Scope {
            to: Some(self.station.name.clone()),
            port: Some(port),
            packets: Some(Packets::Content),
            ..Scope::default()
        }
    }

    /// A complaint about a part of the software, known for sure, with the words of the place: where the software runs, and
    /// at which address and over which family it was spoken to.
    pub(in crate::check) fn complaint<const N: usize>(
        &self,
        stage: &Stage,
        case: &str,
        part: &str,
        args: [(&str, String); N],
    ) -> Complaint {
        let complaint = reading::complaint(stage, case, self.culprit(part), self.scope(), args);
        let place = [
            ("station", self.station.name.to_string()),
            ("family", self.family.to_string()),
            ("at", self.address().to_string()),
        ];
        let place = place.map(|(name, value)| (name.to_owned(), value));
        Complaint {
            confidence: Confidence::High,
            depth: Depth::Located,
            args: complaint.args.into_iter().chain(place).collect(),
            ..complaint
        }
    }

    /// The address at which the software is spoken to.
    pub(in crate::check) fn address(&self) -> IpAddr {
        self.socket().ip()
    }

    /// The address at which the box is spoken to.
    pub(in crate::check) fn device_address(&self) -> IpAddr {
        self.device_socket().ip()
    }

    pub(super) fn socket(&self) -> SocketAddr {
        self.at(self.station, self.manager, self.family)
    }

    pub(super) fn device_socket(&self) -> SocketAddr {
        self.at(self.device, self.port, self.family)
    }

    pub(super) fn at(&self, node: &Node, service: &Service, family: Family) -> SocketAddr {
        let addresses = self.stage.service_addresses(node, service, family);
        let address = addresses.first().copied().unwrap_or(family.unspecified());
        SocketAddr::new(address, service.port)
    }

    /// The planned management addresses of the box, live or not, the family that is spoken first.
    pub(in crate::check) fn planned_addresses(&self) -> Vec<IpAddr> {
        let segments = &self.stage.testbed.segments;
        let offered = self.device.interfaces.iter().filter(|interface| match &self.port.on {
            Some(name) => interface.name == *name,
            None => segments[&interface.segment].plane == Plane::Management,
        });
        let mut addresses: Vec<_> =
            offered.flat_map(|i| i.addresses.iter().map(crate::model::node::Address::ip)).collect();
        addresses.sort_by_key(|address| Family::of(*address) != self.family);
        addresses
    }

    /// Whether the plan gives the box management addresses of both families.
    pub(in crate::check) fn is_planned_dual(&self) -> bool {
        let addresses = self.planned_addresses();
        Family::ALL.into_iter().all(|f| addresses.iter().any(|a| Family::of(*a) == f))
    }

    /// Every couple of the plan as the box sees it, live or not.
    pub(in crate::check) fn relations(&self) -> Vec<Relation> {
        let tunnels = self.stage.testbed.tunnels.values();
        tunnels.flat_map(|tunnel| tunnel.seen_from(&self.device.name)).collect()
    }

    /// The subnets behind the other ends of the tunnels that couple a subnet of this side.
    pub(in crate::check) fn beyond(&self, here: IpNet) -> Vec<IpNet> {
        let tunnels = self.stage.testbed.tunnels.values();
        let sides = tunnels.map(|tunnel| tunnel.seen_from(&self.device.name));
        let coupling = sides.filter(|side| side.iter().any(|relation| relation.here == here));
        coupling.flatten().map(|relation| relation.there).collect()
    }

    pub(super) fn empty(&self) -> Draft {
        Draft { port: self.port.port, known: self.relations(), ..Draft::default() }
    }

    /// What the phase gives the box to know: the base configuration of S2 section 2.2.1.
    pub(in crate::check) fn items(&self) -> Vec<Item> {
        let staged = &self.stage.nodes[&self.device.name];
        let mut items = Vec::new();
        let mut enter = |kind, value: String| items.push(Item { kind, value });
        for interface in self.stage.interfaces(&self.device.name, Plane::Data) {
            for address in &interface.addresses {
                enter(ItemKind::Address, format!("{} {}", interface.name, address.net));
            }
        }
        for end in &staged.tunnels {
            enter(ItemKind::Peer, end.remote.ip().to_string());
            for relation in &end.relations {
                enter(ItemKind::Filter, format!("{} to {}", relation.here, relation.there));
            }
        }
        for route in staged.routes.iter().take(MOST_ROUTES) {
            enter(ItemKind::Route, format!("{} via {}", route.to, route.via));
        }
        items.extend(base_items(self.stage, self.device));
        items
    }

    /// The integration file of a tunnel of the box, with what the phase gives both ends to know.
    pub(in crate::check) fn integration(&self, end: &TunnelEnd) -> Integration {
        let own = Site {
            gateway: self.device.name.clone(),
            outside: end.outsides().map(|[local, _]| local.ip()).collect(),
            inside: end.within.clone(),
            items: base_items(self.stage, self.device),
        };
        let other = Site {
            gateway: end.peer.clone(),
            outside: end.outsides().map(|[_, remote]| remote.ip()).collect(),
            inside: end.beyond.clone(),
            items: base_items(self.stage, &self.stage.testbed.nodes[&end.peer]),
        };
        let (tunnel, port) = (end.tunnel.clone(), end.local.port());
        let mut couples = end.relations.clone();
        if end.begins {
            return Integration { tunnel, port, ends: [own, other], couples };
        }
        for couple in &mut couples {
            *couple = couple.turned();
        }
        Integration { tunnel, port, ends: [other, own], couples }
    }

    /// The couples of the phase.
    pub(super) fn couples(&self) -> Vec<Pair> {
        let ends = self.stage.nodes[&self.device.name].tunnels.iter();
        let pair = |relation: &Relation| Pair {
            local: relation.here.to_string(),
            remote: relation.there.to_string(),
        };
        ends.flat_map(|end| end.relations.iter().map(pair)).collect()
    }
}

/// What the phase gives a box to know beside its tunnels: whom it asks for names, for the time and for users, and who
/// collects its log.
fn base_items(stage: &Stage, device: &Node) -> Vec<Item> {
    let mut items = Vec::new();
    let mut enter = |kind, value: String| items.push(Item { kind, value });
    let resolvers = &stage.nodes[&device.name].resolvers;
    for resolver in resolvers {
        enter(ItemKind::Dns, spelt_out(*resolver));
    }
    let uses = [
        (&device.time_from, ServiceKind::Ntp, ItemKind::Ntp),
        (&device.users_from, ServiceKind::Ldap, ItemKind::Ldap),
        (&device.logs_to, ServiceKind::Syslog, ItemKind::Syslog),
    ];
    for (used, speaks, kind) in uses {
        let node = used.as_ref().map(|name| &stage.testbed.nodes[name]);
        let services = node.into_iter().flat_map(|node| {
            let of_kind = node.services.iter().filter(|service| service.kind == speaks);
            of_kind.map(move |service| (node, service))
        });
        for (node, service) in services {
            for family in Family::ALL {
                let addresses = stage.service_addresses(node, service, family);
                for address in addresses {
                    enter(kind, address.to_string());
                }
            }
        }
    }
    items
}

/// An address with all its digits: a product must take every form (RFC 4291 section 2.2) and show the usual one.
fn spelt_out(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let groups: Vec<_> = v6.segments().iter().map(|group| format!("{group:04x}")).collect();
            groups.join(":")
        }
    }
}

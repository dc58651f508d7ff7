//! Filters: derived from the flows. What no flow allows, a filtering node drops; nothing crosses between the planes.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr},
};

use ipnet::IpNet;

use super::{Path, Stage, exchange::carries};
use crate::model::{
    dhcp::DhcpDuty,
    family::Family,
    flow::{End, Flow, Intent, Traffic},
    name::{InterfaceName, NodeName},
    node::{Address, Node, Role},
    policy::{Action, Chain, Filter, Hook, Match, Rule},
    segment::{Plane, SegmentKind},
    service::{Port, Transport},
    translation::Translation,
    tunnel::{Carrier, Relation},
};

pub use crate::model::policy::label;

/// Where servers and relays of DHCPv6 listen (RFC 8415 section 7.2).
const DHCP_PORT: u16 = 547;

/// Fills in the filter of every node that has one: of those that forward, and of those on both planes.
pub(super) fn derive(stage: &mut Stage) {
    let filters: Vec<_> = stage
        .testbed
        .nodes
        .values()
        .map(|node| (node.name.clone(), filter_of(stage, &node.name, node.role)))
        .collect();
    for (node, filter) in filters {
        stage.nodes.get_mut(&node).expect("a node of the testbed").filter = filter;
    }
}

fn filter_of(stage: &Stage, node: &NodeName, role: Role) -> Filter {
    let planes = if role.forwards() { between_planes(stage, node) } else { Vec::new() };
    let own = own_management(stage, node);
    if !role.filters() {
        let chain = |hook, rules| Chain { hook, policy: Action::Accept, rules };
        let mut chains = vec![chain(Hook::Input, own), chain(Hook::Forward, planes)];
        chains.retain(|chain| !chain.rules.is_empty());
        return Filter { chains };
    }
    let mut forward = planes;
    forward.extend(guards(stage, node));
    forward.extend([
        rule(label::ESTABLISHED, [Match::Established], Action::Accept),
        rule(label::INVALID, [Match::Invalid], Action::Drop),
        rule(label::ANTI_SPOOF, [Match::NotReversePath], Action::Drop),
    ]);
    forward.extend(icmp_errors());
    forward.extend(of_flows(stage, node, Intent::Deny));
    forward.extend(icmp_echo());
    forward.extend(carriers(stage, node));
    forward.extend(relayed(stage, node));
    forward.extend(of_flows(stage, node, Intent::Allow));
    Filter {
        chains: vec![
            Chain { hook: Hook::Input, policy: Action::Drop, rules: input(stage, node, own) },
            Chain { hook: Hook::Forward, policy: Action::Drop, rules: forward },
        ],
    }
}

fn rule(label: &str, matches: impl IntoIterator<Item = Match>, action: Action) -> Rule {
    Rule { label: label.to_owned(), matches: matches.into_iter().collect(), action }
}

/// The types that must pass a firewall in transit: RFC 4890 section 4.3.1, and their IPv4 counterparts.
fn icmp_errors() -> [Rule; 2] {
    let errors = |family, types: &[u8]| {
        rule(label::ICMP_ERRORS, [Match::Icmp { family, types: types.to_vec() }], Action::Accept)
    };
    [errors(Family::V4, &[3, 11, 12]), errors(Family::V6, &[1, 2, 3, 4])]
}

fn icmp_echo() -> [Rule; 2] {
    let echo = |family, types: &[u8]| {
        rule(label::ICMP_ECHO, [Match::Icmp { family, types: types.to_vec() }], Action::Accept)
    };
    [echo(Family::V4, &[0, 8]), echo(Family::V6, &[128, 129])]
}

fn between_planes(stage: &Stage, node: &NodeName) -> Vec<Rule> {
    stage
        .interfaces(node, Plane::Management)
        .flat_map(|interface| {
            let name = || interface.name.clone();
            [Match::InInterface(name()), Match::OutInterface(name())]
        })
        .map(|condition| rule(label::MANAGEMENT, [condition], Action::Drop))
        .collect()
}

/// Nobody on the data plane gets to the management addresses of a node: the node itself would take what comes for any of its
/// addresses by any of its interfaces (RFC 1122 section 3.3.4.2, the weak end system model).
fn own_management(stage: &Stage, node: &NodeName) -> Vec<Rule> {
    let addresses = Family::ALL.map(|family| stage.addresses(node, Plane::Management, family));
    let closed = |interface: &InterfaceName, address: IpAddr| {
        let matches = [Match::InInterface(interface.clone()), Match::Destination(address.into())];
        rule(label::MANAGEMENT, matches, Action::Drop)
    };
    let data: Vec<_> = stage.interfaces(node, Plane::Data).collect();
    let addresses = addresses.into_iter().flatten();
    addresses.flat_map(|address| data.iter().map(move |i| closed(&i.name, address))).collect()
}

/// What a tunnel couples never leaves by another interface of its gateway, whatever the routes say: a tunnel that is down
/// is closed, not open (RFC 7359).
fn guards(stage: &Stage, node: &NodeName) -> Vec<Rule> {
    let relations = stage.testbed.tunnels.values().flat_map(|tunnel| tunnel.seen_from(node));
    let live = |relation: &Relation| stage.nodes[node].forwarding.has(relation.family());
    let outside = || {
        let segments = &stage.testbed.segments;
        let data = stage.interfaces(node, Plane::Data);
        data.filter(|interface| segments[&interface.segment].kind != SegmentKind::Tunnel)
    };
    relations
        .filter(live)
        .flat_map(|relation| {
            outside().map(move |interface| {
                let matches = [
                    Match::Source(relation.here),
                    Match::Destination(relation.there),
                    Match::OutInterface(interface.name.clone()),
                ];
                rule(label::TUNNEL_GUARD, matches, Action::Drop)
            })
        })
        .collect()
}

/// What carries the tunnels of others through this node.
fn carriers(stage: &Stage, node: &NodeName) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (gateway, end) in stage.ends().filter(|(gateway, _)| *gateway != node) {
        for [local, remote] in end.outsides() {
            let path = stage.path(gateway, remote.ip());
            if path.is_ok_and(|path| path.transit().contains(node)) {
                let matches = [
                    Match::Source(local.ip().into()),
                    Match::Destination(remote.ip().into()),
                    known_by(end.carrier()),
                ];
                rules.push(rule(label::TUNNEL, matches, Action::Accept));
            }
        }
    }
    rules
}

fn known_by(carrier: Carrier) -> Match {
    match carrier {
        Carrier::Port(Port { transport, number }) => Match::Port { transport, number },
        Carrier::Protocol(number) => Match::Protocol(number),
    }
}

/// What carries the tunnels of this node.
fn own_tunnels(stage: &Stage, node: &NodeName) -> impl Iterator<Item = Rule> {
    let ends = stage.nodes[node].tunnels.iter();
    let outsides = ends.flat_map(|end| end.outsides().map(move |[_, remote]| (end, remote)));
    outsides.map(|(end, remote)| {
        let matches = [Match::Source(remote.ip().into()), known_by(end.carrier())];
        rule(label::TUNNEL, matches, Action::Accept)
    })
}

/// What a filtering node takes as server and as relay of DHCPv6: questions of hosts, and what others relay to it or answer.
fn dhcp(stage: &Stage, node: &NodeName) -> Vec<Rule> {
    let port = Match::Port { transport: Transport::Udp, number: DHCP_PORT };
    let take = |from: Vec<Match>| {
        let mut matches = from;
        matches.push(port.clone());
        rule(label::DHCP, matches, Action::Accept)
    };
    let on = |interface: &InterfaceName| {
        let link_local = "fe80::/10".parse().expect("a prefix");
        take(vec![Match::InInterface(interface.clone()), Match::Source(link_local)])
    };
    let mut rules = Vec::new();
    for duty in &stage.nodes[node].dhcp {
        match duty {
            DhcpDuty::Serve(link) => match &link.interface {
                Some(interface) => rules.push(on(interface)),
                None => rules.push(take(vec![Match::Family(Family::V6)])),
            },
            DhcpDuty::Relay { interface, server, .. } => {
                rules.push(on(interface));
                rules.push(take(vec![Match::Source(IpAddr::V6(*server).into())]));
            }
        }
    }
    let mut known = BTreeSet::new();
    rules.retain(|rule| known.insert(rule.clone()));
    rules
}

/// What relays and servers of DHCPv6 say to each other through this node: both ends use the port of servers.
fn relayed(stage: &Stage, node: &NodeName) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (relay, staged) in &stage.nodes {
        for duty in &staged.dhcp {
            let DhcpDuty::Relay { server, .. } = duty else { continue };
            let Ok(path) = stage.path(relay, IpAddr::V6(*server)) else { continue };
            if path.transit().contains(node) {
                let ends = [(path.source, path.destination), (path.destination, path.source)];
                rules.extend(ends.map(|(from, to)| {
                    let port = Match::Port { transport: Transport::Udp, number: DHCP_PORT };
                    let matches = [Match::Source(from.into()), Match::Destination(to.into()), port];
                    rule(label::DHCP, matches, Action::Accept)
                }));
            }
        }
    }
    let mut known = BTreeSet::new();
    rules.retain(|rule| known.insert(rule.clone()));
    rules
}

/// What a filtering node takes for itself, after what it takes from nobody.
fn input(stage: &Stage, node: &NodeName, refused: Vec<Rule>) -> Vec<Rule> {
    let mut rules = refused;
    rules.extend([
        rule(label::LOOPBACK, [Match::Loopback], Action::Accept),
        rule(label::ESTABLISHED, [Match::Established], Action::Accept),
        rule(
            label::ON_LINK,
            [Match::Icmp {
                family: Family::V6,
                types: [130..=137, 141..=143].into_iter().flatten().collect(),
            }],
            Action::Accept,
        ),
    ]);
    rules.extend(icmp_errors());
    rules.extend(icmp_echo());
    rules.extend(own_tunnels(stage, node));
    rules.extend(dhcp(stage, node));
    for service in &stage.testbed.nodes[node].services {
        for port in service.ports() {
            for family in service.listen.in_phase(stage.phase).iter() {
                let mut matches = vec![Match::Family(family)];
                matches.extend(service.on.clone().map(Match::InInterface));
                matches.push(Match::Port { transport: port.transport, number: port.number });
                rules.push(Rule {
                    label: label::OWN_SERVICE.to_owned(),
                    matches,
                    action: Action::Accept,
                });
            }
        }
    }
    rules
}

/// The rules that a node needs for the flows of an intent that pass it.
fn of_flows(stage: &Stage, node: &NodeName, intent: Intent) -> Vec<Rule> {
    let mut rules = Vec::new();
    for flow in stage.testbed.flows.iter().filter(|flow| flow.intent == intent) {
        for family in stage.nodes[node].forwarding.iter() {
            if passes(stage, node, flow, family) {
                rules.extend(of_flow(stage, flow, family));
            }
        }
        for translation in stage.translations() {
            rules.extend(of_translated(stage, node, flow, translation));
        }
    }
    let mut known = BTreeSet::new();
    rules.retain(|rule| known.insert(rule.clone()));
    rules
}

/// Whether some exchange of a flow goes through a node in a family: to whichever address of the target, since the ways to them may
/// differ.
fn passes(stage: &Stage, node: &NodeName, flow: &Flow, family: Family) -> bool {
    stage.testbed.members(&flow.to).into_iter().any(|to| {
        let targets = stage.addresses(&to.name, Plane::Data, family);
        targets.iter().any(|target| {
            stage.testbed.members(&flow.from).into_iter().any(|from| {
                stage.path(&from.name, *target).is_ok_and(|path| path.transit().contains(node))
            })
        })
    })
}

fn of_flow(stage: &Stage, flow: &Flow, family: Family) -> Vec<Rule> {
    between(flow, family, &nets(stage, &flow.from, family), &nets(stage, &flow.to, family))
}

/// The rules of a flow for what is translated on its way: in IPv6 to the address that the user knows, in IPv4 from the pool.
/// The gateway itself sees both.
fn of_translated(
    stage: &Stage,
    node: &NodeName,
    flow: &Flow,
    translation: &Translation,
) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (to, address) in ipv4_alone(stage, &flow.to) {
        let ways = stage.testbed.members(&flow.from).into_iter();
        let ways: Vec<_> = ways
            .filter(|from| from.name != to.name)
            .filter_map(|from| stage.translated(translation, &from.name, address).ok())
            .collect();
        let here = |path: &Path| *node == translation.gateway || path.transit().contains(node);
        let host = [Some(IpNet::from(IpAddr::V4(address)))];
        let known = [Some(IpNet::from(IpAddr::V6(translation.prefix.embed(address))))];
        if ways.iter().any(|way| here(&way.before)) {
            rules.extend(between(flow, Family::V6, &nets(stage, &flow.from, Family::V6), &known));
        }
        if ways.iter().any(|way| here(&way.after)) {
            rules.extend(between(flow, Family::V4, &[Some(translation.pool.into())], &host));
        }
    }
    rules
}

/// The IPv4 addresses of an end of a flow whose nodes have no IPv6 in this phase.
fn ipv4_alone<'s>(stage: &'s Stage, end: &End) -> Vec<(&'s Node, Ipv4Addr)> {
    let mut found = Vec::new();
    for node in stage.testbed.members(end) {
        if !stage.addresses(&node.name, Plane::Data, Family::V6).is_empty() {
            continue;
        }
        for address in stage.addresses(&node.name, Plane::Data, Family::V4) {
            if let IpAddr::V4(address) = address {
                found.push((node, address));
            }
        }
    }
    found
}

fn between(
    flow: &Flow,
    family: Family,
    sources: &[Option<IpNet>],
    destinations: &[Option<IpNet>],
) -> Vec<Rule> {
    let action = match flow.intent {
        Intent::Allow => Action::Accept,
        Intent::Deny => Action::Drop,
    };
    let mut rules = Vec::new();
    for source in sources {
        for destination in destinations {
            for traffic in &flow.traffic {
                let mut matches = Vec::new();
                matches.extend(source.map(Match::Source));
                matches.extend(destination.map(Match::Destination));
                if matches.is_empty() {
                    matches.push(Match::Family(family));
                }
                matches.extend(match traffic {
                    Traffic::Any => None,
                    Traffic::Ping => Some(Match::Icmp {
                        family,
                        types: if family == Family::V4 { vec![8] } else { vec![128] },
                    }),
                    Traffic::Port { port, .. } => {
                        Some(Match::Port { transport: port.transport, number: port.number })
                    }
                });
                rules.push(Rule { label: flow.name.clone(), matches, action });
            }
        }
    }
    rules
}

impl Stage {
    /// Whether the rules of a flow let traffic between two addresses pass. Flows speak of hosts, and rules of prefixes:
    /// the address of a router lies in one, too.
    pub fn is_covered(&self, source: IpAddr, destination: IpAddr, traffic: &Traffic) -> bool {
        let within = |end: &End, address: IpAddr| {
            let nets = nets(self, end, Family::of(address));
            nets.into_iter().any(|net| net.is_none_or(|net| net.contains(&address)))
        };
        let mut allowing = self.testbed.flows.iter().filter(|flow| flow.intent == Intent::Allow);
        allowing.any(|flow| {
            flow.traffic.iter().any(|carried| carries(carried, traffic))
                && within(&flow.from, source)
                && within(&flow.to, destination)
        })
    }
}

/// The prefixes that an end of a flow stands for in a family; `None` is everywhere.
fn nets(stage: &Stage, end: &End, family: Family) -> Vec<Option<IpNet>> {
    let data = |segment: &&crate::model::segment::Segment| segment.plane == Plane::Data;
    match end {
        End::Everywhere => vec![None],
        End::Segment(name) => {
            let net = stage.testbed.segments[name].prefix(family);
            net.map(|net| Some(net.trunc())).into_iter().collect()
        }
        End::Site(site) => {
            let of_site = |s: &&crate::model::segment::Segment| s.site.as_ref() == Some(site);
            let segments = stage.testbed.segments.values().filter(data).filter(of_site);
            segments.filter_map(|s| s.prefix(family)).map(|net| Some(net.trunc())).collect()
        }
        End::Node(name) => stage
            .interfaces(name, Plane::Data)
            .flat_map(|interface| &interface.addresses)
            .filter(|address| address.family() == family)
            .map(|address: &Address| Some(IpNet::from(address.ip())))
            .collect(),
    }
}

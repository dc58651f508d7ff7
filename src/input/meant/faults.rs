//! Faults: each is one change, of something that the testbed has.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    input::{
        diagnostic::{Diagnostic, Span},
        suggest::suggest,
        table::{At, Entry, Table},
        written::{
            fault::{FAULT_KEYS, NOT_CHANGES},
            flow::literal,
            segment, words,
            zone::data,
        },
    },
    model::{
        family::Family,
        fault::{AdvertisementFault, Fault, Sabotage},
        mac::Mac,
        name::{DomainName, NodeName, SegmentName},
        node::Node,
        phase::Phase,
        policy::{Match, Rule, label},
        record::{RecordData, Zone},
        segment::Plane,
        service::{ServiceKind, Transport},
        testbed::Testbed,
    },
    wire::icmp,
};

/// The link-layer address of a stranger where the file gives none.
const STRANGER: Mac = Mac([2, 0, 0x5e, 0xbb, 0xbb, 0xbb]);
/// RFC 4861 section 6.2.1.
const USUAL_LIFETIME_S: u16 = 1800;

/// Every fault of a file.
pub(in crate::input) fn resolve(
    root: &Table<'_>,
    testbed: &Testbed,
) -> (Vec<Fault>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let faults = root.children("fault");
    let faults = faults.iter().filter_map(|entry| fault(entry, testbed, &mut found)).collect();
    (faults, found)
}

fn fault(entry: &Entry<'_>, testbed: &Testbed, found: &mut Vec<Diagnostic>) -> Option<Fault> {
    let table = entry.table()?;
    let is_change = |entry: &&Entry<'_>| {
        let known = FAULT_KEYS.iter().any(|key| key.name == entry.key);
        known && !NOT_CHANGES.contains(&entry.key.as_str())
    };
    let changes: Vec<_> = table.entries().iter().filter(is_change).collect();
    for change in &changes {
        if let Some(table) = change.table() {
            let mut place = Place { testbed, table: &table, found };
            place.check();
            place.translation(&change.key);
            place.access(&change.key);
        }
    }
    // Of several changes none is made, and what is wrong with each is said all the same.
    let done: Vec<_> = changes
        .iter()
        .map(|change| sabotage(&change.key, &change.table()?, &change.at, testbed, found))
        .collect();
    let phases = table.list::<Phase>("phase").into_iter().map(|phase| phase.is).collect();
    match changes.as_slice() {
        [_] => {
            let what = done.into_iter().next().flatten()?;
            Some(Fault { name: entry.name()?.is, phases, what })
        }
        [] => {
            let message = format!("fault `{}` changes nothing", entry.key);
            let changes = FAULT_KEYS.iter().map(|key| key.name);
            let changes: Vec<_> = changes.filter(|name| !NOT_CHANGES.contains(name)).collect();
            let hint = format!("give it one of {}", crate::input::suggest::list(changes));
            found.push(Diagnostic::error(&entry.at, message).hint(hint));
            None
        }
        [first, others @ ..] => {
            for other in others {
                let message =
                    format!("fault `{}` is `{}` and `{}`", entry.key, first.key, other.key);
                found.push(
                    Diagnostic::error(&other.at, message)
                        .note(&first.at, "the first change")
                        .hint("write two faults: each is one change"),
                );
            }
            None
        }
    }
}

/// What is done, where everything that it needs was written.
fn sabotage(
    change: &str,
    table: &Table<'_>,
    at: &Span,
    testbed: &Testbed,
    found: &mut Vec<Diagnostic>,
) -> Option<Sabotage> {
    macro_rules! the {
        ($key:literal) => {
            table.one($key)?.is
        };
    }
    Some(match change {
        "listen" => Sabotage::ListenOnly {
            node: the!("node"),
            service: the!("service"),
            only: the!("only"),
        },
        "stop" => Sabotage::StopService { node: the!("node"), service: the!("service") },
        "extra-listener" => Sabotage::ExtraListener {
            node: the!("node"),
            families: table.list("families").into_iter().map(|family| family.is).collect(),
            port: table.number("port")?.is,
        },
        "add-rule" => {
            let rule = rule(table, at, found);
            Sabotage::AddRule { node: the!("node"), hook: the!("chain"), rule: rule? }
        }
        "remove-rule" => Sabotage::RemoveRule {
            node: the!("node"),
            label: the!("label"),
            family: table.one("family").map(|family| family.is),
        },
        "open-policy" => Sabotage::OpenPolicy {
            node: the!("node"),
            hook: the!("chain"),
            family: table.one("family").map(|family| family.is),
        },
        "set-record" => {
            let data = record(table, at, found);
            Sabotage::SetRecord { node: the!("node"), name: the!("name"), data: data? }
        }
        "refer" => Sabotage::Refer {
            node: the!("node"),
            service: the!("service"),
            how: the!("how"),
            to: the!("to"),
        },
        "show-otherwise" => Sabotage::ShowOtherwise {
            node: the!("node"),
            name: the!("name"),
            to: net(table, "to")?.is.trunc(),
            family: the!("family"),
            address: table.one("address").map(|address: At<IpAddr>| address.is),
        },
        "resolve-only" => Sabotage::ResolveOnly { node: the!("node"), only: the!("over") },
        "synthesize-wrongly" => {
            Sabotage::SynthesizeWrongly { node: the!("node"), how: the!("how") }
        }
        "carry-wrongly" => Sabotage::CarryWrongly { node: the!("node"), how: the!("how") },
        "translate-wrongly" => Sabotage::TranslateWrongly { node: the!("node"), how: the!("how") },
        "remove-record" => Sabotage::RemoveRecord {
            node: the!("node"),
            name: the!("name"),
            family: the!("family"),
        },
        "answer-wrongly" => Sabotage::AnswerWrongly {
            node: the!("node"),
            name: table.one("name").map(|name| name.is),
            family: the!("family"),
            how: the!("how"),
        },
        "remove-route" => Sabotage::RemoveRoute { node: the!("node"), to: net(table, "to")?.is },
        "add-route" => {
            let (to, via): (At<IpNet>, At<IpAddr>) = (net(table, "to")?, table.one("via")?);
            one_family(&to, &via, found);
            Sabotage::AddRoute { node: the!("node"), to: to.is.trunc(), via: via.is }
        }
        "add-address" => Sabotage::AddAddress {
            node: the!("node"),
            interface: the!("interface"),
            net: net(table, "address")?.is,
        },
        "remove-address" => {
            let address = net(table, "address")?;
            planned(table, &address, testbed, found);
            Sabotage::RemoveAddress {
                node: the!("node"),
                interface: the!("interface"),
                net: address.is,
            }
        }
        "set-mtu" => Sabotage::SetMtu {
            node: the!("node"),
            interface: the!("interface"),
            mtu: table.number("mtu")?.is,
        },
        "set-switch" => {
            Sabotage::SetSwitch { node: the!("node"), name: the!("name"), value: the!("value") }
        }
        "rogue-router" => {
            let prefix = announced(table, found);
            let lifetime = table.number("lifetime");
            Sabotage::RogueRouter {
                segment: the!("segment"),
                mac: table.one("mac").map_or(STRANGER, |mac| mac.is),
                prefix: prefix?,
                lifetime_s: lifetime.map_or(USUAL_LIFETIME_S, |lifetime| lifetime.is),
            }
        }
        "rogue-dhcpv6" => {
            let dns = resolver_v6(table, found);
            Sabotage::RogueDhcp {
                segment: the!("segment"),
                mac: table.one("mac").map_or(STRANGER, |mac| mac.is),
                dns: dns?,
            }
        }
        "dhcpv6-wrongly" => {
            let node: At<NodeName> = table.one("node")?;
            let plans = || testbed.segments.values().filter_map(|segment| segment.dhcp.as_ref());
            if !plans().any(|plan| plan.server == node.is || plan.relay.as_ref() == Some(&node.is))
            {
                let message = format!("`{}` neither serves nor relays DHCPv6", node.is);
                let known = plans().flat_map(|plan| plan.relay.iter().chain([&plan.server]));
                let known: Vec<_> = known.map(NodeName::as_str).collect();
                let hint = match known.as_slice() {
                    [] => "no segment of the testbed has `dhcpv6`".to_owned(),
                    known => {
                        format!("these do: {}", crate::input::suggest::list(known.iter().copied()))
                    }
                };
                found.push(Diagnostic::error(&node.at, message).hint(hint));
            }
            Sabotage::DhcpWrongly { node: node.is, how: the!("how") }
        }
        "impair" => {
            let impairment = segment::impairment(table);
            if impairment.is_none() {
                let message = "it must be said what the link does";
                let hint =
                    "give it one of `loss`, `duplicate`, `reorder`, `rate`, `delay` and `class`";
                found.push(Diagnostic::error(at, message).hint(hint));
            }
            Sabotage::Impair {
                segment: the!("segment"),
                family: table.one("family").map(|family| family.is),
                impairment,
            }
        }
        "take-resolvers" => Sabotage::TakeResolvers { node: the!("node") },
        "automatic-tunnel" => Sabotage::AutomaticTunnel { node: the!("node"), kind: the!("kind") },
        "snoop" => Sabotage::Snoop { segment: the!("segment"), how: the!("how") },
        "guard-wrongly" => {
            let segment: At<SegmentName> = table.one("segment")?;
            not_guarded(&segment, testbed, found);
            Sabotage::GuardWrongly { segment: segment.is, how: the!("how") }
        }
        "advertise-wrongly" => {
            let change = advertisement(table, at, found);
            Sabotage::AdvertiseWrongly {
                node: the!("node"),
                interface: the!("interface"),
                change: change?,
            }
        }
        "talk" => {
            let (family, to): (At<Family>, At<IpAddr>) = (table.one("family")?, table.one("to")?);
            if Family::of(to.is) != family.is {
                let message = format!("{} is no {} address", to.is, family.is);
                found.push(Diagnostic::error(&to.at, message).note(&family.at, "this family"));
            }
            Sabotage::Talk {
                node: the!("node"),
                interface: the!("interface"),
                family: family.is,
                to: to.is,
            }
        }
        "serve-differently" => Sabotage::ServeDifferently {
            node: the!("node"),
            service: the!("service"),
            family: the!("family"),
            how: the!("how"),
        },
        "quirk" => {
            Sabotage::Quirk { node: the!("node"), service: the!("service"), quirk: the!("is") }
        }
        "listen-everywhere" => {
            Sabotage::ListenEverywhere { node: the!("node"), service: the!("service") }
        }
        "log-wrongly" => {
            Sabotage::LogWrongly { node: the!("node"), service: the!("service"), how: the!("how") }
        }
        "admit-wrongly" => Sabotage::AdmitWrongly {
            node: the!("node"),
            service: the!("service"),
            how: the!("how"),
        },
        "lock-wrongly" => {
            Sabotage::LockWrongly { node: the!("node"), service: the!("service"), how: the!("how") }
        }
        "front-wrongly" => Sabotage::FrontWrongly {
            node: the!("node"),
            service: the!("service"),
            site: the!("site"),
            how: the!("how"),
        },
        "delay" => Sabotage::Delay {
            node: the!("node"),
            service: the!("service"),
            family: the!("family"),
            ms: table.number("ms")?.is,
        },
        _ => return None,
    })
}

fn net(table: &Table<'_>, key: &str) -> Option<At<IpNet>> {
    let written = table.one::<String>(key)?;
    Some(At { is: words::net(&written.is).ok()?, at: written.at })
}

fn rule(table: &Table<'_>, at: &Span, found: &mut Vec<Diagnostic>) -> Option<Rule> {
    let icmp = |key: &str, family| {
        let types = table.items(key);
        let number = |entry: &Entry<'_>| entry.number();
        (!types.is_empty())
            .then(|| Match::Icmp { family, types: types.iter().filter_map(number).collect() })
    };
    let port = table.one::<String>("port").and_then(|port| literal(&port.is));
    let matches: Vec<_> = [
        table.one("in").map(|name| Match::InInterface(name.is)),
        table.one("out").map(|name| Match::OutInterface(name.is)),
        table.one("family").map(|family| Match::Family(family.is)),
        net(table, "from").map(|net| Match::Source(net.is.trunc())),
        net(table, "to").map(|net| Match::Destination(net.is.trunc())),
        table.one("transport").map(|transport| Match::Transport(transport.is)),
        table.number("protocol").map(|number| protocol(number.is)),
        port.map(|port| Match::Port { transport: port.transport, number: port.number }),
        icmp("icmp", Family::V4),
        icmp("icmpv6", Family::V6),
        table.number("longer-than").map(|octets| Match::LongerThan(octets.is)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let families: Vec<_> = matches
        .iter()
        .filter_map(|condition| match condition {
            Match::Family(family) | Match::Icmp { family, .. } => Some(*family),
            Match::Source(net) | Match::Destination(net) => Some(Family::of_net(*net)),
            _ => None,
        })
        .collect();
    if families.contains(&Family::V4) && families.contains(&Family::V6) {
        let message = "the rule asks for IPv4 and IPv6 at once: no packet is both";
        found.push(Diagnostic::error(at, message));
    }
    let label = table.one("label").map_or_else(|| "planted".to_owned(), |label| label.is);
    Some(Rule { label, matches, action: table.one("then")?.is })
}

/// The numbers of protocols that a condition of their own knows are that condition.
fn protocol(number: u8) -> Match {
    let transport = [Transport::Tcp, Transport::Udp].into_iter().find(|t| t.number() == number);
    let family = Family::ALL.into_iter().find(|family| icmp::protocol(*family) == number);
    match (transport, family) {
        (Some(transport), _) => Match::Transport(transport),
        (None, Some(family)) => Match::Icmp { family, types: Vec::new() },
        (None, None) => Match::Protocol(number),
    }
}

fn record(table: &Table<'_>, at: &Span, found: &mut Vec<Diagnostic>) -> Option<RecordData> {
    match data(table).as_slice() {
        [data] => Some(data.is.clone()),
        many => {
            let message = format!("the record has {} kinds of data", many.len());
            let hint = "give it exactly one of `address`, `alias`, `pointer`, `text` and `hints`";
            found.push(Diagnostic::error(at, message).hint(hint));
            None
        }
    }
}

fn advertisement(
    table: &Table<'_>,
    at: &Span,
    found: &mut Vec<Diagnostic>,
) -> Option<AdvertisementFault> {
    match (table.one("how"), table.number("mtu"), table.one::<IpAddr>("dns")) {
        (Some(how), None, None) => Some(how.is),
        (None, Some(mtu), None) => Some(AdvertisementFault::Mtu(mtu.is)),
        (None, None, Some(_)) => resolver_v6(table, found).map(AdvertisementFault::Dns),
        _ => {
            let message = "it must be said what differs: `how`, `mtu` or `dns`, one of the three";
            found.push(Diagnostic::error(at, message));
            None
        }
    }
}

fn announced(table: &Table<'_>, found: &mut Vec<Diagnostic>) -> Option<IpNet> {
    let prefix = net(table, "prefix")?;
    if Family::of_net(prefix.is) == Family::V4 {
        let message = format!("{} is IPv4; routers announce IPv6 prefixes", prefix.is);
        found.push(Diagnostic::error(&prefix.at, message));
    }
    Some(prefix.is.trunc())
}

fn resolver_v6(table: &Table<'_>, found: &mut Vec<Diagnostic>) -> Option<std::net::Ipv6Addr> {
    let address: At<IpAddr> = table.one("dns")?;
    match address.is {
        IpAddr::V6(v6) => Some(v6),
        IpAddr::V4(v4) => {
            let message =
                format!("{v4} is IPv4; Router Advertisements and DHCPv6 tell addresses of IPv6");
            found.push(Diagnostic::error(&address.at, message));
            None
        }
    }
}

/// Only a switch that is said to guard can guard badly.
fn not_guarded(segment: &At<SegmentName>, testbed: &Testbed, found: &mut Vec<Diagnostic>) {
    if testbed.segments.get(&segment.is).is_none_or(|segment| segment.ra_guard) {
        return;
    }
    let message = format!(
        "segment `{}` is not said to guard against forged Router Advertisements",
        segment.is
    );
    let guarded = testbed.segments.values().filter(|segment| segment.ra_guard);
    let guarded: Vec<_> = guarded.map(|segment| segment.name.as_str()).collect();
    let hint = match guarded.as_slice() {
        [] => "no segment of the testbed has `ra-guard = true`".to_owned(),
        guarded => {
            format!("these are: {}", crate::input::suggest::list(guarded.iter().copied()))
        }
    };
    found.push(Diagnostic::error(&segment.at, message).hint(hint));
}

fn one_family(to: &At<IpNet>, via: &At<IpAddr>, found: &mut Vec<Diagnostic>) {
    if Family::of(via.is) != Family::of_net(to.is) {
        let message =
            format!("the route to {} has the next hop {} of the other family", to.is, via.is);
        found.push(Diagnostic::error(&via.at, message).note(&to.at, "the route"));
    }
}

/// Only an address that is there can be taken off.
fn planned(table: &Table<'_>, address: &At<IpNet>, testbed: &Testbed, found: &mut Vec<Diagnostic>) {
    let node = table.one::<NodeName>("node").and_then(|name| testbed.nodes.get(&name.is));
    let on = table.one::<String>("interface");
    let (Some(node), Some(on)) = (node, on) else { return };
    let Some(interface) = node.interfaces.iter().find(|i| i.name.as_str() == on.is) else { return };
    if interface.addresses.iter().any(|planned| planned.net == address.is) {
        return;
    }
    let known: Vec<_> = interface.addresses.iter().map(|a| a.net.to_string()).collect();
    let message = format!("`{}` of `{}` has no address {}", on.is, node.name, address.is);
    let hint = format!("it has {}", crate::input::suggest::list(known.iter().map(String::as_str)));
    found.push(Diagnostic::error(&address.at, message).hint(hint));
}

/// Where a change is made: the keys that mean the same in every change.
struct Place<'c> {
    testbed: &'c Testbed,
    table: &'c Table<'c>,
    found: &'c mut Vec<Diagnostic>,
}

impl<'c> Place<'c> {
    fn check(&mut self) {
        self.segment();
        self.label();
        let name = self.table.one::<NodeName>("node");
        let Some((node, name)) = name.and_then(|name| Some((self.node(&name)?, name))) else {
            return self.unzoned();
        };
        for key in ["interface", "in", "out"] {
            self.interface(node, key);
        }
        self.service(node);
        self.site(node);
        self.unruled(node);
        self.name(node, &name.at);
        self.switch(node);
    }

    /// The node of a name.
    fn node(&mut self, name: &At<NodeName>) -> Option<&'c Node> {
        let testbed = self.testbed;
        let node = testbed.nodes.get(&name.is);
        if node.is_none() {
            let known = testbed.nodes.keys().map(NodeName::as_str);
            self.unknown("node", "of the testbed", name.is.as_str(), &name.at, known);
        }
        node
    }

    fn unknown<'k>(
        &mut self,
        noun: &str,
        whose: &str,
        name: &str,
        at: &Span,
        known: impl Iterator<Item = &'k str>,
    ) {
        let message = format!("`{name}` is no {noun} {whose}");
        self.found.push(Diagnostic::error(at, message).maybe_hint(suggest(name, known)));
    }

    fn segment(&mut self) {
        let Some(name) = self.table.one::<String>("segment") else { return };
        let testbed = self.testbed;
        let known = || testbed.segments.keys().map(SegmentName::as_str);
        match testbed.segments.get(name.is.as_str()) {
            None => self.unknown("segment", "of the testbed", &name.is, &name.at, known()),
            Some(segment) if segment.kind.is_inside() => self.no_link(&name),
            Some(_) => {}
        }
    }

    /// Between a gateway and its translator, or inside of a tunnel, nobody carries frames.
    fn no_link(&mut self, name: &At<String>) {
        let message = format!(
            "`{}` is the inside of a tunnel or of a translation: there is no link that could be changed, or plugged into",
            name.is
        );
        let links = self.testbed.segments.values().filter(|segment| !segment.kind.is_inside());
        let links: Vec<_> = links.map(|segment| segment.name.as_str()).collect();
        let hint = format!("these are links: {}", crate::input::suggest::list(links.into_iter()));
        self.found.push(Diagnostic::error(&name.at, message).hint(hint));
    }

    fn interface(&mut self, node: &Node, key: &str) {
        let Some(name) = self.table.one::<String>(key) else { return };
        let known = || node.interfaces.iter().map(|interface| interface.name.as_str());
        if !known().any(|interface| interface == name.is) {
            let whose = format!("of node `{}`", node.name);
            self.unknown("interface", &whose, &name.is, &name.at, known());
        }
    }

    /// The interface that a sysctl is of: `net.ipv6.conf.eth0.accept_dad`.
    fn switch(&mut self, node: &Node) {
        const ANY: [&str; 3] = ["all", "default", "lo"];
        let (Some(name), Some(_)) = (self.table.one::<String>("name"), self.table.entry("value"))
        else {
            return;
        };
        let parts: Vec<_> = name.is.split('.').collect();
        let [_, _, "conf" | "neigh", interface, ..] = parts.as_slice() else { return };
        let known = || node.interfaces.iter().map(|interface| interface.name.as_str()).chain(ANY);
        if !known().any(|known| known == *interface) {
            let whose = format!("of node `{}`, so there is no sysctl `{}`", node.name, name.is);
            self.unknown("interface", &whose, interface, &name.at, known());
        }
    }

    fn service(&mut self, node: &Node) {
        let Some(name) = self.table.one::<String>("service") else { return };
        let known = || node.services.iter().map(|service| service.name.as_str());
        if !known().any(|service| service == name.is) {
            let whose = format!("of node `{}`", node.name);
            self.unknown("service", &whose, &name.is, &name.at, known());
        }
    }

    /// A site behind a front.
    fn site(&mut self, node: &Node) {
        let Some(site) = self.table.one::<NodeName>("site") else { return };
        let Some(service) = self.table.one::<String>("service") else { return };
        // A service that there is not has been complained of.
        let Some(known) = node.service(&service.is) else { return };
        let front = known.front.as_ref();
        let sites = || front.iter().flat_map(|front| &front.sites).map(NodeName::as_str);
        if !sites().any(|known| known == site.is.as_str()) {
            let whose = format!("behind `{}` of node `{}`", service.is, node.name);
            self.unknown("site", &whose, site.is.as_str(), &site.at, sites());
        }
    }

    /// Only who resolves, translates, synthesizes addresses or ends tunnels can do it wrongly.
    fn translation(&mut self, change: &str) {
        let Some(name) = self.table.one::<NodeName>("node") else { return };
        let all = self.testbed.translations.values();
        let (known, what): (Vec<_>, _) = match change {
            "translate-wrongly" => {
                (all.map(|t| t.gateway.as_str()).collect(), "translates nothing")
            }
            "synthesize-wrongly" => {
                let resolvers = all.flat_map(|translation| &translation.resolvers);
                (resolvers.map(NodeName::as_str).collect(), "synthesizes no addresses")
            }
            "resolve-only" => {
                let resolves = |node: &&Node| {
                    node.services.iter().any(|service| service.kind == ServiceKind::Resolver)
                };
                let resolvers = self.testbed.nodes.values().filter(resolves);
                (resolvers.map(|node| node.name.as_str()).collect(), "resolves no names")
            }
            "carry-wrongly" => {
                let ends = self.testbed.tunnels.values().flat_map(|tunnel| &tunnel.between);
                (ends.map(NodeName::as_str).collect(), "ends no tunnel")
            }
            _ => return,
        };
        if self.testbed.nodes.contains_key(&name.is) && !known.contains(&name.is.as_str()) {
            let message = format!("node `{}` {what} in this testbed", name.is);
            let nodes: Vec<_> = known.iter().map(|node| format!("`{node}`")).collect();
            let hint = match nodes.as_slice() {
                [] if change == "carry-wrongly" => "the testbed has no `[tunnel.NAME]`".to_owned(),
                [] if change == "resolve-only" => "the testbed has no resolver".to_owned(),
                [] => "the testbed has no `[translation.NAME]`".to_owned(),
                nodes => format!("that is done by {}", nodes.join(", ")),
            };
            self.found.push(Diagnostic::error(&name.at, message).hint(hint));
        }
    }

    /// Only who has an access list, or locks log-ins, can do it wrongly.
    fn access(&mut self, change: &str) {
        let node = self.table.one::<NodeName>("node");
        let node = node.and_then(|name| self.testbed.nodes.get(&name.is));
        let service = self.table.one::<String>("service");
        let (Some(node), Some(name)) = (node, service) else { return };
        let Some(service) = node.service(&name.is) else { return };
        let lacks = match change {
            "admit-wrongly" if service.admits.is_empty() => "lets everybody in: it has no `admits`",
            "lock-wrongly" if service.lockout.is_none() => "locks no log-ins: it has no `lockout`",
            _ => return,
        };
        let message = format!("service `{}` of node `{}` {lacks}", name.is, node.name);
        self.found.push(Diagnostic::error(&name.at, message));
    }

    /// The label of rules that are to be taken out: of a flow or of the built-in rules.
    fn label(&mut self) {
        let Some(name) = self.taken_out() else { return };
        let flows: Vec<_> = self.testbed.flows.iter().map(|flow| flow.name.clone()).collect();
        let known = || flows.iter().map(String::as_str).chain(label::ALL);
        if !known().any(|label| label == name.is) {
            self.unknown("label of rules", "of the testbed", &name.is, &name.at, known());
        }
    }

    fn taken_out(&self) -> Option<At<String>> {
        self.table.one("label").filter(|_| self.table.entry("then").is_none())
    }

    /// Only who filters has rules to be taken out.
    fn unruled(&mut self, node: &Node) {
        let Some(name) = self.taken_out() else { return };
        let is_on = |plane| node.interfaces.iter().any(|i| self.testbed.plane(i) == plane);
        let is_on_both = is_on(Plane::Management) && is_on(Plane::Data);
        if !(node.role.filters() || name.is == label::MANAGEMENT && is_on_both) {
            let message = format!(
                "node `{}` has the role `{}` and no rules of `{}`",
                node.name, node.role, name.is
            );
            self.found.push(Diagnostic::error(&name.at, message));
        }
    }

    /// A name that nobody could be asked for, where it is not known who is.
    fn unzoned(&mut self) {
        let Some(name) = self.table.one::<DomainName>("name") else { return };
        let mut zones = self.testbed.zones.iter();
        if is_reverse(&name.is) || zones.any(|zone| name.is.is_within(&zone.origin)) {
            return;
        }
        let message = format!("`{}` is in no zone of the testbed", name.is);
        let zones: Vec<_> = self.testbed.zones.iter().map(|zone| zone.origin.as_str()).collect();
        let hint = match zones.as_slice() {
            [] => "the testbed has no `[[zone]]`".to_owned(),
            zones => {
                format!("the zones are {}", crate::input::suggest::list(zones.iter().copied()))
            }
        };
        self.found.push(Diagnostic::error(&name.at, message).hint(hint));
    }

    /// A name that a node is asked for: in a zone that it serves, or, of a resolver, in any zone.
    fn name(&mut self, node: &Node, at: &Span) {
        let asks = ["family", "address", "alias", "pointer", "text", "hints"];
        let about_names = self.table.entry("name").is_some() && self.table.entry("value").is_none();
        if !about_names && self.table.entry("how").is_none()
            || !asks.iter().any(|key| self.table.entry(key).is_some())
            || self.table.entry("service").is_some()
        {
            return;
        }
        let has = |kind| node.services.iter().any(|service| service.kind == kind);
        if !has(ServiceKind::Dns) && !has(ServiceKind::Resolver) {
            let message = format!("node `{}` is neither name server nor resolver", node.name);
            self.found.push(Diagnostic::error(at, message));
            return;
        }
        let Some(name) = self.table.one::<DomainName>("name") else { return };
        let answers = |zone: &Zone| has(ServiceKind::Resolver) || zone.servers.contains(&node.name);
        let zones = &self.testbed.zones;
        // The servers of the first zone serve the reverse zones too.
        let reverse = is_reverse(&name.is) && zones.first().is_some_and(answers);
        if !reverse && !zones.iter().any(|zone| answers(zone) && name.is.is_within(&zone.origin)) {
            let message = format!("`{}` is in no zone that `{}` answers for", name.is, node.name);
            self.found.push(Diagnostic::error(&name.at, message));
        }
    }
}

/// Whether a name stands for an address (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn is_reverse(name: &DomainName) -> bool {
    [".in-addr.arpa", ".ip6.arpa"].iter().any(|suffix| name.as_str().ends_with(suffix))
}

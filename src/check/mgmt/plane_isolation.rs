//! `mgmt.plane-isolation`: what is offered on the management plane is not reached from the data plane, nor under a link-local
//! address, nor under the management address of a node that is the next hop for it.

use std::net::IpAddr;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, legs,
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::{NodeName, SegmentName},
        node::{Address, Node},
        probe::{Probe, Question},
        segment::Plane,
        service::{Port, Service, Transport},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// The check.
pub(super) struct PlaneIsolation;

/// How many doors are tried.
const MOST: usize = 256;

static TEXT: Text = Text {
    id: "mgmt.plane-isolation",
    title: "Management from the data plane",
    section: "S1",
    use_case: UseCase::Management,
    question: "Is what a node offers on the management plane closed to its neighbours on the data plane, at global and \
               link-local addresses, and, at a node that they send to, at its management address?",
    good: "No management interface answers on the data plane.",
    references: &["RFC 9099 section 2.4.2"],
    cases: &[Case {
        name: "open",
        finding: "The management interface {service} of {node} answers on the data plane over {family}: {from} on {segment} gets in.",
        expected: "{address}, {port}, is closed to {from}.",
        observed: "{observed}.",
        remedy: "Bind the service to the address of the management interface, or let the node filter what comes by every other \
                 interface, link-local addresses included.",
    }],
};

/// An address of a node that somebody on the data plane comes to, and who tries it.
#[derive(Clone, Copy)]
struct Place<'s> {
    segment: &'s SegmentName,
    address: IpAddr,
    /// An address of the node on that link that answers, for the control.
    beside: IpAddr,
    /// A neighbour on that link, and its own address there where it must be named.
    from: (&'s NodeName, Option<IpAddr>),
}

/// A door that is to be closed.
struct Door<'s> {
    node: &'s Node,
    service: &'s Service,
    place: Place<'s>,
}

impl Door<'_> {
    fn transport(&self) -> Transport {
        let transports = self.service.kind.transports();
        if transports.contains(&Transport::Tcp) { Transport::Tcp } else { Transport::Udp }
    }

    fn port(&self) -> Port {
        Port { transport: self.transport(), number: self.service.port }
    }

    /// A connection, or for what has none the question that the service answers. `None` where that has no room for the link.
    fn knock(&self, stage: &Stage) -> Option<Probe> {
        let (from, source) = self.place.from;
        let mut probe = match self.transport() {
            Transport::Tcp => ask::knock(from, self.place.address, self.port()),
            Transport::Udp => ask::hello(stage, from, self.node, self.service, self.place.address)?,
        };
        match &mut probe.question {
            Question::Connect { source: own, .. } | Question::Snmp { source: own, .. } => {
                *own = source;
            }
            _ if source.is_some() => return None,
            _ => {}
        }
        Some(probe)
    }

    /// That the address is there and the way to it is open.
    fn control(&self) -> Probe {
        let (from, source) = self.place.from;
        let mut probe = ask::ping(from, self.place.beside);
        if let Question::Ping { source: own, .. } = &mut probe.question {
            *own = source;
        }
        probe
    }

    fn subject(&self) -> String {
        let (from, _) = self.place.from;
        format!("{from}->{}/{}, {}", self.node.name, self.service.name, self.place.address)
    }
}

impl Check for PlaneIsolation {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let doors = doors(stage);
        let probes =
            doors.iter().flat_map(|door| door.knock(stage).into_iter().chain([door.control()]));
        vec![Experiment::of_probes(probes)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = doors(stage).iter().map(|door| try_door(judge, stage, seen, door)).collect();
        let reason = "no node is both on the management plane and beside others on the data plane";
        judge.or_not_applicable(found, reason)
    }
}

fn doors(stage: &Stage) -> Vec<Door<'_>> {
    let mut doors = Vec::new();
    for node in stage.testbed.nodes.values() {
        let managed: Vec<_> =
            stage.interfaces(&node.name, Plane::Management).map(|i| &i.name).collect();
        let services = node
            .services
            .iter()
            .filter(|service| service.on.as_ref().is_some_and(|name| managed.contains(&name)));
        let places = places(stage, node);
        for service in services {
            // Another service of the node may be offered at the same port elsewhere, by plan.
            let other = |s: &Service| s.port == service.port && s.name != service.name;
            if node.services.iter().any(other) {
                continue;
            }
            doors.extend(places.iter().map(|place| Door { node, service, place: *place }));
        }
    }
    legs::sample(doors, MOST)
}

/// The addresses of a node that neighbours on the data plane come to: of each interface one of each family and the link-local
/// one, and the management addresses, where a neighbour sends to the node what is for them. Where nobody else is on the link,
/// there is nobody to be closed to.
fn places<'s>(stage: &'s Stage, node: &'s Node) -> Vec<Place<'s>> {
    let mut places = Vec::new();
    for interface in stage.interfaces(&node.name, Plane::Data) {
        let others = beside(stage, node, interface);
        if others.is_empty() {
            continue;
        }
        let first = |family| interface.addresses.iter().find(move |a| a.family() == family);
        let global = Family::ALL.into_iter().filter_map(first).map(Address::ip);
        // No link joins the ends of a tunnel, and what goes to a link-local address is coupled by none.
        let is_link = !stage.testbed.segments[&interface.segment].kind.is_inside();
        let is_local = is_link && interface.families.has(Family::V6);
        let local = is_local.then(|| interface.link_local().into());
        // Where nobody else on the link speaks the family by plan, there is nobody to be closed to either.
        places.extend(global.chain(local).filter_map(|address| {
            let from = neighbour(&others, address)?;
            Some(Place { segment: &interface.segment, address, beside: address, from })
        }));
        places.extend(managed(stage, node, interface, &others));
    }
    places
}

/// The management addresses of a node that a neighbour's packets come to by an interface of the data plane: the neighbour has no
/// way to the management plane of its own, and the node is its next hop. A node takes what is for any of its addresses,
/// whichever interface it comes in by (RFC 1122 section 3.3.4.2).
fn managed<'s>(
    stage: &'s Stage,
    node: &Node,
    interface: &'s StagedInterface,
    others: &[(&'s NodeName, &'s StagedInterface, bool)],
) -> Vec<Place<'s>> {
    let segment = &interface.segment;
    let place = |address: IpAddr| {
        let mut own = interface.addresses.iter().map(Address::ip);
        let beside = own.find(|own| Family::of(*own) == Family::of(address))?;
        let sends_here = |from: &&NodeName| {
            let way = stage.path(from, address);
            way.is_ok_and(|way| way.segments.iter().eq([segment]))
        };
        let from = others.iter().map(|(from, ..)| *from).find(sends_here)?;
        Some(Place { segment, address, beside, from: (from, None) })
    };
    let addresses =
        Family::ALL.map(|family| stage.addresses(&node.name, Plane::Management, family));
    addresses.into_iter().flatten().filter_map(place).collect()
}

/// The other nodes on the link of an interface, each with its interface there, and whether that is its only one.
fn beside<'s>(
    stage: &'s Stage,
    node: &Node,
    interface: &StagedInterface,
) -> Vec<(&'s NodeName, &'s StagedInterface, bool)> {
    let others = stage.nodes.iter().filter(|(name, _)| **name != node.name);
    let beside = others.flat_map(|(name, other)| {
        let on = other.interfaces.iter().filter(|i| i.segment == interface.segment);
        on.map(move |i| (name, i, other.interfaces.len() == 1))
    });
    beside.collect()
}

/// Who tries an address. A link-local one is clear to a node with a single interface; any other node says by its source on
/// which of its links it is (RFC 4007 section 6).
fn neighbour<'s>(
    beside: &[(&'s NodeName, &'s StagedInterface, bool)],
    address: IpAddr,
) -> Option<(&'s NodeName, Option<IpAddr>)> {
    let mut able = beside.iter().filter(|(_, i, _)| i.families.has(Family::of(address)));
    let is_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if !is_local {
        return able.next().map(|(name, ..)| (*name, None));
    }
    let alone = able.clone().find(|(.., alone)| *alone).map(|(name, ..)| (*name, None));
    alone.or_else(|| able.next().map(|(name, i, _)| (*name, Some(i.link_local().into()))))
}

fn try_door(judge: Judge, stage: &Stage, seen: &Seen<'_>, door: &Door<'_>) -> Judgement {
    let subject = door.subject();
    let Place { segment, address, beside, from: (from, _) } = door.place;
    let Some(knock) = door.knock(stage) else {
        return judge.not_testable(
            subject,
            "a service of this kind cannot be asked from there",
            [],
        );
    };
    let Some((id, answer)) = seen.answer(&knock) else {
        return judge.not_testable(subject, "it was not asked", []);
    };
    if let Some(reason) = answer.not_asked() {
        return judge.not_testable(subject, reason, [id]);
    }
    if !answer.is_answered() {
        return match seen.answer(&door.control()) {
            Some((control, said)) if said.is_answered() => judge.pass(subject, [id, control]),
            Some((control, said)) => {
                let said = reading::describe(said);
                let reason = format!("nothing from there reaches {beside}: {said}");
                judge.not_testable(subject, reason, [id, control])
            }
            None => judge.not_testable(subject, "its control was not asked", [id]),
        };
    }
    let family = Family::of(address);
    let args = [
        ("service", door.service.name.to_string()),
        ("node", door.node.name.to_string()),
        ("family", family.to_string()),
        ("from", from.to_string()),
        ("segment", segment.to_string()),
        ("address", address.to_string()),
        ("port", door.port().to_string()),
        ("observed", reading::describe(answer)),
    ];
    let scope = Scope {
        family: Some(family),
        to: Some(door.node.name.clone()),
        address: Some(address),
        port: Some(door.port()),
        from: Some(from.clone()),
        nodes: vec![door.node.name.clone()],
        ..Scope::default()
    };
    let culprit =
        Culprit::node(&door.node.name, format!("{} on the data plane", door.service.name));
    let complaint = Complaint {
        severity: Severity::Critical,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, "open", culprit, scope, args)
    };
    judge.fail(subject, [id], complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{
            phase::Phase,
            policy::{Action, Hook, Rule},
        },
    };

    #[test]
    fn interfaces_that_are_bound_to_the_management_plane_are_silent() {
        fixture::assert_silent_when_healthy(&PlaneIsolation);
    }

    #[test]
    fn a_management_interface_on_every_address_is_found_where_no_filter_is_before_it() {
        for phase in Phase::ALL {
            let network = Network::healthy(phase).with(|live| {
                for at in ["portal", "firewall"] {
                    let listeners = &mut live.nodes.get_mut(at).unwrap().listeners;
                    for listener in listeners.iter_mut().filter(|l| l.port == 22) {
                        listener.address = Family::of(listener.address).unspecified();
                    }
                }
            });
            let found = fixture::complaints(&PlaneIsolation, &network);
            let wanted = ("open".to_owned(), "portal (ssh on the data plane)".to_owned());
            assert!(!found.is_empty(), "{phase}");
            assert!(found.iter().all(|one| *one == wanted), "{phase}: {found:?}");
        }
    }

    #[test]
    fn an_agent_that_answers_on_the_data_plane_is_found_though_it_has_no_connections() {
        let mut testbed = (*fixture::testbed()).clone();
        for service in &mut testbed.nodes.get_mut("firewall").unwrap().services {
            service.admits.clear();
        }
        let agent = testbed.nodes["firewall"].services[1].clone();
        testbed.nodes.get_mut("portal").unwrap().services.push(agent);
        let network = Network::of(Stage::new(&testbed.into(), Phase::DualStack));
        assert_eq!(fixture::complaints(&PlaneIsolation, &network), []);
        let network = network.with(|live| {
            let listeners = &mut live.nodes.get_mut("portal").unwrap().listeners;
            for listener in listeners.iter_mut().filter(|l| l.port == 161) {
                listener.address = Family::of(listener.address).unspecified();
            }
        });
        let found = fixture::complaints(&PlaneIsolation, &network);
        let wanted = ("open".to_owned(), "portal (snmp on the data plane)".to_owned());
        assert_eq!(found, [wanted.clone(), wanted]);
    }

    #[test]
    fn every_data_interface_is_tried_and_each_link_local_address_from_its_own_link() {
        let stage = Stage::new(&fixture::testbed(), Phase::DualStack);
        let node = &stage.testbed.nodes["firewall"];
        let places = places(&stage, node);
        // Three interfaces, each with an address of either family and a link-local one; and on one of them somebody who sends here
        // what is for the two management addresses.
        assert_eq!(places.len(), 9 + 2);
        for place in places {
            let (from, source) = place.from;
            let on = |i: &&StagedInterface| i.segment == *place.segment;
            let interface =
                stage.nodes[from].interfaces.iter().find(on).expect("it is a neighbour");
            let alone = stage.nodes[from].interfaces.len() == 1;
            let local = matches!(place.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            let named = (local && !alone).then(|| interface.link_local().into());
            assert_eq!(source, named, "{}", place.address);
        }
    }

    #[test]
    fn a_next_hop_that_takes_what_comes_for_its_management_address_is_found() {
        let open = Rule { label: "ops".into(), matches: Vec::new(), action: Action::Accept };
        let network = Network::healthy(Phase::Ipv6Only).with(|live| {
            let filter = &mut live.nodes.get_mut("firewall").unwrap().filter;
            filter.chains.iter_mut().find(|c| c.hook == Hook::Input).unwrap().rules.insert(0, open);
        });
        let found = fixture::complaints(&PlaneIsolation, &network);
        let wanted = ("open".to_owned(), "firewall (ssh on the data plane)".to_owned());
        assert_eq!(found, [wanted]);
    }
}

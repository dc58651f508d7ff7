//! `mgmt.plane-isolation`: what is offered on the management plane is not reached from the data plane, nor under a link-local
//! address.

use std::net::{IpAddr, Ipv6Addr};

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
        node::Node,
        probe::Probe,
        segment::Plane,
        service::{Port, Service, Transport},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// The check.
pub(super) struct PlaneIsolation;

/// How many doors are tried.
const MOST: usize = 64;
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

static TEXT: Text = Text {
    id: "mgmt.plane-isolation",
    title: "Management from the data plane",
    section: "S1",
    use_case: UseCase::Management,
    question: "Is what a node offers on the management plane closed to its neighbours on the data plane, at global and at \
               link-local addresses?",
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

/// A door that is to be closed.
struct Door<'s> {
    node: &'s Node,
    service: &'s Service,
    segment: &'s SegmentName,
    from: &'s NodeName,
    address: IpAddr,
}

impl Door<'_> {
    fn port(&self) -> Port {
        Port { transport: Transport::Tcp, number: self.service.port }
    }

    fn knock(&self) -> Probe {
        ask::knock(self.from, self.address, self.port())
    }

    /// That the address is there and the way to it is open.
    fn control(&self) -> Probe {
        ask::ping(self.from, self.address)
    }
}

impl Check for PlaneIsolation {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let doors = doors(stage);
        vec![Experiment::of_probes(doors.iter().flat_map(|door| [door.knock(), door.control()]))]
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
        let services = node.services.iter().filter(|service| {
            let there = service.on.as_ref().is_some_and(|name| managed.contains(&name));
            there && service.kind.transports().contains(&Transport::Tcp)
        });
        let places = places(stage, node);
        for service in services {
            // Another service of the node may be offered at the same port elsewhere, by plan.
            let other = |s: &Service| s.port == service.port && s.name != service.name;
            if node.services.iter().any(other) {
                continue;
            }
            doors.extend(places.iter().map(|(segment, from, address)| Door {
                node,
                service,
                segment,
                from,
                address: *address,
            }));
        }
    }
    legs::sample(doors, MOST)
}

/// The data-plane addresses of a node, one of each family and a link-local one, each with a neighbour that can try it.
fn places<'s>(stage: &'s Stage, node: &'s Node) -> Vec<(&'s SegmentName, &'s NodeName, IpAddr)> {
    let mut places = Vec::new();
    for family in Family::ALL {
        let found = stage.interfaces(&node.name, Plane::Data).find_map(|interface| {
            let address = interface.addresses.iter().find(|a| a.family() == family)?.ip();
            let from = neighbour(stage, node, interface, family, false)?;
            Some((&interface.segment, from, address))
        });
        places.extend(found);
    }
    let local = stage.interfaces(&node.name, Plane::Data).find_map(|interface| {
        let live = interface.families.has(Family::V6);
        let from = neighbour(stage, node, interface, Family::V6, true).filter(|_| live)?;
        Some((&interface.segment, from, IpAddr::V6(interface.mac.within(LINK_LOCAL))))
    });
    places.extend(local);
    places
}

/// Another node on the link of an interface. A link-local address is only clear to a node with a single interface.
fn neighbour<'s>(
    stage: &'s Stage,
    node: &Node,
    interface: &StagedInterface,
    family: Family,
    single: bool,
) -> Option<&'s NodeName> {
    let mut others = stage.nodes.iter().filter(|(name, _)| **name != node.name);
    let beside = others.find(|(_, other)| {
        let mut on = other.interfaces.iter().filter(|i| i.segment == interface.segment);
        on.any(|i| i.families.has(family)) && (!single || other.interfaces.len() == 1)
    });
    beside.map(|(name, _)| name)
}

fn try_door(judge: Judge, stage: &Stage, seen: &Seen<'_>, door: &Door<'_>) -> Judgement {
    let port = door.port();
    let subject =
        format!("{}->{}/{}, {}", door.from, door.node.name, door.service.name, door.address);
    let Some((id, answer)) = seen.answer(&door.knock()) else {
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
                let reason = format!("nothing from there reaches {}: {said}", door.address);
                judge.not_testable(subject, reason, [id, control])
            }
            None => judge.not_testable(subject, "its control was not asked", [id]),
        };
    }
    let family = Family::of(door.address);
    let args = [
        ("service", door.service.name.to_string()),
        ("node", door.node.name.to_string()),
        ("family", family.to_string()),
        ("from", door.from.to_string()),
        ("segment", door.segment.to_string()),
        ("address", door.address.to_string()),
        ("port", port.to_string()),
        ("observed", reading::describe(answer)),
    ];
    let scope = Scope {
        family: Some(family),
        to: Some(door.node.name.clone()),
        address: Some(door.address),
        port: Some(port),
        from: Some(door.from.clone()),
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
        model::phase::Phase,
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
}

//! `out.port-parity`: from outside, the same ports are open over both families, and only the planned ones.

use std::{collections::BTreeSet, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, legs,
        pages::is_outside,
        reach::Leg,
        reading::{self, Judge},
        sockets,
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        flow::{Intent, Traffic},
        name::NodeName,
        node::Node,
        probe::Probe,
        segment::Plane,
        service::{Port, Service, Transport},
        verdict::Judgement,
    },
    stage::{Exchange, Expect, Stage},
};

/// The check.
pub(super) struct PortParity;

/// Ports that are found open by accident more often than others, TCP: an answer over UDP proves more than silence does.
const WELL_KNOWN: [u16; 9] = [21, 22, 23, 25, 80, 443, 3306, 3389, 5432];

/// How many nodes are looked at from outside.
const MOST: usize = 16;

static TEXT: Text = Text {
    id: "out.port-parity",
    title: "Open ports from outside",
    section: "S1",
    use_case: UseCase::OutsideToInside,
    question: "Are the same ports open from outside over both families, in either direction of the comparison, and only \
               those that are planned?",
    good: "The same planned ports are open over both families.",
    references: &["RFC 7381 section 2.4.3", "RFC 9099 section 2.7.1"],
    cases: &[
        Case {
            name: "missing",
            finding: "{port} of {node} is open from outside over {other} and not over {family}.",
            expected: "Open over both families.",
            observed: "{family}: {observed}, {place}.",
            remedy: "Give the family that lacks it the rule, route or listener of the other.",
        },
        Case {
            name: "exposed",
            finding: "{port} of {node} is open from outside over {family}, which nobody planned.",
            expected: "Closed, as the plan says.",
            observed: "{observed} from {from} at {address}. {socket}.",
            remedy: "Stop what listens there, and let the filter deny what no flow allows in both families.",
        },
    ],
};

/// A port of a node at one address, seen from outside.
struct Door<'s> {
    from: NodeName,
    node: &'s Node,
    at: IpAddr,
    port: Port,
    /// The service that is planned there.
    service: Option<&'s Service>,
    expect: Expect,
    probe: Probe,
}

impl Check for PortParity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(doors(stage).into_iter().map(|door| door.probe))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let doors = doors(stage);
        let wanted = doors.iter().filter_map(Door::leg);
        let mut experiments: Vec<_> = wanted.flat_map(|leg| leg.follow_up(stage, seen)).collect();
        let open = doors.iter().filter(|door| door.leg().is_none() && door.is_open(seen));
        experiments.push(Experiment::of_probes(open.map(|door| sockets::probe(&door.node.name))));
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let doors = doors(stage);
        let found = doors.iter().map(|door| door.judge(judge, stage, seen, &doors)).collect();
        judge.or_not_applicable(found, "there is nobody outside who could look")
    }
}

/// The first client outside looks at the addresses of nodes with services: at every port that some service of the
/// testbed has, and at the well-known ones.
fn doors(stage: &Stage) -> Vec<Door<'_>> {
    let nodes = &stage.testbed.nodes;
    let Some(client) = nodes.values().find(|node| is_outside(node)) else { return Vec::new() };
    let inside = nodes.values().filter(|node| node.site.is_some() && !node.services.is_empty());
    let inside = legs::sample(inside.collect(), MOST);
    let ports = ports(stage);
    let mut doors = Vec::new();
    for node in inside {
        for family in Family::ALL {
            for at in stage.addresses(&node.name, Plane::Data, family) {
                doors.extend(ports.iter().filter_map(|port| door(stage, client, node, at, *port)));
            }
        }
    }
    doors
}

fn ports(stage: &Stage) -> BTreeSet<Port> {
    let services = stage.testbed.nodes.values().flat_map(|node| &node.services);
    let tcp = |number| Port { transport: Transport::Tcp, number };
    let planned = services.flat_map(Service::ports).filter(|port| port.transport == Transport::Tcp);
    planned.chain(WELL_KNOWN.map(tcp)).collect()
}

fn door<'s>(
    stage: &'s Stage,
    client: &Node,
    node: &'s Node,
    at: IpAddr,
    port: Port,
) -> Option<Door<'s>> {
    let family = Family::of(at);
    let offered = |s: &&Service| {
        s.ports().any(|p| p == port) && stage.service_addresses(node, s, family).contains(&at)
    };
    let service = node.services.iter().find(offered);
    let exchange = Exchange {
        flow: String::new(),
        from: client.name.clone(),
        to: node.name.clone(),
        service: service.map(|service| service.name.clone()),
        traffic: Traffic::Port { word: port.to_string(), port },
        intent: Intent::Allow,
    };
    stage.path(&client.name, at).ok()?;
    let expect = stage.expect(&exchange, at);
    let hello = service.and_then(|service| ask::hello(stage, &client.name, node, service, at));
    let is_tcp = |p: &Probe| !matches!(p.question, crate::model::probe::Question::Lookup { .. });
    let probe = hello
        .filter(|probe| matches!(expect, Expect::Reach(_)) && is_tcp(probe))
        .unwrap_or_else(|| ask::knock(&client.name, at, port));
    Some(Door { from: client.name.clone(), node, at, port, service, expect, probe })
}

impl Door<'_> {
    fn family(&self) -> Family {
        Family::of(self.at)
    }

    fn subject(&self) -> String {
        format!("{}->{}/{}/{}", self.from, self.node.name, self.port, self.at)
    }

    /// The way, if it is to be open.
    fn leg(&self) -> Option<Leg> {
        match &self.expect {
            Expect::Reach(path) => Some(Leg::new(path.clone(), self.probe.clone())),
            _ => None,
        }
    }

    fn is_open(&self, seen: &Seen<'_>) -> bool {
        seen.answer(&self.probe).is_some_and(|(_, answer)| answer.is_answered())
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        let Some((id, answer)) = seen.answer(&self.probe) else {
            return judge.not_testable(self.subject(), "the question was not sent", []);
        };
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(self.subject(), reason, [id]);
        }
        match (self.leg(), answer.is_answered()) {
            (Some(_), true) => judge.pass(self.subject(), [id]),
            (None, false) => judge.absent(self.subject(), "closed, as planned", [id]),
            (None, true) => {
                let complaint = self.exposed(stage, seen, reading::describe(answer));
                judge.fail(self.subject(), [id], complaint)
            }
            (Some(leg), false) => self.missing(judge, stage, seen, all, &leg),
        }
    }

    /// Closed although planned: a matter of parity only where the other family is open.
    fn missing(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        all: &[Self],
        leg: &Leg,
    ) -> Judgement {
        let twin = all.iter().find(|door| {
            door.node.name == self.node.name
                && door.port == self.port
                && door.family() != self.family()
                && door.is_open(seen)
        });
        let reading = leg.read(stage, seen);
        let (Some(_), Some(reading)) = (twin, reading) else {
            let reason = "closed, and no other family is open: see out.service-reach";
            return judge.blocked(self.subject(), reason, []);
        };
        if reading.reached != reading::Reached::No {
            let reason = "answered only some of the time: see out.service-reach";
            return judge.blocked(self.subject(), reason, reading.evidence);
        }
        let args = [
            ("port", self.port.to_string()),
            ("node", self.node.name.to_string()),
            ("family", self.family().to_string()),
            ("other", self.family().other().to_string()),
            ("observed", reading.observed.clone()),
            ("place", reading.place()),
        ];
        let complaint = Complaint {
            depth: reading.depth(),
            ..reading::complaint(stage, "missing", reading.culprit(leg), leg.scope(), args)
        };
        judge.fail(self.subject(), reading.evidence, complaint)
    }

    /// Open although nobody planned it: the filter that should have stopped it is to blame, or what listens there.
    fn exposed(&self, stage: &Stage, seen: &Seen<'_>, observed: String) -> Complaint {
        let table = sockets::of(seen, &self.node.name);
        let socket = match table {
            Some((_, held)) => {
                format!(
                    "The socket table of {} holds {}",
                    self.node.name,
                    sockets::table(held, self.port)
                )
            }
            None => "The socket table could not be read".to_owned(),
        };
        let (culprit, depth) = match (&self.expect, self.service) {
            (Expect::Blocked { by, .. }, _) => {
                (Culprit::node(by, format!("forwarding of {}", self.family())), Depth::Located)
            }
            (_, Some(service)) => (sockets::listener(&self.node.name, service), Depth::Read),
            (_, None) => (sockets::stranger(&self.node.name, self.port), Depth::Read),
        };
        let path = stage.path(&self.from, self.at).ok();
        let scope = path.map(|path| Leg::new(path, self.probe.clone()).scope()).unwrap_or_default();
        let args = [
            ("port", self.port.to_string()),
            ("node", self.node.name.to_string()),
            ("family", self.family().to_string()),
            ("from", self.from.to_string()),
            ("address", self.at.to_string()),
            ("observed", observed),
            ("socket", socket),
        ];
        Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            depth,
            ..reading::complaint(stage, "exposed", culprit, scope, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            cause,
            fixture::{self, Network},
            from_outside::service_reach::SERVICE_REACH,
            svc::listen_families::ListenFamilies,
        },
        model::{
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
        },
        stage::Listener,
    };

    /// The firewall lets everything of a family pass.
    fn opened(family: Family) -> Network {
        Network::healthy(Phase::DualStack).with(|live| {
            let filter = &mut live.nodes.get_mut("firewall").unwrap().filter;
            let forward = filter.chains.iter_mut().find(|c| c.hook == Hook::Forward).unwrap();
            let rule = Rule {
                label: "open".to_owned(),
                matches: vec![Match::Family(family)],
                action: Action::Accept,
            };
            forward.rules.insert(0, rule);
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&PortParity);
    }

    #[test]
    fn a_port_that_is_missing_over_one_family_is_a_symptom_of_the_listener() {
        let network = Network::healthy(Phase::DualStack).deafen("portal", "https", Family::V6);
        let judgements = network.ask(&[&PortParity, &SERVICE_REACH, &ListenFamilies]);
        let missing = judgements.iter().filter(|j| j.check == "out.port-parity");
        assert_eq!(missing.filter(|j| j.complaint.is_some()).count(), 1);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].check, "svc.listen-families");
    }

    #[test]
    fn a_listener_that_nobody_planned_is_exposed_where_the_filter_is_open() {
        let stranger = |live: &mut Stage| {
            live.nodes.get_mut("portal").unwrap().listeners.push(Listener {
                service: fixture::service("stranger"),
                kind: crate::model::service::ServiceKind::Https,
                address: Family::V6.unspecified(),
                port: 3306,
            });
        };
        let shut = Network::healthy(Phase::DualStack).with(stranger);
        assert_eq!(fixture::complaints(&PortParity, &shut), [], "the firewall keeps it in");
        let open = opened(Family::V6).with(stranger);
        let found = fixture::complaints(&PortParity, &open);
        let exposed = ("exposed".to_owned(), "firewall (forwarding of IPv6)".to_owned());
        assert!(found.contains(&exposed), "{found:?}");
    }

    #[test]
    fn a_filter_opened_over_ipv6_exposes_what_listens_behind_it() {
        let found = fixture::complaints(&PortParity, &opened(Family::V6));
        assert!(found.iter().all(|one| one.1 == "firewall (forwarding of IPv6)"), "{found:?}");
    }
}

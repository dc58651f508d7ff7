//! `svc.listen-families`: services listen on exactly the families of the phase, by the socket table of their node.

use std::{net::IpAddr, ops::RangeInclusive};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{self, Judge},
        sockets,
    },
    model::{
        answer::Answer,
        answer::SocketState,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Depth, Severity},
        name::NodeName,
        node::Node,
        probe::Probe,
        service::{Port, Service, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(in crate::check) struct ListenFamilies;

static TEXT: Text = Text {
    id: "svc.listen-families",
    title: "Listening sockets",
    section: "S2 2.3.1",
    use_case: UseCase::NetworkServices,
    question: "Does every service listen on exactly the families of the phase, by the socket table of its node, and does \
               nothing else listen?",
    good: "Every service listens on the planned families, and nothing else listens.",
    references: &["RFC 3493", "RFC 4038"],
    cases: &[
        Case {
            name: "deaf",
            finding: "{service} of {node} does not listen on {families}.",
            expected: "A socket at {port} for {families}.",
            observed: "The socket table holds {table}.",
            remedy: "Let the service bind to the wildcard address of the missing family, in the configuration that is read \
                     at its start, and start it after its addresses are usable.",
        },
        Case {
            name: "early",
            finding: "{service} of {node} listens on {families}, which the phase does not plan.",
            expected: "No socket at {port} for {families}.",
            observed: "The socket table holds {table}.",
            remedy: "Bind the service to the planned families, or plan the family and its filter rules.",
        },
        Case {
            name: "unplanned",
            finding: "Something that nobody planned listens at {port} of {node} on {families}.",
            expected: "No socket at {port}.",
            observed: "The socket table holds {table}.",
            remedy: "Find the process and stop it, or write the service into the plan.",
        },
    ],
};

impl Check for ListenFamilies {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(stage.nodes.keys().map(sockets::probe))]
    }

    /// A socket that is about to ask something of somebody looks like a listener for a moment. Who listens is still there
    /// when the node is looked at again.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let nodes = stage.testbed.nodes.values();
        let with_strangers = nodes.filter(|node| {
            sockets::of(seen, &node.name)
                .is_some_and(|(_, held)| !strange(stage, node, held).is_empty())
        });
        vec![Experiment::of_probes(with_strangers.map(|node| look_again(&node.name)))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let nodes = stage.testbed.nodes.values();
        let found = nodes.flat_map(|node| of_node(judge, stage, seen, node)).collect();
        judge.or_not_applicable(found, "the testbed has no services")
    }
}

fn of_node(judge: Judge, stage: &Stage, seen: &Seen<'_>, node: &Node) -> Vec<Judgement> {
    let Some((id, held)) = sockets::of(seen, &node.name) else {
        let reason = "the socket table could not be read";
        return vec![judge.not_testable(node.name.as_str(), reason, [])];
    };
    let mut found = Vec::new();
    for service in &node.services {
        for port in service.ports() {
            found.extend(of_service(judge, stage, node, service, port, (id, held)));
        }
    }
    let again = match seen.answer(&look_again(&node.name)) {
        Some((later, Answer::Sockets(again))) => (vec![id, later], again.as_slice()),
        _ => (vec![id], held),
    };
    found.extend(strangers(judge, stage, node, held, again));
    found
}

fn of_service(
    judge: Judge,
    stage: &Stage,
    node: &Node,
    service: &Service,
    port: Port,
    (id, held): (EvidenceId, &[SocketState]),
) -> Vec<Judgement> {
    let subject =
        |family: Family| format!("{}/{}/{port}/{}", node.name, service.name, family.word());
    let planned: Families = Family::ALL
        .into_iter()
        .filter(|f| sockets::planned(stage, node, service, *f).next().is_some())
        .collect();
    let deaf: Families =
        planned.iter().filter(|f| is_deaf(stage, node, service, port, *f, held)).collect();
    let live: Families = held
        .iter()
        .filter(|s| is_of(s, service, port))
        .fold(Families::NONE, |all, s| all.or(s.families()));
    let judged = Family::ALL.into_iter().filter_map(|family| {
        if deaf.has(family) {
            let complaint = complaint(stage, node, service, port, "deaf", deaf, held);
            // Without any socket in a planned family, all that goes to the port is touched.
            let touched = (deaf != planned).then_some(family);
            let scope = sockets::scope(&node.name, port, touched);
            return Some(judge.fail(subject(family), [id], Complaint { scope, ..complaint }));
        }
        if planned.has(family) {
            return Some(judge.pass(subject(family), [id]));
        }
        (live.has(family) && deaf.is_empty()).then(|| {
            let early = Families::only(family);
            let complaint = complaint(stage, node, service, port, "early", early, held);
            let scope = sockets::scope(&node.name, port, Some(family));
            let severity = Severity::Minor;
            judge.fail(subject(family), [id], Complaint { severity, scope, ..complaint })
        })
    });
    let judged: Vec<_> = judged.collect();
    if judged.is_empty() {
        let reason = "no socket is planned in this phase, and none is there";
        let subject = format!("{}/{}/{port}", node.name, service.name);
        return vec![judge.absent(subject, reason, [id])];
    }
    judged
}

/// Sockets that are known to be the service's; on a foreign machine, whatever has its port.
fn is_of(socket: &SocketState, service: &Service, port: Port) -> bool {
    sockets::port_of(socket) == port
        && socket.service.as_ref().is_none_or(|name| *name == service.name)
}

fn is_deaf(
    stage: &Stage,
    node: &Node,
    service: &Service,
    port: Port,
    family: Family,
    held: &[SocketState],
) -> bool {
    sockets::planned(stage, node, service, family)
        .any(|l| !sockets::takes(stage, &node.name, held, l, port))
}

fn complaint(
    stage: &Stage,
    node: &Node,
    service: &Service,
    port: Port,
    case: &str,
    families: Families,
    held: &[SocketState],
) -> Complaint {
    let args = [
        ("service", service.name.to_string()),
        ("node", node.name.to_string()),
        ("port", port.to_string()),
        ("families", families.to_string()),
        ("table", sockets::table(held, port)),
    ];
    let culprit = sockets::listener(&node.name, service);
    let family = families.iter().next().filter(|_| !families.is_dual());
    let scope = sockets::scope(&node.name, port, family);
    Complaint {
        confidence: Confidence::High,
        depth: Depth::Read,
        ..reading::complaint(stage, case, culprit, scope, args)
    }
}

fn look_again(node: &NodeName) -> Probe {
    ask::again(&sockets::probe(node), 1)
}

/// Ports at which sockets are and the node has no service. The loopback address and link-local addresses count for nobody
/// else.
fn strange(stage: &Stage, node: &Node, held: &[SocketState]) -> Vec<Port> {
    let of_dhcp = crate::check::dhcp::ports(stage, &node.name);
    // An end of a tunnel that hears whatever port its peer sends from is a listener, as a server is (RFC 7348 section 5).
    let of_tunnels = stage.nodes[&node.name].tunnels.iter();
    let of_tunnels =
        of_tunnels.map(|end| Port { transport: Transport::Udp, number: end.local.port() });
    let of_services = node.services.iter().flat_map(Service::ports);
    let planned: Vec<_> = of_services.chain(of_dhcp).chain(of_tunnels).collect();
    let mut ports: Vec<_> = held
        .iter()
        .filter(|socket| is_public(socket.local.ip()) && socket.service.is_none())
        .map(sockets::port_of)
        .filter(|port| !planned.contains(port))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// Sockets that nobody planned and that are there both times.
fn strangers(
    judge: Judge,
    stage: &Stage,
    node: &Node,
    held: &[SocketState],
    (evidence, again): (Vec<EvidenceId>, &[SocketState]),
) -> Vec<Judgement> {
    let still = strange(stage, node, again);
    let ports = strange(stage, node, held).into_iter().filter(|port| still.contains(port));
    let (senders, ports): (Vec<_>, Vec<_>) = ports.partition(|port| may_be_of_a_sender(*port));
    let senders = (!senders.is_empty()).then(|| {
        let reason = "a socket at a port that the kernel gives to whoever sends without asking for one: whether somebody listens \
                      there cannot be told";
        judge.info(format!("{}/udp of senders", node.name), reason, evidence.clone())
    });
    let judged = ports.into_iter().map(|port| {
        let at = held.iter().filter(|socket| sockets::port_of(socket) == port);
        let families = at.fold(Families::NONE, |all, socket| all.or(socket.families()));
        let args = [
            ("node", node.name.to_string()),
            ("port", port.to_string()),
            ("families", families.to_string()),
            ("table", sockets::table(held, port)),
        ];
        let family = families.iter().next().filter(|_| !families.is_dual());
        let scope = sockets::scope(&node.name, port, family);
        let culprit = sockets::stranger(&node.name, port);
        let complaint = Complaint {
            severity: Severity::Minor,
            confidence: Confidence::High,
            depth: Depth::Read,
            ..reading::complaint(stage, "unplanned", culprit, scope, args)
        };
        judge.fail(format!("{}/{port}", node.name), evidence.clone(), complaint)
    });
    judged.chain(senders).collect()
}

/// The ports that Linux gives to sockets that ask for none (`net.ipv4.ip_local_port_range`).
const GIVEN: RangeInclusive<u16> = 32_768..=60_999;

/// Whether a socket at a port may be of a program that only sends, as what forwards log messages keeps one open: over UDP it
/// looks like that of a server.
fn may_be_of_a_sender(port: Port) -> bool {
    port.transport == Transport::Udp && GIVEN.contains(&port.number)
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_loopback(),
        IpAddr::V6(v6) => !v6.is_loopback() && !v6.is_unicast_link_local(),
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
        },
        model::{answer::Answer, phase::Phase, verdict::Verdict},
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&ListenFamilies);
    }

    /// As BIND does it.
    #[test]
    fn a_socket_for_each_address_is_as_good_as_one_for_all() {
        let each = |but: usize| {
            Network::healthy(Phase::DualStack).bend(move |probe, answer| {
                let Answer::Sockets(sockets) = answer else { return };
                let portal = &Network::healthy(Phase::DualStack).plan.nodes["portal"];
                let own = portal.interfaces.iter().flat_map(|i| i.addresses.clone());
                let own: Vec<_> = own.map(|a| a.ip()).filter(IpAddr::is_ipv6).collect();
                if probe.from.as_str() != "portal" {
                    return;
                }
                let is_https = |s: &SocketState| s.local.port() == 443 && s.local.is_ipv6();
                let all = sockets.iter().find(|s| is_https(s)).expect("it listens").clone();
                sockets.retain(|s| !is_https(s));
                sockets.extend(
                    own.into_iter()
                        .skip(but)
                        .map(|ip| SocketState { local: (ip, 443).into(), ..all.clone() }),
                );
            })
        };
        assert_eq!(fixture::complaints(&ListenFamilies, &each(0)), []);
        assert_eq!(fixture::complaints(&ListenFamilies, &each(1)).len(), 1);
    }

    #[test]
    fn a_socket_that_is_gone_when_one_looks_again_or_may_be_of_a_sender_is_no_listener() {
        let passing = |rounds: u8, local: &'static str| {
            Network::healthy(Phase::DualStack).bend(move |probe, answer| {
                if let Answer::Sockets(sockets) = answer
                    && probe.from.as_str() == "portal"
                    && probe.round < rounds
                {
                    sockets.push(SocketState {
                        transport: Transport::Udp,
                        local: local.parse().unwrap(),
                        v6_only: Some(true),
                        service: None,
                    });
                }
            })
        };
        assert_eq!(fixture::complaints(&ListenFamilies, &passing(1, "[::]:5353")), []);
        assert_eq!(fixture::complaints(&ListenFamilies, &passing(2, "[::]:5353")).len(), 1);
        let sends = passing(2, "[::]:36447");
        assert_eq!(fixture::complaints(&ListenFamilies, &sends), []);
        let judged = sends.ask(&[&ListenFamilies]);
        let told = judged.iter().find(|j| j.verdict == Verdict::Info).unwrap();
        assert_eq!(told.subject, "portal/udp of senders");
    }

    #[test]
    fn a_deaf_service_is_one_finding_and_the_refused_clients_are_its_symptoms() {
        let network = Network::healthy(Phase::DualStack).deafen("portal", "https", Family::V6);
        let judgements = network.ask(&[&ListenFamilies, &SERVICE_REACH]);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].culprit.to_string(), "portal (listener https)");
        assert_eq!(
            (found[0].check.as_str(), found[0].case.as_str()),
            ("svc.listen-families", "deaf")
        );
        assert_eq!(found[0].symptoms.len(), 1);
    }

    #[test]
    fn a_stopped_service_is_one_finding_for_both_families() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "dns", Family::V6).deafen(
            "ns",
            "dns",
            Family::V4,
        );
        let judgements = network.ask(&[&ListenFamilies]);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].args["families"], "IPv4 and IPv6");
    }

    #[test]
    fn a_wildcard_socket_for_both_families_serves_both_and_a_stranger_is_found() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            if let Answer::Sockets(sockets) = answer
                && probe.from.as_str() == "portal"
            {
                sockets.retain(|s| s.local.port() != 443 || s.local.is_ipv6());
                for socket in sockets.iter_mut().filter(|s| s.local.port() == 443) {
                    socket.v6_only = Some(false);
                }
                sockets.push(SocketState {
                    transport: Transport::Tcp,
                    local: "[::]:3306".parse().unwrap(),
                    v6_only: Some(true),
                    service: None,
                });
            }
        });
        let found = fixture::complaints(&ListenFamilies, &network);
        assert_eq!(found, [("unplanned".to_owned(), "portal (listener tcp/3306)".to_owned())]);
    }

    #[test]
    fn a_service_that_listens_too_early_is_found() {
        let network = Network::healthy(Phase::Ipv4Only).with(|live| {
            let listeners = &mut live.nodes.get_mut("portal").unwrap().listeners;
            let mut early = listeners.iter().find(|l| l.port == 443).unwrap().clone();
            early.address = Family::V6.unspecified();
            listeners.push(early);
        });
        let found = fixture::complaints(&ListenFamilies, &network);
        assert_eq!(found, [("early".to_owned(), "portal (listener https)".to_owned())]);
    }
}

//! `dns.server-listens`: name servers and resolvers answer over every transport and family that the phase plans.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        legs::{self, Named},
        names::{self, Server},
        reach::Leg,
        reading::{self, Judge, Reached},
        sockets,
    },
    model::{
        answer::{Answer, DnsReply},
        evidence::Seen,
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        name::DomainName,
        phase::Phase,
        record::RecordType,
        service::{Port, ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct ServerListens;

static TEXT: Text = Text {
    id: "dns.server-listens",
    title: "DNS over both families",
    section: "S2 2.1.1",
    use_case: UseCase::NetworkServices,
    question: "Does every name server and resolver answer at each of its addresses, over UDP and TCP, with the right \
               reply and not just any?",
    good: "Every name server and resolver answers over every planned family and transport.",
    references: &["RFC 3901", "RFC 8504 section 7", "RFC 7766"],
    cases: &[
        Case {
            name: "deaf",
            finding: "{what} does not listen on {family}; another address hides it until that family is the only one.",
            expected: "A socket at {port} for {family}.",
            observed: "{observed}; the socket table of the node holds {table}.",
            remedy: "Let the server listen on the family (`listen-on-v6 { any; }`, `interface: ::0`).",
        },
        Case {
            name: "down",
            finding: "Nothing listens at {port} of {node} over either family: {service} is not there.",
            expected: "A socket at {port} for {planned}.",
            observed: "{observed}; the socket table of the node holds {table}.",
            remedy: "Start the server, and look in its log why it ended; if it runs, let it bind to the addresses of the node.",
        },
        Case {
            name: "unreachable",
            finding: "{from} gets no answer from {what} over {family}.",
            expected: "An answer at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Follow the question to the node that is named, then mend its route or rule.",
        },
        Case {
            name: "flaky",
            finding: "{from} gets an answer from {what} over {family} only some of the time.",
            expected: "An answer at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way before judging anything else.",
        },
        Case {
            name: "lame",
            finding: "{what} answers {from} over {family}, but not as it must.",
            expected: "NOERROR with AA from a name server, RA from a resolver.",
            observed: "{observed}.",
            remedy: "Load the zone into the server; enter the client's prefix of this family in the list of those for whom the \
                     resolver resolves (`allow-recursion`, `access-control`).",
        },
    ],
};

struct Subject {
    server: Server,
    transport: Transport,
    zone: DomainName,
    named: Named,
}

impl Check for ServerListens {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let subjects = subjects(stage);
        let tables = subjects.iter().map(|subject| sockets::probe(&subject.server.node));
        let questions = subjects.iter().map(|subject| subject.named.leg.probe.clone());
        vec![Experiment::of_probes(questions.chain(tables))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let named: Vec<_> = subjects(stage).into_iter().map(|subject| subject.named).collect();
        legs::follow_up(stage, seen, &named)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subjects = subjects(stage);
        let named: Vec<_> = subjects.iter().map(|subject| subject.named.clone()).collect();
        let reached = legs::judge(judge, stage, seen, &named);
        let found = subjects.iter().zip(reached).map(|(s, j)| of_one(judge, stage, seen, s, j));
        judge.or_not_applicable(found.collect(), "no name server is planned in this phase")
    }
}

fn subjects(stage: &Stage) -> Vec<Subject> {
    let zones = names::forward_zones(stage);
    let Some(zone) = zones.first().map(|zone| zone.origin.clone()) else { return Vec::new() };
    let both = [Transport::Udp, Transport::Tcp];
    let servers = names::servers(stage).into_iter();
    let pairs = servers.flat_map(|server| both.map(|transport| (server.clone(), transport)));
    pairs.filter_map(|(server, transport)| subject(stage, server, transport, &zone)).collect()
}

fn subject(
    stage: &Stage,
    server: Server,
    transport: Transport,
    zone: &DomainName,
) -> Option<Subject> {
    let own = stage.nodes[&server.node].zones.as_ref().and_then(|(_, zones)| zones.first());
    let zone = match server.kind {
        ServiceKind::Dns => own?.origin.clone(),
        _ => zone.clone(),
    };
    let path = stage.path(&server.asker, server.at.ip()).ok()?;
    let probe = names::lookup(&server, &zone, RecordType::Soa, transport, None);
    let named = Named {
        subject: format!("{}->{}/{transport}/{}", server.asker, server.node, server.at.ip()),
        what: format!("{} of {} ({transport})", server.service, server.node),
        leg: Leg::new(path, probe),
        severity: Severity::Major,
        name: None,
    };
    Some(Subject { server, transport, zone, named })
}

fn of_one(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    subject: &Subject,
    reached: Judgement,
) -> Judgement {
    if !reached.verdict.is_bad() {
        return lame(judge, stage, seen, subject).unwrap_or(reached);
    }
    let Some(mut complaint) = reached.complaint.clone() else { return reached };
    complaint.bites_in = bites(stage, subject.named.leg.family());
    deaf(judge, seen, stage, subject, &reached, &complaint)
        .unwrap_or(Judgement { complaint: Some(complaint), ..reached })
}

/// While the other family answers too, resolvers and stubs fall back at once: it bites when the other family goes.
fn bites(stage: &Stage, family: Family) -> Vec<Phase> {
    let all = reading::bites(stage, family);
    let alone = |phase: &Phase| !phase.permits().is_dual();
    if all.iter().any(|phase| *phase > stage.phase && alone(phase)) {
        return all.into_iter().filter(alone).collect();
    }
    all
}

/// The socket table says that nothing listens there: the root of it.
fn deaf(
    judge: Judge,
    seen: &Seen<'_>,
    stage: &Stage,
    subject: &Subject,
    reached: &Judgement,
    complaint: &Complaint,
) -> Option<Judgement> {
    let Subject { server, transport, named, .. } = subject;
    let node = &stage.testbed.nodes[&server.node];
    let service = node.service(server.service.as_str())?;
    let (id, held) = sockets::of(seen, &server.node)?;
    let family = named.leg.family();
    let planned: Families = Family::ALL
        .into_iter()
        .filter(|f| sockets::planned(stage, node, service, *f).next().is_some())
        .collect();
    let port = Port { transport: *transport, number: server.at.port() };
    if sockets::planned(stage, node, service, family)
        .all(|l| sockets::takes(stage, &node.name, held, l, port))
    {
        return None;
    }
    let mut listeners = planned.iter().flat_map(|f| sockets::planned(stage, node, service, f));
    let all_deaf = listeners.all(|l| !sockets::takes(stage, &node.name, held, l, port));
    let is_down = held.iter().all(|socket| sockets::port_of(socket) != port);
    let mut complaint = Complaint {
        case: if is_down { "down" } else { "deaf" }.to_owned(),
        culprit: sockets::listener(&server.node, service),
        scope: sockets::scope(&server.node, port, (!all_deaf).then_some(family)),
        depth: Depth::Read,
        confidence: Confidence::High,
        ..complaint.clone()
    };
    if is_down {
        complaint.bites_in = reading::bites(stage, family);
    }
    for (key, value) in [
        ("port", port.to_string()),
        ("table", sockets::table(held, port)),
        ("node", server.node.to_string()),
        ("service", server.service.to_string()),
        ("planned", planned.to_string()),
    ] {
        complaint.args.insert(key.to_owned(), value);
    }
    let evidence = [reached.evidence.clone(), vec![id]].concat();
    Some(judge.fail(&named.subject, evidence, complaint))
}

/// Any reply is not success: an authoritative server must say AA, a resolver RA.
fn lame(judge: Judge, stage: &Stage, seen: &Seen<'_>, subject: &Subject) -> Option<Judgement> {
    let Subject { server, named, zone, .. } = subject;
    let (id, Answer::Dns { reply: Some(reply), .. }) = seen.answer(&named.leg.probe)? else {
        return None;
    };
    if serves(server.kind, reply) {
        return None;
    }
    let reading = named.leg.read(stage, seen)?;
    debug_assert_eq!(reading.reached, Reached::Yes);
    let mut complaint = named.complaint(stage, seen, &reading, "lame", &[]);
    let (flag, is_set, part) = match server.kind {
        ServiceKind::Resolver => {
            ("RA", reply.recursion_available, format!("clients of {}", server.service))
        }
        _ => ("AA", reply.authoritative, format!("zone {zone}")),
    };
    let with = if is_set { "with" } else { "without" };
    let observed = format!("{} {with} {flag} for {zone}", reply.rcode);
    complaint.args.insert("observed".to_owned(), observed);
    complaint.culprit = Culprit::node(&server.node, part);
    complaint.depth = Depth::Located;
    Some(judge.fail(&named.subject, [id], complaint))
}

/// Whether a server answers, and has not even its zone, or resolves for nobody: whatever else is wrong with its answers comes of
/// that. Known only where its zone was asked for.
pub(super) fn is_lame(stage: &Stage, seen: &Seen<'_>, server: &Server) -> bool {
    let zones = names::forward_zones(stage);
    let Some(zone) = zones.first() else { return false };
    let asked = subject(stage, server.clone(), Transport::Udp, &zone.origin);
    let answer = asked.and_then(|asked| seen.answer(&asked.named.leg.probe));
    matches!(answer, Some((_, Answer::Dns { reply: Some(reply), .. })) if !serves(server.kind, reply))
}

fn serves(kind: ServiceKind, reply: &DnsReply) -> bool {
    match kind {
        ServiceKind::Resolver => reply.recursion_available,
        _ => reply.authoritative && reply.rcode == "NoError",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{
        cause,
        fixture::{self, Network},
        svc::listen_families::ListenFamilies,
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&ServerListens);
    }

    #[test]
    fn a_resolver_that_is_deaf_on_ipv6_bites_when_ipv4_goes() {
        let network = Network::healthy(Phase::DualStack).deafen("resolver", "resolver", Family::V6);
        let judgements = network.ask(&[&ServerListens, &ListenFamilies]);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].culprit.to_string(), "resolver (listener resolver)");
        assert_eq!(found[0].check, "dns.server-listens");
        assert_eq!(found[0].bites_in, [Phase::Ipv6Only]);
    }

    #[test]
    fn a_server_that_is_dead_is_told_as_such_once() {
        let dead = |node, service| {
            Network::healthy(Phase::DualStack).deafen(node, service, Family::V6).deafen(
                node,
                service,
                Family::V4,
            )
        };
        for (node, service) in [("ns", "dns"), ("resolver", "resolver")] {
            let judgements = dead(node, service).ask(&[&ServerListens, &ListenFamilies]);
            let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
            assert_eq!(found.len(), 1, "{found:#?}");
            assert_eq!(found[0].culprit.to_string(), format!("{node} (listener {service})"));
            assert_eq!(
                (found[0].check.as_str(), found[0].case.as_str()),
                ("dns.server-listens", "down")
            );
            assert_eq!(found[0].args["planned"], "IPv4 and IPv6");
            assert!(found[0].bites_in.contains(&Phase::DualStack), "{:?}", found[0].bites_in);
        }
    }

    #[test]
    fn a_refusal_is_not_success() {
        let network = Network::healthy(Phase::DualStack).with(|live| {
            live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1.clear();
        });
        let found = fixture::complaints(&ServerListens, &network);
        assert!(!found.is_empty());
        assert!(
            found.iter().all(|one| *one == ("lame".to_owned(), "ns (zone dc.test)".to_owned())),
            "{found:?}"
        );
    }
}

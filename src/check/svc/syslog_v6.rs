//! `svc.syslog-v6`: log messages arrive at the sink over every planned family, under an address of their sender.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, exchanged, legs,
        reach::{Leg, LegReading},
        reading::{self, Judge, Reached},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Severity},
        name::NodeName,
        node::Node,
        phase::Phase,
        probe::{Probe, Question},
        service::{Port, Service, ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// The check.
pub(super) struct Syslog;

static TEXT: Text = Text {
    id: "svc.syslog-v6",
    title: "Logging over both families",
    section: "S2 4.2",
    use_case: UseCase::NetworkServices,
    question: "Does a marked message of every node that logs to a sink arrive there, over every planned family?",
    good: "Log messages arrive over every planned family.",
    references: &["RFC 5426", "RFC 7381 section 2.7", "RFC 9099 section 3.2"],
    cases: &[Case {
        name: "lost",
        finding: "Log messages of {from} never arrive at {sink} over {family}.",
        expected: "The marked message at {sink}, from an address of {from}.",
        observed: "Not one of {sent} messages to {address} arrived, {place}.",
        remedy: "Let the collector listen on the family, and open the port on the way and in its access list.",
    }],
};

/// The messages of a node to one address of its sink.
pub(in crate::check) struct Subject {
    pub(in crate::check) from: NodeName,
    pub(in crate::check) sink: NodeName,
    at: SocketAddr,
    path: Path,
    phase: Phase,
}

impl Check for Syslog {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        subjects(stage).iter().map(|subject| subject.experiment(0)).collect()
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let lost = subjects(stage).into_iter().filter(|s| s.arrival(seen, 0) == Arrival::Lost);
        let again = lost.flat_map(|subject| {
            (1..=reading::REPETITIONS).map(move |round| Experiment {
                taps: if round == 1 { subject.leg(seen).taps() } else { Vec::new() },
                ..subject.experiment(round)
            })
        });
        again.collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = subjects(stage).iter().map(|s| s.judge(judge, stage, seen)).collect();
        let found =
            [found, left_out(judge, stage, |s| exchanged::delivered(&s.from, &s.sink, s.at.ip()))];
        judge.or_not_applicable(found.concat(), "no node logs to a sink in this phase")
    }
}

/// Who sends messages where, and is let.
pub(in crate::check) fn subjects(stage: &Stage) -> Vec<Subject> {
    let open = all(stage).filter(|subject| subject.closed(stage).is_none());
    legs::sample(open.collect(), legs::SAMPLE)
}

/// Those whom no flow lets reach their sink, once for each of their names.
pub(in crate::check) fn left_out(
    judge: Judge,
    stage: &Stage,
    name: impl Fn(&Subject) -> String,
) -> Vec<Judgement> {
    let closed = all(stage).filter_map(|subject| Some((name(&subject), subject.closed(stage)?)));
    let closed: BTreeMap<_, _> = closed.collect();
    closed.into_iter().map(|(subject, why)| judge.not_applicable(subject, why)).collect()
}

fn all(stage: &Stage) -> impl Iterator<Item = Subject> {
    stage.testbed.nodes.values().flat_map(|node| of_node(stage, node))
}

fn of_node(stage: &Stage, node: &Node) -> Vec<Subject> {
    let sink = node.logs_to.as_ref().and_then(|name| stage.testbed.nodes.get(name));
    let Some(sink) = sink else { return Vec::new() };
    let offered = |service: &&Service| service.kind == ServiceKind::Syslog;
    let services = sink.services.iter().filter(offered);
    let sockets = services.flat_map(|service| {
        let live = Family::ALL.into_iter().filter(|f| stage.listens(sink, service, *f));
        let addresses = live.flat_map(|family| stage.service_addresses(sink, service, family));
        addresses.map(|address| SocketAddr::new(address, service.port)).collect::<Vec<_>>()
    });
    sockets
        .filter_map(|at| {
            Some(Subject {
                from: node.name.clone(),
                sink: sink.name.clone(),
                at,
                path: stage.path(&node.name, at.ip()).ok()?,
                phase: stage.phase,
            })
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arrival {
    Arrived(EvidenceId, Option<IpAddr>),
    Lost,
    Unknown,
}

impl Subject {
    /// Why its messages are not to arrive; `None` where they are.
    fn closed(&self, stage: &Stage) -> Option<String> {
        let port = Port { transport: Transport::Udp, number: self.at.port() };
        legs::closed(stage, &self.path, port)
    }

    pub(in crate::check) fn family(&self) -> Family {
        self.path.family()
    }

    /// Unique in the run for sender, family, address and round.
    fn token(&self, round: u8) -> String {
        let Self { from, at, phase, .. } = self;
        let address: String = at
            .ip()
            .to_string()
            .chars()
            .map(|c| if c.is_alphanumeric() { c } else { '.' })
            .collect();
        format!("sixwalk-{from}-{}-{address}-{}-{round}", self.family().word(), phase.word())
    }

    fn log(&self, round: u8) -> Probe {
        ask::probe(&self.from, Question::Log { to: self.at, token: self.token(round) })
    }

    pub(in crate::check) fn sink(&self, round: u8) -> Probe {
        ask::probe(&self.sink, Question::Sink { token: self.token(round) })
    }

    pub(in crate::check) fn experiment(&self, round: u8) -> Experiment {
        Experiment {
            probes: vec![self.log(round), self.sink(round)],
            in_order: true,
            ..Experiment::default()
        }
    }

    /// The way of its messages, by the source that they had.
    fn leg(&self, seen: &Seen<'_>) -> Leg {
        let sent = (0..=reading::REPETITIONS).filter_map(|round| seen.answer(&self.log(round)));
        Leg::new(self.path.clone(), self.log(1)).sent_from(sent.map(|(_, answer)| answer))
    }

    fn arrival(&self, seen: &Seen<'_>, round: u8) -> Arrival {
        match seen.answer(&self.sink(round)) {
            Some((id, Answer::Sink { from, .. })) => match from.first() {
                Some(sender) => Arrival::Arrived(id, Some(sender.ip().to_canonical())),
                None => Arrival::Lost,
            },
            _ => Arrival::Unknown,
        }
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = exchanged::delivered(&self.from, &self.sink, self.at.ip());
        let rounds = 0..=reading::REPETITIONS;
        let arrivals: Vec<_> = rounds.clone().map(|round| self.arrival(seen, round)).collect();
        let mut evidence: Vec<_> = rounds
            .flat_map(|round| [self.log(round), self.sink(round)])
            .filter_map(|probe| seen.answer(&probe).map(|(id, _)| id))
            .collect();
        if arrivals.iter().any(|arrival| matches!(arrival, Arrival::Arrived(..))) {
            return judge.pass(subject, evidence);
        }
        let sent = arrivals.iter().filter(|arrival| **arrival == Arrival::Lost).count();
        if sent == 0 {
            return judge.not_testable(subject, "the sink could not be asked", evidence);
        }
        let complaint = self.complaint(stage, seen, sent, &mut evidence);
        judge.fail(subject, evidence, complaint)
    }

    fn complaint(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        sent: usize,
        evidence: &mut Vec<EvidenceId>,
    ) -> Complaint {
        let leg = self.leg(seen);
        let reading = LegReading {
            reached: Reached::No,
            observed: "no message arrived".to_owned(),
            telling: None,
            evidence: Vec::new(),
            control: None,
            located: leg.one_way(stage, seen, evidence),
        };
        let args = [
            ("from", self.from.to_string()),
            ("sink", self.sink.to_string()),
            ("family", self.family().to_string()),
            ("sent", sent.to_string()),
            ("address", self.at.to_string()),
            ("place", reading.place()),
        ];
        Complaint {
            severity: Severity::Major,
            depth: reading.depth(),
            ..reading::complaint(stage, "lost", reading.culprit(&leg), leg.scope(), args)
        }
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
    fn a_healthy_network_is_silent_and_messages_really_arrive() {
        fixture::assert_silent_when_healthy(&Syslog);
        let judgements = Network::healthy(Phase::DualStack).ask(&[&Syslog]);
        assert_eq!(judgements.len(), 2, "one for each family");
        assert!(judgements.iter().all(|j| j.verdict == crate::model::verdict::Verdict::Pass));
    }

    #[test]
    fn who_is_not_to_reach_its_sink_is_not_blamed() {
        fixture::assert_closed(&Syslog, "dmz->resolver log");
    }

    #[test]
    fn a_sink_that_is_deaf_on_ipv6_is_located_and_explained_by_its_socket_table() {
        let network = Network::healthy(Phase::DualStack).deafen("resolver", "syslog", Family::V6);
        let found = fixture::complaints(&Syslog, &network);
        assert_eq!(found, [("lost".to_owned(), "resolver (udp/514 over IPv6)".to_owned())]);
        let judgements = network.ask(&[&Syslog, &ListenFamilies]);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].culprit.to_string(), "resolver (listener syslog)");
    }
}

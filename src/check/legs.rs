//! Legs under names: what checks of reachability have in common. Each says which legs it looks at and in which words.

use super::{
    ask, exchanged,
    reach::{Leg, LegReading},
    reading::{self, Judge, Reached},
};
use crate::{
    model::{
        answer::{Answer, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Confidence, Packets, Scope, Severity},
        flow::Traffic,
        name::{DomainName, NodeName},
        node::Node,
        probe::{Probe, Question},
        service::{Port, Service},
        verdict::Judgement,
    },
    stage::{Expect, Path, Stage},
};

/// Above this many subjects a check looks at a sample that is spread evenly over all of them.
pub const SAMPLE: usize = 96;

/// A leg and what it is called.
#[derive(Clone, Debug)]
pub struct Named {
    /// The subject of the judgement: `visitor->portal/https/ipv6 203.0.113.10`.
    pub subject: String,
    /// What it goes to, for sentences: `https of portal`.
    pub what: String,
    /// The leg.
    pub leg: Leg,
    /// How bad it is if it fails.
    pub severity: Severity,
    /// The published name whose address it tests, where it does.
    pub name: Option<DomainName>,
}

impl Named {
    /// The leg along a path to a service, as its protocol asks; `None` for a service that answers nothing.
    pub fn to_service(
        stage: &Stage,
        path: Path,
        to: &Node,
        service: &Service,
        severity: Severity,
    ) -> Option<Self> {
        let from = path.nodes.first().expect("a path has ends").clone();
        let address = path.destination;
        let probe = ask::hello(stage, &from, to, service, address)?;
        Some(Self {
            subject: subject(&from, to, service, address),
            what: format!("{} of {}", service.name, to.name),
            leg: Leg::new(path, probe),
            severity,
            name: None,
        })
    }
}

/// At most `most` of them, spread evenly, in their order.
pub fn sample<T>(all: Vec<T>, most: usize) -> Vec<T> {
    let count = all.len();
    if count <= most {
        return all;
    }
    let chosen = |at: usize| at * most / count != (at + 1) * most / count;
    all.into_iter().enumerate().filter(|(at, _)| chosen(*at)).map(|(_, one)| one).collect()
}

/// The legs of the exchanges that must pass and that `wanted` picks: every address of every family, as the protocol of
/// the service asks. Ports without a service are left to policy, a syslog sink to `svc.syslog-v6`.
pub fn of_exchanges(
    stage: &Stage,
    severity: Severity,
    wanted: impl Fn(&Node, &Node) -> bool,
) -> Vec<Named> {
    of_exchanges_with(stage, severity, |from, to, _| wanted(from, to))
}

/// The same, picked by the service too.
pub fn of_exchanges_with(
    stage: &Stage,
    severity: Severity,
    wanted: impl Fn(&Node, &Node, &Service) -> bool,
) -> Vec<Named> {
    let nodes = &stage.testbed.nodes;
    let mut legs = Vec::new();
    for exchange in stage.exchanges() {
        let (from, to) = (&nodes[&exchange.from], &nodes[&exchange.to]);
        let service = exchange.service.as_ref().and_then(|name| to.service(name.as_str()));
        let Some(service) = service.filter(|service| wanted(from, to, service)) else { continue };
        for family in crate::model::family::Family::ALL {
            for address in stage.targets(&exchange, family) {
                let Expect::Reach(path) = stage.expect(&exchange, address) else { continue };
                legs.extend(Named::to_service(stage, path, to, service, severity));
            }
        }
    }
    legs.sort_by(|a, b| a.subject.cmp(&b.subject));
    legs.dedup_by(|a, b| a.subject == b.subject);
    sample(legs, SAMPLE)
}

/// `visitor->portal/https/2001:db8:d::a`.
pub fn subject(from: &NodeName, to: &Node, service: &Service, address: std::net::IpAddr) -> String {
    exchanged::served(from, &to.name, &service.name, address)
}

/// Why the plan does not let a node reach a port along a way; `None` where it does. What a node uses may be elsewhere, and
/// no flow leads there: who stops that does what it should.
pub fn closed(stage: &Stage, path: &Path, port: Port) -> Option<String> {
    let [from, .., to] = path.nodes.as_slice() else { return None };
    let traffic = Traffic::Port { word: port.to_string(), port };
    let by = stage.stopped_by(path, [from, to], &traffic)?;
    Some(format!("no flow lets {port} pass from {from} to {to}, and {by} on the way filters"))
}

/// The first attempt of each.
pub fn ask(legs: &[Named]) -> Vec<Experiment> {
    vec![Experiment::of_probes(legs.iter().map(|named| named.leg.probe.clone()))]
}

/// The search for whoever stops those that failed.
pub fn follow_up(stage: &Stage, seen: &Seen<'_>, legs: &[Named]) -> Vec<Experiment> {
    legs.iter().flat_map(|named| named.leg.follow_up(stage, seen)).collect()
}

/// The verdict on each. The check must have words for the cases `unreachable` and `flaky`.
pub fn judge(judge: Judge, stage: &Stage, seen: &Seen<'_>, legs: &[Named]) -> Vec<Judgement> {
    legs.iter().map(|named| named.judge(judge, stage, seen, legs)).collect()
}

impl Named {
    /// Why the plan does not let it reach; `None` where it does.
    pub fn closed(&self, stage: &Stage) -> Option<String> {
        closed(stage, &self.leg.path, self.leg.scope().port?)
    }

    /// The answer of the first round that was answered.
    pub fn answered<'e>(&self, seen: &Seen<'e>) -> Option<(EvidenceId, &'e Answer)> {
        reading::rounds(seen, &self.leg.probe).find(|(_, answer)| answer.is_answered())
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        let Some(reading) = self.leg.read(stage, seen) else {
            return judge.not_testable(&self.subject, "the question was not sent", []);
        };
        let evidence = reading.evidence.clone();
        match &reading.reached {
            Reached::Yes => judge.pass(&self.subject, evidence),
            Reached::Unknown(reason) => judge.not_testable(&self.subject, reason.clone(), evidence),
            Reached::No if is_silence_without_control(&reading) => {
                let reason = "nothing came back, and no control from the same node worked";
                judge.not_testable(&self.subject, reason, evidence)
            }
            Reached::No => {
                let complaint = self.complaint(stage, seen, &reading, "unreachable", all);
                judge.fail(&self.subject, evidence, complaint)
            }
            Reached::Sometimes { answered, asked } if reading::is_lossy(stage, &self.leg.path) => {
                let reason = format!(
                    "answered {answered} of {asked} times, across a link that is planned to lose packets"
                );
                judge.info(&self.subject, reason, evidence)
            }
            Reached::Sometimes { answered, asked } => {
                let reason = format!("answered {answered} of {asked} times");
                let complaint = self.complaint(stage, seen, &reading, "flaky", all);
                let complaint = Complaint { severity: Severity::Minor, ..complaint };
                judge.degraded(&self.subject, reason, evidence, complaint)
            }
        }
    }

    /// What is complained of if it fails.
    pub fn complaint(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        reading: &LegReading<'_>,
        case: &str,
        all: &[Self],
    ) -> Complaint {
        let family = self.leg.family();
        let args = [
            ("from", self.leg.probe.from.to_string()),
            ("what", self.what.clone()),
            ("address", self.leg.path.destination.to_string()),
            ("family", family.to_string()),
            ("observed", reading.observed.clone()),
            ("place", reading.place()),
            ("other", self.other_family(seen, all)),
            ("name", self.name.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)),
        ];
        let scope = self.leg.scope();
        let of_size = || self.is_lost_for_its_size(seen, all).then_some(Packets::Large);
        let packets = large(reading.telling).or_else(of_size).or(scope.packets);
        let scope = Scope { name: self.name.clone(), packets, ..scope };
        Complaint {
            severity: self.severity,
            confidence: confidence(reading),
            depth: reading.depth(),
            ..reading::complaint(stage, case, reading.culprit(&self.leg), scope, args)
        }
    }

    /// Whether a smaller echo to the same address came back.
    fn is_lost_for_its_size(&self, seen: &Seen<'_>, all: &[Self]) -> bool {
        let smaller = |probe: &Probe| match (&probe.question, &self.leg.probe.question) {
            (Question::Ping { to, size, .. }, Question::Ping { to: mine, size: larger, .. }) => {
                probe.from == self.leg.probe.from && to == mine && size < larger
            }
            _ => false,
        };
        let mut twins = all.iter().map(|named| &named.leg.probe).filter(|probe| smaller(probe));
        twins.any(|probe| seen.answer(probe).is_some_and(|(_, answer)| answer.is_answered()))
    }

    /// How the same thing went in the other family: a comparison, not a ping (rule 2 of the catalogue).
    fn other_family(&self, seen: &Seen<'_>, all: &[Self]) -> String {
        let other = self.leg.family().other();
        let twin = all.iter().find(|named| {
            named.what == self.what
                && named.leg.probe.from == self.leg.probe.from
                && named.leg.family() == other
        });
        match twin.and_then(|twin| seen.answer(&twin.leg.probe)) {
            Some((_, answer)) => format!("{other}: {}", reading::describe(answer)),
            None => format!("{other} is not planned here"),
        }
    }
}

/// Silence counts only where something else from the same node in the same family was heard, or where taps show the
/// place.
pub(super) fn is_silence_without_control(reading: &LegReading<'_>) -> bool {
    let silent = matches!(
        reading.telling.and_then(Answer::attempt).map(|attempt| &attempt.outcome),
        Some(Outcome::TimedOut)
    );
    silent && reading.control != Some(true) && reading.located.is_none()
}

fn confidence(reading: &LegReading<'_>) -> Confidence {
    match (&reading.located, reading.control) {
        (Some(_), Some(true)) => Confidence::High,
        (None, None | Some(false)) => Confidence::Low,
        _ => Confidence::Medium,
    }
}

/// What stalls after it began is lost because of its size.
pub fn large(answer: Option<&Answer>) -> Option<Packets> {
    let outcome = &answer?.attempt()?.outcome;
    (*outcome == Outcome::Stalled).then_some(Packets::Large)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_whole() {
        assert_eq!(sample((0..5).collect(), 9), [0, 1, 2, 3, 4]);
        let chosen = sample((0..1000).collect(), 10);
        assert_eq!(chosen.len(), 10);
        assert!(chosen[0] < 100 && chosen[9] >= 900, "{chosen:?}");
    }
}

//! Do the filters pass what is allowed and stop what is not, on the wire, in both families?

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        crossing::{self, Crossing},
        exchanged,
        passage::{Own, Passage},
        reach::Leg,
        reading::{Judge, Reached, complaint, describe},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        flow::{Intent, Traffic},
        probe::Probe,
        segment::Plane,
        service::ServiceKind,
        tap::Watch,
        verdict::Judgement,
    },
    stage::{Exchange, Expect, Stage},
    wire::icmp,
};

/// How many pairs of nodes stand for one way through the filters, one port and one intent.
const SAMPLES: usize = 2;

/// Sends samples of allowed and forbidden traffic through every filtering node. A forbidden packet must be seen before
/// the node that is to stop it, and not behind it.
pub(super) struct RuleParityDynamic;

const TEXT: Text = Text {
    id: "pol.rule-parity-dynamic",
    title: "Filters act alike in both families",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Do the filtering nodes pass what flows allow and stop what they do not, in IPv4 and in IPv6?",
    good: "What is allowed passes and what is forbidden is stopped by the right node, in both families.",
    references: &["RFC 9099 section 2.7.1", "RFC 7381 section 2.4.3"],
    cases: &[
        Case {
            name: "stopped",
            finding: "{by} stops {traffic} from {from} to {to} over {family}, which the flow {flow} allows.",
            expected: "{traffic} from {from} to {to} passes {by}.",
            observed: "{observed}, {place}.",
            remedy: "Add the rule for {family} that the flow asks for, and test both families again.",
        },
        Case {
            name: "passed",
            finding: "{by} lets {traffic} from {from} to {to} pass over {family}, which no flow allows.",
            expected: "{by} drops {traffic} from {from} to {to}.",
            observed: "{observed}; behind {by}, {frames} packets were seen on {after}.",
            remedy: "Remove what lets it pass over {family}, or add the rule that is missing there, and test both families again.",
        },
    ],
};

impl Check for RuleParityDynamic {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let samples = samples(stage);
        let allowed = samples.iter().filter(|s| s.allowed).map(|s| s.leg.probe.clone());
        let mut all = vec![Experiment::of_probes(allowed)];
        let forbidden = samples.iter().filter(|sample| !sample.allowed);
        all.extend(forbidden.map(|s| s.passage().experiment(s.leg.probe.clone())));
        all
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let allowed = samples(stage).into_iter().filter(|sample| sample.allowed);
        allowed.flat_map(|sample| sample.leg.follow_up(stage, seen)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let samples = samples(stage);
        let found = samples.iter().map(|sample| {
            if sample.allowed {
                sample.judge_allowed(stage, seen)
            } else {
                sample.judge_forbidden(stage, seen)
            }
        });
        Judge(&TEXT).or_not_applicable(found.collect(), "no way leads through a filtering node")
    }
}

/// Traffic that stands for a rule.
struct Sample {
    flow: String,
    traffic: Traffic,
    allowed: bool,
    crossing: Crossing,
    leg: Leg,
}

/// Samples of all that flows name, and of the services that no flow lets anybody reach by some way.
fn samples(stage: &Stage) -> Vec<Sample> {
    let mut groups = BTreeMap::<_, Vec<Sample>>::new();
    for exchange in stage.exchanges().into_iter().chain(unnamed(stage)) {
        for family in stage.phase.permits().iter() {
            for to in stage.targets(&exchange, family) {
                let Some(sample) = sample(stage, &exchange, to) else { continue };
                let path = &sample.crossing.path;
                let traffic = exchange.traffic.clone();
                let key =
                    (family, path.segments.clone(), exchange.to.clone(), traffic, sample.allowed);
                let group = groups.entry(key).or_default();
                if group.len() < SAMPLES {
                    group.push(sample);
                }
            }
        }
    }
    groups.into_values().flatten().collect()
}

/// Services behind a filtering node for which no flow has a word: what is not allowed is forbidden.
fn unnamed(stage: &Stage) -> Vec<Exchange> {
    let mut found = Vec::new();
    for family in stage.phase.permits().iter() {
        for crossing in crossing::by_side(stage, family).into_values().flatten() {
            let node = &stage.testbed.nodes[crossing.to()];
            for service in &node.services {
                for port in service.ports() {
                    let traffic = Traffic::Port { word: port.to_string(), port };
                    let on_data = service.on.as_ref().is_none_or(|name| {
                        let mut data = stage.interfaces(&node.name, Plane::Data);
                        data.any(|interface| interface.name == *name)
                    });
                    if on_data && !stage.is_allowed(crossing.from(), crossing.to(), &traffic) {
                        found.push(Exchange {
                            flow: "(none)".to_owned(),
                            from: crossing.from().clone(),
                            to: crossing.to().clone(),
                            service: Some(service.name.clone()),
                            traffic,
                            intent: Intent::Deny,
                        });
                    }
                }
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn sample(stage: &Stage, exchange: &Exchange, to: IpAddr) -> Option<Sample> {
    let (path, allowed) = match stage.expect(exchange, to) {
        Expect::Reach(path) => (path, true),
        Expect::Blocked { path, .. } => (path, false),
        Expect::Absent(_) => return None,
    };
    let crossing = crossing::of_path(stage, &path).into_iter().next()?;
    if !allowed && !crossing.has_two_sides() {
        return None;
    }
    let probe = question(stage, exchange, to, allowed)?;
    Some(Sample {
        flow: exchange.flow.clone(),
        traffic: exchange.traffic.clone(),
        allowed,
        crossing,
        leg: Leg::new(path, probe),
    })
}

/// The question for an exchange: that of the service where it answers at this port, a knock otherwise. A syslog sink
/// answers nothing, so that only taps could tell: see `svc.syslog-v6`.
fn question(stage: &Stage, exchange: &Exchange, to: IpAddr, allowed: bool) -> Option<Probe> {
    let port = match &exchange.traffic {
        Traffic::Ping => return Some(ask::ping(&exchange.from, to)),
        Traffic::Any => return None,
        Traffic::Port { port, .. } => *port,
    };
    let node = &stage.testbed.nodes[&exchange.to];
    let service = exchange.service.as_ref().and_then(|name| node.service(name.as_str()));
    let knock = || ask::knock(&exchange.from, to, port);
    match service {
        Some(service) if allowed && service.kind == ServiceKind::Syslog => None,
        Some(service) if allowed => {
            let hello = ask::hello(stage, &exchange.from, node, service, to);
            Some(hello.filter(|probe| probe.question.port() == Some(port)).unwrap_or_else(knock))
        }
        _ => Some(knock()),
    }
}

impl Sample {
    fn family(&self) -> Family {
        self.leg.family()
    }

    fn subject(&self) -> String {
        let (from, to) = (self.crossing.from(), self.crossing.to());
        let address = self.crossing.path.destination;
        exchanged::at_filters(from, to, address, &self.traffic, self.allowed)
    }

    fn what(&self) -> String {
        exchanged::sent(&self.traffic)
    }

    /// The taps for the sample's packets alone.
    fn passage(&self) -> Passage {
        let (family, path) = (self.family(), &self.crossing.path);
        let watch = match self.leg.port {
            Some(port) => Watch::Packets {
                family,
                source: Some(path.source),
                destination: Some(path.destination),
                port: Some(port),
            },
            // Requests alone: what the other end may ask is answered.
            None => Watch::Icmp {
                family,
                types: vec![icmp::echo_request_type(family)],
                source: Some(path.source),
                destination: Some(path.destination),
            },
        };
        Passage::new(&self.crossing, watch, format!("{} {}", self.crossing.by, self.subject()))
    }

    fn judge_allowed(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let Some(read) = self.leg.read(stage, seen) else {
            return judge.not_testable(self.subject(), "it was not tried", []);
        };
        match &read.reached {
            Reached::Yes => return judge.pass(self.subject(), read.evidence),
            Reached::Unknown(reason) => {
                return judge.not_testable(self.subject(), reason, read.evidence);
            }
            Reached::Sometimes { .. } | Reached::No => {}
        }
        let crossings = crossing::of_path(stage, &self.crossing.path);
        let by = read.located.as_ref().and_then(|l| crossings.iter().find(|c| c.by == l.node));
        let Some(by) = by else {
            let reason = format!("it fails {}: not the doing of a filter", read.place());
            return judge.blocked(self.subject(), reason, read.evidence);
        };
        let culprit = Culprit::node(&by.by, format!("forwarding of {}", self.family()));
        let complaint = Complaint {
            severity: if stage.phase.permits().is_dual() {
                Severity::Major
            } else {
                Severity::Critical
            },
            depth: Depth::Located,
            confidence: Confidence::High,
            ..complaint(
                stage,
                "stopped",
                culprit,
                self.leg.scope(),
                [
                    ("by", by.by.to_string()),
                    ("traffic", self.what()),
                    ("from", self.crossing.from().to_string()),
                    ("to", self.crossing.to().to_string()),
                    ("family", self.family().to_string()),
                    ("flow", self.flow.clone()),
                    ("observed", read.observed.clone()),
                    ("place", read.place()),
                ],
            )
        };
        judge.fail(self.subject(), read.evidence, complaint)
    }

    fn judge_forbidden(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let Some((id, answer)) = seen.answer(&self.leg.probe) else {
            return judge.not_testable(self.subject(), "it was not tried", []);
        };
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(self.subject(), reason, [id]);
        }
        let source = answer.attempt().and_then(|attempt| attempt.source);
        let source_port = source.filter(|_| self.leg.port.is_some()).map(|source| source.port());
        let Some(sight) = self.passage().read(seen, Own::from_port(source_port)) else {
            return judge.not_testable(self.subject(), "nobody watched it", [id]);
        };
        let evidence = [[id].as_slice(), &sight.evidence].concat();
        if sight.passed > 0 || answer.is_answered() {
            let culprit =
                Culprit::node(&self.crossing.by, format!("forwarding of {}", self.family()));
            let args = [
                ("by", self.crossing.by.to_string()),
                ("traffic", self.what()),
                ("from", self.crossing.from().to_string()),
                ("to", self.crossing.to().to_string()),
                ("family", self.family().to_string()),
                ("observed", describe(answer)),
                ("frames", sight.passed.to_string()),
                ("after", self.crossing.after().to_string()),
            ];
            let complaint = Complaint {
                severity: Severity::Critical,
                depth: Depth::Located,
                confidence: Confidence::High,
                ..complaint(stage, "passed", culprit, self.leg.scope(), args)
            };
            return judge.fail(self.subject(), evidence, complaint);
        }
        sight.stopped(judge, &self.crossing, self.subject(), evidence)
    }
}

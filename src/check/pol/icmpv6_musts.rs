//! Do the ICMPv6 messages pass that must pass every firewall?

use super::difference::{self, Concern, Difference, Kind};
use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        crossing::{self, Crossing, Side},
        error_trail::Trail,
        reading::{Judge, REPETITIONS, complaint},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        flow::Traffic,
        policy::Match,
        probe::{Probe, Provocation, Question},
        verdict::Judgement,
    },
    stage::Stage,
};

/// Provokes each ICMPv6 error behind every side of every filtering node, and reads every filter for rules that stop
/// them.
pub(super) struct Icmpv6Musts;

const TEXT: Text = Text {
    id: "pol.icmpv6-musts",
    title: "ICMPv6 that must pass does pass",
    section: "S3",
    use_case: UseCase::Policies,
    question: "Do Destination Unreachable, Packet Too Big, Time Exceeded, Parameter Problem and echo pass every filtering node, both ways?",
    good: "Every ICMPv6 message that must pass a firewall does.",
    references: &["RFC 4890 section 4.3", "RFC 8201"],
    cases: &[
        Case {
            name: "rule",
            finding: "The filter of {node} stops ICMPv6 that must pass ({what}): rule `{label}` of its {hook} chain {how}.",
            expected: "ICMPv6 types 1, 2, 3 and 4 pass every chain; echo as the flows allow.",
            observed: "{how}: {rules}.",
            remedy: "Permit the types of RFC 4890 section 4.3.1. Without Packet Too Big, connections stand and then hang on the first large packet.",
        },
        Case {
            name: "lost",
            finding: "{what} of {origin} does not come back to {from} through {by}: it ends at {place}.",
            expected: "{what} from {origin} arrives at {from}.",
            observed: "{rounds} packets that provoke it were sent towards {to}; pings pass, and no {what} came. {place}: {how}.",
            remedy: "Permit this ICMPv6 type at {place} (RFC 4890 section 4.3.1).",
        },
    ],
};

impl Check for Icmpv6Musts {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let probes = musts(stage).into_iter().filter_map(|must| Some(must.sent?.probe(0)));
        let mut all = difference::ask(stage);
        all.push(Experiment::of_probes(probes));
        all
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let sent = musts(stage).into_iter().filter_map(|must| must.sent);
        sent.flat_map(|sent| sent.follow_up(seen)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let mut found: Vec<_> = [Concern::Errors, Concern::Echo]
            .into_iter()
            .flat_map(|concern| difference::of_concern(stage, seen, concern))
            .map(|(id, difference)| of_rule(stage, &difference, id))
            .collect();
        found.extend(musts(stage).iter().map(|must| must.judge(stage, seen)));
        Judge(&TEXT).or_not_applicable(found, "no way of IPv6 leads through a filtering node")
    }
}

fn of_rule(stage: &Stage, difference: &Difference, evidence: EvidenceId) -> Judgement {
    let types = difference.rules.iter().flat_map(|rule| &rule.matches).find_map(|m| match m {
        Match::Icmp { types, .. } => Some(types.clone()),
        _ => None,
    });
    let types = types.unwrap_or_default();
    let too_big = types.is_empty() || types.contains(&2);
    let list: Vec<_> = types.iter().map(u8::to_string).collect();
    let what =
        if list.is_empty() { "all types".to_owned() } else { format!("types {}", list.join(", ")) };
    let how = match difference.kind {
        Kind::Missing => "is missing",
        Kind::Extra | Kind::Policy if difference.opens() => "is not planned",
        Kind::Extra | Kind::Policy => "drops them",
    };
    let args = [
        ("node", difference.node.to_string()),
        ("hook", difference.hook_word().to_owned()),
        ("label", difference.label.clone()),
        ("what", what),
        ("how", how.to_owned()),
        ("rules", difference.text()),
    ];
    let complaint = Complaint {
        severity: match difference.concern {
            Concern::Errors if too_big => Severity::Critical,
            Concern::Errors => Severity::Major,
            _ => Severity::Minor,
        },
        confidence: Confidence::High,
        depth: Depth::Read,
        ..complaint(stage, "rule", difference.culprit(), difference.scope(stage), args)
    };
    let subject = format!("{}/{}/{}", difference.node, difference.hook_word(), difference.label);
    Judge(&TEXT).fail(subject, [evidence], complaint)
}

/// What must pass, in the words of RFC 4443, and what provokes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Unreachable,
    TooBig,
    TimeExceeded,
    UnknownHeader,
    UnknownOption,
    Echo,
}

impl What {
    const ALL: [Self; 6] = [
        Self::Unreachable,
        Self::TooBig,
        Self::TimeExceeded,
        Self::UnknownHeader,
        Self::UnknownOption,
        Self::Echo,
    ];

    fn words(self) -> &'static str {
        match self {
            Self::Unreachable => "Destination Unreachable (type 1 code 4)",
            Self::TooBig => "Packet Too Big (type 2)",
            Self::TimeExceeded => "Time Exceeded (type 3 code 0)",
            Self::UnknownHeader => "Parameter Problem (type 4 code 1)",
            Self::UnknownOption => "Parameter Problem (type 4 code 2)",
            Self::Echo => "Echo Reply (type 129)",
        }
    }

    /// Type and code of the error; `None` for echo.
    fn error(self) -> Option<(u8, u8)> {
        match self {
            Self::Unreachable => Some((1, 4)),
            Self::TooBig => Some((2, 0)),
            Self::TimeExceeded => Some((3, 0)),
            Self::UnknownHeader => Some((4, 1)),
            Self::UnknownOption => Some((4, 2)),
            Self::Echo => None,
        }
    }

    /// Why nothing of a plan can provoke it.
    fn why_not(self) -> &'static str {
        match self {
            Self::Unreachable | Self::UnknownHeader | Self::UnknownOption => {
                "no flow of the plan lets a packet pass that would provoke it"
            }
            Self::TooBig => {
                "no link behind the filtering node is smaller than those before it and has a way back"
            }
            Self::TimeExceeded => "no router with a way back stands behind the filtering node",
            Self::Echo => "the flows forbid echo, or the plan has no way back",
        }
    }

    /// What provokes it behind a filtering node, and where on the way that is.
    fn provoked_on(self, stage: &Stage, way: &Crossing) -> Option<(Provocation, usize)> {
        let path = &way.path;
        let last = path.nodes.len() - 1;
        let allowed = |traffic| stage.is_allowed(way.from(), way.to(), &traffic);
        match self {
            Self::Unreachable if allowed(Traffic::Any) => Some((Provocation::ClosedPort, last)),
            Self::UnknownHeader if allowed(Traffic::Any) => {
                Some((Provocation::UnknownNextHeader, last))
            }
            Self::UnknownOption if allowed(Traffic::Any) => {
                Some((Provocation::UnknownOption, last))
            }
            Self::TimeExceeded if way.at + 1 < last && allowed(Traffic::Ping) => {
                let at = way.at + 1;
                Some((Provocation::HopLimit(u8::try_from(at).ok()?), at))
            }
            Self::TooBig if allowed(Traffic::Ping) => too_big_behind(stage, way),
            _ => None,
        }
    }
}

/// The first link behind a filtering node that is smaller than all before it: a packet that fits those provokes the
/// router before it.
fn too_big_behind(stage: &Stage, way: &Crossing) -> Option<(Provocation, usize)> {
    let mtu = |segment| stage.testbed.segments[segment].mtu;
    let mtus: Vec<_> = way.path.segments.iter().map(mtu).collect();
    let at = (1..mtus.len()).find(|at| mtus[..*at].iter().all(|before| *before > mtus[*at]))?;
    let fits = mtus[..at].iter().min()?;
    (at > way.at).then_some((Provocation::TooBig(u16::try_from(*fits).ok()?), at))
}

/// Something that must pass a side of a filtering node.
struct Must {
    side: Side,
    what: What,
    /// How it is tried; `None` if nothing of the plan can provoke it.
    sent: Option<Sent>,
}

/// A packet across a side, and what must come back.
#[derive(Clone)]
struct Sent {
    what: What,
    way: Crossing,
    /// `None` is a ping.
    how: Option<Provocation>,
    /// Where on the way the answer comes from.
    at: usize,
}

fn musts(stage: &Stage) -> Vec<Must> {
    let mut found = Vec::new();
    for (side, ways) in crossing::by_side(stage, Family::V6) {
        for what in What::ALL {
            let sent = ways.iter().find_map(|way| {
                let (how, at) = match what {
                    What::Echo => {
                        let allowed = stage.is_allowed(way.from(), way.to(), &Traffic::Ping);
                        (None, allowed.then(|| way.path.nodes.len() - 1)?)
                    }
                    error => {
                        let (how, at) = error.provoked_on(stage, way)?;
                        (Some(how), at)
                    }
                };
                let sent = Sent { what, way: way.clone(), how, at };
                sent.comes_back(stage).then_some(sent)
            });
            found.push(Must { side: side.clone(), what, sent });
        }
    }
    found
}

impl Sent {
    /// Whether the plan has a way back, for the control as well: a gateway puts what it says to a coupled host into the
    /// tunnel, which takes nothing from an address that it does not couple.
    fn comes_back(&self, stage: &Stage) -> bool {
        let path = &self.way.path;
        let back = |node, source| stage.path_from(node, source, path.source).is_ok();
        let last = path.nodes.last().expect("a path has ends");
        back(last, Some(path.destination))
            && (self.how.is_none() || back(&path.nodes[self.at], None))
    }

    fn probe(&self, round: u8) -> Probe {
        let to = self.way.path.destination;
        let first = match self.how {
            None => ask::ping(self.way.from(), to),
            Some(how) => ask::probe(self.way.from(), Question::Provoke { to, how }),
        };
        Probe { round, ..first }
    }

    fn came(&self, answer: &Answer) -> bool {
        let Some((kind, code)) = self.what.error() else { return answer.is_answered() };
        let icmp = answer.attempt().and_then(|attempt| attempt.icmp);
        icmp.is_some_and(|icmp| (icmp.kind, icmp.code) == (kind, code))
    }

    fn trail(&self) -> Option<Trail<'_>> {
        let (kind, _) = self.what.error()?;
        let label = format!("{} for {} by {}", self.what.words(), self.way.from(), self.way.by);
        Some(Trail { path: &self.way.path, at: self.at, kind, label })
    }

    /// Where nothing came: once more, one after another because routers send only some errors at a time, with a ping as
    /// control and taps on the way back.
    fn follow_up(&self, seen: &Seen<'_>) -> Vec<Experiment> {
        let failed = |(_, answer): (_, &Answer)| !self.came(answer) && answer.not_asked().is_none();
        if !seen.answer(&self.probe(0)).is_some_and(failed) {
            return Vec::new();
        }
        let probes = (1..=REPETITIONS).map(|round| self.probe(round)).collect();
        let taps = self.trail().map(|trail| trail.taps()).unwrap_or_default();
        let again = Experiment { taps, probes, in_order: true, ..Experiment::default() };
        let control = ask::ping(self.way.from(), self.way.path.destination);
        vec![again, Experiment::of_probes([control])]
    }
}

impl Must {
    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let subject = format!("{}/{}", self.side, self.what.words());
        let Some(sent) = &self.sent else {
            return judge.not_applicable(subject, self.what.why_not());
        };
        let rounds: Vec<_> =
            (0..=REPETITIONS).filter_map(|round| seen.answer(&sent.probe(round))).collect();
        let mut evidence: Vec<_> = rounds.iter().map(|(id, _)| *id).collect();
        if rounds.iter().any(|(_, answer)| sent.came(answer)) {
            return judge.pass(subject, evidence);
        }
        match rounds.first() {
            None => return judge.not_testable(subject, "it was not tried", evidence),
            Some((_, answer)) => {
                if let Some(reason) = answer.not_asked() {
                    return judge.not_testable(subject, reason, evidence);
                }
            }
        }
        let ping = ask::ping(sent.way.from(), sent.way.path.destination);
        let ping = seen.answer(&ping);
        evidence.extend(ping.map(|(id, _)| id));
        if sent.how.is_some() && !ping.is_some_and(|(_, ping)| ping.is_answered()) {
            return judge.blocked(subject, "the target does not answer pings either", evidence);
        }
        let end = sent.trail().and_then(|trail| trail.end(stage, seen));
        evidence.extend(end.iter().flat_map(|(ids, _)| ids));
        let located = end.map(|(_, located)| located);
        let (place, how) = located.as_ref().map_or_else(
            || (sent.way.by.to_string(), "it is the filter on the way".to_owned()),
            |located| (located.node.to_string(), located.how.clone()),
        );
        let at = located.as_ref().map_or(&sent.way.by, |located| &located.node);
        let args = [
            ("what", self.what.words().to_owned()),
            ("origin", sent.way.path.nodes[sent.at].to_string()),
            ("from", sent.way.from().to_string()),
            ("to", sent.way.path.destination.to_string()),
            ("by", sent.way.by.to_string()),
            ("rounds", rounds.len().to_string()),
            ("place", place),
            ("how", how),
        ];
        let packets = match self.what {
            What::TooBig => Packets::TooBig,
            What::Echo => Packets::Echo,
            _ => Packets::IcmpErrors,
        };
        let scope = Scope {
            family: Some(Family::V6),
            to: Some(sent.way.to().clone()),
            address: Some(sent.way.path.destination),
            from: Some(sent.way.from().clone()),
            nodes: sent.way.path.nodes.clone(),
            segments: sent.way.path.segments.clone(),
            carried: crate::check::reading::carrier(&sent.way.path),
            packets: Some(packets),
            ..Scope::default()
        };
        let culprit = Culprit::node(at, "ICMPv6 that must pass");
        let complaint = Complaint {
            severity: match self.what {
                What::TooBig => Severity::Critical,
                What::Echo => Severity::Minor,
                _ => Severity::Major,
            },
            confidence: if located.is_some() { Confidence::High } else { Confidence::Medium },
            depth: if located.is_some() { Depth::Located } else { Depth::Symptom },
            ..complaint(stage, "lost", culprit, scope, args)
        };
        judge.fail(subject, evidence, complaint)
    }
}

//! Do both families take the same routers?

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, crossing,
        reading::{Judge, REPETITIONS, complaint},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        probe::{Probe, Question},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// Follows each way hop by hop in each family and compares the routers, by who they are, with the plan.
pub(super) struct TraceParity;

const TEXT: Text = Text {
    id: "path.trace-parity",
    title: "Both families take the planned routers",
    section: "S2 3.2, S3",
    use_case: UseCase::InsideToOutside,
    question: "Do IPv4 and IPv6 pass the routers of the plan, in their order?",
    good: "Every way leads through the routers of the plan.",
    references: &["RFC 4443 section 3.3", "RFC 9099 section 2.4.3"],
    cases: &[Case {
        name: "detour",
        finding: "{family} from {from} to {to} goes by {observed} instead of {planned}{parity}.",
        expected: "The routers {planned}.",
        observed: "The routers {observed}.",
        remedy: "Compare the routes of {at} in both families, and their metrics.",
    }],
};

impl Check for TraceParity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(ways(stage).iter().map(|way| probe(way, 0)))]
    }

    /// Routers send only some errors at a time to one node: where a hop is missing, each node asks again, one way after
    /// another.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let unsure = ways(stage).into_iter().filter(|way| {
            read(stage, seen, way).is_some_and(|trace| trace.hops.as_slice() != planned(way))
        });
        let again = |way: Path| (1..=REPETITIONS).map(move |round| probe(&way, round));
        let mut by_node = BTreeMap::<NodeName, Vec<Probe>>::new();
        for again in unsure.flat_map(again) {
            by_node.entry(again.from.clone()).or_default().push(again);
        }
        let of_node = |probes| Experiment { in_order: true, ..Experiment::of_probes(probes) };
        by_node.into_values().map(of_node).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let found = ways(stage).iter().map(|way| judge(stage, seen, way)).collect();
        Judge(&TEXT).or_not_applicable(found, "no way leads through a router")
    }
}

fn ways(stage: &Stage) -> Vec<Path> {
    stage.phase.permits().iter().flat_map(|family| crossing::ways(stage, family)).collect()
}

fn probe(way: &Path, round: u8) -> Probe {
    let most = u8::try_from(way.nodes.len() + 4).unwrap_or(u8::MAX);
    let question = Question::Trace { to: way.destination, most };
    Probe { round, ..ask::probe(&way.nodes[0], question) }
}

/// A hop: who answered there, by name where the plan knows the address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Hop {
    Node(NodeName),
    Foreign(IpAddr),
    Silent,
}

impl std::fmt::Display for Hop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(name) => name.fmt(f),
            Self::Foreign(address) => write!(f, "the unknown {address}"),
            Self::Silent => f.write_str("one that does not answer"),
        }
    }
}

/// The routers of a trace, without its end.
struct Trace {
    evidence: Vec<EvidenceId>,
    hops: Vec<Hop>,
    reached: bool,
    reason: Option<String>,
}

fn planned(way: &Path) -> Vec<Hop> {
    way.transit().iter().cloned().map(Hop::Node).collect()
}

/// All rounds together: a hop that was silent once and spoke later has spoken.
fn read(stage: &Stage, seen: &Seen<'_>, way: &Path) -> Option<Trace> {
    let mut trace = Trace { evidence: Vec::new(), hops: Vec::new(), reached: false, reason: None };
    for round in 0..=REPETITIONS {
        let Some((id, answer)) = seen.answer(&probe(way, round)) else { continue };
        trace.evidence.push(id);
        let Answer::Trace { hops, reached } = answer else {
            let reason = answer.not_asked().unwrap_or("the answer is not a trace");
            trace.reason = Some(reason.to_owned());
            continue;
        };
        trace.reached |= reached;
        let named = hops.iter().map(|hop| match hop {
            None => Hop::Silent,
            Some(address) => stage
                .owner(*address)
                .map_or(Hop::Foreign(*address), |(node, _)| Hop::Node(node.clone())),
        });
        let mut routers: Vec<_> = named.collect();
        if routers
            .last()
            .is_some_and(|hop| Some(hop) == way.nodes.last().cloned().map(Hop::Node).as_ref())
        {
            routers.pop();
        }
        trace.hops = merged(&trace.hops, &routers);
    }
    (!trace.evidence.is_empty()).then_some(trace)
}

fn merged(before: &[Hop], now: &[Hop]) -> Vec<Hop> {
    let longest = if now.len() >= before.len() { now } else { before };
    let known = |at: usize| {
        let spoken = |hops: &[Hop]| hops.get(at).filter(|hop| **hop != Hop::Silent).cloned();
        spoken(now).or_else(|| spoken(before)).unwrap_or(Hop::Silent)
    };
    (0..longest.len()).map(known).collect()
}

fn judge(stage: &Stage, seen: &Seen<'_>, way: &Path) -> Judgement {
    let judge = Judge(&TEXT);
    let (from, to) = (&way.nodes[0], way.nodes.last().expect("a path has ends"));
    let subject = format!("{from} -> {to} {}", way.family().word());
    let Some(trace) = read(stage, seen, way) else {
        return judge.not_testable(subject, "it was not traced", []);
    };
    if let (Some(reason), true) = (&trace.reason, trace.hops.is_empty()) {
        return judge.not_testable(subject, reason, trace.evidence);
    }
    if !trace.reached {
        return judge.blocked(subject, "the target was not reached", trace.evidence);
    }
    let planned = planned(way);
    if let Some(twice) = answers_twice(&trace.hops, &planned) {
        let reason = format!(
            "{twice} takes more than one from the hop limit, on the planned way: see vpn.qos-and-hoplimit"
        );
        return judge.info(subject, reason, trace.evidence);
    }
    let differs = planned.iter().zip(&trace.hops).position(|(p, o)| p != o && *o != Hop::Silent);
    let differs = differs.or_else(|| {
        (planned.len() != trace.hops.len()).then(|| planned.len().min(trace.hops.len()))
    });
    let Some(at) = differs else {
        return if trace.hops.contains(&Hop::Silent) {
            let reason = "a router on the way sends no Time Exceeded: see pol.icmpv6-musts";
            judge.info(subject, reason, trace.evidence)
        } else {
            judge.pass(subject, trace.evidence)
        };
    };
    // The node before the first hop that differs has chosen another next hop.
    let chooser = &way.nodes[at.min(way.nodes.len() - 1)];
    let mut nodes = way.nodes.clone();
    nodes.extend(trace.hops.iter().filter_map(|hop| match hop {
        Hop::Node(name) if !way.nodes.contains(name) => Some(name.clone()),
        _ => None,
    }));
    let scope = Scope {
        family: Some(way.family()),
        to: Some(to.clone()),
        address: Some(way.destination),
        from: Some(from.clone()),
        nodes,
        segments: way.segments.clone(),
        carried: crate::check::reading::carrier(way),
        packets: Some(Packets::Echo),
        ..Scope::default()
    };
    let args = [
        ("family", way.family().to_string()),
        ("from", from.to_string()),
        ("to", to.to_string()),
        ("observed", list(&trace.hops)),
        ("planned", list(&planned)),
        ("parity", parity(stage, way)),
        ("at", chooser.to_string()),
    ];
    let culprit = Culprit::node(chooser, format!("route to {}", way.destination));
    let complaint = Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..complaint(stage, "detour", culprit, scope, args)
    };
    judge.fail(subject, trace.evidence, complaint)
}

/// The router that answers as two hops in a row, where the way is the planned one but for that.
fn answers_twice<'h>(hops: &'h [Hop], planned: &[Hop]) -> Option<&'h Hop> {
    let twice = hops.windows(2).find(|pair| pair[0] == pair[1] && pair[0] != Hop::Silent)?;
    let mut once = hops.to_vec();
    once.dedup();
    (once == planned).then_some(&twice[0])
}

/// What the plan says of the other family on the same way, as the end of a sentence.
fn parity(stage: &Stage, way: &Path) -> String {
    let other = way.family().other();
    let to = way.nodes.last().expect("a path has ends");
    let mut twins = crossing::ways(stage, other).into_iter();
    let twin =
        twins.find(|twin| twin.nodes.first() == way.nodes.first() && twin.nodes.last() == Some(to));
    match twin {
        Some(twin) if twin.transit() == way.transit() => format!(", which {other} takes"),
        _ => String::new(),
    }
}

fn list(hops: &[Hop]) -> String {
    if hops.is_empty() {
        return "no router".to_owned();
    }
    hops.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::Network,
        model::{phase::Phase, verdict::Verdict},
    };

    #[test]
    fn a_router_that_takes_two_hops_is_no_detour() {
        let network = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Trace { hops, .. } = answer
                && let Some(first) = hops.first().copied()
            {
                hops.insert(0, first);
            }
        });
        let judgements = network.ask(&[&TraceParity]);
        assert!(judgements.iter().all(|j| !j.verdict.is_bad()), "{judgements:#?}");
        let twice =
            |j: &&Judgement| j.verdict == Verdict::Info && j.reason.contains("more than one");
        assert!(judgements.iter().any(|j| twice(&j)), "{judgements:#?}");
    }
}

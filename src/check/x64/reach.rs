//! `x64.reach`: users with IPv6 alone reach hosts with IPv4 alone through the translator, by TCP, UDP and echo.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, dead_link,
        legs::is_silence_without_control,
        reach::{LegReading, Located},
        reading::{self, Judge, Reached},
        translated::{self, Use},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Reach;

static TEXT: Text = Text {
    id: "x64.reach",
    title: "What is reached through translation",
    section: "S4 NAT64",
    use_case: UseCase::InsideToOutside,
    question: "Does a host with IPv4 alone answer users with IPv6 alone through the translator, by TCP, by UDP and by echo, as \
               the flows allow?",
    good: "Every host with IPv4 alone answers through the translator.",
    references: &["RFC 6146", "RFC 7915", "RFC 6052"],
    cases: &[
        Case {
            name: "untranslated",
            finding: "{gateway} does not translate {carried}: {from} cannot reach {what}.",
            expected: "{what} answers at {address}, which stands for {host}.",
            observed: "{observed}, {place}. From {gateway} itself, {host} answers over IPv4.",
            remedy: "Look at the translator: whether it runs, which protocols it translates, and which addresses its pool has left.",
        },
        Case {
            name: "way",
            finding: "{from} cannot reach {what} through the translation prefix.",
            expected: "{what} answers at {address}, which stands for {host}.",
            observed: "{observed}, {place}.",
            remedy: "Route the translation prefix to the translator, and let filters on the way pass it as they pass {host}.",
        },
        Case {
            name: "beyond",
            finding: "{what} does not answer behind {gateway}, which translates for {from}.",
            expected: "{what} answers {gateway} at {host}, and {from} at {address}.",
            observed: "From {from}: {observed}, {place}. From {gateway} over IPv4: {beyond}.",
            remedy: "Bring up the host, or the way from the translator to it.",
        },
        Case {
            name: "dead-link",
            finding: "{segment} carries nothing: {what} behind {gateway} does not answer {from}.",
            expected: "{what} answers {gateway} at {host}, and {from} at {address}.",
            observed: "Both ends asked for each other on {segment}, and neither heard the other. From {from}: {observed}. From \
                       {gateway} over IPv4: {beyond}.",
            remedy: "Mend the link {segment}: cable, switch port, VLAN.",
        },
        Case {
            name: "flaky",
            finding: "{from} reaches {what} through the translator only some of the time.",
            expected: "{what} answers at {address} every time.",
            observed: "{observed}, {place}.",
            remedy: "Look for loss on the way, and for a pool with too few ports.",
        },
    ],
};

impl Check for Reach {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let uses = translated::uses(stage);
        vec![Experiment::of_probes(uses.iter().map(|one| one.leg.probe.clone()))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let mut experiments = Vec::new();
        for one in translated::uses(stage) {
            let search = one.leg.follow_up(stage, seen);
            if !search.is_empty() {
                // The same packets, seen once more behind the translator.
                let rounds = (1..=reading::REPETITIONS).map(|at| ask::again(&one.leg.probe, at));
                let probes = rounds.collect();
                let taps = one.behind().taps();
                experiments.push(Experiment { taps, probes, ..Experiment::default() });
                experiments.extend(search);
                // What the gateway asks itself must not pass those taps at the same time.
                if seen.answer(&ask::again(&one.leg.probe, 1)).is_some() {
                    let rounds = (1..=reading::REPETITIONS).map(|at| ask::again(&one.beyond, at));
                    let all = std::iter::once(one.beyond.clone()).chain(rounds);
                    experiments.push(Experiment::of_probes(all));
                    experiments.extend(one.from_gateway().follow_up(stage, seen));
                    let hops = dead_link::hops(stage, &one.way.after);
                    experiments.extend(hops.iter().map(dead_link::Hop::ask));
                }
            }
        }
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let uses = translated::uses(stage);
        let found = uses.iter().map(|one| of_one(judge, stage, seen, one)).collect();
        judge.or_not_applicable(found, "nothing is reached through translation in this phase")
    }
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, one: &Use<'_>) -> Judgement {
    let subject = one.subject();
    let Some(reading) = one.leg.read(stage, seen) else {
        return judge.not_testable(subject, "the question was not sent", []);
    };
    let mut evidence = reading.evidence.clone();
    match &reading.reached {
        Reached::Yes => judge.pass(subject, evidence),
        Reached::Unknown(reason) => judge.not_testable(subject, reason.clone(), evidence),
        Reached::No if is_silence_without_control(&reading) => {
            let reason = "nothing came back, and no control from the same node worked";
            judge.not_testable(subject, reason, evidence)
        }
        Reached::No => {
            let complaint = unreached(stage, seen, one, &reading, &mut evidence);
            judge.fail(subject, evidence, complaint)
        }
        Reached::Sometimes { answered, asked } => {
            let reason = format!("answered {answered} of {asked} times");
            let base = complaint(stage, "flaky", one, &reading, reading.culprit(&one.leg));
            let complaint = Complaint { severity: Severity::Minor, ..base };
            judge.degraded(subject, reason, evidence, complaint)
        }
    }
}

fn unreached(
    stage: &Stage,
    seen: &Seen<'_>,
    one: &Use<'_>,
    reading: &LegReading<'_>,
    evidence: &mut Vec<EvidenceId>,
) -> Complaint {
    let gateway = &one.translation.gateway;
    let at_gateway = reading.located.as_ref().is_none_or(|located| located.node == *gateway);
    let beyond = reading::consensus(seen, &one.beyond).filter(|_| at_gateway);
    let Some(beyond) = beyond else {
        return complaint(stage, "way", one, reading, reading.culprit(&one.leg));
    };
    evidence.extend(&beyond.evidence);
    let hops = dead_link::hops(stage, &one.way.after);
    if let Some(dead) = hops.iter().find(|hop| hop.is_dead(seen, evidence)) {
        let culprit = Culprit::segment(dead.segment, "delivery of frames");
        let mut complaint = complaint(stage, "dead-link", one, reading, culprit);
        complaint.args.insert("beyond".to_owned(), reading::describe(beyond.telling));
        complaint.args.insert("segment".to_owned(), dead.segment.to_string());
        complaint.scope = Scope {
            family: Some(Family::V4),
            segments: vec![dead.segment.clone()],
            ..Scope::default()
        };
        // The link itself is not as planned, and whatever crosses it fails.
        return Complaint { depth: Depth::Foundation, confidence: Confidence::High, ..complaint };
    }
    let behind = |reading: &LegReading<'_>, culprit: Culprit| {
        let mut complaint = complaint(stage, "beyond", one, reading, culprit);
        complaint.args.insert("beyond".to_owned(), reading::describe(beyond.telling));
        complaint.scope = one.behind_scope();
        complaint
    };
    if let Some(lost) = lost_behind(stage, seen, one, evidence) {
        let reading = LegReading { located: Some(lost), ..reading.clone() };
        return behind(&reading, reading.culprit(&one.behind()));
    }
    if beyond.reached() == Reached::Yes {
        let nothing = !translated::uses(stage).iter().any(|other| {
            let same = other.translation.name == one.translation.name;
            same && seen.answer(&other.leg.probe).is_some_and(|(_, answer)| answer.is_answered())
        });
        let carried = if nothing { "anything" } else { one.carried };
        let culprit = Culprit::node(gateway, format!("translation of {carried}"));
        let mut complaint = complaint(stage, "untranslated", one, reading, culprit);
        complaint.args.insert("carried".to_owned(), carried.to_owned());
        return complaint;
    }
    if let Some((node, address)) = hops.iter().find_map(|hop| hop.silent(seen, evidence)) {
        let culprit = Culprit::node(node, format!("neighbour discovery of {address}"));
        return Complaint { confidence: Confidence::High, ..behind(reading, culprit) };
    }
    let from_gateway = one.from_gateway();
    let located = from_gateway.read(stage, seen).filter(|reading| reading.located.is_some());
    let culprit = located.map_or_else(
        || {
            let port = one.leg.port.map_or_else(|| "echo".to_owned(), |port| port.to_string());
            Culprit::node(&one.to, format!("{port} over {}", Family::V4))
        },
        |reading| {
            evidence.extend(&reading.evidence);
            reading.culprit(&from_gateway)
        },
    );
    behind(reading, culprit)
}

/// Who loses the translated packets behind the translator, or the answers to them, where taps show that it has done its part.
fn lost_behind(
    stage: &Stage,
    seen: &Seen<'_>,
    one: &Use<'_>,
    evidence: &mut Vec<EvidenceId>,
) -> Option<Located> {
    let mut seen_there = Vec::new();
    let located = one.behind().by_taps(stage, seen, &mut seen_there)?;
    let is_behind = one.way.after.nodes.iter().skip(1).any(|node| *node == located.node);
    is_behind.then(|| {
        evidence.extend(seen_there);
        located
    })
}

fn complaint(
    stage: &Stage,
    case: &str,
    one: &Use<'_>,
    reading: &LegReading<'_>,
    culprit: Culprit,
) -> Complaint {
    let args = [
        ("gateway", one.translation.gateway.to_string()),
        ("from", one.from().to_string()),
        ("what", one.what.clone()),
        ("carried", one.carried.to_owned()),
        ("address", one.way.address.to_string()),
        ("host", one.host.to_string()),
        ("observed", reading.observed.clone()),
        ("place", reading.place()),
    ];
    Complaint {
        severity: Severity::Critical,
        confidence: if reading.located.is_some() { Confidence::High } else { Confidence::Medium },
        depth: reading.depth(),
        ..reading::complaint(stage, case, culprit, one.scope(), args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::phase::Phase,
    };

    #[test]
    fn a_network_without_translation_has_nothing_to_judge() {
        fixture::assert_silent_when_healthy(&Reach);
        let found = Network::healthy(Phase::Ipv6Only).ask(&[&Reach]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].verdict, crate::model::verdict::Verdict::NotApplicable);
    }
}

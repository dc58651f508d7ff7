//! `vpn.no-clear`: nothing of what a tunnel couples is seen outside of it while it carries.

use super::canary::{self, Canary, plain};
use crate::{
    check::{
        Case, Check, Text, UseCase,
        couples::{self, Couple},
        reading::Judge,
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        tunnel::TunnelKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct NoClear;

static TEXT: Text = Text {
    id: "vpn.no-clear",
    title: "Nothing beside the tunnel",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Does what a tunnel couples go through it alone: seen on the sender's link and inside the tunnel, counted \
               by both gateways, and on no other link in clear?",
    good: "Coupled traffic is seen in clear on its own links alone.",
    references: &["RFC 7359", "RFC 9099 section 3.2"],
    cases: &[
        Case {
            name: "clear",
            finding: "{family} from {from} to {to} is seen unencrypted on {segment}, beside the tunnel {tunnel}.",
            expected: "The canary on {own} and inside {tunnel}, and nowhere else.",
            observed: "{observed}.",
            remedy: "Let {gateway} route what is coupled into the tunnel, and drop it on every other way out.",
        },
        Case {
            name: "around",
            finding: "{family} from {from} to {to} is answered without going through the tunnel {tunnel}.",
            expected: "The canary inside {tunnel}, counted by both gateways.",
            observed: "{observed}.",
            remedy: "Compare the routes and addresses of {gateway} with what the tunnel couples.",
        },
    ],
};

impl Check for NoClear {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let couples = canary::encrypted(stage);
        couples
            .iter()
            .flat_map(|couple| [counted_one(stage, couple), every_one(stage, couple)])
            .collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let couples = couples::of_stage(stage);
        let found = couples.iter().map(|couple| of_couple(judge, stage, seen, couple));
        couples::judged(judge, stage, TunnelKind::is_encrypted, found)
    }
}

/// The moments at which gateways are read.
const BEFORE: &str = "before its canary";
const AFTER: &str = "after its canary";

/// A canary that both gateways have to count.
fn sent<'c>(stage: &Stage, couple: &'c Couple) -> Canary<'c> {
    Canary::new(stage, couple, "carrying")
}

/// One for every host: a way past the tunnel may lead to a single one, or take a single one.
fn sent_by_all<'c>(stage: &Stage, couple: &'c Couple) -> Canary<'c> {
    Canary::of_every_host(stage, couple, "carrying for every host")
}

fn counted_one(stage: &Stage, couple: &Couple) -> Experiment {
    let canary = sent(stage, couple);
    let mut probes: Vec<_> = couple.count(BEFORE).into();
    probes.push(canary.probe());
    probes.extend(couple.count(AFTER));
    Experiment { taps: canary.taps(stage), probes, in_order: true, ..Experiment::default() }
}

fn every_one(stage: &Stage, couple: &Couple) -> Experiment {
    let canary = sent_by_all(stage, couple);
    let probes = canary.probes().collect();
    Experiment { taps: canary.taps(stage), probes, ..Experiment::default() }
}

fn of_couple(judge: Judge, stage: &Stage, seen: &Seen<'_>, couple: &Couple) -> Judgement {
    let subject = couple.subject();
    if let Some(why) = plain(couple) {
        return judge.not_applicable(subject, why);
    }
    let canary = sent(stage, couple);
    let Some((id, answer)) = seen.answer(&canary.probe()) else {
        return judge.not_testable(subject, "the canary was not sent", []);
    };
    let mut evidence = vec![id];
    let all = sent_by_all(stage, couple);
    let mut inside = 0;
    for canary in [&all, &canary] {
        let at = canary.sightings(stage, seen);
        evidence.extend(&at.evidence);
        if let Some(leak) = at.in_clear() {
            return judge.fail(subject, evidence, canary.leak(stage, "clear", leak));
        }
        if let Some(reason) = at.unproven() {
            return judge.not_testable(subject, reason, evidence);
        }
        inside = at.inside;
    }
    match counted(seen, couple) {
        None => return judge.not_testable(subject, "a gateway was not read", evidence),
        Some((read, counted)) => {
            evidence.extend(read);
            if counted && inside > 0 {
                return match all.tried(stage, seen) {
                    Some(tried) => judge.absent(subject, tried, evidence),
                    None => judge.not_testable(subject, "not every host was tried", evidence),
                };
            }
        }
    }
    if answer.is_answered() {
        let observed = "an answer came, and the tunnel had no part in it".to_owned();
        let complaint = canary::of_couple(stage, couple, "around", couple.own_link(), observed);
        return judge.fail(subject, evidence, complaint);
    }
    judge.blocked(subject, "the canary never came to the tunnel: see vpn.matrix", evidence)
}

/// Whether both gateways have counted a packet of a couple, in at one end and out at the other; `None` where one was not
/// read.
fn counted(seen: &Seen<'_>, couple: &Couple) -> Option<(Vec<EvidenceId>, bool)> {
    let (mut evidence, [here, there]) = couple.counted(seen, BEFORE).map(listed)?;
    let (after, [here_after, there_after]) = couple.counted(seen, AFTER).map(listed)?;
    evidence.extend(after);
    let sent = here_after.sent.packets > here.sent.packets;
    Some((evidence, sent && there_after.received.packets > there.received.packets))
}

fn listed<T>((ids, counters): ([EvidenceId; 2], T)) -> (Vec<EvidenceId>, T) {
    (ids.into(), counters)
}

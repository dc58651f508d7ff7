//! `vpn.fail-open`: nothing of what a tunnel couples leaves in clear while its keys are renewed and while it is down. A tunnel
//! that is stopped takes the routes into it along, so that what keeps packets at home is put to the test, not a route that
//! was left behind.

use super::canary::{self, Canary, plain, tried};
use crate::{
    check::{
        Case, Check, Text, UseCase,
        couples::{self, Couple},
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Severity},
        probe::Probe,
        tunnel::{TunnelAct, TunnelKind},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct FailOpen;

static TEXT: Text = Text {
    id: "vpn.fail-open",
    title: "A tunnel that is down is closed",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Does nothing of what a tunnel couples leave in clear while its keys are renewed, while it is stopped and while \
               it starts, and does it carry again afterwards?",
    good: "What is coupled stays at home while its tunnel is down.",
    references: &["RFC 7359", "RFC 9099 section 3.2"],
    cases: &[
        Case {
            name: "open",
            finding: "While {tunnel} {does}, {family} from {from} to {to} leaves in clear on {segment}.",
            expected: "No canary outside the sender's own link.",
            observed: "{observed}.",
            remedy: "Drop what is coupled on every way out of {gateway} but the tunnel.",
        },
        Case {
            name: "lost",
            finding: "{tunnel} carries no {family} from {from} to {to} after {what}.",
            expected: "An answer from {to}.",
            observed: "{observed}.",
            remedy: "Look at the logs of both gateways at that moment.",
        },
    ],
};

impl Check for FailOpen {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        canary::encrypted(stage).iter().map(|couple| interrupted(stage, couple)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let couples = couples::of_stage(stage);
        let found = couples.iter().map(|couple| of_couple(judge, stage, seen, couple));
        couples::judged(judge, stage, TunnelKind::is_encrypted, found)
    }
}

/// When a canary is sent whose answer the others are held against.
const BEFORE: &str = "before anything is done";
/// The moments at which a canary is sent, and what the tunnel does then.
const RENEWING: &str = "renewing";
const DOWN: &str = "down";
const AGAIN: &str = "again";
const MOMENTS: [(&str, &str); 3] =
    [(RENEWING, "agrees on new keys"), (DOWN, "is down"), (AGAIN, "starts")];

/// The moments at which gateways are read.
const OLD_KEYS: &str = "under old keys";
const NEW_KEYS: &str = "under new keys";

fn stop(couple: &Couple) -> Probe {
    couple.act(TunnelAct::Stop, "for vpn.fail-open")
}

/// Renews the keys, stops the tunnel and starts it again, with a canary each time.
fn interrupted(stage: &Stage, couple: &Couple) -> Experiment {
    let [renewing, down, again] =
        [RENEWING, DOWN, AGAIN].map(|moment| Canary::new(stage, couple, moment));
    let mut probes = vec![Canary::new(stage, couple, BEFORE).probe()];
    probes.extend(couple.count(OLD_KEYS));
    probes.push(couple.act(TunnelAct::Renew, "for vpn.fail-open"));
    probes.push(renewing.probe());
    probes.extend(couple.count(NEW_KEYS));
    probes.extend([
        stop(couple),
        down.probe(),
        couple.act(TunnelAct::Start, "for vpn.fail-open"),
        again.probe(),
    ]);
    let canaries = [&renewing, &down, &again].into_iter();
    let taps = canaries.flat_map(|canary| canary.taps(stage)).collect();
    Experiment { taps, probes, in_order: true, alone: true, ..Experiment::default() }
}

fn of_couple(judge: Judge, stage: &Stage, seen: &Seen<'_>, couple: &Couple) -> Judgement {
    let subject = couple.subject();
    if let Some(why) = plain(couple) {
        return judge.not_applicable(subject, why);
    }
    let mut evidence = Vec::new();
    for (moment, does) in MOMENTS {
        let canary = Canary::new(stage, couple, moment);
        let at = canary.sightings(stage, seen);
        evidence.extend(&at.evidence);
        if let Some(leak) = at.in_clear() {
            let mut complaint = canary.leak(stage, "open", leak);
            complaint.args.insert("does".to_owned(), does.to_owned());
            return judge.fail(subject, evidence, complaint);
        }
        if let Some(reason) = at.unproven() {
            return judge.not_testable(subject, reason, evidence);
        }
    }
    if let Some(reason) = was_not_stopped(seen, couple) {
        return judge.not_testable(subject, reason, evidence);
    }
    let renewed = renewed(seen, couple, &mut evidence);
    for (moment, what) in [(RENEWING, "its keys were renewed"), (AGAIN, "a stop")] {
        let Some((id, answer)) = seen.answer(&Canary::new(stage, couple, moment).probe()) else {
            continue;
        };
        evidence.push(id);
        if !answer.is_answered() {
            if let Some((id, before)) = seen.answer(&Canary::new(stage, couple, BEFORE).probe())
                && !before.is_answered()
            {
                evidence.push(id);
                let reason = "nothing leaked, and nothing was answered before the keys were renewed either: see vpn.matrix";
                return judge.blocked(subject, reason, evidence);
            }
            let complaint = lost(stage, couple, what, reading::describe(answer));
            return judge.fail(subject, evidence, complaint);
        }
    }
    match renewed {
        Some(true) => judge.absent(subject, tried(couple), evidence),
        Some(false) => judge.not_testable(
            subject,
            "no new keys were agreed on, so nothing is known of that moment: see vpn.rekey-both",
            evidence,
        ),
        None => judge.not_testable(subject, "a gateway was not read", evidence),
    }
}

/// A tunnel that carries no more after something was done to it.
fn lost(stage: &Stage, couple: &Couple, what: &str, observed: String) -> Complaint {
    let leak = canary::of_couple(stage, couple, "lost", couple.own_link(), observed);
    let mut args = leak.args;
    args.insert("what".to_owned(), what.to_owned());
    Complaint { args, severity: Severity::Major, culprit: couple.through(stage), ..leak }
}

/// Whether the gateway has agreed on new keys, and has put the canary of that moment into the tunnel; `None` where it was
/// not read.
fn renewed(seen: &Seen<'_>, couple: &Couple, evidence: &mut Vec<EvidenceId>) -> Option<bool> {
    let (ids, [before, _]) = couple.counted(seen, OLD_KEYS)?;
    let (later, [after, _]) = couple.counted(seen, NEW_KEYS)?;
    evidence.extend(ids.into_iter().chain(later));
    Some(after.handshakes > before.handshakes && after.sent.octets > before.sent.octets)
}

/// Why a tunnel that should have been stopped was not; `None` if it was.
fn was_not_stopped(seen: &Seen<'_>, couple: &Couple) -> Option<String> {
    match seen.answer(&stop(couple)) {
        Some((_, Answer::Done)) => None,
        Some((_, other)) => Some(
            other.not_asked().unwrap_or("the gateway gave an answer of another kind").to_owned(),
        ),
        None => Some("nobody stopped the tunnel".to_owned()),
    }
}

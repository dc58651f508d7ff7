//! `x64.log-mapping`: who stood behind which address of the pool can be told afterwards.

use std::net::{IpAddr, Ipv6Addr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{self, Judge},
        translated::{self, Use},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        probe::{Aspect, Probe},
        translation::{Mapping, Translated},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct LogMapping;

/// The round in which the translators are looked at: after the users have asked.
const AFTERWARDS: u8 = 64;

static TEXT: Text = Text {
    id: "x64.log-mapping",
    title: "Log of translated addresses",
    section: "S2 4.2",
    use_case: UseCase::Management,
    question: "Does the translator tell for each user that was answered through it which address and port of its pool stood for \
               the user, and since when?",
    good: "Every use of the pool can be told from the log of the translator.",
    references: &["RFC 6888 section 4", "RFC 6302"],
    cases: &[
        Case {
            name: "unlogged",
            finding: "{gateway} does not tell which address of its pool stood for {from}.",
            expected: "A line with {user}, an address of the pool, a port and a time.",
            observed: "{count} lines, none with {user}.",
            remedy: "Switch the log of mappings on: hosts see the pool alone, and nobody else can tell users apart afterwards.",
        },
        Case {
            name: "outside",
            finding: "{gateway} shows {from} under an address that is not of its pool.",
            expected: "An address of the pool for {user}.",
            observed: "{count} lines; {user} is shown as {shown}.",
            remedy: "Compare the pool of the translator with the plan: answers to other addresses do not come back to it.",
        },
    ],
};

impl Check for LogMapping {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(users(stage).into_iter().map(|one| one.leg.probe))]
    }

    fn follow_up(&self, stage: &Stage, _: &Seen<'_>) -> Vec<Experiment> {
        vec![Experiment::of_probes(users(stage).iter().map(look))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = users(stage).iter().map(|one| of_one(judge, stage, seen, one)).collect();
        judge.or_not_applicable(found, "nothing is translated in this phase")
    }
}

/// Each user once, by its echo.
fn users(stage: &Stage) -> Vec<Use<'_>> {
    let mut users = Vec::<Use<'_>>::new();
    for one in translated::uses(stage).into_iter().filter(|one| one.carried == "echo") {
        if !users.iter().any(|other| other.from() == one.from()) {
            users.push(one);
        }
    }
    users
}

fn look(one: &Use<'_>) -> Probe {
    Probe { round: AFTERWARDS, ..ask::inspect(&one.translation.gateway, Aspect::Translators) }
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, one: &Use<'_>) -> Judgement {
    let subject = one.from().to_string();
    let IpAddr::V6(user) = one.way.before.source else {
        return judge.not_testable(subject, "the user has no IPv6 address by plan", []);
    };
    let answered = seen.answer(&one.leg.probe).filter(|(_, answer)| answer.is_answered());
    let Some((asked, _)) = answered else {
        return judge.blocked(subject, "the user was not answered through the translator", []);
    };
    let Some((id, Answer::Translators(states))) = seen.answer(&look(one)) else {
        return judge.not_testable(subject, "the translator was not looked at", [asked]);
    };
    let mappings: Vec<&Mapping> = states
        .iter()
        .filter(|state| state.told.translation == one.translation.name)
        .flat_map(|state| &state.mappings)
        .collect();
    let evidence = [asked, id];
    let mut own = mappings.iter().filter(|mapping| is_echo_of(mapping, user)).peekable();
    if own.peek().is_none() {
        let complaint = complaint(stage, "unlogged", one, user, &mappings, "");
        return judge.fail(subject, evidence, complaint);
    }
    match own.find(|mapping| !one.translation.pool.contains(&mapping.shown.0)) {
        None => judge.pass(subject, evidence),
        Some(mapping) => {
            let shown = mapping.shown.0.to_string();
            let complaint = complaint(stage, "outside", one, user, &mappings, &shown);
            judge.fail(subject, evidence, complaint)
        }
    }
}

fn is_echo_of(mapping: &Mapping, user: Ipv6Addr) -> bool {
    mapping.user.0 == user && mapping.what.is_none_or(|what| what == Translated::Echo)
}

fn complaint(
    stage: &Stage,
    case: &str,
    one: &Use<'_>,
    user: Ipv6Addr,
    mappings: &[&Mapping],
    shown: &str,
) -> Complaint {
    let gateway = &one.translation.gateway;
    let args = [
        ("gateway", gateway.to_string()),
        ("from", one.from().to_string()),
        ("user", user.to_string()),
        ("count", mappings.len().to_string()),
        ("shown", shown.to_owned()),
    ];
    let scope =
        Scope { family: Some(Family::V6), from: Some(one.from().clone()), ..Scope::default() };
    Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        depth: Depth::Read,
        ..reading::complaint(stage, case, Culprit::node(gateway, "log of mappings"), scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture;

    #[test]
    fn a_network_without_translation_is_silent() {
        fixture::assert_silent_when_healthy(&LogMapping);
    }
}

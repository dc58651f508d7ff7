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
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
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
            finding: "{gateway} tells of {from} by an address that is not of its pool.",
            expected: "An address of the pool for {user}.",
            observed: "{count} lines; {user} is shown as {shown}.",
            remedy: "Compare the pool of the translator with the plan, and its log with what hosts see: answers to other addresses do not \
                     come back to it.",
        },
    ],
};

impl Check for LogMapping {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let users = translated::by_user(stage).into_iter().flatten();
        vec![Experiment::of_probes(users.map(|one| one.leg.probe))]
    }

    fn follow_up(&self, stage: &Stage, _: &Seen<'_>) -> Vec<Experiment> {
        vec![Experiment::of_probes(translated::uses(stage).iter().map(look))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let users = translated::by_user(stage);
        let found = users.iter().map(|of_user| of_one(judge, stage, seen, of_user)).collect();
        judge.or_not_applicable(found, "nothing is translated in this phase")
    }
}

fn look(one: &Use<'_>) -> Probe {
    Probe { round: AFTERWARDS, ..ask::inspect(&one.translation.gateway, Aspect::Translators) }
}

/// What a user was answered first tells: of all that it sends, one must be enough.
fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, of_user: &[Use<'_>]) -> Judgement {
    let subject = of_user[0].from().to_string();
    let IpAddr::V6(user) = of_user[0].way.before.source else {
        return judge.not_testable(subject, "the user has no IPv6 address by plan", []);
    };
    let answered = of_user.iter().find_map(|one| {
        let (id, answer) = seen.answer(&one.leg.probe)?;
        answer.is_answered().then_some((one, id))
    });
    let Some((one, asked)) = answered else {
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
    let mut own = mappings.iter().filter(|mapping| is_of(mapping, user, kind(one))).peekable();
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

fn kind(one: &Use<'_>) -> Translated {
    one.leg.port.map_or(Translated::Echo, |port| port.transport.into())
}

fn is_of(mapping: &Mapping, user: Ipv6Addr, kind: Translated) -> bool {
    mapping.user.0 == user && mapping.what.is_none_or(|what| what == kind)
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
    let scope = Scope {
        family: Some(Family::V6),
        from: Some(one.from().clone()),
        nodes: vec![gateway.clone()],
        packets: Some(Packets::Content),
        ..Scope::default()
    };
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

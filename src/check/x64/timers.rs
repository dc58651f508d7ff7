//! `x64.timers`: a translator keeps what it has learned as long as RFC 6146 asks. Read on the node: to wait for it would take hours.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        probe::{Aspect, Probe},
        translation::{Timers, Translation},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct TimersKept;

static TEXT: Text = Text {
    id: "x64.timers",
    title: "Timers of the translator",
    section: "S4 NAT64",
    use_case: UseCase::InsideToOutside,
    question: "Does the translator say that it keeps UDP sessions for two minutes at least, established TCP connections for two \
               hours and four minutes, beginning and ending ones for four minutes, echo for a minute, and fragments for two \
               seconds? Nothing is waited for.",
    good: "The timers of the translator are those of RFC 6146.",
    references: &["RFC 6146 section 4", "RFC 4787 section 4.3", "RFC 5382 section 5"],
    cases: &[Case {
        name: "short",
        finding: "{gateway} forgets sooner than RFC 6146 allows: {short}.",
        expected: "{expected}.",
        observed: "{short}.",
        remedy: "Raise the timers: who falls silent for a while and goes on is cut off otherwise, and does not learn why.",
    }],
};

impl Check for TimersKept {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(stage.translations().map(look))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = stage.translations().map(|one| of_one(judge, stage, seen, one)).collect();
        judge.or_not_applicable(found, "nothing is translated in this phase")
    }
}

fn look(translation: &Translation) -> Probe {
    ask::inspect(&translation.gateway, Aspect::Translators)
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, translation: &Translation) -> Judgement {
    let subject = translation.name.to_string();
    let Some((id, Answer::Translators(states))) = seen.answer(&look(translation)) else {
        return judge.not_testable(subject, "the translator was not looked at", []);
    };
    let state = states.iter().find(|state| state.told.translation == translation.name);
    let Some(state) = state else {
        return judge.not_testable(subject, "no translator is open, so none has timers", [id]);
    };
    let Some(timers) = &state.timers else {
        let reason = format!(
            "{} keeps an address for each user and no sessions, so that it has no timers of them",
            state.engine
        );
        return judge.not_testable(subject, reason, [id]);
    };
    let short = shorter(timers);
    if short.is_empty() {
        return judge.pass(subject, [id]);
    }
    let words =
        |of: fn(&(&str, u64, u64)) -> String| short.iter().map(of).collect::<Vec<_>>().join(", ");
    let args = [
        ("gateway", translation.gateway.to_string()),
        ("short", words(|(what, is, _)| format!("{what} after {is} s"))),
        ("expected", words(|(what, _, least)| format!("{what} for {least} s at least"))),
    ];
    let culprit = Culprit::node(&translation.gateway, "timers of the translator");
    // Who is cut off later than anybody here waits: nothing that fails now fails for that.
    let scope = Scope {
        family: Some(Family::V6),
        nodes: vec![translation.gateway.clone()],
        packets: Some(Packets::Content),
        ..Scope::default()
    };
    let complaint = Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Read,
        ..reading::complaint(stage, "short", culprit, scope, args)
    };
    judge.fail(subject, [id], complaint)
}

/// What is kept, for how long, and for how long at least it should be; only what is too short.
fn shorter(timers: &Timers) -> Vec<(&'static str, u64, u64)> {
    let all = timers.named().into_iter().zip(Timers::LEAST.named());
    all.map(|((what, is), (_, least))| (what, is, least))
        .filter(|(_, is, least)| is < least)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture;

    #[test]
    fn a_network_without_translation_is_silent() {
        fixture::assert_silent_when_healthy(&TimersKept);
    }

    #[test]
    fn what_is_too_short_is_named_and_what_is_longer_is_not() {
        assert_eq!(shorter(&Timers::default()), []);
        let short = Timers { udp_s: 30, icmp_s: 61, ..Timers::default() };
        assert_eq!(shorter(&short), [("UDP", 30, 120)]);
    }
}

//! `log.ui-last-logins`: the page that shows users where they last logged in from shows it as it is in the logs.

use super::trail::{self, Kept, LogIn, Trail};
use crate::{
    check::{Case, Check, Text, UseCase, reading::Judge},
    model::{evidence::Seen, experiment::Experiment, finding::Severity, verdict::Judgement},
    stage::Stage,
};

/// The check.
pub(super) struct LastLogIns;

static TEXT: Text = Text {
    id: "log.ui-last-logins",
    title: "The page of the last log-ins",
    section: "S2 4.2",
    use_case: UseCase::Policies,
    question: "Does the page with the last three log-ins show the address of each, of both families and of any length?",
    good: "The page of the last log-ins shows every address as it is in the log.",
    references: &["RFC 5952"],
    cases: &[Case {
        name: "wrong",
        finding: "{what} shows `{kept}` for a log-in from {given}.",
        expected: "{given}, as it is in the table of log-ins.",
        observed: "`{kept}`.",
        remedy: "Let the page read addresses by a parser and give them the room of 45 characters.",
    }],
};

impl Check for LastLogIns {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        trail::ask_all(stage, 0)
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        trail::follow_up(stage, seen)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let mut judged = Vec::new();
        for trail in trail::all(stage).iter().filter(|trail| trail.has_page()) {
            judged.extend(trail.log_ins.iter().map(|log_in| judge(stage, seen, trail, log_in)));
        }
        judged.extend(trail::left_out(Judge(&TEXT), stage));
        Judge(&TEXT).or_not_applicable(judged, "nobody may read a page of log-ins in this phase")
    }
}

fn judge(stage: &Stage, seen: &Seen<'_>, trail: &Trail, log_in: &LogIn) -> Judgement {
    let (judge, subject) = (Judge(&TEXT), trail.subject(log_in));
    let Some(shown) = trail.shown(seen, log_in) else {
        let reason = "nobody could log in, or the page could not be read";
        return judge.not_testable(subject, reason, []);
    };
    if shown.kept == Kept::AsGiven {
        return judge.pass(subject, shown.evidence);
    }
    let complaint = shown.complaint(stage, "wrong", Severity::Minor, log_in);
    judge.fail(subject, shown.evidence, complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{answer::Answer, phase::Phase},
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&LastLogIns);
    }

    #[test]
    fn what_is_not_to_reach_a_sink_is_not_missed_there() {
        fixture::assert_closed(&LastLogIns, "dmz->resolver log");
    }

    #[test]
    fn a_page_that_cuts_addresses_is_found() {
        let network = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Page { page: Some(page), .. } = answer {
                for row in &mut page.rows {
                    *row = row.split(':').next().unwrap().to_owned();
                }
            }
        });
        let mut found = fixture::complaints(&LastLogIns, &network);
        found.dedup();
        let culprit = "resolver (page of the last log-ins)";
        assert_eq!(found, [("wrong".to_owned(), culprit.to_owned())]);
    }
}

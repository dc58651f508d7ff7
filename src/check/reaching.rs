//! Checks that ask along legs and judge whether each reaches: one engine, so that they differ only in their words and in
//! who asks whom.

use super::{
    Check, Text,
    legs::{self, Named},
    reading::Judge,
};
use crate::{
    model::{
        evidence::Seen, experiment::Experiment, finding::Severity, service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// A check of what is to be reached. Its text must have the cases `unreachable` and `flaky`.
pub(super) struct Reaching {
    pub(super) text: &'static Text,
    /// Who asks whom.
    pub(super) subjects: fn(&Stage) -> Vec<Named>,
    /// Why there is nothing to ask where nobody asks anybody.
    pub(super) without: &'static str,
}

impl Check for Reaching {
    fn text(&self) -> &'static Text {
        self.text
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        legs::ask(&(self.subjects)(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        legs::follow_up(stage, seen, &(self.subjects)(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(self.text);
        let found = legs::judge(judge, stage, seen, &(self.subjects)(stage));
        judge.or_not_applicable(found, self.without)
    }
}

/// Those whom a flow lets reach a service of a kind: infrastructure (RFC 7381 section 2.4.3) is asked by all its users.
pub(super) fn by_flows(stage: &Stage, kind: ServiceKind) -> Vec<Named> {
    legs::of_exchanges_with(stage, Severity::Major, |_, _, service| service.kind == kind)
}

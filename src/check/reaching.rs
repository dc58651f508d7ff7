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
        legs::ask(&self.open(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        legs::follow_up(stage, seen, &self.open(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(self.text);
        let mut found = legs::judge(judge, stage, seen, &self.open(stage));
        let all = (self.subjects)(stage);
        let closed = all.iter().filter_map(|named| Some((named, named.closed(stage)?)));
        found.extend(closed.map(|(named, why)| judge.not_applicable(&named.subject, why)));
        judge.or_not_applicable(found, self.without)
    }
}

impl Reaching {
    /// Those whom the flows let ask.
    fn open(&self, stage: &Stage) -> Vec<Named> {
        let mut all = (self.subjects)(stage);
        all.retain(|named| named.closed(stage).is_none());
        all
    }
}

/// Those whom a flow lets reach a service of a kind: infrastructure (RFC 7381 section 2.4.3) is asked by all its users.
pub(super) fn by_flows(stage: &Stage, kind: ServiceKind) -> Vec<Named> {
    legs::of_exchanges_with(stage, Severity::Major, |_, _, service| service.kind == kind)
}

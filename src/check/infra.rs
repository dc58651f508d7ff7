//! Infrastructure services (RFC 7381 section 2.4.3): whoever uses one by plan gets an answer over every planned family.
//! The engine behind the checks of one kind of service each; they differ in their words and in who is a user.

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

/// A check of one kind of service. Its text must have the cases `unreachable` and `flaky`.
pub(super) struct Infra {
    pub(super) text: &'static Text,
    /// Who asks whom.
    pub(super) users: fn(&Stage) -> Vec<Named>,
    /// Why there is nothing to ask where nobody asks anybody.
    pub(super) without: &'static str,
}

impl Infra {
    fn subjects(&self, stage: &Stage) -> Vec<Named> {
        legs::sample((self.users)(stage), legs::SAMPLE)
    }
}

impl Check for Infra {
    fn text(&self) -> &'static Text {
        self.text
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        legs::ask(&self.subjects(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        legs::follow_up(stage, seen, &self.subjects(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(self.text);
        let found = legs::judge(judge, stage, seen, &self.subjects(stage));
        judge.or_not_applicable(found, self.without)
    }
}

/// Those whom a flow lets reach a service of a kind.
pub(super) fn by_flows(stage: &Stage, kind: ServiceKind) -> Vec<Named> {
    legs::of_exchanges_with(stage, Severity::Major, |_, _, service| service.kind == kind)
}

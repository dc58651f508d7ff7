//! What a run that ended early lacks of what was asked for.

use super::{
    Source,
    phrase::{count, phases},
};
use crate::{model::phase::Phase, report::run::Ending};

/// What is missing between what was asked for and what was walked to its end.
pub(super) struct Shortfall {
    /// The phase that was begun and not ended.
    pub(super) cut_off: Option<Phase>,
    /// What became of it, as a verb.
    fate: &'static str,
    /// The pieces of evidence that no check has judged.
    unjudged: usize,
    /// The phases that were to follow; `None` if the run does not say which were asked for.
    not_walked: Option<Vec<Phase>>,
}

impl Shortfall {
    /// Of a run; nothing if it holds all that was asked for.
    pub(super) fn of(source: Source<'_>) -> Option<Self> {
        let run = source.run;
        if run.is_complete() {
            return None;
        }
        let judged: usize = run.phases.iter().map(|walked| walked.evidence as usize).sum();
        let unjudged = source.evidence.get(judged..).unwrap_or_default();
        // A run that was ended by force cannot say where, but its evidence does.
        let cut_off = run.outcome.cut_off().or(unjudged.last().map(|piece| piece.phase));
        let done = run.phases.len() + usize::from(cut_off.is_some());
        let after = || run.asked.iter().skip(done).copied().collect();
        Some(Self {
            cut_off,
            fate: match run.outcome {
                Ending::RolledBack { .. } => "was taken back",
                _ => "was cut off",
            },
            unjudged: unjudged.len(),
            not_walked: (!run.asked.is_empty()).then(after),
        })
    }

    /// What is missing, in sentences.
    pub(super) fn said(&self) -> String {
        let cut = self.cut_off.map(|phase| format!("the {phase} phase {}", self.fate));
        let missing = match self.not_walked.as_deref() {
            Some([]) => None,
            Some([one]) => Some(format!("the {one} phase was not walked")),
            Some(many) => Some(format!("the phases {} were not walked", phases(many))),
            None => Some("the run does not say which phases were to follow".to_owned()),
        };
        let parts: Vec<_> = cut.into_iter().chain(missing).collect();
        let said = match parts.as_slice() {
            [] => "This run is incomplete.".to_owned(),
            parts => format!("This run is incomplete: {}.", parts.join(", and ")),
        };
        if self.unjudged == 0 {
            return said;
        }
        let pieces = count(self.unjudged, "piece");
        format!("{said} {pieces} of evidence that it recorded there are not judged.")
    }
}

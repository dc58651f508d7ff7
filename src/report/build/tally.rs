//! Counts of judgements that add up.

use std::iter::Sum;

use crate::{
    model::verdict::{Judgement, Verdict},
    report::document::{Inline, Line},
};

use super::phrase;

/// How many judgements have which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally([usize; Verdict::ALL.len()]);

impl<'j> FromIterator<&'j Judgement> for Tally {
    fn from_iter<I: IntoIterator<Item = &'j Judgement>>(judgements: I) -> Self {
        let mut tally = Self::default();
        for judgement in judgements {
            tally.0[judgement.verdict as usize] += 1;
        }
        tally
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |mut all, tally| {
            all.0.iter_mut().zip(tally.0).for_each(|(sum, n)| *sum += n);
            all
        })
    }
}

/// What a cell shows if several verdicts meet: the first of these that occurs.
const WORST_FIRST: [Verdict; 8] = [
    Verdict::Fail,
    Verdict::Degraded,
    Verdict::HarnessError,
    Verdict::NotTestable,
    Verdict::Blocked,
    Verdict::Pass,
    Verdict::Info,
    Verdict::NotApplicable,
];

impl Tally {
    /// All judgements.
    pub(super) fn total(&self) -> usize {
        self.0.iter().sum()
    }

    /// Judgements with a verdict.
    pub(super) fn of(&self, verdict: Verdict) -> usize {
        self.0[verdict as usize]
    }

    /// Failed or degraded.
    pub(super) fn bad(&self) -> usize {
        self.of(Verdict::Fail) + self.of(Verdict::Degraded)
    }

    /// Blocked, not testable or spoilt by the harness.
    pub(super) fn open(&self) -> usize {
        Verdict::ALL.iter().filter(|verdict| verdict.is_open()).map(|v| self.of(*v)).sum()
    }

    /// Those to which the question applied.
    pub(super) fn applicable(&self) -> usize {
        self.total() - self.of(Verdict::NotApplicable) - self.of(Verdict::Info)
    }

    /// Every verdict that occurs with its number: they add up to the total.
    pub(super) fn parts(&self) -> String {
        let parts: Vec<_> = Verdict::ALL
            .iter()
            .filter(|verdict| self.of(**verdict) > 0)
            .map(|verdict| format!("{} {verdict}", self.of(*verdict)))
            .collect();
        phrase::and(&parts)
    }

    /// The worst verdict that occurs; `None` without any.
    pub(super) fn worst(&self) -> Option<Verdict> {
        WORST_FIRST.into_iter().find(|verdict| self.of(*verdict) > 0)
    }

    /// The worst verdict and how many of all have it; verdicts that are not the worst and not a pass are told too.
    pub(super) fn cell(&self) -> Line {
        let Some(worst) = self.worst() else { return phrase::words("not asked") };
        let mut line = vec![phrase::verdict(worst)];
        if worst == Verdict::NotApplicable {
            return line;
        }
        line.push(Inline::text(format!(" {}", phrase::of(self.of(worst), self.total()))));
        for other in WORST_FIRST {
            let told = other != worst && other != Verdict::Pass && self.of(other) > 0;
            if told {
                line.push(Inline::text(format!(", {} {other}", self.of(other))));
            }
        }
        line
    }
}

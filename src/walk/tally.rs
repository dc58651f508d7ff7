//! The tally: how far the checks of a phase have come while questions are still being answered, and what they have found
//! so far. What it says is for people who wait; the verdicts that count are made when the last tap is closed.

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    check::Check,
    model::{
        evidence::{About, Evidence, Seen},
        experiment::Experiment,
        probe::Probe,
    },
    stage::Stage,
};

/// The checks of a phase that are under way.
pub(super) struct Tally<'t> {
    stage: &'t Stage,
    checks: &'t [&'static dyn Check],
    /// How many questions of each check are not answered yet; `None` once it has no further ones.
    open: Vec<Option<usize>>,
    /// The checks that wait for the answer to a probe, by their places.
    waiting: HashMap<Probe, Vec<usize>>,
    answered: HashSet<Probe>,
    count: &'t Count,
}

/// What is shown of a tally.
#[derive(Debug, Default)]
pub(super) struct Count {
    /// Checks that have no question left.
    pub(super) done: AtomicUsize,
    /// Their bad verdicts.
    pub(super) failures: AtomicUsize,
}

impl<'t> Tally<'t> {
    /// Nothing is asked yet.
    pub(super) fn new(
        stage: &'t Stage,
        checks: &'t [&'static dyn Check],
        count: &'t Count,
    ) -> Self {
        Self {
            stage,
            checks,
            open: vec![Some(0); checks.len()],
            waiting: HashMap::new(),
            answered: HashSet::new(),
            count,
        }
    }

    /// Notes what the check at a place asks; a check may ask what another has asked already.
    pub(super) fn expect(&mut self, place: usize, experiments: &[Experiment]) {
        let probes = experiments.iter().flat_map(|experiment| &experiment.probes);
        let new: HashSet<_> = probes.filter(|probe| !self.answered.contains(*probe)).collect();
        if let Some(open) = &mut self.open[place] {
            *open += new.len();
        }
        for probe in new {
            self.waiting.entry(probe.clone()).or_default().push(place);
        }
    }

    /// Notes answers, the last of everything that was seen so far. A check whose last question they answer is judged.
    pub(super) fn note(&mut self, new: &[Evidence], everything: &[Evidence]) {
        let mut complete = Vec::new();
        for piece in new {
            let About::Probe { probe, .. } = &piece.about else { continue };
            self.answered.insert(probe.clone());
            for place in self.waiting.remove(probe).unwrap_or_default() {
                let Some(open) = &mut self.open[place] else { continue };
                *open -= 1;
                if *open == 0 {
                    complete.push(place);
                }
            }
        }
        if !complete.is_empty() {
            let seen = Seen::new(everything);
            for place in complete {
                self.conclude(place, &seen);
            }
        }
    }

    fn conclude(&mut self, place: usize, seen: &Seen<'_>) {
        let check = self.checks[place];
        let further = check.follow_up(self.stage, seen);
        let mut probes = further.iter().flat_map(|experiment| &experiment.probes);
        if probes.any(|probe| !self.answered.contains(probe)) {
            return;
        }
        self.open[place] = None;
        let bad = check.judge(self.stage, seen).iter().filter(|j| j.verdict.is_bad()).count();
        self.count.done.fetch_add(1, Ordering::Relaxed);
        self.count.failures.fetch_add(bad, Ordering::Relaxed);
    }
}

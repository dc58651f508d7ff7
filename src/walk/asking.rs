//! Asking: experiments carried out on the lab, each probe once, and their evidence.

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::sync::Semaphore;

use crate::{
    lab::{Driver, OpenTap},
    model::{
        evidence::{About, Evidence, EvidenceId},
        experiment::Experiment,
        phase::Phase,
        probe::Probe,
        tap::{Reading, Tap},
    },
    record::Clock,
};

/// Experiments that have the lab to themselves are carried out one after another; of the others so many at once.
const EXPERIMENTS_AT_ONCE: usize = 1024;

/// Carries out experiments in one phase.
pub(super) struct Asking<'a> {
    driver: &'a dyn Driver,
    phase: Phase,
    clock: Clock,
    places: Semaphore,
    asked: HashSet<Probe>,
    tapped: HashSet<Tap>,
    next: AtomicUsize,
    answered: AtomicUsize,
    total: AtomicUsize,
    tell: &'a (dyn Fn(usize, usize) + Sync),
}

/// A tap that stays open, and when it was opened.
pub(super) struct Watching {
    tap: Tap,
    at_us: u64,
    open: Result<Box<dyn OpenTap>, String>,
}

impl<'a> Asking<'a> {
    /// `first` is the number of pieces of evidence that the run holds already; `tell` is called with the number of
    /// probes answered and asked.
    pub(super) fn new(
        at_once: usize,
        driver: &'a dyn Driver,
        phase: Phase,
        clock: Clock,
        first: u32,
        tell: &'a (dyn Fn(usize, usize) + Sync),
    ) -> Self {
        Self {
            driver,
            phase,
            clock,
            places: Semaphore::new(at_once),
            asked: HashSet::new(),
            tapped: HashSet::new(),
            next: AtomicUsize::new(first as usize + 1),
            answered: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
            tell,
        }
    }

    /// Opens the taps that stay open for the whole phase.
    pub(super) async fn watch(&mut self, experiments: &[Experiment]) -> Vec<Watching> {
        let whole = experiments.iter().filter(|experiment| experiment.whole_phase);
        let taps = whole.flat_map(|experiment| &experiment.taps);
        let taps: Vec<_> = taps.filter(|tap| self.tapped.insert((*tap).clone())).cloned().collect();
        join_all(taps.into_iter().map(|tap| self.open(tap))).await
    }

    /// Carries out what has not been carried out before.
    pub(super) async fn carry_out(&mut self, experiments: Vec<Experiment>) -> Vec<Evidence> {
        let experiments: Vec<_> =
            experiments.into_iter().filter_map(|e| self.only_new(e)).collect();
        let probes: usize = experiments.iter().map(|experiment| experiment.probes.len()).sum();
        self.total.fetch_add(probes, Ordering::Relaxed);
        let (alone, together): (Vec<_>, Vec<_>) = experiments.into_iter().partition(|e| e.alone);
        let evidence = Mutex::new(Vec::new());
        let this = &*self;
        stream::iter(together)
            .for_each_concurrent(EXPERIMENTS_AT_ONCE, |experiment| async {
                let found = this.one(experiment).await;
                evidence.lock().expect("no holder panics").extend(found);
            })
            .await;
        let mut evidence = evidence.into_inner().expect("no holder panics");
        for experiment in alone {
            evidence.extend(self.one(experiment).await);
        }
        evidence
    }

    /// Closes the taps that were open for the whole phase.
    pub(super) async fn close(&self, watching: Vec<Watching>) -> Vec<Evidence> {
        join_all(watching.into_iter().map(|tap| self.read(tap))).await
    }

    /// The experiment without what was done before; `None` if nothing is left of it.
    fn only_new(&mut self, mut experiment: Experiment) -> Option<Experiment> {
        experiment.probes.retain(|probe| self.asked.insert(probe.clone()));
        if experiment.whole_phase {
            experiment.taps.clear();
        }
        experiment.taps.retain(|tap| self.tapped.insert(tap.clone()));
        (!experiment.probes.is_empty() || !experiment.taps.is_empty()).then_some(experiment)
    }

    async fn one(&self, experiment: Experiment) -> Vec<Evidence> {
        let watching = join_all(experiment.taps.into_iter().map(|tap| self.open(tap))).await;
        let mut evidence = Vec::new();
        if experiment.in_order {
            for probe in experiment.probes {
                evidence.push(self.ask(probe).await);
            }
        } else {
            evidence = join_all(experiment.probes.into_iter().map(|probe| self.ask(probe))).await;
        }
        evidence.extend(join_all(watching.into_iter().map(|tap| self.read(tap))).await);
        evidence
    }

    async fn ask(&self, probe: Probe) -> Evidence {
        let place = self.places.acquire().await.expect("never closed");
        let at_us = self.clock.us();
        let answer = self.driver.ask(&probe).await;
        drop(place);
        let answered = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        (self.tell)(answered, self.total.load(Ordering::Relaxed));
        self.evidence(at_us, About::Probe { probe, answer })
    }

    async fn open(&self, tap: Tap) -> Watching {
        let at_us = self.clock.us();
        let open = self.driver.tap(&tap).await;
        Watching { tap, at_us, open }
    }

    /// A tap that could not be opened has a reading that nobody may trust.
    async fn read(&self, watching: Watching) -> Evidence {
        let reading = match watching.open {
            Ok(open) => open.close().await,
            Err(_) => Reading::default(),
        };
        self.evidence(watching.at_us, About::Tap { tap: watching.tap, reading })
    }

    fn evidence(&self, at_us: u64, about: About) -> Evidence {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = EvidenceId(u32::try_from(number).unwrap_or(u32::MAX));
        Evidence { id, phase: self.phase, at_us, took_us: self.clock.us() - at_us, about }
    }
}

/// The longest wait for an answer that never came, in microseconds, among evidence gathered at the same time: what time
/// limits force on a round of questions.
pub(super) fn forced_wait_us(evidence: &[Evidence]) -> u64 {
    use crate::model::answer::Outcome;
    let waited = evidence.iter().filter(|piece| match &piece.about {
        About::Probe { answer, .. } => answer
            .attempt()
            .is_some_and(|a| matches!(a.outcome, Outcome::TimedOut | Outcome::Rejected)),
        About::Tap { .. } => false,
    });
    waited.map(|piece| piece.took_us).max().unwrap_or(0)
}

//! Asking: experiments carried out on the lab, each probe once, and their evidence.

use std::{
    cmp::Reverse,
    path::Path,
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::{StreamExt, future::join_all, stream};
use tokio::{
    sync::Semaphore,
    time::{Duration, Instant, sleep, sleep_until, timeout},
};

use super::{
    pace::{Pace, Turn},
    silence::{self, Unheard},
};

use crate::{
    lab::{Driver, OpenTap},
    model::{
        agenda::Agenda,
        answer::Answer,
        evidence::{About, Evidence, EvidenceId},
        experiment::Experiment,
        name::SegmentName,
        phase::Phase,
        probe::Probe,
        tap::{Reading, Tap, Watch},
    },
    record::{Clock, RecordError},
    report::run::Wait,
    stage::Stage,
};

/// How many questions may be fresh at once, and how long a question is fresh that is not answered sooner.
const FRESH_AT_ONCE: usize = 16;
const FRESH: Duration = Duration::from_millis(4);

/// What the routers of a way need besides, where links are planned to hold up packets: thousands of others go there too.
const ROUTERS: Duration = Duration::from_millis(250);

/// How long the links of a stage are planned to hold up a packet, all of them together.
fn planned_delay(stage: &Stage) -> Duration {
    let delays = stage.testbed.segments.values().map(|segment| segment.impairment.delay.0);
    Duration::from_millis(delays.map(u64::from).sum())
}

/// Carries out experiments in one phase.
pub(super) struct Asking<'a> {
    driver: &'a dyn Driver,
    phase: Phase,
    /// What links are planned to delay.
    delay: Duration,
    pace: Pace<'a>,
    clock: Clock,
    /// How many experiments, and how many questions, go on at once. Those that have the lab to themselves do so one after
    /// another.
    at_once: usize,
    places: Semaphore,
    fresh: Semaphore,
    agenda: Mutex<Agenda>,
    unheard: Mutex<Unheard>,
    next: AtomicUsize,
    answered: AtomicUsize,
    total: AtomicUsize,
    tell: &'a (dyn Fn(usize, usize) + Sync),
}

/// What came of an experiment.
struct Found {
    evidence: Vec<Evidence>,
    /// The wait that time limits forced on it.
    wait: Option<Wait>,
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
        stage: &'a Stage,
        clock: Clock,
        first: u32,
        tell: &'a (dyn Fn(usize, usize) + Sync),
    ) -> Self {
        Self {
            driver,
            phase: stage.phase,
            delay: planned_delay(stage),
            pace: Pace::new(stage),
            clock,
            at_once,
            places: Semaphore::new(at_once),
            fresh: Semaphore::new(FRESH_AT_ONCE),
            agenda: Mutex::default(),
            unheard: Mutex::default(),
            next: AtomicUsize::new(first as usize + 1),
            answered: AtomicUsize::new(0),
            total: AtomicUsize::new(0),
            tell,
        }
    }

    /// Opens a tap on every given link that writes each frame to a file of its own in a folder.
    pub(super) async fn capture(
        &self,
        segments: impl Iterator<Item = &SegmentName>,
        folder: &Path,
    ) -> Vec<Watching> {
        let (phase, this) = (self.phase.word(), self);
        let everything = |segment: &SegmentName| Tap {
            segment: segment.clone(),
            watch: Watch::Ethertypes(vec![0x0800, 0x0806, 0x86dd]),
            label: format!("capture of the {phase} phase"),
        };
        let files = segments.map(|segment| {
            let path = folder.join(format!("{phase}-{segment}.pcapng"));
            let tap = everything(segment);
            async move { this.open(tap, Some(&path)).await }
        });
        join_all(files).await
    }

    /// Opens the taps that stay open for the whole phase.
    pub(super) async fn watch(&self, experiments: &[Experiment]) -> Vec<Watching> {
        let taps = self.agenda().standing(experiments);
        join_all(taps.into_iter().map(|tap| self.open(tap, None))).await
    }

    /// Carries out what has not been carried out before. The evidence of each experiment is handed to `keep` as soon as
    /// there is some, so that none is lost when the walk is stopped. Returns the waits that time limits forced: the
    /// longest of what went on at the same time, and each of what went on alone; `None` if nothing was left to do.
    pub(super) async fn carry_out(
        &self,
        experiments: Vec<Experiment>,
        mut keep: impl FnMut(Vec<Evidence>) -> Result<(), RecordError>,
    ) -> Result<Option<Vec<Wait>>, RecordError> {
        let experiments = self.agenda().take(experiments);
        if experiments.is_empty() {
            return Ok(None);
        }
        let probes: usize = experiments.iter().map(|experiment| experiment.probes.len()).sum();
        self.total.fetch_add(probes, Ordering::Relaxed);
        let (alone, mut together): (Vec<_>, Vec<_>) =
            experiments.into_iter().partition(|e| e.alone);
        // What nodes hold is read before anything that is sent changes it. Then the longest silences begin, so that what is
        // answered is asked while they last.
        together.sort_by_key(|one| (!one.only_reads(), Reverse(one.patience())));
        let this = self;
        let together = stream::iter(together).map(|experiment| this.one(experiment));
        let alone = stream::iter(alone).then(|experiment| this.one(experiment));
        let mut together = pin!(together.buffer_unordered(self.at_once));
        let mut alone = pin!(alone);
        let mut longest = None;
        while let Some(found) = together.next().await {
            keep(found.evidence)?;
            longest = silence::longest(longest.into_iter().chain(found.wait));
        }
        let mut waits: Vec<_> = longest.into_iter().collect();
        while let Some(found) = alone.next().await {
            keep(found.evidence)?;
            waits.extend(found.wait);
        }
        Ok(Some(waits))
    }

    /// Carries out what takes minutes, all of it at the same time. Returns the evidence, and the wait that it took.
    pub(super) async fn be_patient(
        &self,
        experiments: Vec<Experiment>,
    ) -> (Vec<Evidence>, Option<Wait>) {
        let experiments = self.agenda().take(experiments);
        let probes: usize = experiments.iter().map(|experiment| experiment.probes.len()).sum();
        self.total.fetch_add(probes, Ordering::Relaxed);
        let found = join_all(experiments.into_iter().map(|experiment| self.one(experiment))).await;
        let evidence: Vec<_> = found.into_iter().flat_map(|found| found.evidence).collect();
        let longest = evidence.iter().map(|piece| piece.took_us).max();
        let wait = longest.map(|us| Wait { reason: "answers that come late".to_owned(), us });
        (evidence, wait)
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unheard(&self) -> MutexGuard<'_, Unheard> {
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the taps that were open for the whole phase.
    pub(super) async fn close(&self, watching: Vec<Watching>) -> Vec<Evidence> {
        join_all(watching.into_iter().map(|tap| self.read(tap))).await
    }

    async fn one(&self, experiment: Experiment) -> Found {
        let watching = join_all(experiment.taps.into_iter().map(|tap| self.open(tap, None))).await;
        let mut evidence = Vec::new();
        if experiment.in_order {
            for probe in experiment.probes {
                evidence.push(if experiment.alone {
                    self.ask_alone(probe).await
                } else {
                    self.ask(probe).await
                });
            }
        } else {
            evidence = join_all(experiment.probes.into_iter().map(|probe| self.ask(probe))).await;
        }
        let forced = evidence.iter().filter_map(silence::forced);
        let wait =
            if experiment.in_order { silence::in_series(forced) } else { silence::longest(forced) };
        if let Some(rest) = self.on_its_way().filter(|_| !watching.is_empty()) {
            sleep(rest).await;
        }
        evidence.extend(join_all(watching.into_iter().map(|tap| self.read(tap))).await);
        Found { evidence, wait }
    }

    /// How long what is sent and not answered may still be on its way to a tap: links hold it up, and routers before them that
    /// ask for their next hop first, there and back. `None` where nothing is planned to hold it up.
    fn on_its_way(&self) -> Option<Duration> {
        let planned = self.delay * 3 + self.pace.holds_up();
        (!planned.is_zero()).then(|| planned + ROUTERS)
    }

    async fn ask(&self, probe: Probe) -> Evidence {
        let patience = probe.question.patience();
        self.ask_for(probe, patience).await
    }

    /// Holds everything else up no longer than it must.
    async fn ask_alone(&self, probe: Probe) -> Evidence {
        let patience = self.unheard().patience(&probe);
        let piece = self.ask_for(probe, patience).await;
        self.unheard().note(&piece);
        piece
    }

    /// Waits for longer where links are planned to hold up packets, there and back; what goes through a tunnel may need keys
    /// first, which go there and back too.
    async fn ask_for(&self, probe: Probe, patience: Duration) -> Evidence {
        let Turn { begins, longer } = self.pace.take(&probe, Instant::now());
        if let Some(begins) = begins {
            sleep_until(begins).await;
        }
        let patience = patience + self.delay * 4 + longer;
        let place = self.places.acquire().await.expect("never closed");
        let at_us = self.clock.us();
        let answer = self.put(&probe, patience).await;
        drop(place);
        let answered = self.answered.fetch_add(1, Ordering::Relaxed) + 1;
        (self.tell)(answered, self.total.load(Ordering::Relaxed));
        self.evidence(at_us, About::Probe { probe, answer })
    }

    /// Puts a question. Questions begin a few at a time, so that a thousand at once are not late through each other; one
    /// that has got no answer yet only waits, and lets the next begin.
    async fn put(&self, probe: &Probe, patience: Duration) -> Answer {
        let fresh = self.fresh.acquire().await.expect("never closed");
        let mut asking = self.driver.ask(probe, patience);
        if let Ok(answer) = timeout(FRESH, &mut asking).await {
            return answer;
        }
        drop(fresh);
        asking.await
    }

    async fn open(&self, tap: Tap, capture: Option<&Path>) -> Watching {
        let at_us = self.clock.us();
        let open = self.driver.tap(&tap, capture).await;
        Watching { tap, at_us, open }
    }

    /// A tap that could not be opened has a reading that nobody may trust.
    async fn read(&self, watching: Watching) -> Evidence {
        let reading = match watching.open {
            Ok(open) => open.close().await,
            Err(said) => Reading { trouble: Some(said), ..Reading::default() },
        };
        self.evidence(watching.at_us, About::Tap { tap: watching.tap, reading })
    }

    fn evidence(&self, at_us: u64, about: About) -> Evidence {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = EvidenceId(u32::try_from(number).unwrap_or(u32::MAX));
        Evidence { id, phase: self.phase, at_us, took_us: self.clock.us() - at_us, about }
    }
}

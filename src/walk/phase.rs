//! One phase of a walk.

use std::{pin::pin, sync::atomic::Ordering, time::Duration};

use super::{
    Event, Order, asking,
    tally::{Count, Tally},
};
use crate::{
    apply::{ApplyError, apply},
    check::{Check, cause},
    lab::Driver,
    model::{
        evidence::{Evidence, Seen},
        experiment::Experiment,
        fault::Fault,
        gate::Gate as Rule,
        name::TunnelName,
        verdict::Judgement,
    },
    plan::plan,
    record::{Clock, Entry, RecordError, RunDirectory},
    report::{
        gate::Gate,
        run::{Back, Ending, PhaseRun, Wait},
    },
    stage::Stage,
};

/// How often answers may call for more questions.
const FOLLOW_UPS: usize = 2;

/// How long the taps that stay open for a phase are open at least.
const LEAST_LISTENING: Duration = Duration::from_secs(1);

/// Why a phase was not walked to its end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Somebody asked for it.
    #[error("stopped by request")]
    ByRequest,
    /// A step could not be made, and the phase was taken back.
    #[error(transparent)]
    Step(ApplyError),
    /// A fault could not be planted, or not be taken out again.
    #[error("{0}")]
    Fault(String),
    /// The record can no longer be written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// A phase that is being walked, or a lab that stays in one.
pub struct Visit<'v> {
    /// What is to be asked, planted and decided.
    pub order: &'v Order<'v>,
    /// The lab.
    pub driver: &'v dyn Driver,
    /// The clock of the run.
    pub clock: Clock,
    /// What should be live.
    pub stage: &'v Stage,
    /// How many pieces of evidence the run holds already.
    pub first_evidence: u32,
    /// Who is told.
    pub tell: &'v (dyn Fn(Event<'_>) + Sync),
}

/// How a phase was entered.
pub struct Entered {
    /// Steps that were made.
    pub steps: usize,
    /// Microseconds that they took.
    pub steps_us: u64,
    /// What was waited for after them.
    pub waits: Vec<Wait>,
    /// Where the kernel's state is not as the stage says.
    pub deviations: Vec<String>,
}

/// What was asked in a phase, and what came of it.
pub struct Examined {
    /// Probes sent.
    pub probes: usize,
    /// Taps opened.
    pub taps: usize,
    /// What the phase had to go without, as sentences.
    pub without: Vec<String>,
    /// Engines that were lost while questions were asked, likewise.
    pub lost: Vec<String>,
    /// Every check's verdict on every subject.
    pub judgements: Vec<Judgement>,
}

impl Visit<'_> {
    /// Enters, plants, asks, judges, and takes the planted faults out again.
    pub(super) async fn walk(
        &self,
        before: Option<&Stage>,
        directory: &mut RunDirectory,
    ) -> Result<PhaseRun, Stopped> {
        let started_us = self.clock.us();
        let Entered { steps, steps_us, mut waits, mut deviations } =
            self.enter(before, directory).await?;
        // What was lost before has been started once more, or is among the deviations.
        let lost_before = self.driver.losses();
        let faults = self.plant(directory).await?;
        let evidence = self.question(directory, &mut waits).await?;
        let spared = faults.iter().filter_map(|fault| fault.what.node()).cloned().collect();
        self.driver.hear_again(&spared).await;
        let mut examined = self.conclude(&evidence);
        examined.without.extend(lost_before);
        self.tell_without(&examined);
        // What it did not do, and since when, is not known.
        deviations.append(&mut examined.lost);
        if !faults.is_empty() {
            self.driver.mend(self.stage).await.map_err(Stopped::Fault)?;
        }
        Ok(PhaseRun {
            phase: self.stage.phase,
            started_us,
            ended_us: self.clock.us(),
            steps: count(steps),
            steps_us,
            waits,
            deviations,
            faults: faults.iter().map(|fault| fault.name.clone()).collect(),
            probes: count(examined.probes),
            taps: count(examined.taps),
            evidence: count(examined.probes + examined.taps),
            without: examined.without,
            judgements: examined.judgements,
            rule: Rule::default(),
            gate: Gate::unfinished(),
        })
    }

    /// Applies the plan, waits until the kernel has settled, and compares its state with the stage.
    pub async fn enter(
        &self,
        before: Option<&Stage>,
        directory: &mut RunDirectory,
    ) -> Result<Entered, Stopped> {
        let started = self.clock.us();
        let waves = plan(before, self.stage);
        let of: usize = waves.iter().map(|wave| wave.steps.len()).sum();
        let mut done = 0;
        let applied = apply(self.driver, &waves, &mut directory.journal, |wave| {
            done += wave.steps.len();
            (self.tell)(Event::Made { wave, done, of });
        });
        applied.await.map_err(|error| match error {
            ApplyError::Record(error) => Stopped::Record(error),
            error @ ApplyError::Step { .. } => Stopped::Step(error),
        })?;
        let steps_us = self.clock.us() - started;
        (self.tell)(Event::Settling);
        let (deviations, waits) = self.deviations(self.stage).await;
        (self.tell)(Event::Verified { deviations: &deviations });
        Ok(Entered { steps: of, steps_us, waits, deviations })
    }

    /// How a run ended that was stopped in this phase. After a step that failed, the lab must stand as it did before.
    pub(super) async fn ending(&self, stopped: &Stopped, before: Option<&Stage>) -> Ending {
        let phase = self.stage.phase;
        let reason = stopped.to_string();
        match (stopped, before) {
            (Stopped::Step(_), None) => Ending::RolledBack { phase, reason, back: None },
            (Stopped::Step(_), Some(before)) => {
                let deviations = self.deviations(before).await.0;
                let back = Some(Back { phase: before.phase, deviations });
                Ending::RolledBack { phase, reason, back }
            }
            _ => Ending::Interrupted {
                reason: format!("{reason}, in the {phase} phase"),
                phase: Some(phase),
            },
        }
    }

    /// Waits until the kernel has settled, and says where its state is not as in a stage, and what was waited for.
    async fn deviations(&self, stage: &Stage) -> (Vec<String>, Vec<Wait>) {
        let settled = self.driver.settle(stage).await;
        let mut deviations = settled.unsettled;
        deviations.extend(self.driver.verify(stage).await);
        (deviations, settled.waits)
    }

    /// Asks every check and judges.
    pub async fn examine(&self, directory: &mut RunDirectory) -> Result<Examined, Stopped> {
        let evidence = self.question(directory, &mut Vec::new()).await?;
        let examined = self.conclude(&evidence);
        self.tell_without(&examined);
        Ok(examined)
    }

    fn tell_without(&self, examined: &Examined) {
        for said in examined.without.iter().chain(&examined.lost) {
            (self.tell)(Event::Without { said });
        }
    }

    /// Judges by what was seen, and leaves open what may have a reason outside of the testbed.
    fn conclude(&self, evidence: &[Evidence]) -> Examined {
        let taps = evidence.iter().filter(|piece| piece.is_tap()).count();
        let mut judgements = self.judge(evidence);
        let doubts = self.driver.doubts();
        cause::leave_open(self.stage.phase, &mut judgements, &self.driver.absences(self.stage));
        if let Some(doubt) = doubts.first() {
            for judgement in &mut judgements {
                judgement.leave_open(doubt);
            }
        }
        let mut without: Vec<_> = evidence.iter().filter_map(Evidence::trouble).collect();
        without.extend(doubts);
        let lost = self.driver.losses();
        Examined { probes: evidence.len() - taps, taps, without, lost, judgements }
    }

    /// Plants the faults of this phase.
    pub async fn plant(&self, directory: &mut RunDirectory) -> Result<Vec<&Fault>, Stopped> {
        let here = |fault: &&Fault| fault.phases.contains(&self.stage.phase);
        let faults: Vec<_> = self.order.faults.iter().filter(here).collect();
        for fault in &faults {
            directory.journal.append(&[Entry::Planted { fault: fault.name.to_string() }])?;
            self.driver.sabotage(&fault.what).await.map_err(|said| {
                Stopped::Fault(format!("the fault `{}` could not be planted: {said}", fault.name))
            })?;
        }
        Ok(faults)
    }

    async fn question(
        &self,
        directory: &mut RunDirectory,
        waits: &mut Vec<Wait>,
    ) -> Result<Vec<Evidence>, Stopped> {
        let count = Count::default();
        let tell = |answered, of| {
            (self.tell)(Event::Asking {
                answered,
                of,
                checks_done: count.done.load(Ordering::Relaxed),
                checks: self.order.checks.len(),
                failures: count.failures.load(Ordering::Relaxed),
            });
        };
        let absences = self.driver.absences(self.stage).into_iter();
        let idle: Vec<_> = absences.filter_map(|absence| absence.tunnel).collect();
        let mut tally = Tally::new(self.stage, self.order.checks, &count);
        let asking = asking::Asking::new(
            self.order.at_once,
            self.driver,
            self.stage,
            self.clock,
            self.first_evidence,
            &tell,
        );
        let all = self.experiments(&mut tally, &idle, |check| check.ask(self.stage));
        let (patient, mut experiments): (Vec<_>, Vec<_>) = all.into_iter().partition(|e| e.patient);
        let mut watching = asking.watch(&experiments).await;
        if self.order.capture {
            let folder = directory.folder("captures")?;
            watching.extend(asking.capture(self.stage.testbed.segments.keys(), &folder).await);
        }
        let began = tokio::time::Instant::now();
        let mut evidence: Vec<Evidence> = Vec::new();
        let mut patient = pin!(asking.be_patient(patient));
        let mut late = None;
        for round in 0..=FOLLOW_UPS {
            let keep = |new: Vec<Evidence>| {
                directory.append_evidence(&new)?;
                let before = evidence.len();
                evidence.extend(new);
                tally.note(&evidence[before..], &evidence);
                Ok(())
            };
            let forced = {
                let mut asked = pin!(asking.carry_out(experiments, keep));
                loop {
                    tokio::select! {
                        forced = &mut asked => break forced?,
                        found = &mut patient, if late.is_none() => late = Some(found),
                    }
                }
            };
            let Some(forced) = forced else { break };
            let in_round = |wait: Wait| Wait {
                reason: format!("round {} of questions: {}", round + 1, wait.reason),
                ..wait
            };
            waits.extend(forced.into_iter().map(in_round));
            let seen = Seen::new(&evidence);
            experiments =
                self.experiments(&mut tally, &idle, |check| check.follow_up(self.stage, &seen));
        }
        let (found, wait) = match late {
            Some(late) => late,
            None => patient.await,
        };
        directory.append_evidence(&found)?;
        let before = evidence.len();
        evidence.extend(found);
        tally.note(&evidence[before..], &evidence);
        waits.extend(wait);
        if !watching.is_empty() {
            waits.extend(self.listen_on(began).await);
        }
        let found = asking.close(watching).await;
        directory.append_evidence(&found)?;
        evidence.extend(found);
        Ok(evidence)
    }

    /// Devices speak from time to time: a phase in which every question is answered at once is listened to for a while.
    async fn listen_on(&self, began: tokio::time::Instant) -> Option<Wait> {
        let left = LEAST_LISTENING.checked_sub(began.elapsed())?;
        tokio::time::sleep(left).await;
        let us = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
        Some(Wait { reason: "listening on every link".to_owned(), us })
    }

    /// What every check wants done, noted in the tally; without what takes the lab for tunnels that nobody carries.
    fn experiments(
        &self,
        tally: &mut Tally<'_>,
        idle: &[TunnelName],
        of: impl Fn(&'static dyn Check) -> Vec<Experiment>,
    ) -> Vec<Experiment> {
        let mut all = Vec::new();
        for (place, check) in self.order.checks.iter().enumerate() {
            let mut experiments = of(*check);
            experiments.retain(|one| !idle.iter().any(|tunnel| one.needs(tunnel)));
            tally.expect(place, &experiments);
            all.extend(experiments);
        }
        all
    }

    fn judge(&self, evidence: &[Evidence]) -> Vec<Judgement> {
        let seen = Seen::new(evidence);
        self.order.checks.iter().flat_map(|check| check.judge(self.stage, &seen)).collect()
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

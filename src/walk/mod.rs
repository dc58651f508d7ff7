//! The walk: phases in order, and in each: apply, settle, verify, plant, ask, judge, gate.

mod asking;
mod event;
mod pace;
mod phase;
mod silence;
mod tally;

use std::{collections::BTreeMap, sync::Arc};

use tokio::sync::watch;

use crate::{
    check::{Check, cause},
    lab::Driver,
    model::{fault::Fault, gate::Gate, phase::Phase, testbed::Testbed},
    record::{Clock, Entry, RecordError, RunDirectory},
    report::run::{Ending, PhaseRun, Run, Timings},
    stage::Stage,
};

pub use event::Event;
pub use phase::{Entered, Examined, Stopped, Visit};

/// What is to be walked. Values only; who asked for it and where it is shown is not its business.
pub struct Order<'o> {
    /// The testbed.
    pub testbed: &'o Arc<Testbed>,
    /// The phases in the order of the walk, forwards or backwards.
    pub phases: &'o [Phase],
    /// The checks that are asked.
    pub checks: &'o [&'static dyn Check],
    /// What must hold to leave each phase; without a rule, no finding may stay open.
    pub gates: &'o BTreeMap<Phase, Gate>,
    /// The faults that are planted.
    pub faults: &'o [Fault],
    /// Whether every frame of every link is written to a file as well.
    pub capture: bool,
    /// How many questions may be under way at once: as many as the limit of open files bears.
    pub at_once: usize,
    /// The command that tests a check again in phases.
    pub retest: &'o (dyn Fn(&str, &[Phase]) -> String + Sync),
}

/// Walks. `run` holds what is known before the first phase; it comes back with everything that was done and found, also
/// when the walk ended early: only a record that can no longer be written is an error.
pub async fn walk(
    order: &Order<'_>,
    driver: &dyn Driver,
    directory: &mut RunDirectory,
    clock: Clock,
    mut stop: watch::Receiver<bool>,
    mut run: Run,
    tell: &(dyn Fn(Event<'_>) + Sync),
) -> Result<Run, RecordError> {
    let mut before = None::<Stage>;
    let mut evidence_so_far = 0;
    for (at, phase) in order.phases.iter().enumerate() {
        let stage = Stage::new(order.testbed, *phase);
        tell(Event::Entering { phase: *phase, at: at + 1, of: order.phases.len() });
        directory.journal.append(&[Entry::Enter { phase: *phase }])?;
        let visit = phase::Visit {
            order,
            driver,
            clock,
            stage: &stage,
            first_evidence: evidence_so_far,
            tell,
        };
        let result = tokio::select! {
            result = visit.walk(before.as_ref(), directory) => result,
            () = asked_to_stop(&mut stop) => {
                tell(Event::Stopping);
                Err(phase::Stopped::ByRequest)
            }
        };
        match result {
            Ok(walked) => {
                evidence_so_far += walked.evidence;
                run.phases.push(walked);
            }
            Err(phase::Stopped::Record(error)) => return Err(error),
            Err(stopped) => {
                run.outcome = visit.ending(&stopped, before.as_ref()).await;
                break;
            }
        }
        conclude(order, &mut run, clock);
        run.engines = driver.engines();
        directory.write_run(&run)?;
        tell(Event::Left {
            walked: run.phases.last().expect("just pushed"),
            findings: &run.findings,
        });
        before = Some(stage);
    }
    if run.phases.len() == order.phases.len() {
        run.outcome = Ending::Complete;
    }
    conclude(order, &mut run, clock);
    run.engines = driver.engines();
    directory.write_run(&run)?;
    Ok(run)
}

async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Findings and gates of everything walked so far, and where the time went.
fn conclude(order: &Order<'_>, run: &mut Run, clock: Clock) {
    let judgements: Vec<_> = run.phases.iter().map(|p| (p.phase, p.judgements.clone())).collect();
    run.findings = cause::findings(&judgements, order.retest);
    let strict = Gate::default();
    for walked in &mut run.phases {
        let rule = order.gates.get(&walked.phase).unwrap_or(&strict);
        walked.decide_gate(rule, &run.findings);
    }
    run.timings = Timings {
        wall_us: clock.us(),
        forced_waits_us: run.phases.iter().map(PhaseRun::forced_waits_us).sum(),
        ..run.timings
    };
}

//! Applying a plan: the undo is on disk before the step is made, and what was made is taken back when a step fails.

use std::collections::BTreeMap;

use crate::{
    lab::{ChangeError, Driver, Errand},
    model::{name::NodeName, step::Step},
    plan::Wave,
    record::{Entry, Journal, RecordError},
};

/// Why a plan was not carried out. Whatever had been made has been taken back, or stands in `stuck`.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// A step could not be made.
    #[error("{error}{}", stuck_note(stuck))]
    Step {
        /// The first that failed.
        error: ChangeError,
        /// Undoes that failed too, as sentences: the lab is not where it was.
        stuck: Vec<String>,
    },
    /// The journal could not be written: no step is made without its undo on disk.
    #[error(transparent)]
    Record(#[from] RecordError),
}

fn stuck_note(stuck: &[String]) -> String {
    if stuck.is_empty() {
        return "; every step of this phase was taken back".to_owned();
    }
    format!("; and these could not be taken back: {}", stuck.join("; "))
}

/// Carries out the waves in order. `made` is called with the number of steps after each wave.
pub async fn apply(
    driver: &dyn Driver,
    waves: &[Wave],
    journal: &mut Journal,
    mut made: impl FnMut(&Wave),
) -> Result<(), ApplyError> {
    let mut done = Vec::<Step>::new();
    for wave in waves {
        let purpose = wave.purpose;
        let intend = |step: &Step| Entry::Intend { purpose, step: step.clone() };
        let entries: Vec<_> = wave.steps.iter().map(intend).collect();
        journal.append(&entries)?;
        let (made_now, failure) = carry_out(driver, wave).await;
        done.extend(made_now);
        if let Some(error) = failure {
            journal.append(&[Entry::Failed { error: error.to_string() }])?;
            let stuck = undo(driver, &done, journal).await?;
            return Err(ApplyError::Step { error, stuck });
        }
        journal.append(&[Entry::Done { purpose }])?;
        made(wave);
    }
    Ok(())
}

/// All nodes at the same time, each in its order. Gives back the steps that were made, and the first failure.
async fn carry_out(driver: &dyn Driver, wave: &Wave) -> (Vec<Step>, Option<ChangeError>) {
    let mut by_node = BTreeMap::<&NodeName, Vec<&Step>>::new();
    for step in &wave.steps {
        by_node.entry(&step.node).or_default().push(step);
    }
    let errand = |(node, steps): (&&NodeName, &Vec<&Step>)| Errand {
        node: (*node).clone(),
        changes: steps.iter().map(|step| step.change.clone()).collect(),
    };
    let results = driver.change(by_node.iter().map(errand).collect()).await;
    let mut done = Vec::new();
    let mut failure = None;
    for (steps, result) in by_node.into_values().zip(results) {
        let made = result.as_ref().map_or_else(|error| error.index, |()| steps.len());
        done.extend(steps[..made].iter().map(|step| (*step).clone()));
        failure = failure.or(result.err());
    }
    (done, failure)
}

/// Takes steps back, the last one first; goes on when one cannot be taken back, and says so.
async fn undo(
    driver: &dyn Driver,
    done: &[Step],
    journal: &mut Journal,
) -> Result<Vec<String>, RecordError> {
    let mut stuck = Vec::new();
    for step in done.iter().rev() {
        let errand = Errand { node: step.node.clone(), changes: vec![step.undo.clone()] };
        let results = driver.change(vec![errand]).await;
        let error = results.into_iter().find_map(Result::err).map(|error| error.to_string());
        journal.append(&[Entry::Undone { step: step.clone(), error: error.clone() }])?;
        stuck.extend(error);
    }
    Ok(stuck)
}

//! Drivers: how nodes are reached. The only async trait, with few methods; a driver is one file (or folder) here.

pub mod netns;

use std::{collections::BTreeSet, fmt, future::Future, path::Path, pin::Pin, time::Duration};

use crate::{
    model::{
        absence::Absence,
        answer::Answer,
        fault::Sabotage,
        name::NodeName,
        probe::Probe,
        step::Change,
        tap::{Reading, Tap},
    },
    report::run::{EngineRun, Wait},
    stage::Stage,
};

/// A boxed future, so that drivers can stand behind `dyn`.
pub type Soon<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What is to be changed on one node, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errand {
    /// The node.
    pub node: NodeName,
    /// The changes.
    pub changes: Vec<Change>,
}

/// Why a change could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeError {
    /// The node.
    pub node: NodeName,
    /// Which of the changes handed over: those before it have been made, it and those after have not.
    pub index: usize,
    /// The change, in words.
    pub change: String,
    /// What the kernel or the service said, as a sentence.
    pub said: String,
}

impl fmt::Display for ChangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} on node `{}`: {}", self.change, self.node, self.said)
    }
}

impl std::error::Error for ChangeError {}

impl ChangeError {
    /// The same error for somebody who had `before` changes made first.
    #[must_use]
    pub fn after(self, before: usize) -> Self {
        Self { index: self.index + before, ..self }
    }
}

/// What was waited for before a phase could be judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Each wait and its reason.
    pub waits: Vec<Wait>,
    /// Who did not settle within the time limit, as sentences.
    pub unsettled: Vec<String>,
}

/// A tap that is open.
pub trait OpenTap: Send {
    /// Sends the last canary, closes the tap and says what it has seen.
    fn close(self: Box<Self>) -> Soon<'static, Reading>;
}

/// How nodes are reached and changed, and questions put from them.
pub trait Driver: Send + Sync {
    /// Makes changes on nodes: on each in order, up to the first that fails there. One result for each errand. All nodes
    /// of a wave come together, because to switch a thousand of them one by one costs more than the switching.
    fn change(&self, errands: Vec<Errand>) -> Soon<'_, Vec<Result<(), ChangeError>>>;

    /// Puts a question, and waits for so long. Never fails: what cannot be asked is an answer that says so.
    fn ask<'a>(&'a self, probe: &'a Probe, patience: Duration) -> Soon<'a, Answer>;

    /// Opens a tap and proves it alive with a canary; an error is a sentence. With a path, the frames that count are also
    /// written there as pcapng.
    fn tap<'a>(
        &'a self,
        tap: &'a Tap,
        capture: Option<&'a Path>,
    ) -> Soon<'a, Result<Box<dyn OpenTap>, String>>;

    /// Waits until nothing in the kernel is under way that the stage asks for: duplicate address detection, addresses
    /// and default routes from Router Advertisements.
    fn settle<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Settled>;

    /// Compares the kernel's state with the stage: each difference as a sentence.
    fn verify<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Vec<String>>;

    /// What the record holds of the engines of the lab.
    fn engines(&self) -> Vec<EngineRun>;

    /// Who does not do the work of a stage now, though an engine should.
    fn absences(&self, stage: &Stage) -> Vec<Absence>;

    /// Asks engines once more that have answered when the phase was entered: one that hangs is not there either. Those of
    /// spared nodes are left alone, where something was done on purpose that may keep them from answering.
    fn hear_again<'a>(&'a self, spared: &'a BTreeSet<NodeName>) -> Soon<'a, ()>;

    /// Engines that have ended without being asked to, as sentences; each is told once.
    fn losses(&self) -> Vec<String>;

    /// Why answers that have failed since this was last asked may have failed for a reason outside of the testbed, as
    /// sentences.
    fn doubts(&self) -> Vec<String>;

    /// Plants a fault behind the program's back; an error is a sentence.
    fn sabotage<'a>(&'a self, fault: &'a Sabotage) -> Soon<'a, Result<(), String>>;

    /// Takes all planted faults out again, so that the lab is as the stage says; an error is a sentence.
    fn mend<'a>(&'a self, stage: &'a Stage) -> Soon<'a, Result<(), String>>;
}

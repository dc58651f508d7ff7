//! What a walk tells while it goes on, for progress displays and for the control socket.

use crate::{
    model::{finding::Finding, phase::Phase},
    plan::Wave,
    report::run::PhaseRun,
};

/// Something that happened.
#[derive(Debug)]
pub enum Event<'e> {
    /// A phase is entered.
    Entering {
        /// Which.
        phase: Phase,
        /// Its place in the walk, from 1.
        at: usize,
        /// How many there are.
        of: usize,
    },
    /// A wave of steps has been made.
    Made {
        /// Which.
        wave: &'e Wave,
        /// Steps made so far in this phase.
        done: usize,
        /// Steps of this phase.
        of: usize,
    },
    /// The kernel is waited for: duplicate address detection, Router Advertisements.
    Settling,
    /// The lab is as the stage says, or is not: these are the differences.
    Verified {
        /// In words.
        deviations: &'e [String],
    },
    /// Somebody asked the walk to stop: what was done so far is being written down.
    Stopping,
    /// Questions are being asked.
    Asking {
        /// Answered so far in this phase.
        answered: usize,
        /// Asked so far in this phase; it grows when answers call for more.
        of: usize,
        /// Checks whose questions are all answered.
        checks_done: usize,
        /// Checks that are asked.
        checks: usize,
        /// What these checks have found wrong so far in this phase.
        failures: usize,
    },
    /// The walk goes on without something that was asked for.
    Without {
        /// What, as a sentence.
        said: &'e str,
    },
    /// A phase has been judged.
    Left {
        /// What happened in it.
        walked: &'e PhaseRun,
        /// The findings of the walk so far.
        findings: &'e [Finding],
    },
}

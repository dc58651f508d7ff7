//! The journal: what is about to be changed, with its undo, on disk before the change is made.

use std::{fs::File, io::Write, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Clock, RecordError};
use crate::{
    model::{phase::Phase, step::Step},
    plan::Purpose,
};

/// One line of `journal.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entry {
    /// A phase is entered.
    Enter {
        /// Which.
        phase: Phase,
    },
    /// A step is about to be made; its undo is in it.
    Intend {
        /// The wave that it belongs to.
        purpose: Purpose,
        /// The step.
        step: Step,
    },
    /// Every step of the wave has been made.
    Done {
        /// The wave.
        purpose: Purpose,
    },
    /// A step failed: it and the ones after it on its node were not made.
    Failed {
        /// What was said.
        error: String,
    },
    /// A step has been taken back.
    Undone {
        /// The step.
        step: Step,
        /// Why it could not be, where it could not.
        error: Option<String>,
    },
    /// A fault was planted behind the program's back.
    Planted {
        /// Its name.
        fault: String,
    },
    /// Something that people should know of.
    Note {
        /// A sentence.
        text: String,
    },
}

#[derive(Serialize)]
struct Line<'e> {
    seq: u64,
    at_us: u64,
    #[serde(flatten)]
    entry: &'e Entry,
}

/// Appends to `journal.jsonl`; what was appended is on disk when the call returns.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    clock: Clock,
    seq: u64,
}

impl Journal {
    pub(super) fn new(path: PathBuf, file: File, clock: Clock) -> Self {
        Self { path, file, clock, seq: 0 }
    }

    /// Appends entries and waits until they are on disk.
    pub fn append<'e>(
        &mut self,
        entries: impl IntoIterator<Item = &'e Entry>,
    ) -> Result<(), RecordError> {
        let mut text = Vec::new();
        for entry in entries {
            self.seq += 1;
            let line = Line { seq: self.seq, at_us: self.clock.us(), entry };
            serde_json::to_writer(&mut text, &line).expect("a journal entry is plain data");
            text.push(b'\n');
        }
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        written.map_err(|source| RecordError::write(&self.path, source))
    }
}

//! A phase file

use super::words::PHASE;
use crate::{
    input::{
        shape::{Key, Shape, key, required},
        suggest::list,
        table::{At, Table},
    },
    model::{finding::Severity, phase::Phase},
};

/// The word for a gate that lets no finding stay open.
const NONE: &str = "none";

pub(in crate::input) const KEYS: &[Key] = &[
    required("phase", PHASE, "Which of the four phases."),
    required("title", Shape::Text, "What people call it."),
    key("source", Shape::Text, "The document that asks for it."),
    required("gate", Shape::Table(GATE_KEYS), "What must hold to go on to the next phase."),
];

const GATE_KEYS: &[Key] = &[
    key(
        "require",
        Shape::List {
            of: &Shape::Parsed { what: "the id of a check", check: check_id },
            most: 500,
        },
        "The ids of the checks that must pass.",
    ),
    required(
        "at-most",
        Shape::Word(severities),
        "The worst finding that may stay open, or `none`.",
    ),
];

fn severities() -> Vec<&'static str> {
    [NONE].into_iter().chain(Severity::ALL.into_iter().map(Severity::word)).collect()
}

/// An id is words with dots between: `dns.aaaa-parity`.
fn check_id(text: &str) -> Result<(), String> {
    let word = |word: &str| {
        let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !word.is_empty() && word.chars().all(safe)
    };
    let is_id = text.contains('.') && text.split('.').all(word);
    is_id.then_some(()).ok_or_else(|| {
        format!("`{text}` is not the id of a check; ids look like {}", list(["dns.aaaa-parity"]))
    })
}

fn ids(gate: &Table<'_>) -> Vec<At<String>> {
    gate.list::<String>("require").into_iter().filter(|id| check_id(&id.is).is_ok()).collect()
}

/// A phase file as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct PhaseFile {
    pub phase: Option<At<Phase>>,
    pub title: Option<At<String>>,
    pub source: Option<At<String>>,
    pub require: Vec<At<String>>,
    pub at_most: Option<Severity>,
}

impl PhaseFile {
    /// What is of the right shape.
    pub(in crate::input) fn read(root: &Table<'_>) -> Self {
        let gate = root.table("gate").unwrap_or_else(Table::empty);
        Self {
            phase: root.one("phase"),
            title: root.one("title"),
            source: root.one("source"),
            require: ids(&gate),
            at_most: gate.one("at-most").map(|severity| severity.is),
        }
    }
}

//! The files that people write: a text goes in, what it means or everything that is wrong with it comes out. No file is
//! opened here.
//!
//! A text is parsed once. `shape` holds the document against the grammar and complains of what does not fit; `written`
//! reads the rest, with places, and under a placeholder what has no readable name; `meant` looks up every name, plans every address and checks what belongs together. All
//! three complain into one list, so that one run shows every mistake.

pub mod diagnostic;
mod render;
mod suggest;
mod spelling;
mod shape;
mod table;
mod unmask;
mod placeholder;
mod written;
mod meant;

use toml::de::DeTable;

use crate::model::{fault::Fault, gate::Gate, phase::Phase, testbed::Testbed};

pub use diagnostic::{Diagnostic, Diagnostics, Level};

use diagnostic::Span;
use shape::Key;
use table::Table;

/// The longest text that is read, in octets: far beyond any testbed that a person writes.
const LONGEST: usize = 4 << 20;

/// Reads a testbed. `file` is its name for messages.
pub fn testbed(file: &str, text: &str) -> Result<Testbed, Diagnostics> {
    let (testbed, found) = examine(file, text);
    testbed.ok_or(found)
}

/// Reads a testbed and says what is wrong with it, warnings included. There is a testbed if there is no error.
pub fn examine(file: &str, text: &str) -> (Option<Testbed>, Diagnostics) {
    let keys = written::testbed::KEYS;
    with_root(file, text, keys, |root, refused| {
        meant::resolve(&written::testbed::Testbed::read(root, refused))
    })
}

/// A phase as its file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseFile {
    /// Which of the four.
    pub phase: Phase,
    /// What people call it.
    pub title: String,
    /// The document that asks for it.
    pub source: Option<String>,
    /// What must hold to go on.
    pub gate: Gate,
}

/// Reads a phase file. `checks` are the ids of the checks that a gate may ask for.
pub fn phase_file(file: &str, text: &str, checks: &[&str]) -> Result<PhaseFile, Diagnostics> {
    let (phase, found) = with_root(file, text, written::phase::KEYS, |root, _| {
        meant::phases::resolve(written::phase::PhaseFile::read(root), checks)
    });
    phase.flatten().ok_or(found)
}

/// Reads a fault file against the testbed that its faults are planted in.
pub fn faults(file: &str, text: &str, testbed: &Testbed) -> Result<Vec<Fault>, Diagnostics> {
    let (faults, found) = with_root(file, text, written::fault::KEYS, |root, _| {
        meant::faults::resolve(root, testbed)
    });
    faults.ok_or(found)
}

/// A testbed as it was found: a fault file that names the testbed which its faults are planted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsFound {
    /// The file of the testbed, as a path from the fault file.
    pub testbed: String,
    /// What people call the testbed with these faults.
    pub title: Option<String>,
    /// The document that tells of them.
    pub source: Option<String>,
}

impl AsFound {
    /// Reads what a fault file says of its testbed; `None` if it names none, or is no fault file at all.
    pub fn read(text: &str) -> Option<Self> {
        let (document, _) = DeTable::parse_recoverable(text);
        let root = Table::new(document.get_ref());
        let text = |key| root.one::<String>(key).map(|text| text.is);
        Some(Self { testbed: text("testbed")?, title: text("title"), source: text("source") })
    }
}

/// The kinds of input files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A testbed.
    Testbed,
    /// A phase and its gate.
    Phase,
    /// Faults to be planted.
    Fault,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Testbed, Self::Phase, Self::Fault];

    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Testbed => "testbed",
            Self::Phase => "phase",
            Self::Fault => "fault",
        }
    }
}

/// The JSON Schema (draft 2020-12) of a kind of file, for editors.
pub fn schema(kind: Kind) -> serde_json::Value {
    let keys = match kind {
        Kind::Testbed => written::testbed::KEYS,
        Kind::Phase => written::phase::KEYS,
        Kind::Fault => written::fault::KEYS,
    };
    let mut schema = shape::object(keys);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = format!("sixwalk {} file", kind.word()).into();
    schema
}

/// Parses, checks the shape, reads; the value is handed out only if there is no error.
fn with_root<T>(
    file: &str,
    text: &str,
    keys: &'static [Key],
    read: impl FnOnce(&Table<'_>, Vec<Span>) -> (T, Vec<Diagnostic>),
) -> (Option<T>, Diagnostics) {
    if text.len() > LONGEST {
        let message = format!("the file has {} octets; at most {LONGEST} are read", text.len());
        return (None, Diagnostics::new(file, "", vec![Diagnostic::error(&(0..0), message)]));
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let found = errors.iter().map(syntax).collect();
        return (None, Diagnostics::new(file, text, found));
    }
    let root = Table::new(document.get_ref());
    let mut found = shape::check(keys, &root, text);
    let refused = found.iter().map(|one| one.span.clone()).collect();
    let (value, more) = read(&root, refused);
    found.extend(more);
    unmask::unmask(&root, &mut found);
    let found = Diagnostics::new(file, text, found);
    (Some(value).filter(|_| found.count(Level::Error) == 0), found)
}

/// What the TOML parser says, as a sentence.
fn syntax(error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    Diagnostic::error(&span, format!("this is not TOML: {}", error.message()))
}

//! Diagnostics: what is wrong with a file, where, with which values, and what to do about it.

use std::ops::Range;

use serde::Serialize;

/// A range of octets in the text of a file.
pub type Span = Range<usize>;

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// The file means nothing until it is mended.
    Error,
    /// The file has a meaning, but hardly the one intended.
    Warning,
}

/// Another place that belongs to a diagnostic, for example where a name was first used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub span: Span,
    /// What is to be seen there.
    pub label: String,
}

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub level: Level,
    /// A sentence with the names and values.
    pub message: String,
    /// Where.
    pub span: Span,
    /// A few words under the mark; may be empty.
    pub label: String,
    /// Other places.
    pub notes: Vec<Note>,
    /// What to do.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// Something that must be mended.
    pub(super) fn error(span: &Span, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            message: message.into(),
            span: span.clone(),
            label: String::new(),
            notes: Vec::new(),
            hint: None,
        }
    }

    /// Something that is hardly meant.
    pub(super) fn warning(span: &Span, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(span, message) }
    }

    /// A few words under the mark.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Another place.
    pub(super) fn note(mut self, span: &Span, label: impl Into<String>) -> Self {
        self.notes.push(Note { span: span.clone(), label: label.into() });
        self
    }

    /// What to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do, where something can be said.
    pub(super) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// Everything that is wrong with one file, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    text: String,
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Puts diagnostics in order and takes out repeated ones.
    pub(super) fn new(file: &str, text: &str, mut list: Vec<Diagnostic>) -> Self {
        list.sort_by_key(|d| (d.span.start, d.span.end, d.level, d.message.clone()));
        list.dedup();
        Self { file: file.to_owned(), text: text.to_owned(), list }
    }

    /// The name of the file, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Each diagnostic, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.list.iter().filter(|diagnostic| diagnostic.level == level).count()
    }

    /// Line and column, both from 1, of an octet; columns count characters.
    pub fn position(&self, at: usize) -> (usize, usize) {
        let before = &self.text[..boundary(&self.text, at)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The last place at or before an octet at which the text can be cut.
pub(super) fn boundary(text: &str, at: usize) -> usize {
    let within = at.min(text.len());
    (0..=within).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

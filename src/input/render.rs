//! How diagnostics look: with the source line and a mark for people, as JSON for programs.

use std::fmt;

use annotate_snippets::{
    AnnotationKind, Level as Style, Renderer, Snippet, normalize_untrusted_str,
};
use serde_json::{Value, json};

use super::diagnostic::{Diagnostic, Diagnostics, Level, Span, boundary};

/// The most diagnostics that are drawn: a person who wrote so many mistakes mends those first.
const MOST_DRAWN: usize = 200;

/// Plain text, without colour.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(&Renderer::plain()))
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// The same with colours, for terminals.
    pub fn styled(&self) -> String {
        self.draw(&Renderer::styled())
    }

    /// The same for programs: a list of objects with level, message, file, line, column, notes and hint.
    pub fn to_json(&self) -> Value {
        self.iter().map(|diagnostic| self.object(diagnostic)).collect()
    }

    fn draw(&self, renderer: &Renderer) -> String {
        let shown = self.iter().take(MOST_DRAWN);
        let mut blocks: Vec<_> = shown.map(|one| self.block(one, renderer)).collect();
        if !self.is_empty() {
            blocks.push(self.summary());
        }
        blocks.join("\n\n")
    }

    fn block(&self, one: &Diagnostic, renderer: &Renderer) -> String {
        let mut snippet = Snippet::source(self.text()).path(self.file()).annotation(
            AnnotationKind::Primary
                .span(self.visible(&one.span))
                .label(normalize_untrusted_str(&one.label)),
        );
        for note in &one.notes {
            let mark = AnnotationKind::Context.span(self.visible(&note.span));
            snippet = snippet.annotation(mark.label(normalize_untrusted_str(&note.label)));
        }
        let level = match one.level {
            Level::Error => Style::ERROR,
            Level::Warning => Style::WARNING,
        };
        let mut group = level.primary_title(&one.message).element(snippet);
        if let Some(hint) = &one.hint {
            let hint = normalize_untrusted_str(hint);
            group = group.element(Style::HELP.with_name("hint").message(hint));
        }
        renderer.render(&[group])
    }

    fn summary(&self) -> String {
        let count = |level, noun| match self.count(level) {
            0 => None,
            1 => Some(format!("1 {noun}")),
            many => Some(format!("{many} {noun}s")),
        };
        let counts = [count(Level::Error, "error"), count(Level::Warning, "warning")];
        let counts: Vec<_> = counts.into_iter().flatten().collect();
        let shown = match self.iter().count() {
            all if all > MOST_DRAWN => format!("; the first {MOST_DRAWN} are shown"),
            _ => String::new(),
        };
        let file = normalize_untrusted_str(self.file());
        format!("{} in {file}{shown}\n", counts.join(" and "))
    }

    /// A span that can be drawn: within the text, at character boundaries.
    fn visible(&self, span: &Span) -> Span {
        let start = boundary(self.text(), span.start);
        start..boundary(self.text(), span.end).max(start)
    }

    fn object(&self, one: &Diagnostic) -> Value {
        let (line, column) = self.position(one.span.start);
        let (end_line, end_column) = self.position(one.span.end);
        let notes: Vec<_> = one
            .notes
            .iter()
            .map(|note| {
                let (line, column) = self.position(note.span.start);
                json!({ "line": line, "column": column, "label": note.label })
            })
            .collect();
        json!({
            "level": one.level,
            "message": one.message,
            "file": self.file(),
            "line": line,
            "column": column,
            "end-line": end_line,
            "end-column": end_column,
            "label": one.label,
            "notes": notes,
            "hint": one.hint,
        })
    }
}

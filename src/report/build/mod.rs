//! From a run to its document, in the order of the GEN6 deliverables (S2): title, summary, introduction, testbed, set-up,
//! results, evaluation, conclusions, annexes.

mod phrase;
mod shortfall;
mod tally;
mod cell;
mod front;
mod testbed;
mod tunnels;
mod translations;
mod policies;
mod setup;
mod results;
mod boxes;
mod management;
mod findings;
mod closing;
mod exhibit;
mod annexes;

use std::collections::BTreeSet;

use super::{
    document::{Block, Document, Figure, Inline, Line, Table},
    run::Run,
    text::Catalogue,
};
use crate::{
    check::UseCase,
    model::{evidence::Evidence, verdict::Judgement},
};

/// What a report is made from.
#[derive(Clone, Copy)]
struct Source<'r> {
    run: &'r Run,
    evidence: &'r [Evidence],
    catalogue: &'r Catalogue,
}

/// Writes the report.
pub(super) fn document(run: &Run, evidence: &[Evidence], catalogue: &Catalogue) -> Document {
    let source = Source { run, evidence, catalogue };
    let mut page = Page::default();
    front::write(&mut page, source);
    testbed::write(&mut page, source);
    setup::write(&mut page, source);
    results::write(&mut page, source);
    findings::write(&mut page, source);
    closing::write(&mut page, source);
    annexes::write(&mut page, source);
    Document::new(front::page_title(run), front::running(run), page.0)
}

/// A document in the making.
#[derive(Default)]
struct Page(Vec<Block>);

impl Page {
    fn heading(&mut self, level: usize, words: &str) {
        self.labelled(level, vec![Inline::text(words)], None);
    }

    fn labelled(&mut self, level: usize, line: Line, label: Option<String>) {
        self.0.push(Block::Heading { level, line, label });
    }

    fn words(&mut self, words: &str) {
        self.line([Inline::text(words)]);
    }

    fn line(&mut self, line: impl IntoIterator<Item = Inline>) {
        self.0.push(Block::Paragraph { line: line.into_iter().collect() });
    }

    fn note(&mut self, line: impl IntoIterator<Item = Inline>) {
        self.0.push(Block::Note { line: line.into_iter().collect() });
    }

    fn list(&mut self, items: Vec<Line>) {
        if !items.is_empty() {
            self.0.push(Block::List { ordered: false, items });
        }
    }

    fn literal(&mut self, text: &str) {
        self.0.push(Block::Literal { text: text.to_owned() });
    }

    /// A table; the first column names the rows.
    fn table<const N: usize>(
        &mut self,
        label: impl Into<String>,
        caption: &str,
        columns: [&str; N],
        rows: Vec<[Line; N]>,
    ) {
        self.0.push(Block::Table(Table {
            label: label.into(),
            number: 0,
            caption: caption.to_owned(),
            columns: columns.map(str::to_owned).to_vec(),
            rows: rows.into_iter().map(Vec::from).collect(),
            register: false,
        }));
    }

    /// Lets the rows of the last table be referred to by the words in their first column.
    fn register(&mut self) {
        if let Some(Block::Table(table)) = self.0.last_mut() {
            table.register = true;
        }
    }

    /// The labels that its lines refer to with words of their own, as references to evidence do.
    fn referred(&self) -> BTreeSet<&str> {
        let lines = self.0.iter().flat_map(|block| match block {
            Block::Heading { line, .. } | Block::Paragraph { line } | Block::Note { line } => {
                vec![line]
            }
            Block::List { items, .. } => items.iter().collect(),
            Block::Table(table) => table.rows.iter().flatten().collect(),
            Block::Literal { .. } | Block::Figure(_) => Vec::new(),
        });
        let label = |inline| match inline {
            &Inline::See { ref label, text: Some(_) } => Some(label.as_str()),
            _ => None,
        };
        lines.flatten().filter_map(label).collect()
    }

    fn figure(&mut self, label: impl Into<String>, caption: &str, alternative: &str, svg: String) {
        self.0.push(Block::Figure(Figure {
            label: label.into(),
            number: 0,
            caption: caption.to_owned(),
            alternative: alternative.to_owned(),
            svg,
            file: String::new(),
        }));
    }
}

impl<'r> Source<'r> {
    /// Every judgement of the checks of a use case, over all phases walked.
    fn judgements_of(self, case: UseCase) -> impl Iterator<Item = &'r Judgement> {
        self.run.phases.iter().flat_map(|walked| &walked.judgements).filter(move |judgement| {
            self.catalogue.text(&judgement.check).is_some_and(|text| text.use_case == case)
        })
    }

    /// The ids of the checks that judged something, those of the catalogue first and in its order.
    fn checks_asked(self) -> Vec<&'r str> {
        let mut ids: Vec<&str> = Vec::new();
        let asked = self.run.phases.iter().flat_map(|walked| &walked.judgements);
        for judgement in asked {
            if !ids.contains(&judgement.check.as_str()) {
                ids.push(&judgement.check);
            }
        }
        let order: Vec<_> = self.catalogue.iter().map(|text| text.id).collect();
        ids.sort_by_key(|id| order.iter().position(|known| known == id).unwrap_or(usize::MAX));
        ids
    }
}

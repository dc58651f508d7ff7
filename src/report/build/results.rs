//! Section 2.3.1 and 2.3.3: the matrix of checks and phases, and what was not measured.

use std::collections::BTreeMap;

use super::{
    Page, Source, phrase,
    phrase::{code, number, phases, words},
    shortfall::Shortfall,
    tally::Tally,
};
use crate::{
    model::{phase::Phase, verdict::Verdict},
    report::document::{Inline, Line},
};

/// How many subjects a row names.
const MOST_SUBJECTS: usize = 4;

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    page.heading(3, "2.3 Results");
    page.line([
        Inline::strong("Note."),
        Inline::text(
            " To be sure whether IPv4 or IPv6 was used, probes have literal addresses, and the family \
             in a result was read from the socket that was really used.",
        ),
    ]);
    page.heading(4, "2.3.1 Checks in each phase");
    totals(page, source);
    matrix(page, source);
}

fn totals(page: &mut Page, source: Source<'_>) {
    page.line([
        Inline::see("totals"),
        Inline::text(" counts the judgements of each phase; "),
        Inline::see("matrix"),
        Inline::text(
            " shows each check. A cell names the worst verdict of the check in that phase and how \
             many of its subjects have it; other verdicts than pass follow.",
        ),
    ]);
    let row = |name: String, tally: Tally| -> [Line; 10] {
        std::array::from_fn(|column| match column {
            0 => words(&name),
            9 => number(tally.total()),
            verdict => number(tally.of(Verdict::ALL[verdict - 1])),
        })
    };
    let tallies: Vec<(String, Tally)> = source
        .run
        .phases
        .iter()
        .map(|walked| (walked.phase.to_string(), walked.judgements.iter().collect()))
        .collect();
    let sum = tallies.iter().map(|(_, tally)| *tally).sum();
    let mut rows: Vec<_> = tallies.into_iter().map(|(name, tally)| row(name, tally)).collect();
    rows.push(row("All phases".to_owned(), sum));
    page.table(
        "totals",
        "Judgements of each phase by verdict",
        std::array::from_fn(|column| match column {
            0 => "Phase",
            9 => "Sum",
            verdict => Verdict::ALL[verdict - 1].word(),
        }),
        rows,
    );
}

fn matrix(page: &mut Page, source: Source<'_>) {
    let rows = source.checks_asked().into_iter().map(|check| {
        let cell = |phase: Phase| match source.run.walked(phase) {
            None => words("not walked"),
            Some(walked) => {
                let of_check = walked.judgements.iter().filter(|j| j.check == check);
                of_check.collect::<Tally>().cell()
            }
        };
        let text = source.catalogue.text(check);
        let mut name = code(check);
        name.push(Inline::text(format!(
            " {}",
            text.map_or("(not in this catalogue)", |t| t.title)
        )));
        let case = text.map_or("not stated", |text| text.use_case.title());
        let [a, b, c, d] = Phase::ALL.map(cell);
        [name, words(case), a, b, c, d]
    });
    page.table(
        "matrix",
        "Checks and phases",
        ["Check", "Use case", "IPv4-only", "Partial", "Dual-stack", "IPv6-only"],
        rows.collect(),
    );
}

/// What stayed open for one reason.
#[derive(Default)]
struct Open {
    phases: Vec<Phase>,
    subjects: Vec<String>,
    judgements: usize,
}

/// What could not be judged, by check and reason.
pub(super) fn not_measured(page: &mut Page, source: Source<'_>) {
    page.heading(4, "2.3.3 Not measured");
    let shortfall = Shortfall::of(source);
    if let Some(shortfall) = &shortfall {
        page.words(&shortfall.said());
    }
    let mut open: BTreeMap<(&str, &str, Verdict), Open> = BTreeMap::new();
    for walked in &source.run.phases {
        for judgement in walked.judgements.iter().filter(|j| j.verdict.is_open()) {
            let key = (judgement.check.as_str(), judgement.reason.as_str(), judgement.verdict);
            let entry = open.entry(key).or_default();
            entry.judgements += 1;
            if !entry.phases.contains(&walked.phase) {
                entry.phases.push(walked.phase);
            }
            if !entry.subjects.contains(&judgement.subject) {
                entry.subjects.push(judgement.subject.clone());
            }
        }
    }
    let all: usize = source.run.phases.iter().map(|walked| walked.judgements.len()).sum();
    let count: usize = open.values().map(|entry| entry.judgements).sum();
    if count == 0 {
        let whose = if shortfall.is_some() { " of the phases walked to their end" } else { "" };
        page.words(&format!(
            "Every question{whose} was answered: {} judgements stayed open.",
            phrase::of(0, all)
        ));
        return;
    }
    page.line([
        Inline::text(format!("{} judgements stayed open. ", phrase::of(count, all))),
        Inline::see("not-measured"),
        Inline::text(" gives the reasons. None of them counts as a pass or as a failure."),
    ]);
    let rows = open.into_iter().map(|((check, reason, verdict), entry)| {
        [
            code(check),
            vec![phrase::verdict(verdict)],
            phrase::sentence(reason),
            words(phases(&entry.phases)),
            number(entry.judgements),
            subjects(&entry.subjects),
        ]
    });
    page.table(
        "not-measured",
        "What was not measured, and why",
        ["Check", "Verdict", "Reason", "Phases", "Judgements", "Subjects"],
        rows.collect(),
    );
}

fn subjects(subjects: &[String]) -> Line {
    let mut line = phrase::joined(subjects.iter().take(MOST_SUBJECTS).map(code));
    if subjects.len() > MOST_SUBJECTS {
        line.push(Inline::text(format!(" and {} more", subjects.len() - MOST_SUBJECTS)));
    }
    line
}

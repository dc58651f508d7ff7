//! The annexes: evidence, catalogue, environment, and how to verify this report.

use std::collections::BTreeSet;

use super::{
    Page, Source, exhibit,
    phrase::{code, count, foreign, joined, of, words},
};
use crate::{
    model::evidence::{Evidence, EvidenceId},
    report::{
        document::Inline,
        figure::timeline::seconds,
        run::{Ending, FORMAT_VERSION, Run},
    },
};

/// The most pieces of evidence of open questions that are shown; the rest is in the file. What a finding rests on, and what
/// a table of results names, is always shown.
const MOST_OF_OPEN: usize = 400;

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    evidence(page, source);
    catalogue(page, source);
    environment(page, source.run);
    verify(page, source.run);
}

/// Evidence that something in this report rests on.
struct Cited<'r> {
    /// What findings rest on.
    findings: Vec<&'r Evidence>,
    /// What else the report names, in its tables of results.
    tables: Vec<&'r Evidence>,
    /// What else questions that stayed open rest on: what was asked first, then what was only watched.
    open: Vec<&'r Evidence>,
}

impl<'r> Cited<'r> {
    fn of(source: Source<'r>, page: &Page) -> Self {
        let run = source.run;
        let findings: BTreeSet<EvidenceId> =
            run.findings.iter().flat_map(|finding| finding.evidence.iter().copied()).collect();
        let judgements = run.phases.iter().flat_map(|walked| &walked.judgements);
        let open = judgements.filter(|j| j.verdict.is_open()).flat_map(|j| &j.evidence).copied();
        let open: BTreeSet<EvidenceId> = open.collect();
        let named = page.referred();
        let is_named = |id: EvidenceId| named.contains(id.to_string().as_str());
        let (findings, rest): (Vec<_>, Vec<_>) =
            source.evidence.iter().partition(|piece| findings.contains(&piece.id));
        let (tables, rest): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|piece| is_named(piece.id));
        let mut open: Vec<_> = rest.into_iter().filter(|piece| open.contains(&piece.id)).collect();
        open.sort_by_key(|piece| piece.is_tap());
        Self { findings, tables, open }
    }

    fn len(&self) -> usize {
        self.findings.len() + self.tables.len() + self.open.len()
    }

    /// What the table of evidence shows, and what it leaves out.
    fn shown(&self) -> String {
        let addresses = "with the literal addresses that were really used";
        let [findings, tables, open] = [&self.findings, &self.tables, &self.open].map(Vec::len);
        let kept = open.min(MOST_OF_OPEN);
        let shown = of(findings + tables + kept, self.len());
        if kept == open {
            return format!(" shows {shown} that are cited, {addresses}.");
        }
        format!(
            " shows {shown} that are cited, {addresses}: first everything that a finding rests on ({}) and what tables of \
             results name ({}), then what only questions that stayed open cite ({}). Left out are {} of the latter: they \
             show what could not be judged, and no finding rests on them.",
            of(findings, findings),
            of(tables, tables),
            of(kept, open),
            open - kept,
        )
    }
}

fn evidence(page: &mut Page, source: Source<'_>) {
    page.heading(2, "Annex A Evidence");
    let cited = Cited::of(source, page);
    let (all, held) = (source.evidence.len(), cited.len());
    page.line([
        Inline::text(format!(
            "The run recorded {} of evidence. ",
            if all == 1 { "1 piece".to_owned() } else { format!("{all} pieces") }
        )),
        Inline::text(match held {
            0 => "No finding, no table of results and no open question cites any of it, so none is repeated here. "
                .to_owned(),
            n => format!(
                "{} are cited by findings, by tables of results or by questions that stayed open. ",
                of(n, all)
            ),
        }),
        Inline::text("The file "),
        Inline::code("evidence.jsonl"),
        Inline::text(" beside this report holds all of it, one JSON object on each line."),
    ]);
    if held == 0 {
        return;
    }
    page.line([Inline::see("evidence"), Inline::text(cited.shown())]);
    let Cited { findings, tables, open } = cited;
    let open = open.into_iter().take(MOST_OF_OPEN);
    page.table(
        "evidence",
        "Evidence that is cited",
        ["Evidence", "Phase, after", "Asked or watched at", "What", "On the wire", "What came"],
        findings.into_iter().chain(tables).chain(open).map(row).collect(),
    );
    page.register();
}

fn row(piece: &Evidence) -> [crate::report::document::Line; 6] {
    let [place, what, wire, came] = exhibit::columns(piece);
    let when = words(format!("{}, {}", piece.phase, seconds(piece.at_us)));
    [words(piece.id.to_string()), when, place, what, wire, came]
}

fn catalogue(page: &mut Page, source: Source<'_>) {
    page.heading(2, "Annex B Catalogue of checks");
    page.line([
        Inline::see("catalogue"),
        Inline::text(" lists every check of this version, what it looks at and what it rests on. In the column \u{201c}Serves\u{201d}, S2 is the GEN6 deliverable D3.6.4, from which the use cases and phases come; S0, S1, S3 and S4 are the other sources that the documentation of the program names."),
    ]);
    let rows = source.catalogue.iter().map(|text| {
        let mut name = code(text.id);
        name.push(Inline::text(format!(" {}", text.title)));
        [
            name,
            words(text.question),
            words(text.good),
            words(text.section),
            words(text.references.join("; ")),
        ]
    });
    page.table(
        "catalogue",
        "Checks",
        ["Check", "What is looked at", "When all is well", "Serves", "References"],
        rows.collect(),
    );
}

fn environment(page: &mut Page, run: &Run) {
    page.heading(2, "Annex C Environment");
    page.line([
        Inline::see("inputs"),
        Inline::text(" gives the digests of the files that were read, "),
        Inline::see("environment"),
        Inline::text(" the program and the machine."),
    ]);
    let rows = run.inputs.iter().map(|i| [foreign(&i.role), code(&i.file), code(&i.sha256)]);
    page.table("inputs", "Files that were read", ["Read as", "File", "SHA-256"], rows.collect());
    let mut rows = vec![
        [words("Program"), foreign(&format!("{} {}", run.tool.name, run.tool.version))],
        [
            words("Form of run.json"),
            words(format!("{}, read as {FORMAT_VERSION}", run.format_version)),
        ],
        [words("Command"), code(run.command.join(" "))],
        [words("Run began (UTC)"), code(&run.started)],
        [words("Run took"), words(seconds(run.timings.wall_us))],
        [words("Ended"), words(ending(&run.outcome))],
    ];
    rows.extend(run.environment.iter().map(|(name, value)| [foreign(name), foreign(value)]));
    page.table("environment", "Program and machine", ["Fact", "Value"], rows);
    engines(page, run);
}

/// The programs that stood in for built-in services.
fn engines(page: &mut Page, run: &Run) {
    if run.engines.is_empty() {
        return;
    }
    page.line([
        Inline::see("engines"),
        Inline::text(
            " lists the programs that stood in for built-in services. A program is started anew whenever what it has to do \
             changes; \u{201c}Ready\u{201d} is the longest that it took until its first right answer, \u{201c}Memory\u{201d} \
             the most that all its processes took, what they share divided by those who share it. What each of them said is in \
             the folder ",
        ),
        Inline::code("engines"),
        Inline::text(" beside this report."),
    ]);
    let rows = run.engines.iter().map(|it| {
        let version = if it.version.is_empty() { "not heard" } else { &it.version };
        [
            code(format!("{}/{}", it.node, it.service)),
            words(it.engine.clone()),
            foreign(version),
            words(it.starts.to_string()),
            words(it.ready_us.map_or_else(|| "not asked at its start".to_owned(), seconds)),
            words(match it.pss_kib {
                // Nothing of it is a process.
                0 => "none of its own".to_owned(),
                kib => format!("{:.1} MiB", tenths_of_mib(kib)),
            }),
        ]
    });
    page.table(
        "engines",
        "Engines",
        ["Service", "Engine", "Version", "Starts", "Ready", "Memory"],
        rows.collect(),
    );
}

/// KiB as MiB, for people: exact as far as the memory of a machine goes.
fn tenths_of_mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

fn ending(ending: &Ending) -> &'static str {
    match ending {
        Ending::Complete => "complete",
        Ending::RolledBack { .. } => "rolled back",
        Ending::Interrupted { .. } => "interrupted",
    }
}

fn verify(page: &mut Page, run: &Run) {
    page.heading(2, "Annex D How to verify this report");
    page.words(
        "This report says nothing that is not in run.json and evidence.jsonl beside it. Written \
         again from them by the same version of the program, it has the same bytes.",
    );
    page.literal(
        "sha256sum report.md report.html\nsixwalk report .\nsha256sum report.md report.html",
    );
    page.line([
        Inline::text(
            "Both lists of digests must be the same. The files that were read must have the digests of ",
        ),
        Inline::see("inputs"),
        Inline::text("; compare with the output of "),
        Inline::code("sha256sum"),
        Inline::text(format!(" on {}: ", count(run.inputs.len(), "file"))),
    ].into_iter().chain(joined(run.inputs.iter().map(|input| code(&input.file)))));
}

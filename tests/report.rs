//! The report of a stored run: its grammar, its numbers, its bytes, and that hostile text stays text.

#[path = "report/catalogue.rs"]
mod catalogue;
#[path = "report/hostile.rs"]
mod hostile;

use std::{collections::BTreeSet, env, fs, path::Path, sync::LazyLock};

use proptest::prelude::*;
use sixwalk::{
    model::{evidence::Evidence, finding::Finding},
    report::{
        Document, FORMATS, Run,
        document::{Block, Inline, Table},
        gate::Gate,
        run::{Ending, PhaseRun},
    },
};

fn stored() -> (Run, Vec<Evidence>) {
    let run = include_str!("report/run.json");
    let evidence = include_str!("report/evidence.jsonl");
    let pieces = evidence.lines().map(|line| serde_json::from_str(line).expect("evidence"));
    (serde_json::from_str(run).expect("a run"), pieces.collect())
}

fn document(run: &Run, evidence: &[Evidence]) -> Document {
    sixwalk::report::document(run, evidence, &catalogue::catalogue())
}

fn sample() -> Document {
    let (run, evidence) = stored();
    document(&run, &evidence)
}

fn rendered(document: &Document, extension: &str) -> String {
    let format = FORMATS.iter().find(|format| format.extension() == extension).expect("a format");
    format.render(document)
}

fn plain(line: &[Inline]) -> String {
    line.iter().map(Inline::plain).collect()
}

/// Every line of a document outside headings.
fn lines(document: &Document) -> Vec<&Vec<Inline>> {
    document
        .blocks
        .iter()
        .flat_map(|block| match block {
            Block::Paragraph { line } | Block::Note { line } => vec![line],
            Block::List { items, .. } => items.iter().collect(),
            Block::Table(table) => table.rows.iter().flatten().collect(),
            _ => Vec::new(),
        })
        .collect()
}

fn table<'d>(document: &'d Document, label: &str) -> &'d Table {
    document.tables().find(|table| table.label == label).expect("a table of that label")
}

#[test]
fn the_sample_is_as_it_was_and_the_same_twice() {
    let (run, evidence) = stored();
    for format in FORMATS {
        let rendered = format.render(&document(&run, &evidence));
        assert!(rendered == format.render(&document(&run, &evidence)), "not the same twice");
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("reports/sample")
            .with_extension(format.extension());
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &rendered).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert!(golden == rendered, "{} differs: UPDATE_GOLDEN=1 writes it", path.display());
    }
}

#[test]
fn sections_stand_in_the_order_of_gen6() {
    let document = sample();
    let headings: Vec<(usize, String)> = document
        .blocks
        .iter()
        .filter_map(|block| match block {
            Block::Heading { level, line, .. } => Some((*level, plain(line))),
            _ => None,
        })
        .collect();
    let mut rest = headings.iter();
    for expected in [
        "IPv6 migration walk",
        "Abstract",
        "How to read this report",
        "Executive summary",
        "1 Introduction",
        "2 Testbed",
        "2.1 Testbed",
        "2.1.1 Basic use cases",
        "2.1.2 Basic approach",
        "2.2 Test set-up",
        "2.2.1 Approach as executed",
        "2.2.2 Application scenarios",
        "2.2.3 Management interface",
        "2.2.4 Configuration of security policies",
        "2.3 Results",
        "2.3.1 Checks in each phase",
        "2.3.2 Findings",
        "F-001",
        "2.3.3 Not measured",
        "2.3.7 Policies",
        "2.4 Evaluation of the results",
        "3 Conclusions",
        "Annex A",
        "Annex B",
        "Annex C",
        "Annex D",
    ] {
        assert!(rest.any(|(_, text)| text.starts_with(expected)), "`{expected}` is out of order");
    }
    for pair in headings.windows(2) {
        assert!(pair[1].0 <= pair[0].0 + 1, "a level is skipped before `{}`", pair[1].1);
    }
}

#[test]
fn every_table_and_figure_has_its_own_caption_and_is_referred_to() {
    let document = sample();
    let mut numbered: Vec<(String, &str)> = Vec::new();
    numbered.extend(document.tables().map(|t| (format!("Table {}", t.number), t.caption.as_str())));
    let figures = document.figures();
    numbered.extend(figures.map(|f| (format!("Figure {}", f.number), f.caption.as_str())));
    let referred: BTreeSet<&str> =
        lines(&document).into_iter().flatten().map(Inline::plain).collect();
    let mut captions = BTreeSet::new();
    for (name, caption) in numbered {
        assert!(referred.contains(name.as_str()), "{name} is never referred to");
        assert!(captions.insert(caption), "{name} has the caption of another: {caption}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let html = rendered(&sample(), "html");
    let ids: BTreeSet<&str> =
        html.split(" id=\"").skip(1).filter_map(|s| s.split('"').next()).collect();
    let links: Vec<&str> =
        html.split("href=\"#").skip(1).filter_map(|s| s.split('"').next()).collect();
    assert!(links.len() > 60, "{} links", links.len());
    for link in links {
        assert!(ids.contains(link), "#{link} leads nowhere");
    }
    assert!(ids.contains("e-0012"), "evidence that a finding cites has an anchor of its own");
    for outside in ["src=", "<script", "<link", "@import", "url(http"] {
        assert!(!html.contains(outside), "the page needs something else: {outside}");
    }
}

#[test]
fn counts_add_up() {
    let (run, evidence) = stored();
    let document = document(&run, &evidence);
    let totals = table(&document, "totals");
    let number = |line: &Vec<Inline>| plain(line).parse::<usize>().expect("a number");
    for row in &totals.rows {
        let (sum, parts) = row[1..].split_last().expect("a sum");
        assert_eq!(parts.iter().map(number).sum::<usize>(), number(sum), "{}", plain(&row[0]));
    }
    let all: usize = run.phases.iter().map(|walked| walked.judgements.len()).sum();
    assert_eq!(number(totals.rows.last().unwrap().last().unwrap()), all);
    let use_cases = table(&document, "use-cases");
    assert_eq!(use_cases.rows.iter().map(|row| number(&row[2])).sum::<usize>(), all);
}

fn decided(walked: &PhaseRun, findings: &[Finding]) -> Gate {
    Gate::decide(walked.phase, &walked.rule, &walked.judgements, 0, findings)
}

#[test]
fn a_gate_follows_from_the_findings_and_the_questions_that_stayed_open() {
    let (mut run, _) = stored();
    for walked in &run.phases {
        let gate = decided(walked, &run.findings);
        assert_eq!(gate, walked.gate, "{}", walked.phase);
    }
    run.findings.clear();
    let words: Vec<&str> =
        run.phases.iter().map(|walked| decided(walked, &run.findings).word()).collect();
    assert_eq!(words, ["open", "open", "open", "not decidable"]);
}

/// The words of a section, up to the next heading.
fn section(document: &Document, title: &str) -> String {
    let is_heading = |block: &&Block| matches!(block, Block::Heading { .. });
    let of_title =
        |block: &&Block| matches!(block, Block::Heading { line, .. } if plain(line) == title);
    let blocks = document.blocks.iter().skip_while(|block| !of_title(block)).skip(1);
    let words = blocks.take_while(|block| !is_heading(block)).flat_map(|block| match block {
        Block::Paragraph { line } => vec![plain(line)],
        Block::List { items, .. } => items.iter().map(|line| plain(line)).collect(),
        _ => Vec::new(),
    });
    words.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_run_that_was_cut_off_says_so_wherever_it_sums_up() {
    let (mut run, evidence) = stored();
    let all: Vec<_> = run.phases.iter().map(|walked| walked.phase).collect();
    run.phases.truncate(1);
    run.findings.clear();
    let unjudged = evidence.len() - run.phases[0].evidence as usize;
    assert!(unjudged > 0, "evidence of the phase that was cut off");
    let cut_off = |phase| Ending::Interrupted { reason: "stopped by request".to_owned(), phase };
    run.asked = all.clone();
    run.outcome = cut_off(Some(all[1]));
    let cut = document(&run, &evidence);
    let said = format!(
        "This run is incomplete: the Partial phase was cut off, and the phases Dual-stack and IPv6-only were not \
         walked. {unjudged} pieces of evidence that it recorded there are not judged."
    );
    for title in ["Executive summary", "2.3.3 Not measured"] {
        let words = section(&cut, title);
        assert!(words.starts_with(&said), "{title}: {words}");
    }
    let measured = section(&cut, "2.3.3 Not measured");
    assert!(!measured.contains("Every question was answered"), "{measured}");
    let partial = &table(&cut, "gates").rows[1];
    assert_eq!(plain(&partial[1]), "? not decidable");

    // A run that was ended by force, or that an older version wrote, says what its evidence says.
    run.asked.clear();
    run.outcome = cut_off(None);
    let words = section(&document(&run, &evidence), "2.3.3 Not measured");
    assert!(words.contains("does not say which phases were to follow"), "{words}");
}

#[test]
fn what_a_finding_rests_on_is_shown_before_what_open_questions_cite_and_never_left_out() {
    let (mut run, evidence) = stored();
    let last = evidence.last().expect("evidence").clone();
    let mut many = evidence.clone();
    for at in 1..=1000 {
        let mut piece = last.clone();
        piece.id.0 = last.id.0 + at;
        many.push(piece);
    }
    let own = many.last().expect("evidence").id;
    run.findings[0].evidence = vec![own];
    let mut open = run.phases.iter_mut().flat_map(|walked| &mut walked.judgements);
    let open = open.find(|judgement| judgement.verdict.is_open()).expect("an open question");
    open.evidence = many.iter().map(|piece| piece.id).collect();
    let document = document(&run, &many);
    let rows: Vec<_> = table(&document, "evidence").rows.iter().map(|row| plain(&row[0])).collect();
    for finding in &run.findings {
        for id in &finding.evidence {
            assert!(rows.contains(&id.to_string()), "{id} of {}", finding.id);
        }
    }
    let words = section(&document, "Annex A Evidence");
    let left_out = many.len() - rows.len();
    assert!(words.contains(&format!("Left out are {left_out} of the latter")), "{words}");
}

#[test]
fn a_run_without_anything_has_a_report() {
    let (mut run, _) = stored();
    run.phases.clear();
    run.findings.clear();
    run.testbed.nodes.clear();
    run.testbed.segments.clear();
    run.testbed.zones.clear();
    run.testbed.flows.clear();
    run.testbed.tunnels.clear();
    let document = document(&run, &[]);
    assert!(rendered(&document, "html").contains("There is no finding."));
}

/// The events of the Markdown, neighbouring words as one, addresses of links left out: what the text means.
fn structure(markdown: &str) -> Vec<String> {
    use pulldown_cmark::{Event, Options, Parser, Tag};
    let mut found: Vec<String> = Vec::new();
    for event in Parser::new_ext(markdown, Options::all()) {
        let kind = match event {
            Event::Text(_) | Event::Code(_) => "words".to_owned(),
            Event::Start(Tag::Link { .. }) => "link".to_owned(),
            Event::Start(Tag::Heading { level, .. }) => format!("{level}"),
            other => format!("{other:?}"),
        };
        if kind != "words" || found.last().is_none_or(|last| last != "words") {
            found.push(kind);
        }
    }
    found
}

/// Structure of the Markdown and number of elements of the page, with a text in every foreign place.
fn shape_with(text: &str) -> (Vec<String>, usize) {
    let (run, evidence) = stored();
    let (run, evidence) = hostile::everywhere(&run, &evidence, text);
    let document = document(&run, &evidence);
    let html = rendered(&document, "html");
    // A cell shows letters with a bar in them as words.
    let codes = html.matches("<code>").count() + html.matches("</code>").count();
    (structure(&rendered(&document, "md")), html.matches('<').count() - codes)
}

fn means_nothing_but_itself(text: &str) -> Result<(), TestCaseError> {
    static HARMLESS: LazyLock<(Vec<String>, usize)> = LazyLock::new(|| shape_with("x"));
    let (structure, elements) = shape_with(text);
    for (expected, found) in HARMLESS.0.iter().zip(&structure) {
        prop_assert_eq!(expected, found, "{:?} became markup", text);
    }
    prop_assert_eq!(HARMLESS.0.len(), structure.len());
    prop_assert_eq!(HARMLESS.1, elements, "{:?} became an element", text);
    Ok(())
}

#[test]
fn known_hostile_text_stays_text() {
    for text in hostile::KNOWN {
        means_nothing_but_itself(text).unwrap();
    }
    means_nothing_but_itself(&"<b>*long*</b> ".repeat(2_000)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_stays_text(text in "[-+=#>*_`~|\\\\\\[\\]()!<>&;:./@a1 \n\u{202e}\u{1b}$^{}\"']{0,24}") {
        means_nothing_but_itself(&text)?;
    }
}

//! The report of a stored run: its grammar, its numbers, its bytes, and that hostile text stays text.

#[path = "report/catalogue.rs"]
mod catalogue;

use std::{collections::BTreeSet, env, fs, path::Path};

use sixwalk::{
    model::{evidence::Evidence, phase::Phase, verdict::Verdict},
    report::{
        Document, FORMATS, Run,
        document::{Block, Inline},
        gate::Gate,
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

/// The words of headings, without marks.
fn headings(document: &Document) -> Vec<(usize, String)> {
    let words = |line: &[Inline]| line.iter().map(Inline::plain).collect();
    let of = |block: &Block| match block {
        Block::Heading { level, line, .. } => Some((*level, words(line))),
        _ => None,
    };
    document.blocks.iter().filter_map(of).collect()
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
        assert!(golden == rendered, "{} differs: UPDATE_GOLDEN=1", path.display());
    }
}

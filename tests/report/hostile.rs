//! Runs with a text in every place in which a device, a file or a person can put one.

use sixwalk::{model::evidence::Evidence, report::Run};

/// Texts that mean something to HTML, to Markdown, to terminals, or to the eye.
pub(crate) const KNOWN: &[&str] = &[
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</td></table><h1>x</h1>",
    "<!-- comment",
    "&lt;b&gt;",
    "[click](javascript:alert(1))",
    "![x](http://example.com/x.png)",
    "[x]: http://example.com",
    "# heading",
    "- item",
    "+ item",
    "1. item",
    "1) item",
    "1",
    "> quote",
    "---",
    "===",
    "| a | b |",
    "a|b",
    "a\\|b",
    "\\",
    "trailing \\",
    "`",
    "``code``",
    "```\nfence\n```",
    "a`b``c",
    "*strong* _em_ **x** __y__ ~~z~~",
    "http://example.com www.example.com a@example.com",
    "<http://example.com>",
    "{{ 7 * 7 }} {% raw %} <#-- x --#>",
    "\u{202e}gpj.exe",
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "a\nb\r\nc\u{2028}d",
    "    indented",
    "\tindented",
    "",
    " ",
    "\0",
    "$x$ $$y$$ ^z^",
    "[^1] [^1]: note",
    "- [ ] task",
    ": definition",
    "E-0012",
    "Table 3",
    "✔ pass",
];

/// The stored run with a text in every foreign place.
pub(crate) fn everywhere(run: &Run, evidence: &[Evidence], text: &str) -> (Run, Vec<Evidence>) {
    let mut run = run.clone();
    let put = |place: &mut String| text.clone_into(place);
    put(&mut run.testbed.title);
    run.testbed.source = Some(text.to_owned());
    run.testbed.sites.values_mut().for_each(|site| put(&mut site.title));
    run.testbed.nodes.values_mut().for_each(|node| put(&mut node.title));
    run.testbed.flows.iter_mut().for_each(|flow| put(&mut flow.name));
    put(&mut run.tool.version);
    put(&mut run.started);
    run.command = vec![text.to_owned()];
    run.environment = [("fact".to_owned(), text.to_owned())].into();
    for input in &mut run.inputs {
        put(&mut input.role);
        put(&mut input.file);
    }
    for walked in &mut run.phases {
        walked.deviations = vec![text.to_owned()];
        walked.waits.iter_mut().for_each(|wait| put(&mut wait.reason));
        for judgement in &mut walked.judgements {
            put(&mut judgement.reason);
            put(&mut judgement.subject);
        }
    }
    for finding in &mut run.findings {
        finding.args.values_mut().for_each(put);
        put(&mut finding.culprit.part);
        put(&mut finding.subject);
        put(&mut finding.retest);
        finding.symptoms.iter_mut().for_each(|symptom| put(&mut symptom.subject));
    }
    (run, evidence.iter().map(|piece| said(piece, text)).collect())
}

/// A piece of evidence in which the device said the text.
fn said(piece: &Evidence, text: &str) -> Evidence {
    use sixwalk::model::{
        answer::{Answer, Outcome},
        evidence::About,
    };
    let mut piece = piece.clone();
    if let About::Probe { answer: Answer::Connection { attempt, greeting, .. }, .. } =
        &mut piece.about
    {
        *greeting = Some(text.to_owned());
        attempt.outcome = Outcome::Garbled { what: text.to_owned() };
    }
    piece
}

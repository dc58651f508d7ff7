//! Section 2.3.2: the findings in full.

use super::{
    Page, Source, management, phrase,
    phrase::{code, foreign, phases, words},
    policies, results, translations, tunnels,
};
use crate::{
    model::{
        finding::{Confidence, Finding},
        phase::Phase,
    },
    report::{
        document::{Inline, Line},
        text::fill,
    },
};

/// How many judgements that a finding explains are named.
const MOST_SYMPTOMS: usize = 12;

/// How many pieces of evidence are named.
const MOST_EVIDENCE: usize = 16;

/// How long a heading may become, in characters.
const LONGEST_HEADING: usize = 140;

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    page.heading(4, "2.3.2 Findings");
    let findings = &source.run.findings;
    if findings.is_empty() {
        page.words("There is no finding.");
    } else {
        page.line([
            Inline::see("findings"),
            Inline::text(
                " lists all findings. Each is one root cause; what it explains is told under it and \
                 is not a finding again.",
            ),
        ]);
        page.table(
            "findings",
            "Findings",
            ["Finding", "Severity", "What is wrong", "Culprit", "Observed in", "Hurts in"],
            findings.iter().map(|finding| row(source, finding)).collect(),
        );
        for finding in findings {
            in_full(page, source, finding);
        }
    }
    results::not_measured(page, source);
    management::write(page, source);
    tunnels::write(page, source);
    translations::write(page, source);
    policies::flows(page, source);
}

/// What is wrong, in one sentence.
pub(super) fn sentence(source: Source<'_>, finding: &Finding) -> Line {
    match source.catalogue.case(&finding.check, &finding.case) {
        Some(case) => fill(case.finding, &finding.args),
        None => vec![
            Inline::text("Case "),
            Inline::code(&finding.case),
            Inline::text(" of check "),
            Inline::code(&finding.check),
            Inline::text(", which this version of the catalogue does not describe."),
        ],
    }
}

fn row(source: Source<'_>, finding: &Finding) -> [Line; 6] {
    [
        vec![Inline::link(finding.id.clone(), finding.id.clone())],
        words(finding.severity.word()),
        sentence(source, finding),
        foreign(&finding.culprit.to_string()),
        words(phases(&finding.phases)),
        words(phases(&finding.bites_in)),
    ]
}

fn in_full(page: &mut Page, source: Source<'_>, finding: &Finding) {
    page.labelled(5, heading(source, finding), Some(finding.id.clone()));
    let label = format!("details-{}", finding.id);
    let texts = source.catalogue.case(&finding.check, &finding.case);
    if let Some(case) = texts {
        page.line(led("Expected.", fill(case.expected, &finding.args)));
        page.line(led("Observed.", fill(case.observed, &finding.args)));
        page.line(led("What to do (general advice).", fill(case.remedy, &finding.args)));
    }
    page.line([Inline::see(label.clone()), Inline::text(" gives the technical details.")]);
    page.table(
        label,
        &format!("Technical details of {}", finding.id),
        ["Field", "Value"],
        details(source, finding),
    );
    symptoms(page, finding);
}

/// The id and what is wrong. A very long sentence is left to the table of findings.
fn heading(source: Source<'_>, finding: &Finding) -> Line {
    let sentence = sentence(source, finding);
    let length: usize = sentence.iter().map(|inline| inline.plain().chars().count()).sum();
    let mut line = vec![Inline::text(format!("{} ", finding.id))];
    if length <= LONGEST_HEADING {
        line.extend(sentence);
    } else {
        let title = source.catalogue.text(&finding.check).map(|text| text.title);
        line.push(Inline::text(title.unwrap_or("finding").to_owned()));
    }
    line
}

fn led(lead: &str, sentence: Line) -> Line {
    let mut line = vec![Inline::strong(lead), Inline::text(" ")];
    line.extend(sentence);
    line
}

fn details(source: Source<'_>, finding: &Finding) -> Vec<[Line; 2]> {
    let text = source.catalogue.text(&finding.check);
    let gates: Vec<Phase> = source
        .run
        .phases
        .iter()
        .filter(|w| w.gate.is_closed_by(finding))
        .map(|w| w.phase)
        .collect();
    let suffered = finding.phases.iter().filter(|phase| !gates.contains(phase));
    let suffered: Vec<Phase> = suffered.copied().collect();
    let closes = if gates.is_empty() || suffered.is_empty() {
        phases(&gates)
    } else {
        format!("{}; the rule lets it stay open in {}", phases(&gates), phases(&suffered))
    };
    let references = text.map_or(&[][..], |text| text.references);
    let mut check = code(&finding.check);
    check.push(Inline::text(format!(" {}", text.map_or("", |text| text.title))));
    vec![
        [words("Severity"), words(finding.severity.word())],
        [words("Confidence"), words(confidence(finding.confidence))],
        [words("Culprit"), foreign(&finding.culprit.to_string())],
        [words("Observed in"), words(phases(&finding.phases))],
        [words("Hurts in"), words(phases(&finding.bites_in))],
        [words("Closes the gate of"), words(closes)],
        [words("Check"), check],
        [words("Subject"), code(&finding.subject)],
        [words("Evidence"), phrase::evidence(&finding.evidence, MOST_EVIDENCE)],
        [
            words("References"),
            words(if references.is_empty() {
                "not stated".to_owned()
            } else {
                references.join("; ")
            }),
        ],
        [words("Test it again with"), code(&finding.retest)],
    ]
}

fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::Low => "low: one observation",
        Confidence::Medium => "medium: repeated, or with a control",
        Confidence::High => "high: repeated with a control, or read on the node itself",
    }
}

fn symptoms(page: &mut Page, finding: &Finding) {
    if finding.symptoms.is_empty() {
        return;
    }
    let n = finding.symptoms.len();
    page.words(&format!(
        "It also explains {} that failed or could not be made{}:",
        phrase::count(n, "judgement"),
        if n > MOST_SYMPTOMS {
            format!(", of which {MOST_SYMPTOMS} are named")
        } else {
            String::new()
        }
    ));
    let items = finding.symptoms.iter().take(MOST_SYMPTOMS).map(|symptom| {
        vec![
            Inline::text(format!("{}: ", symptom.phase)),
            Inline::code(&symptom.check),
            Inline::text(" on "),
            Inline::code(&symptom.subject),
        ]
    });
    page.list(items.collect());
}

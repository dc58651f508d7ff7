//! Section 2.4 and 3: evaluation and conclusions, computed and nothing else.

use super::{
    Page, Source, management, phrase,
    phrase::{and, of, words},
    shortfall::Shortfall,
    tally::Tally,
    tunnels,
};
use crate::{
    check::UseCase,
    model::{
        finding::{Finding, Severity},
        gate::Gate as Rule,
        phase::Phase,
        verdict::Verdict,
    },
    report::{
        document::{Inline, Line},
        gate::Gate,
    },
};

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    page.heading(3, "2.4 Evaluation of the results");
    capability(page, source);
    evaluation_table(page, source);
    severities(page, source);
    conclusions(page, source);
}

/// Whether a finding does not hurt yet in any phase in which it was seen.
pub(super) fn is_latent(finding: &Finding) -> bool {
    !finding.bites_in.is_empty() && !finding.phases.iter().any(|p| finding.bites_in.contains(p))
}

fn capability(page: &mut Page, source: Source<'_>) {
    let capable: Vec<String> = source
        .run
        .phases
        .iter()
        .filter_map(|walked| {
            let tally: Tally = walked.judgements.iter().collect();
            let all = tally.applicable() > 0 && tally.of(Verdict::Pass) == tally.applicable();
            all.then(|| {
                format!("{} ({})", walked.phase, of(tally.applicable(), tally.applicable()))
            })
        })
        .collect();
    page.words(&match capable.len() {
        0 => "In no phase did every judgement that applied pass.".to_owned(),
        _ => format!("Every judgement that applied passed in: {}.", and(&capable)),
    });
    let told = [tunnels::capability(source), management::capability(source)];
    told.iter().flatten().for_each(|told| page.words(told));
}

fn evaluation_table(page: &mut Page, source: Source<'_>) {
    page.line([
        Inline::see("evaluation"),
        Inline::text(
            " shows for each use case how many of the judgements that applied passed in each phase. \
             An operator's own evaluation is not stated.",
        ),
    ]);
    let rows = UseCase::ALL.into_iter().map(|case| {
        let cell = |phase: Phase| {
            let Some(walked) = source.run.walked(phase) else { return words("not walked") };
            let of_case = walked.judgements.iter().filter(|judgement| {
                source.catalogue.text(&judgement.check).is_some_and(|t| t.use_case == case)
            });
            let tally: Tally = of_case.collect();
            match tally.applicable() {
                0 => words("none applied"),
                applicable => words(of(tally.of(Verdict::Pass), applicable)),
            }
        };
        let [a, b, c, d] = Phase::ALL.map(cell);
        [words(case.title()), a, b, c, d]
    });
    page.table(
        "evaluation",
        "Judgements that passed, of those that applied",
        ["Use case", "IPv4-only", "Partial", "Dual-stack", "IPv6-only"],
        rows.collect(),
    );
}

fn severities(page: &mut Page, source: Source<'_>) {
    let findings = &source.run.findings;
    if findings.is_empty() {
        return;
    }
    let parts: Vec<String> =
        [Severity::Critical, Severity::Major, Severity::Minor, Severity::Notice]
            .into_iter()
            .map(|severity| (severity, findings.iter().filter(|f| f.severity == severity).count()))
            .filter(|(_, n)| *n > 0)
            .map(|(severity, n)| format!("{n} {severity}"))
            .collect();
    let latent = findings.iter().filter(|finding| is_latent(finding)).count();
    page.words(&format!(
        "Of {}: {}. {} latent: seen in a phase in which they do not hurt.",
        phrase::count(findings.len(), "finding"),
        and(&parts),
        match latent {
            1 => format!("{} is", of(1, findings.len())),
            n => format!("{} are", of(n, findings.len())),
        }
    ));
}

fn conclusions(page: &mut Page, source: Source<'_>) {
    page.heading(2, "3 Conclusions");
    page.line([
        Inline::see("gates"),
        Inline::text(
            " says for each phase whether it may be left for the next one, and what decided that. \
             This report recommends nothing beyond it.",
        ),
    ]);
    let cut_off = Shortfall::of(source).and_then(|shortfall| shortfall.cut_off);
    let rows = Phase::ALL.into_iter().map(|phase| match source.run.walked(phase) {
        None if cut_off == Some(phase) => [
            words(phase.to_string()),
            vec![phrase::gate(&Gate::unfinished())],
            words("not stated"),
            why(&Gate::unfinished()),
        ],
        None => [
            words(phase.to_string()),
            words("not walked"),
            words("not stated"),
            words("Nothing is known of it."),
        ],
        Some(walked) => [
            words(phase.to_string()),
            vec![phrase::gate(&walked.gate)],
            rule(&walked.rule),
            why(&walked.gate),
        ],
    });
    page.table("gates", "Gates", ["Phase", "Gate", "Rule", "Decided by"], rows.collect());
}

/// What must hold to leave a phase.
fn rule(rule: &Rule) -> Line {
    let mut line = words(match rule.at_most {
        None => "No finding may stay open".to_owned(),
        Some(worst) => format!("Findings up to {worst} may stay open"),
    });
    if !rule.require.is_empty() {
        line.push(Inline::text("; must pass: "));
        line.extend(phrase::joined(rule.require.iter().map(phrase::code)));
    }
    line.push(Inline::text("."));
    line
}

fn why(gate: &Gate) -> Line {
    match gate {
        Gate::Open => words(
            "No finding stands against it; every required check was asked, and none of its questions stayed open.",
        ),
        Gate::Closed { findings } => {
            let mut line = words("Findings against it: ");
            line.extend(phrase::findings(findings));
            line
        }
        Gate::NotDecidable { doubts } => {
            let mut line = words("No finding stands against it, but ");
            for (at, doubt) in doubts.iter().enumerate() {
                line.push(Inline::text(if at == 0 { "" } else { "; and " }));
                line.push(Inline::text(doubt.said()));
                if !doubt.checks().is_empty() {
                    line.push(Inline::text(": "));
                    line.extend(phrase::joined(doubt.checks().iter().map(phrase::code)));
                }
            }
            line.push(Inline::text("."));
            line
        }
    }
}

//! Gates: whether a phase may be left for the next one, and by which rule that was decided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    finding::{Finding, Symptom},
    gate::Gate as Rule,
    phase::Phase,
    verdict::{Judgement, Verdict},
};

/// Whether a phase may be left for the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Gate {
    /// Nothing stands against it.
    Open,
    /// These findings stand against it.
    Closed {
        /// Their ids.
        findings: Vec<String>,
    },
    /// No finding stands against it, but too much is unknown to say so.
    NotDecidable {
        /// What is unknown.
        doubts: Vec<Doubt>,
    },
}

/// Why a gate cannot be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "doubt")]
pub enum Doubt {
    /// The kernel's state was not as the stage says.
    Unverified {
        /// In so many places.
        places: usize,
    },
    /// Questions of required checks stayed open: not testable, blocked or spoilt by the harness.
    Unanswered {
        /// So many.
        judgements: usize,
    },
    /// Not one required check found anything to judge.
    NothingJudged,
    /// The phase was not walked to its end.
    Unfinished,
}

impl Gate {
    /// Decides by the rule of the phase.
    ///
    /// A finding closes the gate of a phase in which it was observed if it is worse than the rule allows, if the rule
    /// requires a check that it spoils, or if it does not hurt yet but will in the very next phase. Without such a
    /// finding, a required check with an open question, or a lab that is not as planned, makes the gate undecidable.
    pub fn decide(
        phase: Phase,
        rule: &Rule,
        judgements: &[Judgement],
        deviations: usize,
        findings: &[Finding],
    ) -> Self {
        let against: Vec<_> =
            findings.iter().filter(|f| closes(f, phase, rule)).map(|f| f.id.clone()).collect();
        if !against.is_empty() {
            return Self::Closed { findings: against };
        }
        let required: Vec<_> =
            judgements.iter().filter(|judgement| rule.require.contains(&judgement.check)).collect();
        let open = required.iter().filter(|judgement| judgement.verdict.is_open()).count();
        let mut doubts = Vec::new();
        if deviations > 0 {
            doubts.push(Doubt::Unverified { places: deviations });
        }
        if open > 0 {
            doubts.push(Doubt::Unanswered { judgements: open });
        }
        if open == 0 && is_empty(rule, &required) {
            doubts.push(Doubt::NothingJudged);
        }
        if doubts.is_empty() { Self::Open } else { Self::NotDecidable { doubts } }
    }

    /// Whether a finding is among those that stand against leaving the phase.
    pub fn is_closed_by(&self, finding: &Finding) -> bool {
        matches!(self, Self::Closed { findings } if findings.contains(&finding.id))
    }

    /// The gate of a phase that has not been walked to its end.
    pub fn unfinished() -> Self {
        Self::NotDecidable { doubts: vec![Doubt::Unfinished] }
    }

    /// The word of the tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed { .. } => "closed",
            Self::NotDecidable { .. } => "not decidable",
        }
    }

    /// The symbol that stands before the word.
    pub fn symbol(&self) -> &'static str {
        match self {
            Self::Open => "✔",
            Self::Closed { .. } => "✘",
            Self::NotDecidable { .. } => "?",
        }
    }
}

/// Whether all required checks were asked and not one found anything of the network to judge. The harness judges itself in
/// every phase, also where nothing is live.
fn is_empty(rule: &Rule, required: &[&Judgement]) -> bool {
    let mut network = rule.require.iter().filter(|id| !id.starts_with("meta.")).peekable();
    network.peek().is_some()
        && network.all(|id| {
            let mut of_check =
                required.iter().filter(|judgement| judgement.check == *id).peekable();
            of_check.peek().is_some()
                && of_check.all(|judgement| judgement.verdict != Verdict::Pass)
        })
}

/// Whether a finding stands against leaving a phase.
fn closes(finding: &Finding, phase: Phase, rule: &Rule) -> bool {
    let latent = !finding.bites_in.contains(&phase);
    let bites_next = phase.later().next().is_some_and(|next| finding.bites_in.contains(&next));
    let too_bad = rule.at_most.is_none_or(|worst| finding.severity > worst);
    let spoils = |check: &String| {
        let here = |symptom: &&Symptom| symptom.phase == phase && symptom.check == *check;
        finding.check == *check || finding.symptoms.iter().any(|symptom| here(&symptom))
    };
    finding.phases.contains(&phase)
        && (too_bad || latent && bites_next || rule.require.iter().any(spoils))
}

/// The symbol that stands before the word of a verdict.
pub fn symbol(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✔",
        Verdict::Info => "i",
        Verdict::Degraded => "◐",
        Verdict::Fail => "✘",
        Verdict::NotApplicable => "–",
        Verdict::Blocked => "⊘",
        Verdict::NotTestable => "?",
        Verdict::HarnessError => "!",
    }
}

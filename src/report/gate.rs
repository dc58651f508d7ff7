//! Gates: whether a phase may be left for the next one, and by which rule that was decided.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{
    finding::{Finding, Severity},
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
    /// Questions stayed open: not testable, blocked or spoilt by the harness.
    Unanswered {
        /// So many.
        judgements: usize,
    },
    /// The phase was not walked to its end.
    Unfinished,
}

impl Gate {
    /// Decides by the one rule: a finding closes the gate of a phase in which it was observed if it is critical or
    /// major, or if it does not hurt yet but will in the very next phase. Without such a finding, a question that
    /// stayed open makes the gate undecidable.
    pub fn decide(
        phase: Phase,
        judgements: &[Judgement],
        deviations: usize,
        findings: &[Finding],
    ) -> Self {
        let against: Vec<_> =
            findings.iter().filter(|f| closes(f, phase)).map(|f| f.id.clone()).collect();
        if !against.is_empty() {
            return Self::Closed { findings: against };
        }
        let open = judgements.iter().filter(|judgement| judgement.verdict.is_open()).count();
        let mut doubts = Vec::new();
        if deviations > 0 {
            doubts.push(Doubt::Unverified { places: deviations });
        }
        if open > 0 {
            doubts.push(Doubt::Unanswered { judgements: open });
        }
        if doubts.is_empty() { Self::Open } else { Self::NotDecidable { doubts } }
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

/// Whether a finding stands against leaving a phase.
pub fn closes(finding: &Finding, phase: Phase) -> bool {
    let latent = !finding.bites_in.contains(&phase);
    let next = phase.later().next();
    finding.phases.contains(&phase)
        && (finding.severity >= Severity::Major
            || latent && next.is_some_and(|next| finding.bites_in.contains(&next)))
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

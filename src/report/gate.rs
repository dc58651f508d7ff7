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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Required checks were not asked: the walk was told to ask others only.
    NotAsked {
        /// Their ids.
        checks: Vec<String>,
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
    /// finding, a required check that was not asked or has an open question, or a lab that is not as planned, makes the
    /// gate undecidable: a gate that asks less than its rule can be closed, but not opened.
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
        let unasked = not_asked(rule, &required);
        if !unasked.is_empty() {
            doubts.push(Doubt::NotAsked { checks: unasked });
        } else if open == 0 && is_empty(rule, &required) {
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

impl Doubt {
    /// What is unknown, as the end of a sentence. The checks of [`Doubt::checks`] are not named in it.
    pub fn said(&self) -> String {
        match self {
            Self::Unverified { places: 1 } => "the lab was not as planned in 1 place".to_owned(),
            Self::Unverified { places } => {
                format!("the lab was not as planned in {places} places")
            }
            Self::Unanswered { judgements: 1 } => "1 judgement stayed open".to_owned(),
            Self::Unanswered { judgements } => format!("{judgements} judgements stayed open"),
            Self::NotAsked { checks } if checks.len() == 1 => {
                "1 required check was not asked, because --only or --except left it out".to_owned()
            }
            Self::NotAsked { checks } => format!(
                "{} required checks were not asked, because --only or --except left them out",
                checks.len()
            ),
            Self::NothingJudged => {
                "not one required check found anything to judge: nothing of the kind is live"
                    .to_owned()
            }
            Self::Unfinished => "the phase was not walked to its end".to_owned(),
        }
    }

    /// The ids of the checks that it is about.
    pub fn checks(&self) -> &[String] {
        match self {
            Self::NotAsked { checks } => checks,
            _ => &[],
        }
    }
}

/// The required checks that were not asked. A check that is asked judges something, be it that nothing applies.
fn not_asked(rule: &Rule, required: &[&Judgement]) -> Vec<String> {
    let asked = |id: &String| required.iter().any(|judgement| judgement.check == *id);
    rule.require.iter().filter(|id| !asked(id)).cloned().collect()
}

/// Whether not one required check found anything of the network to judge. The harness judges itself in every phase, also
/// where nothing is live.
fn is_empty(rule: &Rule, required: &[&Judgement]) -> bool {
    let of_network = |id: &&String| !id.starts_with("meta.");
    let passed = |id: &String| {
        required
            .iter()
            .any(|judgement| judgement.check == *id && judgement.verdict == Verdict::Pass)
    };
    let mut network = rule.require.iter().filter(of_network).peekable();
    network.peek().is_some() && !network.any(passed)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(check: &str, verdict: Verdict) -> Judgement {
        Judgement {
            check: check.to_owned(),
            subject: "-".to_owned(),
            verdict,
            reason: String::new(),
            evidence: Vec::new(),
            complaint: None,
        }
    }

    fn gate(judgements: &[Judgement]) -> Gate {
        let require = ["meta.settled", "out.service-reach"].map(str::to_owned).to_vec();
        Gate::decide(Phase::DualStack, &Rule { require, at_most: None }, judgements, 0, &[])
    }

    #[test]
    fn a_gate_opens_only_when_every_required_check_was_asked() {
        let settled = judged("meta.settled", Verdict::Pass);
        let reach = judged("out.service-reach", Verdict::Pass);
        assert_eq!(gate(&[settled.clone(), reach.clone()]), Gate::Open);
        let checks = vec!["meta.settled".to_owned()];
        assert_eq!(gate(&[reach]), Gate::NotDecidable { doubts: vec![Doubt::NotAsked { checks }] });
        let nothing = judged("out.service-reach", Verdict::NotApplicable);
        let doubts = vec![Doubt::NothingJudged];
        assert_eq!(gate(&[settled, nothing]), Gate::NotDecidable { doubts });
    }
}

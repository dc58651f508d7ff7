//! Verdicts: what a check says of one subject in one phase (catalogue section 1.2).

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::evidence::EvidenceId;

/// The word of a verdict. The last four are never folded into a pass.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Observed is expected; absence where absence is expected included.
    Pass,
    /// Recorded, never a finding.
    Info,
    /// Works, but worse than expected, or not every time.
    Degraded,
    /// Observed is not expected.
    Fail,
    /// Nothing of the kind is planned in this phase.
    NotApplicable,
    /// Not judged, because what it stands on has failed.
    Blocked,
    /// Could not be measured; the reason says why.
    NotTestable,
    /// The harness itself did not work.
    HarnessError,
}

impl Verdict {
    /// Every verdict, in the order of the report's columns.
    pub const ALL: [Self; 8] = [
        Self::Pass,
        Self::Info,
        Self::Degraded,
        Self::Fail,
        Self::NotApplicable,
        Self::Blocked,
        Self::NotTestable,
        Self::HarnessError,
    ];

    /// Whether it says that something is wrong with the network.
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Fail | Self::Degraded)
    }

    /// Whether the question stays open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Blocked | Self::NotTestable | Self::HarnessError)
    }

    /// The word of the JSON and of the tables, for example `not-testable`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Info => "info",
            Self::Degraded => "degraded",
            Self::Fail => "fail",
            Self::NotApplicable => "not-applicable",
            Self::Blocked => "blocked",
            Self::NotTestable => "not-testable",
            Self::HarnessError => "harness-error",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The verdict of a check on one subject, with what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Judgement {
    /// The id of the check, for example `dns.aaaa-parity`.
    pub check: String,
    /// What was judged, unique within check and phase, for example `portal/https/ipv6`.
    pub subject: String,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, for verdicts that are neither pass nor fail; empty otherwise.
    pub reason: String,
    /// What it rests on.
    pub evidence: Vec<EvidenceId>,
    /// What is wrong, where the verdict is bad.
    pub complaint: Option<super::finding::Complaint>,
}

impl Judgement {
    /// A failure that has a possible reason outside of the testbed is none: nobody in the testbed is to blame for it.
    pub fn leave_open(&mut self, reason: &str) {
        if self.verdict.is_bad() {
            self.verdict = Verdict::NotTestable;
            reason.clone_into(&mut self.reason);
            self.complaint = None;
        }
    }
}

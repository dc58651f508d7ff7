//! What `run.json` holds: everything that was done and found, as keys and values. Sentences are made from it when the
//! report is written, so that an old run can be written again by a newer program.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gate::Gate;
use crate::model::{
    finding::Finding,
    gate::Gate as Rule,
    name::{FaultName, NodeName, ServiceName},
    phase::Phase,
    testbed::Testbed,
    verdict::{Judgement, Verdict},
};

/// The version of the form of `run.json`. It grows when a reader of the older form would be misled.
pub const FORMAT_VERSION: u32 = 1;

/// A run of the program: one testbed, one walk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Run {
    /// `FORMAT_VERSION` of the program that wrote it.
    pub format_version: u32,
    /// The program.
    pub tool: Tool,
    /// The command line, word by word.
    pub command: Vec<String>,
    /// When the run began: UTC, RFC 3339.
    pub started: String,
    /// The files that were read.
    pub inputs: Vec<Input>,
    /// The testbed with every reference resolved.
    pub testbed: Testbed,
    /// Facts about the machine by name, for example `kernel`.
    pub environment: BTreeMap<String, String>,
    /// The phases that were asked for, in the order of the walk. Empty in runs of versions that did not store it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Phase>,
    /// The phases that were walked to their end, in the order of the walk.
    pub phases: Vec<PhaseRun>,
    /// What is wrong, one root cause each, worst first.
    pub findings: Vec<Finding>,
    /// The engines that stood in for built-in services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<EngineRun>,
    /// How the run ended.
    pub outcome: Ending,
    /// Where the time went.
    pub timings: Timings,
}

/// The program that made the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Input {
    /// What it was read as, for example `testbed` or `faults`.
    pub role: String,
    /// Its name as given.
    pub file: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// A program that stood in for a built-in service of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EngineRun {
    /// The node.
    pub node: NodeName,
    /// Its service.
    pub service: ServiceName,
    /// The engine.
    pub engine: String,
    /// The program.
    pub program: String,
    /// What the program says of its version; empty if it was not heard.
    pub version: String,
    /// How often it was started: once, and again whenever its job changed.
    pub starts: u32,
    /// The longest that it took from its start to its first right answer, in microseconds; nothing if it was never asked at
    /// its start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_us: Option<u64>,
    /// The most memory of all its processes, what is shared divided by those who share it, in KiB.
    pub pss_kib: u64,
    /// The same with what is shared counted in full.
    pub rss_kib: u64,
}

/// What happened in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseRun {
    /// The phase.
    pub phase: Phase,
    /// When its first step began, in microseconds from the start of the run.
    pub started_us: u64,
    /// When its last judgement was made, likewise.
    pub ended_us: u64,
    /// Steps that were applied.
    pub steps: u32,
    /// Microseconds that the steps took.
    pub steps_us: u64,
    /// What was waited for after the steps, in order.
    pub waits: Vec<Wait>,
    /// Where the kernel's state was not as the stage says, in words. Empty when it was verified.
    pub deviations: Vec<String>,
    /// What the phase had to go without, in words: taps that could not be opened, captures that could not be written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// The faults that were planted on purpose.
    pub faults: Vec<FaultName>,
    /// Probes that were sent.
    pub probes: u32,
    /// Taps that were opened.
    pub taps: u32,
    /// Pieces of evidence that were recorded.
    pub evidence: u32,
    /// Every check's verdict on every subject.
    pub judgements: Vec<Judgement>,
    /// What must hold to leave the phase.
    #[serde(default)]
    pub rule: Rule,
    /// Whether the phase may be left for the next one.
    pub gate: Gate,
}

impl PhaseRun {
    /// Decides whether the phase may be left, by the rule of the phase and the findings of the whole run.
    pub fn decide_gate(&mut self, rule: &Rule, findings: &[Finding]) {
        self.rule = rule.clone();
        self.gate =
            Gate::decide(self.phase, rule, &self.judgements, self.deviations.len(), findings);
    }

    /// Microseconds that protocols forced the phase to wait.
    pub fn forced_waits_us(&self) -> u64 {
        self.waits.iter().map(|wait| wait.us).sum()
    }

    /// The number of judgements with a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.judgements.iter().filter(|judgement| judgement.verdict == verdict).count()
    }
}

/// Something that had to be waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Wait {
    /// What for, for example `duplicate address detection`.
    pub reason: String,
    /// Microseconds.
    pub us: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum Ending {
    /// Every phase that was asked for was walked.
    Complete,
    /// A step failed; the lab was taken back to the phase before.
    RolledBack {
        /// The phase that could not be reached.
        phase: Phase,
        /// Why.
        reason: String,
        /// How the lab stood after that; nothing if there was no phase before.
        back: Option<Back>,
    },
    /// The run was stopped before its end.
    Interrupted {
        /// Why.
        reason: String,
        /// The phase that was cut off by it; nothing if there was none, or if nobody was left to say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        phase: Option<Phase>,
    },
}

/// A lab that was taken back to the phase before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Back {
    /// The phase before.
    pub phase: Phase,
    /// Where the kernel's state was not as in that phase, in words. Empty when it was verified.
    pub deviations: Vec<String>,
}

impl Ending {
    /// Whether the run holds all that was asked for.
    pub fn is_complete(&self) -> bool {
        *self == Self::Complete
    }

    /// The phase that was begun, but not walked to its end.
    pub fn cut_off(&self) -> Option<Phase> {
        match self {
            Self::Complete => None,
            Self::RolledBack { phase, .. } => Some(*phase),
            Self::Interrupted { phase, .. } => *phase,
        }
    }
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// The whole run, in microseconds.
    pub wall_us: u64,
    /// Waits that protocols force (duplicate address detection, time limits), in microseconds.
    pub forced_waits_us: u64,
    /// Building the lab, in microseconds.
    pub build_us: u64,
}

impl Run {
    /// The phases that faults were planted in, and which.
    pub fn planted(&self) -> impl Iterator<Item = (&FaultName, Phase)> {
        self.phases.iter().flat_map(|walked| walked.faults.iter().map(|name| (name, walked.phase)))
    }

    /// What happened in a phase; `None` if it was not entered.
    pub fn walked(&self, phase: Phase) -> Option<&PhaseRun> {
        self.phases.iter().find(|walked| walked.phase == phase)
    }

    /// Whether every phase of a migration was entered and the run ended in order.
    pub fn is_complete(&self) -> bool {
        self.outcome.is_complete()
    }
}

//! Evidence: what was asked or watched, and what came back. Everything after it can be done again from a stored run.

use std::{collections::HashMap, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    answer::Answer,
    phase::Phase,
    probe::Probe,
    tap::{Reading, Tap},
};

/// The number of a piece of evidence within a run, from 1.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct EvidenceId(pub u32);

/// `E-0019`.
impl fmt::Display for EvidenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E-{:04}", self.0)
    }
}

/// What a piece of evidence is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "nearly every piece of evidence is a probe")]
pub enum About {
    /// A question and its answer.
    Probe {
        /// What was asked.
        probe: Probe,
        /// What came back.
        answer: Answer,
    },
    /// A link that was watched.
    Tap {
        /// Where and for what.
        tap: Tap,
        /// What was seen.
        reading: Reading,
    },
}

/// One line of `evidence.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its number.
    pub id: EvidenceId,
    /// The phase that the lab was in.
    pub phase: Phase,
    /// Microseconds from the start of the run to the start of the probe or tap.
    pub at_us: u64,
    /// Microseconds that it took.
    pub took_us: u64,
    /// What it is about.
    pub about: About,
}

impl Evidence {
    /// Whether it is what a tap has seen.
    pub fn is_tap(&self) -> bool {
        matches!(self.about, About::Tap { .. })
    }

    /// What was wanting of a tap, as a sentence.
    pub fn trouble(&self) -> Option<String> {
        let About::Tap { tap, reading } = &self.about else { return None };
        let said = reading.trouble.as_ref()?;
        Some(format!("the tap on `{}` ({}) is not whole: {said}", tap.segment, tap.label))
    }
}

/// The evidence of one phase, to look answers up by the question. A check puts the same questions together again when
/// it judges, so that nothing but values passes between asking and judging.
///
/// A probe that was answered before taps were open for it is asked again under them: the last answer counts, which is the
/// one that belongs with what the taps have seen.
#[derive(Clone, Debug, Default)]
pub struct Seen<'e> {
    probes: HashMap<&'e Probe, &'e Evidence>,
    taps: HashMap<&'e Tap, &'e Evidence>,
}

impl<'e> Seen<'e> {
    /// Indexes the evidence of a phase.
    pub fn new(evidence: impl IntoIterator<Item = &'e Evidence>) -> Self {
        let mut seen = Self::default();
        for piece in evidence {
            match &piece.about {
                About::Probe { probe, .. } => {
                    seen.probes.insert(probe, piece);
                }
                About::Tap { tap, .. } => {
                    seen.taps.insert(tap, piece);
                }
            }
        }
        seen
    }

    /// The answer to a probe and the number of its evidence; `None` if it was never sent.
    pub fn answer(&self, probe: &Probe) -> Option<(EvidenceId, &'e Answer)> {
        match &self.probes.get(probe)?.about {
            About::Probe { answer, .. } => Some((self.probes[probe].id, answer)),
            About::Tap { .. } => None,
        }
    }

    /// What a tap has seen and the number of its evidence; `None` if it was never opened.
    pub fn reading(&self, tap: &Tap) -> Option<(EvidenceId, &'e Reading)> {
        match &self.taps.get(tap)?.about {
            About::Tap { reading, .. } => Some((self.taps[tap].id, reading)),
            About::Probe { .. } => None,
        }
    }

    /// Every probe and its answer, in no order.
    pub fn answers(&self) -> impl Iterator<Item = (EvidenceId, &'e Probe, &'e Answer)> + '_ {
        self.probes.values().filter_map(|piece| match &piece.about {
            About::Probe { probe, answer } => Some((piece.id, probe, answer)),
            About::Tap { .. } => None,
        })
    }
}

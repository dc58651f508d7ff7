//! The four phases of the walk (S2 section 2.1.2), in their order, and what each permits.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::family::{Families, Family};

/// A phase of the migration (S2 section 2.1.2).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// "Where the starting point is the currently existing configuration."
    #[serde(rename = "ipv4-only")]
    Ipv4Only,
    /// "Migration of parts of the network infrastructure": what the testbed declares as its partial phase.
    Partial,
    /// "Using IPv4 plus IPv6 across the whole network infrastructure as far as possible."
    DualStack,
    /// "Using no IPv4 traffic whatsoever in the network infrastructure."
    #[serde(rename = "ipv6-only")]
    Ipv6Only,
}

impl Phase {
    /// All phases in the order of the walk.
    pub const ALL: [Self; 4] = [Self::Ipv4Only, Self::Partial, Self::DualStack, Self::Ipv6Only];

    /// The families that may be live somewhere in this phase.
    pub fn permits(self) -> Families {
        match self {
            Self::Ipv4Only => Families::only(Family::V4),
            Self::Partial | Self::DualStack => Families::BOTH,
            Self::Ipv6Only => Families::only(Family::V6),
        }
    }

    /// The phases after this one, nearest first.
    pub fn later(self) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |phase| *phase > self)
    }

    /// The word of the input files and of the JSON, for example `dual-stack`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ipv4Only => "ipv4-only",
            Self::Partial => "partial",
            Self::DualStack => "dual-stack",
            Self::Ipv6Only => "ipv6-only",
        }
    }

    /// The phase that this word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }
}

/// As people write it, for example `Dual-stack`.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Only => "IPv4-only",
            Self::Partial => "Partial",
            Self::DualStack => "Dual-stack",
            Self::Ipv6Only => "IPv6-only",
        })
    }
}

/// One value for each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PerPhase<T> {
    #[serde(rename = "ipv4-only")]
    ipv4_only: T,
    partial: T,
    dual_stack: T,
    #[serde(rename = "ipv6-only")]
    ipv6_only: T,
}

impl<T> PerPhase<T> {
    /// Asks for the value of each phase in turn.
    pub fn from_fn(mut value: impl FnMut(Phase) -> T) -> Self {
        Self {
            ipv4_only: value(Phase::Ipv4Only),
            partial: value(Phase::Partial),
            dual_stack: value(Phase::DualStack),
            ipv6_only: value(Phase::Ipv6Only),
        }
    }

    /// The value in a phase.
    pub fn in_phase(&self, phase: Phase) -> &T {
        match phase {
            Phase::Ipv4Only => &self.ipv4_only,
            Phase::Partial => &self.partial,
            Phase::DualStack => &self.dual_stack,
            Phase::Ipv6Only => &self.ipv6_only,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_phases_both_ways() {
        for phase in Phase::ALL {
            assert_eq!(Phase::from_word(phase.word()), Some(phase));
            let json = serde_json::to_string(&phase).unwrap();
            assert_eq!(json, format!("\"{}\"", phase.word()), "serde and word() must agree");
        }
    }

    #[test]
    fn later_phases_are_the_ones_after() {
        assert_eq!(Phase::Partial.later().collect::<Vec<_>>(), [Phase::DualStack, Phase::Ipv6Only]);
        assert_eq!(Phase::Ipv6Only.later().count(), 0);
    }
}

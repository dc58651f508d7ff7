//! What the taps along a way have seen, link by link.

use crate::model::{
    evidence::{EvidenceId, Seen},
    tap::{Reading, Tap},
};

/// The readings of taps along a way, in the order of its links. All of them can be trusted.
pub(super) struct Tapped<'e>(Vec<(EvidenceId, &'e Reading)>);

impl<'e> Tapped<'e> {
    /// Reads taps; `None` if one of them was never open, or has missed something.
    pub(super) fn along(seen: &Seen<'e>, taps: &[Tap]) -> Option<Self> {
        let readings = taps.iter().map(|tap| seen.reading(tap)).collect::<Option<Vec<_>>>()?;
        readings.iter().all(|(_, reading)| reading.is_trustworthy()).then_some(Self(readings))
    }

    /// What they rest on.
    pub(super) fn evidence(&self) -> impl Iterator<Item = EvidenceId> + '_ {
        self.0.iter().map(|(id, _)| *id)
    }

    /// What the tap of a link has seen.
    pub(super) fn reading(&self, link: usize) -> &'e Reading {
        self.0[link].1
    }

    /// On how many links in a row, from the first, packets were seen.
    pub(super) fn crossed(&self) -> usize {
        self.0.iter().take_while(|(_, reading)| reading.frames > 0).count()
    }
}

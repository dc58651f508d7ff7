//! Whether a box answers its station soon, whatever its product does: the control of what is said of uploads.

use super::{Product, conversation::Mute};
use crate::{
    check::{
        ask,
        reading::{self, REPETITIONS},
    },
    model::{
        evidence::{EvidenceId, Seen},
        family::Family,
        probe::Probe,
    },
};

/// A product that does right gives an address up after a second. What takes half of that is the box's, or that of the network.
pub(in crate::check) const SOON_US: u64 = 500_000;

impl Product<'_> {
    /// What the node of the software asks the box itself, a few times, as `mgmt.reach-both` does.
    pub(in crate::check) fn controls(&self, family: Family) -> Vec<Probe> {
        let first = self.control(family);
        let again = first.iter().flat_map(|first| (1..=REPETITIONS).map(|r| ask::again(first, r)));
        first.iter().cloned().chain(again).collect()
    }

    fn control(&self, family: Family) -> Option<Probe> {
        let to = self.at(self.device, self.port, family).ip();
        ask::hello(self.stage, &self.station.name, self.device, self.port, to)
    }

    /// Whether the box answered every time, and soon. An error is why an upload that avoids that family says nothing about the
    /// product.
    pub(in crate::check) fn answers_soon(
        &self,
        seen: &Seen<'_>,
        family: Family,
    ) -> Result<Vec<EvidenceId>, Mute> {
        let control = self.control(family);
        let rounds: Vec<_> =
            control.iter().flat_map(|first| reading::rounds(seen, first)).collect();
        let evidence: Vec<_> = rounds.iter().map(|(id, _)| *id).collect();
        let late = rounds.iter().find(|(_, answer)| {
            !answer.is_answered() || answer.attempt().is_none_or(|a| a.total_us > SOON_US)
        });
        if let Some((_, answer)) = late {
            let (device, station) = (&self.device.name, &self.station.name);
            let address = self.at(self.device, self.port, family).ip();
            let reason = format!(
                "{device} itself does not answer {station} soon at {address}: {}; see mgmt.reach-both",
                reading::describe(answer)
            );
            return Err((reason, evidence));
        }
        if evidence.len() <= usize::from(REPETITIONS) {
            return Err(("the box itself was not asked often enough".to_owned(), evidence));
        }
        Ok(evidence)
    }
}

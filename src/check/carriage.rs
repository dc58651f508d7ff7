//! What a tunnel sends outside while something goes inside. Where packets get lost in a tunnel, its own packets tell which
//! node on the way stops them.

use super::tapped::Tapped;
use crate::{
    model::{
        evidence::{EvidenceId, Seen},
        name::{NodeName, SegmentName},
        tap::{Tap, Watch},
        tunnel::Carrier,
    },
    stage::Carriage,
};

impl Carriage {
    /// Taps on every link of the outer way, for what the gateways send to one another: there, then back. The asker tells
    /// the taps of different questions apart.
    pub fn taps(&self, asker: &NodeName) -> Vec<Tap> {
        [false, true].into_iter().flat_map(|back| self.taps_of(asker, back)).collect()
    }

    fn taps_of(&self, asker: &NodeName, back: bool) -> Vec<Tap> {
        let (mut source, mut destination) = (self.way.source, self.way.destination);
        if back {
            std::mem::swap(&mut source, &mut destination);
        }
        let family = self.way.family();
        let watch = match self.carrier {
            Carrier::Port(port) => Watch::Packets {
                family,
                source: Some(source),
                destination: Some(destination),
                port: Some(port),
            },
            Carrier::Protocol(number) => Watch::Protocol { family, source, destination, number },
        };
        let tap = |segment: &SegmentName| Tap {
            segment: segment.clone(),
            watch: watch.clone(),
            label: format!("what carries {asker}"),
        };
        let mut taps: Vec<_> = self.way.segments.iter().map(tap).collect();
        if back {
            taps.reverse();
        }
        taps
    }

    /// The node after the last link on which the tunnel's own packets were seen, and how that is known; `None` if they
    /// went all the way, or if the taps cannot tell.
    pub fn stopped_at(
        &self,
        seen: &Seen<'_>,
        asker: &NodeName,
        back: bool,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<(NodeName, String)> {
        let taps = self.taps_of(asker, back);
        let tapped = Tapped::along(seen, &taps)?;
        evidence.extend(tapped.evidence());
        let links = tapped.crossed();
        if links == taps.len() {
            return None;
        }
        let at = if back { self.way.nodes.len() - 1 - links } else { links };
        let how = match links.checked_sub(1) {
            None => format!("it sent nothing of {} outside", self.inside),
            Some(last) => format!(
                "what carries {} was seen on {} and not on {}",
                self.inside, taps[last].segment, taps[links].segment
            ),
        };
        Some((self.way.nodes[at].clone(), how))
    }
}

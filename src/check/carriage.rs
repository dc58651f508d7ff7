//! What a tunnel sends outside while something goes inside. Where packets get lost in a tunnel, its own packets tell which
//! node on the way stops them.

use super::{ask, couples, tapped::Tapped};
use crate::{
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        name::{NodeName, SegmentName, TunnelName},
        probe::{Probe, Question},
        tap::{Tap, Watch},
        tunnel::{Carrier, TunnelAct},
    },
    stage::{Carriage, Stage},
};

/// The moments at which gateways are read.
const MOMENTS: [&str; 2] = ["before", "after"];

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

    /// A question through the tunnel, with what both gateways refuse read before and after.
    pub fn watched(&self, stage: &Stage, probe: &Probe, about: &str) -> Option<Experiment> {
        let tunnel = &stage.testbed.tunnel_inside(&self.inside)?.name;
        let [before, after] = MOMENTS.map(|moment| self.read(tunnel, moment, about));
        let probes = before.into_iter().chain([probe.clone()]).chain(after).collect();
        Some(Experiment { probes, in_order: true, ..Experiment::default() })
    }

    /// The one gateway that refused packets meanwhile, and the tunnel.
    pub fn refused_by(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        about: &str,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<(NodeName, TunnelName)> {
        let tunnel = &stage.testbed.tunnel_inside(&self.inside)?.name;
        let mut known = Vec::new();
        let mut refused = |probe: &Probe| {
            let (id, counters) = couples::counters(seen, probe, tunnel)?;
            known.push(id);
            Some(counters.refused)
        };
        let [before, after] = MOMENTS.map(|moment| self.read(tunnel, moment, about));
        let mut refusing = Vec::new();
        for (before, after) in before.iter().zip(&after) {
            if refused(after)? > refused(before)? {
                refusing.push(after.from.clone());
            }
        }
        let [gateway] = <[NodeName; 1]>::try_from(refusing).ok()?;
        evidence.extend(known);
        Some((gateway, tunnel.clone()))
    }

    fn read(&self, tunnel: &TunnelName, moment: &str, about: &str) -> Vec<Probe> {
        let (tunnel, moment) = (tunnel.clone(), format!("{moment} {about}"));
        let question = Question::Tunnel { tunnel, act: TunnelAct::Read, moment };
        let ends = self.way.nodes.first().into_iter().chain(self.way.nodes.last());
        ends.map(|gateway| ask::probe(gateway, question.clone())).collect()
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

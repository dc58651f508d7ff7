//! Links that carry nothing: both ends ask for each other, and neither hears the other. A node that is merely silent hears who
//! is there, whatever its filter lets in.

use std::net::IpAddr;

use super::ask;
use crate::{
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        mac::Mac,
        name::{InterfaceName, NodeName, SegmentName},
        probe::{Probe, Question},
        tap::{Tap, Watch},
    },
    stage::{Path, Stage},
    wire::neighbour::{ARP, SOLICITATION},
};

/// The round of the questions, beyond those of `neighbour`.
const ROUND: u8 = 8;

/// A link of a way, with the two nodes that use it.
pub(super) struct Hop<'p> {
    /// The link.
    pub(super) segment: &'p SegmentName,
    family: Family,
    ends: [End; 2],
}

struct End {
    node: NodeName,
    interface: InterfaceName,
    mac: Mac,
    address: IpAddr,
}

/// The links of a way on which both ends have an address of its family.
pub(super) fn hops<'p>(stage: &Stage, way: &'p Path) -> Vec<Hop<'p>> {
    let links = way.segments.iter().zip(way.nodes.windows(2));
    let links = links.filter(|(segment, _)| !stage.testbed.segments[*segment].kind.is_inside());
    links
        .filter_map(|(segment, pair)| hop(stage, segment, [&pair[0], &pair[1]], way.family()))
        .collect()
}

/// A link between two nodes, if both have an address of a family on it.
pub(super) fn hop<'p>(
    stage: &Stage,
    segment: &'p SegmentName,
    nodes: [&NodeName; 2],
    family: Family,
) -> Option<Hop<'p>> {
    let end = |node: &NodeName| {
        let mut interfaces = stage.nodes[node].interfaces.iter();
        let interface = interfaces.find(|i| i.segment == *segment)?;
        let address = interface.addresses.iter().find(|a| a.family() == family)?.ip();
        let (name, mac) = (interface.name.clone(), interface.mac);
        Some(End { node: node.clone(), interface: name, mac, address })
    };
    let ends = [end(nodes[0])?, end(nodes[1])?];
    Some(Hop { segment, family, ends })
}

impl Hop<'_> {
    /// Lets both ends ask for each other, and sees whether they do.
    pub(super) fn ask(&self) -> Experiment {
        let probes = self.questions().into();
        Experiment { taps: vec![self.tap()], probes, ..Experiment::default() }
    }

    /// Whether both have asked and neither was heard.
    pub(super) fn is_dead(&self, seen: &Seen<'_>, evidence: &mut Vec<EvidenceId>) -> bool {
        let answers = self.questions().map(|question| seen.answer(&question));
        let unheard = answers.iter().all(|answer| match answer {
            Some((_, Answer::Neighbour { macs, .. })) => macs.is_empty(),
            _ => false,
        });
        let Some((id, reading)) = seen.reading(&self.tap()).filter(|_| unheard) else {
            return false;
        };
        let has_asked = |end: &End| reading.first.iter().any(|frame| frame.source_mac == end.mac);
        let both = reading.is_trustworthy() && self.ends.iter().all(has_asked);
        if both {
            evidence.extend(answers.into_iter().flatten().map(|(id, _)| id).chain([id]));
        }
        both
    }

    /// The node after the link, where nobody answers for its address there although it was asked, and the node is answered itself, or
    /// has no address to ask from.
    pub(super) fn silent(
        &self,
        seen: &Seen<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<(&NodeName, IpAddr)> {
        let [there, back] = self.questions().map(|question| seen.answer(&question));
        let ((asked, there), (answered, back)) = (there?, back?);
        let is_silent = matches!(there, Answer::Neighbour { macs, .. } if macs.is_empty());
        let is_alive = match back {
            Answer::Neighbour { macs, .. } => !macs.is_empty(),
            other => other.not_asked().is_some(),
        };
        (is_silent && is_alive).then(|| {
            evidence.extend([asked, answered]);
            (&self.ends[1].node, self.ends[1].address)
        })
    }

    fn questions(&self) -> [Probe; 2] {
        let [first, second] = &self.ends;
        [(first, second), (second, first)].map(|(asker, owner)| {
            let interface = asker.interface.clone();
            // Others ask here at other moments, without this tap.
            let question = Question::Neighbour { interface, target: owner.address, known: None };
            Probe { round: ROUND, ..ask::probe(&asker.node, question) }
        })
    }

    fn tap(&self) -> Tap {
        let watch = match self.family {
            Family::V4 => Watch::Ethertypes(vec![ARP]),
            Family::V6 => Watch::icmp(Family::V6, &[SOLICITATION]),
        };
        let [first, second] = &self.ends;
        let label = format!("{} and {} ask for each other", first.node, second.node);
        Tap { segment: self.segment.clone(), watch, label }
    }
}

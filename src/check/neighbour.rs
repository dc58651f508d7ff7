//! Neighbours: who answers for an address when its link is asked anew. Shared by the checks of the link.

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
    },
    stage::Stage,
};

/// How many addresses of a segment are asked for. On larger segments every n-th stands for the others: the question is
/// about filters and duplicates, of which sixty-four samples and the flags of every node tell enough.
const ON_A_SEGMENT: usize = 64;

/// How often an address is asked for.
const ROUNDS: u8 = 3;

/// The round in which it is asked for once more, after the listeners of its link were asked for their groups.
const AFTER: u8 = 16;

/// An IPv6 address and a node on its link that asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The link.
    pub segment: SegmentName,
    /// Who is planned to have it.
    pub owner: NodeName,
    /// The owner's interface.
    pub interface: InterfaceName,
    /// The owner's link-layer address.
    pub mac: Mac,
    /// The address asked for.
    pub address: IpAddr,
    /// Who asks.
    pub asker: NodeName,
    /// By which interface.
    pub by: InterfaceName,
}

/// Who answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The evidence of every round.
    pub evidence: Vec<EvidenceId>,
    /// The link-layer addresses that answered in any round.
    pub macs: Vec<Mac>,
    /// Why the question could not be put, where it never could.
    pub reason: Option<String>,
}

/// Every IPv6 address of every link, with a neighbour to ask for it; a sample on large links.
pub fn of_stage(stage: &Stage) -> Vec<Asked> {
    // Inside a tunnel nobody asks for a link-layer address.
    let links = stage.testbed.segments.values().filter(|s| !s.kind.is_inside());
    links.flat_map(|segment| of_segment(stage, &segment.name)).collect()
}

fn of_segment(stage: &Stage, segment: &SegmentName) -> Vec<Asked> {
    let on: Vec<_> = stage
        .nodes
        .iter()
        .flat_map(|(name, node)| {
            let plugged = node.interfaces.iter().filter(|i| i.segment == *segment);
            plugged.filter(|i| i.families.has(Family::V6)).map(move |interface| (name, interface))
        })
        .collect();
    let [first, second, ..] = on.as_slice() else { return Vec::new() };
    let every = on.len().div_ceil(ON_A_SEGMENT);
    let mut found = Vec::new();
    for (owner, interface) in on.iter().step_by(every) {
        let (asker, by) = if *owner == first.0 { second } else { first };
        let v6 = interface.addresses.iter().filter(|a| a.family() == Family::V6);
        found.extend(v6.map(|address| Asked {
            segment: segment.clone(),
            owner: (*owner).clone(),
            interface: interface.name.clone(),
            mac: interface.mac,
            address: address.ip(),
            asker: (*asker).clone(),
            by: by.name.clone(),
        }));
    }
    found
}

/// Asks for every address once.
pub fn ask(stage: &Stage) -> Vec<Experiment> {
    vec![Experiment::of_probes(of_stage(stage).iter().map(|asked| asked.probe(0)))]
}

/// Asks again for those for which nobody answered.
pub fn ask_again(stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
    let silent = |asked: &Asked| {
        let heard = asked.read(seen);
        heard.is_some_and(|heard| heard.macs.is_empty() && heard.reason.is_none())
    };
    let silent: Vec<_> = of_stage(stage).into_iter().filter(silent).collect();
    let again = silent.iter().flat_map(|asked| (1..ROUNDS).map(|round| asked.probe(round)));
    vec![Experiment::of_probes(again)]
}

impl Asked {
    fn probe(&self, round: u8) -> Probe {
        let (interface, target) = (self.by.clone(), self.address);
        let question = Question::Neighbour { interface, target, known: None };
        Probe { round, ..ask::probe(&self.asker, question) }
    }

    /// Asks the owner itself, by the link-layer address that the plan gives it: no group has a part in it.
    pub fn directly(&self) -> Probe {
        let (interface, target) = (self.by.clone(), self.address);
        let question = Question::Neighbour { interface, target, known: Some(self.mac) };
        ask::probe(&self.asker, question)
    }

    /// Asks once more, after the listeners of the link were asked for their groups.
    pub fn after(&self) -> Probe {
        self.probe(AFTER)
    }

    /// Whether it was asked for as often as it ever is.
    pub fn is_asked_out(&self, seen: &Seen<'_>) -> bool {
        (0..ROUNDS).all(|round| seen.answer(&self.probe(round)).is_some())
    }

    /// Who answered in any round; `None` if it was never asked.
    pub fn read(&self, seen: &Seen<'_>) -> Option<Heard> {
        let mut heard = Heard { evidence: Vec::new(), macs: Vec::new(), reason: None };
        let mut asked = false;
        for round in 0..ROUNDS {
            let Some((id, answer)) = seen.answer(&self.probe(round)) else { continue };
            heard.evidence.push(id);
            match answer {
                Answer::Neighbour { macs, .. } => {
                    asked = true;
                    heard.macs.extend(macs);
                }
                other => {
                    let reason = other.not_asked().unwrap_or("the answer is of another kind");
                    heard.reason = Some(reason.to_owned());
                }
            }
        }
        heard.macs.sort();
        heard.macs.dedup();
        if asked {
            heard.reason = None;
        }
        (!heard.evidence.is_empty()).then_some(heard)
    }
}

/// Links on which several asked and nobody heard anybody: no node does that to the questions of the others.
pub fn silent_links<'a>(all: &'a [Asked], seen: &Seen<'_>) -> Vec<&'a SegmentName> {
    let mut links: Vec<_> = all.iter().map(|asked| &asked.segment).collect();
    links.dedup();
    links.retain(|link| {
        let on: Vec<_> = all.iter().filter(|asked| asked.segment == **link).collect();
        let several = on.iter().any(|asked| asked.asker != on[0].asker);
        let unheard = |asked: &&Asked| {
            let heard = asked.read(seen);
            heard.is_some_and(|heard| heard.reason.is_none() && heard.macs.is_empty())
        };
        several && on.iter().all(unheard)
    });
    links
}

/// The node that has a link-layer address on a segment, by the plan.
pub fn owner_of_mac<'s>(stage: &'s Stage, segment: &SegmentName, mac: Mac) -> Option<&'s NodeName> {
    stage
        .testbed
        .nodes
        .values()
        .find(|node| node.interfaces.iter().any(|i| i.segment == *segment && i.mac == mac))
        .map(|node| &node.name)
}

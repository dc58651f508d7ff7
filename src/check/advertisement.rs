//! Router Advertisements: where they are listened for, and who is planned to send them. Shared by the checks of the link.

use std::net::IpAddr;

use super::{ask, reading::REPETITIONS};
use crate::{
    model::{
        answer::{Answer, HeardAdvertisement},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        guard::Forgery,
        mac::Mac,
        name::{NodeName, SegmentName},
        probe::{Probe, Question},
        segment::Plane,
        tap::{Tap, Watch},
    },
    stage::{Stage, StagedAdvertisement, StagedInterface},
};

/// ICMPv6 type of a Router Advertisement (RFC 4861 section 4.2).
const ROUTER_ADVERTISEMENT: u8 = 134;

/// The links that are listened to: those of the data plane.
pub fn links(stage: &Stage) -> impl Iterator<Item = &SegmentName> {
    let data = stage.testbed.links().filter(|segment| segment.plane == Plane::Data);
    data.map(|segment| &segment.name)
}

/// The tap that listens to a link during the whole phase.
pub fn tap(segment: &SegmentName) -> Tap {
    Tap {
        segment: segment.clone(),
        watch: Watch::icmp(Family::V6, &[ROUTER_ADVERTISEMENT]),
        label: "router advertisements".to_owned(),
    }
}

/// Listens to every link during the whole phase.
pub fn listen(stage: &Stage) -> Experiment {
    let taps = links(stage).map(tap).collect();
    Experiment { taps, whole_phase: true, ..Experiment::default() }
}

/// Asks every live link for its routers.
pub fn solicit(stage: &Stage) -> Experiment {
    Experiment::of_probes(links(stage).filter_map(|segment| solicitation(stage, segment, 0)))
}

/// The question for the routers of a link, from a node on it that does not announce there itself: first a host.
pub fn solicitation(stage: &Stage, segment: &SegmentName, round: u8) -> Option<Probe> {
    let asker = stage
        .nodes
        .iter()
        .filter_map(|(name, node)| {
            let interface = node.interfaces.iter().find(|i| i.segment == *segment)?;
            let live = interface.families.has(Family::V6) && interface.advertises.is_none();
            let forwards = stage.testbed.nodes[name].role.forwards();
            live.then_some((forwards, name, interface))
        })
        .min_by_key(|(forwards, name, _)| (*forwards, *name))?;
    let question = Question::Solicit { interface: asker.2.name.clone() };
    Some(Probe { round, ..ask::probe(asker.1, question) })
}

/// What was heard on a link when it was asked, in all rounds. `Err` says why nothing can be said.
pub fn heard(
    stage: &Stage,
    seen: &Seen<'_>,
    segment: &SegmentName,
) -> Result<(Vec<EvidenceId>, Vec<HeardAdvertisement>), String> {
    let mut evidence = Vec::new();
    let mut all = Vec::<HeardAdvertisement>::new();
    let mut reason = "no node on the link could ask".to_owned();
    for round in 0..=REPETITIONS {
        let Some(probe) = solicitation(stage, segment, round) else { break };
        let Some((id, answer)) = seen.answer(&probe) else { continue };
        match answer {
            Answer::Advertisements { heard } => {
                evidence.push(id);
                let others = heard.iter().filter(|h| !is_our_own(Some(h.router)));
                let new = others.filter(|h| !all.contains(h)).cloned().collect::<Vec<_>>();
                all.extend(new);
            }
            other => {
                other
                    .not_asked()
                    .unwrap_or("the answer is of another kind")
                    .clone_into(&mut reason);
            }
        }
    }
    if evidence.is_empty() { Err(reason) } else { Ok((evidence, all)) }
}

/// Who is to announce on a link in this phase; the default router first.
pub fn planned<'s>(
    stage: &'s Stage,
    segment: &SegmentName,
) -> Vec<(&'s NodeName, &'s StagedInterface, &'s StagedAdvertisement)> {
    let Some(plan) = &stage.testbed.segments[segment].advertise else { return Vec::new() };
    let of_router = |router| {
        let (name, node) = stage.nodes.get_key_value::<NodeName>(router)?;
        let interface = node.interfaces.iter().find(|i| i.segment == *segment)?;
        Some((name, interface, interface.advertises.as_ref()?))
    };
    plan.routers.iter().filter_map(of_router).collect()
}

/// Whether a link-layer address is that of a router that may announce on a link, in whatever phase: standby routers
/// too, and one that says goodbye when a phase ends (RFC 4861 section 6.2.5).
pub fn may_announce(stage: &Stage, segment: &SegmentName, mac: Mac) -> bool {
    let Some(plan) = &stage.testbed.segments[segment].advertise else { return false };
    let has = |router: &NodeName| {
        let interface = stage.testbed.nodes[router].interface_on(segment);
        interface.is_some_and(|interface| interface.mac == mac)
    };
    plan.routers.iter().any(has)
}

/// Whether an advertisement is one that a guard was tried with.
pub fn is_our_own(router: Option<IpAddr>) -> bool {
    router == Some(Forgery::ROUTER.into())
}

/// Whether an advertisement came from this link-layer address: by the frame, or, where that is not known, by the
/// link-local address that is formed from it.
pub fn is_from(heard: &HeardAdvertisement, mac: Mac) -> bool {
    heard.mac.map_or_else(|| heard.router == mac.link_local(), |sender| sender == mac)
}

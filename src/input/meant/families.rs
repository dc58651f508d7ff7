//! Families: which are live on a segment and on a node in each phase.

use crate::{
    input::{
        diagnostic::Diagnostic,
        written::{node::Node, segment::Segment, testbed::Testbed, words::InPhase},
    },
    model::{
        family::{Families, Family},
        node::Interface,
        phase::{PerPhase, Phase},
        segment::SegmentKind,
    },
};

/// The families that are live on a segment: what it says itself, or what the phase and `[partial]` say, and never one
/// that it has no prefix of. Two kinds of segments have IPv4 where the phase permits none: those that keep it by declaration,
/// and those between a gateway and its translator.
pub(super) fn of_segment(
    written: &Testbed,
    segment: &Segment,
    found: &mut Vec<Diagnostic>,
) -> PerPhase<Families> {
    let has: Families = segment.prefixes.iter().map(|prefix| Family::of_net(prefix.is)).collect();
    let own_rules = segment.kind.is_inside();
    for said in segment.families.iter().filter(|_| !own_rules) {
        let place = format!("segment `{}`", segment.name.is);
        limit(said, segment.said, &format!("{place} has a prefix of"), found);
    }
    PerPhase::from_fn(|phase| {
        let said = segment.families.iter().find(|said| said.phase == phase);
        if segment.stays_ipv4.is_some() {
            return Families::only(Family::V4).and(has);
        }
        if segment.kind == SegmentKind::Translation {
            return said.map_or(Families::NONE, |said| said.families);
        }
        let usual = || by_phase(written, segment, phase);
        said.map_or_else(usual, |said| said.families).and(has).and(phase.permits())
    })
}

fn by_phase(written: &Testbed, segment: &Segment, phase: Phase) -> Families {
    let named = |list: &[crate::input::table::At<_>]| list.iter().any(|s| s.is == segment.name.is);
    match phase {
        Phase::Partial if named(&written.partial.dual_stack) => Families::BOTH,
        Phase::Partial if named(&written.partial.ipv6_only) => Families::only(Family::V6),
        Phase::Partial => Families::only(Family::V4),
        Phase::Ipv4Only | Phase::DualStack | Phase::Ipv6Only => phase.permits(),
    }
}

/// The families that a node speaks at most in each phase.
pub(super) fn of_node(
    written: &Testbed,
    node: &Node,
    found: &mut Vec<Diagnostic>,
) -> PerPhase<Families> {
    for said in &node.families {
        limit(said, Families::BOTH, "there is", found);
    }
    let stays = written.partial.stay_ipv4.iter().any(|name| name.is == node.name.is);
    PerPhase::from_fn(|phase| {
        let said = node.families.iter().find(|said| said.phase == phase);
        match said {
            Some(said) => said.families,
            None if stays && phase == Phase::Partial => Families::only(Family::V4),
            None => Families::BOTH,
        }
    })
}

/// Complains of families that the phase does not permit or that are not there.
pub(super) fn limit(said: &InPhase, has: Families, whose: &str, found: &mut Vec<Diagnostic>) {
    let phase = said.phase;
    for family in said.families.iter() {
        if !phase.permits().has(family) {
            let message = format!("the phase `{}` permits no {family}", phase.word());
            let hint = format!("leave `{}` out here", family.word());
            found.push(Diagnostic::error(&said.at, message).hint(hint));
        } else if !has.has(family) {
            let message = format!(
                "{family} cannot be live here in the phase `{}`: {whose} {has}",
                phase.word()
            );
            found.push(Diagnostic::error(&said.at, message));
        }
    }
}

/// The families live on interfaces in each phase, together.
pub(super) fn live<'i>(
    interfaces: &(impl Iterator<Item = &'i Interface> + Clone),
) -> PerPhase<Families> {
    PerPhase::from_fn(|phase| {
        interfaces.clone().fold(Families::NONE, |all, i| all.or(*i.families.in_phase(phase)))
    })
}

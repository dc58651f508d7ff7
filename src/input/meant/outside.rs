//! The outsides of tunnels: the ways between two gateways that are not coupled themselves, and what they leave of a packet.

use std::collections::{BTreeMap, BTreeSet};

use super::{insides, segments::USUAL_MTU};
use crate::{
    input::{
        diagnostic::Diagnostic,
        written::{segment::Segment, testbed::Testbed, tunnel::Tunnel},
    },
    model::{
        name::{NodeName, SegmentName},
        node::Role,
        segment::{Plane, SegmentKind},
    },
};

/// Whether a tunnel leaves a way to itself, and fits into it.
pub(super) fn check(written: &Testbed, tunnel: &Tunnel, found: &mut Vec<Diagnostic>) {
    let [here, there] = tunnel.between.as_slice() else { return };
    let outside = Outside::new(written, [&here.is, &there.is]);
    swallowed(written, tunnel, &outside, found);
    apart(tunnel, &outside, found);
    mtu(written, tunnel, &outside, found);
}

/// A network between sites that is coupled cannot carry what couples it: where there is no other way, none is left.
fn swallowed(
    written: &Testbed,
    tunnel: &Tunnel,
    outside: &Outside<'_>,
    found: &mut Vec<Diagnostic>,
) {
    for end in tunnel.couple.iter().flat_map(|couple| &couple.ends) {
        let Some(segment) = insides::segment_of(written, &end.is) else { continue };
        let is_transit = segment.kind == SegmentKind::Transit;
        let is_other = |other: &Segment| other.name.is != segment.name.is;
        if !is_transit || outside.widest(is_other).is_some() || outside.widest(|_| true).is_none() {
            continue;
        }
        let message = format!(
            "tunnel `{}` couples `{}`, and there is no other way between its gateways that could carry it",
            tunnel.name.is, end.is
        );
        found.push(
            Diagnostic::error(&end.at, message)
                .note(&segment.name.at, "this is between the sites")
                .hint("couple the networks behind the gateways, not the one that they meet on"),
        );
    }
}

/// A tunnel goes over a family that its gateways have in common outside.
fn apart(tunnel: &Tunnel, outside: &Outside<'_>, found: &mut Vec<Diagnostic>) {
    let families = insides::may_carry(tunnel);
    let meets = |family| outside.widest(|segment| segment.prefix(family).is_some()).is_some();
    let said = tunnel.outer.first().filter(|_| outside.widest(|_| true).is_some());
    let Some(said) = said.filter(|_| !families.iter().any(meets)) else { return };
    let [here, there] = outside.gateways;
    let message = format!(
        "tunnel `{}` goes over {families} alone, and no way between `{here}` and `{there}` has that",
        tunnel.name.is
    );
    let hint = "name in `outer` a family of the networks between its gateways";
    found.push(Diagnostic::error(&said.at, message).hint(hint));
}

/// What is given as the MTU inside fits into a packet outside, in each family that may carry it.
fn mtu(written: &Testbed, tunnel: &Tunnel, outside: &Outside<'_>, found: &mut Vec<Diagnostic>) {
    let Some(mtu) = &tunnel.mtu else { return };
    let ends = tunnel.couple.iter().flat_map(|couple| &couple.ends);
    let coupled: BTreeSet<&SegmentName> = ends
        .filter_map(|end| insides::segment_of(written, &end.is))
        .map(|segment| &segment.name.is)
        .collect();
    let narrow = insides::may_carry(tunnel).iter().filter_map(|family| {
        let free = |s: &Segment| s.prefix(family).is_some() && !coupled.contains(&s.name.is);
        let link = outside.widest(free)?;
        let overhead = tunnel.kind.overhead(family);
        Some((size(link).saturating_sub(overhead), family, link, overhead))
    });
    let Some((leaves, family, link, overhead)) = narrow.min_by_key(|(leaves, ..)| *leaves) else {
        return;
    };
    if mtu.is <= leaves {
        return;
    }
    let message = format!(
        "tunnel `{}` has an MTU of {}; over {family}, `{}` carries {} octets and leaves {leaves} beside the {overhead} \
         that the tunnel adds",
        tunnel.name.is,
        mtu.is,
        link.name.is,
        size(link)
    );
    let at = link.mtu.as_ref().map_or(&link.name.at, |mtu| &mtu.at);
    found.push(
        Diagnostic::error(&mtu.at, message)
            .note(at, "the smallest link on its way")
            .hint(format!("say at most {leaves}, or leave `mtu` out")),
    );
}

fn size(segment: &Segment) -> u32 {
    segment.mtu.as_ref().map_or(USUAL_MTU, |mtu| mtu.is)
}

/// What is between two gateways.
struct Outside<'w> {
    gateways: [&'w NodeName; 2],
    /// Links from the largest MTU to the smallest, with the gateways on them and all others that forward.
    links: Vec<(&'w Segment, BTreeSet<&'w NodeName>)>,
}

impl<'w> Outside<'w> {
    fn new(written: &'w Testbed, gateways: [&'w NodeName; 2]) -> Self {
        let mut on = BTreeMap::<&SegmentName, BTreeSet<&NodeName>>::new();
        for node in written.nodes.iter().filter(|node| node.may_be(Role::forwards)) {
            for interface in &node.on {
                on.entry(&interface.segment.is).or_default().insert(&node.name.is);
            }
        }
        let is_outer = |s: &&Segment| s.plane == Plane::Data && s.kind != SegmentKind::Tunnel;
        let links = written.segments.iter().filter(is_outer);
        let mut links: Vec<_> =
            links.filter_map(|segment| Some((segment, on.remove(&segment.name.is)?))).collect();
        links.sort_by_key(|(segment, _)| std::cmp::Reverse(size(segment)));
        Self { gateways, links }
    }

    /// The smallest link on the way that has the largest MTU, over such links alone; `None` where there is no way.
    fn widest(&self, such: impl Fn(&Segment) -> bool) -> Option<&'w Segment> {
        let mut joined = Vec::<BTreeSet<&NodeName>>::new();
        for (segment, members) in self.links.iter().filter(|(segment, _)| such(segment)) {
            let (near, far): (Vec<_>, Vec<_>) =
                joined.into_iter().partition(|known| !known.is_disjoint(members));
            let near = near.into_iter().flatten().chain(members.iter().copied()).collect();
            joined = far;
            joined.push(near);
            let has_both = |known: &BTreeSet<_>| self.gateways.iter().all(|g| known.contains(*g));
            if joined.last().is_some_and(has_both) {
                return Some(segment);
            }
        }
        None
    }
}

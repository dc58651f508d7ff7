//! The outsides of tunnels: the ways between two gateways that are not coupled themselves, and what they leave of a packet.

use std::collections::{BTreeMap, BTreeSet};

use super::{insides, segments::LEAST_MTU_V6};
use crate::{
    input::{
        diagnostic::Diagnostic,
        written::{segment::Segment, testbed::Testbed, tunnel::Tunnel},
    },
    model::{
        family::{Families, Family},
        name::{NodeName, SegmentName},
        node::Role,
        phase::Phase,
        segment::{Plane, SegmentKind},
    },
};

/// Whether a tunnel leaves a way to itself, and fits into it.
pub(super) fn check(written: &Testbed, tunnel: &Tunnel, found: &mut Vec<Diagnostic>) {
    let [here, there] = tunnel.between.as_slice() else { return };
    let outside = Outside::new(written, [&here.is, &there.is]);
    swallowed(written, tunnel, &outside, found);
    let before = found.len();
    apart(tunnel, &outside, found);
    if found.len() == before {
        idle(written, tunnel, &outside, found);
    }
    mtu(written, tunnel, &outside, found);
    least(written, tunnel, &outside, found);
}

/// A network on the way of a tunnel that is coupled cannot carry what couples it: where there is no other way, none is left.
fn swallowed(
    written: &Testbed,
    tunnel: &Tunnel,
    outside: &Outside<'_>,
    found: &mut Vec<Diagnostic>,
) {
    for end in tunnel.couple.iter().flat_map(|couple| &couple.ends) {
        let Some(segment) = insides::segment_of(written, &end.is) else { continue };
        let is_other = |other: &Segment| other.name.is != segment.name.is;
        if outside.widest(is_other).is_some() || outside.widest(|_| true).is_none() {
            continue;
        }
        let what = match segment.kind {
            SegmentKind::Transit => "this is between the sites",
            _ => "this is on the way between the gateways",
        };
        let message = format!(
            "tunnel `{}` couples `{}`, and there is no other way between its gateways that could carry it",
            tunnel.name.is, end.is
        );
        found.push(
            Diagnostic::error(&end.at, message)
                .note(&segment.name.at, what)
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

/// Phases in which both sides of a couple are there and a tunnel has nothing to go over: what it couples goes no other way.
fn idle(written: &Testbed, tunnel: &Tunnel, outside: &Outside<'_>, found: &mut Vec<Diagnostic>) {
    let (families, coupled) = (insides::may_carry(tunnel), coupled(written, tunnel));
    let is_free = |s: &Segment| !coupled.contains(&s.name.is);
    if families.is_empty() || outside.widest(is_free).is_none() {
        return;
    }
    let meets = |phase, family| {
        let live = |s: &Segment| insides::families(written, s, phase).has(family);
        outside.widest(|s| is_free(s) && live(s)).is_some()
    };
    let cut_off = |phase: &Phase| !families.iter().any(|family| meets(*phase, family));
    let wanted = |phase: &Phase| !insides::wanted(written, tunnel, *phase).is_empty();
    let phases: Vec<_> = Phase::ALL.into_iter().filter(wanted).filter(cut_off).collect();
    let words: Vec<_> = phases.iter().map(ToString::to_string).collect();
    let when = match words.as_slice() {
        [] => return,
        [one] => format!("the {one} phase"),
        [first @ .., last] => format!("the phases {} and {last}", first.join(", ")),
    };
    let [here, there] = outside.gateways;
    let why = if families.is_dual() {
        format!("no way between `{here}` and `{there}` is live then")
    } else {
        format!(
            "it goes over {families} alone, and no way between `{here}` and `{there}` has that then"
        )
    };
    let message = format!(
        "in {when} tunnel `{}` couples what is live on both sides and carries nothing: {why}",
        tunnel.name.is
    );
    let others: Families = tunnel.kind.outer().iter().filter(|f| !families.has(*f)).collect();
    let may_else = phases.iter().all(|phase| others.iter().any(|family| meets(*phase, family)));
    let hint = if may_else {
        format!("name {others} in `outer` too; what a tunnel couples goes no other way")
    } else {
        let which = if families.is_dual() {
            "a family that is live".to_owned()
        } else {
            families.to_string()
        };
        format!(
            "give the networks between the gateways {which} in every phase in which the sides are to reach each other; what a \
             tunnel couples goes no other way"
        )
    };
    let at = tunnel.outer.first().map_or(&tunnel.name.at, |said| &said.at);
    found.push(Diagnostic::warning(at, message).hint(hint));
}

/// The segments that a tunnel couples.
fn coupled<'w>(written: &'w Testbed, tunnel: &Tunnel) -> BTreeSet<&'w SegmentName> {
    let ends = tunnel.couple.iter().flat_map(|couple| &couple.ends);
    ends.filter_map(|end| insides::segment_of(written, &end.is))
        .map(|segment| &segment.name.is)
        .collect()
}

/// What is left of a packet outside for one of a tunnel.
struct Room<'w> {
    octets: u32,
    family: Family,
    /// The smallest link on the way.
    link: &'w Segment,
    overhead: u32,
}

/// The least that any of the families that may carry a tunnel leaves.
fn room<'w>(written: &Testbed, tunnel: &Tunnel, outside: &Outside<'w>) -> Option<Room<'w>> {
    let coupled = coupled(written, tunnel);
    let rooms = insides::may_carry(tunnel).iter().filter_map(|family| {
        let free = |s: &Segment| s.prefix(family).is_some() && !coupled.contains(&s.name.is);
        let link = outside.widest(free)?;
        let overhead = tunnel.kind.overhead(family);
        Some(Room { octets: link.size().saturating_sub(overhead), family, link, overhead })
    });
    rooms.min_by_key(|room| room.octets)
}

/// What is given as the MTU inside fits into a packet outside, in each family that may carry it.
fn mtu(written: &Testbed, tunnel: &Tunnel, outside: &Outside<'_>, found: &mut Vec<Diagnostic>) {
    let Some(mtu) = &tunnel.mtu else { return };
    let Some(Room { octets, family, link, overhead }) = room(written, tunnel, outside) else {
        return;
    };
    if mtu.is <= octets {
        return;
    }
    let message = format!(
        "tunnel `{}` has an MTU of {}; over {family}, `{}` carries {} octets and leaves {octets} beside the {overhead} \
         that the tunnel adds",
        tunnel.name.is,
        mtu.is,
        link.name.is,
        link.size()
    );
    let at = link.mtu.as_ref().map_or(&link.name.at, |mtu| &mtu.at);
    found.push(
        Diagnostic::error(&mtu.at, message)
            .note(at, "the smallest link on its way")
            .hint(format!("say at most {octets}, or leave `mtu` out")),
    );
}

/// A tunnel that carries IPv6 has the MTU for it.
fn least(written: &Testbed, tunnel: &Tunnel, outside: &Outside<'_>, found: &mut Vec<Diagnostic>) {
    if !insides::coupled(written, tunnel).has(Family::V6) {
        return;
    }
    match &tunnel.mtu {
        Some(mtu) if mtu.is < LEAST_MTU_V6 => {
            let message = format!(
                "tunnel `{}` carries IPv6 and has an MTU of {}; a link with IPv6 carries at least {LEAST_MTU_V6} octets (RFC 8200 \
                 section 5)",
                tunnel.name.is, mtu.is
            );
            let hint = format!("say {LEAST_MTU_V6} or more, or leave `mtu` out");
            found.push(Diagnostic::error(&mtu.at, message).hint(hint));
        }
        Some(_) => {}
        None => left(written, tunnel, outside, found),
    }
}

/// What the smallest link leaves for a tunnel that carries IPv6 and says no MTU.
fn left(written: &Testbed, tunnel: &Tunnel, outside: &Outside<'_>, found: &mut Vec<Diagnostic>) {
    let leaves = insides::usual_mtu(written, tunnel);
    let Some(link) = insides::smallest(written).filter(|_| leaves < LEAST_MTU_V6) else { return };
    let (name, has) = (&link.name.is, link.size());
    let message = format!(
        "tunnel `{}` carries IPv6 and says no MTU; `{name}`, the smallest link of the testbed, has {has} octets, of which it \
         takes {}: the {leaves} that are left are fewer than the {LEAST_MTU_V6} of a link with IPv6 (RFC 8200 section 5)",
        tunnel.name.is,
        has.saturating_sub(leaves)
    );
    let raise = format!(
        "raise the MTU of `{name}` to {} or more",
        LEAST_MTU_V6 + has.saturating_sub(leaves)
    );
    let fits = room(written, tunnel, outside).is_some_and(|room| room.octets >= LEAST_MTU_V6);
    let hint = if fits {
        format!(
            "{raise}, or say `mtu = {LEAST_MTU_V6}` of the tunnel: the way between its gateways has room for it"
        )
    } else {
        raise
    };
    let at = link.mtu.as_ref().map_or(&link.name.at, |mtu| &mtu.at);
    found
        .push(Diagnostic::error(&tunnel.name.at, message).note(at, "the smallest link").hint(hint));
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
        links.sort_by_key(|(segment, _)| std::cmp::Reverse(segment.size()));
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

//! The insides of tunnels: each is laid as one more segment with an interface of both gateways on it, so that everything
//! that is meant by a segment is meant by it too.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::{
    engine::TunnelEngine,
    input::{
        table::At,
        written::{
            node::Interface,
            segment::{Segment, USUAL_MTU},
            testbed::Testbed,
            tunnel::Tunnel,
            words::InPhase,
        },
    },
    model::{
        family::{Families, Family},
        impairment::Impairment,
        name::{InterfaceName, SegmentName},
        phase::Phase,
        segment::{Plane, SegmentKind},
    },
};

/// The testbed with the inside of every tunnel that has two gateways.
pub(super) fn lay(written: &Testbed) -> Testbed {
    let mut laid = written.clone();
    for (index, tunnel) in written.tunnels.iter().enumerate() {
        let Some(name) = segment_name(tunnel) else { continue };
        let gateways: BTreeSet<_> = tunnel.between.iter().map(|gateway| &gateway.is).collect();
        let both = gateways.len() == 2 && gateways.iter().all(|g| written.node(g).is_some());
        if !both || written.segment(&name.is).is_some() {
            continue;
        }
        for node in laid.nodes.iter_mut().filter(|node| gateways.contains(&node.name.is)) {
            let taken: BTreeSet<_> = node.on.iter().map(|on| on.name.is.to_string()).collect();
            let free =
                (0..=taken.len()).map(|n| format!("vpn{n}")).find(|name| !taken.contains(name));
            let interface = free.and_then(|name| name.parse::<InterfaceName>().ok());
            node.on.extend(interface.map(|is| Interface {
                name: At { is, at: tunnel.name.at.clone() },
                segment: name.clone(),
                host: None,
                addresses: Vec::new(),
                slaac: None,
                stable: false,
                dhcp: None,
                mac: None,
            }));
        }
        laid.segments.push(inside(written, tunnel, name, index));
    }
    laid
}

fn segment_name(tunnel: &Tunnel) -> Option<At<SegmentName>> {
    let is = tunnel.name.is.as_str().parse().ok()?;
    Some(At { is, at: tunnel.name.at.clone() })
}

fn inside(written: &Testbed, tunnel: &Tunnel, name: At<SegmentName>, index: usize) -> Segment {
    let at = || tunnel.name.at.clone();
    let live = |phase| InPhase { phase, families: live(written, tunnel, phase), at: at() };
    let prefix = |family: Family| {
        let given = tunnel.prefixes.iter().find(|prefix| Family::of_net(prefix.is) == family);
        given.cloned().unwrap_or_else(|| At { is: usual_prefix(family, index), at: at() })
    };
    let mtu = tunnel.mtu.clone().unwrap_or_else(|| At { is: usual_mtu(written, tunnel), at: at() });
    Segment {
        name,
        site: None,
        kind: SegmentKind::Tunnel,
        plane: Plane::Data,
        prefixes: coupled(written, tunnel).iter().map(prefix).collect(),
        misfits: tunnel.misfits.clone(),
        said: Families::BOTH,
        mtu: Some(mtu),
        advertise: None,
        dhcp: None,
        impairment: Impairment::default(),
        ra_guard: None,
        families: Phase::ALL.into_iter().map(live).collect(),
        stays_ipv4: None,
    }
}

/// The families that a tunnel carries and that some couple of it has on both sides; without those whose addresses inside
/// could not be read.
pub(super) fn coupled(written: &Testbed, tunnel: &Tunnel) -> Families {
    let has = |family| sides(written, tunnel).any(|pair| pair.iter().all(|side| side(family)));
    let misfits = |family| tunnel.misfits.iter().any(|net| Family::of_net(net.is) == family);
    let inner = tunnel.kind.inner().iter();
    inner.filter(|family| has(*family) && !misfits(*family)).collect()
}

/// A side of a couple: whether it has a family.
type Side<'w> = Box<dyn Fn(Family) -> bool + 'w>;

fn sides<'w>(
    written: &'w Testbed,
    tunnel: &'w Tunnel,
) -> impl Iterator<Item = Vec<Side<'w>>> + use<'w> {
    tunnel
        .couple
        .iter()
        .filter(|couple| couple.ends.len() == 2)
        .map(move |couple| couple.ends.iter().map(|end| side(written, &end.is)).collect())
}

fn side<'w>(written: &'w Testbed, word: &str) -> Side<'w> {
    if let Ok(net) = word.parse::<IpNet>() {
        return Box::new(move |family| Family::of_net(net) == family);
    }
    let segment = written.segments.iter().find(|segment| segment.name.is.as_str() == word);
    Box::new(move |family| segment.is_some_and(|segment| segment.prefix(family).is_some()))
}

/// The families of a tunnel's inside in a phase: what is wanted of it, if the gateways can reach one another over something
/// at all.
fn live(written: &Testbed, tunnel: &Tunnel, phase: Phase) -> Families {
    let carried = !outer(written, tunnel, phase).is_empty();
    if carried { wanted(written, tunnel, phase) } else { Families::NONE }
}

/// The families that a tunnel is to carry in a phase: what the coupled segments have live at both sides.
pub(super) fn wanted(written: &Testbed, tunnel: &Tunnel, phase: Phase) -> Families {
    let inner = |couple: &crate::input::written::tunnel::Couple| {
        let side =
            |end: &At<String>| segment_of(written, &end.is).map(|s| families(written, s, phase));
        let mut sides = couple.ends.iter().filter_map(side);
        match (sides.next(), sides.next()) {
            (Some(here), Some(there)) => here.and(there),
            _ => Families::NONE,
        }
    };
    let inner = tunnel.couple.iter().map(inner).fold(Families::NONE, Families::or);
    inner.and(coupled(written, tunnel))
}

/// The segment that a side of a couple is, or is part of.
pub(super) fn segment_of<'w>(written: &'w Testbed, word: &str) -> Option<&'w Segment> {
    let by_name = written.segments.iter().find(|segment| segment.name.is.as_str() == word);
    by_name.or_else(|| {
        let net = word.parse::<IpNet>().ok()?;
        written.segments.iter().find(|s| s.prefixes.iter().any(|prefix| prefix.is.contains(&net)))
    })
}

/// The families of a segment that are live in a phase.
pub(super) fn families(written: &Testbed, segment: &Segment, phase: Phase) -> Families {
    *super::families::of_segment(written, segment, &mut Vec::new()).in_phase(phase)
}

/// The families that may carry a tunnel and that both gateways have outside what it couples.
fn outer(written: &Testbed, tunnel: &Tunnel, phase: Phase) -> Families {
    let inner: Vec<_> = tunnel
        .couple
        .iter()
        .flat_map(|couple| &couple.ends)
        .filter_map(|end| segment_of(written, &end.is))
        .map(|segment| &segment.name.is)
        .collect();
    let outside = |gateway: &At<crate::model::name::NodeName>| {
        let on = written.node(&gateway.is).into_iter().flat_map(|node| &node.on);
        on.filter_map(|on| written.segment(&on.segment.is))
            .filter(|segment| segment.plane == Plane::Data && !inner.contains(&&segment.name.is))
            .map(|segment| families(written, segment, phase))
            .fold(Families::NONE, Families::or)
    };
    let both = tunnel.between.iter().map(outside).fold(Families::BOTH, Families::and);
    both.and(may_carry(tunnel))
}

/// The families that may carry a tunnel.
pub(super) fn may_carry(tunnel: &Tunnel) -> Families {
    match tunnel.outer.as_slice() {
        [] => tunnel.kind.outer(),
        said => said.iter().map(|family| family.is).collect::<Families>().and(tunnel.kind.outer()),
    }
}

/// The smallest link of the data plane.
pub(super) fn smallest(written: &Testbed) -> Option<&Segment> {
    let is_link = |s: &&Segment| s.plane == Plane::Data && !s.kind.is_inside();
    written.segments.iter().filter(is_link).min_by_key(|segment| segment.size())
}

/// What the smallest link leaves of a packet, whichever family carries the tunnel.
pub(super) fn usual_mtu(written: &Testbed, tunnel: &Tunnel) -> u32 {
    let smallest = smallest(written).map_or(USUAL_MTU, Segment::size);
    let overhead = may_carry(tunnel).iter().map(|outer| tunnel.kind.overhead(outer)).max();
    let overhead = overhead.unwrap_or_default();
    let left = smallest.saturating_sub(overhead);
    let engine = tunnel.engine.as_ref().and_then(|named| TunnelEngine::of(&named.is));
    engine.map_or(left, |engine| engine.mtu(left)).max(576)
}

/// The prefix of the tunnel at a place in the file where none is given.
fn usual_prefix(family: Family, index: usize) -> IpNet {
    let number = u16::try_from(index).unwrap_or(u16::MAX);
    let [high, low] = number.to_be_bytes();
    match family {
        Family::V4 => IpNet::new(std::net::IpAddr::from([100, 64 + high, low, 0]), 31),
        Family::V6 => IpNet::new([0xfd76, 0x706e, number, 0, 0, 0, 0, 0].into(), 127),
    }
    .expect("the lengths are in range")
}

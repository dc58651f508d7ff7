//! Tunnels: between two VPN gateways, coupling subnets of one family that stand behind them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::{behind, names, outside};
use crate::{
    engine::{BUILT_IN, TunnelEngine},
    input::{
        diagnostic::{Diagnostic, Span},
        placeholder,
        suggest::suggest,
        table::At,
        written::{self, segment::Segment, testbed::Testbed, tunnel::Couple, words::net},
    },
    model::{
        family::Family,
        name::{EngineName, NodeName, TunnelName},
        node::Role,
        phase::Phase,
        segment::SegmentKind,
        testbed as model,
        tunnel::{Relation, Tunnel, TunnelKind},
    },
};

/// The UDP port of the first tunnel; the others follow. That of WireGuard's documentation.
const FIRST_PORT: u16 = 51_820;

/// Every tunnel.
pub(super) fn resolve(
    written: &Testbed,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<TunnelName, Tunnel> {
    told_apart(written, found);
    let mut coupled = Vec::new();
    let mut one = |(index, tunnel)| {
        outside::check(written, tunnel, found);
        one(written, tunnel, index, &mut coupled, found)
    };
    written
        .tunnels
        .iter()
        .enumerate()
        .filter_map(&mut one)
        .map(|tunnel| (tunnel.name.clone(), tunnel))
        .collect()
}

/// Phases in which the two sides of a couple are there and have no family in common: nothing of them is coupled then.
pub(super) fn check(written: &Testbed, testbed: &model::Testbed, found: &mut Vec<Diagnostic>) {
    for (tunnel, couple) in
        written.tunnels.iter().flat_map(|t| t.couple.iter().map(move |c| (t, c)))
    {
        let [a, b] = couple.ends.as_slice() else { continue };
        let side = |word: &At<String>| {
            let mut segments = testbed.segments.values();
            segments.find(|segment| segment.name.as_str() == word.is)
        };
        let (Some(left), Some(right)) = (side(a), side(b)) else { continue };
        // Sides that never have a family in common have been complained of.
        let in_common = |phase: &Phase| {
            !left.families.in_phase(*phase).and(*right.families.in_phase(*phase)).is_empty()
        };
        if !Phase::ALL.iter().any(in_common) {
            continue;
        }
        for phase in Phase::ALL {
            let [here, there] = [left, right].map(|segment| *segment.families.in_phase(phase));
            let both_live = !here.is_empty() && !there.is_empty();
            if !both_live || !here.and(there).is_empty() {
                continue;
            }
            let message = format!(
                "in the {phase} phase `{}` has {here} alone and `{}` has {there} alone: tunnel `{}` couples nothing of them",
                a.is, b.is, tunnel.name.is
            );
            let hint = "give both sides a family in common in every phase in which they are to reach each other";
            found
                .push(Diagnostic::warning(&b.at, message).note(&a.at, "the other side").hint(hint));
        }
    }
}

/// Outside, tunnels of a kind without a port of their own are told apart by their gateways alone. Datagrams of VXLAN come
/// from ports of any number to one socket of a gateway, which does not know more than one tunnel.
fn told_apart(written: &Testbed, found: &mut Vec<Diagnostic>) {
    let mut known: Vec<&written::tunnel::Tunnel> = Vec::new();
    for tunnel in written.tunnels.iter().filter(|tunnel| !tunnel.kind.is_encrypted()) {
        if let Some(other) = known.iter().find(|other| are_alike(tunnel, other)) {
            let (where_, hint) = match tunnel.kind {
                TunnelKind::Vxlan => ("at one gateway", "a gateway ends one tunnel of that kind"),
                _ => ("between the same gateways", "write the couples of both under one of them"),
            };
            let message = format!(
                "tunnels `{}` and `{}` are both `{}` {where_}: nothing outside tells them apart",
                other.name.is, tunnel.name.is, tunnel.kind
            );
            found.push(
                Diagnostic::error(&tunnel.name.at, message)
                    .note(&other.name.at, "the other")
                    .hint(hint),
            );
        }
        known.push(tunnel);
    }
}

fn are_alike(tunnel: &written::tunnel::Tunnel, other: &written::tunnel::Tunnel) -> bool {
    let clash = match tunnel.kind {
        TunnelKind::Vxlan => !ends(other).is_disjoint(&ends(tunnel)),
        _ => ends(other) == ends(tunnel),
    };
    !tunnel.kind.is_encrypted() && other.kind == tunnel.kind && clash
}

fn ends(tunnel: &written::tunnel::Tunnel) -> BTreeSet<&NodeName> {
    tunnel.between.iter().map(|end| &end.is).collect()
}

/// A couple of a tunnel in one family.
struct Coupled<'w> {
    tunnel: &'w written::tunnel::Tunnel,
    at: &'w Span,
    relation: Relation,
}

/// A pair of subnets is coupled once: what goes between them has one tunnel to take. So has what goes between addresses that
/// two couples have in common: a route would go by the more specific one, a list of policies by the first that fits (RFC 4301
/// section 4.4.1), and nothing in the file says which of the two is meant.
fn once<'w>(
    tunnel: &'w written::tunnel::Tunnel,
    at: &'w Span,
    relations: &[Relation],
    known: &mut Vec<Coupled<'w>>,
    found: &mut Vec<Diagnostic>,
) {
    let first = relations.iter().find_map(|relation| {
        let same = |k: &&Coupled<'_>| is_same(&k.relation, relation);
        let meets = |k: &&Coupled<'_>| meet(&k.relation, relation);
        let other = known.iter().find(same).or_else(|| known.iter().find(meets))?;
        Some((relation, other))
    });
    if let Some((relation, first)) = first.filter(|(_, first)| !are_alike(tunnel, first.tunnel)) {
        let Relation { here, there } = first.relation;
        let (one, other) = (&first.tunnel.name.is, &tunnel.name.is);
        let (message, hint) = if !is_same(&first.relation, relation) {
            let whose = if one == other { "it".to_owned() } else { format!("tunnel `{one}`") };
            let message = format!(
                "tunnel `{other}` couples {} with {}, and {whose} couples {here} with {there}: what goes between addresses that \
                 are in both would fit either",
                relation.here, relation.there
            );
            (message, "couple prefixes that have no address in common, or take one of the two away")
        } else if one == other {
            (
                format!("tunnel `{other}` couples {here} with {there} twice"),
                "take one of the two away",
            )
        } else {
            let message = format!(
                "tunnels `{one}` and `{other}` both couple {here} with {there}; packets take one of them alone"
            );
            (message, "take one of the two away")
        };
        // Between other gateways, it may be a second way that is kept for later.
        let diagnostic = if ends(tunnel).is_disjoint(&ends(first.tunnel)) {
            Diagnostic::warning(at, message)
        } else {
            Diagnostic::error(at, message)
        };
        let diagnostic = diagnostic.note(first.at, "first coupled here");
        found.push(diagnostic.hint(hint));
    }
    known.extend(relations.iter().map(|relation| Coupled { tunnel, at, relation: *relation }));
}

fn is_same(one: &Relation, other: &Relation) -> bool {
    one == other || *one == other.turned()
}

/// Whether two couples have addresses in common on both sides, whichever of them is the first side.
fn meet(one: &Relation, other: &Relation) -> bool {
    let touch = |one: IpNet, other: IpNet| one.contains(&other) || other.contains(&one);
    let meets = |other: Relation| touch(one.here, other.here) && touch(one.there, other.there);
    meets(*other) || meets(other.turned())
}

fn one<'w>(
    written: &Testbed,
    tunnel: &'w written::tunnel::Tunnel,
    index: usize,
    coupled: &mut Vec<Coupled<'w>>,
    found: &mut Vec<Diagnostic>,
) -> Option<Tunnel> {
    for name in &tunnel.between {
        let Some(node) = names::node(written, name, found) else { continue };
        if !node.may_be(ends_tunnels) {
            let message = format!(
                "tunnel `{}` cannot end at `{}`, which has the role `{}`",
                tunnel.name.is,
                name.is,
                node.role()
            );
            found.push(
                Diagnostic::error(&name.at, message)
                    .note(&node.name.at, "this node")
                    .hint("tunnels end at nodes with the role `vpn-gateway`"),
            );
        }
    }
    let gateways = gateways(tunnel, found);
    let mut relations = Vec::new();
    for pair in &tunnel.couple {
        let more = couple(written, tunnel, gateways, pair, found);
        if gateways.is_some() {
            once(tunnel, &pair.at, &more, coupled, found);
        }
        relations.extend(more);
    }
    let outer = outer(tunnel, found);
    let engine = engine(tunnel, found);
    let between = gateways?.map(|gateway| gateway.is.clone());
    let name = tunnel.name.is.clone();
    let inside = tunnel.name.is.as_str().parse().ok()?;
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    let (port, number) = (FIRST_PORT.saturating_add(index), index.saturating_add(1));
    let (kind, port) = (tunnel.kind, tunnel.kind.port(port));
    Some(Tunnel { name, kind, inside, between, outer, relations, port, number, engine })
}

fn ends_tunnels(role: Role) -> bool {
    role == Role::VpnGateway
}

/// The two ends of a tunnel.
fn gateways<'w>(
    tunnel: &'w written::tunnel::Tunnel,
    found: &mut Vec<Diagnostic>,
) -> Option<[&'w At<NodeName>; 2]> {
    let [here, there] = tunnel.between.as_slice() else {
        // That nobody is named has been complained of.
        if !tunnel.between.is_empty() {
            let (name, count) = (&tunnel.name.is, tunnel.between.len());
            let message = format!("tunnel `{name}` has {count} ends; it needs exactly two");
            let hint = "write `between = [\"gateway-a\", \"gateway-b\"]`";
            found.push(Diagnostic::error(&tunnel.name.at, message).hint(hint));
        }
        return None;
    };
    if here.is == there.is {
        let message = format!("tunnel `{}` begins and ends at `{}`", tunnel.name.is, here.is);
        found.push(Diagnostic::error(&there.at, message).note(&here.at, "the other end"));
        return None;
    }
    Some([here, there])
}

/// The program that is to carry a tunnel.
fn engine(tunnel: &written::tunnel::Tunnel, found: &mut Vec<Diagnostic>) -> Option<EngineName> {
    let named = tunnel.engine.as_ref().filter(|named| named.is.as_str() != BUILT_IN)?;
    if !tunnel.kind.is_encrypted() {
        let message = format!(
            "`{}` cannot carry tunnel `{}`, which is `{}`",
            named.is, tunnel.name.is, tunnel.kind
        );
        let hint = "programs carry tunnels of the kind `vpn`; the others are built in";
        found.push(Diagnostic::error(&named.at, message).hint(hint));
    }
    let longest = TunnelEngine::of(&named.is).map_or(u32::MAX, |engine| engine.inner_mtu);
    if let Some(mtu) = tunnel.mtu.as_ref().filter(|mtu| mtu.is > longest) {
        let message = format!(
            "tunnel `{}` has an MTU of {}, and `{}` carries {longest} octets at most",
            tunnel.name.is, mtu.is, named.is
        );
        let hint = "leave `mtu` out, or take the tunnel that is built in";
        found.push(Diagnostic::error(&mtu.at, message).note(&named.at, "carried by").hint(hint));
    }
    Some(named.is.clone())
}

/// The families that may carry a tunnel, first choice first.
fn outer(tunnel: &written::tunnel::Tunnel, found: &mut Vec<Diagnostic>) -> Vec<Family> {
    let kind = tunnel.kind;
    for family in tunnel.outer.iter().filter(|family| !kind.outer().has(family.is)) {
        let message =
            format!("{} cannot carry tunnel `{}`, which is `{kind}`", family.is, tunnel.name.is);
        let hint = format!("`{kind}` goes over {} alone", kind.outer());
        found.push(Diagnostic::error(&family.at, message).hint(hint));
    }
    if let [first, second] = tunnel.outer.as_slice()
        && first.is == second.is
    {
        let message = format!("tunnel `{}` is to go over {} twice", tunnel.name.is, second.is);
        found.push(
            Diagnostic::error(&second.at, message)
                .note(&first.at, "first named here")
                .hint("name each family once, first choice first"),
        );
    }
    match tunnel.outer.as_slice() {
        [] => [Family::V6, Family::V4].into_iter().filter(|f| kind.outer().has(*f)).collect(),
        said => said.iter().map(|family| family.is).collect(),
    }
}

/// A side of a couple: its prefixes, at most one per family.
struct Side<'w> {
    segment: Option<&'w Segment>,
    nets: Vec<IpNet>,
}

impl Side<'_> {
    /// Whether each prefix that was written could be read.
    fn is_known(&self) -> bool {
        self.segment.is_none_or(Segment::is_known)
    }
}

fn couple(
    written: &Testbed,
    tunnel: &written::tunnel::Tunnel,
    gateways: Option<[&At<NodeName>; 2]>,
    couple: &Couple,
    found: &mut Vec<Diagnostic>,
) -> Vec<Relation> {
    let [a, b] = couple.ends.as_slice() else {
        let count = couple.ends.len();
        let message = format!("tunnel `{}` couples pairs, and here stand {count}", tunnel.name.is);
        let hint = "write `couple = [[\"admin-lan\", \"dc-lan\"]]`: brackets around each pair";
        found.push(Diagnostic::error(&couple.at, message).hint(hint));
        return Vec::new();
    };
    let sides = [side(written, a, found), side(written, b, found)];
    if let Some([one, two]) = gateways {
        for (side, word, at, other) in [(&sides[0], a, one, two), (&sides[1], b, two, one)] {
            let segment = side.as_ref().and_then(|side| side.segment);
            // What is behind a node that ends no tunnels is no question.
            let is_gateway = written.node(&at.is).is_some_and(|n| n.may_be(ends_tunnels));
            if let Some(segment) = segment.filter(|_| is_gateway) {
                stands_behind(written, word, segment, [at, other], found);
            }
        }
    }
    let [Some(here), Some(there)] = sides else { return Vec::new() };
    let of = |side: &Side<'_>, family| {
        side.nets.iter().copied().find(|net| Family::of_net(*net) == family)
    };
    let relations: Vec<_> = Family::ALL
        .into_iter()
        .filter_map(|f| Some(Relation { here: of(&here, f)?, there: of(&there, f)? }))
        .collect();
    // What could not be read might be of the other's family.
    let known = [&here, &there].into_iter().all(Side::is_known);
    if let (true, [left, ..], [right, ..]) =
        (relations.is_empty() && known, here.nets.as_slice(), there.nets.as_slice())
    {
        let message = format!(
            "tunnel `{}` couples {left} with {right}; both ends must speak the same family",
            tunnel.name.is
        );
        found.push(
            Diagnostic::error(&b.at, message)
                .label(format!("{}", Family::of_net(*right)))
                .note(&a.at, format!("{}", Family::of_net(*left)))
                .hint("give both ends a subnet of one family"),
        );
        return relations;
    }
    carried(tunnel, [a, b], relations, found)
}

/// A side of a couple is one of the networks behind its gateway.
fn stands_behind(
    written: &Testbed,
    word: &At<String>,
    segment: &Segment,
    [gateway, other]: [&At<NodeName>; 2],
    found: &mut Vec<Diagnostic>,
) {
    let name = &segment.name.is;
    if !behind::is_behind(written, name, &gateway.is, &other.is) {
        let message = format!("`{}` is not behind the gateway `{}`", word.is, gateway.is);
        found.push(
            Diagnostic::error(&word.at, message).note(&gateway.at, "this gateway").hint(
                "the first of a pair is behind the first gateway, the second behind the second",
            ),
        );
        return;
    }
    if let Some(link) = behind::outside_by(written, name, &gateway.is, &other.is) {
        let message = format!(
            "`{}` is on the outer side of the gateway `{}`: the way there begins on `{link}`, as that to `{}` does",
            word.is, gateway.is, other.is
        );
        let hint = "couple networks on the inner side of the gateway: what comes out of a tunnel must not go back to \
                    where the tunnel came from";
        found.push(
            Diagnostic::error(&word.at, message).note(&gateway.at, "this gateway").hint(hint),
        );
    }
}

/// Those that a tunnel of its kind carries: of the other family, nothing is coupled.
fn carried(
    tunnel: &written::tunnel::Tunnel,
    [a, b]: [&At<String>; 2],
    relations: Vec<Relation>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Relation> {
    let inner = tunnel.kind.inner();
    let (carried, left): (Vec<_>, Vec<_>) =
        relations.into_iter().partition(|relation| inner.has(relation.family()));
    if let (true, Some(relation)) = (carried.is_empty(), left.first()) {
        let message = format!(
            "tunnel `{}` is `{}`, which carries {inner} alone; `{}` and `{}` have {} in common",
            tunnel.name.is,
            tunnel.kind,
            a.is,
            b.is,
            relation.family()
        );
        found.push(Diagnostic::error(&b.at, message).note(&a.at, "the other side"));
    }
    carried
}

/// A segment by its name, or a prefix of a segment.
fn side<'w>(
    written: &'w Testbed,
    word: &At<String>,
    found: &mut Vec<Diagnostic>,
) -> Option<Side<'w>> {
    let name = placeholder::stand_in(&word.is);
    let mut segments = written.segments.iter().filter(|s| s.kind != SegmentKind::Tunnel);
    if let Some(segment) = segments.clone().find(|s| s.name.is.as_str() == name) {
        let nets = segment.prefixes.iter().map(|prefix| prefix.is).collect();
        return Some(Side { segment: Some(segment), nets });
    }
    if !word.is.contains('/') {
        let known = segments.map(|segment| segment.name.is.as_str());
        let message = format!("there is no segment `{}` to couple", word.is);
        found.push(Diagnostic::error(&word.at, message).maybe_hint(suggest(&word.is, known)));
        return None;
    }
    match net(&word.is) {
        Err(why) => {
            found.push(Diagnostic::error(&word.at, why));
            None
        }
        Ok(net) => {
            let holds = |s: &&Segment| s.prefixes.iter().any(|prefix| prefix.is.contains(&net));
            let segment = segments.find(holds);
            if segment.is_none() {
                let message = format!("{net} is within no prefix of a segment");
                found.push(Diagnostic::error(&word.at, message));
            }
            Some(Side { segment, nets: vec![net.trunc()] })
        }
    }
}

//! Translations: between a gateway and its translator lies a segment like any other, whose prefixes are the translation
//! prefix and the pool.

use std::collections::BTreeMap;

use super::{names, uses};
use crate::{
    engine::BUILT_IN,
    input::{
        diagnostic::Diagnostic,
        table::At,
        written::{
            self,
            node::Interface,
            segment::{Segment, USUAL_MTU},
            testbed::Testbed,
            words::InPhase,
        },
    },
    model::{
        family::{Families, Family},
        impairment::Impairment,
        name::{EngineName, TranslationName},
        node::Role,
        phase::Phase,
        segment::{Plane, SegmentKind},
        translation::{Translation, WELL_KNOWN, is_global},
    },
};

/// What an IPv4 packet grows by on its way to IPv6 (RFC 7915 section 1.4): the link to the translator carries it whole, so
/// that the gateway's kernel finds what is too big for the next link and says so.
const GROWTH: u32 = 20;

/// The network, the gateway, one for users, the last.
const SMALLEST_POOL: u8 = 30;

/// Lays the link between each gateway and its translator.
pub(super) fn lay(laid: &mut Testbed) {
    for translation in laid.translations.clone() {
        let Some(name) = segment_name(&translation) else { continue };
        if laid.segment(&name.is).is_some() {
            continue;
        }
        let Some(node) = laid.nodes.iter_mut().find(|node| node.name.is == translation.by.is)
        else {
            continue;
        };
        let taken: Vec<_> = node.on.iter().map(|on| on.name.is.to_string()).collect();
        let free = (0..=taken.len()).map(|n| format!("nat{n}")).find(|name| !taken.contains(name));
        let Some(is) = free.and_then(|name| name.parse().ok()) else { continue };
        node.on.push(Interface {
            name: At { is, at: translation.name.at.clone() },
            segment: name.clone(),
            host: None,
            addresses: Vec::new(),
            slaac: None,
            stable: false,
            dhcp: None,
            mac: None,
        });
        let inside = inside(laid, &translation, name);
        laid.segments.push(inside);
    }
}

fn segment_name(
    translation: &written::translation::Translation,
) -> Option<At<crate::model::name::SegmentName>> {
    let is = translation.name.is.as_str().parse().ok()?;
    Some(At { is, at: translation.name.at.clone() })
}

fn inside(
    written: &Testbed,
    translation: &written::translation::Translation,
    name: At<crate::model::name::SegmentName>,
) -> Segment {
    let at = || translation.name.at.clone();
    let live = |phase: &At<Phase>| InPhase {
        phase: phase.is,
        families: Families::BOTH,
        at: phase.at.clone(),
    };
    let data = written.segments.iter().filter(|segment| segment.plane == Plane::Data);
    let largest = data.map(Segment::size).max();
    let mtu = largest.unwrap_or(USUAL_MTU).saturating_add(GROWTH).min(65_535);
    Segment {
        name,
        site: None,
        kind: SegmentKind::Translation,
        plane: Plane::Data,
        prefixes: translation.prefixes.clone(),
        misfits: translation.misfits.clone(),
        said: Families::BOTH,
        mtu: Some(At { is: mtu, at: at() }),
        advertise: None,
        dhcp: None,
        impairment: Impairment::default(),
        ra_guard: None,
        families: translation.phases.iter().map(live).collect(),
        stays_ipv4: None,
    }
}

/// Every translation.
pub(super) fn resolve(
    written: &Testbed,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<TranslationName, Translation> {
    let one = |translation| one(written, translation, found);
    let all = written.translations.iter().filter_map(one);
    all.map(|translation| (translation.name.clone(), translation)).collect()
}

fn one(
    written: &Testbed,
    translation: &written::translation::Translation,
    found: &mut Vec<Diagnostic>,
) -> Option<Translation> {
    let name = &translation.name;
    let gateway = names::node(written, &translation.by, found);
    if let Some(gateway) = gateway.filter(|gateway| !gateway.may_be(Role::forwards)) {
        let message = format!(
            "`{}` has the role `{}` and does not forward; it cannot translate for others",
            translation.by.is,
            gateway.role()
        );
        found.push(
            Diagnostic::error(&translation.by.at, message)
                .note(&gateway.name.at, "this node")
                .hint("routers are nodes with the role `router`, `firewall` or `vpn-gateway`"),
        );
    }
    if let Some(phase) = translation.phases.iter().find(|phase| phase.is == Phase::Ipv4Only) {
        let message = format!("translation `{}` has no user in a phase without IPv6", name.is);
        found.push(Diagnostic::error(&phase.at, message).hint("leave `ipv4-only` out here"));
    }
    let inside = segment_name(translation)?.is;
    check_targets(written, translation, found);
    let resolvers = translation.resolvers.iter();
    let resolvers = resolvers.filter(|name| uses::resolver(written, name, found));
    let resolvers = resolvers.map(|name| name.is.clone()).collect();
    let engine = engine(translation, found);
    Some(Translation {
        resolvers,
        name: name.is.clone(),
        inside,
        gateway: translation.by.is.clone(),
        prefix: translation.prefix()?.is,
        pool: translation.pool()?.is,
        engine,
    })
}

/// The program that is to translate. It takes an address of the pool itself.
fn engine(
    translation: &written::translation::Translation,
    found: &mut Vec<Diagnostic>,
) -> Option<EngineName> {
    let named = translation.engine.as_ref().filter(|named| named.is.as_str() != BUILT_IN)?;
    let pool = translation.pool();
    if let Some(pool) = pool.filter(|pool| pool.is.prefix_len() == SMALLEST_POOL) {
        let message = format!(
            "{} has no address left for users where `{}` translates, which takes one itself",
            pool.is, named.is
        );
        found.push(
            Diagnostic::error(&pool.at, message).note(&named.at, "translated by").hint(
                "take a pool with an address for each user, or the translator that is built in",
            ),
        );
    }
    Some(named.is.clone())
}

/// What is translated to: there must be something, and the Well-Known Prefix is for global addresses alone.
fn check_targets(
    written: &Testbed,
    translation: &written::translation::Translation,
    found: &mut Vec<Diagnostic>,
) {
    let islands = || written.segments.iter().filter(|segment| segment.stays_ipv4.is_some());
    let name = &translation.name;
    if islands().next().is_none() {
        let message =
            format!("translation `{}` leads nowhere: every segment gives up IPv4", name.is);
        let hint = "say of a segment why it stays without IPv6: `stays-ipv4 = \"…\"`";
        found.push(Diagnostic::warning(&name.at, message).hint(hint));
    }
    let own = translation.prefix();
    let Some(own) = own.filter(|prefix| prefix.is.net() == WELL_KNOWN) else { return };
    let prefixes = islands().filter_map(|segment| segment.prefix(Family::V4));
    for prefix in prefixes.filter(|prefix| !is_global(prefix.is)) {
        let message = format!(
            "the Well-Known Prefix {WELL_KNOWN} must not stand for {}, which is not global (RFC 6052 section 3.1)",
            prefix.is
        );
        found.push(
            Diagnostic::error(&own.at, message).note(&prefix.at, "this prefix").hint(
                "take a prefix of your own, such as `2001:db8:64::/96`, or leave `prefix` out",
            ),
        );
    }
}

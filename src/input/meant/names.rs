//! Names: what they stand for, and what was probably meant where they stand for nothing.

use std::collections::BTreeMap;

use crate::{
    input::{
        diagnostic::{Diagnostic, Span},
        suggest::suggest,
        table::At,
        written::{
            node::Node, segment::Segment, testbed::Testbed, translation::Translation,
            tunnel::Tunnel,
        },
    },
    model::{
        name::{NodeName, SegmentName, SiteName},
        segment::{SegmentKind, Site},
    },
};

/// What kind of thing a name was given to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Noun {
    Site,
    Segment,
    Node,
    Tunnel,
    Translation,
}

impl Noun {
    fn with_article(self) -> &'static str {
        match self {
            Self::Site => "a site",
            Self::Segment => "a segment",
            Self::Node => "a node",
            Self::Tunnel => "a tunnel",
            Self::Translation => "a translation",
        }
    }
}

/// The tunnels whose insides could not be laid.
pub(super) fn unlaid_tunnels(written: &Testbed) -> impl Iterator<Item = &Tunnel> {
    written.tunnels.iter().filter(|tunnel| !is_laid(written, &tunnel.name.at))
}

/// The translations whose links could not be laid.
pub(super) fn unlaid_translations(written: &Testbed) -> impl Iterator<Item = &Translation> {
    written.translations.iter().filter(|translation| !is_laid(written, &translation.name.at))
}

fn is_laid(written: &Testbed, at: &Span) -> bool {
    written.segments.iter().any(|segment| segment.name.at == *at)
}

/// Every name with its kind and place, in the order sites, segments and the insides of tunnels, nodes, and what could not
/// be laid.
pub(super) fn all(written: &Testbed) -> impl Iterator<Item = (&str, Noun, &Span)> {
    let sites = written.sites.iter().map(|s| (s.name.is.as_str(), Noun::Site, &s.name.at));
    let noun = |s: &Segment| match s.kind {
        SegmentKind::Tunnel => Noun::Tunnel,
        SegmentKind::Translation => Noun::Translation,
        _ => Noun::Segment,
    };
    let segments = written.segments.iter().map(move |s| (s.name.is.as_str(), noun(s), &s.name.at));
    let nodes = written.nodes.iter().map(|n| (n.name.is.as_str(), Noun::Node, &n.name.at));
    let tunnels = unlaid_tunnels(written).map(|t| (t.name.is.as_str(), Noun::Tunnel, &t.name.at));
    let translations =
        unlaid_translations(written).map(|t| (t.name.is.as_str(), Noun::Translation, &t.name.at));
    sites.chain(segments).chain(nodes).chain(tunnels).chain(translations)
}

/// Flows name nodes, segments and sites alike, so that no two of them may share a name.
pub(super) fn check(written: &Testbed, found: &mut Vec<Diagnostic>) {
    let mut known = BTreeMap::<&str, (Noun, &Span)>::new();
    for (name, noun, at) in all(written) {
        let Some((other, first)) = known.insert(name, (noun, at)) else { continue };
        let mut places = [(first, other), (at, noun)];
        places.sort_by_key(|(at, _)| at.start);
        let [(first, other), (at, noun)] = places;
        let (a, b) = (other.with_article(), noun.with_article());
        let why = match (other, noun) {
            (Noun::Tunnel | Noun::Translation, _) | (_, Noun::Tunnel | Noun::Translation) => {
                "the link that is laid for it would bear the name too"
            }
            _ => "flows could mean either",
        };
        let message = format!("`{name}` is the name of {a} and of {b}; {why}");
        found.push(
            Diagnostic::error(at, message)
                .note(first, "first used here")
                .hint("give one of the two another name"),
        );
    }
}

/// The sites.
pub(super) fn sites(written: &Testbed, found: &mut Vec<Diagnostic>) -> BTreeMap<SiteName, Site> {
    let mut sites = BTreeMap::new();
    for site in &written.sites {
        let name = site.name.is.clone();
        let title = super::text(site.title.as_ref()).unwrap_or_else(|| name.to_string());
        let used = written.segments.iter().any(|s| s.site.as_ref().is_some_and(|s| s.is == name))
            || written.nodes.iter().any(|n| n.site.as_ref().is_some_and(|s| s.is == name));
        if !used {
            let message = format!("site `{name}` has neither segment nor node");
            let hint = format!("say `site = \"{name}\"` in its segments");
            found.push(Diagnostic::warning(&site.name.at, message).hint(hint));
        }
        sites.insert(name.clone(), Site { name, title });
    }
    sites
}

/// The node of a name.
pub(super) fn node<'w>(
    written: &'w Testbed,
    name: &At<NodeName>,
    found: &mut Vec<Diagnostic>,
) -> Option<&'w Node> {
    let node = written.node(&name.is);
    if node.is_none() {
        unknown(written, name.is.as_str(), &name.at, &[Noun::Node], found);
    }
    node
}

/// Complains of every name of a list that is of no node.
pub(super) fn nodes(written: &Testbed, names: &[At<NodeName>], found: &mut Vec<Diagnostic>) {
    for name in names {
        node(written, name, found);
    }
}

/// The segment of a name. The inside of a tunnel is one only for the interfaces that were laid into it.
pub(super) fn segment<'w>(
    written: &'w Testbed,
    name: &At<SegmentName>,
    found: &mut Vec<Diagnostic>,
) -> Option<&'w Segment> {
    let may_be = |s: &&Segment| !s.kind.is_inside() || s.name.at == name.at;
    let segment = written.segment(&name.is).filter(may_be);
    if segment.is_none() {
        unknown(written, name.is.as_str(), &name.at, &[Noun::Segment], found);
    }
    segment
}

/// The site of a name.
pub(super) fn site(
    written: &Testbed,
    name: &At<SiteName>,
    found: &mut Vec<Diagnostic>,
) -> Option<SiteName> {
    if written.sites.iter().any(|site| site.name.is == name.is) {
        return Some(name.is.clone());
    }
    unknown(written, name.is.as_str(), &name.at, &[Noun::Site], found);
    None
}

/// Complains of a name that stands for none of the kinds that would do.
pub(super) fn unknown(
    written: &Testbed,
    name: &str,
    at: &Span,
    wanted: &[Noun],
    found: &mut Vec<Diagnostic>,
) {
    // It is no name at all, which has been complained of.
    if written.refused.contains(at) {
        return;
    }
    let kinds: Vec<_> = wanted.iter().map(|noun| noun.with_article()).collect();
    let kinds = match kinds.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        kinds => kinds.concat(),
    };
    let other = all(written).find(|(known, ..)| *known == name);
    if let Some((_, noun, place)) = other {
        let message = format!("`{name}` is {}, but {kinds} is needed here", noun.with_article());
        found.push(Diagnostic::error(at, message).note(place, "it is this"));
        return;
    }
    let known = all(written).filter(|(_, noun, _)| wanted.contains(noun));
    let hint = suggest(name, known.map(|(name, ..)| name));
    let message = format!("there is no `{name}`; {kinds} is needed here");
    found.push(Diagnostic::error(at, message).maybe_hint(hint));
}

//! Prefixes that overlap: of segments, of the insides of tunnels, of translations, and of what is too wrong to be any of
//! these, as far as it is known where that would lie.

use std::borrow::Borrow;

use ipnet::IpNet;

use super::names;
use crate::{
    input::{
        diagnostic::Diagnostic,
        table::At,
        written::{segment::Segment, testbed::Testbed},
    },
    model::{family::Family, segment::SegmentKind},
};

/// A prefix and what it is of.
struct Taken<'w> {
    prefix: &'w At<IpNet>,
    noun: &'static str,
    name: &'w str,
    /// Whether it could not be used, so that its address alone is known.
    misfit: bool,
    /// Whether the file says nothing of it.
    usual: bool,
}

impl Taken<'_> {
    fn words(&self) -> String {
        format!("{} of {} `{}`", self.prefix.is, self.noun, self.name)
    }

    /// Where the prefix of something that has one by itself can be given, so that it lies elsewhere.
    fn key(&self) -> Option<String> {
        let key = match (self.noun, Family::of_net(self.prefix.is)) {
            (TUNNEL, Family::V4) => "`ipv4 = \"…/31\"`",
            (TUNNEL, Family::V6) => "`ipv6 = \"…/127\"`",
            (TRANSLATION, Family::V4) => "`pool = \"…\"`",
            (TRANSLATION, Family::V6) => "`prefix = \"…\"`",
            _ => return None,
        };
        let usual = if self.usual { ", which takes these where it says none" } else { "" };
        Some(format!(
            "say {key} in `[{}.{}]`{usual}, with addresses that nothing else has",
            self.noun, self.name
        ))
    }
}

const SEGMENT: &str = "segment";
const TUNNEL: &str = "tunnel";
const TRANSLATION: &str = "translation";

/// Complains of every prefix that lies in another one.
pub(super) fn check(written: &Testbed, found: &mut Vec<Diagnostic>) {
    let (misfits, mut taken): (Vec<_>, Vec<_>) = all(written).partition(|one| one.misfit);
    // A prefix that holds another sorts just before it or before others that it holds.
    taken.sort_by_key(|one| (one.prefix.is.network(), one.prefix.is.prefix_len()));
    let mut outer = None::<&Taken<'_>>;
    for next in &taken {
        match outer.filter(|outer| outer.prefix.is.contains(&next.prefix.is)) {
            Some(outer) => found.push(overlap(next, outer)),
            None => outer = Some(next),
        }
    }
    // Whatever length they are given, their addresses are taken.
    for misfit in &misfits {
        let ip = misfit.prefix.is.addr();
        let outer = taken.iter().find(|outer| outer.prefix.is.contains(&ip));
        found.extend(outer.map(|outer| overlap(misfit, outer)));
    }
}

fn overlap(inner: &Taken<'_>, outer: &Taken<'_>) -> Diagnostic {
    let message = format!("prefix {} overlaps {}", inner.words(), outer.words());
    let hint = inner.key().or_else(|| outer.key());
    Diagnostic::error(&inner.prefix.at, message)
        .note(&outer.prefix.at, "overlaps this")
        .hint(hint.unwrap_or_else(|| "give every segment a prefix of its own".to_owned()))
}

fn all(written: &Testbed) -> impl Iterator<Item = Taken<'_>> {
    let of_segments = written.segments.iter().flat_map(|segment| {
        each(noun(segment), &segment.name, &segment.prefixes, &segment.misfits)
    });
    let of_tunnels = names::unlaid_tunnels(written)
        .flat_map(|tunnel| each(TUNNEL, &tunnel.name, &tunnel.prefixes, &tunnel.misfits));
    let of_translations = names::unlaid_translations(written)
        .flat_map(|one| each(TRANSLATION, &one.name, &one.prefixes, &one.misfits));
    of_segments.chain(of_tunnels).chain(of_translations)
}

fn each<'w, N: Borrow<str>>(
    noun: &'static str,
    name: &'w At<N>,
    prefixes: &'w [At<IpNet>],
    misfits: &'w [At<IpNet>],
) -> impl Iterator<Item = Taken<'w>> {
    let taken = move |prefix: &'w At<IpNet>, misfit| Taken {
        prefix,
        noun,
        name: name.is.borrow(),
        misfit,
        usual: prefix.at == name.at,
    };
    let usable = prefixes.iter().map(move |prefix| taken(prefix, false));
    usable.chain(misfits.iter().map(move |prefix| taken(prefix, true)))
}

fn noun(segment: &Segment) -> &'static str {
    match segment.kind {
        SegmentKind::Tunnel => TUNNEL,
        SegmentKind::Translation => TRANSLATION,
        _ => SEGMENT,
    }
}

//! `vpn.qos-and-hoplimit`: what a tunnel does to the traffic class and to the hop limit of what it carries, and what it
//! shows of the class outside.

use std::collections::BTreeSet;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        reading::{self, Judge},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::SegmentName,
        probe::{Probe, Question},
        tap::{FrameNote, Tap, Watch},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct QosAndHopLimit;

/// Expedited forwarding (RFC 3246), and a transport that knows of congestion marks (ECT(0), RFC 3168).
const CLASS: u8 = 0xba;
/// What of it is the class, and not the mark (RFC 2474, RFC 3168).
const DSCP: u8 = 0xfc;
/// Packets: no more than a tap notes one by one.
const PACKETS: u16 = 8;
/// Octets of payload.
const SIZE: u16 = 200;
const LABEL: &str = "class and hop limit";

static TEXT: Text = Text {
    id: "vpn.qos-and-hoplimit",
    title: "Traffic class and hop limit through tunnels",
    section: "S3",
    use_case: UseCase::Policies,
    question: "Do packets keep their traffic class and their congestion marks through a tunnel, do they lose one hop at each \
               gateway, and does the tunnel show the class outside for both families or for none?",
    good: "Class and hop limit come through tunnels as across routers, equally in both families.",
    references: &["RFC 4301 section 5.1.2", "RFC 2983", "RFC 6040", "RFC 8200 section 3"],
    cases: &[
        Case {
            name: "class",
            finding: "{tunnel} changes the traffic class of {family} from {from} to {to}: {sent} goes in, and {seen} comes out.",
            expected: "{sent} on both sides.",
            observed: "{sent} inside, {seen} on {after}. {other}.",
            remedy: "Let the gateways leave the header of what they carry alone.",
        },
        Case {
            name: "hops",
            finding: "{tunnel} takes {taken} hops from {family} between {from} and {to}; {planned} routers are on the way.",
            expected: "One hop for each of {planned} routers.",
            observed: "Hop limit {first} on {before}, {last} on {after}. {other}.",
            remedy: "A gateway takes one hop from what it forwards, and its tunnel none: look for a second one that forwards.",
        },
        Case {
            name: "outside",
            finding: "{tunnel} hides the traffic class of {family} outside, and shows that of {other_family}.",
            expected: "{sent} outside for both families, or for none.",
            observed: "From {from} to {to}: {sent} inside, {seen} outside. {other}.",
            remedy: "Have the gateway copy the class for both families (RFC 4301 section 5.1.2), or for neither (RFC 2983).",
        },
    ],
};

impl Check for QosAndHopLimit {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        couples::of_stage(stage).iter().map(|couple| experiment(stage, couple)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let couples = couples::of_stage(stage);
        let found = couples.iter().map(|one| of_couple(judge, stage, seen, one, &couples));
        couples::judged(judge, stage, |_| true, found)
    }
}

fn probe(couple: &Couple) -> Probe {
    let to = couple.path.destination;
    ask::probe(
        couple.from(),
        Question::Stream { to, packets: PACKETS, size: SIZE, class: CLASS, opened: false },
    )
}

/// A tap on a link for what a host sends to the other.
fn tap(couple: &Couple, segment: &SegmentName) -> Tap {
    let watch = Watch::Packets {
        family: couple.inner(),
        source: Some(couple.path.source),
        destination: Some(couple.path.destination),
        port: None,
    };
    Tap { segment: segment.clone(), watch, label: LABEL.to_owned() }
}

/// A tap on the first link outside, for what carries it.
fn outside(couple: &Couple) -> Option<Tap> {
    let tap = couple.path.carried.as_deref()?.taps(couple.from()).into_iter().next()?;
    Some(Tap { label: couple.subject(), ..tap })
}

/// Alone: packets of others between the same hosts have classes of their own.
fn experiment(stage: &Stage, couple: &Couple) -> Experiment {
    let links = [couple.own_link(), couple.inside(stage), couple.far_link()];
    let mut taps: Vec<_> = links.map(|link| tap(couple, link)).into();
    taps.extend(outside(couple));
    let through = Some(couple.end.tunnel.clone());
    Experiment { taps, probes: vec![probe(couple)], alone: true, through, ..Experiment::default() }
}

/// What a tap noted; `None` if it cannot be trusted or has seen nothing.
fn notes<'s>(
    seen: &Seen<'s>,
    tap: &Tap,
    evidence: &mut Vec<EvidenceId>,
) -> Option<&'s [FrameNote]> {
    let (id, reading) = seen.reading(tap)?;
    evidence.push(id);
    (reading.alive_before && !reading.first.is_empty()).then_some(reading.first.as_slice())
}

fn classes(notes: &[FrameNote]) -> BTreeSet<u8> {
    notes.iter().filter_map(|note| note.class).collect()
}

fn words(classes: &BTreeSet<u8>) -> String {
    let all: Vec<_> = classes.iter().map(|class| format!("{class:#04x}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" and ") }
}

/// The code points with which the packets of a couple go in: a link before the tunnel may have written others.
fn went_in(stage: &Stage, seen: &Seen<'_>, couple: &Couple) -> BTreeSet<u8> {
    let inside = tap(couple, couple.inside(stage));
    let classes = notes(seen, &inside, &mut Vec::new()).map(classes).unwrap_or_default();
    classes.iter().map(|class| class & DSCP).filter(|code| *code != 0).collect()
}

/// Whether the tunnel shows the class of a couple outside; `None` if that was not seen, or there is none to show.
fn shows(
    stage: &Stage,
    seen: &Seen<'_>,
    couple: &Couple,
) -> Option<(EvidenceId, BTreeSet<u8>, bool)> {
    let codes = went_in(stage, seen, couple);
    let mut evidence = Vec::new();
    let classes = classes(notes(seen, &outside(couple)?, &mut evidence)?);
    // A handshake or a word to keep the tunnel awake has a class of its own: one packet with ours shows that it is shown.
    let shown = classes.iter().any(|class| codes.contains(&(class & DSCP)));
    (!codes.is_empty()).then_some((*evidence.first()?, classes, shown))
}

fn of_couple(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    couple: &Couple,
    all: &[Couple],
) -> Judgement {
    let subject = couple.subject();
    let Some((id, _)) = seen.answer(&probe(couple)) else {
        return judge.not_testable(subject, "nothing was sent", []);
    };
    let mut evidence = vec![id];
    let links = [couple.own_link(), couple.inside(stage), couple.far_link()];
    let [own, inside, far] = links.map(|link| notes(seen, &tap(couple, link), &mut evidence));
    let Some(own) = own else {
        return judge.not_testable(subject, "nothing was seen on the sender's link", evidence);
    };
    let (Some(inside), Some(far)) = (inside, far) else {
        let reason = "the packets did not come through the tunnel: see vpn.matrix";
        return judge.blocked(subject, reason, evidence);
    };
    let (went_in, came_out) = (classes(inside), classes(far));
    let complain = |case, seen_class: &BTreeSet<u8>, args| {
        complaint(stage, seen, couple, all, case, [words(&went_in), words(seen_class)], args)
    };
    if went_in != came_out {
        return judge.fail(subject, evidence, complain("class", &came_out, None));
    }
    let routers = couple.path.transit().len();
    if let Some(hops @ [first, last]) = hop_limits(own, far)
        && usize::from(first) != usize::from(last) + routers
    {
        return judge.fail(subject, evidence, complain("hops", &came_out, Some(hops)));
    }
    if went_in.iter().all(|class| class & DSCP == 0) {
        return judge.blocked(subject, "their class was gone before the tunnel", evidence);
    }
    let Some((id, classes, shown)) = shows(stage, seen, couple) else {
        return judge.not_testable(subject, "nothing was seen outside", evidence);
    };
    evidence.push(id);
    let twin = twin(couple, all).and_then(|twin| shows(stage, seen, twin));
    evidence.extend(twin.iter().map(|(id, ..)| *id));
    match twin {
        Some((.., true)) if !shown => {
            judge.fail(subject, evidence, complain("outside", &classes, None))
        }
        _ if shown => judge.absent(subject, "the class is shown outside", evidence),
        _ => judge.absent(subject, "the class is not shown outside", evidence),
    }
}

/// The lowest hop limit on the first link, and on the last.
fn hop_limits(own: &[FrameNote], far: &[FrameNote]) -> Option<[u8; 2]> {
    let least = |notes: &[FrameNote]| notes.iter().filter_map(|note| note.hop_limit).min();
    Some([least(own)?, least(far)?])
}

/// The same couple in the other family.
fn twin<'c>(couple: &Couple, all: &'c [Couple]) -> Option<&'c Couple> {
    all.iter().find(|twin| {
        twin.end.tunnel == couple.end.tunnel
            && twin.gateway == couple.gateway
            && twin.inner() == couple.inner().other()
    })
}

fn complaint(
    stage: &Stage,
    seen: &Seen<'_>,
    couple: &Couple,
    all: &[Couple],
    case: &str,
    [sent, seen_class]: [String; 2],
    hops: Option<[u8; 2]>,
) -> Complaint {
    let other: Family = couple.inner().other();
    let twin = twin(couple, all).and_then(|twin| shows(stage, seen, twin));
    let [first, last] = hops.unwrap_or_default();
    let args = [
        ("tunnel", couple.end.tunnel.to_string()),
        ("family", couple.inner().to_string()),
        ("other_family", other.to_string()),
        ("from", couple.from().to_string()),
        ("to", couple.path.destination.to_string()),
        ("sent", sent),
        ("seen", seen_class),
        ("before", couple.own_link().to_string()),
        ("after", couple.far_link().to_string()),
        ("first", first.to_string()),
        ("last", last.to_string()),
        ("taken", first.saturating_sub(last).to_string()),
        ("planned", couple.path.transit().len().to_string()),
        (
            "other",
            twin.map_or_else(
                || format!("{other} is not there to compare with"),
                |(_, classes, _)| format!("Outside, {other} has {}", words(&classes)),
            ),
        ),
    ];
    let scope = Scope { packets: Some(Packets::Marks), ..couple.scope() };
    // Outside, what is seen was sent by this gateway; between the two links, by either.
    let culprit = match case {
        "outside" => Culprit::node(&couple.gateway, format!("class of {} outside", couple.inner())),
        "class" => Culprit::segment(couple.inside(stage), format!("class of {}", couple.inner())),
        _ => Culprit::segment(couple.inside(stage), format!("hop limit of {}", couple.inner())),
    };
    Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, case, culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, complaints},
        model::{phase::Phase, verdict::Verdict},
    };

    /// What taps note is changed: they are told the link (`outside` for what carries), the family inside and the note.
    fn changed(phase: Phase, change: fn(&str, Family, &mut FrameNote)) -> Network {
        Network::tunnelled(phase).bend_tap(move |tap, reading| {
            let Watch::Packets { family, port, .. } = &tap.watch else { return };
            let carried = if tap.label.contains("IPv6 in") { Family::V6 } else { Family::V4 };
            let (link, family) = match port {
                Some(_) => ("outside", carried),
                None => (tap.segment.as_str(), *family),
            };
            for note in &mut reading.first {
                change(link, family, note);
            }
        })
    }

    #[test]
    fn a_tunnel_that_keeps_class_and_hops_is_silent() {
        for phase in Phase::ALL {
            let judgements = Network::tunnelled(phase).ask(&[&QosAndHopLimit]);
            assert!(judgements.iter().all(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
        }
    }

    #[test]
    fn a_class_that_is_shown_for_one_family_alone_is_found() {
        let hidden = changed(Phase::DualStack, |link, family, note| {
            if link == "outside" && family == Family::V6 {
                note.class = Some(0);
            }
        });
        let found = complaints(&QosAndHopLimit, &hidden);
        let wanted = |at: &str| ("outside".to_owned(), format!("{at} (class of IPv6 outside)"));
        assert_eq!(found, [wanted("gateway-a"), wanted("gateway-b")]);
    }

    #[test]
    fn a_class_that_is_shown_for_neither_is_silent() {
        let hidden = changed(Phase::DualStack, |link, _, note| {
            if link == "outside" {
                note.class = Some(0);
            }
        });
        assert_eq!(complaints(&QosAndHopLimit, &hidden), []);
    }

    #[test]
    fn a_class_that_does_not_come_out_and_hops_that_are_lost_are_found() {
        let cleared = changed(Phase::Ipv6Only, |link, _, note| {
            if link == "centre-lan" && note.hop_limit == Some(62) {
                note.class = Some(0);
            }
        });
        let found = complaints(&QosAndHopLimit, &cleared);
        assert_eq!(found, [("class".to_owned(), "office-to-centre (class of IPv6)".to_owned())]);
        let short = changed(Phase::Ipv4Only, |_, _, note| {
            note.hop_limit = note.hop_limit.map(|hops| if hops == 62 { 61 } else { hops });
        });
        let found = complaints(&QosAndHopLimit, &short);
        assert!(found.len() == 2 && found.iter().all(|(case, _)| case == "hops"), "{found:?}");
    }
}

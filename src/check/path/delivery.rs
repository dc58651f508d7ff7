//! Do packets arrive, once and in order, as often as the links of the plan promise? And do transfers survive the links
//! that are planned to be bad?

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, pages,
        reading::{Judge, carrier, complaint},
        stream::{self, Planned, Tally},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        impairment::Impairment,
        name::SegmentName,
        probe::Probe,
        segment::SegmentKind,
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// Sends streams along every way and pages across impaired links.
pub(super) struct Delivery;

/// Packets that may get lost on a busy machine without blame, in all rounds together.
const LENIENCY: f64 = 3.0;
/// So much longer than in the other family takes what is delayed, in microseconds there and back. Less is not felt, and where a
/// program carries the frames of a link, a busy machine was seen to delay every packet of one family by more than ten
/// milliseconds.
const DELAY_US: u64 = 40_000;
/// Octets of a page that counts as bulk, where no link is too slow for it.
const BULK: u32 = 64 << 10;

const TEXT: Text = Text {
    id: "path.loss-reorder-dup",
    title: "Packets arrive as the links promise",
    section: "S3",
    use_case: UseCase::InsideToOutside,
    question: "Are packets of both families lost, repeated or overtaken only as often as planned, does one family take as long as \
               the other, and do transfers survive that?",
    good: "Packets arrive as often, as singly and as much in order as the links promise, in both families.",
    references: &["RFC 8504 section 5", "RFC 9293 section 3.8", "RFC 4737"],
    cases: &[
        Case {
            name: "lost",
            finding: "{family} packets between {from} and {to} get lost {at}: {lost} of {sent}.",
            expected: "About {planned} of {sent} lost, as the links of the plan promise.",
            observed: "{lost} of {sent} were not answered. {proof} {other}",
            remedy: "Look for errors, a full queue or a policer {at}; if only one family suffers, for a rule or a path that the other one does not take.",
        },
        Case {
            name: "repeated",
            finding: "{family} packets between {from} and {to} arrive more than once {at}: {repeated} of {sent}.",
            expected: "About {planned} of {sent} repeated, as the links of the plan promise.",
            observed: "{repeated} replies came twice. {proof} {other}",
            remedy: "Look for a loop or a mirror port {at}.",
        },
        Case {
            name: "overtaken",
            finding: "{family} packets between {from} and {to} overtake each other {at}: {late} of {sent}.",
            expected: "About {planned} of {sent} overtaken, as the links of the plan promise.",
            observed: "{late} replies came after those to later requests. {proof} {other}",
            remedy: "Look for packets of one flow that are spread over several links {at}; for IPv6 also at the flow label that the spreading goes by (RFC 6438).",
        },
        Case {
            name: "delayed",
            finding: "{family} packets between {from} and {to} are delayed {at}: the fastest takes {fastest} ms there and back, and \
                      {other_fastest} ms over {other_family}.",
            expected: "About the same time over both families.",
            observed: "Of {sent} packets, the fastest took {fastest} ms. {proof} {other}",
            remedy: "Compare what the packets of each family pass {at}: queues, policers, and the way that they take.",
        },
        Case {
            name: "transfer",
            finding: "A page of {octets} octets does not get from {to} to {from} over {family}, across links that are planned to be bad: {observed}.",
            expected: "The whole page: TCP sends again what was lost.",
            observed: "{observed}. {other}",
            remedy: "Compare the transport settings of both ends in both families: retransmission, the MSS of each, and what a filter drops as out of state.",
        },
    ],
};

impl Check for Delivery {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let pages = transfers(stage).into_iter().map(|transfer| transfer.probe);
        vec![stream::ask_all(stage), Experiment::of_probes(pages)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let ask = |way: Path| {
            let planned = Planned::on_way(stage, &way);
            let tally = stream::of_way(seen, &way).ok()?;
            if tally.answered == 0 {
                return Some(stream::ask_way_again(&way));
            }
            if trouble(&tally, planned, 0.0).is_some() {
                return Some(stream::ask_again(stage, &way));
            }
            let twin = stream::twin(stage, &way)?;
            let rounds = stream::rounds(seen, [&way, &twin]);
            delay(&rounds).map(|_| stream::ask_in_turns(stage, &way, &twin))
        };
        stream::ways(stage).into_iter().filter_map(ask).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let ways = stream::ways(stage);
        let mut found: Vec<_> = ways.iter().map(|way| judge(stage, seen, way)).collect();
        let transfers = transfers(stage);
        found.extend(transfers.iter().map(|transfer| transfer.judge(stage, seen, &transfers)));
        Judge(&TEXT).or_not_applicable(found, "no way leads through a router")
    }
}

/// What happened to some packets, and to which share of them it may.
struct Mishap {
    case: &'static str,
    packets: f64,
    planned: f64,
}

/// The worst first.
fn mishaps(tally: &Tally, planned: Planned) -> [Mishap; 3] {
    let mishap = |case, packets: u32, planned| Mishap { case, packets: packets.into(), planned };
    [
        mishap("lost", tally.lost(), planned.loss),
        mishap("repeated", tally.duplicates, planned.duplicates),
        mishap(OVERTAKEN, tally.late, planned.late.min(1.0)),
    ]
}

const OVERTAKEN: &str = "overtaken";

/// What is worse than planned.
fn trouble(tally: &Tally, planned: Planned, leniency: f64) -> Option<&'static str> {
    let sent = f64::from(tally.sent);
    let most = |share: f64| stream::most(sent, share) + leniency;
    // Packets that a node of several processors takes in at once may change places there.
    let swapped = if leniency > 0.0 { sent / 10.0 } else { sent / 5.0 };
    let is_too_often = |mishap: &Mishap| {
        let swapped = if mishap.case == OVERTAKEN { swapped } else { 0.0 };
        mishap.packets > most(mishap.planned) + swapped
    };
    mishaps(tally, planned).into_iter().find(is_too_often).map(|mishap| mishap.case)
}

/// Whether a trouble is more often than planned whenever the way is asked again: what a link does, it does in every round, and
/// a busy machine or a search for the next hop spoils one.
fn lasts(case: &str, rounds: &[Tally], planned: Planned) -> bool {
    let shows = |round: &Tally| {
        let sent = f64::from(round.sent);
        let swapped = if case == OVERTAKEN { sent / 10.0 } else { 0.0 };
        let mut mishaps = mishaps(round, planned).into_iter();
        mishaps.any(|m| m.case == case && m.packets > sent * m.planned + swapped)
    };
    rounds.iter().all(shows)
}

/// The fastest packet there and back of a family and of the other, in microseconds.
type Pair = [u64; 2];

/// The fastest of both tallies, if the first takes clearly longer.
fn later([own, other]: &[Tally; 2]) -> Option<Pair> {
    let pair = [own.fastest_us?, other.fastest_us?];
    (pair[0] > pair[1] + DELAY_US).then_some(pair)
}

/// How much longer a way takes than that of the same links in the other family, in the round that tells them apart least;
/// `None` if there is a round in which it does not.
fn delay(rounds: &[[Tally; 2]]) -> Option<Pair> {
    let pairs: Option<Vec<Pair>> = rounds.iter().map(later).collect();
    pairs?.into_iter().min_by_key(|[own, other]| own - other)
}

/// The same, if it was asked in turns: only that tells a delay from a busy moment.
fn lasting_delay(stage: &Stage, seen: &Seen<'_>, way: &Path) -> Option<Pair> {
    let twin = stream::twin(stage, way)?;
    let rounds = stream::rounds(seen, [way, &twin]);
    delay(&rounds).filter(|_| rounds.len() > 1)
}

/// The first link of a way that takes longer than in the other family also by itself, and what that rests on.
fn delaying_link(
    stage: &Stage,
    seen: &Seen<'_>,
    way: &Path,
) -> Option<(SegmentName, Vec<EvidenceId>)> {
    let twin = stream::twin(stage, way)?;
    stream::links_of_both(stage, way, &twin).into_iter().find_map(|(segment, [own, other])| {
        let tallies = [stream::of_link(seen, &own)?, stream::of_link(seen, &other)?];
        later(&tallies)?;
        Some((segment, tallies.into_iter().flat_map(|tally| tally.evidence).collect()))
    })
}

fn judge(stage: &Stage, seen: &Seen<'_>, way: &Path) -> Judgement {
    let judge = Judge(&TEXT);
    let subject = stream::subject(way);
    let tally = match stream::of_way(seen, way) {
        Ok(tally) => tally,
        Err(reason) => return judge.not_testable(subject, reason, []),
    };
    if tally.answered == 0 {
        return judge.blocked(subject, "not one packet was answered", tally.evidence);
    }
    let rounds = stream::repetitions(seen, way);
    // A link that loses packets loses some of them.
    if !rounds.is_empty() && rounds.iter().all(|round| round.answered == 0) {
        let reason = "packets were answered at first, and not one when the way was asked again: it is down since then";
        return judge.blocked(subject, reason, tally.evidence);
    }
    let planned = Planned::on_way(stage, way);
    let late = lasting_delay(stage, seen, way);
    let trouble_of_all = trouble(&tally, planned, LENIENCY);
    let lasting = trouble_of_all.filter(|case| lasts(case, &rounds, planned));
    let Some(case) = lasting.or(late.map(|_| "delayed")) else {
        let Some(case) = trouble_of_all else {
            return judge.pass(subject, tally.evidence);
        };
        let reason =
            format!("{}; packets are {case} in one round and not in another", words(&tally));
        return judge.info(subject, reason, tally.evidence);
    };
    let mut evidence = tally.evidence.clone();
    let twin = stream::twin(stage, way).map(|twin| (twin.family(), stream::of_way(seen, &twin)));
    let other = match twin {
        Some((family, Ok(twin))) => {
            evidence.extend(&twin.evidence);
            format!("Over {family}: {}.", words(&twin))
        }
        _ => format!("There is no {} to compare with.", way.family().other()),
    };
    let complaining = Complaining { stage, way, case, tally: &tally, planned, other, late };
    if case == "delayed" {
        let Some((segment, links)) = delaying_link(stage, seen, way) else {
            let [own, other] = late.unwrap_or_default().map(millis);
            let reason = format!(
                "{own} ms there and back, {other} ms in the other family; no link does it alone"
            );
            return judge.info(subject, reason, evidence);
        };
        evidence.extend(links);
        let complaint = complaining.of(Some((&segment, false)));
        return judge.fail(subject, evidence, complaint);
    }
    let alone = stream::troubled_links(stage, seen, |way, segment, tally| {
        trouble(tally, Planned::on_link(stage, way, segment), LENIENCY) == Some(case)
    });
    let place = way.segments.iter().find_map(|segment| {
        let (families, evidence) = alone.get(segment)?;
        families.contains(&way.family()).then_some((segment, families, evidence))
    });
    evidence.extend(place.iter().flat_map(|(_, _, evidence)| evidence.iter().copied()));
    let complaint = complaining
        .of(place.map(|(segment, families, _)| (segment, families.len() == Family::ALL.len())));
    judge.fail(subject, evidence, complaint)
}

fn words(tally: &Tally) -> String {
    let Tally { sent, duplicates, late, .. } = tally;
    format!("{} of {sent} lost, {duplicates} repeated, {late} overtaken", tally.lost())
}

fn millis(us: u64) -> String {
    format!("{}.{}", us / 1_000, us % 1_000 / 100)
}

/// What is complained of, once the place is known or not.
struct Complaining<'c> {
    stage: &'c Stage,
    way: &'c Path,
    case: &'static str,
    tally: &'c Tally,
    planned: Planned,
    other: String,
    late: Option<Pair>,
}

impl Complaining<'_> {
    /// `place` is the link that does it alone, and whether it does so in both families.
    fn of(self, place: Option<(&SegmentName, bool)>) -> Complaint {
        let Self { stage, way, case, tally, planned, other, late } = self;
        let family = way.family();
        let (share, noun) = match case {
            "lost" => (planned.loss, "loss"),
            "repeated" => (planned.duplicates, "repetition"),
            "delayed" => (0.0, "delay"),
            _ => (planned.late, "order"),
        };
        let (culprit, scope, at, proof) = if let Some((segment, in_both)) = place {
            let part = if in_both {
                format!("{noun} of packets")
            } else {
                format!("{noun} of {family} packets")
            };
            let scope = Scope {
                family: (!in_both).then_some(family),
                segments: vec![segment.clone()],
                carried: carrier(way),
                ..Scope::default()
            };
            let proof = format!("It is the same on {segment} alone, between its two ends.");
            (Culprit::segment(segment, part), scope, format!("on {segment}"), proof)
        } else {
            let (from, to) = (&way.nodes[0], way.nodes.last());
            let part = format!("{noun} of {family} packets from {from} to {}", way.destination);
            let scope = Scope {
                family: Some(family),
                from: Some(from.clone()),
                to: to.cloned(),
                address: Some(way.destination),
                nodes: way.nodes.clone(),
                segments: way.segments.clone(),
                carried: carrier(way),
                ..Scope::default()
            };
            let culprit = Culprit { node: None, segment: None, part };
            let proof = "No link of the way does it alone.".to_owned();
            (culprit, scope, "somewhere on the way".to_owned(), proof)
        };
        // What comes late has arrived: it explains what takes long, and nothing else.
        let scope = Scope { packets: (case == "delayed").then_some(Packets::Pace), ..scope };
        let [fastest, other_fastest] = late.unwrap_or_default().map(millis);
        let args = [
            ("family", family.to_string()),
            ("other_family", family.other().to_string()),
            ("fastest", fastest),
            ("other_fastest", other_fastest),
            ("from", way.nodes[0].to_string()),
            ("to", way.destination.to_string()),
            ("at", at),
            ("sent", tally.sent.to_string()),
            ("lost", tally.lost().to_string()),
            ("repeated", tally.duplicates.to_string()),
            ("late", tally.late.to_string()),
            ("planned", format!("{:.0}", f64::from(tally.sent) * share)),
            ("proof", proof),
            ("other", other),
        ];
        Complaint {
            severity: if case == "lost" { Severity::Major } else { Severity::Minor },
            confidence: if place.is_some() { Confidence::High } else { Confidence::Medium },
            depth: match place {
                // A tunnel suffers what its carrier suffers.
                Some((segment, _))
                    if stage.testbed.segments[segment].kind == SegmentKind::Tunnel =>
                {
                    Depth::Located
                }
                // The link itself is not as planned: much that is asked across it fails now and then.
                Some(_) => Depth::Foundation,
                None => Depth::Symptom,
            },
            ..complaint(stage, case, culprit, scope, args)
        }
    }
}

/// A large page across links that are planned to be bad.
struct Transfer {
    subject: String,
    path: Path,
    octets: u32,
    probe: Probe,
}

fn impairments<'s>(stage: &'s Stage, path: &'s Path) -> impl Iterator<Item = Impairment> + 's {
    path.segments.iter().map(|segment| stage.testbed.segments[segment].impairment)
}

fn transfers(stage: &Stage) -> Vec<Transfer> {
    let mut found = Vec::new();
    for site in pages::sites(stage) {
        for path in site.ways.iter().filter(|path| impairments(stage, path).any(|i| !i.is_none())) {
            let octets = pages::most_over(stage, path).min(BULK);
            let page = format!("{}?size={octets}", site.service.path);
            let probe = ask::fetch(&site.user, site.service, path.destination, &page);
            let subject = format!("{}/{}", site.subject(), path.destination);
            found.push(Transfer { subject, path: path.clone(), octets, probe });
        }
    }
    found
}

impl Transfer {
    fn judge(&self, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        let judge = Judge(&TEXT);
        let Some((id, answer)) = seen.answer(&self.probe) else {
            return judge.not_testable(&self.subject, "the page was not asked for", []);
        };
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(&self.subject, reason, [id]);
        }
        if self.is_whole(answer) {
            return judge.pass(&self.subject, [id]);
        }
        let same = |other: &&Self| {
            other.path.segments == self.path.segments && other.path.family() != self.path.family()
        };
        let twin = all.iter().find(same);
        let came = twin.and_then(|twin| Some(twin.is_whole(seen.answer(&twin.probe)?.1)));
        let family = self.path.family();
        let other = match came {
            Some(true) => format!("Over {} it came whole.", family.other()),
            Some(false) => format!("Nor did it come over {}.", family.other()),
            None => format!("There is no {} to compare with.", family.other()),
        };
        let to = self.path.nodes.last().expect("a path has ends");
        let scope = Scope {
            family: Some(family),
            from: Some(self.probe.from.clone()),
            to: Some(to.clone()),
            address: Some(self.path.destination),
            nodes: self.path.nodes.clone(),
            segments: self.path.segments.clone(),
            carried: carrier(&self.path),
            ..Scope::default()
        };
        let args = [
            ("family", family.to_string()),
            ("from", self.probe.from.to_string()),
            ("to", self.path.destination.to_string()),
            ("octets", self.octets.to_string()),
            ("observed", crate::check::reading::describe(answer)),
            ("other", other),
        ];
        let culprit = Culprit::node(to, format!("transfers over {family}"));
        judge.fail(&self.subject, [id], complaint(stage, "transfer", culprit, scope, args))
    }

    fn is_whole(&self, answer: &Answer) -> bool {
        matches!(answer, Answer::Page { page: Some(page), .. } if page.octets >= u64::from(self.octets))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, assert_silent_when_healthy, complaints},
        model::{impairment::Share, phase::Phase, probe::Question},
        stage::Stage,
    };

    #[test]
    fn a_network_that_delivers_is_silent() {
        assert_silent_when_healthy(&Delivery);
    }

    /// A link between visitor and router that bends streams of some families.
    fn bad_uplink(
        network: Network,
        families: &'static [Family],
        bend: fn(&mut u16, &mut u16, &mut u16),
    ) -> Network {
        network.bend(move |probe, answer| {
            let Question::Stream { to, .. } = probe.question else { return };
            let to_it =
                ["198.51.100.", "2001:db8:f::"].iter().any(|net| to.to_string().starts_with(net));
            let crosses = ["visitor", "public-dns"].contains(&probe.from.as_str()) || to_it;
            if let Answer::Stream { answered, duplicates, late, .. } = answer
                && crosses
                && families.contains(&Family::of(to))
            {
                bend(answered, duplicates, late);
            }
        })
    }

    fn found(network: &Network) -> Vec<(String, String)> {
        let mut found = complaints(&Delivery, network);
        found.sort();
        found.dedup();
        found
    }

    #[test]
    fn a_link_that_loses_one_family_is_named_with_it() {
        let dual = || Network::healthy(Phase::DualStack);
        let tenth: fn(&mut u16, &mut u16, &mut u16) = |answered, _, _| *answered -= *answered / 10;
        let one = |culprit: &str| vec![("lost".to_owned(), culprit.to_owned())];
        assert_eq!(
            found(&bad_uplink(dual(), &[Family::V6], tenth)),
            one("internet (loss of IPv6 packets)")
        );
        assert_eq!(
            found(&bad_uplink(dual(), &Family::ALL, tenth)),
            one("internet (loss of packets)")
        );
    }

    #[test]
    fn repetition_and_disorder_are_told_apart() {
        let dual = || Network::healthy(Phase::DualStack);
        let twice: fn(&mut u16, &mut u16, &mut u16) = |answered, twice, _| *twice = *answered / 4;
        let late: fn(&mut u16, &mut u16, &mut u16) = |answered, _, late| *late = *answered / 2;
        let case = |network| found(&network)[0].0.clone();
        assert_eq!(case(bad_uplink(dual(), &[Family::V6], twice)), "repeated");
        assert_eq!(case(bad_uplink(dual(), &[Family::V4], late)), "overtaken");
    }

    /// Streams over IPv6 that cross the link between visitor and router take so long, in milliseconds, in some rounds.
    fn slow_uplink(ms: u64, rounds: &'static [u8]) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            let Question::Stream { to, .. } = probe.question else { return };
            let crosses = ["visitor", "public-dns"].contains(&probe.from.as_str())
                || to.to_string().starts_with("2001:db8:f::");
            if let Answer::Stream { fastest_us, .. } = answer
                && crosses
                && to.is_ipv6()
                && rounds.contains(&probe.round)
            {
                *fastest_us = Some(ms * 1_000);
            }
        })
    }

    #[test]
    fn a_link_that_delays_one_family_is_named_and_a_moment_is_nothing() {
        let wanted = ("delayed".to_owned(), "internet (delay of IPv6 packets)".to_owned());
        assert_eq!(found(&slow_uplink(80, &[0, 1, 2])), [wanted]);
        assert_eq!(found(&slow_uplink(80, &[0])), [], "once");
        assert_eq!(found(&slow_uplink(80, &[0, 1])), [], "a busy moment in one of the turns");
        assert_eq!(found(&slow_uplink(4, &[0, 1, 2])), [], "nobody feels that");
    }

    #[test]
    fn what_one_round_alone_loses_is_told_and_is_no_fault() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            if let Answer::Stream { answered, .. } = answer
                && probe.round < 2
            {
                *answered = 0;
            }
        });
        assert_eq!(found(&network), []);
        let judged = network.ask(&[&Delivery]);
        let told = judged.iter().filter(|j| j.reason.contains("in one round and not in another"));
        assert!(told.count() > 0);
    }

    #[test]
    fn a_way_that_has_gone_down_since_loses_nothing() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            if let (Question::Stream { to, .. }, Answer::Stream { answered, .. }) =
                (&probe.question, answer)
                && to.is_ipv6()
            {
                *answered = if probe.round == 0 { *answered / 2 } else { 0 };
            }
        });
        assert_eq!(found(&network), []);
        let judged = network.ask(&[&Delivery]);
        assert!(judged.iter().any(|j| j.reason.contains("it is down since then")), "{judged:?}");
    }

    #[test]
    fn what_is_lost_once_or_as_planned_is_no_fault() {
        let two: fn(&mut u16, &mut u16, &mut u16) = |answered, _, _| {
            if *answered == 24 {
                *answered -= 2;
            }
        };
        assert_eq!(found(&bad_uplink(Network::healthy(Phase::DualStack), &Family::ALL, two)), []);
        let tenth: fn(&mut u16, &mut u16, &mut u16) = |answered, _, _| *answered -= *answered / 10;
        let mut testbed = (*crate::check::fixture::testbed()).clone();
        let uplink = testbed.segments.get_mut("internet").unwrap();
        uplink.impairment = Impairment { loss: Share(500), ..Impairment::default() };
        let planned = Network::of(Stage::new(&testbed.into(), Phase::DualStack));
        assert_eq!(found(&bad_uplink(planned, &Family::ALL, tenth)), []);
    }
}

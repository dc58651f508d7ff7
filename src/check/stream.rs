//! Streams: many packets along a way at once, with a traffic class. What becomes of them is asked once, for all checks that
//! look at loss, order and marks; where something is wrong, every link of the way is asked by itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{ask, crossing, reading::REPETITIONS, translated};
use crate::{
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        impairment::{Impairment, Share},
        name::SegmentName,
        probe::{Probe, Question},
    },
    stage::{Path, Stage},
};

/// Expedited forwarding (RFC 3246): a class that networks treat on purpose.
pub const CLASS: u8 = 0xb8;
/// Octets of payload.
const SIZE: u16 = 200;
/// Packets at first, and in each repetition: no more than a socket has room for, should each reply come twice.
const FIRST: u16 = 24;
const AGAIN: u16 = 100;

/// One way for every sequence of links, in one direction: replies take the other.
pub fn ways(stage: &Stage) -> Vec<Path> {
    let all = stage.phase.permits().iter().flat_map(|family| crossing::ways(stage, family));
    let all = all.chain(behind_translators(stage));
    let mut known = BTreeSet::new();
    all.filter(|way| {
        let back: Vec<_> = way.segments.iter().rev().cloned().collect();
        let is_new = !known.contains(&(way.family(), back));
        known.insert((way.family(), way.segments.clone()));
        is_new
    })
    .collect()
}

/// The ways that translated packets take: of a family that the phase may have nowhere else.
fn behind_translators(stage: &Stage) -> impl Iterator<Item = Path> {
    let uses = translated::uses(stage).into_iter();
    uses.filter_map(|one| stage.path(&one.translation.gateway, one.host.into()).ok())
}

/// `visitor -> portal ipv6`.
pub fn subject(way: &Path) -> String {
    let (from, to) = (&way.nodes[0], way.nodes.last().expect("a path has ends"));
    format!("{from} -> {to} {}", way.family().word())
}

fn probe(way: &Path, round: u8) -> Probe {
    let packets = if round == 0 { FIRST } else { AGAIN };
    let question =
        Question::Stream { to: way.destination, packets, size: SIZE, class: CLASS, opened: true };
    Probe { round, ..ask::probe(&way.nodes[0], question) }
}

/// The first stream of every way.
pub fn ask_all(stage: &Stage) -> Experiment {
    Experiment::of_probes(ways(stage).iter().map(|way| probe(way, 0)))
}

/// A way asked again, and each of its links alone: from the node before it to the node behind it. One after another, so
/// that streams do not crowd each other out on a slow link.
pub fn ask_again(stage: &Stage, way: &Path) -> Experiment {
    let links = links(stage, way).into_iter().map(|(_, probe)| probe);
    Experiment { in_order: true, ..Experiment::of_probes(repeated(way).chain(links)) }
}

/// A way asked again, and no link of it: one on which nothing was answered at all may be in order, and its next hop not yet
/// found.
pub fn ask_way_again(way: &Path) -> Experiment {
    Experiment { in_order: true, ..Experiment::of_probes(repeated(way)) }
}

/// A way asked again in both families, and each of its links alone, where it is about time: turn by turn, so that a busy
/// moment meets both families, and while nothing else is asked.
pub fn ask_in_turns(stage: &Stage, way: &Path, twin: &Path) -> Experiment {
    let rounds = repeated(way).zip(repeated(twin)).flat_map(<[Probe; 2]>::from);
    let links = links_of_both(stage, way, twin).into_iter().flat_map(|(_, both)| both);
    Experiment { in_order: true, alone: true, ..Experiment::of_probes(rounds.chain(links)) }
}

fn repeated(way: &Path) -> impl Iterator<Item = Probe> {
    (1..=REPETITIONS).map(|round| probe(way, round))
}

/// The links of a way with the stream that crosses each alone.
pub fn links(stage: &Stage, way: &Path) -> Vec<(SegmentName, Probe)> {
    let across = |(at, segment): (usize, &SegmentName)| {
        let far = &stage.nodes[&way.nodes[at + 1]];
        let on = far.interfaces.iter().find(|interface| interface.segment == *segment)?;
        let address = on.addresses.iter().find(|a| a.family() == way.family())?;
        let question = Question::Stream {
            to: address.ip(),
            packets: AGAIN,
            size: SIZE,
            class: CLASS,
            opened: true,
        };
        Some((segment.clone(), ask::probe(&way.nodes[at], question)))
    };
    way.segments.iter().enumerate().filter_map(across).collect()
}

/// The links that a way shares with its twin, with the streams that cross each alone in both families.
pub fn links_of_both(stage: &Stage, way: &Path, twin: &Path) -> Vec<(SegmentName, [Probe; 2])> {
    let others: BTreeMap<_, _> = links(stage, twin).into_iter().collect();
    let own = links(stage, way).into_iter();
    own.filter_map(|(segment, own)| {
        let other = others.get(&segment)?.clone();
        Some((segment, [own, other]))
    })
    .collect()
}

/// What became of streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What it rests on.
    pub evidence: Vec<EvidenceId>,
    /// Packets that left.
    pub sent: u32,
    /// Packets that were answered.
    pub answered: u32,
    /// Replies that came twice.
    pub duplicates: u32,
    /// Replies that others overtook.
    pub late: u32,
    /// The classes of the replies.
    pub classes: BTreeSet<u8>,
    /// Microseconds of the fastest request there and back.
    pub fastest_us: Option<u64>,
}

impl Tally {
    /// Packets that were not answered.
    pub fn lost(&self) -> u32 {
        self.sent - self.answered.min(self.sent)
    }

    fn add(&mut self, id: EvidenceId, answer: &Answer) -> Result<(), String> {
        let Answer::Stream { sent, answered, duplicates, late, classes, fastest_us, .. } = answer
        else {
            return Err(answer.not_asked().unwrap_or("the answer is of another kind").to_owned());
        };
        self.evidence.push(id);
        self.sent += u32::from(*sent);
        self.answered += u32::from(*answered);
        self.duplicates += u32::from(*duplicates);
        self.late += u32::from(*late);
        self.classes.extend(classes);
        self.fastest_us = self.fastest_us.into_iter().chain(*fastest_us).min();
        Ok(())
    }
}

/// What became of all streams along a way; an error says why nothing is known.
pub fn of_way(seen: &Seen<'_>, way: &Path) -> Result<Tally, String> {
    let rounds = (0..=REPETITIONS).map(|round| probe(way, round));
    sum(seen, rounds).ok_or_else(|| "no stream was sent".to_owned())?
}

/// What became of each stream by which a way was asked again.
pub fn repetitions(seen: &Seen<'_>, way: &Path) -> Vec<Tally> {
    (1..=REPETITIONS).filter_map(|round| sum(seen, [probe(way, round)])?.ok()).collect()
}

/// What became of the streams along two ways, round by round, of those that were sent along both.
pub fn rounds(seen: &Seen<'_>, ways: [&Path; 2]) -> Vec<[Tally; 2]> {
    let of = |way, round| sum(seen, [probe(way, round)])?.ok();
    let [own, other] = ways;
    (0..=REPETITIONS).filter_map(|round| Some([of(own, round)?, of(other, round)?])).collect()
}

/// What became of the stream across one link alone; `None` if there was none.
pub fn of_link(seen: &Seen<'_>, probe: &Probe) -> Option<Tally> {
    sum(seen, [probe.clone()])?.ok()
}

fn sum(seen: &Seen<'_>, probes: impl IntoIterator<Item = Probe>) -> Option<Result<Tally, String>> {
    let mut tally = Tally::default();
    let mut asked = false;
    for probe in probes {
        let Some((id, answer)) = seen.answer(&probe) else { continue };
        asked = true;
        if let Err(reason) = tally.add(id, answer) {
            return Some(Err(reason));
        }
    }
    asked.then_some(Ok(tally))
}

/// The way of the same links in the other family.
pub fn twin(stage: &Stage, way: &Path) -> Option<Path> {
    let back: Vec<_> = way.segments.iter().rev().cloned().collect();
    let other = way.family().other();
    ways(stage)
        .into_iter()
        .find(|twin| twin.family() == other && [&way.segments, &back].contains(&&twin.segments))
}

/// What the plan says that links do to packets there and back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Planned {
    /// The share of packets that are not answered.
    pub loss: f64,
    /// The share of replies that come twice.
    pub duplicates: f64,
    /// The share of replies that others overtake.
    pub late: f64,
}

impl Planned {
    /// On a way, and on that of what carries it.
    pub fn on_way(stage: &Stage, way: &Path) -> Self {
        Self::on(stage, links_of(way))
    }

    /// On one link of a way alone: the inside of a tunnel is as good as what carries it.
    pub fn on_link(stage: &Stage, way: &Path, segment: &SegmentName) -> Self {
        let carriage = way.carried.as_deref().filter(|carriage| carriage.inside == *segment);
        let outside = carriage.into_iter().flat_map(|carriage| links_of(&carriage.way));
        Self::on(stage, std::iter::once(segment).chain(outside))
    }

    /// Whether so many packets may get lost without blame.
    pub fn may_lose(&self, sent: u32, lost: u32) -> bool {
        f64::from(lost) <= most(f64::from(sent), self.loss)
    }

    /// On some links.
    fn on<'s>(stage: &Stage, segments: impl IntoIterator<Item = &'s SegmentName>) -> Self {
        let of = |segment: &SegmentName| stage.testbed.segments[segment].impairment;
        let all: Vec<Impairment> = segments.into_iter().map(of).collect();
        let hit = |share: fn(&Impairment) -> Share| {
            1.0 - all.iter().map(|i| (1.0 - share(i).part()).powi(2)).product::<f64>()
        };
        Self {
            loss: hit(|i| i.loss),
            duplicates: hit(|i| i.duplicate),
            late: hit(|i| i.reorder) + hit(|i| i.duplicate),
        }
    }
}

/// How many of some packets may meet what a share of them is planned to: four standard deviations more, which happens once in
/// thirty thousand.
pub fn most(sent: f64, share: f64) -> f64 {
    sent * share + 4.0 * (sent * share * (1.0 - share)).sqrt()
}

fn links_of(way: &Path) -> Vec<&SegmentName> {
    let carriage = way.carried.as_deref().map(|carriage| links_of(&carriage.way));
    way.segments.iter().chain(carriage.into_iter().flatten()).collect()
}

/// The families in which something is wrong on a link alone, by link, among the links of some ways.
pub fn troubled_links(
    stage: &Stage,
    seen: &Seen<'_>,
    is_wrong: impl Fn(&Path, &SegmentName, &Tally) -> bool,
) -> BTreeMap<SegmentName, (BTreeSet<Family>, Vec<EvidenceId>)> {
    let mut found = BTreeMap::<_, (BTreeSet<Family>, Vec<EvidenceId>)>::new();
    for way in ways(stage) {
        for (segment, probe) in links(stage, &way) {
            let Some(tally) = of_link(seen, &probe).filter(|tally| is_wrong(&way, &segment, tally))
            else {
                continue;
            };
            let (families, evidence) = found.entry(segment).or_default();
            families.insert(way.family());
            evidence.extend(tally.evidence);
        }
    }
    found
}

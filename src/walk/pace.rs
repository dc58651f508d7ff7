//! Pace: how soon questions follow each other where a link is planned to be slow. What all of them together would put on it
//! is more than it carries in the time that a question waits, and what then got lost would be no fault of the testbed: a
//! question begins when those before it have had their time on every slow link that it takes.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    model::{
        impairment::Rate,
        name::{NodeName, SegmentName},
        probe::{Call, Hello, Probe, Provocation, Question},
        segment::Segment,
        service::Transport,
    },
    stage::Stage,
};

/// How many times its own time on a slow link a question gets there: the rest is for what nodes say of themselves, what a
/// tunnel adds, and what is sent twice.
const SHARE: u32 = 2;
/// Octets of others that may be before a packet in the queue of a slow link.
const BEFORE: u32 = 8 << 10;

/// The slow links of a stage, and when each is free for the next question.
pub(super) struct Pace<'s> {
    stage: &'s Stage,
    slow: BTreeMap<&'s SegmentName, Rate>,
    free: Mutex<BTreeMap<&'s SegmentName, Instant>>,
}

/// The place of a question in the order of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// When it begins; at once where it takes no slow link.
    pub(super) begins: Option<Instant>,
    /// How much longer than otherwise it waits for its answer.
    pub(super) longer: Duration,
}

impl<'s> Pace<'s> {
    pub(super) fn new(stage: &'s Stage) -> Self {
        let rate = |segment: &'s Segment| Some((&segment.name, segment.impairment.rate?));
        let slow = stage.testbed.segments.values().filter_map(rate).collect();
        Self { stage, slow, free: Mutex::default() }
    }

    /// Takes a place for a question on every slow link of its way.
    pub(super) fn take(&self, probe: &Probe, now: Instant) -> Turn {
        if self.slow.is_empty() {
            return Turn { begins: None, longer: Duration::ZERO };
        }
        let octets = octets(&probe.question);
        let taken = if octets == 0 { Vec::new() } else { self.taken(probe) };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = taken.iter().filter_map(|(link, _)| free.get(link)).max().copied();
        let begins = begins.filter(|begins| *begins > now);
        for (link, rate) in &taken {
            free.insert(*link, begins.unwrap_or(now) + time(octets, *rate) * SHARE);
        }
        let longer =
            taken.iter().map(|(_, rate)| time(octets.saturating_add(BEFORE), *rate) * 2).sum();
        Turn { begins, longer }
    }

    /// How long the slow links hold up a packet and those before it, one after another.
    pub(super) fn holds_up(&self) -> Duration {
        self.slow.values().map(|rate| time(BEFORE, *rate)).sum()
    }

    /// The slow links that a question takes: those of its way, and all of them where others are asked in turn or its way is
    /// not known.
    fn taken(&self, probe: &Probe) -> Vec<(&'s SegmentName, Rate)> {
        let on_way = match reach(&probe.question) {
            Reach::Link => self.links_of(&probe.from),
            Reach::Way(to) => match self.stage.path(&probe.from, to) {
                Ok(path) => path.crossed().cloned().collect::<BTreeSet<_>>(),
                Err(_) => return self.all(),
            },
            Reach::Beyond => return self.all(),
        };
        self.all().into_iter().filter(|(link, _)| on_way.contains(*link)).collect()
    }

    fn all(&self) -> Vec<(&'s SegmentName, Rate)> {
        self.slow.iter().map(|(link, rate)| (*link, *rate)).collect()
    }

    fn links_of(&self, node: &NodeName) -> BTreeSet<SegmentName> {
        let interfaces = self.stage.nodes.get(node).into_iter().flat_map(|node| &node.interfaces);
        interfaces.map(|interface| interface.segment.clone()).collect()
    }
}

/// How long a link takes for so many octets.
fn time(octets: u32, rate: Rate) -> Duration {
    Duration::from_micros(u64::from(octets) * 8_000 / u64::from(rate.0))
}

/// Where what comes of a question may go.
enum Reach {
    /// No further than the links of its node.
    Link,
    /// Along the way to this address.
    Way(IpAddr),
    /// Anywhere: others are asked before it is answered.
    Beyond,
}

fn reach(question: &Question) -> Reach {
    match question {
        Question::Solicit { .. }
        | Question::Listeners { .. }
        | Question::Dhcp { .. }
        | Question::Lease { .. }
        | Question::Neighbour { .. } => Reach::Link,
        // A resolver asks name servers, a front asks the site behind it, a product does what it is told to.
        Question::Lookup { .. }
        | Question::Fetch { .. }
        | Question::Journey { .. }
        | Question::Dialogue { .. }
        | Question::Tunnel { .. } => Reach::Beyond,
        other => other.destination().map_or(Reach::Beyond, Reach::Way),
    }
}

/// About how many octets a question and its answer put on a link, in the direction that has more of them.
fn octets(question: &Question) -> u32 {
    /// A packet with a few words.
    const WORDS: u32 = 200;
    /// A connection that says next to nothing.
    const CONNECTION: u32 = 600;
    /// A handshake of TLS, with the certificate.
    const HANDSHAKE: u32 = 3_000;
    /// Headers of a packet on a link.
    const HEADERS: u32 = 70;
    match question {
        Question::Inspect(_)
        | Question::Sink { .. }
        | Question::LogIn { .. }
        | Question::Forge { .. }
        | Question::Router { .. }
        | Question::SourceFor { .. } => 0,
        Question::Provoke { how: Provocation::TooBig(size), .. } => WORDS + u32::from(*size),
        Question::Provoke { .. }
        | Question::Time { .. }
        | Question::LateTime { .. }
        | Question::Snmp { .. }
        | Question::Radius { .. }
        | Question::Log { .. }
        | Question::Spoof { .. }
        | Question::Encapsulated { .. }
        | Question::Canary { .. }
        | Question::Solicit { .. }
        | Question::Listeners { .. }
        | Question::Neighbour { .. } => WORDS,
        Question::Dhcp { .. } | Question::Lease { .. } => 10 * WORDS,
        Question::Ping { size, .. } | Question::Datagram { size, .. } => HEADERS + u32::from(*size),
        Question::Stream { packets, size, .. } => {
            u32::from(*packets).saturating_mul(HEADERS + u32::from(*size))
        }
        Question::Lookup { transport: Transport::Tcp, edns, .. } => CONNECTION + answer(*edns),
        Question::Lookup { edns, .. } => WORDS + answer(*edns),
        Question::Connect { hello, .. } => match hello {
            Hello::Tls { .. } | Hello::Ldap { .. } => CONNECTION + HANDSHAKE,
            _ => 2 * CONNECTION,
        },
        Question::Fetch { tls, path, .. } => {
            CONNECTION + tls.as_ref().map_or(0, |_| HANDSHAKE) + page(path)
        }
        Question::Journey { path, .. } => 2 * (CONNECTION + HANDSHAKE) + page(path),
        Question::Dialogue { calls } => {
            let of = |Call { body, .. }: &Call| (3 * CONNECTION).saturating_add(length(body));
            calls.iter().map(of).fold(0, u32::saturating_add)
        }
        // Bisection: each size is tried, and tried again if nothing comes back.
        Question::PathMtu { ceiling, .. } => 12 * u32::from(*ceiling),
        Question::Trace { most, .. } => u32::from(*most) * WORDS,
        Question::Tunnel { .. } => 2 * HANDSHAKE,
    }
}

/// Octets of an answer of DNS: who announces room for more than a packet wants more.
fn answer(edns: Option<u16>) -> u32 {
    const PACKET: u32 = 1_400;
    let room = u32::from(edns.unwrap_or_default());
    if room > PACKET { room } else { PACKET / 4 }
}

/// Octets of a page, where its path says how many it wants or is named for them.
fn page(path: &str) -> u32 {
    /// What no server of the lab goes beyond.
    const MOST: u32 = 1 << 20;
    let asked = path.split_once("?size=").and_then(|(_, size)| size.parse::<u32>().ok());
    let named = || {
        let number = path.rsplit('/').next()?.strip_suffix('k')?;
        number.parse::<u32>().ok()?.checked_mul(1_000)
    };
    asked.or_else(named).unwrap_or(1_000).min(MOST)
}

fn length(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture,
        model::{impairment::Impairment, phase::Phase, probe::Aspect},
    };

    /// The stage of the fixture, where the link between visitor and router is planned to be so fast.
    fn stage(rate: Option<Rate>) -> Stage {
        let mut testbed = (*fixture::testbed()).clone();
        let uplink = testbed.segments.get_mut("internet").unwrap();
        uplink.impairment = Impairment { rate, ..Impairment::default() };
        Stage::new(&testbed.into(), Phase::DualStack)
    }

    fn ping(stage: &Stage, from: &str, to: &str, size: u16) -> Probe {
        let to = stage.nodes[to].interfaces.iter().flat_map(|i| &i.addresses).next().unwrap().ip();
        let question = Question::Ping { to, source: None, size, hop_limit: None };
        Probe { from: from.parse().unwrap(), question, round: 0 }
    }

    #[test]
    fn without_a_slow_link_nothing_waits() {
        let stage = stage(None);
        let (pace, now) = (Pace::new(&stage), Instant::now());
        for _ in 0..2 {
            let turn = pace.take(&ping(&stage, "visitor", "portal", 1_000), now);
            assert_eq!(turn, Turn { begins: None, longer: Duration::ZERO });
        }
        assert_eq!(pace.holds_up(), Duration::ZERO);
    }

    #[test]
    fn what_takes_a_slow_link_waits_for_those_before_it_and_nothing_else_does() {
        let stage = stage(Some(Rate(1_000)));
        let (pace, now) = (Pace::new(&stage), Instant::now());
        let across = ping(&stage, "visitor", "portal", 930);
        let first = pace.take(&across, now);
        assert_eq!(first.begins, None);
        assert!(first.longer > Duration::from_millis(100), "{first:?}");
        let second = pace.take(&across, now).begins;
        assert_eq!(second, Some(now + Duration::from_millis(16)), "a thousand octets, twice");
        assert_eq!(pace.take(&across, now).begins, Some(now + Duration::from_millis(32)));
        let inside = pace.take(&ping(&stage, "workplace", "portal", 930), now);
        assert_eq!(inside, Turn { begins: None, longer: Duration::ZERO }, "it goes elsewhere");
        let read = Question::Inspect(Aspect::Routes);
        let read = Probe { question: read, ..across };
        assert_eq!(pace.take(&read, now).begins, None, "it sends nothing");
    }

    #[test]
    fn a_page_is_as_large_as_its_path_says() {
        assert_eq!(["/", "/a?size=65536", "/20k"].map(page), [1_000, 65_536, 20_000]);
    }
}

//! Reaching: a question along a path, repeated when it fails, with a control beside it and taps along the way, until the
//! node that stops it is known. The engine behind many checks.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    ask,
    hops::HopLimit,
    icmp_error,
    reading::{self, Consensus, REPETITIONS, Reached},
    tapped::Tapped,
};
use crate::{
    model::{
        answer::{Answer, IcmpError, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Culprit, Depth, Packets, Scope},
        name::{NodeName, SegmentName},
        probe::{Aspect, Probe, Question},
        service::Port,
        tap::{Tap, Watch},
    },
    stage::{Path, Stage},
    wire::icmp,
};

/// Hop limit of packets as hosts send them here (Linux default).
const USUAL_HOP_LIMIT: u8 = 64;

/// A question along a path.
#[derive(Clone, Debug)]
pub struct Leg {
    /// The way by the plan.
    pub path: Path,
    /// The question.
    pub probe: Probe,
    /// The port at the far end, where there is one.
    pub port: Option<Port>,
    /// The source of its packets, where it is known: what others send to the far end is then told from them.
    pub source: Option<IpAddr>,
}

/// Where something stops, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// The node that stops it.
    pub node: NodeName,
    /// How that is known, as a sentence's end: `the reset has hop limit 62, one router away`.
    pub how: String,
    /// Whether it is the far end itself.
    pub is_far_end: bool,
    /// The part of the node, where more is known than what it stops.
    pub part: Option<String>,
}

/// What became of a leg.
#[derive(Clone, Debug)]
pub struct LegReading<'e> {
    /// What all rounds agree on.
    pub reached: Reached,
    /// How the telling round ended, in words.
    pub observed: String,
    /// The telling answer.
    pub telling: Option<&'e Answer>,
    /// The evidence of all rounds, of the control and of the taps.
    pub evidence: Vec<EvidenceId>,
    /// Whether the control from the same node in the same family worked; `None` if there was none.
    pub control: Option<bool>,
    /// Who stops it, where that is known.
    pub located: Option<Located>,
}

impl Leg {
    /// A question along a path; the port is read from the question.
    pub fn new(path: Path, probe: Probe) -> Self {
        let port = probe.question.port();
        Self { path, probe, port, source: None }
    }

    /// The same, where the source of its packets is read from answers: from those of all rounds, if they had one and the same.
    /// What the plan says of it is no proof: a host may have more addresses than planned.
    #[must_use]
    pub fn sent_from<'e>(self, answers: impl IntoIterator<Item = &'e Answer>) -> Self {
        let sources = answers.into_iter().filter_map(|answer| answer.attempt()?.source);
        let sources: BTreeSet<_> = sources.map(|source| source.ip().to_canonical()).collect();
        let is_one = |source: &&IpAddr| {
            sources.len() == 1 && Family::of(**source) == self.family() && !source.is_unspecified()
        };
        let source = sources.first().filter(is_one).copied();
        Self { source, ..self }
    }

    /// The same, as it was sent in the rounds that are known.
    #[must_use]
    pub fn as_sent(&self, seen: &Seen<'_>) -> Self {
        let rounds = reading::rounds(seen, &self.probe);
        self.clone().sent_from(rounds.map(|(_, answer)| answer))
    }

    /// The family that it goes over.
    pub fn family(&self) -> Family {
        self.path.family()
    }

    /// What a trouble on this leg touches.
    pub fn scope(&self) -> Scope {
        Scope {
            family: Some(self.family()),
            to: self.path.nodes.last().cloned(),
            address: Some(self.path.destination),
            source: Some(self.path.source),
            within: None,
            port: self.port,
            from: self.path.nodes.first().cloned(),
            nodes: self.path.nodes.clone(),
            segments: self.path.segments.clone(),
            carried: reading::carrier(&self.path),
            name: None,
            packets: matches!(self.probe.question, Question::Ping { .. }).then_some(Packets::Echo),
        }
    }

    /// The control: the nearest node on the way that answers pings in the same family.
    pub fn control(&self, stage: &Stage) -> Option<Probe> {
        let near = self.path.nodes.get(1)?;
        let segment = self.path.segments.first()?;
        let on = stage.nodes[near].interfaces.iter().find(|i| i.segment == *segment)?;
        let address = on.addresses.iter().find(|a| a.family() == self.family())?;
        Some(ask::ping(&self.probe.from, address.ip()))
    }

    /// Taps on every segment of the way, for packets to the far end and for those coming back.
    pub fn taps(&self) -> Vec<Tap> {
        [false, true].into_iter().flat_map(|back| self.taps_of(back)).collect()
    }

    /// Taps for its packets there, or for those that come back; each in the order in which they pass the links.
    fn taps_of(&self, back: bool) -> Vec<Tap> {
        let tap = |segment: &SegmentName| Tap {
            segment: segment.clone(),
            watch: self.watch(back),
            label: format!("{} {}", self.probe.from, if back { "back" } else { "there" }),
        };
        let mut taps: Vec<_> = self.path.segments.iter().map(tap).collect();
        if back {
            taps.reverse();
        }
        taps
    }

    /// Its packets there, or those that come back. Echoes are told from echoes that the far end asks for itself, answers
    /// from those of other services of the far end.
    fn watch(&self, back: bool) -> Watch {
        let (family, far) = (self.family(), Some(self.path.destination));
        let (source, destination) = if back { (far, None) } else { (self.source, far) };
        if matches!(self.probe.question, Question::Ping { .. }) {
            let kind =
                if back { icmp::echo_reply_type(family) } else { icmp::echo_request_type(family) };
            return Watch::Icmp { family, types: vec![kind], source, destination };
        }
        match (back, self.port) {
            (true, Some(port)) => Watch::Answers { source: self.path.destination, port },
            (_, port) => Watch::Packets { family, source, destination, port },
        }
    }

    /// What to do once the first answer is known: if it failed, repeat it with control and taps.
    pub fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let failed =
            |(_, answer): (_, &Answer)| !answer.is_answered() && answer.not_asked().is_none();
        if !seen.answer(&self.probe).is_some_and(failed) {
            return Vec::new();
        }
        let probes = (1..=REPETITIONS).map(|round| ask::again(&self.probe, round)).collect();
        let mut taps = self.as_sent(seen).taps();
        taps.extend(self.path.carried.iter().flat_map(|carriage| carriage.taps(&self.probe.from)));
        let again = Experiment { taps, probes, ..Experiment::default() };
        let ends = self.path.nodes.first().into_iter().chain(self.path.nodes.last());
        let switches = ends.map(|node| ask::inspect(node, Aspect::Switches));
        let beside = Experiment::of_probes(self.control(stage).into_iter().chain(switches));
        let once_more = ask::again(&self.probe, REPETITIONS + 1);
        let watched = self.path.carried.as_deref();
        let watched = watched.and_then(|it| it.watched(stage, &once_more, &self.words()));
        [again, beside].into_iter().chain(watched).collect()
    }

    /// `desk->files 10.2.0.10 tcp/443`.
    fn words(&self) -> String {
        let Path { nodes, destination, .. } = &self.path;
        let to = nodes.last().unwrap_or(&self.probe.from);
        let what = match (&self.probe.question, self.port) {
            (Question::Ping { size, .. }, _) => format!("echo of {size} octets"),
            (_, port) => port.map_or_else(|| "traffic".to_owned(), |port| port.to_string()),
        };
        format!("{}->{to} {destination} {what}", self.probe.from)
    }

    /// What became of it; `None` if it was never sent.
    pub fn read<'e>(&self, stage: &Stage, seen: &Seen<'e>) -> Option<LegReading<'e>> {
        let rounds = reading::consensus(seen, &self.probe)?;
        let control = self.control(stage).and_then(|probe| seen.answer(&probe));
        let reached = rounds.reached();
        let mut evidence = rounds.evidence.clone();
        let mut located = None;
        if !matches!(reached, Reached::Yes) {
            evidence.extend(control.map(|(id, _)| id));
            located = self.as_sent(seen).locate(stage, seen, &rounds, &mut evidence);
        }
        Some(LegReading {
            observed: reading::describe(rounds.telling),
            telling: Some(rounds.telling),
            reached,
            evidence,
            control: control.map(|(_, answer)| answer.is_answered()),
            located,
        })
    }

    fn locate(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        rounds: &Consensus<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Located> {
        let attempt = rounds.telling.attempt()?;
        if let Some(icmp) = &rounds.time_exceeded {
            return self.used_up(stage, seen, icmp, evidence);
        }
        if let Some(icmp) = &attempt.icmp {
            let (node, _) = stage.owner(icmp.sender)?;
            let how = format!("{} came from {}", icmp_error::words(icmp), icmp.sender);
            return Some(self.located(node, how));
        }
        match attempt.outcome {
            Outcome::NoRoute => {
                let how = "it has no route there and sent nothing".to_owned();
                Some(self.located(&self.probe.from, how))
            }
            // Whoever answers wrongly, or hangs up, shows by its hop limit whether it is the far end at all.
            Outcome::Refused => self.by_hop_limit("reset", attempt.hop_limit?),
            Outcome::Garbled { .. } => self.by_hop_limit("answer", attempt.hop_limit?),
            // Where a round was answered, its packets are among those that the taps have seen.
            Outcome::TimedOut | Outcome::Stalled if rounds.answered == 0 => {
                self.by_taps(stage, seen, evidence)
            }
            _ => None,
        }
    }

    /// A router gave a packet up that had gone too far: either its sender lets packets go less far than the way is long,
    /// or the packet has gone in circles.
    fn used_up(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        icmp: &IcmpError,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Located> {
        let (id, limit) = HopLimit::read(stage, seen, &self.path)?;
        evidence.push(id);
        let routers = self.path.transit().len();
        if limit.ends_at(routers) {
            return Some(self.runs_short(&self.probe.from, &limit, routers));
        }
        let (node, _) = stage.owner(icmp.sender)?;
        let how = format!(
            "{} came from {}, although {} = {} and only {routers} routers are on the way",
            icmp_error::words(icmp),
            icmp.sender,
            limit.switch,
            limit.value
        );
        let part = Some(format!("routing loop of {}", self.family()));
        Some(Located { part, ..self.located(node, how) })
    }

    /// Whether the packets of an end were lost only because their hop limit was used up at the n-th router of theirs.
    fn short_of(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        way: &Path,
        router: usize,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Located> {
        let is_router = (1..=way.transit().len()).contains(&router);
        let (id, limit) = HopLimit::read(stage, seen, way).filter(|_| is_router)?;
        limit.ends_at(router).then(|| {
            evidence.push(id);
            self.runs_short(&way.nodes[0], &limit, way.transit().len())
        })
    }

    fn runs_short(&self, sender: &NodeName, limit: &HopLimit, routers: usize) -> Located {
        let HopLimit { switch, value } = limit;
        let how = format!("it sends with {switch} = {value}, and {routers} routers are on the way");
        Located { part: Some(format!("switch {switch}")), ..self.located(sender, how) }
    }

    /// Who sent a reset or an answer: it started with hop limit 64 and lost one at each router on the way back.
    fn by_hop_limit(&self, what: &str, hop_limit: u8) -> Option<Located> {
        let routers = usize::from(USUAL_HOP_LIMIT.checked_sub(hop_limit)?);
        let node = self.path.nodes.get(routers + 1)?;
        let how = format!("the {what} has hop limit {hop_limit}: it passed {routers} routers");
        Some(self.located(node, how))
    }

    /// The node after the last link on which the packets were seen: on the way there, or else on the way back.
    pub fn by_taps(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Located> {
        let outward = Tapped::along(seen, &self.taps_of(false))?;
        let homeward = Tapped::along(seen, &self.taps_of(true))?;
        evidence.extend(outward.evidence().chain(homeward.evidence()));
        let (links, there) = (self.path.segments.len(), outward.crossed());
        if there == 0 {
            return Some(
                self.located(
                    &self.probe.from,
                    "its packets never reached the first link".to_owned(),
                ),
            );
        }
        if there < links {
            if let Some(short) = self.short_of(stage, seen, &self.path, there, evidence) {
                return Some(short);
            }
            if let Some(lost) = self.lost_inside(stage, seen, there - 1, false, evidence) {
                return Some(lost);
            }
            let node = &self.path.nodes[there];
            let how = format!(
                "packets were seen on {} and not on {}",
                self.path.segments[there - 1],
                self.path.segments[there]
            );
            return Some(self.located(node, how));
        }
        let back = homeward.crossed();
        let way_back = stage.path(self.path.nodes.last()?, self.path.source).ok();
        if let Some(short) =
            way_back.and_then(|way| self.short_of(stage, seen, &way, back, evidence))
        {
            return Some(short);
        }
        if back > 0
            && let Some(lost) = self.lost_inside(stage, seen, links - back, true, evidence)
        {
            return Some(lost);
        }
        let node = &self.path.nodes[links - back];
        let how = if back == 0 {
            format!(
                "packets reached {} and nothing came back from it",
                self.path.segments[links - 1]
            )
        } else if back == links {
            "the answers came back to its own link, and it took none".to_owned()
        } else {
            format!(
                "answers were seen on {} and not on {}",
                self.path.segments[links - back],
                self.path.segments[links - back - 1]
            )
        };
        Some(self.located(node, how))
    }

    /// Where packets were last seen on a link that is the inside of a tunnel: the gateway that refuses them, or the node that
    /// stops what carries them.
    fn lost_inside(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        link: usize,
        back: bool,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Located> {
        let carriage = self.path.carried.as_deref()?;
        (carriage.inside == self.path.segments[link]).then_some(())?;
        if let Some((gateway, tunnel)) = carriage.refused_by(stage, seen, &self.words(), evidence) {
            let how = format!("it refused packets of {tunnel} when they were sent once more");
            let part = Some(format!("selectors of {tunnel}"));
            return Some(Located { part, ..self.located(&gateway, how) });
        }
        let (node, how) = carriage.stopped_at(seen, &self.probe.from, back, evidence)?;
        Some(self.located(&node, how))
    }

    /// The same for packets that nobody answers: the node after the last link on which they were seen.
    pub fn one_way(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Located> {
        let outward = Tapped::along(seen, &self.taps_of(false))?;
        evidence.extend(outward.evidence());
        let links = outward.crossed();
        if let Some(short) = self.short_of(stage, seen, &self.path, links, evidence) {
            return Some(short);
        }
        let node = &self.path.nodes[links];
        let how = match links.checked_sub(1) {
            None => "its packets never reached the first link".to_owned(),
            Some(last) => {
                format!("packets were seen on {} and not beyond", self.path.segments[last])
            }
        };
        Some(self.located(node, how))
    }

    fn located(&self, node: &NodeName, how: String) -> Located {
        let is_far_end = self.path.nodes.last() == Some(node);
        Located { node: node.clone(), how, is_far_end, part: None }
    }
}

impl LegReading<'_> {
    /// How deep the evidence is.
    pub fn depth(&self) -> Depth {
        if self.located.is_some() { Depth::Located } else { Depth::Symptom }
    }

    /// Who is to blame as far as is known: the located node, or the far end with the part unknown.
    pub fn culprit(&self, leg: &Leg) -> Culprit {
        let port = leg.port.map_or_else(|| "traffic".to_owned(), |port| port.to_string());
        let family = leg.family();
        match &self.located {
            Some(Located { node, part: Some(part), .. }) => Culprit::node(node, part.clone()),
            Some(Located { node, is_far_end: true, .. }) => {
                Culprit::node(node, format!("{port} over {family}"))
            }
            Some(Located { node, .. }) if *node == leg.probe.from => {
                let outcome = self.telling.and_then(Answer::attempt).map(|a| &a.outcome);
                let part = match outcome {
                    Some(Outcome::NoRoute) => format!("route for {family}"),
                    _ => format!("traffic of its own over {family}"),
                };
                Culprit::node(node, part)
            }
            Some(Located { node, .. }) => Culprit::node(node, format!("forwarding of {family}")),
            None => Culprit {
                node: None,
                segment: None,
                part: format!("somewhere between {} and {}", leg.probe.from, leg.path.destination),
            },
        }
    }

    /// The place in words: `at firewall-b (packets were seen on transit-b and not on dmz)`.
    pub fn place(&self) -> String {
        match &self.located {
            Some(located) => format!("at {} ({})", located.node, located.how),
            None => "at a place that could not be found".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            fixture::{self, Network, node},
            from_outside::service_reach::SERVICE_REACH,
        },
        model::{
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
            service::Transport,
        },
    };

    /// Packets of the visitor end at the router, and it says so; the visitor's hop limit is this.
    fn ends_at_the_router(hop_limit: &'static str) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| match answer {
            Answer::Switches(switches) if probe.from == node("visitor") => {
                let of = |(name, _): &&mut (String, String)| name.ends_with(".hop_limit");
                switches.iter_mut().filter(of).for_each(|(_, held)| hop_limit.clone_into(held));
            }
            Answer::Connection { attempt, .. }
                if probe.from == node("visitor") && attempt.family == Family::V6 =>
            {
                attempt.outcome = Outcome::Rejected;
                let sender = ROUTER.parse().unwrap();
                let family = Family::V6;
                attempt.icmp = Some(IcmpError { family, kind: 3, code: 0, sender, mtu: None });
            }
            _ => {}
        })
    }

    const ROUTER: &str = "2001:db8:f::1";

    #[track_caller]
    fn blames(network: &Network, expected: &str) {
        let found = fixture::complaints(&SERVICE_REACH, network);
        assert!(!found.is_empty());
        assert!(found.iter().all(|(_, culprit)| culprit == expected), "{found:?}");
    }

    #[test]
    fn what_others_send_to_the_same_place_is_not_taken_for_what_was_lost() {
        let dropped = Rule {
            label: "planted".to_owned(),
            matches: vec![Match::Family(Family::V6), Match::Transport(Transport::Tcp)],
            action: Action::Drop,
        };
        let plan = Network::healthy(Phase::DualStack).plan;
        let network = Network::healthy(Phase::DualStack)
            .with(|live| {
                let chains = &mut live.nodes.get_mut("firewall").unwrap().filter.chains;
                let forward = chains.iter_mut().find(|chain| chain.hook == Hook::Forward);
                forward.unwrap().rules.insert(0, dropped);
            })
            .bend(move |probe, answer| {
                // Who waits in vain knows from where it asked.
                if let Answer::Connection { attempt, .. } = answer
                    && let Ok(way) = plan.path(&probe.from, attempt.destination.ip())
                {
                    attempt.source = Some((way.source, 40_000).into());
                }
            })
            .bend_tap(|tap, reading| {
                let is_of_all =
                    matches!(tap.watch, Watch::Packets { source: None, destination: Some(_), .. });
                reading.frames += u64::from(is_of_all);
            });
        blames(&network, "firewall (forwarding of IPv6)");
    }

    #[test]
    fn a_packet_that_went_too_far_is_its_senders_fault_or_goes_in_circles() {
        blames(&ends_at_the_router("1"), "visitor (switch net.ipv6.conf.eth0.hop_limit)");
        blames(&ends_at_the_router("64"), "router (routing loop of IPv6)");
    }
}

//! Is the path MTU what the plan says, and does everybody learn it?

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, crossing,
        error_trail::Trail,
        reach::Located,
        reading::{Judge, REPETITIONS, complaint},
    },
    model::{
        answer::{Answer, IcmpError, Sweep},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        probe::{Aspect, Probe, Provocation, Question},
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::{Path, Stage, StagedInterface},
};

/// The smallest MTU that an IPv6 link may have (RFC 8200 section 5).
const SMALLEST_V6: u16 = 1280;

/// Finds the largest packet that passes each way.
pub(in crate::check) struct Pmtu;

/// Looks for ways on which large packets vanish and nobody is told.
pub(in crate::check) struct Blackhole;

const PMTU: Text = Text {
    id: "path.pmtu",
    title: "Path MTU is as planned",
    section: "S3",
    use_case: UseCase::InsideToOutside,
    question: "Is the largest packet that passes as large as the smallest link of the way allows?",
    good: "The path MTU is that of the plan on every way.",
    references: &["RFC 8200 section 5", "RFC 8201"],
    cases: &[
        Case {
            name: "small",
            finding: "From {from} to {to} only {passed} octets pass over {family}; the links of the plan carry {planned}.",
            expected: "Packets of {planned} octets pass.",
            observed: "{passed} octets passed, {lost} did not. {sender}",
            remedy: "Give the link its planned MTU again, or plan the smaller one and announce it in Router Advertisements.",
        },
        Case {
            name: "below-minimum",
            finding: "From {from} to {to} only {passed} octets pass over IPv6: less than the 1280 that every link must carry.",
            expected: "Packets of {planned} octets pass, and 1280 at the very least.",
            observed: "{passed} octets passed, {lost} did not. {sender}",
            remedy: "Raise the MTU of the link to 1280 or more; IPv6 does not work below.",
        },
        Case {
            name: "interface",
            finding: "{interface} of {node} has an MTU of {mtu} octets; its link carries {planned}.",
            expected: "An MTU of {planned} octets at every end of {segment}.",
            observed: "{mtu} octets on {interface}.",
            remedy: "Give the interface the MTU of its link. What is larger is lost when it comes in, and nobody is told.",
        },
    ],
};

const BLACKHOLE: Text = Text {
    id: "path.pmtu-blackhole",
    title: "No path MTU black hole",
    section: "S3",
    use_case: UseCase::InsideToOutside,
    question: "When a packet is too large for a link on the way, does its sender learn so?",
    good: "Whenever a packet is too large, its sender is told.",
    references: &["RFC 4890 section 4.3.1", "RFC 8201", "RFC 8899", "RFC 1191"],
    cases: &[
        Case {
            name: "error-lost",
            finding: "{family} packets over {passed} octets from {from} to {to} disappear: the \"too big\" of {origin} does not come back; it ends at {place}.",
            expected: "{message} from {origin} arrives at {from}.",
            observed: "{passed} octets passed, {lost} did not, and nothing came back. {place}: {how}.",
            remedy: "Permit ICMPv6 type 2, and ICMP type 3 code 4 for IPv4, at {place} (RFC 4890 section 4.3.1).",
        },
        Case {
            name: "packet-lost",
            finding: "{family} packets over {passed} octets from {from} to {to} disappear at {place}, although the links of the plan carry {planned}.",
            expected: "Packets of {planned} octets pass.",
            observed: "{passed} octets passed, {lost} did not, and nothing came back. {place}: {how}.",
            remedy: "Look for a rule on packet length, or for a link with a smaller MTU that does not say so, at {place}.",
        },
    ],
};

impl Check for Pmtu {
    fn text(&self) -> &'static Text {
        &PMTU
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let links = stage.nodes.keys().map(|node| ask::inspect(node, Aspect::Addresses));
        vec![sweep_all(stage), Experiment::of_probes(links)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        sweep_again(&ways(stage), seen)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let ways = ways(stage);
        let sizes = ways.iter().map(|way| way.judge_size(stage, seen));
        let found = interfaces(stage, seen).into_iter().chain(sizes).collect();
        Judge(&PMTU).or_not_applicable(found, "no way leads through a router")
    }
}

impl Check for Blackhole {
    fn text(&self) -> &'static Text {
        &BLACKHOLE
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![sweep_all(stage)]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        follow_up(&ways(stage), seen)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let found = ways(stage).iter().map(|way| way.judge_hole(stage, seen)).collect();
        Judge(&BLACKHOLE).or_not_applicable(found, "no way leads through a router")
    }
}

/// Sweeps that came short once more, and a search for what swallows large packets.
pub(in crate::check) fn follow_up(ways: &[Way], seen: &Seen<'_>) -> Vec<Experiment> {
    let mut all = sweep_again(ways, seen);
    let holes = ways.iter().filter_map(|way| {
        let (_, sweep) = way.read(seen)?;
        way.is_hole(&sweep).then(|| way.trace_large(&sweep))
    });
    all.extend(holes);
    all
}

/// Where something gets lost on a way, and what: the packet, or the error that should tell of it.
pub(in crate::check) struct LostAt {
    case: &'static str,
    pub(in crate::check) evidence: Vec<EvidenceId>,
    pub(in crate::check) node: NodeName,
    pub(in crate::check) how: String,
}

impl LostAt {
    pub(in crate::check) fn culprit(&self) -> Culprit {
        let part = match self.case {
            "error-lost" => "\"too big\" errors",
            _ => "large packets",
        };
        Culprit::node(&self.node, part)
    }
}

/// Interfaces whose MTU is not that of their link.
fn interfaces(stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
    let mut found = Vec::new();
    for (node, staged) in &stage.nodes {
        let Some((id, Answer::Addresses(links))) =
            seen.answer(&ask::inspect(node, Aspect::Addresses))
        else {
            continue;
        };
        for interface in &staged.interfaces {
            let link = links.iter().find(|link| link.name == interface.name.as_str());
            if let Some(link) = link.filter(|link| link.mtu != interface.mtu) {
                let subject = format!("{node}/{}", interface.name);
                let complaint = other_mtu(stage, node, interface, link.mtu);
                found.push(Judge(&PMTU).fail(subject, [id], complaint));
            }
        }
    }
    found
}

/// Below 1280 octets the kernel takes IPv6 off the interface: then missing addresses follow from it too.
fn other_mtu(stage: &Stage, node: &NodeName, interface: &StagedInterface, mtu: u32) -> Complaint {
    let below = mtu < u32::from(SMALLEST_V6) && interface.families.has(Family::V6);
    let scope = Scope {
        nodes: vec![node.clone()],
        packets: (!below).then_some(Packets::Large),
        ..Scope::default()
    };
    let args = [
        ("node", node.to_string()),
        ("interface", interface.name.to_string()),
        ("segment", interface.segment.to_string()),
        ("mtu", mtu.to_string()),
        ("planned", interface.mtu.to_string()),
    ];
    let culprit = Culprit::node(node, format!("MTU of {}", interface.name));
    Complaint {
        severity: if below { Severity::Critical } else { Severity::Major },
        confidence: Confidence::High,
        depth: if below { Depth::Announced } else { Depth::Foundation },
        ..complaint(stage, "interface", culprit, scope, args)
    }
}

/// A way that is swept.
pub(in crate::check) struct Way {
    path: Path,
    /// The MTUs of its links.
    mtus: Vec<u32>,
}

/// Between hosts only: a filtering node that has learned the path MTU for itself sends Packet Too Big of its own, and
/// what it does with those of others is no longer seen.
fn ways(stage: &Stage) -> Vec<Way> {
    let paths = stage.phase.permits().iter().flat_map(|family| crossing::ways(stage, family));
    let forwards = |name: Option<&NodeName>| {
        name.is_some_and(|name| stage.testbed.nodes[name].role.forwards())
    };
    paths
        .filter(|path| !forwards(path.nodes.first()) && !forwards(path.nodes.last()))
        .map(|path| Way::of(stage, path))
        .collect()
}

fn sweep_all(stage: &Stage) -> Experiment {
    Experiment::of_probes(ways(stage).iter().map(|way| way.probe(0)))
}

/// Once more where less passed than planned: a packet can get lost on a busy machine. The sweeps of a way follow one
/// another; those of different ways do not disturb each other.
fn sweep_again(ways: &[Way], seen: &Seen<'_>) -> Vec<Experiment> {
    let short = ways.iter().filter(|way| {
        way.read(seen).is_some_and(|(_, sweep)| sweep.passed.is_some_and(|p| p < way.planned()))
    });
    let again = |way: &Way| {
        let rounds = (1..=REPETITIONS).map(|round| way.probe(round));
        Experiment { in_order: true, ..Experiment::of_probes(rounds) }
    };
    short.map(again).collect()
}

impl Way {
    /// A path with the MTUs of its links.
    pub(in crate::check) fn of(stage: &Stage, path: Path) -> Self {
        let mtus = path.segments.iter().map(|s| stage.testbed.segments[s].mtu).collect();
        Self { path, mtus }
    }

    fn from(&self) -> &NodeName {
        self.path.nodes.first().expect("a path has ends")
    }

    fn to(&self) -> &NodeName {
        self.path.nodes.last().expect("a path has ends")
    }

    fn subject(&self) -> String {
        format!("{} -> {} {}", self.from(), self.to(), self.path.family().word())
    }

    /// The largest packet that the links of the way carry.
    pub(in crate::check) fn planned(&self) -> u16 {
        u16::try_from(self.path.mtu).unwrap_or(u16::MAX)
    }

    /// The largest packet that leaves the sender: what its own link carries.
    fn ceiling(&self) -> u16 {
        u16::try_from(self.mtus[0]).unwrap_or(u16::MAX)
    }

    pub(in crate::check) fn probe(&self, round: u8) -> Probe {
        let question = Question::PathMtu { to: self.path.destination, ceiling: self.ceiling() };
        Probe { round, ..ask::probe(self.from(), question) }
    }

    /// The best sweep of all rounds, with every "too big" that was heard; `None` if none was made.
    pub(in crate::check) fn read(&self, seen: &Seen<'_>) -> Option<(Vec<EvidenceId>, Sweep)> {
        let mut evidence = Vec::new();
        let mut best: Option<Sweep> = None;
        for round in 0..=REPETITIONS {
            let Some((id, answer)) = seen.answer(&self.probe(round)) else { continue };
            evidence.push(id);
            let Answer::PathMtu { sweep } = answer else { continue };
            let mut told: Vec<_> = best.iter().flat_map(|best| best.too_big.clone()).collect();
            told.extend(&sweep.too_big);
            let better = best.take().filter(|best| best.passed >= sweep.passed);
            best = Some(Sweep { too_big: told, ..better.unwrap_or_else(|| sweep.clone()) });
        }
        Some((evidence, best?))
    }

    /// Whether packets that leave the sender get lost and nothing comes back.
    pub(in crate::check) fn is_hole(&self, sweep: &Sweep) -> bool {
        sweep.passed.is_some_and(|passed| passed < self.ceiling())
            && sweep.lost.is_some()
            && told(sweep).is_none()
    }

    fn judge_size(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&PMTU);
        let subject = self.subject();
        let Some((evidence, sweep)) = self.read(seen) else {
            return judge.not_testable(subject, "it was not swept", []);
        };
        let Some(passed) = sweep.passed else {
            return judge.blocked(subject, "not even the smallest packet was answered", evidence);
        };
        let below = self.path.family() == Family::V6 && passed < SMALLEST_V6;
        if passed >= self.planned() && !below {
            return if passed < self.ceiling() {
                let reason = format!("{passed} octets, as the smallest link of the way carries");
                judge.info(subject, reason, evidence)
            } else {
                judge.pass(subject, evidence)
            };
        }
        let sender = told(&sweep);
        let node = sender.and_then(|icmp| stage.owner(icmp.sender)).map(|(node, _)| node);
        let culprit = node.map_or_else(
            || self.somewhere(),
            |node| Culprit::node(node, format!("MTU of {} packets", self.path.family())),
        );
        let words = sender.map_or("Nobody said why.".to_owned(), |icmp| {
            let mtu = icmp.mtu.map_or("no MTU".to_owned(), |mtu| format!("MTU {mtu}"));
            format!("{} said \"too big\" with {mtu}.", icmp.sender)
        });
        let complaint = Complaint {
            severity: if below { Severity::Critical } else { Severity::Major },
            depth: if node.is_some() { Depth::Located } else { Depth::Symptom },
            confidence: Confidence::High,
            ..complaint(
                stage,
                if below { "below-minimum" } else { "small" },
                culprit,
                self.scope(),
                [
                    ("from", self.from().to_string()),
                    ("to", self.path.destination.to_string()),
                    ("family", self.path.family().to_string()),
                    ("passed", passed.to_string()),
                    ("planned", self.planned().to_string()),
                    ("lost", lost(&sweep)),
                    ("sender", words),
                ],
            )
        };
        judge.fail(subject, evidence, complaint)
    }

    fn judge_hole(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&BLACKHOLE);
        let subject = self.subject();
        let Some((mut evidence, sweep)) = self.read(seen) else {
            return judge.not_testable(subject, "it was not swept", []);
        };
        let Some(passed) = sweep.passed else {
            return judge.blocked(subject, "not even the smallest packet was answered", evidence);
        };
        if !self.is_hole(&sweep) {
            return judge.pass(subject, evidence);
        }
        let lost_at = self.where_lost(stage, seen, &sweep);
        evidence.extend(lost_at.iter().flat_map(|lost_at| &lost_at.evidence));
        let culprit = lost_at.as_ref().map_or_else(|| self.somewhere(), LostAt::culprit);
        let place = lost_at.as_ref().map(|lost_at| lost_at.node.to_string());
        let how = lost_at.as_ref().map(|lost_at| lost_at.how.clone());
        let family = self.path.family();
        let message = if family == Family::V6 { "Packet Too Big" } else { "Fragmentation Needed" };
        let generator = self.generator(&sweep).map(|at| self.path.nodes[at].to_string());
        let complaint = Complaint {
            severity: Severity::Critical,
            depth: if lost_at.is_some() { Depth::Located } else { Depth::Symptom },
            confidence: Confidence::High,
            ..complaint(
                stage,
                lost_at.as_ref().map_or("packet-lost", |lost_at| lost_at.case),
                culprit,
                self.scope(),
                [
                    ("from", self.from().to_string()),
                    ("to", self.path.destination.to_string()),
                    ("family", family.to_string()),
                    ("passed", passed.to_string()),
                    ("planned", self.planned().to_string()),
                    ("lost", lost(&sweep)),
                    ("origin", generator.unwrap_or_else(|| "nobody".to_owned())),
                    ("message", message.to_owned()),
                    ("place", place.unwrap_or_else(|| "a place that was not found".to_owned())),
                    ("how", how.unwrap_or_else(|| "the taps could not tell where".to_owned())),
                ],
            )
        };
        judge.fail(subject, evidence, complaint)
    }

    pub(in crate::check) fn scope(&self) -> Scope {
        Scope {
            family: Some(self.path.family()),
            to: Some(self.to().clone()),
            address: Some(self.path.destination),
            from: Some(self.from().clone()),
            nodes: self.path.nodes.clone(),
            segments: self.path.segments.clone(),
            carried: crate::check::reading::carrier(&self.path),
            packets: Some(Packets::Large),
            ..Scope::default()
        }
    }

    pub(in crate::check) fn somewhere(&self) -> Culprit {
        let part = format!("somewhere between {} and {}", self.from(), self.path.destination);
        Culprit { node: None, segment: None, part }
    }

    /// The router before the first link of the plan that a lost packet does not fit.
    fn generator(&self, sweep: &Sweep) -> Option<usize> {
        let lost = u32::from(sweep.lost?);
        self.mtus.iter().position(|mtu| *mtu < lost).filter(|at| *at > 0)
    }

    fn large(&self, sweep: &Sweep) -> Option<Probe> {
        let question =
            Question::Provoke { to: self.path.destination, how: Provocation::TooBig(sweep.lost?) };
        Some(ask::probe(self.from(), question))
    }

    fn tap(&self, link: usize) -> Tap {
        Tap {
            segment: self.path.segments[link].clone(),
            watch: Watch::Packets {
                family: self.path.family(),
                source: Some(self.path.source),
                destination: Some(self.path.destination),
                port: None,
            },
            label: format!("large packets {}", self.subject()),
        }
    }

    /// The replies, which are as large.
    fn tap_back(&self, link: usize) -> Tap {
        let watch = Watch::Packets {
            family: self.path.family(),
            source: Some(self.path.destination),
            destination: Some(self.path.source),
            port: None,
        };
        Tap {
            watch,
            label: format!("replies to large packets {}", self.subject()),
            ..self.tap(link)
        }
    }

    /// Where the replies end: the node after the last link on which they were seen.
    fn where_replies_are_lost(&self, seen: &Seen<'_>) -> Option<LostAt> {
        let links = self.mtus.len();
        let back: Vec<_> = (0..links)
            .rev()
            .map(|link| seen.reading(&self.tap_back(link)))
            .take_while(|reading| reading.is_some_and(|(_, reading)| reading.frames > 0))
            .flatten()
            .map(|(id, _)| id)
            .collect();
        let crossed = back.len();
        (0 < crossed && crossed < links).then(|| LostAt {
            case: "packet-lost",
            node: self.path.nodes[links - crossed].clone(),
            how: format!(
                "they arrived; replies of the same size were seen on {} and not on {}",
                self.path.segments[links - crossed],
                self.path.segments[links - crossed - 1]
            ),
            evidence: back,
        })
    }

    fn trail(&self, at: usize) -> Trail<'_> {
        let kind = if self.path.family() == Family::V6 { 2 } else { 3 };
        Trail { path: &self.path, at, kind, label: format!("too big for {}", self.subject()) }
    }

    /// One packet that is known to get lost, alone in the lab, with taps all along.
    fn trace_large(&self, sweep: &Sweep) -> Experiment {
        let links = 0..self.path.segments.len();
        let mut taps: Vec<_> =
            links.flat_map(|link| [self.tap(link), self.tap_back(link)]).collect();
        taps.extend(self.generator(sweep).into_iter().flat_map(|at| self.trail(at).taps()));
        let probes = self.large(sweep).into_iter().collect();
        Experiment { taps, probes, alone: true, ..Experiment::default() }
    }

    /// What gets lost, and where: the error on its way back, or else the packet itself.
    pub(in crate::check) fn where_lost(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        sweep: &Sweep,
    ) -> Option<LostAt> {
        let links: Vec<_> =
            (0..self.mtus.len()).map(|at| seen.reading(&self.tap(at))).collect::<Option<_>>()?;
        if links.iter().any(|(_, reading)| !reading.is_trustworthy()) {
            return None;
        }
        let mut evidence: Vec<_> = links.iter().map(|(id, _)| *id).collect();
        let crossed = links.iter().take_while(|(_, reading)| reading.frames > 0).count();
        // What is too large by plan stops before the small link, and its router speaks up.
        if let Some(at) = self.generator(sweep)
            && (crossed == at || crossed == 0)
            && let Some((ids, located)) = self.trail(at).end(stage, seen)
        {
            evidence.extend(ids);
            let Located { node, how, .. } = located;
            return Some(LostAt { case: "error-lost", evidence, node, how });
        }
        if crossed == self.mtus.len()
            && let Some(mut lost_at) = self.where_replies_are_lost(seen)
        {
            lost_at.evidence.extend(evidence);
            return Some(lost_at);
        }
        let node = self.path.nodes.get(crossed)?;
        let how = match crossed {
            0 => "no large packet left it".to_owned(),
            all if all == self.mtus.len() => "they arrived, and no answer came".to_owned(),
            some => format!(
                "they were seen on {} and not on {}",
                self.path.segments[some - 1],
                self.path.segments[some]
            ),
        };
        Some(LostAt { case: "packet-lost", evidence, node: node.clone(), how })
    }
}

/// The error that tells of the smallest packet that was lost; one that names a larger MTU is about larger packets.
pub(in crate::check) fn told(sweep: &Sweep) -> Option<&IcmpError> {
    let lost = u32::from(sweep.lost?);
    sweep.too_big.iter().rev().find(|icmp| icmp.mtu.is_none_or(|mtu| mtu < lost))
}

pub(in crate::check) fn lost(sweep: &Sweep) -> String {
    sweep.lost.map_or("nothing".to_owned(), |lost| lost.to_string())
}

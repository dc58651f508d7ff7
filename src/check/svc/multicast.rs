//! `svc.multicast`: every node tells its link which groups it listens to.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        neighbour::{self, Asked},
        reading::{Judge, REPETITIONS, complaint},
    },
    model::{
        answer::{Answer, HeardListener},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::{InterfaceName, NodeName, SegmentName},
        probe::{Aspect, Probe, Question},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
    wire::{neighbour::solicited_node, ra::ALL_ROUTERS},
};

/// Asks each link as a querier does (RFC 3810), from two of its nodes, and looks for the groups that the plan makes each of
/// the others a listener of. What is not reported works for as long as no switch snoops.
pub(super) struct Multicast;

static TEXT: Text = Text {
    id: "svc.multicast",
    title: "Listeners report their groups",
    section: "S3",
    use_case: UseCase::NetworkServices,
    question: "When a querier asks, does every node report the groups that it listens to: the solicited-node group of each of \
               its addresses, and those of its duties? And does the link pass on what is sent to them, also before somebody asks?",
    good: "Every node reports the groups that it listens to, and is found by them.",
    references: &[
        "RFC 3810 section 9.4",
        "RFC 4291 section 2.7.1",
        "RFC 4541",
        "RFC 4861 section 7.2.1",
    ],
    cases: &[
        Case {
            name: "silent",
            finding: "{node} reports no group on {segment}.",
            expected: "Reports of {groups} (MLD, RFC 3810).",
            observed: "{asker} asked {rounds} times as a querier does, and heard nothing from {node}.",
            remedy: "Let MLD out (ICMPv6 types 131, 132 and 143). A switch that snoops (RFC 4541) sends a node only what it has \
                     asked for: without reports, neighbour solicitations no longer reach it after some minutes.",
        },
        Case {
            name: "missing",
            finding: "{node} does not report {missing} on {segment}.",
            expected: "Reports of {groups}.",
            observed: "{node} reports {heard}.",
            remedy: "Look at what should listen there: an address without its solicited-node group is not found by neighbours \
                     behind a switch that snoops, a router without ff02::2 hears no solicitations.",
        },
        Case {
            name: "undelivered",
            finding: "{segment} passes nothing on to the solicited-node groups that its nodes report.",
            expected: "A Neighbour Advertisement for every address whose group is reported.",
            observed: "Reports of {listeners} crossed {segment}; of {asked} addresses for which Neighbour Solicitations were sent, \
                       none was answered for.",
            remedy: "Look at MLD snooping of the switches of {segment}: they must pass frames on to a group's listeners, and stop \
                     nothing while no querier lets them know who listens (RFC 4541 sections 2.1.1 and 3).",
        },
        Case {
            name: "no-querier",
            finding: "{segment} forgets who listens, as nobody asks there: neighbours no longer find each other.",
            expected: "A Neighbour Advertisement for every address, whether or not somebody has asked for listeners.",
            observed: "Of {asked} addresses, none was answered for in {rounds} rounds of Neighbour Solicitations to their groups, while \
                       {direct} answered whoever asked them alone. Then {segment} was asked as a querier asks, \
                       {listeners} reported their groups, and {found} answered to its group, too.",
            remedy: "A switch of {segment} snoops MLD: let a router of the link be the querier, or switch on the one of the switch \
                     (RFC 4541 section 2.1.1, RFC 3810 section 7.1). Without one, a group works for 260 s after its listener has \
                     joined, and then no more.",
        },
    ],
};

/// A node on a link, and who asks for its groups.
struct Subject<'s> {
    segment: &'s SegmentName,
    node: &'s NodeName,
    interface: &'s StagedInterface,
    asker: (&'s NodeName, &'s InterfaceName),
    groups: Vec<Group>,
}

/// A group that the plan makes a node a listener of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    group: Ipv6Addr,
    /// The address for which it is listened to; `None` for a duty.
    of: Option<Ipv6Addr>,
}

impl Check for Multicast {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let looks = subjects(stage).into_iter().map(|subject| subject.look());
        let mut experiments = neighbour::ask(stage);
        experiments.push(Experiment::of_probes(looks));
        experiments
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let all = subjects(stage);
        let neighbours = neighbour::of_stage(stage);
        let silent = neighbour::silent_links(&neighbours, seen);
        let short = all.iter().filter(|subject| {
            let read = subject.read(seen);
            read.is_ok_and(|(_, heard, _)| !heard.is_superset(&subject.wanted(seen)))
        });
        let again =
            short.flat_map(|subject| (1..=REPETITIONS).map(|round| subject.question(round)));
        let on_other_links = all.iter().filter(|subject| !silent.contains(&subject.segment));
        let questions = on_other_links.map(|subject| subject.question(0));
        let mut experiments = neighbour::ask_again(stage, seen);
        experiments.push(Experiment::of_probes(questions.chain(again)));
        experiments.extend(silent.iter().filter_map(|link| mending(link, &all, &neighbours, seen)));
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let all = subjects(stage);
        let mut found: Vec<_> = all.iter().map(|subject| subject.judge(stage, seen)).collect();
        let neighbours = neighbour::of_stage(stage);
        let silent = neighbour::silent_links(&neighbours, seen);
        let links: BTreeSet<_> = all.iter().map(|subject| subject.segment).collect();
        found.extend(links.into_iter().filter_map(|link| {
            let asked = neighbours.iter().filter(|asked| asked.segment == *link).collect();
            let on_link: Vec<_> = all.iter().filter(|subject| subject.segment == link).collect();
            let link = Link { segment: link, subjects: &on_link, asked };
            link.judge(stage, seen, silent.contains(&link.segment))
        }));
        Judge(&TEXT).or_not_applicable(found, "no two nodes share a link with IPv6 in this phase")
    }
}

/// Whether a link on which nobody finds anybody is mended by the question of a querier: once it is certain that nobody does,
/// neighbours are asked alone, then all listeners, then neighbours by their groups once more. One after another, as the answer to
/// one question is heard by whoever waits for that to another.
fn mending(
    link: &SegmentName,
    all: &[Subject<'_>],
    neighbours: &[Asked],
    seen: &Seen<'_>,
) -> Option<Experiment> {
    let mut on_link = neighbours.iter().filter(|asked| asked.segment == *link);
    if !on_link.clone().all(|asked| asked.is_asked_out(seen)) {
        return None;
    }
    let first = on_link.next()?;
    let second = on_link.find(|asked| asked.asker != first.asker);
    let asked: Vec<_> = std::iter::once(first).chain(second).collect();
    let questions = all.iter().filter(|subject| subject.segment == link).map(|s| s.question(0));
    let directly = asked.iter().map(|asked| asked.directly());
    let after = asked.iter().map(|asked| asked.after());
    let probes = directly.chain(questions).chain(after).collect();
    Some(Experiment { probes, in_order: true, ..Experiment::default() })
}

/// Every interface with IPv6 on a link that has another: the first two of a link ask, each for all but itself.
fn subjects(stage: &Stage) -> Vec<Subject<'_>> {
    let links = stage.testbed.segments.values().filter(|segment| !segment.kind.is_inside());
    links.flat_map(|segment| of_link(stage, &segment.name)).collect()
}

fn of_link<'s>(stage: &'s Stage, segment: &'s SegmentName) -> Vec<Subject<'s>> {
    let on = stage.nodes.iter().flat_map(|(node, staged)| {
        let mine = staged.interfaces.iter().filter(|i| i.segment == *segment);
        mine.filter(|i| i.families.has(Family::V6)).map(move |interface| (node, interface))
    });
    let on: Vec<_> = on.collect();
    let [first, second, ..] = on.as_slice() else { return Vec::new() };
    let subject = |(node, interface): &(&'s NodeName, &'s StagedInterface)| {
        let asker = if *node == first.0 { second } else { first };
        Subject {
            segment,
            node,
            interface,
            asker: (asker.0, &asker.1.name),
            groups: groups(stage, node, interface),
        }
    };
    on.iter().map(subject).collect()
}

/// What an interface listens to by plan.
fn groups(stage: &Stage, node: &NodeName, interface: &StagedInterface) -> Vec<Group> {
    let staged = &stage.nodes[node];
    let addresses = interface.addresses.iter().filter_map(|address| match address.ip() {
        IpAddr::V6(of) => Some(Group { group: solicited_node(of), of: Some(of) }),
        IpAddr::V4(_) => None,
    });
    // Servers and relays of DHCPv6 have a group too: `svc.dhcpv6` asks it, and blames the server itself where nobody listens.
    let routes = staged.forwarding.has(Family::V6).then_some(ALL_ROUTERS);
    addresses.chain(routes.map(|group| Group { group, of: None })).collect()
}

type Read = (Vec<EvidenceId>, BTreeSet<Ipv6Addr>, usize);

impl Subject<'_> {
    fn subject(&self) -> String {
        format!("{}/{}", self.node, self.interface.name)
    }

    fn question(&self, round: u8) -> Probe {
        let question = Question::Listeners { interface: self.asker.1.clone() };
        Probe { round, ..ask::probe(self.asker.0, question) }
    }

    fn look(&self) -> Probe {
        ask::inspect(self.node, Aspect::Addresses)
    }

    /// The groups that it must report: not that of an address which it does not have, or may not use. Others tell of that.
    fn wanted(&self, seen: &Seen<'_>) -> BTreeSet<Ipv6Addr> {
        let held = match seen.answer(&self.look()) {
            Some((_, Answer::Addresses(links))) => {
                let usable = links.iter().flat_map(|link| &link.addresses);
                let usable = usable.filter(|state| !state.tentative && !state.dad_failed);
                Some(usable.map(|state| state.net.addr()).collect::<BTreeSet<_>>())
            }
            _ => None,
        };
        let is_held = |of: Ipv6Addr| held.as_ref().is_none_or(|held| held.contains(&of.into()));
        let wanted = self.groups.iter().filter(|group| group.of.is_none_or(is_held));
        wanted.map(|group| group.group).collect()
    }

    /// What it reported in all rounds, and how many there were. `Err` says why nothing can be said.
    fn read(&self, seen: &Seen<'_>) -> Result<Read, String> {
        let mut reason = "it was not asked".to_owned();
        let (mut evidence, mut groups) = (Vec::new(), BTreeSet::new());
        for round in 0..=REPETITIONS {
            match seen.answer(&self.question(round)) {
                Some((id, Answer::Listeners { heard })) => {
                    evidence.push(id);
                    let own = heard.iter().filter(|l: &&HeardListener| l.mac == self.interface.mac);
                    groups.extend(own.flat_map(|listener| listener.groups.iter().copied()));
                }
                Some((_, other)) => {
                    other
                        .not_asked()
                        .unwrap_or("the answer is of another kind")
                        .clone_into(&mut reason);
                }
                None => {}
            }
        }
        let rounds = evidence.len();
        if rounds == 0 { Err(reason) } else { Ok((evidence, groups, rounds)) }
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let judge = Judge(&TEXT);
        let (evidence, heard, rounds) = match self.read(seen) {
            Ok(read) => read,
            Err(reason) => return judge.not_testable(self.subject(), reason, []),
        };
        let wanted = self.wanted(seen);
        let missing: BTreeSet<_> = wanted.difference(&heard).copied().collect();
        if missing.is_empty() {
            return judge.pass(self.subject(), evidence);
        }
        let case = if heard.is_empty() { "silent" } else { "missing" };
        let args = [
            ("node", self.node.to_string()),
            ("segment", self.segment.to_string()),
            ("asker", self.asker.0.to_string()),
            ("rounds", rounds.to_string()),
            ("groups", words(&wanted)),
            ("missing", words(&missing)),
            ("heard", words(&heard)),
        ];
        let scope = Scope {
            family: Some(Family::V6),
            nodes: vec![self.node.clone()],
            segments: vec![self.segment.clone()],
            packets: Some(Packets::NeighbourDiscovery),
            ..Scope::default()
        };
        let culprit = Culprit::node(self.node, "MLD");
        let complaint = Complaint {
            severity: Severity::Minor,
            confidence: Confidence::High,
            // Nobody feels it before a switch snoops: it explains nothing else.
            depth: Depth::Symptom,
            ..complaint(stage, case, culprit, scope, args)
        };
        judge.fail(self.subject(), evidence, complaint)
    }
}

/// A link with a switch, as it is found by those who ask for each other.
struct Link<'l> {
    segment: &'l SegmentName,
    subjects: &'l [&'l Subject<'l>],
    asked: Vec<&'l Asked>,
}

impl Link<'_> {
    /// Whether frames to groups get to those who report them; `None` where nobody was asked for.
    fn judge(&self, stage: &Stage, seen: &Seen<'_>, is_silent: bool) -> Option<Judgement> {
        let judge = Judge(&TEXT);
        let subject = format!("{}/delivery", self.segment);
        let heard: Vec<_> = self.asked.iter().filter_map(|asked| asked.read(seen)).collect();
        let found = heard.iter().find(|heard| !heard.macs.is_empty());
        if let Some(found) = found {
            return Some(judge.pass(subject, found.evidence.clone()));
        }
        if heard.is_empty() {
            return None;
        }
        let reports = self.subjects.iter().filter_map(|subject| {
            let (evidence, groups, _) = subject.read(seen).ok()?;
            (!groups.is_empty()).then_some((subject.node, evidence))
        });
        let (listeners, reported): (BTreeSet<_>, Vec<_>) = reports.unzip();
        let (after, found) = self.answers(seen, Asked::after);
        let (directly, direct) = self.answers(seen, Asked::directly);
        let asked = heard.iter().flat_map(|heard| heard.evidence.iter().copied());
        let evidence: Vec<_> =
            asked.chain(reported.into_iter().flatten()).chain(after).chain(directly).collect();
        if !is_silent || listeners.len() < 2 {
            let reason =
                "no neighbour answers and no two report a group: `l2.neighbour-path` tells why";
            return Some(judge.blocked(subject, reason, evidence));
        }
        if !found.is_empty() && direct.is_empty() {
            let reason = "it carried nothing at first, and then it did";
            return Some(judge.not_testable(subject, reason, evidence));
        }
        let case = if found.is_empty() { "undelivered" } else { "no-querier" };
        let rounds = heard.iter().map(|heard| heard.evidence.len()).max().unwrap_or_default();
        let args = [
            ("segment", self.segment.to_string()),
            ("listeners", names(listeners)),
            ("asked", self.asked.len().to_string()),
            ("rounds", rounds.to_string()),
            ("direct", names(direct.iter().copied())),
            ("found", names(found.iter().copied())),
        ];
        let scope = Scope {
            family: Some(Family::V6),
            segments: vec![self.segment.clone()],
            ..Scope::default()
        };
        let culprit = Culprit::segment(self.segment, "MLD snooping");
        let complaint = Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            // Nobody finds anybody across the link: whatever crosses it fails.
            depth: Depth::Foundation,
            ..complaint(stage, case, culprit, scope, args)
        };
        Some(judge.fail(subject, evidence, complaint))
    }

    /// Who answered for its own address when asked in one way, and all evidence of it.
    fn answers(
        &self,
        seen: &Seen<'_>,
        how: fn(&Asked) -> Probe,
    ) -> (Vec<EvidenceId>, Vec<&NodeName>) {
        let answers =
            self.asked.iter().filter_map(|asked| Some((*asked, seen.answer(&how(asked))?)));
        let (mut evidence, mut owners) = (Vec::new(), Vec::new());
        for (asked, (id, answer)) in answers {
            evidence.push(id);
            if matches!(answer, Answer::Neighbour { macs, .. } if macs.contains(&asked.mac)) {
                owners.push(&asked.owner);
            }
        }
        (evidence, owners)
    }
}

fn names<'n>(nodes: impl IntoIterator<Item = &'n NodeName>) -> String {
    let names: BTreeSet<_> = nodes.into_iter().map(NodeName::as_str).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

fn words(groups: &BTreeSet<Ipv6Addr>) -> String {
    let words: Vec<_> = groups.iter().map(ToString::to_string).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::phase::Phase,
    };

    /// What is heard of the portal on its link is this.
    fn portal_reports(keep: fn(&Ipv6Addr) -> bool) -> Network {
        let network = Network::healthy(Phase::DualStack);
        let mac = network.plan.nodes["portal"].interface("eth0").unwrap().mac;
        network.bend(move |_, answer| {
            if let Answer::Listeners { heard } = answer {
                let own = heard.iter_mut().filter(|listener| listener.mac == mac);
                own.for_each(|listener| listener.groups.retain(keep));
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&Multicast);
    }

    #[test]
    fn a_node_that_reports_nothing_is_found() {
        let found = fixture::complaints(&Multicast, &portal_reports(|_| false));
        assert_eq!(found, [("silent".to_owned(), "portal (MLD)".to_owned())]);
    }

    #[test]
    fn a_node_that_reports_other_groups_alone_is_found() {
        let other = portal_reports(|group| *group == "ff02::fb".parse::<Ipv6Addr>().unwrap());
        let found = fixture::complaints(&Multicast, &other);
        assert_eq!(found, [("missing".to_owned(), "portal (MLD)".to_owned())]);
    }

    /// On the link of the portal nobody finds anybody by groups: whether a query mends that, and whether reports and neighbours
    /// that are asked alone are heard.
    fn unanswered(is_mended: bool, hears_reports: bool, is_alive: bool) -> Network {
        let network = Network::healthy(Phase::DualStack);
        let dmz: Vec<_> = neighbour::of_stage(&network.plan)
            .into_iter()
            .filter(|asked| asked.segment.as_str() == "dmz")
            .collect();
        let mended: Vec<_> = dmz.iter().map(Asked::after).collect();
        let targets: Vec<_> = dmz.iter().map(|asked| asked.address).collect();
        network.bend(move |probe, answer| match (answer, &probe.question) {
            (Answer::Neighbour { macs, .. }, Question::Neighbour { target, known, .. })
                if targets.contains(target) =>
            {
                let is_heard =
                    if known.is_some() { is_alive } else { is_mended && mended.contains(probe) };
                macs.retain(|_| is_heard);
            }
            (Answer::Listeners { heard }, _) if !hears_reports => heard.clear(),
            _ => {}
        })
    }

    #[test]
    fn a_switch_that_passes_no_group_on_is_found_and_a_dead_link_is_not_mistaken_for_it() {
        let found = |network| fixture::complaints(&Multicast, &network);
        let of_link = ("undelivered".to_owned(), "dmz (MLD snooping)".to_owned());
        assert_eq!(found(unanswered(false, true, true)), [of_link]);
        let dead = found(unanswered(false, false, false));
        assert!(dead.iter().all(|(case, _)| case == "silent"));
    }

    #[test]
    fn a_switch_without_a_querier_is_found_and_a_link_that_comes_up_late_is_not_mistaken_for_it() {
        let found = |network| fixture::complaints(&Multicast, &network);
        let of_link = ("no-querier".to_owned(), "dmz (MLD snooping)".to_owned());
        assert_eq!(found(unanswered(true, true, true)), [of_link]);
        assert_eq!(found(unanswered(true, true, false)), []);
    }

    #[test]
    fn duties_have_groups_of_their_own() {
        let plan = Network::healthy(Phase::DualStack).plan;
        let of = |name: &str, interface: &str| {
            let node = &plan.nodes[name];
            groups(&plan, &fixture::node(name), node.interface(interface).unwrap())
        };
        let routes = Group { group: ALL_ROUTERS, of: None };
        assert!(
            of("firewall", "dmz0").contains(&routes) && !of("portal", "eth0").contains(&routes)
        );
    }
}

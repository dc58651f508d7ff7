//! `l2.ra-lifetime-switchover`: where two routers announce themselves, hosts leave the one that withdraws.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use crate::{
    check::{
        Case, Check, Text, UseCase, advertisement, ask,
        reading::{Judge, complaint},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        flow::Traffic,
        name::{NodeName, SegmentName},
        node::Address,
        probe::{Aspect, Probe, Question, RouterAct},
        segment::Plane,
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Lets the default router of a link withdraw as it does before maintenance (RFC 4861 section 6.2.5), looks at the list of
/// default routers that each host holds, asks for somebody beyond, and lets it return.
pub(super) struct Switchover;

static TEXT: Text = Text {
    id: "l2.ra-lifetime-switchover",
    title: "Hosts leave a router that withdraws",
    section: "S2 2.2.2",
    use_case: UseCase::NetworkServices,
    question: "When the default router withdraws, do hosts turn to the other at once, and does it lead on?",
    good: "Hosts leave the default router when it withdraws, and the other leads on.",
    references: &["RFC 4861 section 6.2.5", "RFC 4861 section 6.3.4", "RFC 4191"],
    cases: &[
        Case {
            name: "kept",
            finding: "{host} on {segment} still holds {router} as a default router after it has withdrawn.",
            expected: "The list of default routers of {host} without {router}, and with {other}.",
            observed: "Before: {before}. After: {after}. It would hold {router} for {left}.",
            remedy: "Let {router} say farewell: a last Router Advertisement with lifetime 0 when it stops to forward (RFC 4861 \
                     section 6.2.5). Without it hosts keep a dead default route for up to {lifetime} s.",
        },
        Case {
            name: "stranded",
            finding: "{host} on {segment} holds no default router once {router} has withdrawn.",
            expected: "The list of default routers of {host} with {other}.",
            observed: "Before: {before}. After: {after}.",
            remedy: "Let {other} announce itself with a lifetime of its own (RFC 4861 section 6.2.1), and {host} take more than one \
                     default router.",
        },
        Case {
            name: "dead-end",
            finding: "Once {router} has withdrawn, {host} on {segment} does not reach {target}: {other} does not lead there.",
            expected: "An echo reply of {target}, over {other}.",
            observed: "{target} answered before. After: {after}, and no answer.",
            remedy: "Give {other} the routes and rules that {router} has: it is a default router of the link.",
        },
    ],
};

/// So long it takes a host at most, by the defaults, to notice that a router is gone without a word: it was found reachable just
/// now, waits before it doubts that, and asks three times (RFC 4861 sections 7.3 and 10).
const NOTICED_S: u32 = 30 + 5 + 3;

/// The rounds of what is asked before and after: others look at the same nodes at other moments.
const BEFORE: u8 = 8;
const AFTER: u8 = 9;

impl Check for Switchover {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        pairs(stage).iter().map(|pair| pair.experiment(stage)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let found = pairs(stage).iter().flat_map(|pair| pair.judge(stage, seen)).collect();
        let none = "on no link do hosts hear two default routers in this phase";
        Judge(&TEXT).or_not_applicable(found, none)
    }
}

/// A router of a link.
type Router<'s> = (&'s NodeName, &'s StagedInterface);

/// A link with two default routers, and the hosts that hear them.
struct Pair<'s> {
    segment: &'s SegmentName,
    first: Router<'s>,
    other: Router<'s>,
    lifetime_s: u16,
    hosts: Vec<(&'s NodeName, &'s StagedInterface)>,
}

/// Links that are planned to lose frames are left out: a farewell may get lost there.
fn pairs(stage: &Stage) -> Vec<Pair<'_>> {
    let sound = |segment: &&SegmentName| stage.testbed.segments[*segment].impairment.loss.0 == 0;
    advertisement::links(stage).filter(sound).filter_map(|segment| pair(stage, segment)).collect()
}

fn pair<'s>(stage: &'s Stage, segment: &'s SegmentName) -> Option<Pair<'s>> {
    let planned = advertisement::planned(stage, segment);
    let [(first, at, said), (other, other_at, _), ..] = *planned.as_slice() else { return None };
    let hosts = stage.nodes.iter().flat_map(|(name, node)| {
        let mine = node.interfaces.iter().filter(|i| i.segment == *segment);
        mine.filter(|i| i.accepts_advertisements).map(move |interface| (name, interface))
    });
    let hosts: Vec<_> = hosts.collect();
    let lifetime_s = said.plan.lifetime_s;
    let pair = Pair { segment, first: (first, at), other: (other, other_at), lifetime_s, hosts };
    (lifetime_s > 0 && !pair.hosts.is_empty()).then_some(pair)
}

impl<'s> Pair<'s> {
    fn experiment(&self, stage: &Stage) -> Experiment {
        let at =
            |round| self.hosts.iter().flat_map(move |host| self.questions(stage, host.0, round));
        let mut probes: Vec<_> = at(BEFORE).collect();
        probes.push(self.act(RouterAct::Withdraw));
        probes.extend(at(AFTER));
        probes.push(self.act(RouterAct::Return));
        // Others find the link as it was: the router is heard again before anything else is asked.
        probes.extend(self.hosts.first().map(|host| solicit(*host)));
        Experiment { probes, in_order: true, alone: true, ..Experiment::default() }
    }

    /// What a host is asked at a moment. Its question to the other router comes first: what the first has said before has
    /// arrived when that is answered.
    fn questions(&self, stage: &Stage, host: &NodeName, round: u8) -> Vec<Probe> {
        let beyond = self.beyond(stage, host).map(|(_, to)| ping(host, to, round));
        let other = address(self.other.1).map(|to| ping(host, to, round));
        other.into_iter().chain([look(host, round)]).chain(beyond).collect()
    }

    fn act(&self, act: RouterAct) -> Probe {
        let interface = self.first.1.name.clone();
        ask::probe(self.first.0, Question::Router { interface, act })
    }

    /// Somebody whom a host may ping through the first router. Where one of the two filters, answers would come back by a
    /// node that knows nothing of the question.
    fn beyond(&self, stage: &'s Stage, host: &NodeName) -> Option<(&'s NodeName, IpAddr)> {
        let filters = |router: Router<'_>| stage.testbed.nodes[router.0].role.filters();
        if filters(self.first) || filters(self.other) {
            return None;
        }
        let through = |to: IpAddr| {
            stage.path(host, to).is_ok_and(|path| path.nodes.get(1) == Some(self.first.0))
                && stage.path(self.other.0, to).is_ok()
        };
        let allowed = stage.nodes.keys().filter(|to| stage.is_allowed(host, to, &Traffic::Ping));
        // A router has addresses that other routes lead to than those of the users behind it.
        let (routers, hosts): (Vec<_>, Vec<_>) =
            allowed.partition(|name| stage.testbed.nodes[*name].role.forwards());
        let mut far = hosts.into_iter().chain(routers).filter_map(|name| {
            let addresses = stage.addresses(name, Plane::Data, Family::V6);
            addresses.into_iter().find(|to| through(*to)).map(|to| (name, to))
        });
        far.next()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subject = |host: &NodeName| format!("{}/{host}", self.segment);
        let (act, refused) = match seen.answer(&self.act(RouterAct::Withdraw)) {
            Some((id, answer)) => (Some(id), answer.not_asked().map(str::to_owned)),
            None => (None, Some("nobody let the router withdraw".to_owned())),
        };
        if let Some(reason) = refused {
            let all = self.hosts.iter();
            return all.map(|(host, _)| judge.not_testable(subject(host), &reason, [])).collect();
        }
        let lists: Vec<_> = self.hosts.iter().map(|host| self.lists(seen, *host)).collect();
        let keeps = |lists: &Lists| lists.after.contains_key(&self.first.1.mac.link_local());
        let all_keep = lists.iter().flatten().all(keeps);
        let hosts = self.hosts.iter().zip(lists);
        let judged = hosts.map(|((host, _), lists)| {
            let mut lists = match lists {
                Ok(lists) => lists,
                Err(reason) => return judge.not_testable(subject(host), reason, act.as_slice()),
            };
            lists.evidence.extend(act);
            self.of_host(stage, seen, host, &lists, all_keep)
        });
        judged.collect()
    }

    /// The default routers that a host holds, before and after.
    fn lists(
        &self,
        seen: &Seen<'_>,
        (host, interface): (&NodeName, &StagedInterface),
    ) -> Result<Lists, String> {
        let mut evidence = Vec::new();
        let mut list = |round| match seen.answer(&look(host, round)) {
            Some((id, Answer::Routes(routes))) => {
                evidence.push(id);
                let learned = routes.iter().filter(|route| {
                    route.origin == "ra"
                        && route.interface == interface.name.as_str()
                        && route.to == Family::V6.everything()
                });
                let routers = learned.filter_map(|route| match route.via {
                    Some(IpAddr::V6(via)) => Some((via, route.expires_s)),
                    _ => None,
                });
                Ok(routers.collect::<Routers>())
            }
            Some((_, other)) => {
                Err(other.not_asked().unwrap_or("the answer holds no routes").to_owned())
            }
            None => Err("its routes were not read".to_owned()),
        };
        let (before, after) = (list(BEFORE)?, list(AFTER)?);
        let arrived = address(self.other.1).and_then(|to| seen.answer(&ping(host, to, AFTER)));
        evidence.extend(arrived.map(|(id, _)| id));
        if !arrived.is_some_and(|(_, answer)| answer.is_answered()) {
            let other = self.other.0;
            return Err(format!(
                "{other} did not answer, so that a farewell may have been lost, too"
            ));
        }
        Ok(Lists { before, after, evidence })
    }

    fn of_host(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        host: &NodeName,
        lists: &Lists,
        all_keep: bool,
    ) -> Judgement {
        let judge = Judge(&TEXT);
        let subject = format!("{}/{host}", self.segment);
        let evidence = lists.evidence.clone();
        let [first, other] = [self.first, self.other].map(|(_, at)| at.mac.link_local());
        if !lists.before.contains_key(&first) {
            let reason = format!("it did not hold {} before: `l2.ra-plan` tells why", self.first.0);
            return judge.blocked(subject, reason, evidence);
        }
        let fail = |case, culprit, evidence, target: &str| {
            judge.fail(&subject, evidence, self.blame(stage, case, host, culprit, (lists, target)))
        };
        if let Some(left) = lists.after.get(&first) {
            if let Some(left_s) = left.filter(|left_s| *left_s <= self.bearable_s()) {
                let router = self.first.0;
                let reason =
                    format!("{router} went without a farewell, and is forgotten in {left_s} s");
                return judge.absent(subject, reason, evidence);
            }
            let culprit = if all_keep {
                Culprit::node(self.first.0, "farewell as a router")
            } else {
                Culprit::node(host, "list of default routers")
            };
            return fail("kept", culprit, evidence, "");
        }
        if !lists.after.contains_key(&other) {
            let held = lists.before.contains_key(&other) || self.other_announces(seen);
            let culprit = if held {
                Culprit::node(host, "list of default routers")
            } else {
                Culprit::node(self.other.0, format!("advertisement on {}", self.other.1.name))
            };
            return fail("stranded", culprit, evidence, "");
        }
        let Some((target, to)) = self.beyond(stage, host) else {
            return judge.pass(subject, evidence);
        };
        let [was, is] = [BEFORE, AFTER].map(|round| seen.answer(&ping(host, to, round)));
        let evidence: Vec<_> =
            evidence.into_iter().chain([was, is].into_iter().flatten().map(|(id, _)| id)).collect();
        match [was, is].map(|seen| seen.is_some_and(|(_, answer)| answer.is_answered())) {
            [true, false] => {
                let culprit = Culprit::node(self.other.0, "way on from the link");
                fail("dead-end", culprit, evidence, target.as_str())
            }
            _ => judge.pass(subject, evidence),
        }
    }

    /// Whether the other was heard to be a default router when the first had returned.
    fn other_announces(&self, seen: &Seen<'_>) -> bool {
        let answer = self.hosts.first().and_then(|host| seen.answer(&solicit(*host)));
        let Some((_, Answer::Advertisements { heard })) = answer else { return false };
        heard
            .iter()
            .any(|said| advertisement::is_from(said, self.other.1.mac) && said.lifetime_s > 0)
    }

    /// How long a host may hold a router that is gone: as long as it is planned to, if that is no longer than it takes to notice.
    fn bearable_s(&self) -> u32 {
        let lifetime_s = u32::from(self.lifetime_s);
        if lifetime_s <= NOTICED_S { lifetime_s } else { 0 }
    }

    fn blame(
        &self,
        stage: &Stage,
        case: &str,
        host: &NodeName,
        culprit: Culprit,
        (lists, target): (&Lists, &str),
    ) -> Complaint {
        let left = lists.after.get(&self.first.1.mac.link_local()).copied().flatten();
        let left = left.map_or_else(|| "longer".to_owned(), |left_s| format!("{left_s} s more"));
        let args = [
            ("host", host.to_string()),
            ("segment", self.segment.to_string()),
            ("router", self.first.0.to_string()),
            ("other", self.other.0.to_string()),
            ("before", self.words(&lists.before)),
            ("after", self.words(&lists.after)),
            ("lifetime", self.lifetime_s.to_string()),
            ("left", left),
            ("target", target.to_owned()),
        ];
        let packets = (case != "dead-end").then_some(Packets::RouterDiscovery);
        let scope = Scope {
            family: Some(Family::V6),
            nodes: culprit.node.clone().into_iter().collect(),
            segments: vec![self.segment.clone()],
            packets,
            ..Scope::default()
        };
        Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            // Nobody feels it before the router withdraws: it explains nothing else.
            depth: Depth::Symptom,
            ..complaint(stage, case, culprit, scope, args)
        }
    }

    /// Default routers by their names, where they are of the plan.
    fn words(&self, routers: &Routers) -> String {
        let name = |router: &Ipv6Addr| {
            let known = [self.first, self.other];
            let known = known.into_iter().find(|(_, at)| at.mac.link_local() == *router);
            known.map_or_else(|| router.to_string(), |(name, _)| format!("{name} ({router})"))
        };
        let words: Vec<_> = routers.keys().map(name).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(", ") }
    }
}

/// Default routers, with the seconds until each is forgotten.
type Routers = BTreeMap<Ipv6Addr, Option<u32>>;

/// The default routers of a host before and after.
struct Lists {
    before: Routers,
    after: Routers,
    evidence: Vec<EvidenceId>,
}

fn look(host: &NodeName, round: u8) -> Probe {
    Probe { round, ..ask::inspect(host, Aspect::Routes) }
}

fn solicit((host, interface): (&NodeName, &StagedInterface)) -> Probe {
    let question = Question::Solicit { interface: interface.name.clone() };
    Probe { round: AFTER, ..ask::probe(host, question) }
}

fn ping(host: &NodeName, to: IpAddr, round: u8) -> Probe {
    Probe { round, ..ask::ping(host, to) }
}

fn address(interface: &StagedInterface) -> Option<IpAddr> {
    let mut addresses = interface.addresses.iter();
    addresses.find(|address| address.family() == Family::V6).map(Address::ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{phase::Phase, verdict::Verdict},
    };

    /// What a host is seen to hold after the withdrawal is bent.
    fn bent(change: fn(&mut Vec<crate::model::answer::RouteState>)) -> Network {
        Network::of_two_routers(Phase::DualStack).bend(move |probe, answer| {
            if let (Answer::Routes(routes), AFTER) = (answer, probe.round) {
                change(routes);
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&Switchover);
        for phase in [Phase::DualStack, Phase::Ipv6Only] {
            let judgements = Network::of_two_routers(phase).ask(&[&Switchover]);
            let verdicts: Vec<_> = judgements.iter().map(|j| j.verdict).collect();
            assert_eq!(verdicts, [Verdict::Pass, Verdict::Pass], "{judgements:#?}");
        }
    }

    #[test]
    fn a_router_that_says_no_farewell_is_found() {
        let found = fixture::complaints(
            &Switchover,
            &Network::of_two_routers(Phase::DualStack).without_farewell(),
        );
        let culprit = "first (farewell as a router)".to_owned();
        assert_eq!(found, [("kept".to_owned(), culprit.clone()), ("kept".to_owned(), culprit)]);
    }

    #[test]
    fn a_router_that_is_forgotten_soon_needs_no_farewell() {
        let short = |held_s: u32| {
            let mut network = Network::of_two_routers(Phase::DualStack).without_farewell();
            let mut testbed = (*network.plan.testbed).clone();
            let plan = testbed.segments.get_mut("lan").unwrap().advertise.as_mut().unwrap();
            plan.lifetime_s = 30;
            network.plan = Stage::new(&testbed.into(), Phase::DualStack);
            let network = network.bend(move |_, answer| {
                if let Answer::Routes(routes) = answer {
                    let learned = routes.iter_mut().filter(|route| route.origin == "ra");
                    learned.for_each(|route| route.expires_s = Some(held_s));
                }
            });
            fixture::complaints(&Switchover, &network).len()
        };
        assert_eq!((short(29), short(1_799)), (0, 2));
    }

    #[test]
    fn a_host_that_holds_nobody_any_more_is_found() {
        let found = fixture::complaints(&Switchover, &bent(Vec::clear));
        assert!(found.iter().all(|(case, _)| case == "stranded"), "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_second_router_that_leads_nowhere_is_found() {
        let network = Network::of_two_routers(Phase::DualStack).bend(|probe, answer| {
            if let (Answer::Echo { attempt }, Question::Ping { to, .. }, AFTER) =
                (answer, &probe.question, probe.round)
                && *to == "2001:db8:2::10".parse::<IpAddr>().unwrap()
            {
                attempt.outcome = crate::model::answer::Outcome::TimedOut;
            }
        });
        let found = fixture::complaints(&Switchover, &network);
        let culprit = "spare (way on from the link)".to_owned();
        assert_eq!(
            found,
            [("dead-end".to_owned(), culprit.clone()), ("dead-end".to_owned(), culprit)]
        );
    }

    #[test]
    fn where_the_other_router_is_silent_nothing_is_known() {
        let network = Network::of_two_routers(Phase::DualStack).bend(|probe, answer| {
            if let (Answer::Echo { attempt }, AFTER) = (answer, probe.round) {
                attempt.outcome = crate::model::answer::Outcome::TimedOut;
            }
        });
        let judgements = network.ask(&[&Switchover]);
        assert!(judgements.iter().all(|j| j.verdict == Verdict::NotTestable), "{judgements:#?}");
    }
}

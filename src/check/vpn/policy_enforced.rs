//! `vpn.policy-enforced`: what the relations and the flows do not allow does not pass through a tunnel, at either end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        crossing::{self, Crossing},
        knock::Knock,
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        flow::Traffic,
        name::NodeName,
        probe::{Probe, Question},
        segment::Plane,
        service::{Port, Service, Transport},
        tap::{Tap, Watch},
        tunnel::TunnelAct,
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// The check.
pub(super) struct PolicyEnforced;

/// How many packets that are not coupled are sent: a stray one of somebody else is none of them.
const FORGED: u8 = 3;
/// Where they go to: the discard port (RFC 863).
const DISCARD: u16 = 9;
/// The moments at which gateways are read: around what each end should keep back itself, and around what one end is told to
/// put in, so that the other has to keep it back.
const BEFORE: &str = "before what is not coupled";
const AFTER: &str = "after what is not coupled";
const WIDE: &str = "after what is not coupled and was put in all the same";

static TEXT: Text = Text {
    id: "vpn.policy-enforced",
    title: "Only what is allowed goes through tunnels",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Does each end of a tunnel keep back what its relations do not couple, and drop what no flow allows before it \
               goes in and after it has come out, equally in both families?",
    good: "Tunnels carry what is coupled and allowed, and nothing else.",
    references: &["RFC 4301 section 4.4.1", "GEN6 D3.6.4 section 2.2.3"],
    cases: &[
        Case {
            name: "open",
            finding: "{by} lets {family} through the tunnel that no flow names: {what} from {from} to {to}.",
            expected: "{by} drops {what} from {from} to {to}.",
            observed: "{observed}; behind {by}, {frames} packets were seen on {after}.",
            remedy: "Give the filter of {by} the same rules for both families, and drop what no rule names.",
        },
        Case {
            name: "uncoupled",
            finding: "{gateway} puts {family} into the tunnel {tunnel} that it does not couple: from {source} to {to}.",
            expected: "{gateway} keeps back what is no relation of the tunnel.",
            observed: "Of {forged} packets, {gateway} put {sent} into the tunnel, and {peer} took {received} out of it.",
            remedy: "Write the selectors of both ends for each family by itself, as narrow in IPv6 as in IPv4.",
        },
        Case {
            name: "taken",
            finding: "{gateway} takes {family} out of the tunnel {tunnel} that it does not couple: from {source} to {to}.",
            expected: "{gateway} drops what comes and is no relation of the tunnel (RFC 4301 section 5.2).",
            observed: "Of {forged} packets that {peer} was told to put in, {gateway} took {received} out of the tunnel.",
            remedy: "Compare what comes out of the tunnel with the selectors too, in both families.",
        },
    ],
};

impl Check for PolicyEnforced {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let mut all = Vec::new();
        for couple in couples::of_stage(stage) {
            let knocks = knocks(stage, &couple);
            all.extend(knocks.iter().map(|knock| knock.passage().experiment(knock.probe.clone())));
            all.push(Experiment::of_probes([control(&couple)]));
            all.extend(forgery(stage, &couple).map(|forgery| forgery.experiment(stage)));
        }
        all
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let couples = couples::of_stage(stage);
        let found = couples.iter().flat_map(|couple| of_couple(judge, stage, seen, couple));
        couples::judged(judge, stage, |_| true, found)
    }
}

/// What shows that the tunnel carries: the small echo of `vpn.matrix`.
fn control(couple: &Couple) -> Probe {
    ask::ping(couple.from(), couple.path.destination)
}

fn of_couple(judge: Judge, stage: &Stage, seen: &Seen<'_>, couple: &Couple) -> Vec<Judgement> {
    let subject = couple.subject();
    let carries = match seen.answer(&control(couple)) {
        Some((id, answer)) if answer.is_answered() => id,
        Some((id, _)) => {
            let reason = "the tunnel carries nothing: see vpn.matrix";
            return vec![judge.blocked(subject, reason, [id])];
        }
        None => return vec![judge.not_testable(subject, "nothing was sent", [])],
    };
    let knocks = knocks(stage, couple).into_iter();
    let mut found: Vec<_> = knocks.map(|knock| knock.judge(judge, stage, seen)).collect();
    let selectors = || {
        let reason = "every address of the testbed is coupled";
        let of = |at: &NodeName| format!("{subject}, selectors of {at}");
        [&couple.gateway, &couple.end.peer].map(|at| judge.not_applicable(of(at), reason))
    };
    let forged = forgery(stage, couple).map(|forgery| forgery.judge_both(judge, stage, seen));
    found.extend(forged.unwrap_or_else(selectors));
    // Only a tunnel that carries can let something pass.
    for judgement in &mut found {
        judgement.evidence.push(carries);
    }
    found
}

/// What no flow names, knocked at across both gateways: from a host, which the first gateway has to stop, and from the first
/// gateway itself, which leaves it to the second. It is a port that nobody uses, and a service of a host that is none of the
/// sender's.
fn knocks(stage: &Stage, couple: &Couple) -> Vec<Knock> {
    let unused = crossings(stage, couple, couple.path.destination).filter_map(|crossing| {
        let port = crossing.unused_port(stage, Transport::Udp);
        knock(stage, crossing, port, &format!("{}, {port}", couple.subject()))
    });
    let mut others = couple.far_hosts(stage).into_iter().filter(|(host, _)| host != couple.to());
    let forbidden = others.find_map(|(host, address)| {
        services(stage, &host, couple.inner()).find_map(|port| {
            let subject = format!("{}, {port} of {host}", couple.subject());
            let all: Vec<_> = crossings(stage, couple, address)
                .filter_map(|crossing| knock(stage, crossing, port, &subject))
                .collect();
            (!all.is_empty()).then_some(all)
        })
    });
    unused.chain(forbidden.into_iter().flatten()).collect()
}

/// The TCP ports at which a host listens for those who come from outside its own networks.
fn services<'s>(
    stage: &'s Stage,
    host: &'s NodeName,
    family: Family,
) -> impl Iterator<Item = Port> + 's {
    let node = &stage.testbed.nodes[host];
    let services = node
        .services
        .iter()
        .filter(move |service| service.on.is_none() && stage.listens(node, service, family));
    services.flat_map(Service::ports).filter(|port| port.transport == Transport::Tcp)
}

/// Where the ways to an address meet the filters at both ends of the tunnel: from the host of a couple, and from its gateway.
fn crossings<'s>(
    stage: &'s Stage,
    couple: &'s Couple,
    to: IpAddr,
) -> impl Iterator<Item = Crossing> + 's {
    let inside = couple.inside(stage);
    let ways = [couple.from(), &couple.gateway].into_iter();
    ways.filter_map(move |from| stage.path(from, to).ok()).flat_map(move |path: Path| {
        let own = crossing::of_path(stage, &path).into_iter();
        own.filter(move |at| at.is_first(stage) && [at.before(), at.after()].contains(&inside))
    })
}

fn knock(stage: &Stage, crossing: Crossing, port: Port, subject: &str) -> Option<Knock> {
    let traffic = Traffic::Port { word: port.to_string(), port };
    let to = crossing.path.destination;
    crossing.is_closed(stage, &traffic).then(|| Knock {
        subject: format!("{subject} at {}", crossing.by),
        what: port.to_string(),
        probe: ask::knock(crossing.from(), to, port),
        to,
        port: Some(port),
        is_used: true,
        crossing,
    })
}

/// Packets that a gateway would send into a tunnel from an address that the tunnel does not couple.
struct Forgery<'c> {
    couple: &'c Couple,
    source: IpAddr,
}

/// From the gateway itself, whose kernel has a route into the tunnel for every source. The address is that of a host elsewhere, or
/// one that nobody has: those of the gateways and of the far side are what a program may treat in a way of its own.
fn forgery<'c>(stage: &Stage, couple: &'c Couple) -> Option<Forgery<'c>> {
    let to = couple.path.destination;
    let is_beyond = |address: &IpAddr| {
        couple.end.relations.iter().any(|relation| relation.there.contains(address))
    };
    let ends = [&couple.gateway, &couple.end.peer];
    let others = stage.nodes.keys().filter(|node| !ends.contains(node));
    let mut sources = others
        .flat_map(|node| stage.addresses(node, Plane::Data, couple.inner()))
        .filter(|address| !is_beyond(address))
        .chain([of_nobody(couple.inner())]);
    let source = sources.find(|source| *source != to && !couple.end.couples(*source, to))?;
    Some(Forgery { couple, source })
}

/// The dummy address of IPv4 (RFC 7600 section 4.8), and one of the discard prefix of IPv6 (RFC 6666).
fn of_nobody(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 0, 8).into(),
        Family::V6 => Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1).into(),
    }
}

impl Forgery<'_> {
    fn token(&self, stage: &Stage) -> String {
        format!("sixwalk {} not coupled {}", stage.phase.word(), self.couple.subject())
    }

    fn tap(&self, stage: &Stage) -> Tap {
        let watch = Watch::Payload { family: Some(self.couple.inner()), token: self.token(stage) };
        let segment = self.couple.inside(stage).clone();
        Tap { segment, watch, label: "not coupled".to_owned() }
    }

    /// What is coupled goes after what is not: when it has been counted, so has everything before it.
    fn canary(&self, stage: &Stage) -> Probe {
        let token = format!("sixwalk {} coupled {}", stage.phase.word(), self.couple.subject());
        let to = self.couple.path.destination;
        ask::probe(self.couple.from(), Question::Canary { to, token })
    }

    fn experiment(&self, stage: &Stage) -> Experiment {
        let to = SocketAddr::new(self.couple.path.destination, DISCARD);
        let forged = (0..FORGED).map(|round| {
            let question = Question::Spoof { source: self.source, to, token: self.token(stage) };
            Probe { round, ..ask::probe(&self.couple.gateway, question) }
        });
        let forged: Vec<_> = forged.collect();
        let canary = self.canary(stage);
        let mut probes: Vec<_> = self.couple.count(BEFORE).into();
        probes.extend(forged.iter().cloned());
        probes.push(canary.clone());
        probes.extend(self.couple.count(AFTER));
        probes.push(self.widen());
        probes.extend(forged.iter().map(|probe| ask::again(probe, FORGED + probe.round)));
        probes.push(ask::again(&canary, 1));
        probes.extend(self.couple.count(WIDE));
        probes.push(self.act(TunnelAct::Narrow));
        let taps = vec![self.tap(stage)];
        Experiment { taps, probes, in_order: true, alone: true, ..Experiment::default() }
    }

    /// What has this end put in what it does not couple.
    fn widen(&self) -> Probe {
        self.act(TunnelAct::Widen { source: self.source, to: self.couple.path.destination })
    }

    fn act(&self, act: TunnelAct) -> Probe {
        self.couple.act(act, "for vpn.policy-enforced")
    }

    /// What this end keeps back, and what the other does where this one was told not to.
    fn judge_both(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> [Judgement; 2] {
        [self.judge(judge, stage, seen), self.judge_other(judge, stage, seen)]
    }

    fn judge_other(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}, selectors of {}", self.couple.subject(), self.couple.end.peer);
        let mut evidence = Vec::new();
        match seen.answer(&self.widen()) {
            // One that declines may take it all the same.
            Some((id, Answer::Done | Answer::Declined { .. })) => evidence.push(id),
            Some((id, other)) => {
                let reason = other.not_asked().unwrap_or("the gateway gave another answer");
                return judge.not_testable(subject, reason, [id]);
            }
            None => return judge.not_testable(subject, "nobody opened the selectors", []),
        }
        let Some([sent, received]) = self.counted(seen, [AFTER, WIDE], &mut evidence) else {
            return judge.not_testable(subject, "a gateway was not read", evidence);
        };
        if sent <= u64::from(FORGED) {
            let reason = "the other end did not put in what it was told to";
            return judge.not_testable(subject, reason, evidence);
        }
        let canary = seen.answer(&ask::again(&self.canary(stage), 1));
        evidence.extend(canary.map(|(id, _)| id));
        if !canary.is_some_and(|(_, answer)| answer.is_answered()) {
            let reason = "what is coupled did not pass at that moment either";
            return judge.not_testable(subject, reason, evidence);
        }
        if received <= u64::from(FORGED) {
            return judge.pass(subject, evidence);
        }
        judge.fail(subject, evidence, self.complaint(stage, "taken", sent, received))
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}, selectors of {}", self.couple.subject(), self.couple.gateway);
        let Some((id, reading)) = seen.reading(&self.tap(stage)) else {
            return judge.not_testable(subject, "nobody watched the tunnel", []);
        };
        let mut evidence = vec![id];
        if reading.frames < u64::from(FORGED) {
            let reason = "not all that is not coupled came to the tunnel";
            return judge.not_testable(subject, reason, evidence);
        }
        let canary = seen.answer(&self.canary(stage));
        evidence.extend(canary.map(|(id, _)| id));
        if !canary.is_some_and(|(_, answer)| answer.is_answered()) {
            let reason = "what is coupled did not pass at that moment either";
            return judge.not_testable(subject, reason, evidence);
        }
        let Some([sent, received]) = self.counted(seen, [BEFORE, AFTER], &mut evidence) else {
            return judge.not_testable(subject, "a gateway was not read", evidence);
        };
        // The canary is one more, and strays may be.
        if sent <= u64::from(FORGED) {
            return judge.pass(subject, evidence);
        }
        judge.fail(subject, evidence, self.complaint(stage, "uncoupled", sent, received))
    }

    /// How many packets this end has put into the tunnel, and the other has taken out of it.
    fn counted(
        &self,
        seen: &Seen<'_>,
        [before, after]: [&str; 2],
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<[u64; 2]> {
        let (ids, [here, there]) = self.couple.counted(seen, before)?;
        let (later, [here_after, there_after]) = self.couple.counted(seen, after)?;
        evidence.extend(ids.into_iter().chain(later));
        let sent = here_after.sent.packets.saturating_sub(here.sent.packets);
        let received = there_after.received.packets.saturating_sub(there.received.packets);
        Some([sent, received])
    }

    fn complaint(&self, stage: &Stage, case: &str, sent: u64, received: u64) -> Complaint {
        let couple = self.couple;
        let taken = case == "taken";
        let both = !taken && received > u64::from(FORGED);
        let (gateway, peer) = (&couple.gateway, &couple.end.peer);
        let (gateway, peer) = if taken { (peer, gateway) } else { (gateway, peer) };
        let args = [
            ("gateway", gateway.to_string()),
            ("peer", peer.to_string()),
            ("tunnel", couple.end.tunnel.to_string()),
            ("family", couple.inner().to_string()),
            ("source", self.source.to_string()),
            ("to", couple.path.destination.to_string()),
            ("forged", FORGED.to_string()),
            ("sent", (sent - 1).to_string()),
            ("received", received.saturating_sub(1).to_string()),
        ];
        let scope = Scope {
            family: Some(couple.inner()),
            nodes: vec![gateway.clone()],
            // An end that puts in what it does not couple is the wider trouble.
            segments: if taken { vec![couple.inside(stage).clone()] } else { Vec::new() },
            packets: Some(Packets::Excess),
            ..Scope::default()
        };
        let culprit = Culprit::node(gateway, format!("selectors of {}", couple.end.tunnel));
        Complaint {
            severity: if both { Severity::Critical } else { Severity::Major },
            confidence: Confidence::High,
            depth: Depth::Located,
            ..reading::complaint(stage, case, culprit, scope, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, complaints, node},
        model::{
            family::Family,
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
            verdict::Verdict,
        },
    };

    #[test]
    fn a_tunnel_that_keeps_its_policy_is_silent() {
        for phase in Phase::ALL {
            let judgements = Network::tunnelled(phase).ask(&[&PolicyEnforced]);
            assert!(judgements.iter().all(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
            let couples = if phase == Phase::DualStack { 4 } else { 2 };
            let of_host = |j: &&Judgement| j.subject.contains(", tcp/53 of resolver at ");
            let of_hosts = judgements.iter().filter(of_host).count();
            assert!(of_hosts > 0, "{phase}: {judgements:#?}");
            assert_eq!(judgements.len(), couples * 4 + of_hosts, "{phase}: {judgements:#?}");
        }
    }

    /// A gateway forwards what a rule says, before everything else.
    fn letting(at: &'static str, matches: Vec<Match>) -> Network {
        Network::tunnelled(Phase::DualStack).with(move |live| {
            let filter = &mut live.nodes.get_mut(&node(at)).unwrap().filter;
            let forward = filter.chains.iter_mut().find(|chain| chain.hook == Hook::Forward);
            let rule = Rule { label: "planted".to_owned(), matches, action: Action::Accept };
            forward.unwrap().rules.insert(0, rule);
        })
    }

    #[test]
    fn a_gateway_that_lets_everything_of_one_family_pass_is_found_at_either_end() {
        for at in ["gateway-a", "gateway-b"] {
            for family in Family::ALL {
                let found = complaints(&PolicyEnforced, &letting(at, vec![Match::Family(family)]));
                let culprit = format!("{at} (forwarding of {family})");
                let all = |(case, who): &(String, String)| case == "open" && *who == culprit;
                assert!(found.len() >= 2 && found.iter().all(all), "{found:?}");
            }
        }
    }

    #[test]
    fn a_rule_about_one_allowed_service_is_silent() {
        let https = Match::Port { transport: Transport::Tcp, number: 443 };
        assert_eq!(complaints(&PolicyEnforced, &letting("gateway-b", vec![https])), []);
    }

    /// After the forged packets a gateway has counted so many more than before.
    fn counting(at: &'static str, more: u64) -> Network {
        Network::tunnelled(Phase::DualStack).bend(move |probe, answer| {
            let Question::Tunnel { act: TunnelAct::Read, moment, .. } = &probe.question else {
                return;
            };
            if let Answer::Tunnels(states) = answer
                && probe.from == node(at)
                && moment.contains("IPv6 in")
                && moment.ends_with(AFTER)
            {
                for state in states {
                    state.counters.sent.packets += more;
                }
            }
        })
    }

    #[test]
    fn what_a_gateway_sends_without_coupling_it_is_found_and_a_stray_packet_is_not() {
        let found = complaints(&PolicyEnforced, &counting("gateway-a", 3));
        let wanted =
            ("uncoupled".to_owned(), "gateway-a (selectors of office-to-centre)".to_owned());
        assert_eq!(found, [wanted]);
        assert_eq!(complaints(&PolicyEnforced, &counting("gateway-a", 1)), []);
    }

    #[test]
    fn what_an_end_takes_without_coupling_it_is_found_at_that_end_alone() {
        let taking = Network::tunnelled(Phase::DualStack).bend(|probe, answer| {
            let Question::Tunnel { moment, .. } = &probe.question else { return };
            if let Answer::Tunnels(states) = answer
                && probe.from == node("gateway-b")
                && moment.contains("IPv6 in")
                && moment.contains("desk->")
                && moment.ends_with(WIDE)
            {
                for state in states {
                    state.counters.received.packets += u64::from(FORGED) + 1;
                }
            }
        });
        let wanted = ("taken".to_owned(), "gateway-b (selectors of office-to-centre)".to_owned());
        assert_eq!(complaints(&PolicyEnforced, &taking), [wanted]);
        let deaf = Network::tunnelled(Phase::Ipv6Only).bend(|probe, answer| {
            if matches!(probe.question, Question::Tunnel { act: TunnelAct::Widen { .. }, .. }) {
                *answer = Answer::NotAsked { reason: "it takes no orders".to_owned() };
            }
        });
        let judgements = deaf.ask(&[&PolicyEnforced]);
        let open = judgements.iter().filter(|j| j.verdict == Verdict::NotTestable).count();
        assert_eq!(open, 2, "{judgements:#?}");
    }

    /// What the other end says of what it is asked for is no proof: it is what comes out of the tunnel there.
    #[test]
    fn an_end_that_declines_passes_and_one_that_takes_it_all_the_same_is_found() {
        let declining = |takes: u64| {
            Network::tunnelled(Phase::Ipv6Only).bend(move |probe, answer| {
                let Question::Tunnel { moment, act, .. } = &probe.question else { return };
                if matches!(act, TunnelAct::Widen { .. }) {
                    *answer = Answer::Declined { said: "TS_UNACCEPTABLE".to_owned() };
                }
                if let Answer::Tunnels(states) = answer
                    && moment.ends_with(WIDE)
                {
                    for state in states {
                        state.counters.sent.packets += u64::from(FORGED) + 1;
                        state.counters.received.packets += takes;
                    }
                }
            })
        };
        let judgements = declining(1).ask(&[&PolicyEnforced]);
        assert!(judgements.iter().all(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
        let found = complaints(&PolicyEnforced, &declining(u64::from(FORGED) + 1));
        assert!(found.iter().all(|(case, _)| case == "taken") && found.len() == 2, "{found:?}");
    }

    #[test]
    fn a_tunnel_that_carries_nothing_is_not_said_to_keep_anything_back() {
        let stopped = letting("gateway-a", Vec::new());
        let stopped = stopped.with(|live| {
            let filter = &mut live.nodes.get_mut(&node("gateway-a")).unwrap().filter;
            let forward = filter.chains.iter_mut().find(|chain| chain.hook == Hook::Forward);
            forward.unwrap().rules[0].action = Action::Drop;
        });
        let judgements = stopped.ask(&[&PolicyEnforced]);
        assert!(judgements.iter().all(|j| j.verdict == Verdict::Blocked), "{judgements:#?}");
    }
}

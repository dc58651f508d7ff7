//! `vpn.matrix`: what a tunnel couples is reached through it, in both directions, small and large.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        legs::{self, Named},
        reach::Leg,
        reading::Judge,
    },
    model::{
        evidence::Seen, experiment::Experiment, family::Family, finding::Severity, node::Node,
        probe::Question, verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Matrix;

impl Check for Matrix {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        legs::ask(&subjects(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        legs::follow_up(stage, seen, &subjects(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let mut found: Vec<_> = couples::untried(judge, stage, |_| true).collect();
        found.extend(legs::judge(judge, stage, seen, &subjects(stage)));
        judge.or_not_applicable(found, couples::NONE)
    }
}

/// Octets of a small echo request after the ICMP header.
const SMALL: u16 = 56;
/// IP and ICMP headers of an echo request.
const HEADERS: [u32; 2] = [28, 48];

static TEXT: Text = Text {
    id: "vpn.matrix",
    title: "What tunnels couple",
    section: "S2 2.3.2, 2.4",
    use_case: UseCase::Policies,
    question: "Is every coupled subnet reached through its tunnel, in every family inside and outside that the phase \
               plans, in both directions, with small packets, with the largest that fit, and as services ask?",
    good: "Everything that is coupled is reached through its tunnel.",
    references: &["RFC 4301 section 4.4.1", "GEN6 D3.6.4 section 2.3.2"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} cannot reach {what} over {family}.",
            expected: "{what} answers at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Compare what both gateways couple, then follow the traffic to the node that is named.",
        },
        Case {
            name: "flaky",
            finding: "{from} reaches {what} over {family} only some of the time.",
            expected: "{what} answers at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way of what carries the tunnel.",
        },
    ],
};

fn subjects(stage: &Stage) -> Vec<Named> {
    let mut named: Vec<_> = couples::of_stage(stage).iter().flat_map(echoes).collect();
    named.extend(services(stage));
    named
}

/// A small echo, and the largest that the tunnel takes whole.
fn echoes(couple: &Couple) -> [Named; 2] {
    let headers = HEADERS[usize::from(couple.inner() == Family::V6)];
    let largest = u16::try_from(couple.path.mtu.saturating_sub(headers)).unwrap_or(SMALL);
    [("small", SMALL), ("large", largest)].map(|(word, size)| {
        let question =
            Question::Ping { to: couple.path.destination, source: None, size, hop_limit: None };
        Named {
            subject: format!("{}, {word} echo", couple.subject()),
            what: format!("{} through {} with {word} packets", couple.to(), couple.end.tunnel),
            leg: Leg::new(couple.path.clone(), ask::probe(couple.from(), question)),
            severity: Severity::Critical,
            name: None,
        }
    })
}

/// What the flows let pass through tunnels, as the protocols of the services ask.
fn services(stage: &Stage) -> Vec<Named> {
    let inside: Vec<_> = stage.testbed.tunnels.values().map(|tunnel| &tunnel.inside).collect();
    let any = |_: &Node, _: &Node| true;
    let mut all = legs::of_exchanges(stage, Severity::Critical, any);
    all.retain(|named| named.leg.path.segments.iter().any(|segment| inside.contains(&segment)));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, complaints, node},
        model::{
            answer::{Answer, Outcome},
            flow::{End, Flow, Intent, Traffic},
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
            service::Transport,
            verdict::Verdict,
        },
    };

    #[test]
    fn a_tunnel_that_carries_everything_is_silent() {
        for phase in Phase::ALL {
            let judgements = Network::tunnelled(phase).ask(&[&Matrix]);
            assert!(judgements.iter().all(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
            let families =
                phase.permits().iter().count().min(if phase == Phase::Partial { 1 } else { 2 });
            let echoes = judgements.iter().filter(|j| j.subject.ends_with("echo"));
            assert_eq!(echoes.count(), families * 4, "{phase}");
        }
    }

    /// A node drops what its rule says, before everything else.
    fn dropping(at: &'static str, matches: Vec<Match>) -> Network {
        Network::tunnelled(Phase::DualStack).with(move |live| {
            let filter = &mut live.nodes.get_mut(&node(at)).unwrap().filter;
            let forward = filter.chains.iter_mut().find(|chain| chain.hook == Hook::Forward);
            let rule = Rule { label: "planted".to_owned(), matches, action: Action::Drop };
            forward.unwrap().rules.insert(0, rule);
        })
    }

    #[track_caller]
    fn blames(network: &Network, culprit: &str) {
        let found = complaints(&Matrix, network);
        let all = |(case, at): &(String, String)| case == "unreachable" && at == culprit;
        assert!(!found.is_empty() && found.iter().all(all), "{found:?}");
    }

    #[test]
    fn a_gateway_that_forwards_one_family_only_is_named() {
        let inside = Match::InInterface("vpn0".parse().unwrap());
        let network = dropping("gateway-b", vec![inside, Match::Family(Family::V6)]);
        blames(&network, "gateway-b (forwarding of IPv6)");
    }

    #[test]
    fn the_gateway_that_refuses_is_named_and_not_the_one_that_packets_go_to() {
        let inside = Match::InInterface("vpn0".parse().unwrap());
        let into = dropping("gateway-b", vec![inside, Match::Family(Family::V4)]);
        let refusing = into.bend(|probe, answer| {
            let Question::Tunnel { moment, .. } = &probe.question else { return };
            if let Answer::Tunnels(states) = answer
                && probe.from == node("gateway-a")
                && moment.starts_with("after ")
            {
                for state in states {
                    state.counters.refused += 1;
                }
            }
        });
        blames(&refusing, "gateway-a (selectors of office-to-centre)");
    }

    #[test]
    fn large_packets_that_are_lost_are_found_and_small_ones_are_not_complained_of() {
        let network = Network::tunnelled(Phase::DualStack).bend(|probe, answer| {
            let Question::Ping { size, to, .. } = &probe.question else { return };
            if let Answer::Echo { attempt } = answer
                && *size > 1000
                && to.is_ipv6()
            {
                attempt.outcome = Outcome::TimedOut;
            }
        });
        let judgements = network.ask(&[&Matrix]);
        let bad: Vec<_> = judgements.iter().filter(|j| j.verdict.is_bad()).collect();
        assert!(
            bad.len() == 2
                && bad.iter().all(|j| j.subject.ends_with("IPv6 in IPv6, desk->app, large echo")
                    || j.subject.ends_with("large echo")),
            "{bad:#?}"
        );
    }

    #[test]
    fn what_may_not_be_pinged_is_not_taken_for_tried() {
        let mut testbed = (*Network::tunnelled(Phase::DualStack).plan.testbed).clone();
        let deny = |name: &str, from: &str, to: &str| Flow {
            name: name.to_owned(),
            from: End::Site(from.parse().unwrap()),
            to: End::Site(to.parse().unwrap()),
            traffic: vec![Traffic::Ping],
            intent: Intent::Deny,
        };
        testbed.flows.push(deny("no-echo", "office", "centre"));
        testbed.flows.push(deny("no-echo-back", "centre", "office"));
        let network = Network::of(Stage::new(&testbed.into(), Phase::DualStack));
        for check in [&Matrix as &dyn Check, &super::super::no_clear::NoClear] {
            let judgements = network.ask(&[check]);
            let open = judgements.iter().filter(|j| j.verdict == Verdict::NotTestable);
            assert!(open.count() >= 2, "{judgements:#?}");
        }
    }

    #[test]
    fn a_tunnel_whose_gateways_do_not_meet_is_not_taken_for_tried() {
        let mut testbed = (*Network::tunnelled(Phase::Ipv6Only).plan.testbed).clone();
        for tunnel in testbed.tunnels.values_mut() {
            tunnel.outer = vec![Family::V4];
        }
        let network = Network::of(Stage::new(&testbed.into(), Phase::Ipv6Only));
        let judgements = network.ask(&[&Matrix]);
        let said = |j: &crate::model::verdict::Judgement| {
            j.verdict == Verdict::NotTestable && j.reason.contains("goes over IPv4")
        };
        assert!(judgements.iter().any(said), "{judgements:#?}");
    }

    #[test]
    fn who_may_not_begin_is_not_asked_and_that_is_said() {
        let mut testbed = (*Network::tunnelled(Phase::Ipv4Only).plan.testbed).clone();
        testbed.flows.push(Flow {
            name: "no-way-back".to_owned(),
            from: End::Site("centre".parse().unwrap()),
            to: End::Site("office".parse().unwrap()),
            traffic: vec![Traffic::Any],
            intent: Intent::Deny,
        });
        let network = Network::of(Stage::new(&testbed.into(), Phase::Ipv4Only));
        let judgements = network.ask(&[&Matrix]);
        let asked = |from| judgements.iter().any(|j| j.subject.contains(from));
        assert!(asked("desk->app") && !asked("app->desk"), "{judgements:#?}");
        assert!(judgements.iter().any(|j| j.reason.contains("no flow lets")), "{judgements:#?}");
    }

    #[test]
    fn a_rule_about_what_is_not_coupled_is_silent() {
        let other = Match::Port { transport: Transport::Udp, number: 9 };
        assert_eq!(complaints(&Matrix, &dropping("gateway-a", vec![other])), []);
    }
}

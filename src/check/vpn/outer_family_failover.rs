//! `vpn.outer-family-failover`: where a tunnel may be carried over two families, the second carries when the first dies.

use super::canary::Canary;
use crate::{
    check::{
        Case, Check, Text, UseCase,
        couples::{self, Couple},
        reading::{self, Judge},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        name::{NodeName, SegmentName},
        probe::Probe,
        service::{Port, Transport},
        tunnel::{Carrier, TunnelAct},
        verdict::Judgement,
    },
    stage::{Carriage, Path, Stage},
};

/// The check.
pub(super) struct OuterFamilyFailover;

/// How often a canary is sent after the first family has died, and after it is back: an end of a tunnel waits a little
/// before it gives the other up.
const ATTEMPTS: u8 = 4;

static TEXT: Text = Text {
    id: "vpn.outer-family-failover",
    title: "A second family outside",
    section: "S2 2.3.2",
    use_case: UseCase::Policies,
    question: "Where the plan names two families for the outside of a tunnel, does the second carry everything when the first \
               dies, with nothing in clear, and does the tunnel carry when it is back?",
    good: "When the first family outside dies, the second carries.",
    references: &["RFC 4555", "RFC 9099 section 3.2"],
    cases: &[
        Case {
            name: "stuck",
            finding: "When {first} dies outside, {tunnel} carries no {family} from {from} to {to}; {second} is there, and it does \
                      not use it.",
            expected: "An answer from {to}, carried over {second}.",
            observed: "{attempts} canaries, {answered} answered; {frames} frames of the tunnel over {second} on {segment}.",
            remedy: "Name the other gateway by addresses of both families, or by a name that has both (RFC 4555).",
        },
        Case {
            name: "stopped",
            finding: "When {first} dies outside, {tunnel} carries no {family} from {from} to {to}: what it sends over {second} \
                      stops at {node}.",
            expected: "An answer from {to}, carried over {second}.",
            observed: "{attempts} canaries, {answered} answered; {how}.",
            remedy: "Let the packets of the tunnel pass {node} over {second} as over {first}.",
        },
        Case {
            name: "clear",
            finding: "When {first} dies outside, {family} from {from} to {to} leaves in clear on {segment}.",
            expected: "Canaries inside of {tunnel} alone.",
            observed: "{frames} frames with the canary on {segment}.",
            remedy: "Drop what is coupled on every way out of {gateway} but the tunnel.",
        },
        Case {
            name: "lost",
            finding: "{tunnel} carries no {family} from {from} to {to} once {first} is back outside.",
            expected: "An answer from {to}.",
            observed: "{attempts} canaries, {answered} answered.",
            remedy: "Look at the logs of both gateways at that moment.",
        },
    ],
};

impl Check for OuterFamilyFailover {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        tunnels(stage).iter().map(|couples| experiment(stage, couples)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let all = tunnels(stage);
        let found = all.iter().flat_map(|couples| {
            couples.iter().map(|couple| of_couple(judge, stage, seen, couple, &couples[0]))
        });
        let reason = "no tunnel has a second family outside in this phase";
        judge.or_not_applicable(found.collect(), reason)
    }
}

/// What each tunnel with a spare family couples, as the gateway that begins sees it.
fn tunnels(stage: &Stage) -> Vec<Vec<Couple>> {
    couples::by_tunnel(stage, |couple| couple.end.begins && !couple.end.spare.is_empty())
}

/// The moments at which canaries are sent.
const BEFORE: &str = "with its first family";
const DEAD: &str = "without its first family";
const BACK: &str = "with its first family again";

/// One of several canaries of a moment.
fn canary(stage: &Stage, couple: &Couple, moment: &str, round: u8) -> Probe {
    Probe { round, ..Canary::new(stage, couple, moment).probe() }
}

/// What dies between two gateways is dead for both.
fn lose(first: &Couple) -> [Probe; 2] {
    first.act_of_both(TunnelAct::Lose(first.outer()), "for vpn.outer-family-failover")
}

/// The way of the tunnel over its spare family.
fn spare(stage: &Stage, first: &Couple) -> Option<Carriage> {
    let [local, remote] = *first.end.spare.first()?;
    let way = stage.path(&first.gateway, remote.ip()).ok()?;
    let carrier = Carrier::Port(Port { transport: Transport::Udp, number: remote.port() });
    let inside = first.path.carried.as_deref()?.inside.clone();
    Some(Carriage { way: Path { source: local.ip(), ..way }, carrier, inside })
}

fn experiment(stage: &Stage, couples: &[Couple]) -> Experiment {
    let first = &couples[0];
    let all = |moment| {
        couples.iter().flat_map(move |couple| {
            (0..ATTEMPTS).map(move |round| canary(stage, couple, moment, round))
        })
    };
    let mut probes: Vec<_> = all(BEFORE).collect();
    probes.extend(lose(first));
    probes.extend(all(DEAD));
    probes.extend(first.act_of_both(TunnelAct::Regain, "for vpn.outer-family-failover"));
    probes.extend(all(BACK));
    let spare = spare(stage, first);
    let mut taps: Vec<_> = spare.iter().flat_map(|spare| spare.taps(&first.gateway)).collect();
    for couple in couples {
        taps.extend(Canary::new(stage, couple, DEAD).taps(stage));
    }
    Experiment { taps, probes, in_order: true, alone: true, ..Experiment::default() }
}

/// How many canaries of a moment were answered.
fn answered(
    stage: &Stage,
    seen: &Seen<'_>,
    couple: &Couple,
    moment: &str,
    evidence: &mut Vec<EvidenceId>,
) -> usize {
    let rounds =
        (0..ATTEMPTS).filter_map(|round| seen.answer(&canary(stage, couple, moment, round)));
    let rounds: Vec<_> = rounds.collect();
    evidence.extend(rounds.iter().map(|(id, _)| *id));
    rounds.iter().filter(|(_, answer)| answer.is_answered()).count()
}

fn of_couple(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    couple: &Couple,
    first: &Couple,
) -> Judgement {
    let subject = couple.subject();
    let mut evidence = Vec::new();
    for lost in lose(first) {
        let Some((id, answer)) = seen.answer(&lost) else {
            return judge.not_testable(subject, "nobody took the first family away", evidence);
        };
        evidence.push(id);
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(subject, reason, evidence);
        }
    }
    let at = Canary::new(stage, couple, DEAD).sightings(stage, seen);
    evidence.extend(&at.evidence);
    if let Some(leak) = at.in_clear() {
        let complaint = complaint(stage, couple, "clear", &leak.segment, [0, leak.frames]);
        return judge.fail(subject, evidence, complaint);
    }
    if let Some(reason) = at.unproven() {
        return judge.not_testable(subject, reason, evidence);
    }
    let carried = answered(stage, seen, couple, DEAD, &mut evidence);
    let back = answered(stage, seen, couple, BACK, &mut evidence);
    if carried.min(back) == 0 && answered(stage, seen, couple, BEFORE, &mut evidence) == 0 {
        let reason = "nothing was answered while the first family was there either: see vpn.matrix";
        return judge.blocked(subject, reason, evidence);
    }
    let Some(spare) = spare(stage, first) else {
        return judge.not_testable(subject, "the second family has no way outside", evidence);
    };
    let there = spare.taps(&first.gateway);
    let reading = there.first().and_then(|tap| seen.reading(tap));
    evidence.extend(reading.map(|(id, _)| id));
    let frames = reading.map_or(0, |(_, reading)| reading.frames);
    let segment = &spare.way.segments[0];
    if carried == 0 {
        let stop = [false, true].into_iter().find_map(|back| {
            let stop = spare.stopped_at(seen, &first.gateway, back, &mut evidence)?;
            Some((back, stop))
        });
        let complaint = stuck(stage, couple, &spare, [carried as u64, frames], stop);
        return judge.fail(subject, evidence, complaint);
    }
    if back == 0 {
        let told = [back as u64, frames];
        return judge.fail(subject, evidence, complaint(stage, couple, "lost", segment, told));
    }
    if frames == 0 {
        let reason = "canaries were answered, and the second family carried none of them";
        return judge.not_testable(subject, reason, evidence);
    }
    let reason = format!("{frames} frames over {} outside meanwhile", couple.outer().other());
    judge.absent(subject, reason, evidence)
}

/// Nothing went through the tunnel without its first family: an end does not turn to the second, or somebody on the way
/// stops it.
fn stuck(
    stage: &Stage,
    couple: &Couple,
    spare: &Carriage,
    told: [u64; 2],
    stop: Option<(bool, (NodeName, String))>,
) -> Complaint {
    let usual = complaint(stage, couple, "stuck", &spare.way.segments[0], told);
    let Some((back, (node, how))) = stop else { return usual };
    let sender = if back { spare.way.nodes.last() } else { spare.way.nodes.first() };
    if sender == Some(&node) {
        let part = format!("outer families of {}", couple.end.tunnel);
        return Complaint { culprit: Culprit::node(&node, part), ..usual };
    }
    let mut args = usual.args;
    args.extend([("node".to_owned(), node.to_string()), ("how".to_owned(), how)]);
    Complaint {
        case: "stopped".to_owned(),
        args,
        culprit: Culprit::node(&node, format!("forwarding of {}", spare.way.family())),
        bites_in: reading::bites(stage, spare.way.family()),
        scope: reading::outside(spare),
        ..usual
    }
}

fn complaint(
    stage: &Stage,
    couple: &Couple,
    case: &str,
    segment: &SegmentName,
    [answered, frames]: [u64; 2],
) -> Complaint {
    let first = couple.outer();
    let args = [
        ("first", first.to_string()),
        ("second", first.other().to_string()),
        ("tunnel", couple.end.tunnel.to_string()),
        ("gateway", couple.gateway.to_string()),
        ("family", couple.inner().to_string()),
        ("from", couple.from().to_string()),
        ("to", couple.path.destination.to_string()),
        ("attempts", ATTEMPTS.to_string()),
        ("answered", answered.to_string()),
        ("frames", frames.to_string()),
        ("segment", segment.to_string()),
    ];
    let scope = couple.scope();
    let beside = format!("{} beside {}", couple.inner(), couple.end.tunnel);
    let culprit = match case {
        "clear" => Culprit::node(&couple.gateway, beside),
        "stuck" => {
            Culprit::node(&couple.gateway, format!("outer families of {}", couple.end.tunnel))
        }
        _ => couple.through(stage),
    };
    Complaint {
        severity: if case == "clear" { Severity::Critical } else { Severity::Major },
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
        model::{
            answer::{Answer, Outcome},
            phase::Phase,
            probe::Question,
            tap::Watch,
            verdict::Verdict,
        },
    };

    /// The second family carries while the first is dead, as taps see it.
    fn network(phase: Phase) -> Network {
        Network::tunnelled(phase).bend_tap(|tap, reading| {
            if tap.label == "what carries gateway-a" {
                reading.frames = 12;
            }
        })
    }

    #[test]
    fn a_second_family_that_carries_is_silent_and_one_family_has_nothing_to_turn_to() {
        for phase in Phase::ALL {
            let judgements = network(phase).ask(&[&OuterFamilyFailover]);
            let dual = judgements.iter().any(|j| j.subject != "-");
            let wanted = if dual { Verdict::Pass } else { Verdict::NotApplicable };
            assert!(judgements.iter().all(|j| j.verdict == wanted), "{phase}: {judgements:#?}");
            assert_eq!(dual, [Phase::Partial, Phase::DualStack].contains(&phase), "{phase}");
        }
    }

    /// Canaries of a moment get no answer.
    fn silent(moment: &'static str) -> Network {
        network(Phase::DualStack).bend(move |probe, answer| {
            let Question::Canary { token, .. } = &probe.question else { return };
            if let Answer::Echo { attempt } = answer
                && token.contains(moment)
            {
                attempt.outcome = Outcome::TimedOut;
            }
        })
    }

    #[test]
    fn a_host_that_answers_nobody_says_nothing_of_the_tunnel() {
        let network = network(Phase::DualStack).bend(|probe, answer| {
            if let (Question::Canary { .. }, Answer::Echo { attempt }) = (&probe.question, answer) {
                attempt.outcome = Outcome::TimedOut;
            }
        });
        let judged = network.ask(&[&OuterFamilyFailover]);
        assert!(judged.iter().all(|j| j.verdict == Verdict::Blocked), "{judged:#?}");
    }

    #[test]
    fn a_tunnel_that_is_bound_to_its_first_family_is_found() {
        let found = complaints(&OuterFamilyFailover, &silent(DEAD));
        let wanted =
            ("stuck".to_owned(), "gateway-a (outer families of office-to-centre)".to_owned());
        assert_eq!(found, [wanted.clone(), wanted]);
        let found = complaints(&OuterFamilyFailover, &silent(BACK));
        assert!(found.len() == 2 && found.iter().all(|(case, _)| case == "lost"), "{found:?}");
    }

    #[test]
    fn who_stops_the_second_family_is_named_and_not_the_gateway_that_turned_to_it() {
        // What gateway-a sends over the second family is seen on its own link and nowhere else.
        let stopped = silent(DEAD).bend_tap(|tap, reading| {
            if tap.label == "what carries gateway-a" && tap.segment.as_str() != "transit-a" {
                reading.frames = 0;
            }
        });
        let found = complaints(&OuterFamilyFailover, &stopped);
        let (case, culprit) = &found[0];
        assert_eq!(case, "stopped", "{found:?}");
        assert!(!culprit.contains("gateway"), "{found:?}");
        // Nothing leaves the gateway at the other end.
        let deaf = silent(DEAD).bend_tap(|tap, reading| {
            let from_far = |watch: &Watch| match watch {
                Watch::Packets { source, destination, .. } => source > destination,
                _ => false,
            };
            if tap.label == "what carries gateway-a" && from_far(&tap.watch) {
                reading.frames = 0;
            }
        });
        let found = complaints(&OuterFamilyFailover, &deaf);
        assert!(
            found.iter().all(|(case, culprit)| case == "stuck" && culprit.starts_with("gateway-b")),
            "{found:?}"
        );
    }

    #[test]
    fn a_canary_in_clear_is_worse_and_a_first_canary_that_is_lost_is_nothing() {
        let leaking = network(Phase::DualStack).bend_tap(|tap, reading| {
            let Watch::Payload { token, .. } = &tap.watch else { return };
            if token.contains(" ipv4 ") && tap.segment.as_str() == "transit-a" {
                reading.frames = 1;
            }
        });
        let found = complaints(&OuterFamilyFailover, &leaking);
        assert_eq!(
            found,
            [("clear".to_owned(), "gateway-a (IPv4 beside office-to-centre)".to_owned())]
        );
        let late = network(Phase::DualStack).bend(|probe, answer| {
            if let Answer::Echo { attempt } = answer
                && probe.round == 0
            {
                attempt.outcome = Outcome::TimedOut;
            }
        });
        assert_eq!(complaints(&OuterFamilyFailover, &late), []);
    }
}

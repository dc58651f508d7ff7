//! `vpn.rekey-both`: while a tunnel agrees on new keys, traffic of both families goes on.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        probe::{Probe, Question},
        tap::Tap,
        tunnel::TunnelAct,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct RekeyBoth;

/// Packets of a couple behind each renewal.
const PACKETS: u16 = 24;
/// Octets of payload, and at least so many octets inside for each.
const SIZE: u16 = 120;

static TEXT: Text = Text {
    id: "vpn.rekey-both",
    title: "New keys while both families are carried",
    section: "S2 2.2",
    use_case: UseCase::Policies,
    question: "Do both gateways agree on new keys when they are told to, and does traffic of both families go on meanwhile, by \
               packets, octets and frames?",
    good: "Keys are renewed, and no family notices.",
    references: &["RFC 7296 section 2.8", "RFC 4301 section 4.4.2"],
    cases: &[
        Case {
            name: "lost",
            finding: "{tunnel} loses {family} from {from} to {to} while its keys are renewed.",
            expected: "Every packet is answered.",
            observed: "{lost} of {sent} packets were not answered, twice. {other}.",
            remedy: "Compare what is negotiated for each family: a child SA for each must be renewed with the others.",
        },
        Case {
            name: "no-keys",
            finding: "{tunnel} agrees on no new keys when {gateway} is told to renew them.",
            expected: "A handshake that both ends count.",
            observed: "{handshakes} handshakes counted at {gateway} and {peer_handshakes} at {peer} meanwhile.",
            remedy: "Look at the logs of both gateways, and at what stops the messages of the key exchange.",
        },
    ],
};

impl Check for RekeyBoth {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        tunnels(stage).iter().map(|couples| renewal(couples, 0)).collect()
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let tunnels = tunnels(stage).into_iter();
        let doubtful = tunnels.filter(|all| {
            all.iter().any(|couple| is_lossy(seen, couple, 0)) || agreed_on_none(seen, &all[0], 0)
        });
        doubtful.map(|couples| renewal(&couples, 1)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let all = tunnels(stage);
        let found = all.iter().flat_map(|couples| {
            couples.iter().map(|couple| of_couple(judge, stage, seen, couple, couples))
        });
        judge.or_not_applicable(found.collect(), "no tunnel has keys in this phase")
    }
}

fn tunnels(stage: &Stage) -> Vec<Vec<Couple>> {
    couples::by_tunnel(stage, |couple| couple.end.kind.is_encrypted())
}

fn stream(couple: &Couple, round: u8) -> Probe {
    let to = couple.path.destination;
    let question = Question::Stream { to, packets: PACKETS, size: SIZE, class: 0, opened: false };
    Probe { round, ..ask::probe(couple.from(), question) }
}

/// The same before anything is renewed: what is lost then is not lost for want of keys.
fn before(couple: &Couple) -> Probe {
    let to = couple.path.destination;
    let question = Question::Stream { to, packets: PACKETS, size: SIZE, class: 0, opened: true };
    ask::probe(couple.from(), question)
}

fn moments(attempt: u8) -> [String; 2] {
    ["before", "after"].map(|when| format!("{when} new keys for both families, {attempt}"))
}

/// What both gateways counted of an attempt, and how often each agreed on keys.
fn handshakes(seen: &Seen<'_>, first: &Couple, attempt: u8) -> Option<(Counted, [u64; 2])> {
    let [before, after] = moments(attempt);
    let (ids, before) = first.counted(seen, &before)?;
    let (later, after) = first.counted(seen, &after)?;
    let agreed =
        [0, 1].map(|end: usize| after[end].handshakes.saturating_sub(before[end].handshakes));
    let octets = after[0].sent.octets.saturating_sub(before[0].sent.octets);
    Some((Counted { evidence: ids.into_iter().chain(later).collect(), octets }, agreed))
}

/// Whether an end was not seen to agree on keys. A program counts them once they were used, and may be read before that: once is
/// nothing.
fn agreed_on_none(seen: &Seen<'_>, first: &Couple, attempt: u8) -> bool {
    handshakes(seen, first, attempt).is_none_or(|(_, agreed)| agreed.contains(&0))
}

/// What the gateway that begins put into the tunnel meanwhile, and what that rests on.
struct Counted {
    evidence: Vec<EvidenceId>,
    octets: u64,
}

fn renew(first: &Couple, attempt: u8, turn: u8) -> Probe {
    first.act(TunnelAct::Renew, &format!("for both families, {attempt}.{turn}"))
}

/// The way of the tunnel's own packets, there and back.
fn frames(first: &Couple) -> Vec<Tap> {
    let carriage = first.path.carried.iter();
    let mut taps: Vec<_> = carriage.flat_map(|carriage| carriage.taps(first.from())).collect();
    taps.truncate(1);
    for tap in &mut taps {
        "what carries both families under new keys".clone_into(&mut tap.label);
    }
    taps
}

/// New keys, and packets of every couple right behind the order for them; then once more, with the couples in the other
/// order, so that each comes first once.
fn renewal(couples: &[Couple], attempt: u8) -> Experiment {
    let first = &couples[0];
    let [before, after] = moments(attempt);
    // What new keys broke in the first attempt is broken before the second.
    let mut probes = Vec::new();
    if attempt == 0 {
        probes.extend(couples.iter().map(self::before));
    }
    probes.extend(first.count(&before));
    probes.push(renew(first, attempt, 0));
    probes.extend(couples.iter().map(|couple| stream(couple, attempt * 2)));
    probes.push(renew(first, attempt, 1));
    probes.extend(couples.iter().rev().map(|couple| stream(couple, attempt * 2 + 1)));
    probes.extend(first.count(&after));
    Experiment { taps: frames(first), probes, in_order: true, alone: true, ..Experiment::default() }
}

/// Packets sent and not answered in an attempt; `None` where a stream was not sent.
fn lost(
    seen: &Seen<'_>,
    couple: &Couple,
    attempt: u8,
    evidence: &mut Vec<EvidenceId>,
) -> Option<[u16; 2]> {
    let mut sum = [0, 0];
    for round in [attempt * 2, attempt * 2 + 1] {
        let (id, Answer::Stream { sent, answered, .. }) = seen.answer(&stream(couple, round))?
        else {
            return None;
        };
        evidence.push(id);
        sum = [sum[0] + sent, sum[1] + sent.saturating_sub(*answered)];
    }
    Some(sum)
}

fn is_lossy(seen: &Seen<'_>, couple: &Couple, attempt: u8) -> bool {
    lost(seen, couple, attempt, &mut Vec::new()).is_some_and(|[sent, lost]| lost > 0 || sent == 0)
}

fn of_couple(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    couple: &Couple,
    all: &[Couple],
) -> Judgement {
    let (subject, first) = (couple.subject(), &all[0]);
    let mut evidence = Vec::new();
    let Some([sent, missing]) = lost(seen, couple, 0, &mut evidence) else {
        return judge.not_testable(subject, "no packets were sent", evidence);
    };
    if let Some((id, answer)) = seen.answer(&renew(first, 0, 0)) {
        evidence.push(id);
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(subject, reason, evidence);
        }
    }
    let again = lost(seen, couple, 1, &mut evidence);
    let Some((Counted { evidence: ids, octets }, handshakes)) = handshakes(seen, first, 0) else {
        return judge.not_testable(subject, "a gateway was not read", evidence);
    };
    evidence.extend(ids);
    if handshakes.contains(&0) && agreed_on_none(seen, first, 1) {
        let complaint = complaint(stage, couple, "no-keys", handshakes, [sent, missing], all, seen);
        return judge.fail(subject, evidence, complaint);
    }
    if missing > 0 && again.is_none_or(|[_, missing]| missing > 0) {
        if let Some((id, Answer::Stream { sent, answered, .. })) =
            seen.answer(&self::before(couple))
            && answered < sent
        {
            evidence.push(id);
            let lost = sent - answered;
            let reason =
                format!("{lost} of {sent} packets were lost before any key was renewed, too");
            return judge.blocked(subject, reason, evidence);
        }
        let complaint = complaint(stage, couple, "lost", handshakes, [sent, missing], all, seen);
        return judge.fail(subject, evidence, complaint);
    }
    let enough = u64::from(sent - missing) * u64::from(SIZE);
    let mut outside = 0;
    for tap in frames(first) {
        if let Some((id, reading)) = seen.reading(&tap) {
            evidence.push(id);
            outside += reading.frames;
        }
    }
    if octets < enough || outside < u64::from(sent - missing) {
        let reason = "the gateway counted less than was answered: it did not go through the tunnel";
        return judge.not_testable(subject, reason, evidence);
    }
    let reason = format!(
        "{} handshakes, {octets} octets inside and {outside} frames outside meanwhile",
        handshakes[0]
    );
    judge.absent(subject, reason, evidence)
}

fn complaint(
    stage: &Stage,
    couple: &Couple,
    case: &str,
    [own, peers]: [u64; 2],
    [sent, missing]: [u16; 2],
    all: &[Couple],
    seen: &Seen<'_>,
) -> Complaint {
    let other = couple.inner().other();
    let twin = all.iter().find(|twin| twin.gateway == couple.gateway && twin.inner() == other);
    let twin = twin.and_then(|twin| lost(seen, twin, 0, &mut Vec::new()));
    let (gateway, peer) = (&all[0].gateway, &all[0].end.peer);
    let args = [
        ("tunnel", couple.end.tunnel.to_string()),
        ("family", couple.inner().to_string()),
        ("from", couple.from().to_string()),
        ("to", couple.path.destination.to_string()),
        ("lost", missing.to_string()),
        ("sent", sent.to_string()),
        ("gateway", gateway.to_string()),
        ("peer", peer.to_string()),
        ("handshakes", own.to_string()),
        ("peer_handshakes", peers.to_string()),
        (
            "other",
            match twin {
                Some([sent, lost]) => format!("Of {other}, {lost} of {sent} were lost"),
                None => format!("{other} is not there to compare with"),
            },
        ),
    ];
    let keys = case == "no-keys";
    let scope = Scope {
        family: (!keys).then(|| couple.inner()),
        from: (!keys).then(|| couple.from().clone()),
        to: (!keys).then(|| couple.to().clone()),
        nodes: couple.path.nodes.clone(),
        segments: couple.path.segments.clone(),
        carried: reading::carrier(&couple.path),
        ..Scope::default()
    };
    let culprit = if keys {
        Culprit::node(gateway, format!("keys of {}", couple.end.tunnel))
    } else {
        couple.through(stage)
    };
    Complaint {
        severity: Severity::Major,
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
        model::{family::Family, phase::Phase, verdict::Verdict},
    };

    #[test]
    fn keys_that_are_renewed_unnoticed_are_silent() {
        for phase in Phase::ALL {
            let judgements = Network::tunnelled(phase).ask(&[&RekeyBoth]);
            assert!(judgements.iter().all(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
            assert_eq!(judgements.len(), if phase == Phase::DualStack { 4 } else { 2 });
        }
    }

    /// Streams of IPv6 lose packets in some rounds.
    fn losing(rounds: &'static [u8]) -> Network {
        Network::tunnelled(Phase::DualStack).bend(|probe, answer| {
            let Question::Stream { to, opened: false, .. } = probe.question else { return };
            if let Answer::Stream { answered, .. } = answer
                && Family::of(to) == Family::V6
                && rounds.contains(&probe.round)
            {
                *answered = 20;
            }
        })
    }

    #[test]
    fn a_family_that_is_lost_twice_is_found_and_once_is_not() {
        let found = complaints(&RekeyBoth, &losing(&[0, 2]));
        let wanted = ("lost".to_owned(), "office-to-centre (carrying of IPv6)".to_owned());
        assert_eq!(found, [wanted.clone(), wanted]);
        assert_eq!(complaints(&RekeyBoth, &losing(&[0])), []);
    }

    #[test]
    fn what_is_lost_without_new_keys_too_says_nothing_of_them() {
        let network = losing(&[0, 2]).bend(|probe, answer| {
            if let (Question::Stream { opened: true, .. }, Answer::Stream { answered, .. }) =
                (&probe.question, answer)
            {
                *answered -= 1;
            }
        });
        assert_eq!(complaints(&RekeyBoth, &network), []);
    }

    #[test]
    fn a_gateway_that_renews_nothing_is_found() {
        let stubborn = Network::tunnelled(Phase::Ipv6Only).bend(|_, answer| {
            if let Answer::Tunnels(states) = answer {
                for state in states {
                    state.counters.handshakes = 1;
                }
            }
        });
        let found = complaints(&RekeyBoth, &stubborn);
        let wanted = ("no-keys".to_owned(), "gateway-a (keys of office-to-centre)".to_owned());
        assert_eq!(found, [wanted.clone(), wanted]);
    }

    #[test]
    fn an_engine_that_cannot_be_told_is_not_judged() {
        let deaf = Network::tunnelled(Phase::Ipv4Only).bend(|probe, answer| {
            if matches!(probe.question, Question::Tunnel { act: TunnelAct::Renew, .. }) {
                *answer = Answer::NotAsked { reason: "it takes no orders".to_owned() };
            }
        });
        let judgements = deaf.ask(&[&RekeyBoth]);
        assert!(judgements.iter().all(|j| j.verdict == Verdict::NotTestable), "{judgements:#?}");
    }
}

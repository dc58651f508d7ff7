//! `vpn.rekey-both`: while a tunnel agrees on new keys, traffic of both families goes on.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        reading::{self, Judge},
        stream::Planned,
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        probe::{Probe, Question},
        tap::Tap,
        tunnel::{TunnelAct, TunnelKind},
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
            let lacks = |told: Counted| told.lacks(0) || told.lacks(1);
            all.iter().any(|couple| is_lossy(seen, couple, 0))
                || counted(seen, &all[0], 0).is_none_or(lacks)
        });
        doubtful.map(|couples| renewal(&couples, 1)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let all = tunnels(stage);
        let found = all.iter().flat_map(|couples| {
            couples.iter().map(|couple| of_couple(judge, stage, seen, couple, couples))
        });
        let found = found.chain(couples::untried(judge, stage, TunnelKind::is_encrypted)).collect();
        judge.or_not_applicable(found, "no tunnel has keys in this phase")
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

/// The moments of an attempt at which gateways are read: each gateway renews between two of them.
fn moments(attempt: u8) -> [String; 3] {
    ["before", "between", "after"]
        .map(|when| format!("{when} new keys for both families, {attempt}"))
}

/// What both gateways counted of an attempt.
fn counted(seen: &Seen<'_>, first: &Couple, attempt: u8) -> Option<Counted> {
    let mut evidence = Vec::new();
    let mut counters = Vec::new();
    for moment in moments(attempt) {
        let (ids, both) = first.counted(seen, &moment)?;
        evidence.extend(ids);
        counters.push(both);
    }
    let agreed = [0, 1].map(|turn: usize| {
        let (before, after) = (counters[turn], counters[turn + 1]);
        [0, 1].map(|end: usize| after[end].handshakes.saturating_sub(before[end].handshakes))
    });
    let octets = counters[2][0].sent.octets.saturating_sub(counters[0][0].sent.octets);
    Some(Counted { evidence, octets, agreed })
}

/// What the gateway that begins put into the tunnel meanwhile, how often each end agreed on keys when the one and when the
/// other was told to renew them, and what that rests on.
struct Counted {
    evidence: Vec<EvidenceId>,
    octets: u64,
    agreed: [[u64; 2]; 2],
}

impl Counted {
    /// Whether no keys were agreed on when this end of the two was told to renew them. The other counts keys that it did not ask
    /// for once they are used, which may be in the turn after: of it, both turns together count.
    fn lacks(&self, turn: usize) -> bool {
        let other = 1 - turn;
        self.agreed[turn][turn] == 0 || self.agreed[0][other] + self.agreed[1][other] == 0
    }
}

/// The end that was told in vain to renew the keys. A program counts keys once they were used, and may be read before that:
/// once is nothing.
fn in_vain(seen: &Seen<'_>, first: &Couple, told: &Counted) -> Option<usize> {
    let again = counted(seen, first, 1);
    let lacks_again = |turn: &usize| again.as_ref().is_none_or(|again| again.lacks(*turn));
    [0, 1].into_iter().filter(|turn| told.lacks(*turn)).find(lacks_again)
}

/// What tells each gateway in its turn to renew the keys.
fn renew(first: &Couple, attempt: u8) -> [Probe; 2] {
    first.act_of_both(TunnelAct::Renew, &format!("for both families, {attempt}"))
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

/// New keys, and packets of every couple right behind the order for them; then the same from the other end, with the couples
/// in the other order, so that each comes first once.
fn renewal(couples: &[Couple], attempt: u8) -> Experiment {
    let first = &couples[0];
    let [before, between, after] = moments(attempt);
    let [own, peers] = renew(first, attempt);
    // What new keys broke in the first attempt is broken before the second.
    let mut probes = Vec::new();
    if attempt == 0 {
        probes.extend(couples.iter().map(self::before));
    }
    probes.extend(first.count(&before));
    probes.push(own);
    probes.extend(couples.iter().map(|couple| stream(couple, attempt * 2)));
    probes.extend(first.count(&between));
    probes.push(peers);
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
    for told in renew(first, 0) {
        let Some((id, answer)) = seen.answer(&told) else { continue };
        evidence.push(id);
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(subject, reason, evidence);
        }
    }
    let again = lost(seen, couple, 1, &mut evidence);
    let Some(told) = counted(seen, first, 0) else {
        return judge.not_testable(subject, "a gateway was not read", evidence);
    };
    evidence.extend(&told.evidence);
    if let Some(turn) = in_vain(seen, first, &told) {
        let complaint = no_keys(stage, couple, first, turn, told.agreed[turn]);
        return judge.fail(subject, evidence, complaint);
    }
    let planned = Planned::on_way(stage, &couple.path);
    let too_many = |[sent, lost]: [u16; 2]| !planned.may_lose(sent.into(), lost.into());
    if too_many([sent, missing]) && again.is_none_or(too_many) {
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
        let complaint = losing(stage, couple, [sent, missing], all, seen);
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
    if told.octets < enough || outside < u64::from(sent - missing) {
        let reason = "the gateway counted less than was answered: it did not go through the tunnel";
        return judge.not_testable(subject, reason, evidence);
    }
    let reason = format!(
        "{} handshakes, {} octets inside and {outside} frames outside meanwhile",
        told.agreed[0][0] + told.agreed[1][0],
        told.octets
    );
    judge.absent(subject, reason, evidence)
}

/// New keys that a gateway was told to agree on, and did not: they would be those of both families.
fn no_keys(
    stage: &Stage,
    couple: &Couple,
    first: &Couple,
    turn: usize,
    agreed: [u64; 2],
) -> Complaint {
    let ends = [&first.gateway, &first.end.peer];
    let (gateway, peer) = (ends[turn], ends[1 - turn]);
    let tunnel = &couple.end.tunnel;
    let args = [
        ("tunnel", tunnel.to_string()),
        ("gateway", gateway.to_string()),
        ("peer", peer.to_string()),
        ("handshakes", agreed[turn].to_string()),
        ("peer_handshakes", agreed[1 - turn].to_string()),
    ];
    let scope = Scope { family: None, from: None, to: None, ..couple.scope() };
    let culprit = Culprit::node(gateway, format!("keys of {tunnel}"));
    complaint(stage, "no-keys", culprit, scope, args)
}

/// Packets of a family that new keys cost.
fn losing(
    stage: &Stage,
    couple: &Couple,
    [sent, missing]: [u16; 2],
    all: &[Couple],
    seen: &Seen<'_>,
) -> Complaint {
    let other = couple.inner().other();
    let twin = all.iter().find(|twin| twin.gateway == couple.gateway && twin.inner() == other);
    let twin = twin.and_then(|twin| lost(seen, twin, 0, &mut Vec::new()));
    let other = match twin {
        Some([sent, lost]) => format!("Of {other}, {lost} of {sent} were lost"),
        None => format!("{other} is not there to compare with"),
    };
    let args = [
        ("tunnel", couple.end.tunnel.to_string()),
        ("family", couple.inner().to_string()),
        ("from", couple.from().to_string()),
        ("to", couple.path.destination.to_string()),
        ("lost", missing.to_string()),
        ("sent", sent.to_string()),
        ("other", other),
    ];
    complaint(stage, "lost", couple.through(stage), couple.scope(), args)
}

fn complaint<const N: usize>(
    stage: &Stage,
    case: &str,
    culprit: Culprit,
    scope: Scope,
    args: [(&str, String); N],
) -> Complaint {
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
    fn the_end_that_renews_nothing_is_named_whichever_it_is() {
        // Both ends agree on keys when the first is told to, and not when the other is.
        let stubborn = Network::tunnelled(Phase::Ipv6Only).bend(|probe, answer| {
            let Question::Tunnel { moment, .. } = &probe.question else { return };
            if let Answer::Tunnels(states) = answer {
                for state in states {
                    state.counters.handshakes = if moment.contains("before new") { 1 } else { 2 };
                }
            }
        });
        let found = complaints(&RekeyBoth, &stubborn);
        let wanted = ("no-keys".to_owned(), "gateway-b (keys of office-to-centre)".to_owned());
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

//! `vpn.no-clear` and `vpn.fail-open`: nothing of what a tunnel couples is seen outside of it, while it carries, while its
//! keys are renewed and while it is down. A canary tells: a token in clear, sought on every link that it must not be on,
//! with the sender's own link as the control.

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
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        name::SegmentName,
        phase::Phase,
        probe::{Probe, Question},
        tap::{Tap, Watch},
        tunnel::TunnelAct,
        verdict::Judgement,
    },
    stage::Stage,
};

/// `vpn.no-clear`.
pub(super) struct NoClear;
/// `vpn.fail-open`.
pub(super) struct FailOpen;

static NO_CLEAR: Text = Text {
    id: "vpn.no-clear",
    title: "Nothing beside the tunnel",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Does what a tunnel couples go through it alone: seen on the sender's link and inside the tunnel, counted \
               by both gateways, and on no other link in clear?",
    good: "Coupled traffic is seen in clear on its own links alone.",
    references: &["RFC 7359", "RFC 9099 section 3.2"],
    cases: &[
        Case {
            name: "clear",
            finding: "{family} from {from} to {to} is seen unencrypted on {segment}, beside the tunnel {tunnel}.",
            expected: "The canary on {own} and inside {tunnel}, and nowhere else.",
            observed: "{observed}.",
            remedy: "Let {gateway} route what is coupled into the tunnel, and drop it on every other way out.",
        },
        Case {
            name: "around",
            finding: "{family} from {from} reaches {to} without going through the tunnel {tunnel}.",
            expected: "The canary inside {tunnel}, counted by both gateways.",
            observed: "{observed}.",
            remedy: "Compare the routes of {gateway} with what the tunnel couples.",
        },
    ],
};

static FAIL_OPEN: Text = Text {
    id: "vpn.fail-open",
    title: "A tunnel that is down is closed",
    section: "S2 2.2.3",
    use_case: UseCase::Policies,
    question: "Does nothing of what a tunnel couples leave in clear while its keys are renewed and while it is stopped, \
               and does it carry again afterwards?",
    good: "What is coupled stays at home while its tunnel is down.",
    references: &["RFC 7359", "RFC 9099 section 3.2"],
    cases: &[
        Case {
            name: "open",
            finding: "While {tunnel} is down, {family} from {from} to {to} leaves in clear on {segment}.",
            expected: "No canary outside the sender's own link.",
            observed: "{observed}.",
            remedy: "Drop what is coupled on every way out of {gateway} but the tunnel.",
        },
        Case {
            name: "lost",
            finding: "{tunnel} carries no {family} from {from} to {to} after {what}.",
            expected: "An answer from {to}.",
            observed: "{observed}.",
            remedy: "Look at the logs of both gateways at that moment.",
        },
    ],
};

impl Check for NoClear {
    fn text(&self) -> &'static Text {
        &NO_CLEAR
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        encrypted(stage).iter().map(|couple| one(stage, couple)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&NO_CLEAR);
        let couples = couples::of_stage(stage);
        let found = couples.iter().map(|couple| no_clear(judge, stage, seen, couple)).collect();
        judge.or_not_applicable(found, "no tunnel couples anything in this phase")
    }
}

impl Check for FailOpen {
    fn text(&self) -> &'static Text {
        &FAIL_OPEN
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        encrypted(stage).iter().map(|couple| interrupted(stage, couple)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&FAIL_OPEN);
        let couples = couples::of_stage(stage);
        let found = couples.iter().map(|couple| fail_open(judge, stage, seen, couple)).collect();
        judge.or_not_applicable(found, "no tunnel couples anything in this phase")
    }
}

/// The couples whose secrecy there is something to ask about.
fn encrypted(stage: &Stage) -> Vec<Couple> {
    couples::of_stage(stage).into_iter().filter(|couple| plain(couple).is_none()).collect()
}

/// Why there is nothing to ask about the secrecy of a couple; `None` where its tunnel encrypts.
fn plain(couple: &Couple) -> Option<String> {
    let kind = couple.end.kind;
    (!kind.is_encrypted()).then(|| {
        format!("{} is `{kind}`: it carries packets in clear by design", couple.end.tunnel)
    })
}

/// The moments at which a canary is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Carrying,
    Renewing,
    Down,
    Again,
}

impl Moment {
    fn word(self) -> &'static str {
        match self {
            Self::Carrying => "carrying",
            Self::Renewing => "renewing",
            Self::Down => "down",
            Self::Again => "again",
        }
    }
}

/// The same in asking and judging, and in no other couple, phase or moment.
fn token(phase: Phase, couple: &Couple, moment: Moment) -> String {
    format!(
        "sixwalk {} {} {} {}->{} {}",
        couple.end.tunnel,
        couple.inner().word(),
        phase.word(),
        couple.from(),
        couple.to(),
        moment.word()
    )
}

fn canary(stage: &Stage, couple: &Couple, moment: Moment) -> Probe {
    let token = token(stage.phase, couple, moment);
    ask::probe(couple.from(), Question::Canary { to: couple.path.destination, token })
}

/// A tap on a link for a canary, whichever family would carry it there in clear.
fn taps(stage: &Stage, couple: &Couple, moment: Moment, segment: &SegmentName) -> [Tap; 2] {
    let token = token(stage.phase, couple, moment);
    Family::ALL.map(|family| Tap {
        segment: segment.clone(),
        watch: Watch::Payload { family, token: token.clone() },
        label: "canary".to_owned(),
    })
}

/// The moments at which gateways are read.
const BEFORE: &str = "before its canary";
const AFTER: &str = "after its canary";
const OLD_KEYS: &str = "under old keys";
const NEW_KEYS: &str = "under new keys";

fn watched(stage: &Stage, couple: &Couple, moments: &[Moment]) -> Vec<Tap> {
    let mut links = couple.outside(stage);
    links.extend([couple.own_link(), couple.inside(stage)]);
    let of = |moment| links.iter().flat_map(move |link| taps(stage, couple, moment, link));
    moments.iter().flat_map(|moment| of(*moment).collect::<Vec<_>>()).collect()
}

fn one(stage: &Stage, couple: &Couple) -> Experiment {
    let mut probes: Vec<_> = couple.count(BEFORE).into();
    probes.push(canary(stage, couple, Moment::Carrying));
    probes.extend(couple.count(AFTER));
    Experiment {
        taps: watched(stage, couple, &[Moment::Carrying]),
        probes,
        in_order: true,
        ..Experiment::default()
    }
}

fn stop(couple: &Couple) -> Probe {
    couple.act(TunnelAct::Stop, "for vpn.fail-open")
}

/// Renews the keys, stops the tunnel and starts it again, with a canary each time.
fn interrupted(stage: &Stage, couple: &Couple) -> Experiment {
    let mut probes: Vec<_> = couple.count(OLD_KEYS).into();
    probes.push(couple.act(TunnelAct::Renew, "for vpn.fail-open"));
    probes.push(canary(stage, couple, Moment::Renewing));
    probes.extend(couple.count(NEW_KEYS));
    probes.extend([
        stop(couple),
        canary(stage, couple, Moment::Down),
        couple.act(TunnelAct::Start, "for vpn.fail-open"),
        canary(stage, couple, Moment::Again),
    ]);
    Experiment {
        taps: watched(stage, couple, &[Moment::Renewing, Moment::Down]),
        probes,
        in_order: true,
        alone: true,
        ..Experiment::default()
    }
}

/// Whether both gateways have counted a packet of a couple, in at one end and out at the other; `None` where one was not
/// read.
fn counted(seen: &Seen<'_>, couple: &Couple) -> Option<(Vec<EvidenceId>, bool)> {
    let (mut evidence, [here, there]) = couple.counted(seen, BEFORE).map(listed)?;
    let (after, [here_after, there_after]) = couple.counted(seen, AFTER).map(listed)?;
    evidence.extend(after);
    let sent = here_after.sent.packets > here.sent.packets;
    Some((evidence, sent && there_after.received.packets > there.received.packets))
}

fn listed<T>((ids, counters): ([EvidenceId; 2], T)) -> (Vec<EvidenceId>, T) {
    (ids.into(), counters)
}

/// Where a canary was seen.
struct Sightings {
    evidence: Vec<EvidenceId>,
    own: u64,
    inside: u64,
    outside: Vec<(SegmentName, u64)>,
    /// A tap that nobody may trust.
    deaf: Option<SegmentName>,
}

fn sightings(stage: &Stage, seen: &Seen<'_>, couple: &Couple, moment: Moment) -> Sightings {
    let mut found =
        Sightings { evidence: Vec::new(), own: 0, inside: 0, outside: Vec::new(), deaf: None };
    let mut count = |segment: &SegmentName| {
        let mut frames = 0;
        for tap in taps(stage, couple, moment, segment) {
            match seen.reading(&tap) {
                Some((id, reading)) if reading.is_trustworthy() => {
                    found.evidence.push(id);
                    frames += reading.frames;
                }
                _ => found.deaf = Some(segment.clone()),
            }
        }
        frames
    };
    let (own, inside) = (count(couple.own_link()), count(couple.inside(stage)));
    let outside = couple.outside(stage).into_iter().map(|name| (name.clone(), count(name)));
    let outside = outside.filter(|(_, frames)| *frames > 0).collect();
    Sightings { own, inside, outside, ..found }
}

fn no_clear(judge: Judge, stage: &Stage, seen: &Seen<'_>, couple: &Couple) -> Judgement {
    let subject = couple.subject();
    if let Some(why) = plain(couple) {
        return judge.not_applicable(subject, why);
    }
    let sent = canary(stage, couple, Moment::Carrying);
    let Some((id, answer)) = seen.answer(&sent) else {
        return judge.not_testable(subject, "the canary was not sent", []);
    };
    let at = sightings(stage, seen, couple, Moment::Carrying);
    let mut evidence = at.evidence.clone();
    evidence.push(id);
    if let Some(deaf) = &at.deaf {
        return judge.not_testable(subject, format!("the tap on {deaf} was not alive"), evidence);
    }
    if let Some((segment, frames)) = at.outside.first() {
        let observed = format!("{frames} frames with the canary on {segment}");
        let complaint = complaint(stage, couple, "clear", segment, observed);
        return judge.fail(subject, evidence, complaint);
    }
    if at.own == 0 {
        return judge.not_testable(subject, "the canary was not seen on its own link", evidence);
    }
    match counted(seen, couple) {
        None => return judge.not_testable(subject, "a gateway was not read", evidence),
        Some((read, counted)) => {
            evidence.extend(read);
            if counted && at.inside > 0 {
                return judge.pass(subject, evidence);
            }
        }
    }
    if answer.is_answered() {
        let observed = "an answer came, and the tunnel had no part in it".to_owned();
        let complaint = complaint(stage, couple, "around", couple.own_link(), observed);
        return judge.fail(subject, evidence, complaint);
    }
    judge.blocked(subject, "the canary never came to the tunnel: see vpn.matrix", evidence)
}

fn fail_open(judge: Judge, stage: &Stage, seen: &Seen<'_>, couple: &Couple) -> Judgement {
    let subject = couple.subject();
    if let Some(why) = plain(couple) {
        return judge.not_applicable(subject, why);
    }
    let mut evidence = Vec::new();
    for moment in [Moment::Renewing, Moment::Down] {
        let at = sightings(stage, seen, couple, moment);
        evidence.extend(at.evidence);
        if let Some(deaf) = &at.deaf {
            let reason = format!("the tap on {deaf} was not alive");
            return judge.not_testable(subject, reason, evidence);
        }
        if let Some((segment, frames)) = at.outside.first() {
            let observed = format!("{frames} frames with the canary on {segment}");
            let complaint = complaint(stage, couple, "open", segment, observed);
            return judge.fail(subject, evidence, complaint);
        }
        if at.own == 0 {
            let reason = "the canary was not seen on its own link";
            return judge.not_testable(subject, reason, evidence);
        }
    }
    if let Some(reason) = was_not_stopped(seen, couple) {
        return judge.not_testable(subject, reason, evidence);
    }
    let renewed = renewed(seen, couple, &mut evidence);
    for (moment, what) in [(Moment::Renewing, "its keys were renewed"), (Moment::Again, "a stop")] {
        let Some((id, answer)) = seen.answer(&canary(stage, couple, moment)) else { continue };
        evidence.push(id);
        if !answer.is_answered() {
            let observed = reading::describe(answer);
            let mut complaint = complaint(stage, couple, "lost", couple.own_link(), observed);
            complaint.args.insert("what".to_owned(), what.to_owned());
            complaint.severity = Severity::Major;
            return judge.fail(subject, evidence, complaint);
        }
    }
    match renewed {
        Some(true) => judge.pass(subject, evidence),
        Some(false) => judge.not_testable(
            subject,
            "no new keys were agreed on, so nothing is known of that moment: see vpn.rekey-both",
            evidence,
        ),
        None => judge.not_testable(subject, "a gateway was not read", evidence),
    }
}

/// Whether the gateway has agreed on new keys, and has put the canary of that moment into the tunnel; `None` where it was
/// not read.
fn renewed(seen: &Seen<'_>, couple: &Couple, evidence: &mut Vec<EvidenceId>) -> Option<bool> {
    let (ids, [before, _]) = couple.counted(seen, OLD_KEYS)?;
    let (later, [after, _]) = couple.counted(seen, NEW_KEYS)?;
    evidence.extend(ids.into_iter().chain(later));
    Some(after.handshakes > before.handshakes && after.sent.octets > before.sent.octets)
}

/// Why a tunnel that should have been stopped was not; `None` if it was.
fn was_not_stopped(seen: &Seen<'_>, couple: &Couple) -> Option<String> {
    match seen.answer(&stop(couple)) {
        Some((_, Answer::Done)) => None,
        Some((_, other)) => Some(
            other.not_asked().unwrap_or("the gateway gave an answer of another kind").to_owned(),
        ),
        None => Some("nobody stopped the tunnel".to_owned()),
    }
}

fn complaint(
    stage: &Stage,
    couple: &Couple,
    case: &str,
    segment: &SegmentName,
    observed: String,
) -> Complaint {
    let args = [
        ("family", couple.inner().to_string()),
        ("from", couple.from().to_string()),
        ("to", couple.to().to_string()),
        ("tunnel", couple.end.tunnel.to_string()),
        ("gateway", couple.gateway.to_string()),
        ("segment", segment.to_string()),
        ("own", couple.own_link().to_string()),
        ("observed", observed),
    ];
    let scope = couple.scope();
    let part = format!("{} beside {}", couple.inner(), couple.end.tunnel);
    let culprit = match case {
        "lost" => couple.through(stage),
        _ => Culprit::node(&couple.gateway, part),
    };
    Complaint {
        severity: Severity::Critical,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, case, culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Network, complaints};

    /// Frames with a canary of a moment are seen on the way of the provider.
    fn leaking(moment: &'static str) -> Network {
        Network::tunnelled(Phase::DualStack).bend_tap(move |tap, reading| {
            let Watch::Payload { family: Family::V6, token } = &tap.watch else { return };
            let of_a =
                token.ends_with(moment) && token.contains("ipv6") && token.contains("desk->app");
            if tap.segment.as_str() == "transit-b" && of_a {
                reading.frames = 2;
            }
        })
    }

    #[test]
    fn a_tunnel_that_carries_all_of_it_is_silent() {
        for phase in Phase::ALL {
            for check in [&NoClear as &dyn Check, &FailOpen] {
                let judgements = Network::tunnelled(phase).ask(&[check]);
                let passes = |j: &Judgement| j.verdict == crate::model::verdict::Verdict::Pass;
                assert!(judgements.iter().all(passes), "{phase}: {judgements:#?}");
            }
        }
    }

    #[test]
    fn a_canary_outside_is_found_while_the_tunnel_carries_and_while_it_does_not() {
        let clear = [("clear".to_owned(), "gateway-a (IPv6 beside office-to-centre)".to_owned())];
        assert_eq!(complaints(&NoClear, &leaking("carrying")), clear);
        assert_eq!(complaints(&FailOpen, &leaking("carrying")), []);
        for moment in ["renewing", "down"] {
            let open = [("open".to_owned(), clear[0].1.clone())];
            assert_eq!(complaints(&FailOpen, &leaking(moment)), open);
            assert_eq!(complaints(&NoClear, &leaking(moment)), []);
        }
    }

    #[test]
    fn an_answer_that_no_gateway_counted_came_another_way() {
        let uncounted = Network::tunnelled(Phase::Ipv4Only).bend(|_, answer| {
            if let Answer::Tunnels(states) = answer {
                for state in states {
                    state.counters.received.packets = 0;
                }
            }
        });
        let found = complaints(&NoClear, &uncounted);
        assert!(found.len() == 2 && found.iter().all(|(case, _)| case == "around"), "{found:?}");
    }

    #[test]
    fn a_tunnel_that_does_not_carry_after_it_was_down_is_found() {
        let lost = Network::tunnelled(Phase::Ipv6Only).bend(|probe, answer| {
            let Question::Canary { token, .. } = &probe.question else { return };
            if let Answer::Echo { attempt } = answer
                && token.ends_with("again")
            {
                attempt.outcome = crate::model::answer::Outcome::TimedOut;
            }
        });
        let found = complaints(&FailOpen, &lost);
        assert!(found.len() == 2 && found.iter().all(|(case, _)| case == "lost"), "{found:?}");
    }

    #[test]
    fn what_no_tap_could_see_is_not_proven() {
        let deaf = Network::tunnelled(Phase::DualStack).bend_tap(|tap, reading| {
            reading.alive_after = tap.segment.as_str() != "transit-a";
        });
        for check in [&NoClear as &dyn Check, &FailOpen] {
            let judgements = deaf.ask(&[check]);
            let open = |j: &Judgement| j.verdict == crate::model::verdict::Verdict::NotTestable;
            assert!(judgements.iter().all(open), "{judgements:#?}");
        }
    }

    #[test]
    fn a_stranger_with_the_same_addresses_is_no_leak() {
        let frames = Network::tunnelled(Phase::DualStack).bend_tap(|tap, reading| {
            if matches!(tap.watch, Watch::Packets { .. }) {
                reading.frames += 3;
            }
        });
        assert_eq!(complaints(&NoClear, &frames), []);
        assert_eq!(complaints(&FailOpen, &frames), []);
    }
}

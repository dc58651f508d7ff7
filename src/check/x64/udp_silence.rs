//! `x64.udp-silence`: an answer over UDP that comes after two minutes of silence still passes the translator. Where `x64.timers`
//! reads what a translator says, this waits for what it does.

use std::net::{IpAddr, SocketAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{self, Judge},
        translated::{self, Use},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        probe::{Probe, Question},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct UdpSilence;

/// A second more than the least that a translator must keep UDP (RFC 6146 section 4, RFC 4787 section 4.3).
const SILENCE_S: u16 = 121;

static TEXT: Text = Text {
    id: "x64.udp-silence",
    title: "Silence over UDP",
    section: "S4 NAT64",
    use_case: UseCase::InsideToOutside,
    question: "Does the answer to a question of the time still come to a user with IPv6 alone when a host with IPv4 alone gives it \
               after 121 seconds, in which nobody has sent anything? Asked with --patient.",
    good: "What comes after two minutes of silence still passes the translator.",
    references: &["RFC 6146 section 4", "RFC 4787 section 4.3"],
    cases: &[Case {
        name: "forgotten",
        finding: "{gateway} forgets UDP sessions within {silence} s: an answer of {to} does not come to {from}.",
        expected: "An answer after {silence} s of silence passes (two minutes at least, RFC 6146 section 4).",
        observed: "An answer that {to} gave at once came to {from}, and one after {silence} s did not; over IPv4, it came to \
                   {gateway}.",
        remedy: "Raise the timer of UDP sessions to what the translator says, and to two minutes at least.",
    }],
};

/// What is asked for one translation: a use of UDP whose server can be told to be late.
struct Silence<'s> {
    one: Use<'s>,
    to: SocketAddr,
}

impl<'s> Silence<'s> {
    fn of(one: Use<'s>) -> Option<Self> {
        let Question::Time { to } = one.leg.probe.question else { return None };
        Some(Self { one, to })
    }

    fn late(from: &NodeName, to: SocketAddr) -> Probe {
        ask::probe(from, Question::LateTime { to, after_s: SILENCE_S })
    }

    fn through(&self) -> Probe {
        Self::late(self.one.from(), self.to)
    }

    /// The same from the gateway over IPv4: whether the server is late, and nothing else forgets.
    fn beyond(&self) -> Probe {
        let to = SocketAddr::new(IpAddr::V4(self.one.host), self.to.port());
        Self::late(&self.one.translation.gateway, to)
    }
}

/// One for each translation.
fn silences(stage: &Stage) -> Vec<Silence<'_>> {
    let mut found = Vec::<Silence<'_>>::new();
    for silence in translated::uses(stage).into_iter().filter_map(Silence::of) {
        let name = &silence.one.translation.name;
        if found.iter().all(|known| known.one.translation.name != *name) {
            found.push(silence);
        }
    }
    found
}

impl Check for UdpSilence {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn is_patient(&self) -> bool {
        true
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let silences = silences(stage);
        let late = silences.iter().flat_map(|silence| [silence.through(), silence.beyond()]);
        let at_once = silences.iter().map(|silence| silence.one.leg.probe.clone());
        let late = Experiment { patient: true, ..Experiment::of_probes(late) };
        vec![late, Experiment::of_probes(at_once)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = silences(stage).iter().map(|it| of_one(judge, stage, seen, it)).collect();
        judge
            .or_not_applicable(found, "no time server is reached through translation in this phase")
    }
}

/// What came of a question that was to be answered late.
enum Came {
    Late,
    AtOnce,
    Never,
    Unknown(String),
}

fn came(seen: &Seen<'_>, probe: &Probe, evidence: &mut Vec<EvidenceId>) -> Came {
    let Some((id, answer)) = seen.answer(probe) else {
        return Came::Unknown("nobody has waited for two minutes".to_owned());
    };
    evidence.push(id);
    match answer {
        Answer::NotAsked { reason } => Came::Unknown(reason.clone()),
        it if !it.is_answered() => Came::Never,
        it => {
            let took = it.attempt().map_or(0, |attempt| attempt.connect_us);
            if took < u64::from(SILENCE_S) * 1_000_000 { Came::AtOnce } else { Came::Late }
        }
    }
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, silence: &Silence<'_>) -> Judgement {
    let one = &silence.one;
    let subject = one.subject();
    let mut evidence = Vec::new();
    let through = came(seen, &silence.through(), &mut evidence);
    match through {
        Came::Late => return judge.pass(subject, evidence),
        Came::Unknown(reason) => return judge.not_testable(subject, reason, evidence),
        Came::AtOnce => {
            let reason = format!("{} is a real program, and answers at once", one.what);
            return judge.not_testable(subject, reason, evidence);
        }
        Came::Never => {}
    }
    let at_once = seen.answer(&one.leg.probe).filter(|(_, answer)| answer.is_answered());
    let Some((id, _)) = at_once else {
        let reason = "no answer comes at once either: see x64.reach";
        return judge.blocked(subject, reason, evidence);
    };
    evidence.push(id);
    if !matches!(came(seen, &silence.beyond(), &mut evidence), Came::Late) {
        let gateway = &one.translation.gateway;
        let reason = format!(
            "no late answer came to {gateway} over IPv4 either, so that it need not be the translator"
        );
        return judge.not_testable(subject, reason, evidence);
    }
    judge.fail(subject, evidence, forgotten(stage, one))
}

fn forgotten(stage: &Stage, one: &Use<'_>) -> Complaint {
    let gateway = &one.translation.gateway;
    let args = [
        ("gateway", gateway.to_string()),
        ("silence", SILENCE_S.to_string()),
        ("from", one.from().to_string()),
        ("to", one.to.to_string()),
    ];
    let culprit = Culprit::node(gateway, "UDP sessions of the translator");
    // Who is cut off after minutes: nothing that fails at once fails for that.
    let scope =
        Scope { nodes: vec![gateway.clone()], packets: Some(Packets::Content), ..one.leg.scope() };
    Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, "forgotten", culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture,
        model::{
            answer::{Attempt, Outcome},
            evidence::{About, Evidence},
            family::Family,
            phase::Phase,
        },
    };

    #[test]
    fn an_answer_at_once_is_no_late_one() {
        let to: SocketAddr = "[2001:db8::1]:123".parse().unwrap();
        let probe = Silence::late(&"desk".parse().unwrap(), to);
        let after = |seconds: u64, outcome| {
            let attempt = Attempt {
                source: None,
                destination: to,
                family: Family::V6,
                outcome,
                errno: None,
                icmp: None,
                hop_limit: None,
                connect_us: seconds * 1_000_000,
                total_us: seconds * 1_000_000,
            };
            let answer = Answer::Time { attempt, stratum: None };
            let about = About::Probe { probe: probe.clone(), answer };
            let phase = Phase::Ipv6Only;
            let seen = [Evidence { id: EvidenceId(1), phase, at_us: 0, took_us: 0, about }];
            came(&Seen::new(&seen), &probe, &mut Vec::new())
        };
        assert!(matches!(after(121, Outcome::Answered), Came::Late));
        assert!(matches!(after(0, Outcome::Answered), Came::AtOnce));
        assert!(matches!(after(126, Outcome::TimedOut), Came::Never));
        let nothing = came(&Seen::new(&[]), &probe, &mut Vec::new());
        assert!(matches!(nothing, Came::Unknown(_)));
    }

    #[test]
    fn a_network_without_translation_is_silent() {
        fixture::assert_silent_when_healthy(&UdpSilence);
    }
}

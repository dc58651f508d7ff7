//! Readings that many checks share: what repeated answers agree on, and how judgements are put together.

use std::collections::BTreeMap;

use super::{Text, ask, icmp_error};
use crate::{
    model::{
        answer::{Answer, IcmpError, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        phase::Phase,
        probe::Probe,
        verdict::{Judgement, Verdict},
    },
    stage::{Carriage, Path, Stage},
};

/// How often a question that failed is asked again (catalogue, `meta.repeatable`).
pub const REPETITIONS: u8 = 2;

/// What all rounds of a question came to.
#[derive(Clone, Debug)]
pub struct Consensus<'e> {
    /// The evidence of every round.
    pub evidence: Vec<EvidenceId>,
    /// The answer of the last round that did not succeed, or of the first if all did.
    pub telling: &'e Answer,
    /// A Time Exceeded that came in any round: routers send few of them (RFC 4443 section 2.4), so not in every one.
    pub time_exceeded: Option<IcmpError>,
    /// Rounds that were answered as the protocol asks.
    pub answered: u8,
    /// Rounds that were asked at all.
    pub asked: u8,
}

/// What a consensus says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Answered every time.
    Yes,
    /// Answered some of the time.
    Sometimes {
        /// Rounds answered.
        answered: u8,
        /// Rounds asked.
        asked: u8,
    },
    /// Never answered.
    No,
    /// Never really asked, for this reason.
    Unknown(String),
}

/// The answers to a question, in the first round and in those that repeat it.
pub fn rounds<'e>(
    seen: &Seen<'e>,
    first: &Probe,
) -> impl Iterator<Item = (EvidenceId, &'e Answer)> {
    (0..=REPETITIONS).filter_map(move |round| {
        if round == 0 { seen.answer(first) } else { seen.answer(&ask::again(first, round)) }
    })
}

/// Gathers the rounds of a question; `None` if it was never sent.
pub fn consensus<'e>(seen: &Seen<'e>, first: &Probe) -> Option<Consensus<'e>> {
    let rounds: Vec<_> = rounds(seen, first).collect();
    let (_, first_answer) = *rounds.first()?;
    let asked = rounds.iter().filter(|(_, answer)| answer.not_asked().is_none());
    let answered = rounds.iter().filter(|(_, answer)| answer.is_answered());
    let unanswered = rounds.iter().rev().map(|(_, answer)| *answer).find(|a| !a.is_answered());
    let mut errors = rounds.iter().filter_map(|(_, answer)| answer.attempt()?.icmp);
    Some(Consensus {
        time_exceeded: errors.find(icmp_error::is_time_exceeded),
        evidence: rounds.iter().map(|(id, _)| *id).collect(),
        telling: unanswered.unwrap_or(first_answer),
        answered: u8::try_from(answered.count()).unwrap_or(u8::MAX),
        asked: u8::try_from(asked.count()).unwrap_or(u8::MAX),
    })
}

impl Consensus<'_> {
    /// What it says.
    pub fn reached(&self) -> Reached {
        match (self.answered, self.asked) {
            (_, 0) => Reached::Unknown(self.telling.not_asked().unwrap_or("no reason").to_owned()),
            (0, _) => Reached::No,
            (answered, asked) if answered == asked => Reached::Yes,
            (answered, asked) => Reached::Sometimes { answered, asked },
        }
    }
}

/// The repetitions of those questions that were asked and not answered.
pub fn repeat_unanswered<'p>(
    seen: &Seen<'_>,
    probes: impl IntoIterator<Item = &'p Probe>,
) -> Vec<Experiment> {
    let unanswered = probes.into_iter().filter(|probe| {
        seen.answer(probe).is_some_and(|(_, a)| a.not_asked().is_none() && !a.is_answered())
    });
    let again =
        unanswered.flat_map(|probe| (1..=REPETITIONS).map(|round| ask::again(probe, round)));
    vec![Experiment::of_probes(again)]
}

/// Whether a link of a way, or of what carries it, is planned to lose packets: not every question is then answered.
pub fn is_lossy(stage: &Stage, way: &Path) -> bool {
    way.crossed().any(|segment| stage.testbed.segments[segment].impairment.loss.0 > 0)
}

/// What carries the traffic of a way, where a tunnel does.
pub fn carrier(way: &Path) -> Option<Box<Scope>> {
    way.carried.as_deref().map(|carriage| Box::new(outside(carriage)))
}

/// The traffic outside that a tunnel makes of what goes inside.
pub fn outside(Carriage { way, carrier, .. }: &Carriage) -> Scope {
    Scope {
        family: Some(way.family()),
        port: carrier.port(),
        from: way.nodes.first().cloned(),
        to: way.nodes.last().cloned(),
        address: Some(way.destination),
        nodes: way.nodes.clone(),
        segments: way.segments.clone(),
        ..Scope::default()
    }
}

/// How an attempt ended, in words: `refused (ECONNREFUSED) after 0.3 ms`.
pub fn describe(answer: &Answer) -> String {
    if let Some(reason) = answer.not_asked() {
        return format!("not asked: {reason}");
    }
    let Some(attempt) = answer.attempt() else { return "no attempt".to_owned() };
    let how = match &attempt.outcome {
        Outcome::Answered => "answered".to_owned(),
        Outcome::Refused => "refused".to_owned(),
        Outcome::Rejected => "rejected".to_owned(),
        Outcome::NoRoute => "no route".to_owned(),
        Outcome::TimedOut => "no answer".to_owned(),
        Outcome::Stalled => "stalled".to_owned(),
        Outcome::Garbled { what } => format!("garbled ({what})"),
        Outcome::NotAsked { reason } => format!("not asked ({reason})"),
    };
    let icmp = attempt.icmp.map_or_else(String::new, |icmp| {
        format!(" by {} from {}", icmp_error::words(&icmp), icmp.sender)
    });
    let errno = attempt.errno.as_ref().map_or_else(String::new, |errno| format!(" ({errno})"));
    let millis = attempt.total_us / 1000;
    format!("{how}{icmp}{errno} after {millis} ms")
}

/// The phases in which trouble with a family hurts, the present one first.
pub fn bites(stage: &Stage, family: Family) -> Vec<Phase> {
    let permits = |phase: &Phase| phase.permits().has(family);
    std::iter::once(stage.phase).chain(stage.phase.later().filter(permits)).collect()
}

/// A complaint with the usual values; name what differs by struct update.
pub fn complaint<const N: usize>(
    stage: &Stage,
    case: &str,
    culprit: Culprit,
    scope: Scope,
    args: [(&str, String); N],
) -> Complaint {
    let bites_in = match scope.family {
        Some(family) => bites(stage, family),
        None => std::iter::once(stage.phase).chain(stage.phase.later()).collect(),
    };
    Complaint {
        case: case.to_owned(),
        args: args
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect::<BTreeMap<_, _>>(),
        severity: Severity::Major,
        confidence: Confidence::Medium,
        culprit,
        bites_in,
        depth: Depth::Symptom,
        scope,
    }
}

/// Judgements of one check.
#[derive(Clone, Copy)]
pub struct Judge(pub &'static Text);

impl Judge {
    fn with(
        self,
        subject: impl Into<String>,
        verdict: Verdict,
        reason: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
    ) -> Judgement {
        Judgement {
            check: self.0.id.to_owned(),
            subject: subject.into(),
            verdict,
            reason: reason.into(),
            evidence: evidence.into(),
            complaint: None,
        }
    }

    /// As expected.
    pub fn pass(
        self,
        subject: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
    ) -> Judgement {
        self.with(subject, Verdict::Pass, "", evidence)
    }

    /// As expected, because nothing is there where nothing should be.
    pub fn absent(
        self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
    ) -> Judgement {
        self.with(subject, Verdict::Pass, reason, evidence)
    }

    /// Recorded only.
    pub fn info(
        self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
    ) -> Judgement {
        self.with(subject, Verdict::Info, reason, evidence)
    }

    /// Not as expected.
    pub fn fail(
        self,
        subject: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
        complaint: Complaint,
    ) -> Judgement {
        let judgement = self.with(subject, Verdict::Fail, "", evidence);
        Judgement { complaint: Some(complaint), ..judgement }
    }

    /// As expected only some of the time, or worse than expected.
    pub fn degraded(
        self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
        complaint: Complaint,
    ) -> Judgement {
        let judgement = self.with(subject, Verdict::Degraded, reason, evidence);
        Judgement { complaint: Some(complaint), ..judgement }
    }

    /// Nothing of the kind is planned in this phase.
    pub fn not_applicable(
        self,
        subject: impl Into<String>,
        reason: impl Into<String>,
    ) -> Judgement {
        self.with(subject, Verdict::NotApplicable, reason, [])
    }

    /// Could not be measured.
    pub fn not_testable(
        self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
    ) -> Judgement {
        self.with(subject, Verdict::NotTestable, reason, evidence)
    }

    /// Not judged, because what it stands on has failed.
    pub fn blocked(
        self,
        subject: impl Into<String>,
        reason: impl Into<String>,
        evidence: impl Into<Vec<EvidenceId>>,
    ) -> Judgement {
        self.with(subject, Verdict::Blocked, reason, evidence)
    }

    /// If a check found no subject in a phase, it says so.
    pub fn or_not_applicable(self, judgements: Vec<Judgement>, reason: &str) -> Vec<Judgement> {
        if judgements.is_empty() { vec![self.not_applicable("-", reason)] } else { judgements }
    }
}

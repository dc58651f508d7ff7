//! Whether a server keeps what it gives: who holds an address must be able to keep it and to give it back.

use super::{Subject, TEXT};
use crate::{
    check::{
        ask, dhcp,
        reading::{Judge, REPETITIONS},
    },
    model::{
        answer::Answer,
        dhcp::{HeardDhcp, LeaseAct, LeaseCourse},
        evidence::{EvidenceId, Seen},
        finding::{Complaint, Severity},
        probe::{Probe, Question},
        verdict::Judgement,
    },
    stage::Stage,
};

impl Subject<'_> {
    /// The question for a lease from its beginning to its end, of a host that lives by one.
    pub(super) fn lease(&self) -> Option<Probe> {
        let question = Question::Lease { interface: self.interface.name.clone() };
        self.stateful.then(|| ask::probe(self.asker, question))
    }

    /// The question again, where something was not answered: a frame may have been lost.
    pub(super) fn lease_again(&self, seen: &Seen<'_>) -> Vec<Probe> {
        let first = self.lease().into_iter();
        let unanswered = first.filter(|probe| match seen.answer(probe) {
            Some((_, Answer::Lease { course })) => !course.is_answered(),
            _ => false,
        });
        let rounds = |probe: Probe| {
            (1..=REPETITIONS).map(move |round| ask::again(&probe, round)).collect::<Vec<_>>()
        };
        unanswered.flat_map(rounds).collect()
    }

    /// What became of the lease in each round in which the planned server gave one.
    fn courses<'e>(
        &self,
        stage: &Stage,
        seen: &Seen<'e>,
        first: &Probe,
    ) -> Result<Courses<'e>, (String, Vec<EvidenceId>)> {
        let planned = dhcp::planned_mac(stage, &self.served);
        let (mut evidence, mut courses) = (Vec::new(), Vec::new());
        let mut reason = "it was not asked".to_owned();
        for round in 0..=REPETITIONS {
            let probe = Probe { round, ..first.clone() };
            let Some((id, answer)) = seen.answer(&probe) else { continue };
            evidence.push(id);
            match answer {
                Answer::Lease { course } => {
                    let by_plan =
                        course.given.as_ref().is_some_and(|given| Some(given.mac) == planned);
                    courses.extend(by_plan.then_some(course));
                    "the planned server gave no address, or another was faster"
                        .clone_into(&mut reason);
                }
                other => {
                    let why = other.not_asked().unwrap_or("the answer is of another kind");
                    why.clone_into(&mut reason);
                }
            }
        }
        if courses.is_empty() { Err((reason, evidence)) } else { Ok((evidence, courses)) }
    }

    /// What becomes of the lease of a host, act by act.
    pub(super) fn judge_lease(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let Some(first) = self.lease() else { return Vec::new() };
        let judge = Judge(&TEXT);
        let name = |act| format!("{}/{} {act}", self.served.segment, self.asker);
        let found = self.courses(stage, seen, &first);
        let of_act = |act| match &found {
            Err((reason, evidence)) => judge.blocked(name(act), reason.clone(), evidence.clone()),
            Ok((evidence, courses)) => match came_of(courses, act) {
                Outcome::Kept => judge.pass(name(act), evidence.clone()),
                Outcome::NotAsked => {
                    let reason = format!("time ran out before {act}");
                    judge.not_testable(name(act), reason, evidence.clone())
                }
                // Who does not know of a lease refuses every question about it: one trouble.
                Outcome::Broken(observed)
                    if act == LeaseAct::Rebind
                        && came_of(courses, LeaseAct::Renew)
                            == Outcome::Broken(observed.clone()) =>
                {
                    let reason = format!("as with Renew: {observed}");
                    judge.blocked(name(act), reason, evidence.clone())
                }
                Outcome::Broken(observed) => {
                    let complaint = self.broken(stage, courses, act, observed);
                    judge.fail(name(act), evidence.clone(), complaint)
                }
            },
        };
        LeaseAct::ALL.map(of_act).into()
    }

    fn broken(
        &self,
        stage: &Stage,
        courses: &[&LeaseCourse],
        act: LeaseAct,
        observed: String,
    ) -> Complaint {
        let given = courses.iter().find_map(|course| course.given.as_ref());
        let addresses = given.into_iter().flat_map(|given| &given.addresses);
        let addresses: Vec<_> = addresses.map(ToString::to_string).collect();
        let args = [
            ("server", self.served.server.to_string()),
            ("asker", self.asker.to_string()),
            ("segment", self.served.segment.to_string()),
            ("address", addresses.join(", ")),
            ("observed", observed),
        ];
        let (case, severity) = match act {
            LeaseAct::Renew => ("renewal", self.severity(stage)),
            LeaseAct::Rebind => ("rebinding", Severity::Minor),
            LeaseAct::Release => ("release", Severity::Minor),
        };
        Complaint { severity, ..self.of_server(stage, case, &format!("DHCPv6 {act}"), args) }
    }
}

/// What became of a lease in each round, and what that rests on.
type Courses<'e> = (Vec<EvidenceId>, Vec<&'e LeaseCourse>);

/// What an act came to, in all rounds.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// The server did as it must, in some round at least.
    Kept,
    /// It never did; what it did instead.
    Broken(String),
    /// In no round was there time to ask.
    NotAsked,
}

fn came_of(courses: &[&LeaseCourse], act: LeaseAct) -> Outcome {
    let of_course = |course: &&LeaseCourse| {
        let (_, said) = course.then.iter().find(|(of, _)| *of == act)?;
        Some(match said {
            None => Err("no answer".to_owned()),
            Some(said) => wrong(course.given.as_ref(), said, act).map_or(Ok(()), Err),
        })
    };
    let rounds: Vec<Result<(), String>> = courses.iter().filter_map(of_course).collect();
    match rounds.iter().rev().find_map(|round| round.clone().err()) {
        None if rounds.is_empty() => Outcome::NotAsked,
        Some(observed) if rounds.iter().all(Result::is_err) => Outcome::Broken(observed),
        _ => Outcome::Kept,
    }
}

/// What is wrong with an answer. Which lifetimes a server gives with a renewal is its own affair.
fn wrong(given: Option<&HeardDhcp>, said: &HeardDhcp, act: LeaseAct) -> Option<String> {
    if let Some(status) = said.status.filter(|status| *status != 0) {
        return Some(format!("a refusal (status {status})"));
    }
    if act == LeaseAct::Release {
        return None;
    }
    let is_kept = |address| given.is_none_or(|given| given.addresses.contains(address));
    match said.addresses.as_slice() {
        [] => Some("an answer without an address, or with one of no lifetime".to_owned()),
        kept if kept.iter().all(is_kept) => None,
        others => {
            let others: Vec<_> = others.iter().map(ToString::to_string).collect();
            Some(format!("another address, {}", others.join(", ")))
        }
    }
}

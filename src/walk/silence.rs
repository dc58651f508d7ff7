//! Silence: how long questions wait for what never comes. This part of a walk no machine can shorten, because only the
//! end of a time limit tells a silent network from a slow one.

use std::{
    collections::HashMap,
    mem::{self, Discriminant},
    net::IpAddr,
    time::Duration,
};

use crate::{
    model::{
        answer::{Answer, Attempt, Outcome},
        evidence::{About, Evidence},
        name::NodeName,
        probe::{Probe, Question},
    },
    report::run::Wait,
};

/// The wait that a time limit forced on a question; `None` if it was answered.
pub(super) fn forced(piece: &Evidence) -> Option<Wait> {
    let About::Probe { probe, answer } = &piece.about else { return None };
    // What is above the time limit is not forced: there the harness was late.
    let us = u64::try_from(probe.question.patience().as_micros()).unwrap_or(u64::MAX);
    let us = piece.took_us.min(us);
    is_forced(answer).then(|| Wait { reason: in_words(probe), us })
}

/// How long an experiment that holds up everything else still waits where nobody answered when first asked: far longer
/// than an answer takes in a lab, and than keys that have just been agreed on take to carry it.
const BRIEFLY: Duration = Duration::from_millis(250);

/// A kind of question, from a node to an address.
type Way = (NodeName, IpAddr, Discriminant<Question>);

/// Who has answered in this phase when experiments held everything else up. Where the first question of a kind was met with
/// silence, for as long as it may wait, silence tells no more a second time, and an answer need not be waited for that long.
#[derive(Default)]
pub(super) struct Unheard(HashMap<Way, bool>);

impl Unheard {
    /// How long the next question may wait.
    pub(super) fn patience(&self, probe: &Probe) -> Duration {
        let full = probe.question.patience();
        match way(probe).and_then(|way| self.0.get(&way)) {
            Some(false) => full.min(BRIEFLY),
            Some(true) | None => full,
        }
    }

    /// Notes what came of a question.
    pub(super) fn note(&mut self, piece: &Evidence) {
        let About::Probe { probe, answer } = &piece.about else { return };
        let Some(way) = way(probe) else { return };
        let is_heard = match answer {
            Answer::Stream { answered, .. } => *answered > 0,
            other => !is_forced(other),
        };
        *self.0.entry(way).or_default() |= is_heard;
    }
}

fn way(Probe { from, question, .. }: &Probe) -> Option<Way> {
    Some((from.clone(), question.destination()?, mem::discriminant(question)))
}

/// The longest of waits that passed at the same time.
pub(super) fn longest(waits: impl IntoIterator<Item = Wait>) -> Option<Wait> {
    waits.into_iter().max_by_key(|wait| wait.us)
}

/// Waits that passed one after another, as one.
pub(super) fn in_series(waits: impl IntoIterator<Item = Wait>) -> Option<Wait> {
    waits.into_iter().reduce(|all, next| Wait { us: all.us + next.us, ..all })
}

/// Whether an answer is one that only comes when the time is over: nothing came, or more than one may come.
fn is_forced(answer: &Answer) -> bool {
    // A connection goes on trying after an ICMP error, which tells of a passing trouble (RFC 1122 section 4.2.3.9).
    let is_silent = |attempt: &Attempt| {
        matches!(attempt.outcome, Outcome::TimedOut | Outcome::Stalled | Outcome::Rejected)
    };
    match answer {
        Answer::Lease { course } => !course.is_answered(),
        Answer::Sink { from, .. } => from.is_empty(),
        Answer::LogIn { clients } => clients.is_empty(),
        Answer::PathMtu { sweep } => sweep.lost.is_some() || sweep.passed.is_none(),
        Answer::Trace { hops, reached } => !reached || hops.contains(&None),
        Answer::Advertisements { .. }
        | Answer::Listeners { .. }
        | Answer::Neighbour { .. }
        | Answer::Dhcp { .. } => true,
        Answer::Stream { sent, answered, .. } => answered < sent,
        Answer::Journey { attempts, page, .. } => page.is_none() || attempts.iter().any(is_silent),
        other => other.attempt().is_some_and(is_silent),
    }
}

fn in_words(Probe { from, question, .. }: &Probe) -> String {
    let what = match question {
        Question::Solicit { interface } => {
            return format!("further Router Advertisements on `{interface}` of `{from}`");
        }
        Question::Listeners { interface } => {
            return format!("further listeners on `{interface}` of `{from}`");
        }
        Question::Dhcp { interface, .. } => {
            return format!("further DHCPv6 servers on `{interface}` of `{from}`");
        }
        Question::Lease { interface } => {
            return format!("what becomes of a lease of DHCPv6 on `{interface}` of `{from}`");
        }
        Question::Neighbour { target, .. } => {
            return format!("further owners of {target} on the link of `{from}`");
        }
        Question::Connect { .. } => "a connection",
        Question::Fetch { .. } | Question::Journey { .. } => "a page",
        Question::Lookup { .. } => "a name",
        Question::Time { .. } => "the time",
        Question::LateTime { .. } => "the time, to be told after a silence",
        Question::Snmp { .. } => "a management agent",
        Question::Radius { .. } => "an admission",
        Question::PathMtu { .. } => "packets that are too large",
        Question::Trace { .. } => "every hop",
        Question::Provoke { .. } => "an ICMP error",
        Question::Sink { .. } | Question::LogIn { .. } => "a message in the log",
        Question::Dialogue { .. } => "a management product",
        Question::Ping { .. }
        | Question::Datagram { .. }
        | Question::Log { .. }
        | Question::Spoof { .. }
        | Question::Encapsulated { .. }
        | Question::Forge { .. }
        | Question::Router { .. }
        | Question::SourceFor { .. }
        | Question::Canary { .. }
        | Question::Stream { .. }
        | Question::Tunnel { .. }
        | Question::Inspect(_) => "an echo",
    };
    match question.destination() {
        Some(to) => format!("silence about {what}, from `{from}` to {to}"),
        None => format!("silence about {what}, asked by `{from}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::{evidence::EvidenceId, phase::Phase};

    fn wait(us: u64) -> Wait {
        Wait { reason: us.to_string(), us }
    }

    #[test]
    fn waits_at_the_same_time_are_one_and_waits_in_series_add_up() {
        assert_eq!(longest([wait(2), wait(5), wait(3)]), Some(wait(5)));
        assert_eq!(in_series([wait(2), wait(5)]), Some(Wait { reason: "2".to_owned(), us: 7 }));
        assert_eq!(longest([]), None);
        assert_eq!(in_series([]), None);
    }

    #[test]
    fn who_was_silent_at_first_is_not_waited_for_as_long_again_until_an_answer_comes() {
        let to: IpAddr = [10, 0, 0, 1].into();
        let question = Question::Stream { to, packets: 8, size: 64, class: 0, opened: false };
        let full = question.patience();
        let probe = Probe { from: "desk".parse().unwrap(), question, round: 0 };
        let stream = |answered| Answer::Stream {
            source: None,
            sent: 8,
            answered,
            duplicates: 0,
            late: 0,
            classes: BTreeSet::new(),
            fastest_us: None,
            took_us: None,
        };
        let piece = |answered| Evidence {
            id: EvidenceId(1),
            phase: Phase::DualStack,
            at_us: 0,
            took_us: 0,
            about: About::Probe { probe: probe.clone(), answer: stream(answered) },
        };
        let mut unheard = Unheard::default();
        assert_eq!(unheard.patience(&probe), full);
        unheard.note(&piece(0));
        assert_eq!(unheard.patience(&probe), BRIEFLY);
        let elsewhere = Probe { from: "files".parse().unwrap(), ..probe.clone() };
        assert_eq!(unheard.patience(&elsewhere), full);
        unheard.note(&piece(7));
        unheard.note(&piece(0));
        assert_eq!(unheard.patience(&probe), full);
    }

    #[test]
    fn an_answer_is_no_silence() {
        let trace = |hops: Vec<_>, reached| Answer::Trace { hops, reached };
        let hop = Some(std::net::IpAddr::from([10, 0, 0, 1]));
        assert!(!is_forced(&trace(vec![hop], true)));
        assert!(is_forced(&trace(vec![None], true)));
        assert!(is_forced(&trace(vec![hop], false)));
        assert!(is_forced(&Answer::of_sink(Vec::new())));
        assert!(!is_forced(&Answer::Routes(Vec::new())));
    }
}

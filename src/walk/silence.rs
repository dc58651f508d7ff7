//! Silence: how long questions wait for what never comes. This part of a walk no machine can shorten, because only the
//! end of a time limit tells a silent network from a slow one.

use crate::{
    model::{
        answer::{Answer, Attempt, Outcome},
        evidence::{About, Evidence},
        probe::{Probe, Question},
    },
    report::run::Wait,
};

/// The wait that a time limit forced on a question; `None` if it was answered.
pub(super) fn forced(piece: &Evidence) -> Option<Wait> {
    let About::Probe { probe, answer } = &piece.about else { return None };
    // What is above the time limit is not forced: there the harness was late.
    let us = piece.took_us.min(probe.question.patience_ms() * 1_000);
    is_forced(answer).then(|| Wait { reason: in_words(probe), us })
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
    use super::*;

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

//! `log.family-captured`, `log.not-cut`, `log.canonical`: what the logs keep of the address that a log-in came from.

use super::trail::{self, Kept, LogIn, Step, Trail};
use crate::{
    check::{Case, Check, Text, UseCase, reading::Judge},
    model::{evidence::Seen, experiment::Experiment, finding::Severity, verdict::Judgement},
    stage::Stage,
};

/// The longest text of an address (RFC 5952 has none longer).
const LONGEST: usize = 39;

/// A check of one kind of loss.
pub(super) struct LogKept {
    text: &'static Text,
    /// What is complained of, under which case.
    cases: &'static [(Kept, &'static str)],
    severity: Severity,
    /// What a passing judgement adds.
    note: fn(&LogIn) -> String,
}

/// Is the client's address there at all?
pub(super) static FAMILY_CAPTURED: LogKept = LogKept {
    text: &CAPTURED,
    cases: &[(Kept::Missing, "no-client"), (Kept::Other, "other-client")],
    severity: Severity::Critical,
    note: |_| String::new(),
};

/// Is it whole?
pub(super) static NOT_CUT: LogKept = LogKept {
    text: &CUT,
    cases: &[(Kept::Cut, "cut")],
    severity: Severity::Critical,
    note: |log_in| match log_in.length() {
        LONGEST.. => String::new(),
        length => format!(
            "the address has {length} characters; a column of {length} to {} would not be noticed",
            LONGEST - 1
        ),
    },
};

/// Is it spelt as everybody spells it?
pub(super) static CANONICAL: LogKept = LogKept {
    text: &SPELT,
    cases: &[(Kept::Spelt, "spelling")],
    severity: Severity::Minor,
    note: |_| String::new(),
};

static CAPTURED: Text = Text {
    id: "log.family-captured",
    title: "Log-ins with their address",
    section: "S2 4.2",
    use_case: UseCase::Policies,
    question: "Does every log keep the address that a marked log-in really came from, over every planned family?",
    good: "Every log-in is kept with the address that it came from, over every planned family.",
    references: &["RFC 9099 section 2.6", "RFC 7381 section 3.3", "RFC 6302"],
    cases: &[
        Case {
            name: "no-client",
            finding: "The log-in of {from} from {given} is in {what} without its address.",
            expected: "A line with {given}.",
            observed: "{what} has {kept}.",
            remedy: "Put the client's address into the log format, let the sink accept the message over the family that \
                     it is sent over, and let its parser take addresses of both families.",
        },
        Case {
            name: "other-client",
            finding: "{what} says that the log-in of {from} came from {kept}.",
            expected: "{given}, from where it came.",
            observed: "{kept}.",
            remedy: "Log the address of the client and not that of a proxy or balancer before the service: hand it on by \
                     the PROXY protocol or a header that is believed from the proxy alone, and log the port too.",
        },
    ],
};

static CUT: Text = Text {
    id: "log.not-cut",
    title: "Addresses in full length",
    section: "S2 4.2",
    use_case: UseCase::Policies,
    question: "Is the longest address that somebody logs in from kept in full by every log and every parser?",
    good: "Addresses are kept in full length by every log and parser.",
    references: &["RFC 5952", "RFC 7381 section 2.7"],
    cases: &[Case {
        name: "cut",
        finding: "{what} keeps only a part of IPv6 addresses: `{kept}` of `{given}`.",
        expected: "All {length} characters of {given}.",
        observed: "`{kept}`.",
        remedy: "Read addresses by a parser and not by splitting at colons; give columns room for 45 characters, or keep \
                 addresses as 16 octets.",
    }],
};

static SPELT: Text = Text {
    id: "log.canonical",
    title: "One spelling of addresses",
    section: "S2 4.2",
    use_case: UseCase::Policies,
    question: "Do all logs spell the address of one client alike, as RFC 5952 does?",
    good: "All logs spell an address alike, as RFC 5952 does.",
    references: &["RFC 5952 section 4", "RFC 4291 section 2.5.5.2", "RFC 9099 section 2.6.2.3"],
    cases: &[Case {
        name: "spelling",
        finding: "{what} spells {given} in another way: {kept}.",
        expected: "{given}.",
        observed: "{kept}.",
        remedy: "Bring addresses into the form of RFC 5952 where they are taken in, and IPv4-mapped ones into that of \
                 IPv4: a search for one text misses the other.",
    }],
};

impl Check for LogKept {
    fn text(&self) -> &'static Text {
        self.text
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        trail::ask_all(stage, 0)
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        trail::follow_up(stage, seen)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let trails = trail::all(stage);
        let judged = trails.iter().flat_map(|trail| {
            let log_ins = trail.log_ins.iter();
            log_ins.flat_map(move |log_in| self.judge_one(stage, seen, trail, log_in))
        });
        let reason = "nobody logs in at a service that sends its log to a sink in this phase";
        let judge = Judge(self.text);
        judge.or_not_applicable(judged.chain(trail::left_out(judge, stage)).collect(), reason)
    }
}

impl LogKept {
    fn judge_one(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        trail: &Trail,
        log_in: &LogIn,
    ) -> Vec<Judgement> {
        let (judge, subject) = (Judge(self.text), trail.subject(log_in));
        let Some(steps) = trail.steps(seen, log_in) else {
            let reason = "nobody could log in, or the logs could not be read";
            return vec![judge.not_testable(subject, reason, [])];
        };
        let of_step = |step: &Step| {
            let subject = format!("{subject} in the {} of {}", step.at.1, step.at.0);
            let case = self.cases.iter().find(|(kept, _)| *kept == step.kept);
            match case {
                Some((_, case)) => {
                    let complaint = step.complaint(stage, case, self.severity, log_in);
                    judge.fail(subject, step.evidence.clone(), complaint)
                }
                None => judge.absent(subject, (self.note)(log_in), step.evidence.clone()),
            }
        };
        steps.iter().map(of_step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{answer::Answer, phase::Phase, probe::Keeper, probe::Question},
    };

    /// The stage of this kind keeps something else of IPv6 addresses.
    fn keeps(keeper: Keeper, make: fn(&str) -> String) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            let wanted = match &probe.question {
                Question::LogIn { keeper: asked, .. } => {
                    *asked == keeper || keeper == Keeper::Access
                }
                _ => false,
            };
            if let Answer::LogIn { clients } = answer
                && wanted
            {
                clients.iter_mut().filter(|client| client.contains(':')).for_each(|client| {
                    *client = make(client);
                });
            }
        })
    }

    #[track_caller]
    fn finds(check: &LogKept, network: &Network, case: &str, culprit: &str) {
        let mut found = fixture::complaints(check, network);
        found.dedup();
        assert_eq!(found, [(case.to_owned(), culprit.to_owned())]);
        for other in [&FAMILY_CAPTURED, &NOT_CUT, &CANONICAL] {
            if other.text.id != check.text.id {
                assert_eq!(fixture::complaints(other, network), [], "{}", other.text.id);
            }
        }
    }

    #[test]
    fn a_healthy_network_is_silent() {
        for check in [&FAMILY_CAPTURED, &NOT_CUT, &CANONICAL] {
            fixture::assert_silent_when_healthy(check);
        }
    }

    #[test]
    fn what_is_not_to_reach_a_sink_is_not_missed_there() {
        for check in [&FAMILY_CAPTURED, &NOT_CUT, &CANONICAL] {
            fixture::assert_closed(check, "dmz->resolver log");
        }
    }

    #[test]
    fn the_stage_that_spoils_an_address_is_named_and_those_after_it_are_not() {
        let (access, table) = ("portal (access log of https)", "resolver (table of log-ins)");
        let split = |client: &str| client.split(':').next().unwrap().to_owned();
        let none = |_: &str| "-".to_owned();
        let other = |_: &str| "203.0.113.1".to_owned();
        for (keeper, culprit) in [(Keeper::Access, access), (Keeper::Table, table)] {
            finds(&NOT_CUT, &keeps(keeper, split), "cut", culprit);
            finds(&FAMILY_CAPTURED, &keeps(keeper, none), "no-client", culprit);
            finds(&FAMILY_CAPTURED, &keeps(keeper, other), "other-client", culprit);
            finds(&CANONICAL, &keeps(keeper, str::to_uppercase), "spelling", culprit);
        }
    }
}

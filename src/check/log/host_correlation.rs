//! `log.host-correlation`: a sink knows the messages of a host as those of one host, over whichever family they come.

use std::{collections::BTreeMap, net::IpAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase,
        reading::{self, Judge},
        svc::syslog_v6::{self, Subject},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::NodeName,
        phase::Phase,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct HostCorrelation;

static TEXT: Text = Text {
    id: "log.host-correlation",
    title: "One host is one host in the log",
    section: "S4 Logs",
    use_case: UseCase::Policies,
    question: "Does the sink file the messages of a host under one and the same host, over whichever family they come?",
    good: "Messages of a host are filed under that host, over every planned family.",
    references: &["RFC 5424 section 6.2.4", "RFC 9099 section 2.6.2.3"],
    cases: &[
        Case {
            name: "apart",
            finding: "{sink} makes {count} hosts of {from}: {hosts}.",
            expected: "The messages of {from} over both families under `{from}`.",
            observed: "Those over IPv4 under {ipv4}, those over IPv6 under {ipv6}.",
            remedy: "File messages by the host that they name in their header, or give each host an identity of its own and \
                     enter all of its addresses of both families there. An address is no identity: who counts, searches or \
                     alarms by it has two machines for one.",
        },
        Case {
            name: "by-address",
            finding: "{sink} files the messages of {from} under an address: {hosts}.",
            expected: "The messages of {from} under `{from}`.",
            observed: "They are filed under {hosts}.",
            remedy: "File messages by the host that they name in their header, or give each host an identity of its own and \
                     enter all of its addresses of both families there, before the second family comes: what is filed under \
                     the one address is then not found under the other.",
        },
        Case {
            name: "other-host",
            finding: "{sink} files the messages of {from} under another host: {hosts}.",
            expected: "The messages of {from} under `{from}`.",
            observed: "They are filed under {hosts}.",
            remedy: "Look for a relay that puts its own name in, and for a wrong pointer (PTR) where the sink looks senders up.",
        },
    ],
};

impl Check for HostCorrelation {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        syslog_v6::subjects(stage).iter().map(|subject| subject.experiment(0)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let mut senders = BTreeMap::<_, Vec<_>>::new();
        for subject in syslog_v6::subjects(stage) {
            let ends = (subject.from.clone(), subject.sink.clone());
            senders.entry(ends).or_default().push(subject);
        }
        let of_one = |((from, sink), subjects): (&(NodeName, NodeName), &Vec<Subject>)| {
            Filed::of(seen, subjects).judge(stage, from, sink)
        };
        let found = senders.iter().map(of_one).collect();
        let name = |subject: &Subject| at_sink(&subject.from, &subject.sink);
        let found = [found, syslog_v6::left_out(Judge(&TEXT), stage, name)].concat();
        Judge(&TEXT).or_not_applicable(found, "no node logs to a sink in this phase")
    }
}

fn at_sink(from: &NodeName, sink: &NodeName) -> String {
    format!("{from} at {sink}")
}

/// Under which hosts the messages of a node stand at its sink.
#[derive(Default)]
struct Filed {
    hosts: BTreeMap<Family, Vec<String>>,
    evidence: Vec<EvidenceId>,
    /// Families over which none arrived.
    lost: bool,
    /// The sink does not tell by what it files a message.
    untold: bool,
}

impl Filed {
    /// By the last round that something came of.
    fn of(seen: &Seen<'_>, subjects: &[Subject]) -> Self {
        let mut filed = Self::default();
        for subject in subjects {
            let rounds = (0..=reading::REPETITIONS).rev();
            let answers: Vec<_> =
                rounds.filter_map(|round| seen.answer(&subject.sink(round))).collect();
            let arrived = answers.iter().find_map(|(id, answer)| match answer {
                Answer::Sink { from, hosts } if !from.is_empty() => Some((*id, hosts)),
                _ => None,
            });
            let Some((id, hosts)) = arrived else {
                filed.lost |= !answers.is_empty();
                filed.evidence.extend(answers.iter().map(|(id, _)| *id));
                continue;
            };
            filed.evidence.push(id);
            filed.untold |= hosts.is_empty();
            filed.hosts.entry(subject.family()).or_default().extend(hosts.iter().cloned());
        }
        filed
    }

    fn judge(self, stage: &Stage, from: &NodeName, sink: &NodeName) -> Judgement {
        let (judge, subject) = (Judge(&TEXT), at_sink(from, sink));
        if self.untold {
            let reason = "the sink does not tell under which host a message is filed";
            return judge.not_testable(subject, reason, self.evidence);
        }
        let Some(case) = self.case(from) else {
            return match (self.lost, self.hosts.is_empty()) {
                (false, false) => judge.pass(subject, self.evidence),
                (true, _) => judge.blocked(subject, "a message did not arrive", self.evidence),
                (false, true) => {
                    judge.not_testable(subject, "the sink could not be asked", self.evidence)
                }
            };
        };
        let complaint = self.complaint(stage, case, from, sink);
        judge.fail(subject, self.evidence, complaint)
    }

    /// What is wrong, if anything.
    fn case(&self, from: &NodeName) -> Option<&'static str> {
        let mut all = self.hosts.values().flatten();
        let wrong = all.clone().find(|host| !is(host, from))?;
        let first = self.hosts.values().flatten().next()?;
        if all.any(|host| host != first) {
            return Some("apart");
        }
        Some(if wrong.parse::<IpAddr>().is_ok() { "by-address" } else { "other-host" })
    }

    fn complaint(&self, stage: &Stage, case: &str, from: &NodeName, sink: &NodeName) -> Complaint {
        let mut hosts: Vec<_> = self.hosts.values().flatten().map(|h| format!("`{h}`")).collect();
        hosts.sort_unstable();
        hosts.dedup();
        let over = |family| {
            let hosts = self.hosts.get(&family).into_iter().flatten();
            let hosts: Vec<_> = hosts.map(|host| format!("`{host}`")).collect();
            if hosts.is_empty() { "nothing".to_owned() } else { hosts.join(", ") }
        };
        let args = [
            ("from", from.to_string()),
            ("sink", sink.to_string()),
            ("count", hosts.len().to_string()),
            ("hosts", hosts.join(" and ")),
            ("ipv4", over(Family::V4)),
            ("ipv6", over(Family::V6)),
        ];
        let culprit = Culprit::node(sink, "hosts of messages");
        let scope = Scope { from: Some(from.clone()), to: Some(sink.clone()), ..Scope::default() };
        Complaint {
            severity: Severity::Minor,
            confidence: Confidence::High,
            // What is written in a log explains nothing else.
            depth: Depth::Symptom,
            bites_in: bites(stage),
            ..reading::complaint(stage, case, culprit, scope, args)
        }
    }
}

/// An address is as good as a name while there is no other.
fn bites(stage: &Stage) -> Vec<Phase> {
    let is_first = stage.phase.permits() == Families::only(Family::V4);
    let now = (!is_first).then_some(stage.phase);
    now.into_iter().chain(stage.phase.later()).collect()
}

/// Whether a host is the node, by its name or by a name in a domain.
fn is(host: &str, node: &NodeName) -> bool {
    let first = host.split('.').next().unwrap_or_default();
    first.eq_ignore_ascii_case(node.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::verdict::Verdict,
    };

    /// The sink files by what is made of the sender and the host that a message names.
    fn filing(phase: Phase, by: fn(IpAddr, &str) -> String) -> Network {
        Network::healthy(phase).bend(move |_, answer| {
            if let Answer::Sink { from, hosts } = answer {
                for (from, host) in from.iter().zip(hosts) {
                    *host = by(from.ip(), host);
                }
            }
        })
    }

    #[track_caller]
    fn finds(network: &Network, case: &str) {
        let found = fixture::complaints(&HostCorrelation, network);
        assert_eq!(found, [(case.to_owned(), "resolver (hosts of messages)".to_owned())]);
    }

    #[test]
    fn who_is_not_to_reach_its_sink_is_not_blamed() {
        fixture::assert_closed(&HostCorrelation, "dmz->resolver log");
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&HostCorrelation);
        let full = filing(Phase::DualStack, |_, host| format!("{}.DC.test", host.to_uppercase()));
        assert_eq!(fixture::complaints(&HostCorrelation, &full), []);
    }

    #[test]
    fn a_sink_that_goes_by_addresses_makes_two_hosts_of_one() {
        finds(&filing(Phase::DualStack, |from, _| from.to_string()), "apart");
        let by_hosts = |from: IpAddr, host: &str| match from {
            IpAddr::V4(_) => host.to_owned(),
            IpAddr::V6(_) => from.to_string(),
        };
        finds(&filing(Phase::DualStack, by_hosts), "apart");
        finds(&filing(Phase::Ipv6Only, by_hosts), "by-address");
        assert_eq!(fixture::complaints(&HostCorrelation, &filing(Phase::Ipv4Only, by_hosts)), []);
        finds(&filing(Phase::DualStack, |_, _| "relay".to_owned()), "other-host");
    }

    #[test]
    fn what_nobody_feels_before_the_second_family_comes_is_foretold() {
        let judged = filing(Phase::Ipv4Only, |from, _| from.to_string()).ask(&[&HostCorrelation]);
        let complaint = judged[0].complaint.as_ref().unwrap();
        assert_eq!(complaint.case, "by-address");
        let later: Vec<_> = Phase::Ipv4Only.later().collect();
        assert_eq!(complaint.bites_in, later);
    }

    #[test]
    fn a_message_that_is_lost_is_no_host_of_its_own() {
        let network = Network::healthy(Phase::DualStack).deafen("resolver", "syslog", Family::V6);
        let judged = network.ask(&[&HostCorrelation]);
        assert_eq!(judged[0].verdict, Verdict::Blocked);
    }
}

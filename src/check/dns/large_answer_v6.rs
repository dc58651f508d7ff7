//! `dns.large-answer-v6`: answers that do not fit one packet arrive over IPv6 too: whole, or by way of TCP.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        names::{self, Heard, Server},
        reach::Leg,
        reading::{self, Judge},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Culprit, Depth, Packets, Scope, Severity},
        name::DomainName,
        probe::Probe,
        record::{RecordData, RecordType},
        service::{ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct LargeAnswer;

/// The UDP payload size that invites fragments (RFC 6891 section 6.2.5).
const INVITING_SIZE: u16 = 4096;

static TEXT: Text = Text {
    id: "dns.large-answer-v6",
    title: "Large DNS answers over IPv6",
    section: "S3",
    use_case: UseCase::NetworkServices,
    question: "Does an answer of more than 1232 octets arrive over IPv6, in fragments or after truncation over TCP?",
    good: "Large answers arrive over IPv6.",
    references: &["RFC 9715", "RFC 9099 section 2.2.3", "RFC 7766"],
    cases: &[
        Case {
            name: "lost",
            finding: "Large DNS answers of {server} over IPv6 get lost on the way to {from}.",
            expected: "The TXT record of {name}, whole or truncated and then over TCP.",
            observed: "{observed} {place}.",
            remedy: "Announce 1232 octets with EDNS, let fragments and Packet Too Big pass, and allow TCP port 53.",
        },
        Case {
            name: "slow",
            finding: "Large DNS answers of {server} over IPv6 get lost as fragments; only a smaller EDNS size helps.",
            expected: "The TXT record of {name} at the first try, with any EDNS size.",
            observed: "{observed} {place}.",
            remedy: "Let the server send no more than 1232 octets over UDP, or let fragments pass.",
        },
    ],
};

struct Subject {
    server: Server,
    name: DomainName,
    leg: Leg,
}

impl Check for LargeAnswer {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let probes =
            subjects(stage).into_iter().flat_map(|s| [s.small(), s.inviting(), s.safe(), s.tcp()]);
        vec![Experiment::of_probes(probes.collect::<Vec<_>>())]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        subjects(stage).iter().flat_map(|s| s.leg.follow_up(stage, seen)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = subjects(stage).iter().map(|s| s.judge(judge, stage, seen)).collect();
        judge.or_not_applicable(found, "no large record is served over IPv6 in this phase")
    }
}

/// The largest text of each authoritative server that is asked over IPv6.
fn subjects(stage: &Stage) -> Vec<Subject> {
    let over_v6 = |s: &Server| s.kind == ServiceKind::Dns && Family::of(s.at.ip()) == Family::V6;
    let servers = names::servers(stage).into_iter().filter(over_v6);
    servers.filter_map(|server| subject(stage, server)).collect()
}

fn subject(stage: &Stage, server: Server) -> Option<Subject> {
    let (_, zones) = stage.nodes[&server.node].zones.as_ref()?;
    let texts = zones.iter().flat_map(|zone| &zone.extra).filter_map(|record| match &record.data {
        RecordData::Text(text) => Some((text.len(), &record.name)),
        _ => None,
    });
    let (_, name) = texts.filter(|(octets, _)| *octets > usize::from(names::SAFE_SIZE)).max()?;
    let path = stage.path(&server.asker, server.at.ip()).ok()?;
    let (name, probe) = (name.clone(), text(&server, name, Transport::Udp, Some(INVITING_SIZE)));
    Some(Subject { server, name, leg: Leg::new(path, probe) })
}

fn text(server: &Server, name: &DomainName, transport: Transport, edns: Option<u16>) -> Probe {
    names::lookup(server, name, RecordType::Txt, transport, edns)
}

impl Subject {
    fn small(&self) -> Probe {
        names::lookup(&self.server, &self.name, RecordType::Aaaa, Transport::Udp, None)
    }

    fn inviting(&self) -> Probe {
        self.leg.probe.clone()
    }

    fn safe(&self) -> Probe {
        text(&self.server, &self.name, Transport::Udp, Some(names::SAFE_SIZE))
    }

    fn tcp(&self) -> Probe {
        text(&self.server, &self.name, Transport::Tcp, None)
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject =
            format!("{}->{}/{}", self.server.asker, self.server.node, self.server.at.ip());
        let (small, _) = arrival(seen, &self.small());
        let (inviting, whole) = arrival(seen, &self.inviting());
        let (safe, safely) = arrival(seen, &self.safe());
        let (tcp, by_tcp) = arrival(seen, &self.tcp());
        let evidence: Vec<_> = [small, inviting, safe, tcp].into_iter().flatten().collect();
        if !matches!(names::heard(seen, &self.small()), Heard::Reply(..)) {
            return judge.blocked(subject, "even a small answer does not arrive", evidence);
        }
        let fine = |arrival| {
            matches!((arrival, by_tcp), (Arrival::Whole, _) | (Arrival::Truncated, Arrival::Whole))
        };
        if fine(whole) {
            return judge.pass(subject, evidence);
        }
        let observed = format!(
            "With EDNS {INVITING_SIZE}: {}; with EDNS {}: {}; over TCP: {};",
            whole.word(),
            names::SAFE_SIZE,
            safely.word(),
            by_tcp.word()
        );
        if fine(safely) {
            let complaint = self.complaint(stage, seen, "slow", observed);
            let complaint = Complaint { severity: Severity::Minor, ..complaint };
            return judge.degraded(
                subject,
                "only small answers arrive over UDP",
                evidence,
                complaint,
            );
        }
        judge.fail(subject, evidence, self.complaint(stage, seen, "lost", observed))
    }

    fn complaint(&self, stage: &Stage, seen: &Seen<'_>, case: &str, observed: String) -> Complaint {
        let reading = self.leg.read(stage, seen);
        // Where the answer came truncated and the whole one did not follow over TCP, the way of UDP tells nothing.
        let place = reading.as_ref().map_or_else(String::new, |r| format!("Lost {}", r.place()));
        let args = [
            ("server", self.server.node.to_string()),
            ("from", self.server.asker.to_string()),
            ("name", self.name.to_string()),
            ("observed", observed),
            ("place", place),
        ];
        let culprit = match &reading {
            Some(reading) if reading.located.is_some() => reading.culprit(&self.leg),
            // Whoever asks: what all their ways have in common is the server.
            _ => Culprit {
                node: None,
                segment: None,
                part: format!("somewhere on the ways from {}", self.server.node),
            },
        };
        let scope = Scope { packets: Some(Packets::Large), ..self.leg.scope() };
        Complaint {
            depth: reading.map_or(Depth::Symptom, |reading| reading.depth()),
            ..reading::complaint(stage, case, culprit, scope, args)
        }
    }
}

#[derive(Clone, Copy)]
enum Arrival {
    Whole,
    Truncated,
    Lost,
}

impl Arrival {
    fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Truncated => "truncated",
            Self::Lost => "lost",
        }
    }
}

fn arrival(seen: &Seen<'_>, probe: &Probe) -> (Option<EvidenceId>, Arrival) {
    match names::heard(seen, probe) {
        Heard::Reply(id, reply) if reply.truncated => (Some(id), Arrival::Truncated),
        Heard::Reply(id, _) => (Some(id), Arrival::Whole),
        Heard::Silence(id) | Heard::Unheard(id) => (Some(id), Arrival::Lost),
        Heard::NotSent => (None, Arrival::Lost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{
            answer::{Answer, Outcome},
            phase::Phase,
        },
    };

    fn losing(lost: impl Fn(u32, &Probe) -> bool + 'static) -> Network {
        Network::healthy(Phase::Ipv6Only).bend(move |probe, answer| {
            if let Answer::Dns { attempt, reply } = answer
                && lost(reply.as_ref().map_or(0, |reply| reply.octets), probe)
            {
                attempt.outcome = Outcome::TimedOut;
                *reply = None;
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&LargeAnswer);
    }

    #[test]
    fn lost_fragments_are_found_and_worse_without_tcp() {
        let cases = |network: &Network| {
            fixture::complaints(&LargeAnswer, network)
                .into_iter()
                .map(|(case, _)| case)
                .collect::<Vec<_>>()
        };
        let fragments = losing(|octets, probe| {
            use crate::model::probe::Question;
            let udp = matches!(probe.question, Question::Lookup { transport: Transport::Udp, .. });
            octets > 1232 && udp
        });
        assert!(cases(&fragments).iter().all(|case| case == "slow"));
        assert!(!cases(&fragments).is_empty());
        let all = losing(|octets, _| octets > 1232);
        assert!(cases(&all).iter().all(|case| case == "lost"));
        assert!(!cases(&all).is_empty());
    }
}

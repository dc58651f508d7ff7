//! `dns.ptr-v6`: addresses of servers have a reverse name that leads back to them.

use super::server_listens;
use crate::{
    check::{
        Case, Check, Text, UseCase, legs,
        names::{self, Heard, Server},
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::DomainName,
        phase::Phase,
        probe::Probe,
        record::{Record, RecordData, RecordType},
        service::{ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Ptr;

/// How many reverse names are asked for at a server.
const MOST: usize = 24;

static TEXT: Text = Text {
    id: "dns.ptr-v6",
    title: "Reverse names of IPv6 addresses",
    section: "S2 4.2",
    use_case: UseCase::NetworkServices,
    question: "Does the IPv6 address of every published service have a reverse name that leads back to it?",
    good: "Every server's IPv6 address has its reverse name.",
    references: &["RFC 8501", "RFC 3596 section 2.5"],
    cases: &[
        Case {
            name: "missing",
            finding: "There is no reverse name for {planned}.",
            expected: "{reverse} PTR {planned}.",
            observed: "{server} answers {found}.",
            remedy: "Add the PTR record, or have the reverse zone delegated first.",
        },
        Case {
            name: "wrong",
            finding: "The reverse name for the address of {planned} is another.",
            expected: "{reverse} PTR {planned}.",
            observed: "{server} answers {found}.",
            remedy: "Correct the PTR record: logs and mail servers compare both directions.",
        },
    ],
};

struct Subject {
    server: Server,
    reverse: DomainName,
    planned: Vec<DomainName>,
}

impl Check for Ptr {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(subjects(stage).iter().map(Subject::probe).collect::<Vec<_>>())]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let probes: Vec<_> = subjects(stage).iter().map(Subject::probe).collect();
        reading::repeat_unanswered(seen, &probes)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = subjects(stage).iter().map(|s| s.judge(judge, stage, seen)).collect();
        judge.or_not_applicable(found, "no IPv6 address of a service is published in this phase")
    }
}

fn subjects(stage: &Stage) -> Vec<Subject> {
    if stage.phase == Phase::Ipv4Only {
        return Vec::new();
    }
    let servers = names::servers(stage).into_iter().filter(|s| s.kind == ServiceKind::Dns);
    let mut known = std::collections::BTreeSet::new();
    servers.filter(|s| known.insert(s.node.clone())).flat_map(|s| of_server(stage, &s)).collect()
}

fn of_server(stage: &Stage, server: &Server) -> Vec<Subject> {
    let zones = stage.nodes[&server.node].zones.iter().flat_map(|(_, zones)| zones);
    let records = zones.flat_map(|zone| &zone.extra);
    let mut planned = std::collections::BTreeMap::<_, Vec<_>>::new();
    for Record { name, data } in records {
        if let RecordData::Pointer(target) = data
            && name.as_str().ends_with(".ip6.arpa")
        {
            planned.entry(name.clone()).or_default().push(target.clone());
        }
    }
    let subject = |(reverse, planned)| Subject { server: server.clone(), reverse, planned };
    legs::sample(planned.into_iter().map(subject).collect(), MOST)
}

impl Subject {
    fn probe(&self) -> Probe {
        names::lookup(&self.server, &self.reverse, RecordType::Ptr, Transport::Udp, None)
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let planned = list(&self.planned);
        let subject = format!("{planned} at {}", self.server.node);
        let (id, reply) = match names::heard(seen, &self.probe()) {
            Heard::Reply(id, reply) => (id, reply),
            Heard::Silence(id) | Heard::Unheard(id) => {
                return judge.blocked(subject, "the server was not heard", [id]);
            }
            Heard::NotSent => return judge.not_testable(subject, "the question was not sent", []),
        };
        let found: Vec<_> = reply
            .answers
            .iter()
            .filter_map(|record| match &record.data {
                RecordData::Pointer(target) => Some(target.clone()),
                _ => None,
            })
            .collect();
        if self.planned.iter().all(|name| found.contains(name)) {
            return judge.pass(subject, [id]);
        }
        if server_listens::is_lame(stage, seen, &self.server) {
            let reason = format!("it answers {}: see dns.server-listens", reply.rcode);
            return judge.blocked(subject, reason, [id]);
        }
        let (case, text) = match found.as_slice() {
            [] => ("missing", reply.rcode.clone()),
            names => ("wrong", list(names)),
        };
        judge.fail(subject, [id], self.complaint(stage, case, text))
    }

    fn complaint(&self, stage: &Stage, case: &str, found: String) -> Complaint {
        let args = [
            ("planned", list(&self.planned)),
            ("reverse", self.reverse.to_string()),
            ("server", self.server.node.to_string()),
            ("found", found),
        ];
        let part = format!("record PTR {}", self.reverse);
        let scope = Scope {
            family: Some(Family::V6),
            name: Some(self.reverse.clone()),
            packets: Some(Packets::Names),
            ..Scope::default()
        };
        Complaint {
            severity: Severity::Minor,
            confidence: Confidence::High,
            depth: Depth::Read,
            ..reading::complaint(stage, case, Culprit::node(&self.server.node, part), scope, args)
        }
    }
}

fn list(names: &[DomainName]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{self, Network, domain};

    fn with_pointers(change: impl Fn(&mut Vec<Record>)) -> Network {
        Network::healthy(Phase::DualStack).with(|live| {
            let zones = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1;
            let is_v6 =
                |zone: &&mut crate::model::record::Zone| zone.origin.as_str().ends_with("ip6.arpa");
            change(&mut zones.iter_mut().find(is_v6).unwrap().extra);
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&Ptr);
    }

    #[test]
    fn a_missing_and_a_wrong_reverse_name_are_told_apart() {
        let portal = RecordData::Pointer(domain("portal.dc.test"));
        let gone = portal.clone();
        let missing = with_pointers(move |records| records.retain(|r| r.data != gone));
        let found = fixture::complaints(&Ptr, &missing);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "missing");
        assert!(found[0].1.starts_with("ns (record PTR a.0.0.0."), "{}", found[0].1);
        let wrong = with_pointers(move |records| {
            for record in records.iter_mut().filter(|r| r.data == portal) {
                record.data = RecordData::Pointer(domain("old.dc.test"));
            }
        });
        assert_eq!(fixture::complaints(&Ptr, &wrong)[0].0, "wrong");
    }
}

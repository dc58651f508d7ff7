//! `svc.hostkey-parity`: the machine behind the IPv6 address is the one behind the IPv4 address.

use std::net::IpAddr;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, legs,
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope},
        name::NodeName,
        node::{Node, Role},
        probe::Probe,
        service::{Port, Service, ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct HostkeyParity;

static TEXT: Text = Text {
    id: "svc.hostkey-parity",
    title: "Host keys over both families",
    section: "S4",
    use_case: UseCase::Management,
    question: "Does a node show the same SSH host key over IPv4 and over IPv6, so that both addresses lead to one machine?",
    good: "Every node shows one host key over both families.",
    references: &["RFC 4251 section 4.1", "RFC 4255"],
    cases: &[Case {
        name: "differ",
        finding: "{node} shows another SSH host key over {family} than over IPv4: another machine may answer there.",
        expected: "The key {key4} of {address4} also at {address6}.",
        observed: "The key {key6} at {address6}{whose}.",
        remedy: "Find out which machine has the address, and mend the record or the address. Nobody should accept the new key \
                 before that.",
    }],
};

/// A management interface over both families, as a station sees it.
struct Subject<'s> {
    node: &'s Node,
    service: &'s Service,
    ways: [(IpAddr, Probe); 2],
}

impl Check for HostkeyParity {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let probes = subjects(stage).into_iter().flat_map(|subject| subject.ways);
        vec![Experiment::of_probes(probes.map(|(_, probe)| probe))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subjects = subjects(stage);
        let judged = subjects.iter().map(|subject| compare(judge, stage, seen, subject, &subjects));
        let reason = "no node has a management interface of both families in this phase";
        judge.or_not_applicable(judged.collect(), reason)
    }
}

fn subjects(stage: &Stage) -> Vec<Subject<'_>> {
    let mut nodes = stage.testbed.nodes.values();
    let Some(station) = nodes.find(|node| node.role == Role::ManagementStation) else {
        return Vec::new();
    };
    let mut all = Vec::new();
    for node in stage.testbed.nodes.values().filter(|node| node.name != station.name) {
        for service in node.services.iter().filter(|service| service.kind == ServiceKind::Ssh) {
            let way = |family| way(stage, &station.name, node, service, family);
            if let (Some(v4), Some(v6)) = (way(Family::V4), way(Family::V6)) {
                all.push(Subject { node, service, ways: [v4, v6] });
            }
        }
    }
    legs::sample(all, legs::SAMPLE)
}

fn way(
    stage: &Stage,
    station: &NodeName,
    node: &Node,
    service: &Service,
    family: Family,
) -> Option<(IpAddr, Probe)> {
    let address = *stage.service_addresses(node, service, family).first()?;
    let planned = stage.listens(node, service, family) && stage.path(station, address).is_ok();
    Some((address, ask::hello(stage, station, node, service, address).filter(|_| planned)?))
}

/// The host key that was shown, and the evidence; an error is why there is none.
fn key<'e>(seen: &Seen<'e>, probe: &Probe) -> Result<(&'e str, EvidenceId), String> {
    match seen.answer(probe) {
        Some((id, Answer::Connection { key: Some(key), .. })) => Ok((key, id)),
        Some((_, answer)) => Err(reading::describe(answer)),
        None => Err("not asked".to_owned()),
    }
}

fn compare(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    subject: &Subject<'_>,
    all: &[Subject<'_>],
) -> Judgement {
    let Subject { node, service, ways: [(address4, first), (address6, second)] } = subject;
    let name = format!("{}/{}", node.name, service.name);
    let ((key4, id4), (key6, id6)) = match (key(seen, first), key(seen, second)) {
        (Ok(v4), Ok(v6)) => (v4, v6),
        (Err(said), _) => {
            return judge.not_testable(name, format!("no key at {address4}: {said}"), []);
        }
        (_, Err(said)) => {
            return judge.not_testable(name, format!("no key at {address6}: {said}"), []);
        }
    };
    if key4 == key6 {
        return judge.pass(name, [id4, id6]);
    }
    let has_it = |other: &&Subject<'_>| {
        let other_key = key(seen, &other.ways[0].1);
        other.node.name != node.name && other_key.is_ok_and(|(key, _)| key == key6)
    };
    let whose = all
        .iter()
        .find(has_it)
        .map_or_else(String::new, |other| format!(", which is that of {}", other.node.name));
    let short = |key: &str| key.chars().take(16).collect::<String>();
    let args = [
        ("node", node.name.to_string()),
        ("family", Family::V6.to_string()),
        ("key4", short(key4)),
        ("key6", short(key6)),
        ("address4", address4.to_string()),
        ("address6", address6.to_string()),
        ("whose", whose),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        to: Some(node.name.clone()),
        address: Some(*address6),
        port: Some(Port { transport: Transport::Tcp, number: service.port }),
        packets: Some(Packets::Content),
        ..Scope::default()
    };
    let culprit = Culprit::node(&node.name, format!("host key of {}", service.name));
    let complaint = Complaint {
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, "differ", culprit, scope, args)
    };
    judge.fail(name, [id4, id6], complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::phase::Phase,
    };

    /// Over a family, the address of `portal` leads to another machine, or both of its addresses do.
    fn led_astray(families: &'static [Family], to: &'static str) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            let portal = ["10.99.0.10", "2001:db8:99::a"].map(|ip| ip.parse::<IpAddr>().unwrap());
            let at = probe.question.destination();
            if let Answer::Connection { key: Some(key), attempt, .. } = answer
                && portal.iter().any(|ip| at == Some(*ip))
                && families.contains(&attempt.family)
            {
                *key = format!("key-of-{to}");
            }
        })
    }

    #[test]
    fn one_machine_behind_both_addresses_is_silent() {
        fixture::assert_silent_when_healthy(&HostkeyParity);
    }

    #[test]
    fn another_machine_behind_one_address_is_found_and_named() {
        let judged = led_astray(&[Family::V6], "ns").ask(&[&HostkeyParity]);
        let complaints: Vec<_> = judged.iter().filter_map(|j| j.complaint.as_ref()).collect();
        let [complaint] = complaints.as_slice() else { panic!("{complaints:#?}") };
        assert_eq!(complaint.culprit.to_string(), "portal (host key of ssh)");
        assert_eq!(complaint.args["whose"], ", which is that of ns");
    }

    #[test]
    fn a_machine_with_a_new_key_over_both_families_is_silent() {
        let network = led_astray(&Family::ALL, "nobody");
        assert_eq!(fixture::complaints(&HostkeyParity, &network), []);
    }
}

//! Does anybody answer for DHCPv6 who is not planned to?

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    check::{
        Case, Check, Text, UseCase,
        dhcp::{self, Served},
        reading::{Judge, complaint},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        mac::Mac,
        name::SegmentName,
        service::{Port, Transport},
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::Stage,
};

/// Asks on every link, listens for the whole phase to what servers send to hosts, and looks at who sends it.
pub(super) struct RogueDhcp;

const TEXT: Text = Text {
    id: "l2.rogue-dhcpv6",
    title: "No rogue DHCPv6 server",
    section: "S2 5.2",
    use_case: UseCase::NetworkServices,
    question: "Do answers for DHCPv6 come only from the planned server or its relay?",
    good: "No answer for DHCPv6 came from anybody but the planned server.",
    references: &["RFC 7610", "RFC 8415 section 22", "RFC 9099 section 2.3.3"],
    cases: &[Case {
        name: "stranger",
        finding: "The unlisted DHCPv6 server {mac} answers on {segment} and tells hosts {content}.",
        expected: "Answers on {segment} only from {planned}.",
        observed: "Answers of {mac}: {content}. {other}",
        remedy: "Find the port by the link-layer address and take the device off; switch DHCPv6-Shield on at access ports (RFC 7610).",
    }],
};

/// Where hosts listen (RFC 8415 section 7.2).
const TO_HOSTS: Port = Port { transport: Transport::Udp, number: 546 };

impl Check for RogueDhcp {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let links = dhcp::links(stage);
        let questions = links.iter().flat_map(|segment| {
            let askers = dhcp::askers(stage, segment).into_iter().take(1);
            askers.map(|(asker, interface)| dhcp::question(asker, interface, true, 0))
        });
        let taps = links.iter().map(|segment| tap(segment)).collect();
        vec![
            Experiment { taps, whole_phase: true, ..Experiment::default() },
            Experiment::of_probes(questions),
        ]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let served = dhcp::served(stage);
        let found = dhcp::links(stage)
            .into_iter()
            .flat_map(|segment| {
                let served = served.iter().find(|served| served.segment == segment);
                of_link(stage, seen, segment, served)
            })
            .collect();
        Judge(&TEXT).or_not_applicable(found, "no link has IPv6 in this phase")
    }
}

fn tap(segment: &SegmentName) -> Tap {
    Tap {
        segment: segment.clone(),
        watch: Watch::Packets {
            family: Family::V6,
            source: None,
            destination: None,
            port: Some(TO_HOSTS),
        },
        label: "answers for DHCPv6".to_owned(),
    }
}

fn of_link(
    stage: &Stage,
    seen: &Seen<'_>,
    segment: &SegmentName,
    served: Option<&Served<'_>>,
) -> Vec<Judgement> {
    let judge = Judge(&TEXT);
    let name = segment.as_str();
    let planned = served.and_then(|served| dhcp::planned_mac(stage, served));
    let mut evidence: Vec<EvidenceId> = Vec::new();
    let mut strangers = BTreeMap::<Mac, BTreeSet<String>>::new();
    let mut planned_spoke = false;
    let mut asked = Err("no node on the link could ask".to_owned());
    if let Some((asker, interface)) = dhcp::askers(stage, segment).into_iter().next() {
        asked = dhcp::heard(seen, asker, interface, true);
    }
    if let Ok((ids, heard)) = &asked {
        evidence.extend(ids);
        for said in heard {
            if Some(said.mac) == planned {
                planned_spoke = true;
                continue;
            }
            let dns = said.dns.iter().map(|server| format!("the resolver {server}"));
            let addresses = said.addresses.iter().map(|address| format!("the address {address}"));
            strangers.entry(said.mac).or_default().extend(dns.chain(addresses));
        }
    }
    let reading = seen.reading(&tap(segment));
    if let Some((id, reading)) = reading {
        evidence.push(id);
        for note in reading.first.iter().filter(|note| Some(note.source_mac) != planned) {
            strangers.entry(note.source_mac).or_default();
        }
    }
    if strangers.is_empty() {
        let deaf = reading.is_none_or(|(_, reading)| !reading.is_trustworthy());
        return vec![match asked {
            _ if deaf => judge.not_testable(name, "the link was not listened to", evidence),
            Err(reason) => judge.not_testable(name, reason, evidence),
            Ok(_) => judge.pass(name, evidence),
        }];
    }
    let whose = served.map_or("nobody".to_owned(), |served| served.speaker().to_string());
    let other = match (served, planned_spoke) {
        (None, _) => "DHCPv6 is not planned here.",
        (Some(_), true) => "The planned server answers too.",
        (Some(_), false) => "The planned server is silent: hosts have this one alone.",
    };
    let of_stranger = |(mac, said): (Mac, BTreeSet<String>)| {
        let content: Vec<_> = said.into_iter().collect();
        let content = if content.is_empty() { "nothing".to_owned() } else { content.join(", ") };
        let args = [
            ("mac", mac.to_string()),
            ("segment", segment.to_string()),
            ("content", content),
            ("planned", whose.clone()),
            ("other", other.to_owned()),
        ];
        let scope = Scope {
            family: Some(Family::V6),
            segments: vec![segment.clone()],
            packets: Some(Packets::Excess),
            ..Scope::default()
        };
        let culprit = Culprit::segment(segment, format!("unlisted DHCPv6 server {mac}"));
        let complaint = Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            // It explains no silence of the planned server.
            depth: Depth::Located,
            ..complaint(stage, "stranger", culprit, scope, args)
        };
        judge.fail(format!("{name}/{mac}"), evidence.clone(), complaint)
    };
    strangers.into_iter().map(of_stranger).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            fixture::{Network, assert_silent_when_healthy, complaints},
            svc::dhcp::tests::with_dhcp,
        },
        model::{answer::Answer, dhcp::HeardDhcp, phase::Phase},
    };

    fn stranger() -> HeardDhcp {
        HeardDhcp {
            from: "fe80::bad".parse().unwrap(),
            mac: Mac([2, 0, 0x5e, 0xbb, 0xbb, 0xbb]),
            server: "00".to_owned(),
            kind: "advertise".to_owned(),
            addresses: Vec::new(),
            status: Some(2),
            dns: vec!["2001:db8:bad::53".parse().unwrap()],
            search: Vec::new(),
        }
    }

    #[test]
    fn a_link_without_strangers_is_silent() {
        assert_silent_when_healthy(&RogueDhcp);
        assert_eq!(complaints(&RogueDhcp, &with_dhcp(Phase::DualStack)), []);
    }

    #[test]
    fn a_stranger_is_named_where_a_server_is_planned_and_where_none_is() {
        for network in [with_dhcp(Phase::DualStack), Network::healthy(Phase::Ipv6Only)] {
            let network = network.bend(|probe, answer| {
                if let Answer::Dhcp { heard } = answer
                    && ["workplace", "resolver"].contains(&probe.from.as_str())
                {
                    heard.push(stranger());
                }
            });
            let culprit = "lan (unlisted DHCPv6 server 02:00:5e:bb:bb:bb)".to_owned();
            assert_eq!(complaints(&RogueDhcp, &network), [("stranger".to_owned(), culprit)]);
        }
    }
}

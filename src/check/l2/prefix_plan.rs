//! Do the IPv6 prefixes have the lengths that links need: /64 on LANs, /127 between two routers?

use ipnet::IpNet;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{Judge, complaint},
    },
    model::{
        answer::{Answer, LinkState},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::NodeName,
        probe::Aspect,
        segment::{Segment, SegmentKind},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Reads the prefix lengths on every node and compares them with the kind of the link.
pub(super) struct PrefixPlan;

const TEXT: Text = Text {
    id: "l2.prefix-plan",
    title: "IPv6 prefixes have the right length",
    section: "S4",
    use_case: UseCase::NetworkServices,
    question: "Has every LAN a /64, and every link between two routers a /127 or a /64?",
    good: "Every IPv6 prefix has the length that its link needs.",
    references: &["RFC 7421", "RFC 6164", "RFC 4291 section 2.5.4"],
    cases: &[
        Case {
            name: "length",
            finding: "Segment {segment} has the IPv6 prefix {prefix}; {why}.",
            expected: "{expected}.",
            observed: "{prefix} on {segment}.",
            remedy: "Number the link anew with {expected}: prefixes are not scarce, and much relies on their length.",
        },
        Case {
            name: "other-length",
            finding: "{node} has {address} on {interface}; the prefix of {segment} is a /{planned}.",
            expected: "A prefix length of {planned} on {interface}.",
            observed: "{address}.",
            remedy: "Give the address the prefix length of its link: with another one, {node} takes neighbours for strangers or strangers for neighbours.",
        },
    ],
};

impl Check for PrefixPlan {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let nodes = nodes(stage).map(|(node, _)| ask::inspect(node, Aspect::Addresses));
        vec![Experiment::of_probes(nodes)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let live = |segment: &&Segment| stage.segment_families(&segment.name).has(Family::V6);
        let mut found = Vec::new();
        for segment in stage.testbed.segments.values().filter(live) {
            found.extend(of_segment(stage, seen, segment));
        }
        for (node, interfaces) in nodes(stage) {
            found.push(of_node(stage, seen, node, &interfaces));
        }
        Judge(&TEXT).or_not_applicable(found, "no link has IPv6 in this phase")
    }
}

/// The nodes with the interfaces on which IPv6 is live.
fn nodes(stage: &Stage) -> impl Iterator<Item = (&NodeName, Vec<&StagedInterface>)> {
    stage.nodes.iter().filter_map(|(name, node)| {
        let live: Vec<_> = node.interfaces.iter().filter(|i| i.families.has(Family::V6)).collect();
        (!live.is_empty()).then_some((name, live))
    })
}

/// What the plan itself says of a link. Its evidence is what the nodes on it have.
fn of_segment(stage: &Stage, seen: &Seen<'_>, segment: &Segment) -> Option<Judgement> {
    let judge = Judge(&TEXT);
    let prefix = segment.prefix(Family::V6)?;
    let (fits, expected, why) = match segment.kind {
        // What two gateways have between them inside a tunnel is theirs alone, and nobody is on the prefix of a translator.
        SegmentKind::Tunnel | SegmentKind::Translation => return None,
        SegmentKind::PointToPoint => (
            [127, 64].contains(&prefix.prefix_len()),
            "a /127",
            "a prefix between /64 and /127 on a link of two routers invites packets to go back and forth (RFC 6164)",
        ),
        SegmentKind::Lan | SegmentKind::Transit => (
            prefix.prefix_len() == 64,
            "a /64",
            "hosts form addresses only in a /64, and tools and filters take one for granted (RFC 7421)",
        ),
    };
    let members = stage.testbed.on_segment(&segment.name);
    let evidence: Vec<_> =
        members.filter_map(|(node, _)| read(seen, &node.name)).map(|(id, _)| id).collect();
    let subject = segment.name.to_string();
    if evidence.is_empty() {
        return Some(judge.not_testable(subject, "no node on it was read", []));
    }
    if fits {
        return Some(judge.pass(subject, evidence));
    }
    let args = [
        ("segment", segment.name.to_string()),
        ("prefix", prefix.to_string()),
        ("expected", expected.to_owned()),
        ("why", why.to_owned()),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        segments: vec![segment.name.clone()],
        ..Scope::default()
    };
    let culprit = Culprit::segment(&segment.name, format!("prefix {prefix}"));
    let complaint = Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Symptom,
        ..complaint(stage, "length", culprit, scope, args)
    };
    Some(judge.fail(subject, evidence, complaint))
}

fn read<'e>(seen: &Seen<'e>, node: &NodeName) -> Option<(EvidenceId, &'e Vec<LinkState>)> {
    match seen.answer(&ask::inspect(node, Aspect::Addresses))? {
        (id, Answer::Addresses(links)) => Some((id, links)),
        _ => None,
    }
}

/// What a node has against the prefixes of its links. Addresses outside of them are for others to judge.
fn of_node(
    stage: &Stage,
    seen: &Seen<'_>,
    node: &NodeName,
    interfaces: &[&StagedInterface],
) -> Judgement {
    let judge = Judge(&TEXT);
    let Some((id, links)) = read(seen, node) else {
        return judge.not_testable(node.as_str(), "its addresses were not read", []);
    };
    for interface in interfaces {
        let prefix = stage.testbed.segments[&interface.segment].prefix(Family::V6);
        let link = links.iter().find(|link| link.name == interface.name.as_str());
        let (Some(prefix), Some(link)) = (prefix, link) else { continue };
        let odd =
            |net: &IpNet| prefix.contains(&net.addr()) && net.prefix_len() != prefix.prefix_len();
        if let Some(address) = link.addresses.iter().map(|held| held.net).find(odd) {
            let complaint = other_length(stage, node, interface, address, prefix);
            return judge.fail(node.as_str(), [id], complaint);
        }
    }
    judge.pass(node.as_str(), [id])
}

fn other_length(
    stage: &Stage,
    node: &NodeName,
    interface: &StagedInterface,
    address: IpNet,
    prefix: IpNet,
) -> Complaint {
    let args = [
        ("node", node.to_string()),
        ("interface", interface.name.to_string()),
        ("segment", interface.segment.to_string()),
        ("address", address.to_string()),
        ("planned", prefix.prefix_len().to_string()),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        nodes: vec![node.clone()],
        segments: vec![interface.segment.clone()],
        ..Scope::default()
    };
    let is_planned = interface.addresses.iter().any(|planned| planned.ip() == address.addr());
    // Of an address that nobody planned, its length is the least: it is one trouble with `meta.plan-vs-topology`.
    let part = if is_planned {
        format!("prefix length of {address}")
    } else {
        format!("address {}", address.addr())
    };
    let culprit = Culprit::node(node, part);
    Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Foundation,
        ..complaint(stage, "other-length", culprit, scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            CHECKS, cause,
            fixture::{Network, assert_silent_when_healthy, complaints, testbed},
        },
        model::phase::Phase,
    };

    #[test]
    fn prefixes_of_the_right_length_are_silent() {
        assert_silent_when_healthy(&PrefixPlan);
    }

    #[test]
    fn a_lan_with_a_long_prefix_is_found_in_the_plan() {
        let mut odd = (*testbed()).clone();
        let dmz = odd.segments.get_mut("dmz").unwrap();
        for prefix in &mut dmz.prefixes {
            if Family::of_net(*prefix) == Family::V6 {
                *prefix = "2001:db8:d::/120".parse().unwrap();
            }
        }
        for interface in odd.nodes.values_mut().flat_map(|node| &mut node.interfaces) {
            if interface.segment.as_str() == "dmz" {
                for address in &mut interface.addresses {
                    if address.family() == Family::V6 {
                        address.net = IpNet::new(address.net.addr(), 120).unwrap();
                    }
                }
            }
        }
        let network = Network::of(Stage::new(&odd.into(), Phase::DualStack));
        let found = complaints(&PrefixPlan, &network);
        assert_eq!(found, [("length".to_owned(), "dmz (prefix 2001:db8:d::/120)".to_owned())]);
    }

    #[test]
    fn a_node_with_another_length_than_its_link_is_found() {
        let network = Network::healthy(Phase::Ipv6Only).bend(|probe, answer| {
            if let Answer::Addresses(links) = answer
                && probe.from.as_str() == "portal"
            {
                let held = links.iter_mut().flat_map(|link| &mut link.addresses);
                for address in held.filter(|a| a.net.addr().to_string() == "2001:db8:d::a") {
                    address.net = IpNet::new(address.net.addr(), 128).unwrap();
                }
            }
        });
        let culprit = "portal (prefix length of 2001:db8:d::a/128)".to_owned();
        assert_eq!(complaints(&PrefixPlan, &network), [("other-length".to_owned(), culprit)]);
    }

    #[test]
    fn an_address_that_nobody_planned_is_one_trouble_whatever_its_length() {
        let network = Network::healthy(Phase::Ipv6Only).bend(|probe, answer| {
            if let Answer::Addresses(links) = answer
                && probe.from.as_str() == "portal"
            {
                for link in links.iter_mut() {
                    let mut more = link.addresses.clone();
                    more.retain(|a| a.net.addr().to_string() == "2001:db8:d::a");
                    for address in &mut more {
                        address.net = "2001:db8:d::77/128".parse().unwrap();
                    }
                    link.addresses.extend(more);
                }
            }
        });
        let judgements = network.ask(CHECKS);
        let found = cause::findings(&[(Phase::Ipv6Only, judgements)], |_, _| String::new());
        let found: Vec<_> = found.iter().map(|f| f.check.as_str()).collect();
        assert_eq!(found, ["meta.plan-vs-topology"]);
    }
}

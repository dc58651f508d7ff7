//! Do servers keep their addresses?

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{Judge, complaint},
    },
    model::{
        answer::{AddressState, Answer},
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        node::{Node, Origin},
        probe::Aspect,
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Reads the flags of the addresses of every node that others come to.
pub(super) struct ServerAddressStability;

const TEXT: Text = Text {
    id: "l2.server-address-stability",
    title: "Servers have stable addresses",
    section: "S4",
    use_case: UseCase::NetworkServices,
    question: "Does every node that others come to have static IPv6 addresses only?",
    good: "Every server has static IPv6 addresses.",
    references: &["RFC 7217", "RFC 8981", "RFC 9099 section 2.1.4"],
    cases: &[
        Case {
            name: "unstable",
            finding: "{node} has the address {address} on {interface}, which is {how}; it will change, and names will point nowhere.",
            expected: "Static addresses on {node}, as the plan has them.",
            observed: "{address} on {interface} is {how}.",
            remedy: "Give the server a static address or a DHCPv6 reservation, and let it ignore Router Advertisements for addresses.",
        },
        Case {
            name: "self-formed",
            finding: "{node} would form IPv6 addresses by itself on {interface}: {switch} = {value}.",
            expected: "Static addresses on {node} and no others, whatever a router announces.",
            observed: "{switch} = {value}.",
            remedy: "Set {switch} to 0 on the server, also where its configuration sets it at start.",
        },
    ],
};

impl Check for ServerAddressStability {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let aspects = [Aspect::Addresses, Aspect::Switches];
        let probes = servers(stage).flat_map(|node| aspects.map(|a| ask::inspect(&node.name, a)));
        vec![Experiment::of_probes(probes)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let of_server =
            |node| [of_node(stage, seen, node), switches_of(stage, seen, node)].concat();
        let found = servers(stage).flat_map(of_server).collect();
        Judge(&TEXT).or_not_applicable(found, "no server has IPv6 in this phase")
    }
}

/// The nodes that others come to and that have IPv6 in this phase.
fn servers(stage: &Stage) -> impl Iterator<Item = &Node> {
    let live = |node: &&Node| {
        stage.nodes[&node.name].interfaces.iter().any(|i| i.families.has(Family::V6))
    };
    stage.testbed.nodes.values().filter(|node| node.role.serves()).filter(live)
}

fn of_node(stage: &Stage, seen: &Seen<'_>, node: &Node) -> Vec<Judgement> {
    let judge = Judge(&TEXT);
    let name = node.name.as_str();
    let (id, links) = match seen.answer(&ask::inspect(&node.name, Aspect::Addresses)) {
        Some((id, Answer::Addresses(links))) => (id, links),
        Some((id, other)) => {
            let reason = other.not_asked().unwrap_or("the answer holds no addresses");
            return vec![judge.not_testable(name, reason, [id])];
        }
        None => return vec![judge.not_testable(name, "its addresses were not read", [])],
    };
    let planned_so = |address: &AddressState| {
        let planned = node.interfaces.iter().flat_map(|interface| &interface.addresses);
        planned.into_iter().any(|p| p.ip() == address.net.addr() && p.origin != Origin::Static)
    };
    let mut found = Vec::new();
    for link in links {
        for address in link.addresses.iter().filter(|address| is_unstable(address)) {
            let ip = address.net.addr();
            let subject = format!("{name}/{ip}");
            if planned_so(address) && !address.temporary {
                found.push(judge.info(subject, "formed or given, as planned", [id]));
                continue;
            }
            let how =
                if address.temporary { "temporary" } else { "formed from a Router Advertisement" };
            let args = [
                ("node", name.to_owned()),
                ("address", ip.to_string()),
                ("interface", link.name.clone()),
                ("how", how.to_owned()),
            ];
            let scope = Scope {
                family: Some(Family::V6),
                to: Some(node.name.clone()),
                address: Some(ip),
                nodes: vec![node.name.clone()],
                segments: segments_of(node, &link.name),
                packets: Some(Packets::RouterDiscovery),
                ..Scope::default()
            };
            let complaint = Complaint {
                severity: Severity::Major,
                confidence: Confidence::High,
                depth: Depth::Read,
                ..complaint(
                    stage,
                    "unstable",
                    Culprit::node(&node.name, format!("address {ip}")),
                    scope,
                    args,
                )
            };
            found.push(judge.fail(subject, [id], complaint));
        }
    }
    if found.is_empty() { vec![judge.pass(name, [id])] } else { found }
}

/// Switches by which a server with planned addresses would form others as soon as a router announces something.
fn switches_of(stage: &Stage, seen: &Seen<'_>, node: &Node) -> Vec<Judgement> {
    let Some((id, Answer::Switches(switches))) =
        seen.answer(&ask::inspect(&node.name, Aspect::Switches))
    else {
        return Vec::new();
    };
    let interfaces = stage.nodes[&node.name].interfaces.iter();
    let fixed = interfaces.filter(|i| i.families.has(Family::V6) && !i.accepts_advertisements);
    let judged = fixed.flat_map(|interface| {
        ["accept_ra", "use_tempaddr"].into_iter().filter_map(move |name| {
            let switch = format!("net.ipv6.conf.{}.{name}", interface.name);
            let (_, value) = switches.iter().find(|(known, _)| *known == switch)?;
            let is_on = value.parse::<i32>().is_ok_and(|value| value > 0);
            is_on.then(|| {
                let complaint = forms(stage, &node.name, interface, &switch, value);
                Judge(&TEXT).fail(format!("{}/{switch}", node.name), [id], complaint)
            })
        })
    });
    judged.collect()
}

fn forms(
    stage: &Stage,
    node: &NodeName,
    interface: &StagedInterface,
    switch: &str,
    value: &str,
) -> Complaint {
    let args = [
        ("node", node.to_string()),
        ("interface", interface.name.to_string()),
        ("switch", switch.to_owned()),
        ("value", value.to_owned()),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        nodes: vec![node.clone()],
        segments: vec![interface.segment.clone()],
        packets: Some(Packets::RouterDiscovery),
        ..Scope::default()
    };
    Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Foundation,
        ..complaint(stage, "self-formed", Culprit::node(node, switch), scope, args)
    }
}

fn segments_of(node: &Node, interface: &str) -> Vec<crate::model::name::SegmentName> {
    let plugged = node.interfaces.iter().filter(|i| i.name.as_str() == interface);
    plugged.map(|interface| interface.segment.clone()).collect()
}

fn is_unstable(address: &AddressState) -> bool {
    match address.net.addr() {
        std::net::IpAddr::V4(_) => false,
        std::net::IpAddr::V6(v6) => {
            !v6.is_unicast_link_local() && (address.dynamic || address.temporary)
        }
    }
}

//! Is duplicate address detection on, and has it found nothing?

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, neighbour,
        reading::{Judge, complaint},
    },
    model::{
        answer::{AddressState, Answer},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        mac::Mac,
        name::NodeName,
        probe::Aspect,
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Reads the flags of addresses and the switches of every node, and asks each address for its neighbour: two answers
/// are a duplicate.
pub(super) struct Dad;

const TEXT: Text = Text {
    id: "l2.dad",
    title: "Duplicate address detection",
    section: "S2 5.2",
    use_case: UseCase::NetworkServices,
    question: "Is duplicate address detection on everywhere, and is every address held by one node alone?",
    good: "Duplicate address detection is on, and no address is held twice.",
    references: &["RFC 4862 section 5.4", "RFC 8504 section 6", "RFC 7527"],
    cases: &[
        Case {
            name: "failed",
            finding: "{node} may not use {address} on {interface}: another node on {segment} has it.",
            expected: "{address} on one node alone.",
            observed: "The address carries the flag dadfailed.",
            remedy: "Give one of the two nodes another address. If nobody else has it, look for a loop that sends a node's own solicitations back (RFC 7527).",
        },
        Case {
            name: "duplicate",
            finding: "{address} is answered for by {macs} on {segment}.",
            expected: "{node} alone ({mac}) answers for {address}.",
            observed: "Asked anew, {macs} answered.",
            remedy: "Find the second node by its link-layer address and give it another address.",
        },
        Case {
            name: "off",
            finding: "Duplicate address detection is off on {interface} of {node}: {switch} = {value}.",
            expected: "{switch} = 1.",
            observed: "{switch} = {value}.",
            remedy: "Switch it on again. If it was switched off as a workaround, repair the loop on the link instead: a duplicate would go unnoticed.",
        },
    ],
};

impl Check for Dad {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let nodes = subjects(stage);
        let probes = nodes.iter().flat_map(|(node, _)| {
            [Aspect::Addresses, Aspect::Switches].map(|aspect| ask::inspect(node, aspect))
        });
        let own = Experiment::of_probes(probes);
        [vec![own], neighbour::ask(stage)].concat()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let subjects = subjects(stage);
        let found = subjects.into_iter().flat_map(|(node, i)| of_interface(stage, seen, node, i));
        Judge(&TEXT).or_not_applicable(found.collect(), "IPv6 is off everywhere in this phase")
    }
}

/// Interfaces with IPv6.
fn subjects(stage: &Stage) -> Vec<(&NodeName, &StagedInterface)> {
    let all = stage.nodes.iter().flat_map(|(n, node)| node.interfaces.iter().map(move |i| (n, i)));
    all.filter(|(_, interface)| interface.families.has(Family::V6)).collect()
}

fn of_interface(
    stage: &Stage,
    seen: &Seen<'_>,
    node: &NodeName,
    interface: &StagedInterface,
) -> Vec<Judgement> {
    let judge = Judge(&TEXT);
    let subject = format!("{node}/{}", interface.name);
    let (flags, failed) = match flags(seen, node, interface) {
        Ok(read) => read,
        Err(reason) => return vec![judge.not_testable(subject, reason, [])],
    };
    let mut evidence = vec![flags];
    let mut found = Vec::new();
    for address in failed {
        let complaint =
            blame(stage, "failed", node, interface, &address, [("address", address.clone())]);
        found.push(judge.fail(format!("{subject}/{address}"), [flags], complaint));
    }
    if let Some((id, switch, value)) = switched_off(seen, node, interface) {
        let args = [("switch", switch.clone()), ("value", value)];
        let complaint = Complaint {
            depth: Depth::Foundation,
            culprit: Culprit::node(node, switch.clone()),
            ..blame(stage, "off", node, interface, "", args)
        };
        found.push(judge.fail(format!("{subject}/{switch}"), [id], complaint));
    }
    for asked in neighbour::of_stage(stage) {
        if asked.owner != *node || asked.interface != interface.name {
            continue;
        }
        let Some(heard) = asked.read(seen) else { continue };
        evidence.extend(&heard.evidence);
        let others = holders(stage, seen, &asked);
        let mut macs = heard.macs.clone();
        macs.extend(others.iter().map(|(_, mac)| *mac).filter(|mac| !heard.macs.contains(mac)));
        let stranger = macs.iter().find(|mac| **mac != asked.mac);
        let (Some(stranger), true) = (stranger, macs.len() > 1) else { continue };
        evidence.extend(others.iter().map(|(id, _)| *id));
        let read = others.iter().map(|(id, _)| *id).chain(heard.evidence.iter().copied());
        let read: Vec<_> = read.collect();
        let macs: Vec<_> = macs.iter().map(ToString::to_string).collect();
        let address = asked.address.to_string();
        let args = [
            ("address", address.clone()),
            ("macs", macs.join(" and ")),
            ("mac", asked.mac.to_string()),
        ];
        let other = neighbour::owner_of_mac(stage, &asked.segment, *stranger);
        let culprit = other.map_or_else(
            || Culprit::segment(&asked.segment, format!("stranger {stranger}")),
            |other| Culprit::node(other, format!("address {address}")),
        );
        // Whatever comes to its owner or goes from it can end at the other.
        let complaint = blame(stage, "duplicate", node, interface, &address, args);
        let scope = Scope { address: None, ..complaint.scope.clone() };
        let complaint = Complaint { culprit, scope, ..complaint };
        found.push(judge.fail(format!("{subject}/{address}"), read, complaint));
    }
    if found.is_empty() { vec![judge.pass(subject, evidence)] } else { found }
}

/// Other planned nodes on the link that hold an address and use it: who asks may be one of them, and hears only the owner.
fn holders(stage: &Stage, seen: &Seen<'_>, asked: &neighbour::Asked) -> Vec<(EvidenceId, Mac)> {
    let others = stage.nodes.iter().filter(|(name, _)| **name != asked.owner);
    let plugged = others.flat_map(|(name, node)| {
        let there = node.interfaces.iter().filter(|i| i.segment == asked.segment);
        there.map(move |interface| (name, interface))
    });
    let holds = |(name, interface): (&NodeName, &StagedInterface)| {
        let (id, answer) = seen.answer(&ask::inspect(name, Aspect::Addresses))?;
        let Answer::Addresses(links) = answer else { return None };
        let mut mine = links.iter().filter(|link| link.name == interface.name.as_str());
        let held = mine.any(|link| {
            let same = |a: &AddressState| a.net.addr() == asked.address && !a.dad_failed;
            link.addresses.iter().any(same)
        });
        held.then_some((id, interface.mac))
    };
    plugged.filter_map(holds).collect()
}

fn blame<const N: usize>(
    stage: &Stage,
    case: &str,
    node: &NodeName,
    interface: &StagedInterface,
    address: &str,
    args: [(&str, String); N],
) -> Complaint {
    let scope = Scope {
        family: Some(Family::V6),
        address: address.parse().ok(),
        nodes: vec![node.clone()],
        segments: vec![interface.segment.clone()],
        ..Scope::default()
    };
    let culprit = Culprit::node(node, format!("address {address}"));
    let mut complaint = Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        // Deeper than the address beyond the plan that it mostly comes from: this is why that one hurts.
        depth: Depth::Announced,
        ..complaint(stage, case, culprit, scope, args)
    };
    for (name, value) in [
        ("node", node.to_string()),
        ("interface", interface.name.to_string()),
        ("segment", interface.segment.to_string()),
    ] {
        complaint.args.insert(name.to_owned(), value);
    }
    complaint
}

/// The addresses of an interface for which detection failed.
fn flags(
    seen: &Seen<'_>,
    node: &NodeName,
    interface: &StagedInterface,
) -> Result<(EvidenceId, Vec<String>), String> {
    let Some((id, answer)) = seen.answer(&ask::inspect(node, Aspect::Addresses)) else {
        return Err("its addresses were not read".to_owned());
    };
    let Answer::Addresses(links) = answer else {
        return Err(answer.not_asked().unwrap_or("the answer holds no addresses").to_owned());
    };
    let mine = links.iter().filter(|link| link.name == interface.name.as_str());
    let failed = mine.flat_map(|link| &link.addresses).filter(|address| address.dad_failed);
    Ok((id, failed.map(|address| address.net.addr().to_string()).collect()))
}

/// The switch that turns detection off on an interface. The kernel takes the larger `accept_dad` of the interface and of
/// `all`; without a solicitation (`dad_transmits`) there is no detection either.
fn switched_off(
    seen: &Seen<'_>,
    node: &NodeName,
    interface: &StagedInterface,
) -> Option<(EvidenceId, String, String)> {
    let (id, Answer::Switches(switches)) = seen.answer(&ask::inspect(node, Aspect::Switches))?
    else {
        return None;
    };
    let value = |of: &str, name: &str| {
        let full = format!("net.ipv6.conf.{of}.{name}");
        let (name, value) = switches.iter().find(|(known, _)| *known == full)?;
        Some((name.clone(), value.clone()))
    };
    let number = |value: &Option<(String, String)>| {
        value.as_ref().and_then(|(_, value)| value.parse::<i64>().ok())
    };
    let accept = value(interface.name.as_str(), "accept_dad");
    let of_all = number(&value("all", "accept_dad")).unwrap_or(0);
    let off = number(&accept).is_some_and(|own| own.max(of_all) <= 0);
    let transmits = value(interface.name.as_str(), "dad_transmits");
    let silent = number(&transmits) == Some(0);
    let (name, value) = accept.filter(|_| off).or(transmits.filter(|_| silent))?;
    Some((id, name, value))
}

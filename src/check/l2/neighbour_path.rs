//! Is every address found by its neighbours?

use crate::{
    check::{
        Case, Check, Text, UseCase,
        neighbour::{self, Asked, Heard},
        reading::{Judge, complaint},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        verdict::Judgement,
    },
    stage::Stage,
};

/// Lets a neighbour forget each address and ask for it anew: the right node, and nobody else, must answer.
pub(super) struct NeighbourPath;

const TEXT: Text = Text {
    id: "l2.neighbour-path",
    title: "Neighbours find each other",
    section: "S2 5.2, S3",
    use_case: UseCase::NetworkServices,
    question: "When a neighbour asks for an IPv6 address anew, does the node that has it answer?",
    good: "Every address is answered for by the node that has it.",
    references: &["RFC 4861 section 7.2"],
    cases: &[
        Case {
            name: "silent",
            finding: "No Neighbour Advertisement comes for {address} of {node} on {segment}.",
            expected: "A Neighbour Advertisement from {mac}.",
            observed: "{asker} asked {rounds} times and heard nothing.",
            remedy: "Look at the node's filter, and at the switch: one that snoops MLD without a querier forgets the solicited-node groups after some minutes.",
        },
        Case {
            name: "nobody",
            finding: "Nobody on {segment} hears a Neighbour Advertisement of anybody else.",
            expected: "A Neighbour Advertisement from {mac} for {address} of {node}.",
            observed: "{asker} asked {rounds} times and heard nothing, and whoever else asked on {segment} heard nothing either.",
            remedy: "Mend {segment}: cable, switch port, VLAN, or a switch that snoops MLD and passes no solicited-node group on (RFC 4541 section 3).",
        },
        Case {
            name: "other",
            finding: "{macs} answers for {address} on {segment}, which is {node}'s.",
            expected: "A Neighbour Advertisement from {mac}.",
            observed: "{asker} heard {macs}.",
            remedy: "Find who answers by the link-layer address: a proxy, a duplicate or an attack.",
        },
    ],
};

impl Check for NeighbourPath {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        neighbour::ask(stage)
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        neighbour::ask_again(stage, seen)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let all = neighbour::of_stage(stage);
        let deaf = deaf_askers(&all, seen);
        let silent_links = neighbour::silent_links(&all, seen);
        let found = all.iter().map(|asked| {
            let silent =
                if silent_links.contains(&&asked.segment) { None } else { Some(&deaf[..]) };
            judge(stage, seen, asked, silent)
        });
        let found = found.collect();
        Judge(&TEXT).or_not_applicable(found, "no two nodes share a link with IPv6 in this phase")
    }
}

/// Askers that heard nobody at all, although they asked for several: the trouble is at their end.
fn deaf_askers(all: &[Asked], seen: &Seen<'_>) -> Vec<NodeName> {
    let mut askers: Vec<_> = all.iter().map(|asked| &asked.asker).collect();
    askers.sort();
    askers.dedup();
    let is_deaf = |asker: &&NodeName| {
        let own = all.iter().filter(|asked| asked.asker == **asker);
        let heard: Vec<_> = own.filter_map(|asked| asked.read(seen)).collect();
        heard.len() > 1 && heard.iter().all(|heard| heard.macs.is_empty())
    };
    askers.into_iter().filter(is_deaf).cloned().collect()
}

/// `deaf` are the askers that heard nobody; `None` where nobody on the link did.
fn judge(stage: &Stage, seen: &Seen<'_>, asked: &Asked, deaf: Option<&[NodeName]>) -> Judgement {
    let judge = Judge(&TEXT);
    let subject = format!("{}/{}", asked.owner, asked.address);
    let Some(heard) = asked.read(seen) else {
        return judge.not_testable(subject, "it was not asked for", []);
    };
    if let Some(reason) = &heard.reason {
        return judge.not_testable(subject, reason, heard.evidence);
    }
    match heard.macs.as_slice() {
        [] => {
            let complaint = match deaf {
                None => nobody(stage, asked, &heard),
                Some(deaf) => {
                    let is_deaf = deaf.contains(&asked.asker);
                    let at = if is_deaf { &asked.asker } else { &asked.owner };
                    blame(stage, "silent", asked, &heard, at)
                }
            };
            judge.fail(subject, heard.evidence, complaint)
        }
        macs if macs.contains(&asked.mac) => judge.pass(subject, heard.evidence),
        [other, ..] => {
            let node = neighbour::owner_of_mac(stage, &asked.segment, *other);
            let complaint = blame(stage, "other", asked, &heard, node.unwrap_or(&asked.owner));
            judge.fail(subject, heard.evidence, complaint)
        }
    }
}

fn nobody(stage: &Stage, asked: &Asked, heard: &Heard) -> Complaint {
    let base = blame(stage, "nobody", asked, heard, &asked.owner);
    Complaint {
        culprit: Culprit::segment(&asked.segment, "neighbour discovery"),
        // Whatever crosses the link fails, now or once its nodes forget each other. Why, others may know.
        depth: Depth::Read,
        confidence: Confidence::High,
        scope: Scope {
            family: Some(Family::V6),
            segments: vec![asked.segment.clone()],
            ..Scope::default()
        },
        ..base
    }
}

fn blame(stage: &Stage, case: &str, asked: &Asked, heard: &Heard, at: &NodeName) -> Complaint {
    let macs: Vec<_> = heard.macs.iter().map(ToString::to_string).collect();
    let args = [
        ("node", asked.owner.to_string()),
        ("address", asked.address.to_string()),
        ("segment", asked.segment.to_string()),
        ("mac", asked.mac.to_string()),
        ("macs", macs.join(" and ")),
        ("asker", asked.asker.to_string()),
        ("rounds", heard.evidence.len().to_string()),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        to: Some(asked.owner.clone()),
        address: Some(asked.address),
        nodes: vec![asked.asker.clone(), asked.owner.clone()],
        segments: vec![asked.segment.clone()],
        packets: Some(Packets::NeighbourDiscovery),
        ..Scope::default()
    };
    Complaint {
        severity: Severity::Major,
        confidence: Confidence::Medium,
        depth: Depth::Located,
        ..complaint(stage, case, Culprit::node(at, "neighbour discovery"), scope, args)
    }
}

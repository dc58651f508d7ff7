//! Is every address found by its neighbours?

use crate::{
    check::{
        Case, Check, Text, UseCase,
        dead_link::{self, Hop},
        neighbour::{self, Asked, Heard},
        reading::{Judge, complaint},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::{NodeName, SegmentName},
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
            observed: "{asker} asked {rounds} times and heard nothing, and whoever else asked on {segment} heard nothing either. {ipv4}",
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
        let all = neighbour::of_stage(stage);
        let silent = neighbour::silent_links(&all, seen);
        let of_ipv4 = silent.into_iter().filter_map(|link| ipv4(stage, &all, link));
        neighbour::ask_again(stage, seen).into_iter().chain(of_ipv4.map(|hop| hop.ask())).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let all = neighbour::of_stage(stage);
        let deaf = deaf_askers(&all, seen);
        let silent_links = neighbour::silent_links(&all, seen);
        let found = all.iter().map(|asked| {
            if silent_links.contains(&&asked.segment) {
                return nobody(stage, seen, asked, ipv4(stage, &all, &asked.segment));
            }
            judge(stage, seen, asked, &deaf)
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

/// The same link for IPv4, between two of those who ask on it.
fn ipv4<'a>(stage: &Stage, all: &'a [Asked], link: &SegmentName) -> Option<Hop<'a>> {
    let mut of_link = all.iter().filter(|asked| asked.segment == *link);
    of_link.find_map(|asked| {
        dead_link::hop(stage, &asked.segment, [&asked.asker, &asked.owner], Family::V4)
    })
}

fn judge(stage: &Stage, seen: &Seen<'_>, asked: &Asked, deaf: &[NodeName]) -> Judgement {
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
            let at = if deaf.contains(&asked.asker) { &asked.asker } else { &asked.owner };
            let complaint = blame(stage, "silent", asked, &heard, at);
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

/// On the link of an address nobody hears anybody. Where ARP gets no answer either, the link carries nothing at all.
fn nobody(stage: &Stage, seen: &Seen<'_>, asked: &Asked, ipv4: Option<Hop<'_>>) -> Judgement {
    let subject = format!("{}/{}", asked.owner, asked.address);
    let Some(mut heard) = asked.read(seen) else {
        return Judge(&TEXT).not_testable(subject, "it was not asked for", []);
    };
    let mut base = blame(stage, "nobody", asked, &heard, &asked.owner);
    let is_dead = ipv4.as_ref().is_some_and(|hop| hop.is_dead(seen, &mut heard.evidence));
    let (part, words) = match (ipv4, is_dead) {
        (None, _) => ("neighbour discovery", "There is no IPv4 on it to compare with."),
        (Some(_), false) => ("neighbour discovery", "ARP is answered."),
        (Some(_), true) => ("delivery of frames", "ARP gets no answer either."),
    };
    base.args.insert("ipv4".to_owned(), words.to_owned());
    let scope = Scope {
        family: (!is_dead).then_some(Family::V6),
        segments: vec![asked.segment.clone()],
        ..Scope::default()
    };
    let complaint = Complaint {
        culprit: Culprit::segment(&asked.segment, part),
        // Whatever crosses the link fails, now or once its nodes forget each other. Why, others may know.
        depth: Depth::Read,
        confidence: Confidence::High,
        scope,
        ..base
    };
    Judge(&TEXT).fail(subject, heard.evidence, complaint)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{answer::Answer, phase::Phase, probe::Question},
    };

    #[test]
    fn a_link_on_which_nobody_hears_anybody_is_blamed_and_one_silent_node_by_itself() {
        let silent = |is_silent: fn(&Asked) -> bool| {
            let network = Network::healthy(Phase::DualStack);
            let all = neighbour::of_stage(&network.plan).into_iter().filter(is_silent);
            let addresses: Vec<_> = all.map(|asked| asked.address).collect();
            let network = network.bend(move |probe, answer| {
                if let (Answer::Neighbour { macs, .. }, Question::Neighbour { target, .. }) =
                    (answer, &probe.question)
                    && addresses.contains(target)
                {
                    macs.clear();
                }
            });
            let mut found = fixture::complaints(&NeighbourPath, &network);
            found.dedup();
            found
        };
        let of_link = ("nobody".to_owned(), "dmz (neighbour discovery)".to_owned());
        assert_eq!(silent(|asked| asked.segment.as_str() == "dmz"), [of_link]);
        let of_node = ("silent".to_owned(), "portal (neighbour discovery)".to_owned());
        let portal = |asked: &Asked| {
            asked.segment.as_str() == "dmz" && asked.owner == fixture::node("portal")
        };
        assert_eq!(silent(portal), [of_node]);
    }
}

//! Does every node take the ICMPv6 messages that its link lives by?

use super::difference::{self, Comparison, Concern, Kind};
use crate::{
    check::{
        Case, Check, Text, UseCase, neighbour,
        reading::{Judge, complaint},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Severity},
        name::NodeName,
        segment::Plane,
        verdict::Judgement,
    },
    stage::Stage,
};

/// Reads the filter of every node for rules that stop neighbour discovery, router discovery or MLD, and asks every
/// address for its neighbour anew: what a cache still knows hides such a rule for half a minute.
pub(super) struct NotFilteredOnLink;

const TEXT: Text = Text {
    id: "pol.nd-and-mld-not-filtered-on-link",
    title: "Neighbour discovery and MLD are not filtered",
    section: "S2 5.2",
    use_case: UseCase::Policies,
    question: "Does every node take neighbour discovery, router discovery and MLD from its link?",
    good: "No node filters neighbour discovery, router discovery or MLD.",
    references: &["RFC 4890 section 4.4.1", "RFC 4861 section 7.2"],
    cases: &[Case {
        name: "filtered",
        finding: "The filter of {node} stops ICMPv6 that the link lives by: rule `{label}` of its {hook} chain {how}.",
        expected: "ICMPv6 types 130 to 137 and 141 to 143 with hop limit 255 pass the input chain.",
        observed: "{how}: {rules}. {neighbour}",
        remedy: "Permit these types on the link. Without neighbour solicitations a node works until its neighbours' caches expire, and then dies.",
    }],
};

impl Check for NotFilteredOnLink {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        [difference::ask(stage), neighbour::ask(stage)].concat()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let live = |node: &&NodeName| {
            let planes = [Plane::Data, Plane::Management];
            planes.iter().any(|plane| stage.families(node, *plane).has(Family::V6))
        };
        let nodes = stage.nodes.keys().filter(live);
        let found = nodes.flat_map(|node| of_node(stage, seen, node)).collect();
        Judge(&TEXT).or_not_applicable(found, "IPv6 is off everywhere in this phase")
    }
}

fn of_node(stage: &Stage, seen: &Seen<'_>, node: &NodeName) -> Vec<Judgement> {
    let judge = Judge(&TEXT);
    let (filter, differences, unread) = match difference::compare(stage, seen, node) {
        Comparison::NotRead(reason) => {
            return vec![judge.not_testable(node.as_str(), reason, [])];
        }
        Comparison::Read { evidence, differences, unread } => (evidence, differences, unread),
    };
    let (mut evidence, silent) = asked_anew(stage, seen, node);
    evidence.push(filter);
    let neighbour = match silent.as_slice() {
        [] => "Its neighbours still find it".to_owned() + ".",
        some => format!("Nobody answers for {} when asked anew.", some.join(", ")),
    };
    let found: Vec<_> = differences
        .into_iter()
        .filter(|difference| difference.concern == Concern::OnLink)
        .map(|difference| {
            let how = match difference.kind {
                Kind::Missing => "is missing",
                Kind::Extra | Kind::Policy => "drops them",
            };
            let args = [
                ("node", node.to_string()),
                ("hook", difference.hook_word().to_owned()),
                ("label", difference.label.clone()),
                ("how", how.to_owned()),
                ("rules", difference.text()),
                ("neighbour", neighbour.clone()),
            ];
            let scope = difference.scope(stage);
            let complaint = Complaint {
                severity: Severity::Major,
                confidence: Confidence::High,
                depth: Depth::Foundation,
                ..complaint(stage, "filtered", difference.culprit(), scope, args)
            };
            let subject = format!("{node}/{}", difference.label);
            judge.fail(subject, evidence.clone(), complaint)
        })
        .collect();
    match (found.is_empty(), unread.is_empty(), silent.is_empty()) {
        (false, ..) => found,
        (true, false, _) => {
            let reason = format!("these rules could not be read: {}", unread.join("; "));
            vec![judge.not_testable(node.as_str(), reason, evidence)]
        }
        (true, true, true) => vec![judge.pass(node.as_str(), evidence)],
        (true, true, false) => {
            let reason = "no rule stops them, but a neighbour stays silent: see l2.neighbour-path";
            vec![judge.blocked(node.as_str(), reason, evidence)]
        }
    }
}

/// The evidence of the neighbours asked for on this node, and the addresses for which nobody answered.
fn asked_anew(stage: &Stage, seen: &Seen<'_>, node: &NodeName) -> (Vec<EvidenceId>, Vec<String>) {
    let mut evidence = Vec::new();
    let mut silent = Vec::new();
    for asked in neighbour::of_stage(stage).into_iter().filter(|asked| asked.owner == *node) {
        let Some(heard) = asked.read(seen) else { continue };
        evidence.extend(heard.evidence);
        if heard.macs.is_empty() && heard.reason.is_none() {
            silent.push(asked.address.to_string());
        }
    }
    (evidence, silent)
}

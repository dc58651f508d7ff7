//! Does every filter hold exactly the rules that follow from the flows, in both families?

use super::difference::{self, Comparison, Concern, Difference, Kind};
use crate::{
    check::{
        Case, Check, Text, UseCase,
        reading::{Judge, complaint},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        finding::{Complaint, Confidence, Depth, Severity},
        name::NodeName,
        verdict::Judgement,
    },
    stage::Stage,
};

/// Reads the filter of every node and lays it beside the plan. Rules about ICMPv6 are left to the checks that know which
/// of its types must pass.
pub(in crate::check) struct RuleParityStatic;

const TEXT: Text = Text {
    id: "pol.rule-parity-static",
    title: "Filter rules are as planned in both families",
    section: "S2 2.2.1, 2.2.5",
    use_case: UseCase::Policies,
    question: "Does every node hold exactly the filter rules that follow from the flows, for IPv4 and for IPv6?",
    good: "Every node holds the rules that follow from the flows, and no others.",
    references: &["RFC 9099 section 2.7.1", "RFC 7381 section 2.4.3"],
    cases: &[
        Case {
            name: "missing",
            finding: "{node} lacks the {family} rule `{label}` in its {chains}; {counterpart}.",
            expected: "In the {chains} of {node}: {rules}.",
            observed: "The rule set of {node} does not hold it; {counterpart}.",
            remedy: "Add the rule for {family}, best with object groups that hold both families, and test both again.",
        },
        Case {
            name: "extra",
            finding: "{node} has a rule `{label}` in its {chains} for {family} that no flow asks for; {counterpart}.",
            expected: "Only rules that follow from the flows.",
            observed: "In the {chains} of {node}: {rules}.",
            remedy: "Remove the rule, or declare the flow that it serves; then test both families again.",
        },
        Case {
            name: "policy",
            finding: "The {hook} chain of {node} does `{policy}` with what no rule names.",
            expected: "{planned} for packets that no rule names.",
            observed: "The policy of the {hook} chain of {node} is {policy}.",
            remedy: "Set the policy of the chain as planned; one chain of an inet table covers both families.",
        },
    ],
};

impl Check for RuleParityStatic {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        difference::ask(stage)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        stage.nodes.keys().flat_map(|node| of_node(stage, seen, node)).collect()
    }
}

fn of_node(stage: &Stage, seen: &Seen<'_>, node: &NodeName) -> Vec<Judgement> {
    let judge = Judge(&TEXT);
    let (evidence, differences, unread) = match difference::compare(stage, seen, node) {
        Comparison::NotRead(reason) => {
            return vec![judge.not_testable(node.as_str(), reason, [])];
        }
        Comparison::Read { evidence, differences, unread } => (evidence, differences, unread),
    };
    let of_traffic = differences.into_iter().filter(|d| d.concern == Concern::Traffic);
    let mut found: Vec<_> = of_traffic.map(|d| of_difference(stage, seen, &d, evidence)).collect();
    if !unread.is_empty() {
        let reason = format!("these rules cannot be compared: {}", unread.join("; "));
        found.push(judge.not_testable(node.as_str(), reason, [evidence]));
    } else if found.is_empty() {
        found.push(judge.pass(node.as_str(), [evidence]));
    }
    found
}

fn of_difference(
    stage: &Stage,
    seen: &Seen<'_>,
    difference: &Difference,
    evidence: EvidenceId,
) -> Judgement {
    let case = match difference.kind {
        Kind::Missing => "missing",
        Kind::Extra => "extra",
        Kind::Policy => "policy",
    };
    let subject =
        format!("{}/{}/{case} {}", difference.node, difference.hook_word(), difference.label);
    let planned = stage.nodes[&difference.node].filter.chain(difference.hook);
    let planned = planned.map_or("accept".to_owned(), |chain| chain.policy.to_string());
    let family = difference.family();
    let args = [
        ("node", difference.node.to_string()),
        ("hook", difference.hook_word().to_owned()),
        ("chains", difference.chains()),
        ("label", difference.label.clone()),
        ("family", family.map_or("IPv4 and IPv6".to_owned(), |family| family.to_string())),
        ("rules", difference.text()),
        ("counterpart", difference.counterpart(stage, seen)),
        ("policy", difference.action.to_string()),
        ("planned", planned),
    ];
    let culprit = difference.culprit();
    let complaint = Complaint {
        severity: severity(stage, difference),
        confidence: Confidence::High,
        depth: Depth::Read,
        ..complaint(stage, case, culprit, difference.scope(stage), args)
    };
    Judge(&TEXT).fail(subject.trim_end(), [evidence], complaint)
}

/// Critical where policy is bypassed, or where the only family of the phase is lost.
fn severity(stage: &Stage, difference: &Difference) -> Severity {
    let all = stage.phase.permits().and(difference.families) == stage.phase.permits();
    if difference.opens() || all { Severity::Critical } else { Severity::Major }
}

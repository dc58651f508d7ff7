//! Causes: one root cause is one finding; what it explains is listed under it.

use std::collections::BTreeSet;

use crate::model::{
    finding::{Complaint, Depth, Finding, Symptom},
    phase::Phase,
    verdict::Judgement,
};

/// A finding of one phase, before the phases are put together.
struct Cause<'j> {
    phase: Phase,
    judgement: &'j Judgement,
    complaint: &'j Complaint,
    /// What else the same culprit is blamed for: each explains what it covers.
    same_culprit: Vec<&'j Complaint>,
    symptoms: Vec<&'j Judgement>,
}

/// Puts judgements together into findings: critical first, then by the phase in which they bite, then by culprit. The
/// numbers follow that order. `retest` gives the command that tests a check again in a phase.
pub fn findings(
    judgements: &[(Phase, Vec<Judgement>)],
    retest: impl Fn(&str, Phase) -> String,
) -> Vec<Finding> {
    let causes = judgements.iter().flat_map(|(phase, judgements)| causes(*phase, judgements));
    let mut findings = Vec::<Finding>::new();
    for cause in causes {
        match findings.iter_mut().find(|finding| is_same(finding, &cause)) {
            Some(finding) => cause.join(finding),
            None => findings.push(cause.finding(&retest)),
        }
    }
    findings.sort_by(|a, b| {
        let key = |f: &Finding| {
            (f.bites_in.first().copied(), f.culprit.clone(), f.check.clone(), f.subject.clone())
        };
        b.severity.cmp(&a.severity).then_with(|| key(a).cmp(&key(b)))
    });
    for (at, finding) in findings.iter_mut().enumerate() {
        finding.id = format!("F-{:03}", at + 1);
    }
    findings
}

/// The deepest complaints of a phase, each with the shallower ones that it explains.
fn causes(phase: Phase, judgements: &[Judgement]) -> Vec<Cause<'_>> {
    let complaints = judgements.iter().filter_map(|j| Some((j, j.complaint.as_ref()?)));
    let mut complaints: Vec<_> = complaints.collect();
    complaints.sort_by_key(|(judgement, complaint)| {
        (
            std::cmp::Reverse(complaint.depth),
            breadth(complaint),
            std::cmp::Reverse(complaint.severity),
            &judgement.check,
        )
    });
    let mut causes = Vec::<Cause<'_>>::new();
    for (judgement, complaint) in complaints {
        match causes.iter_mut().find(|cause| cause.explains(complaint)) {
            Some(cause) => cause.take(judgement, complaint),
            None => causes.push(Cause {
                phase,
                judgement,
                complaint,
                same_culprit: Vec::new(),
                symptoms: Vec::new(),
            }),
        }
    }
    causes
}

/// How many things a scope fixes: of two complaints of one depth, the one that fixes less explains more.
fn breadth(complaint: &Complaint) -> usize {
    let scope = &complaint.scope;
    usize::from(scope.family.is_some())
        + usize::from(scope.to.is_some())
        + usize::from(scope.address.is_some())
        + usize::from(scope.port.is_some())
        + usize::from(scope.from.is_some())
        + usize::from(scope.name.is_some())
        + usize::from(scope.packets.is_some())
        + scope.nodes.len()
        + scope.segments.len()
}

/// Whether two complaints blame the same, in a family that the first one touches.
fn blames_the_same(cause: &Complaint, other: &Complaint) -> bool {
    let same_family = cause.scope.family.is_none() || cause.scope.family == other.scope.family;
    cause.culprit == other.culprit && same_family
}

/// Whether a node that was found to stop one way to a port stands on another way to it: users of both meet the same
/// trouble there, wherever they come from.
fn stops_also(mine: &Complaint, other: &Complaint) -> bool {
    let (a, b) = (&mine.scope, &other.scope);
    mine.depth == Depth::Located
        && other.depth <= Depth::Located
        && a.packets == b.packets
        && (a.family, &a.to, a.port) == (b.family, &b.to, b.port)
        && mine.culprit.node.as_ref().is_some_and(|node| b.nodes.contains(node))
}

fn is_same(finding: &Finding, cause: &Cause<'_>) -> bool {
    finding.check == cause.judgement.check
        && finding.case == cause.complaint.case
        && finding.culprit == cause.complaint.culprit
}

impl<'j> Cause<'j> {
    /// A deeper complaint explains what its scope covers; one of the same depth only if it blames the same.
    fn explains(&self, other: &Complaint) -> bool {
        let covers = |mine: &Complaint| {
            mine.depth > other.depth && mine.scope.covers(&other.scope) || stops_also(mine, other)
        };
        blames_the_same(self.complaint, other)
            || covers(self.complaint)
            || self.same_culprit.iter().any(|mine| covers(mine))
    }

    fn take(&mut self, judgement: &'j Judgement, complaint: &'j Complaint) {
        if blames_the_same(self.complaint, complaint) {
            self.same_culprit.push(complaint);
        }
        self.symptoms.push(judgement);
    }

    fn finding(self, retest: &impl Fn(&str, Phase) -> String) -> Finding {
        let Self { phase, judgement, complaint, .. } = self;
        let mut finding = Finding {
            id: String::new(),
            check: judgement.check.clone(),
            case: complaint.case.clone(),
            args: complaint.args.clone(),
            subject: judgement.subject.clone(),
            phases: Vec::new(),
            bites_in: Vec::new(),
            severity: complaint.severity,
            confidence: complaint.confidence,
            culprit: complaint.culprit.clone(),
            evidence: Vec::new(),
            symptoms: Vec::new(),
            retest: retest(&judgement.check, phase),
        };
        self.join(&mut finding);
        finding
    }

    fn join(self, finding: &mut Finding) {
        let phases: BTreeSet<_> = finding.phases.iter().copied().chain([self.phase]).collect();
        finding.phases = phases.into_iter().collect();
        let bites = finding.bites_in.iter().chain(&self.complaint.bites_in).copied();
        finding.bites_in = bites.collect::<BTreeSet<_>>().into_iter().collect();
        finding.severity = finding.severity.max(self.complaint.severity);
        finding.confidence = finding.confidence.max(self.complaint.confidence);
        let evidence = finding.evidence.iter().chain(&self.judgement.evidence).copied();
        finding.evidence = evidence.collect::<BTreeSet<_>>().into_iter().collect();
        finding.symptoms.extend(self.symptoms.iter().map(|symptom| Symptom {
            phase: self.phase,
            check: symptom.check.clone(),
            subject: symptom.subject.clone(),
        }));
        finding.symptoms.sort();
        finding.symptoms.dedup();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{
        family::Family,
        finding::{Confidence, Culprit, Scope, Severity},
        name::NodeName,
        verdict::Verdict,
    };

    fn node(name: &str) -> NodeName {
        name.parse().unwrap()
    }

    fn bad(check: &str, depth: Depth, culprit: Culprit, scope: Scope) -> Judgement {
        Judgement {
            check: check.to_owned(),
            subject: check.to_owned(),
            verdict: Verdict::Fail,
            reason: String::new(),
            evidence: Vec::new(),
            complaint: Some(Complaint {
                case: "case".to_owned(),
                args: BTreeMap::new(),
                severity: Severity::Major,
                confidence: Confidence::High,
                culprit,
                bites_in: vec![Phase::DualStack],
                depth,
                scope,
            }),
        }
    }

    fn v6_to_portal() -> Scope {
        Scope { family: Some(Family::V6), to: Some(node("portal")), ..Scope::default() }
    }

    #[test]
    fn what_a_deeper_cause_covers_is_its_symptom_and_nothing_else_is() {
        let listener = Culprit::node(&node("portal"), "listener https");
        let unknown = Culprit { node: None, segment: None, part: "somewhere".to_owned() };
        let judgements = vec![
            bad(
                "ux",
                Depth::Symptom,
                unknown.clone(),
                Scope { from: Some(node("visitor")), ..v6_to_portal() },
            ),
            bad("listen", Depth::Read, listener, v6_to_portal()),
            bad(
                "other",
                Depth::Symptom,
                unknown,
                Scope { family: Some(Family::V4), ..v6_to_portal() },
            ),
        ];
        let found = findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        let checks: Vec<_> = found.iter().map(|f| (f.check.as_str(), f.symptoms.len())).collect();
        assert!(checks.contains(&("listen", 1)), "{checks:?}");
        assert!(checks.contains(&("other", 0)), "{checks:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn each_complaint_about_a_culprit_explains_what_it_covers() {
        let stranger = Culprit { node: None, segment: None, part: "router fe80::bad".to_owned() };
        let at = |name: &str| Scope { nodes: vec![node(name)], ..Scope::default() };
        let judgements = vec![
            bad("rogue", Depth::Announced, stranger.clone(), at("workplace")),
            bad("rogue", Depth::Announced, stranger, at("printer")),
            bad(
                "plan",
                Depth::Foundation,
                Culprit::node(&node("printer"), "address"),
                at("printer"),
            ),
        ];
        let found = findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].check, "rogue");
    }

    #[test]
    fn the_same_trouble_in_two_phases_is_one_finding() {
        let culprit = Culprit::node(&node("portal"), "listener https");
        let judgement = || vec![bad("listen", Depth::Read, culprit.clone(), v6_to_portal())];
        let phases = [(Phase::DualStack, judgement()), (Phase::Ipv6Only, judgement())];
        let found = findings(&phases, |check, phase| format!("{check} {phase}"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].phases, [Phase::DualStack, Phase::Ipv6Only]);
        assert_eq!(found[0].id, "F-001");
    }
}

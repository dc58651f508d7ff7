//! Causes: one root cause is one finding; what it explains is listed under it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    absence::Absence,
    finding::{Complaint, Confidence, Depth, Finding, Packets, Symptom},
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
/// numbers follow that order. `retest` gives the command that tests a check again in phases.
pub fn findings(
    judgements: &[(Phase, Vec<Judgement>)],
    retest: impl Fn(&str, &[Phase]) -> String,
) -> Vec<Finding> {
    let causes = judgements.iter().flat_map(|(phase, judgements)| causes(*phase, judgements));
    let mut alike = Vec::<Vec<Cause<'_>>>::new();
    for cause in causes {
        match alike.iter_mut().find(|known| known[0].is_same(&cause)) {
            Some(known) => known.push(cause),
            None => alike.push(vec![cause]),
        }
    }
    let mut findings: Vec<_> = alike.iter().map(|causes| finding(causes, &retest)).collect();
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

/// Leaves open what somebody is blamed for who has only been absent, and what that explains.
pub fn leave_open(phase: Phase, judgements: &mut [Judgement], absences: &[Absence]) {
    let mut open = BTreeMap::new();
    for cause in causes(phase, judgements) {
        let absence = absences.iter().find(|absence| absence.covers(cause.complaint));
        for judged in cause.all().filter(|_| absence.is_some()) {
            open.insert((judged.check.clone(), judged.subject.clone()), absence);
        }
    }
    for judgement in judgements {
        let key = (judgement.check.clone(), judgement.subject.clone());
        if let Some(absence) = open.get(&key).copied().flatten() {
            judgement.leave_open(&absence.why);
        }
    }
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
        let explaining = causes.iter_mut().filter(|cause| cause.explains(complaint));
        match explaining.min_by_key(|cause| cause.distance(complaint)) {
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

/// Whether somebody who is not planned announces routes and addresses: nobody has to follow.
fn is_lure(complaint: &Complaint) -> bool {
    let discovery = complaint.scope.packets == Some(Packets::RouterDiscovery);
    complaint.depth == Depth::Announced && (discovery || complaint.scope.from.is_some())
}

/// Whether a trouble may come from what a host took from a stranger: the place of it is not known, or is the host, or is
/// the router next to it, which seems to stop whatever the host gives to the stranger instead.
fn may_be_lured(lure: &Complaint, other: &Complaint) -> bool {
    let Some(node) = &other.culprit.node else { return true };
    let host = lure.scope.from.as_ref();
    let next = other.scope.nodes.get(1).filter(|_| other.depth == Depth::Located);
    host == Some(node) || host.is_some() && next == Some(node)
}

/// Whether ICMP errors end at one node, and among them those that the other misses there. Of other things that are found at
/// one node, each is a trouble of its own.
fn ends_those_too(mine: &Complaint, other: &Complaint) -> bool {
    let of_errors = matches!(mine.scope.packets, Some(Packets::IcmpErrors | Packets::TooBig));
    let are_located = [mine, other].into_iter().all(|it| it.depth == Depth::Located);
    let is_at_one = mine.culprit.node.is_some() && mine.culprit.node == other.culprit.node;
    of_errors && are_located && is_at_one && mine.scope.covers(&other.scope)
}

/// Whether one complaint explains another by its depth and scope.
fn covers(mine: &Complaint, other: &Complaint) -> bool {
    let deeper = mine.depth > other.depth && mine.scope.covers(&other.scope);
    deeper && (!is_lure(mine) || may_be_lured(mine, other))
        || stops_also(mine, other)
        || ends_those_too(mine, other)
}

/// One finding of what is the same in every phase, in the words of the phase that knows most of it.
fn finding(causes: &[Cause<'_>], retest: &impl Fn(&str, &[Phase]) -> String) -> Finding {
    let best = causes.iter().rev().max_by_key(|cause| cause.knowledge());
    let Cause { judgement, complaint, .. } = best.expect("a cause");
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
        retest: String::new(),
    };
    for cause in causes {
        cause.join(&mut finding);
    }
    finding.retest = retest(&finding.check, &finding.phases);
    finding
}

impl<'j> Cause<'j> {
    /// Whether it is the same trouble in another phase, or of another family.
    fn is_same(&self, other: &Self) -> bool {
        self.judgement.check == other.judgement.check
            && self.complaint.case == other.complaint.case
            && self.complaint.culprit == other.complaint.culprit
    }

    /// How much is known of it: how surely, what else was found of it, and on how much it rests.
    fn knowledge(&self) -> (Confidence, usize, usize) {
        let Self { complaint, same_culprit, judgement, .. } = self;
        (complaint.confidence, same_culprit.len(), judgement.evidence.len())
    }

    /// Of several causes that would explain a complaint, the nearest does: one about the node at which the trouble was
    /// located, then any other, and what a stranger announced last, since what that does to packets is surmised.
    fn distance(&self, other: &Complaint) -> u8 {
        let located = other.culprit.node.as_ref().filter(|_| other.depth >= Depth::Located);
        if located.is_some() && self.complaint.culprit.node.as_ref() == located {
            0
        } else {
            1 + u8::from(is_lure(self.complaint))
        }
    }

    /// A deeper complaint explains what its scope covers; one of the same depth only if it blames the same.
    fn explains(&self, other: &Complaint) -> bool {
        let covers = |mine: &Complaint| covers(mine, other);
        blames_the_same(self.complaint, other)
            || covers(self.complaint)
            || self.same_culprit.iter().any(|mine| covers(mine))
    }

    fn all(&self) -> impl Iterator<Item = &'j Judgement> {
        std::iter::once(self.judgement).chain(self.symptoms.iter().copied())
    }

    fn take(&mut self, judgement: &'j Judgement, complaint: &'j Complaint) {
        if blames_the_same(self.complaint, complaint) {
            self.same_culprit.push(complaint);
        }
        self.symptoms.push(judgement);
    }

    fn join(&self, finding: &mut Finding) {
        let phases: BTreeSet<_> = finding.phases.iter().copied().chain([self.phase]).collect();
        finding.phases = phases.into_iter().collect();
        let bites = finding.bites_in.iter().chain(&self.complaint.bites_in).copied();
        finding.bites_in = bites.collect::<BTreeSet<_>>().into_iter().collect();
        // What it does is as bad as the worst of what it explains.
        let complaints = self.all().filter_map(|judgement| judgement.complaint.as_ref());
        finding.severity = complaints.map(|it| it.severity).fold(finding.severity, Ord::max);
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
        evidence::EvidenceId,
        family::Family,
        finding::{Culprit, Scope, Severity},
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

    /// Who is not there, and who has addresses from there.
    fn absence(name: &str, host: &str, why: String) -> Absence {
        let hosts = host.parse().into_iter().collect();
        Absence { nodes: vec![node(name)], hosts, tunnel: None, inside: None, why }
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
    fn a_cause_is_as_bad_as_the_worst_of_what_it_explains() {
        let of_severity = |severity, mut judgement: Judgement| {
            judgement.complaint.as_mut().unwrap().severity = severity;
            judgement
        };
        let listener = Culprit::node(&node("portal"), "listener https");
        let unknown = Culprit { node: None, segment: None, part: "somewhere".to_owned() };
        let judgements = vec![
            of_severity(Severity::Minor, bad("listen", Depth::Read, listener, v6_to_portal())),
            of_severity(Severity::Critical, bad("ux", Depth::Symptom, unknown, v6_to_portal())),
        ];
        let found = findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        let told: Vec<_> = found.iter().map(|f| (f.check.as_str(), f.severity)).collect();
        assert_eq!(told, [("listen", Severity::Critical)]);
    }

    #[test]
    fn who_has_only_been_absent_is_blamed_for_nothing_and_others_are() {
        let culprit = |name| Culprit::node(&node(name), "listener https");
        let of_other = Scope { to: Some(node("other")), ..Scope::default() };
        let unknown = Culprit { node: None, segment: None, part: "somewhere".to_owned() };
        let mut judgements = vec![
            bad("ux", Depth::Symptom, unknown, v6_to_portal()),
            bad("listen", Depth::Read, culprit("portal"), v6_to_portal()),
            bad("listen-too", Depth::Read, culprit("other"), of_other),
        ];
        let why = "the engine is not there".to_owned();
        let absent = absence("portal", "", why);
        leave_open(Phase::DualStack, &mut judgements, &[absent]);
        let verdicts: Vec<_> = judgements.iter().map(|j| (j.verdict, j.reason.as_str())).collect();
        let open = (Verdict::NotTestable, "the engine is not there");
        assert_eq!(verdicts, [open, open, (Verdict::Fail, "")]);
    }

    #[test]
    fn who_asks_somebody_absent_is_not_blamed_for_the_silence_and_who_is_in_the_way_is() {
        let to_portal = |from: &str| Scope { from: Some(node(from)), ..v6_to_portal() };
        let of_desk = Culprit::node(&node("desk"), "traffic of its own over IPv6");
        let in_the_way = Culprit::node(&node("firewall"), "forwarding");
        let elsewhere =
            Scope { to: Some(node("other")), from: Some(node("desk")), ..v6_to_portal() };
        let judgements = [
            bad("asked", Depth::Located, of_desk.clone(), to_portal("desk")),
            bad("stopped", Depth::Located, in_the_way, to_portal("visitor")),
            bad("asked-elsewhere", Depth::Located, of_desk.clone(), elsewhere),
            bad("read", Depth::Read, of_desk, to_portal("desk")),
        ];
        let why = "the engine does not answer".to_owned();
        let absent = absence("portal", "", why);
        let alone = |at: usize| {
            let mut one = vec![judgements[at].clone()];
            leave_open(Phase::DualStack, &mut one, std::slice::from_ref(&absent));
            one[0].verdict
        };
        let [open, bad] = [Verdict::NotTestable, Verdict::Fail];
        assert_eq!([alone(0), alone(1), alone(2), alone(3)], [open, bad, bad, bad]);
    }

    #[test]
    fn who_passes_nothing_on_to_a_host_without_address_is_not_blamed() {
        let absent = absence("router", "desk", "the engine is not there".to_owned());
        let of = |culprit: &str, family, to: &str, depth| {
            let scope = Scope { family: Some(family), to: Some(node(to)), ..Scope::default() };
            let mut one = vec![bad("leg", depth, Culprit::node(&node(culprit), "part"), scope)];
            leave_open(Phase::DualStack, &mut one, std::slice::from_ref(&absent));
            one[0].verdict == Verdict::NotTestable
        };
        assert!(of("firewall", Family::V6, "desk", Depth::Located));
        assert!(of("desk", Family::V6, "portal", Depth::Foundation));
        assert!(!of("desk", Family::V4, "portal", Depth::Foundation));
        assert!(!of("firewall", Family::V4, "desk", Depth::Located));
        assert!(!of("firewall", Family::V6, "desk", Depth::Read));
        assert!(!of("firewall", Family::V6, "portal", Depth::Located));
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
    fn an_end_of_all_errors_explains_that_of_some_at_one_node_and_nothing_else_there() {
        let at = |name: &str, part: &str| Culprit::node(&node(name), part);
        let nodes = || vec![node("desk"), node("gateway"), node("portal")];
        let found = |other: &str, packets| {
            let wide = Scope { nodes: vec![node("gateway")], packets, ..Scope::default() };
            let narrow = Scope { nodes: nodes(), packets, ..v6_to_portal() };
            checks_of(vec![
                bad("narrow", Depth::Located, at(other, "over IPv6"), narrow),
                bad("wide", Depth::Located, at("gateway", "over both"), wide),
            ])
        };
        let errors = Some(Packets::IcmpErrors);
        assert_eq!(found("gateway", errors), [("wide".to_owned(), 1)]);
        assert_eq!(
            found("portal", errors).len(),
            2,
            "what is located elsewhere is another trouble"
        );
        for others in [None, Some(Packets::Excess), Some(Packets::Content)] {
            assert_eq!(found("gateway", others).len(), 2, "{others:?}");
        }
    }

    #[test]
    fn the_same_trouble_in_two_phases_is_one_finding() {
        let culprit = Culprit::node(&node("portal"), "listener https");
        let judgement = || vec![bad("listen", Depth::Read, culprit.clone(), v6_to_portal())];
        let phases = [(Phase::DualStack, judgement()), (Phase::Ipv6Only, judgement())];
        let found = findings(&phases, |check, phases| format!("{check} {phases:?}"));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].retest, "listen [DualStack, Ipv6Only]", "it is seen in both");
        assert_eq!(found[0].phases, [Phase::DualStack, Phase::Ipv6Only]);
        assert_eq!(found[0].id, "F-001");
    }

    #[test]
    fn the_phase_that_knows_most_has_the_words() {
        let culprit = Culprit { node: None, segment: None, part: "router fe80::bad".to_owned() };
        let seen = |words: &str, evidence: Vec<u32>| {
            let mut judgement = bad("rogue", Depth::Announced, culprit.clone(), Scope::default());
            judgement.evidence = evidence.into_iter().map(EvidenceId).collect();
            let args = &mut judgement.complaint.as_mut().unwrap().args;
            args.insert("prefixes".to_owned(), words.to_owned());
            vec![judgement]
        };
        let phases = [
            (Phase::Ipv4Only, seen("not read", vec![1])),
            (Phase::DualStack, seen("2001:db8:bad::/64", vec![2, 3])),
            (Phase::Ipv6Only, seen("the same again", vec![4, 5])),
        ];
        let found = findings(&phases, |_, _| String::new());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].args["prefixes"], "2001:db8:bad::/64");
        assert_eq!(found[0].evidence.len(), 5, "what every phase saw is kept");
    }

    /// A stranger on the link of `desk`, from whom `desk` has taken something.
    fn lure() -> [Judgement; 2] {
        let stranger = Culprit { node: None, segment: None, part: "router fe80::bad".to_owned() };
        let v6 = || Scope { family: Some(Family::V6), ..Scope::default() };
        let heard = Scope { packets: Some(Packets::RouterDiscovery), ..v6() };
        let taken = Scope { from: Some(node("desk")), ..v6() };
        [heard, taken].map(|scope| bad("rogue", Depth::Announced, stranger.clone(), scope))
    }

    fn leg(from: &str, depth: Depth, culprit: Culprit) -> Judgement {
        let nodes = [from, "router", "firewall", "portal"].map(node).to_vec();
        bad("leg", depth, culprit, Scope { from: Some(node(from)), nodes, ..v6_to_portal() })
    }

    fn checks_of(judgements: Vec<Judgement>) -> Vec<(String, usize)> {
        let found = findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        found.into_iter().map(|f| (f.check, f.symptoms.len())).collect()
    }

    #[test]
    fn a_stranger_explains_the_troubles_of_hosts_that_follow_it_and_no_others() {
        let unknown = || Culprit { node: None, segment: None, part: "somewhere".to_owned() };
        let at = |name: &str| Culprit::node(&node(name), "forwarding");
        let with = |leg: Judgement| checks_of(lure().into_iter().chain([leg]).collect());
        for its_own in [
            leg("desk", Depth::Symptom, unknown()),
            leg("desk", Depth::Located, at("desk")),
            leg("desk", Depth::Located, at("router")),
        ] {
            assert_eq!(with(its_own).len(), 1);
        }
        for another in [
            leg("printer", Depth::Symptom, unknown()),
            leg("desk", Depth::Located, at("firewall")),
            leg("desk", Depth::Symptom, at("portal")),
        ] {
            assert_eq!(with(another).len(), 2);
        }
    }

    #[test]
    fn what_is_located_at_a_node_is_explained_by_what_was_read_there_before_anything_else() {
        let route = Culprit::node(&node("router"), "route ::/0");
        let scope = Scope { nodes: vec![node("router")], ..Scope::default() };
        let read = bad("plan", Depth::Foundation, route, scope);
        let located = leg("desk", Depth::Located, Culprit::node(&node("router"), "forwarding"));
        let found = checks_of(lure().into_iter().chain([read, located]).collect());
        assert_eq!(found, [("rogue".to_owned(), 1), ("plan".to_owned(), 1)]);
    }
}

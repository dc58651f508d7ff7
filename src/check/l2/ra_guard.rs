//! `l2.ra-guard`: a switch that is said to stop forged Router Advertisements stops all of them.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{Judge, complaint},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        guard::Forgery,
        name::{NodeName, SegmentName},
        probe::{Probe, Question},
        segment::Segment,
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// Sends forged advertisements from a host on each guarded link, in every form that guards are known to overlook, and
/// listens to what leaves the link: a host that does not take a forgery says nothing of the guard. A message that must pass
/// proves that the way is open.
pub(super) struct RaGuard;

static TEXT: Text = Text {
    id: "l2.ra-guard",
    title: "RA-Guard cannot be evaded",
    section: "S2 5.2",
    use_case: UseCase::NetworkServices,
    question: "Does a switch that guards against forged Router Advertisements stop them also behind extension headers and in \
               fragments?",
    good: "The switch stops forged Router Advertisements in every form.",
    references: &[
        "RFC 6104",
        "RFC 6105",
        "RFC 6980",
        "RFC 7113 section 3",
        "RFC 9099 section 2.3.2",
    ],
    cases: &[
        Case {
            name: "unguarded",
            finding: "{segment} is said to guard against forged Router Advertisements and does not: from {host}, {passed} get \
                      through.",
            expected: "No Router Advertisement from {host} leaves the switch by another port.",
            observed: "{host} sent {tried}; {passed} were delivered.",
            remedy: "Switch RA-Guard on at every port of {segment} that no router is behind (RFC 6105).",
        },
        Case {
            name: "evaded",
            finding: "The guard of {segment} against forged Router Advertisements can be evaded: from {host}, {passed} get \
                      through.",
            expected: "No Router Advertisement from {host} leaves the switch by another port, in whatever form.",
            observed: "{host} sent {tried}; {stopped} were stopped, {passed} were delivered.",
            remedy: "Let the switch follow the whole chain of headers and drop first fragments that do not hold it (RFC 7113 \
                     section 3); where it cannot, filter at the hosts, which must take no fragmented ones (RFC 6980).",
        },
    ],
};

impl Check for RaGuard {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        guarded(stage).filter_map(|segment| Forger::on(stage, segment)).map(Forger::tries).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let found = guarded(stage).map(|segment| of_link(stage, seen, segment)).collect();
        let none =
            "no switch on which IPv6 is live is said to guard against forged Router Advertisements";
        Judge(&TEXT).or_not_applicable(found, none)
    }
}

/// The links whose switch is said to guard. Where IPv6 is off, no packet of it is sent to find out.
fn guarded(stage: &Stage) -> impl Iterator<Item = &Segment> {
    let links = stage.testbed.segments.values().filter(|segment| segment.ra_guard);
    links.filter(|segment| stage.segment_families(&segment.name).has(Family::V6))
}

/// What is sent: the forgeries after what must pass.
fn sent() -> impl Iterator<Item = Forgery> {
    std::iter::once(Forgery::Harmless).chain(Forgery::FORGED)
}

/// A host at an access port of a guarded link.
struct Forger<'s> {
    segment: &'s SegmentName,
    host: &'s NodeName,
    interface: &'s StagedInterface,
}

impl<'s> Forger<'s> {
    /// A host where there is one; no router that may announce.
    fn on(stage: &'s Stage, segment: &'s Segment) -> Option<Self> {
        let may_announce = |node: &NodeName| {
            segment.advertise.as_ref().is_some_and(|plan| plan.routers.contains(node))
        };
        let live = stage.nodes.iter().filter(|(name, _)| !may_announce(name));
        let live = live.filter_map(|(host, node)| {
            let mut mine = node.interfaces.iter().filter(|i| i.segment == segment.name);
            let interface = mine.find(|i| i.families.has(Family::V6))?;
            Some((stage.testbed.nodes[host].role.forwards(), host, interface))
        });
        let (_, host, interface) = live.min_by_key(|(forwards, host, _)| (*forwards, *host))?;
        Some(Self { segment: &segment.name, host, interface })
    }

    fn tries(self) -> Experiment {
        Experiment {
            taps: sent().map(|how| self.tap(how)).collect(),
            probes: sent().map(|how| self.probe(how)).collect(),
            ..Experiment::default()
        }
    }

    fn token(&self, how: Forgery) -> String {
        let form = match how {
            Forgery::Harmless => "harmless",
            Forgery::Plain => "plain",
            Forgery::BehindOptions => "behind-options",
            Forgery::InFragments => "in-fragments",
            Forgery::CutChain => "cut-chain",
        };
        format!("sixwalk/ra-guard/{}/{form}", self.segment)
    }

    fn tap(&self, how: Forgery) -> Tap {
        Tap {
            segment: self.segment.clone(),
            watch: Watch::Delivered { family: Family::V6, token: self.token(how) },
            label: format!("forged advertisements that get through: {how}"),
        }
    }

    fn probe(&self, how: Forgery) -> Probe {
        let interface = self.interface.name.clone();
        ask::probe(self.host, Question::Forge { interface, how, token: self.token(how) })
    }

    /// Whether something was delivered that was sent in this form. `Err` says why nothing can be said.
    fn passed(&self, seen: &Seen<'_>, how: Forgery) -> Result<([EvidenceId; 2], bool), String> {
        let (probe, answer) =
            seen.answer(&self.probe(how)).ok_or_else(|| format!("{how} was not sent"))?;
        if let Some(reason) = answer.not_asked() {
            return Err(reason.to_owned());
        }
        let (tap, reading) =
            seen.reading(&self.tap(how)).ok_or("the link was not listened to".to_owned())?;
        if !reading.is_trustworthy() {
            return Err("the tap was not alive throughout".to_owned());
        }
        Ok(([probe, tap], reading.frames > 0))
    }
}

fn of_link(stage: &Stage, seen: &Seen<'_>, segment: &Segment) -> Judgement {
    let judge = Judge(&TEXT);
    let name = segment.name.as_str();
    let Some(forger) = Forger::on(stage, segment) else {
        return judge.not_testable(name, "no host stands at an access port of it", []);
    };
    let mut evidence = Vec::new();
    let (mut passed, mut stopped) = (Vec::new(), Vec::new());
    for how in sent() {
        match forger.passed(seen, how) {
            Ok((ids, through)) => {
                evidence.extend(ids);
                if through { &mut passed } else { &mut stopped }.push(how);
            }
            Err(reason) => return judge.not_testable(name, reason, evidence),
        }
    }
    if stopped.contains(&Forgery::Harmless) {
        let reason = "what must pass did not arrive either, so nothing is known of the guard";
        return judge.not_testable(name, reason, evidence);
    }
    passed.retain(|how| *how != Forgery::Harmless);
    if passed.is_empty() {
        return judge.pass(name, evidence);
    }
    judge.fail(name, evidence, blame(stage, &forger, &passed, &stopped))
}

fn blame(stage: &Stage, forger: &Forger<'_>, passed: &[Forgery], stopped: &[Forgery]) -> Complaint {
    let case = if passed.contains(&Forgery::Plain) { "unguarded" } else { "evaded" };
    let args = [
        ("segment", forger.segment.to_string()),
        ("host", forger.host.to_string()),
        ("tried", words(&Forgery::FORGED)),
        ("passed", words(passed)),
        ("stopped", words(stopped)),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        segments: vec![forger.segment.clone()],
        packets: Some(Packets::RouterDiscovery),
        ..Scope::default()
    };
    Complaint {
        confidence: Confidence::High,
        severity: Severity::Major,
        // No stranger has made use of it yet, and what one announces is no symptom of it.
        depth: Depth::Announced,
        ..complaint(stage, case, Culprit::segment(forger.segment, "RA-Guard"), scope, args)
    }
}

fn words(forgeries: &[Forgery]) -> String {
    match forgeries {
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
        [] => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{phase::Phase, verdict::Verdict},
    };

    /// A network in which these forms are delivered, and no other.
    fn letting(through: &'static [Forgery]) -> Network {
        let network = Network::healthy(Phase::DualStack);
        let plan = network.plan.clone();
        network.bend_tap(move |tap, reading| {
            let segment = &plan.testbed.segments[&tap.segment];
            let Some(forger) = Forger::on(&plan, segment).filter(|_| segment.ra_guard) else {
                return;
            };
            if let Some(how) = sent().find(|how| forger.tap(*how) == *tap) {
                reading.frames = u64::from(through.contains(&how));
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&RaGuard);
    }

    #[test]
    fn a_guard_that_is_off_or_can_be_evaded_is_found() {
        let culprit = || "lan (RA-Guard)".to_owned();
        let open = letting(&[Forgery::Harmless, Forgery::Plain, Forgery::CutChain]);
        assert_eq!(fixture::complaints(&RaGuard, &open), [("unguarded".to_owned(), culprit())]);
        let evaded = letting(&[Forgery::Harmless, Forgery::CutChain]);
        assert_eq!(fixture::complaints(&RaGuard, &evaded), [("evaded".to_owned(), culprit())]);
    }

    #[test]
    fn a_link_that_carries_nothing_proves_nothing() {
        let judgements = letting(&[]).ask(&[&RaGuard]);
        let verdicts: Vec<_> = judgements.iter().map(|judgement| judgement.verdict).collect();
        assert_eq!(verdicts, [Verdict::NotTestable]);
    }

    #[test]
    fn what_it_sends_is_nobody_elses_finding() {
        let judgements = Network::healthy(Phase::DualStack).ask(crate::check::CHECKS);
        assert!(judgements.iter().all(|judgement| judgement.complaint.is_none()));
    }
}

//! `vpn.inner-mtu`: the largest packet that a tunnel carries, and whether senders learn of it.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        path::pmtu::{self, LostAt, Way},
        reading::{Judge, complaint},
    },
    model::{
        answer::{Answer, Sweep},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        probe::{Probe, Question},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// The check.
pub(super) struct InnerMtu;

static TEXT: Text = Text {
    id: "vpn.inner-mtu",
    title: "The largest packet through a tunnel",
    section: "S2 2.2.3, S3",
    use_case: UseCase::Policies,
    question: "Is the largest packet that passes through a tunnel as large as what carries it allows, and are senders told \
               of anything larger?",
    good: "Tunnels carry what fits outside, and senders of anything larger are told.",
    references: &["RFC 8201", "RFC 4301 section 8", "RFC 4459", "RFC 4213 section 3.2"],
    cases: &[
        Case {
            name: "small",
            finding: "From {from} to {to} only {passed} octets of {family} pass through {tunnel}; {planned} would fit. Senders are \
                      told.",
            expected: "{planned} octets: {outer_mtu} outside, less {overhead} for the tunnel, or less by plan.",
            observed: "{passed} octets passed, {lost} did not. {outside}. {other}.",
            remedy: "Give the inside of the tunnel the MTU that follows from its outside.",
        },
        Case {
            name: "black-hole",
            finding: "{family} packets over {passed} octets from {from} to {to} vanish in {tunnel}, and nobody is told.",
            expected: "{planned} octets pass, and senders of more get Packet Too Big.",
            observed: "{passed} octets passed, {lost} did not, and nothing came back. {place}. {outside}. {other}.",
            remedy: "Let the gateway send Packet Too Big and let it pass (RFC 4890 section 4.3.1); clamping the MSS of TCP hides it \
                     from TCP alone.",
        },
        Case {
            name: "split",
            finding: "{tunnel} takes {passed} octets of {family} from {from} to {to}, of which only {fits} fit outside: it travels in \
                      fragments.",
            expected: "At most {fits} octets: {outer_mtu} outside, less {overhead} for the tunnel.",
            observed: "{passed} octets passed. {outside}. {other}.",
            remedy: "Make the inside smaller: fragments cost speed, and many networks drop them (RFC 4459).",
        },
    ],
};

impl Check for InnerMtu {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let inner = inners(stage);
        let probes = inner.iter().map(|inner| inner.way.probe(0));
        vec![Experiment::of_probes(probes.chain(inner.iter().filter_map(Inner::outside)))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let ways: Vec<_> = inners(stage).into_iter().map(|inner| inner.way).collect();
        pmtu::follow_up(&ways, seen)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let inner = inners(stage);
        let found = inner.iter().map(|one| one.judge(judge, stage, seen, &inner));
        couples::judged(judge, stage, |_| true, found)
    }
}

/// A direction of what a tunnel couples, swept.
struct Inner {
    couple: Couple,
    way: Way,
}

fn inners(stage: &Stage) -> Vec<Inner> {
    let of = |couple: Couple| Inner { way: Way::of(stage, couple.path.clone()), couple };
    couples::of_stage(stage).into_iter().map(of).collect()
}

impl Inner {
    fn outer(&self) -> Option<&Path> {
        self.couple.path.carried.as_deref().map(|carriage| &carriage.way)
    }

    /// The same sweep outside, from gateway to gateway.
    fn outside(&self) -> Option<Probe> {
        let way = self.outer()?;
        let ceiling = u16::try_from(way.mtu).unwrap_or(u16::MAX);
        let question = Question::PathMtu { to: way.destination, ceiling };
        Some(ask::probe(way.nodes.first()?, question))
    }

    fn overhead(&self) -> u32 {
        self.couple.end.kind.overhead(self.couple.outer())
    }

    /// What passes outside; by plan, where it was not measured.
    fn outer_mtu(&self, seen: &Seen<'_>, evidence: &mut Vec<EvidenceId>) -> (u32, String) {
        let planned = self.outer().map_or(0, |way| way.mtu);
        let answer = self.outside().and_then(|probe| seen.answer(&probe));
        evidence.extend(answer.map(|(id, _)| id));
        match answer {
            Some((_, Answer::PathMtu { sweep: Sweep { passed: Some(passed), .. } })) => {
                let passed = u32::from(*passed);
                (passed, format!("{passed} octets of {} passed outside", self.couple.outer()))
            }
            _ => (planned, format!("Outside was not measured; by plan it carries {planned}")),
        }
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        let subject = self.couple.subject();
        let Some((mut evidence, sweep)) = self.way.read(seen) else {
            return judge.not_testable(subject, "it was not swept", []);
        };
        let Some(passed) = sweep.passed else {
            let reason = "not even the smallest packet was answered: see vpn.matrix";
            return judge.blocked(subject, reason, evidence);
        };
        let (outer_mtu, outside) = self.outer_mtu(seen, &mut evidence);
        let (passed, planned) = (u32::from(passed), u32::from(self.way.planned()));
        let fits = outer_mtu.saturating_sub(self.overhead());
        let lost_at = self.way.is_hole(&sweep).then(|| self.way.where_lost(stage, seen, &sweep));
        let (case, lost_at) = match lost_at {
            Some(lost_at) => ("black-hole", lost_at),
            None if passed < planned => ("small", None),
            None if passed > fits => ("split", None),
            None => {
                let reason = format!(
                    "{passed} octets, and {outer_mtu} outside: {} for the tunnel leave {fits}",
                    self.overhead()
                );
                return judge.absent(subject, reason, evidence);
            }
        };
        evidence.extend(lost_at.iter().flat_map(|lost_at| &lost_at.evidence));
        let args = [
            ("passed", passed.to_string()),
            ("planned", planned.to_string()),
            ("fits", fits.to_string()),
            ("outer_mtu", outer_mtu.to_string()),
            ("outside", outside),
            ("other", self.other_family(seen, all)),
        ];
        let complaint = self.complaint(stage, &sweep, case, lost_at.as_ref(), args);
        judge.fail(subject, evidence, complaint)
    }

    fn complaint(
        &self,
        stage: &Stage,
        sweep: &Sweep,
        case: &str,
        lost_at: Option<&LostAt>,
        known: [(&str, String); 6],
    ) -> Complaint {
        let couple = &self.couple;
        let told = pmtu::told(sweep).and_then(|icmp| stage.owner(icmp.sender));
        // The same words for the culprit as `path.pmtu` and `path.pmtu-blackhole` have: it is the same fault.
        let told =
            told.map(|(node, _)| Culprit::node(node, format!("MTU of {} packets", couple.inner())));
        let part = format!("{} inside of {}", couple.inner(), couple.end.tunnel);
        let culprit = match case {
            "black-hole" => lost_at.map_or_else(|| self.way.somewhere(), LostAt::culprit),
            "small" => told.unwrap_or_else(|| self.way.somewhere()),
            _ => Culprit::node(&couple.gateway, part),
        };
        let place = lost_at.map_or("Where, the taps could not tell".to_owned(), |lost_at| {
            format!("At {}: {}", lost_at.node, lost_at.how)
        });
        let args = [
            ("from", couple.from().to_string()),
            ("to", couple.path.destination.to_string()),
            ("tunnel", couple.end.tunnel.to_string()),
            ("family", couple.inner().to_string()),
            ("overhead", self.overhead().to_string()),
            ("lost", pmtu::lost(sweep)),
            ("place", place),
        ];
        let located = culprit.node.is_some();
        let mut complaint = complaint(stage, case, culprit, self.way.scope(), args);
        complaint.args.extend(known.map(|(name, value)| (name.to_owned(), value)));
        Complaint {
            severity: match case {
                "black-hole" => Severity::Critical,
                "small" => Severity::Major,
                _ => Severity::Minor,
            },
            confidence: Confidence::High,
            depth: if located && case != "split" { Depth::Located } else { Depth::Symptom },
            ..complaint
        }
    }

    /// How the same couple of the other family went.
    fn other_family(&self, seen: &Seen<'_>, all: &[Self]) -> String {
        let other: Family = self.couple.inner().other();
        let twin = all.iter().find(|twin| {
            twin.couple.inner() == other
                && twin.couple.gateway == self.couple.gateway
                && twin.couple.end.tunnel == self.couple.end.tunnel
        });
        match twin.and_then(|twin| twin.way.read(seen)) {
            Some((_, Sweep { passed: Some(passed), .. })) => {
                format!("Of {other}, {passed} octets pass")
            }
            _ => format!("{other} is not there to compare with"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{Network, complaints},
        model::{answer::IcmpError, phase::Phase, verdict::Verdict},
    };

    #[test]
    fn what_follows_from_the_outside_passes_in_silence() {
        for phase in Phase::ALL {
            let judgements = Network::tunnelled(phase).ask(&[&InnerMtu]);
            assert!(judgements.iter().all(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
            assert_eq!(judgements.len(), if phase == Phase::DualStack { 4 } else { 2 });
        }
    }

    /// Packets of one family above a size are lost on their way from the desk, and somebody says so, or nobody.
    fn lossy(above: u16, teller: Option<&'static str>) -> Network {
        Network::tunnelled(Phase::DualStack).bend(move |probe, answer| {
            let Question::PathMtu { to, .. } = probe.question else { return };
            if let Answer::PathMtu { sweep } = answer
                && probe.from.as_str() == "desk"
                && to.is_ipv6()
            {
                sweep.passed = Some(above);
                sweep.lost = Some(above + 1);
                let told = |sender: &str| IcmpError {
                    family: Family::V6,
                    kind: 2,
                    code: 0,
                    sender: sender.parse().unwrap(),
                    mtu: Some(above.into()),
                };
                sweep.too_big = teller.into_iter().map(told).collect();
            }
        })
    }

    #[test]
    fn a_black_hole_and_a_small_tunnel_are_told_apart() {
        let found = complaints(&InnerMtu, &lossy(1300, None));
        assert!(found.len() == 1 && found[0].0 == "black-hole", "{found:?}");
        let found = complaints(&InnerMtu, &lossy(1300, Some("2001:db8:1::1")));
        assert_eq!(found, [("small".to_owned(), "gateway-a (MTU of IPv6 packets)".to_owned())]);
    }

    #[test]
    fn an_outside_that_is_smaller_than_the_inside_needs_is_found() {
        let narrow = Network::tunnelled(Phase::Ipv6Only).bend(|probe, answer| {
            if let Answer::PathMtu { sweep } = answer
                && probe.from.as_str() == "gateway-a"
            {
                sweep.passed = Some(1400);
            }
        });
        let found = complaints(&InnerMtu, &narrow);
        let wanted = "gateway-a (IPv6 inside of office-to-centre)".to_owned();
        assert_eq!(found, [("split".to_owned(), wanted)]);
    }

    #[test]
    fn a_larger_outside_than_needed_is_silent() {
        let wide = Network::tunnelled(Phase::Ipv4Only).bend(|probe, answer| {
            if let Answer::PathMtu { sweep } = answer
                && probe.from.as_str().starts_with("gateway")
            {
                sweep.passed = Some(9000);
            }
        });
        assert_eq!(complaints(&InnerMtu, &wide), []);
    }
}

//! `x64.pmtu-and-fragments`: large packets pass the translator, both ways, and whoever sends too large ones learns it in the
//! other family.

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{self, Judge, Reached},
        translated::{self, Use},
    },
    model::{
        answer::{Answer, Sweep},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::NodeName,
        probe::{Probe, Question},
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct PmtuAndFragments;

/// What an IPv4 packet grows by on its way to IPv6 (RFC 7915 section 1.4).
const GROWTH: u32 = 20;
/// An echo that no link of 1500 octets carries whole.
const LARGE: u16 = 2000;

static TEXT: Text = Text {
    id: "x64.pmtu-and-fragments",
    title: "Large packets through translation",
    section: "S3, S4 NAT64",
    use_case: UseCase::InsideToOutside,
    question: "Do packets of the planned size, fragments, and whole pages pass the translator, and is whoever sends too large \
               packets told so across the families?",
    good: "Large packets pass the translator, and what is too large is reported across the families.",
    references: &["RFC 7915 sections 4 and 5", "RFC 6146 section 3.4", "RFC 8201"],
    cases: &[
        Case {
            name: "too-big",
            finding: "{gateway} does not translate the report that a packet is too big: {from} and {to} lose large packets and \
                      never learn why.",
            expected: "{expected}.",
            observed: "{observed}. On either side of {gateway} alone it works.",
            remedy: "Let the translator translate ICMP type 3 code 4 and ICMPv6 type 2 into one another (RFC 7915 sections 4.2 \
                     and 5.2), and let filters beside it pass both.",
        },
        Case {
            name: "small",
            finding: "Through {gateway} only smaller packets pass from {from} to {to} than the links of the plan carry.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Compare the MTU of the links with the plan; an IPv4 packet is 20 octets shorter than the IPv6 packet that it \
                     becomes.",
        },
        Case {
            name: "behind",
            finding: "Behind {gateway}, on the way to {to}, only smaller IPv4 packets pass than the links of the plan carry: {from} \
                      meets that through the translator.",
            expected: "{expected}.",
            observed: "{observed}. {place}.",
            remedy: "Compare the MTU of the IPv4 links behind the translator with the plan, and look for loss there.",
        },
        Case {
            name: "fragments",
            finding: "{gateway} translates no fragments between {from} and {to}.",
            expected: "{expected}.",
            observed: "{observed}. On either side of {gateway} alone it works.",
            remedy: "Let the translator take fragments, and filters beside it pass them: DNS answers and tunnels come in them.",
        },
    ],
};

/// A user and a host.
struct Pair<'s> {
    one: Use<'s>,
    /// The page of the host, where it has one, and the small question that its service answers.
    page: Option<(Probe, Probe)>,
}

impl Check for PmtuAndFragments {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let pairs = pairs(stage);
        let probes = pairs.iter().flat_map(|pair| {
            std::iter::once(pair.sweep())
                .chain(pair.large())
                .chain(pair.page.iter().flat_map(|(page, hello)| [page.clone(), hello.clone()]))
        });
        vec![Experiment::of_probes(probes.collect::<Vec<_>>())]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let mut experiments = Vec::new();
        for pair in pairs(stage) {
            let again = [pair.large(), pair.page.as_ref().map(|(page, _)| page.clone())]
                .into_iter()
                .flatten();
            let again: Vec<_> = again.collect();
            experiments.extend(reading::repeat_unanswered(seen, &again));
            let suspicious = again.iter().any(|probe| !answered(seen, probe))
                || pair.found(seen).is_some_and(|(_, sweep)| !pair.is_as_planned(sweep));
            if suspicious {
                experiments.push(Experiment::of_probes(pair.controls(stage)));
            }
        }
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let pairs = pairs(stage);
        let found = pairs.iter().flat_map(|pair| {
            let mut found =
                vec![pair.judge_size(judge, stage, seen), pair.judge_large(judge, stage, seen)];
            found.extend(pair.judge_page(judge, stage, seen));
            found.extend(pair.without_reports(judge));
            found
        });
        judge.or_not_applicable(
            found.collect(),
            "nothing is reached through translation in this phase",
        )
    }
}

/// Each user and host once, by the echo that everybody may send.
fn pairs(stage: &Stage) -> Vec<Pair<'_>> {
    let uses = translated::uses(stage);
    let page = |echo: &Use<'_>| {
        let web = [ServiceKind::Http, ServiceKind::Https];
        let services = stage.testbed.nodes[&echo.to].services.iter();
        let mut offered = services.filter(|service| web.contains(&service.kind));
        offered.find_map(|service| {
            let what = format!("{} of {}", service.name, echo.to);
            let used = uses.iter().find(|one| one.what == what && one.from() == echo.from())?;
            let page = ask::fetch(echo.from(), service, echo.way.address, &service.path);
            Some((page, used.leg.probe.clone()))
        })
    };
    let echoes = uses.iter().filter(|one| one.carried == "echo");
    echoes.map(|echo| Pair { page: page(echo), one: echo.clone() }).collect()
}

fn answered(seen: &Seen<'_>, probe: &Probe) -> bool {
    reading::consensus(seen, probe).is_none_or(|rounds| rounds.reached() == Reached::Yes)
}

/// Whether something was too large and nobody said so.
fn is_unreported(sweep: &Sweep) -> bool {
    sweep.lost.is_some() && sweep.too_big.is_empty()
}

fn sweep(from: &NodeName, to: std::net::IpAddr, ceiling: u32) -> Probe {
    let ceiling = u16::try_from(ceiling).unwrap_or(u16::MAX);
    ask::probe(from, Question::PathMtu { to, ceiling })
}

fn large(from: &NodeName, to: std::net::IpAddr) -> Probe {
    ask::probe(from, Question::Ping { to, source: None, size: LARGE, hop_limit: None })
}

impl Pair<'_> {
    fn sweep(&self) -> Probe {
        sweep(self.one.from(), self.one.way.address, self.one.way.before.mtu)
    }

    /// An echo in fragments. A program that translates keeps no state, and the checksum of ICMPv6 covers the length of the whole.
    fn large(&self) -> Option<Probe> {
        let has_state = self.one.translation.engine.is_none();
        has_state.then(|| large(self.one.from(), self.one.way.address))
    }

    /// The largest packet that the links carry: those of IPv4 carry what is 20 octets longer in IPv6.
    fn expected(&self) -> u32 {
        self.one.way.before.mtu.min(self.one.way.after.mtu + GROWTH)
    }

    /// What the search for the size came to.
    fn found<'e>(&self, seen: &Seen<'e>) -> Option<(EvidenceId, &'e Sweep)> {
        match seen.answer(&self.sweep()) {
            Some((id, Answer::PathMtu { sweep })) => Some((id, sweep)),
            _ => None,
        }
    }

    /// Whether the size is as planned, and what was larger was reported.
    fn is_as_planned(&self, sweep: &Sweep) -> bool {
        sweep.passed.map(u32::from) == Some(self.expected()) && !is_unreported(sweep)
    }

    /// That nothing is said of reports, where whatever the user may send fits the links behind the translator.
    fn without_reports(&self, judge: Judge) -> Option<Judgement> {
        let subject = format!("{}->{} reports", self.one.from(), self.one.to);
        let reason = "by plan nothing that the user may send is too large for the links behind the translator, so that no report \
                      has to be translated";
        let fits = self.expected() == self.one.way.before.mtu;
        fits.then(|| judge.not_applicable(subject, reason))
    }

    /// The same on either side of the translator alone.
    fn controls(&self, stage: &Stage) -> [Probe; 4] {
        let way = &self.one.way;
        let gateway = &self.one.translation.gateway;
        let near = stage.gateway_of(self.one.translation).unwrap_or(way.before.destination);
        [
            large(self.one.from(), near),
            large(gateway, way.after.destination),
            sweep(self.one.from(), near, way.before.mtu),
            sweep(gateway, way.after.destination, way.after.mtu),
        ]
    }

    /// Whether those that are of a kind worked, with their evidence.
    fn sides_work(&self, stage: &Stage, seen: &Seen<'_>, evidence: &mut Vec<EvidenceId>) -> bool {
        let answers: Vec<_> =
            self.controls(stage).iter().filter_map(|probe| seen.answer(probe)).collect();
        evidence.extend(answers.iter().map(|(id, _)| *id));
        answers.len() == 4
            && answers.iter().all(|(_, answer)| match answer {
                Answer::PathMtu { sweep } => sweep.passed.is_some() && !is_unreported(sweep),
                answer => answer.is_answered(),
            })
    }

    fn judge_size(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}->{} size", self.one.from(), self.one.to);
        let Some((id, sweep)) = self.found(seen) else {
            return judge.not_testable(subject, "the size was not sought", []);
        };
        let expected = self.expected();
        let Some(passed) = sweep.passed else {
            return judge.blocked(subject, "not even a small packet was answered", [id]);
        };
        if self.is_as_planned(sweep) {
            return judge.pass(subject, [id]);
        }
        let mut evidence = vec![id];
        let both = self.sides_work(stage, seen, &mut evidence);
        let [near, far] = self.sides(stage, seen);
        if near == Some(false) {
            let reason = "it is not as planned on the IPv6 side alone: see path.pmtu";
            return judge.blocked(subject, reason, evidence);
        }
        let case = if is_unreported(sweep) && both { "too-big" } else { "small" };
        let wanted = format!("Packets of {expected} octets pass, and larger ones are reported");
        let observed = format!(
            "{passed} octets passed, {} did not, and {} reports came back",
            sweep.lost.map_or_else(|| "none".to_owned(), |lost| lost.to_string()),
            sweep.too_big.len()
        );
        if far == Some(false) {
            let complaint = self.behind(stage, seen, wanted, observed);
            return judge.fail(subject, evidence, complaint);
        }
        let complaint = self.complaint(stage, case, wanted, observed);
        judge.fail(subject, evidence, complaint)
    }

    /// Whether the size is as planned on either side of the translator alone.
    fn sides(&self, stage: &Stage, seen: &Seen<'_>) -> [Option<bool>; 2] {
        let [_, _, near, far] = self.controls(stage);
        let as_planned = |probe: &Probe, mtu: u32| match seen.answer(probe)? {
            (_, Answer::PathMtu { sweep }) => {
                Some(sweep.passed.map(u32::from) == Some(mtu) && !is_unreported(sweep))
            }
            _ => None,
        };
        let way = &self.one.way;
        [as_planned(&near, way.before.mtu), as_planned(&far, way.after.mtu)]
    }

    /// The trouble is on the links behind the translator: at the one that reports it, or somewhere there.
    fn behind(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        expected: String,
        observed: String,
    ) -> Complaint {
        let [_, _, _, far] = self.controls(stage);
        let sweep = match seen.answer(&far) {
            Some((_, Answer::PathMtu { sweep })) => Some(sweep),
            _ => None,
        };
        let reporter = sweep.and_then(|sweep| stage.owner(sweep.too_big.first()?.sender));
        let gateway = &self.one.translation.gateway;
        let segments = &self.one.way.after.segments;
        let passed = sweep.and_then(|sweep| sweep.passed).unwrap_or(0);
        let alone = format!("Asked by {gateway} over IPv4, {passed} octets pass");
        let (culprit, place) = match (reporter, segments.as_slice()) {
            (Some((node, _)), _) => (
                Culprit::node(node, "MTU of IPv4"),
                format!("{alone}, and {node} reports the rest"),
            ),
            (None, [segment]) => (Culprit::segment(segment, "size of IPv4 packets"), alone),
            (None, _) => {
                let part = format!("somewhere between {gateway} and {}", self.one.host);
                (Culprit { node: None, segment: None, part }, alone)
            }
        };
        let mut complaint = self.complaint(stage, "behind", expected, observed);
        complaint.args.insert("place".to_owned(), place);
        complaint.culprit = culprit;
        complaint.scope = Scope { packets: Some(Packets::Large), ..self.one.behind_scope() };
        complaint
    }

    fn judge_large(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}->{} fragments", self.one.from(), self.one.to);
        let Some(large) = self.large() else {
            let reason = "a translator that keeps no state cannot translate an echo in fragments, whose checksum covers the \
                          length of the whole (RFC 7915)";
            return judge.not_testable(subject, reason, []);
        };
        let wanted = format!("An echo of {LARGE} octets is answered");
        self.judge_answer(
            judge,
            stage,
            seen,
            (subject, large, &self.one.leg.probe, "fragments", wanted),
        )
    }

    fn judge_page(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Option<Judgement> {
        let subject = format!("{}->{} page", self.one.from(), self.one.to);
        let wanted = format!("The page of {} comes whole", self.one.to);
        let (page, hello) = self.page.as_ref()?;
        Some(self.judge_answer(
            judge,
            stage,
            seen,
            (subject, page.clone(), hello, "too-big", wanted),
        ))
    }

    fn judge_answer(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        (subject, probe, small, case, wanted): (String, Probe, &Probe, &str, String),
    ) -> Judgement {
        let Some(rounds) = reading::consensus(seen, &probe) else {
            return judge.not_testable(subject, "it was not asked", []);
        };
        let mut evidence = rounds.evidence.clone();
        match rounds.reached() {
            Reached::Yes => return judge.pass(subject, evidence),
            Reached::Unknown(reason) => return judge.not_testable(subject, reason, evidence),
            Reached::No | Reached::Sometimes { .. } => {}
        }
        let small = seen.answer(small);
        evidence.extend(small.map(|(id, _)| id));
        if !small.is_some_and(|(_, answer)| answer.is_answered()) {
            return judge.blocked(subject, "small packets do not pass either", evidence);
        }
        if !self.sides_work(stage, seen, &mut evidence) {
            return judge.blocked(subject, "it does not pass on either side alone", evidence);
        }
        let observed = reading::describe(rounds.telling);
        judge.fail(subject, evidence, self.complaint(stage, case, wanted, observed))
    }

    fn complaint(
        &self,
        stage: &Stage,
        case: &str,
        expected: String,
        observed: String,
    ) -> Complaint {
        let gateway = &self.one.translation.gateway;
        let part = match case {
            "fragments" => "translation of fragments",
            "too-big" => "translation of Packet Too Big",
            _ => "size of what is translated",
        };
        let args = [
            ("gateway", gateway.to_string()),
            ("from", self.one.from().to_string()),
            ("to", self.one.to.to_string()),
            ("expected", expected),
            ("observed", observed),
        ];
        let scope =
            Scope { family: Some(Family::V6), packets: Some(Packets::Large), ..self.one.scope() };
        Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..reading::complaint(stage, case, Culprit::node(gateway, part), scope, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture;

    #[test]
    fn a_network_without_translation_is_silent() {
        fixture::assert_silent_when_healthy(&PmtuAndFragments);
    }
}

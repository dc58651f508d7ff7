//! `vpn.icmp-through`: ICMP errors about what goes through a tunnel come back through it, in both families.

use std::net::IpAddr;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        couples::{self, Couple},
        error_trail::Trail,
        reading::{self, Judge, REPETITIONS},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        flow::Traffic,
        name::NodeName,
        probe::{Probe, Provocation, Question},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// The check.
pub(super) struct IcmpThrough;

static TEXT: Text = Text {
    id: "vpn.icmp-through",
    title: "ICMP errors come back through tunnels",
    section: "S3",
    use_case: UseCase::Policies,
    question: "Do Destination Unreachable, Packet Too Big, Time Exceeded and (of IPv6) Parameter Problem from inside and from \
               behind a tunnel come back to who has to hear them, in both families?",
    good: "Every ICMP error about coupled traffic comes back.",
    references: &[
        "RFC 4301 sections 6 and 8",
        "RFC 4890 section 4.3.1",
        "RFC 4443 section 3.4",
        "RFC 1191",
    ],
    cases: &[Case {
        name: "lost",
        finding: "{what} of {origin} does not come back to {from} through {tunnel} over {family}: it ends at {place}.",
        expected: "{what} from {origin} arrives at {from}.",
        observed: "{rounds} packets that provoke it were sent towards {to}; echoes pass, and no {what} came. {place}: {how}. {other}.",
        remedy: "Let the selectors and the filters of both gateways take ICMP errors for what is coupled.",
    }],
};

impl Check for IcmpThrough {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let controls = couples::of_stage(stage);
        let controls =
            controls.iter().map(|couple| ask::ping(couple.from(), couple.path.destination));
        let probes = errors(stage).into_iter().map(|error| error.probe(0));
        vec![Experiment::of_probes(probes.chain(controls))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        errors(stage).iter().filter_map(|error| error.again(seen)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let errors = errors(stage);
        let found = errors.iter().map(|error| error.judge(judge, stage, seen, &errors));
        couples::judged(judge, stage, |_| true, found)
    }
}

/// An error by its kind, the same in both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// The far gateway finds nobody at the address.
    Unreachable,
    /// The packet does not fit the tunnel.
    TooBig,
    /// The hop limit is used up at the far gateway.
    TimeExceeded,
    /// The host behind the tunnel does not know an option that demands an answer. IPv4 has none that a host would answer and
    /// no router before it.
    ParameterProblem,
}

impl What {
    fn kind(self, family: Family) -> u8 {
        let [unreachable, too_big, time_exceeded, parameter_problem] = match family {
            Family::V4 => [3, 3, 11, 12],
            Family::V6 => [1, 2, 3, 4],
        };
        match self {
            Self::Unreachable => unreachable,
            Self::TooBig => too_big,
            Self::TimeExceeded => time_exceeded,
            Self::ParameterProblem => parameter_problem,
        }
    }

    fn words(self, family: Family) -> &'static str {
        match (self, family) {
            (Self::Unreachable, _) => "Destination Unreachable",
            (Self::TooBig, Family::V6) => "Packet Too Big",
            (Self::TooBig, Family::V4) => "Fragmentation Needed",
            (Self::TimeExceeded, _) => "Time Exceeded",
            (Self::ParameterProblem, _) => "Parameter Problem",
        }
    }
}

/// An error that a couple provokes.
struct Error {
    couple: Couple,
    what: What,
    /// The way of what provokes it, and where on it the error is sent.
    path: Path,
    at: usize,
    question: Question,
}

fn errors(stage: &Stage) -> Vec<Error> {
    let echo = |couple: &Couple| stage.is_allowed(couple.from(), couple.to(), &Traffic::Ping);
    let couples = couples::of_stage(stage).into_iter().filter(echo);
    couples.flat_map(|couple| of_couple(stage, &couple)).collect()
}

fn of_couple(stage: &Stage, couple: &Couple) -> Vec<Error> {
    let path = &couple.path;
    let place = |node| path.nodes.iter().position(|on| on == node);
    let (Some(near), Some(far)) = (place(&couple.gateway), place(&couple.end.peer)) else {
        return Vec::new();
    };
    let error =
        |what, path: Path, at, question| Error { couple: couple.clone(), what, path, at, question };
    let to = path.destination;
    let provoked = |how| Question::Provoke { to, how };
    let mut found = Vec::new();
    if let Some(nobody) = couple.unused(stage) {
        let towards = Path { destination: nobody, ..path.clone() };
        let question = Question::Ping { to: nobody, source: None, size: 56, hop_limit: None };
        // Where the far gateway is the last router.
        if far + 2 == path.nodes.len() {
            found.push(error(What::Unreachable, towards, far, question));
        }
    }
    let own = stage.testbed.segments[couple.own_link()].mtu;
    let inside = stage.testbed.segments[couple.inside(stage)].mtu;
    if let Ok(size) = u16::try_from(own)
        && own > inside
    {
        found.push(error(What::TooBig, path.clone(), near, provoked(Provocation::TooBig(size))));
    }
    if let Ok(hops) = u8::try_from(far) {
        let question = provoked(Provocation::HopLimit(hops));
        found.push(error(What::TimeExceeded, path.clone(), far, question));
    }
    if couple.inner() == Family::V6 {
        let question = provoked(Provocation::UnknownOption);
        let host = path.nodes.len() - 1;
        found.push(error(What::ParameterProblem, path.clone(), host, question));
    }
    found
}

impl Error {
    fn family(&self) -> Family {
        self.couple.inner()
    }

    fn words(&self) -> &'static str {
        self.what.words(self.family())
    }

    fn subject(&self) -> String {
        format!("{}, {}", self.couple.subject(), self.words())
    }

    fn probe(&self, round: u8) -> Probe {
        Probe { round, ..ask::probe(self.couple.from(), self.question.clone()) }
    }

    fn control(&self) -> Probe {
        ask::ping(self.couple.from(), self.couple.path.destination)
    }

    fn came(&self, answer: &Answer) -> bool {
        let icmp = answer.attempt().and_then(|attempt| attempt.icmp);
        icmp.is_some_and(|icmp| icmp.kind == self.what.kind(self.family()))
    }

    fn trail(&self) -> Trail<'_> {
        let kind = self.what.kind(self.family());
        Trail { path: &self.path, at: self.at, kind, label: self.subject() }
    }

    /// Once more, one after another because routers send only some errors at a time, with taps on the way back.
    fn again(&self, seen: &Seen<'_>) -> Option<Experiment> {
        let failed = |(_, answer): (_, &Answer)| !self.came(answer) && answer.not_asked().is_none();
        seen.answer(&self.probe(0)).is_some_and(failed).then(|| {
            let probes = (1..=REPETITIONS).map(|round| self.probe(round)).collect();
            Experiment {
                taps: self.trail().taps(),
                probes,
                in_order: true,
                ..Experiment::default()
            }
        })
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>, all: &[Self]) -> Judgement {
        let subject = self.subject();
        let rounds = (0..=REPETITIONS).filter_map(|round| seen.answer(&self.probe(round)));
        let rounds: Vec<_> = rounds.collect();
        let mut evidence: Vec<_> = rounds.iter().map(|(id, _)| *id).collect();
        if rounds.iter().any(|(_, answer)| self.came(answer)) {
            return judge.pass(subject, evidence);
        }
        let Some((_, first)) = rounds.first() else {
            return judge.not_testable(subject, "it was not tried", evidence);
        };
        if let Some(reason) = first.not_asked() {
            return judge.not_testable(subject, reason, evidence);
        }
        let control = seen.answer(&self.control());
        evidence.extend(control.map(|(id, _)| id));
        if !control.is_some_and(|(_, answer)| answer.is_answered()) {
            return judge.blocked(
                subject,
                "echoes do not come back either: see vpn.matrix",
                evidence,
            );
        }
        let end = self.trail().end(stage, seen);
        evidence.extend(end.iter().flat_map(|(ids, _)| ids));
        let located = end.map(|(_, located)| located);
        let how = located.as_ref().map(|at| at.how.clone());
        let place = located.as_ref().map_or(&self.couple.gateway, |at| &at.node);
        let in_both =
            located.as_ref().is_some_and(|at| self.ends_alike(stage, seen, all, &at.node));
        // The same words for the culprit as `pol.icmpv6-musts` has: it is the same fault.
        let protocol = match self.family() {
            Family::V6 if !in_both => "ICMPv6",
            _ => "ICMP",
        };
        let culprit = Culprit::node(place, format!("{protocol} that must pass"));
        let scope = if in_both { self.scope_of_both(stage, place) } else { self.scope() };
        let place = place.to_string();
        let args = [
            ("what", self.words().to_owned()),
            ("origin", self.path.nodes[self.at].to_string()),
            ("from", self.couple.from().to_string()),
            ("to", self.path.destination.to_string()),
            ("tunnel", self.couple.end.tunnel.to_string()),
            ("family", self.family().to_string()),
            ("rounds", rounds.len().to_string()),
            ("place", place),
            ("how", how.unwrap_or_else(|| "the taps could not tell where".to_owned())),
            ("other", self.other_family(seen, all)),
        ];
        let complaint = Complaint {
            severity: if self.what == What::TooBig { Severity::Critical } else { Severity::Major },
            confidence: if located.is_some() { Confidence::High } else { Confidence::Medium },
            depth: if located.is_some() { Depth::Located } else { Depth::Symptom },
            ..reading::complaint(stage, "lost", culprit, scope, args)
        };
        judge.fail(subject, evidence, complaint)
    }

    /// Whether errors of the other family end at the same node on their way out of the same end of the tunnel: what takes
    /// them all is one thing.
    fn ends_alike(&self, stage: &Stage, seen: &Seen<'_>, all: &[Self], node: &NodeName) -> bool {
        let is_twin = |twin: &&Self| self.is_of_same_end(twin) && twin.family() != self.family();
        all.iter().filter(is_twin).any(|twin| {
            let end = twin.trail().end(stage, seen);
            end.is_some_and(|(_, located)| located.node == *node)
        })
    }

    fn is_of_same_end(&self, other: &Self) -> bool {
        let (one, other) = (&self.couple, &other.couple);
        (&one.gateway, &one.end.tunnel) == (&other.gateway, &other.end.tunnel)
    }

    /// Whatever goes through the tunnel is without errors there.
    fn scope_of_both(&self, stage: &Stage, node: &NodeName) -> Scope {
        Scope {
            nodes: vec![node.clone()],
            segments: vec![self.couple.inside(stage).clone()],
            packets: Some(self.packets()),
            ..Scope::default()
        }
    }

    fn scope(&self) -> Scope {
        let path = &self.couple.path;
        Scope {
            family: Some(self.family()),
            to: Some(self.couple.to().clone()),
            from: Some(self.couple.from().clone()),
            address: Some(path.destination),
            nodes: path.nodes.clone(),
            segments: path.segments.clone(),
            carried: reading::carrier(path),
            packets: Some(self.packets()),
            ..Scope::default()
        }
    }

    fn packets(&self) -> Packets {
        if self.what == What::TooBig { Packets::TooBig } else { Packets::IcmpErrors }
    }

    fn other_family(&self, seen: &Seen<'_>, all: &[Self]) -> String {
        let other = self.family().other();
        let twin = all.iter().find(|twin| {
            twin.family() == other && twin.what == self.what && self.is_of_same_end(twin)
        });
        match twin.and_then(|twin| Some((twin, seen.answer(&twin.probe(0))?))) {
            Some((twin, (_, answer))) if twin.came(answer) => format!("Over {other} it comes"),
            Some(_) => format!("Over {other} it does not come either"),
            None if self.what == What::ParameterProblem => format!("{other} has no like of it"),
            None => format!("{other} is not planned here"),
        }
    }
}

impl Couple {
    /// An address of the subnet on the other side that nobody has.
    fn unused(&self, stage: &Stage) -> Option<IpAddr> {
        let couples = |net: &ipnet::IpNet| net.contains(&self.path.destination);
        let net = self.end.relations.iter().map(|r| r.there).find(couples)?;
        let step = |ip: IpAddr, by: u8| -> Option<IpAddr> {
            Some(match ip {
                IpAddr::V4(ip) => u32::from(ip).checked_sub(by.into())?.to_be_bytes().into(),
                IpAddr::V6(ip) => u128::from(ip).checked_sub(by.into())?.to_be_bytes().into(),
            })
        };
        // From the end on: routers and hosts are counted from the beginning.
        let mut all = (2..=50).filter_map(|by| step(net.broadcast(), by));
        all.find(|ip| net.contains(ip) && stage.testbed.owner(*ip).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            cause,
            fixture::{Network, complaints, node},
        },
        model::{
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
            verdict::Verdict,
        },
    };

    #[test]
    fn errors_that_come_back_are_silent() {
        for phase in Phase::ALL {
            let judgements = Network::tunnelled(phase).ask(&[&IcmpThrough]);
            assert!(judgements.iter().all(|j| j.verdict == Verdict::Pass), "{judgements:#?}");
            let errors = match phase {
                Phase::Ipv4Only | Phase::Partial => 2 * 3,
                Phase::DualStack => 2 * 3 + 2 * 4,
                Phase::Ipv6Only => 2 * 4,
            };
            assert_eq!(judgements.len(), errors, "{phase}");
        }
    }

    /// A gateway drops ICMP of a family and type.
    fn dropping(at: &'static str, family: Family, kind: u8) -> Network {
        Network::tunnelled(Phase::DualStack).with(move |live| {
            let filter = &mut live.nodes.get_mut(at).unwrap().filter;
            let forward = filter.chains.iter_mut().find(|chain| chain.hook == Hook::Forward);
            let matches = vec![Match::Icmp { family, types: vec![kind] }];
            let rule = Rule { label: "planted".to_owned(), matches, action: Action::Drop };
            forward.unwrap().rules.insert(0, rule);
        })
    }

    #[test]
    fn an_error_that_a_gateway_drops_is_found_in_either_family() {
        // What a host behind the gateway sends passes it as well as what comes from the other side.
        let cases =
            [(Family::V6, 3, "Time", 1), (Family::V4, 11, "Time", 1), (Family::V6, 4, "Param", 2)];
        for (family, kind, what, wanted) in cases {
            let network = dropping("gateway-a", family, kind);
            let judgements = network.ask(&[&IcmpThrough]);
            let bad: Vec<_> = judgements.iter().filter(|j| j.verdict.is_bad()).collect();
            let is_it = |j: &Judgement| {
                j.subject.contains(what) && j.subject.contains(&format!("{family} in"))
            };
            assert!(bad.len() == wanted && bad.iter().all(|j| is_it(j)), "{bad:#?}");
        }
    }

    #[test]
    fn an_end_that_takes_no_errors_of_either_family_is_one_finding() {
        let network = Network::tunnelled(Phase::DualStack).with(|live| {
            let filter = &mut live.nodes.get_mut("gateway-a").unwrap().filter;
            let forward = filter.chains.iter_mut().find(|chain| chain.hook == Hook::Forward);
            let rules = &mut forward.unwrap().rules;
            for (family, kind) in [(Family::V4, 11), (Family::V6, 3)] {
                let matches = vec![Match::Icmp { family, types: vec![kind] }];
                let label = "planted".to_owned();
                rules.insert(0, Rule { label, matches, action: Action::Drop });
            }
        });
        let judgements = network.ask(&[&IcmpThrough]);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        let parts: Vec<_> = found.iter().map(|finding| finding.culprit.part.as_str()).collect();
        assert_eq!(parts, ["ICMP that must pass"], "{found:#?}");
    }

    #[test]
    fn where_echoes_fail_too_it_is_not_about_errors() {
        let silent = dropping("gateway-a", Family::V6, 128);
        let judgements = silent.ask(&[&IcmpThrough]);
        assert!(judgements.iter().all(|j| !j.verdict.is_bad()), "{judgements:#?}");
        assert!(judgements.iter().any(|j| j.verdict == Verdict::Blocked), "{judgements:#?}");
    }

    #[test]
    fn a_rule_about_errors_of_no_use_is_silent() {
        let network = dropping("gateway-b", Family::V4, 4);
        assert_eq!(complaints(&IcmpThrough, &network), []);
        assert!(network.live.nodes.contains_key(&node("gateway-b")));
    }
}

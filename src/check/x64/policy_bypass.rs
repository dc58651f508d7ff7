//! `x64.policy-bypass`: the translator is no way around the separation of the planes.

use std::net::{IpAddr, Ipv4Addr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        reading::{self, Judge},
        translated::{self, Use},
    },
    model::{
        answer::{Answer, Outcome},
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::NodeName,
        node::Address,
        probe::Probe,
        segment::Plane,
        translation::Translation,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct PolicyBypass;

/// How many addresses of the management plane are tried by each user.
const MOST: usize = 4;

static TEXT: Text = Text {
    id: "x64.policy-bypass",
    title: "No way around policy through translation",
    section: "S1",
    use_case: UseCase::Policies,
    question: "Does the translator refuse to translate to the IPv4 addresses of the management plane, whoever asks?",
    good: "Nobody reaches the management plane through the translator.",
    references: &["RFC 6052 section 5.1", "RFC 6146 section 5.2"],
    cases: &[Case {
        name: "open",
        finding: "{gateway} translates for {from} to {host}, an address of the management plane.",
        expected: "Packets to {address} are refused.",
        observed: "{observed}.",
        remedy: "Give the translator a list of what it never translates to: a filter that knows {host} does not know {address}.",
    }],
};

/// A user and an address of the management plane.
struct Attempt<'s> {
    translation: &'s Translation,
    one: Use<'s>,
    host: Ipv4Addr,
    probe: Probe,
}

impl Check for PolicyBypass {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let attempts = attempts(stage);
        let probes = attempts.iter().flat_map(|a| [a.probe.clone(), a.one.leg.probe.clone()]);
        vec![Experiment::of_probes(probes.collect::<Vec<_>>())]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let attempts = attempts(stage);
        let found = attempts.iter().map(|attempt| attempt.judge(judge, stage, seen)).collect();
        judge.or_not_applicable(
            found,
            "nothing is translated in this phase, or there is no management plane with IPv4",
        )
    }
}

/// By each user, with the simplest thing that it may reach as the control.
fn attempts(stage: &Stage) -> Vec<Attempt<'_>> {
    let mut found = Vec::new();
    let simplest = |of_user: Vec<_>| of_user.into_iter().next();
    for one in translated::by_user(stage).into_iter().filter_map(simplest) {
        for host in management(stage, &one.translation.gateway) {
            let address = one.translation.prefix.embed(host).into();
            let probe = ask::ping(one.from(), address);
            found.push(Attempt { translation: one.translation, one: one.clone(), host, probe });
        }
    }
    found
}

/// Addresses of the management plane, those of the gateway itself first: it would take them without forwarding.
fn management(stage: &Stage, gateway: &NodeName) -> Vec<Ipv4Addr> {
    let mut found = Vec::new();
    let nodes = stage.testbed.nodes.values();
    let (own, others): (Vec<_>, Vec<_>) = nodes.partition(|node| node.name == *gateway);
    for node in own.into_iter().chain(others) {
        let on = node.interfaces.iter().filter(|i| stage.testbed.plane(i) == Plane::Management);
        let addresses = on.flat_map(|interface| &interface.addresses).map(Address::ip);
        found.extend(addresses.filter_map(|a| if let IpAddr::V4(a) = a { Some(a) } else { None }));
    }
    found.truncate(MOST);
    found
}

impl Attempt<'_> {
    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{}->{}", self.one.from(), self.host);
        let Some((id, answer)) = seen.answer(&self.probe) else {
            return judge.not_testable(subject, "it was not tried", []);
        };
        let Some(attempt) = answer.attempt().filter(|_| answer.not_asked().is_none()) else {
            return judge.not_testable(subject, reading::describe(answer), [id]);
        };
        let control = seen.answer(&self.one.leg.probe);
        let alive = control.is_some_and(|(_, answer)| answer.is_answered());
        let own = stage.gateway_of(self.translation);
        let refused = attempt
            .icmp
            .is_some_and(|icmp| (icmp.kind, icmp.code) == (1, 1) && Some(icmp.sender) == own);
        match attempt.outcome {
            _ if refused => judge.pass(subject, [id]),
            Outcome::TimedOut if alive => judge.pass(subject, [id]),
            Outcome::TimedOut => {
                let reason = "nothing came back, and nothing else was translated either";
                judge.not_testable(subject, reason, [id])
            }
            _ if attempt.icmp.is_some_and(|icmp| !self.is_translated(icmp.sender)) => {
                judge.pass(subject, [id])
            }
            _ => judge.fail(subject, [id], self.complaint(stage, answer)),
        }
    }

    /// Whether an address stands for one of IPv4: what comes from there has been translated.
    fn is_translated(&self, sender: IpAddr) -> bool {
        matches!(sender, IpAddr::V6(sender) if self.translation.prefix.extract(sender).is_some())
    }

    fn complaint(&self, stage: &Stage, answer: &Answer) -> Complaint {
        let gateway = &self.translation.gateway;
        let address = self.translation.prefix.embed(self.host);
        let args = [
            ("gateway", gateway.to_string()),
            ("from", self.one.from().to_string()),
            ("host", self.host.to_string()),
            ("address", address.to_string()),
            ("observed", reading::describe(answer)),
        ];
        let scope =
            Scope { family: Some(Family::V6), address: Some(address.into()), ..Scope::default() };
        let culprit = Culprit::node(gateway, "what the translator refuses");
        Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..reading::complaint(stage, "open", culprit, scope, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture;

    #[test]
    fn a_network_without_translation_is_silent() {
        fixture::assert_silent_when_healthy(&PolicyBypass);
    }
}

//! `svc.snmp-v6`: management agents answer over every planned family, and their table of addresses has room for both.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        legs::{self, Named},
        mgmt::reach_both,
        reaching,
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        finding::{Complaint, Confidence, Culprit, Depth, Severity},
        service::ServiceKind,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Snmp;

static TEXT: Text = Text {
    id: "svc.snmp-v6",
    title: "Management agents over both families",
    section: "S2 2.2.4",
    use_case: UseCase::NetworkServices,
    question: "Does the management agent of every node answer over every planned family, and does it know the address that \
               it was asked at?",
    good: "Management agents answer over every planned family and know their addresses of both.",
    references: &["RFC 4293", "RFC 3416", "RFC 7381 section 3.3"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} gets no answer from {what} over {family}.",
            expected: "An answer of the agent from {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the agent listen on the family (for Net-SNMP `agentaddress udp6:161`), enter the address of the \
                     manager in its access list, and open the port on the way.",
        },
        Case {
            name: "flaky",
            finding: "{from} gets an answer from {what} over {family} only some of the time.",
            expected: "An answer of the agent from {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a limit of requests at the agent.",
        },
        Case {
            name: "old-table",
            finding: "The agent {what} answers over {family} and does not know that it has {address}.",
            expected: "A row for {address} in the ipAddressTable of {what}.",
            observed: "The agent says that there is no such row.",
            remedy: "Update the agent to one with the IP-MIB of RFC 4293. Until then, management sees none of its IPv6 \
                     addresses: no inventory, no alarm if one is missing.",
        },
    ],
};

impl Check for Snmp {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        legs::ask(&subjects(stage))
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        legs::follow_up(stage, seen, &subjects(stage))
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subjects = subjects(stage);
        let mut found = legs::judge(judge, stage, seen, &subjects);
        found.extend(subjects.iter().filter_map(|named| table(judge, stage, seen, named)));
        judge.or_not_applicable(found, "nobody is to ask a management agent in this phase")
    }
}

/// Those on the data plane by flow, those on the management plane from its stations.
fn subjects(stage: &Stage) -> Vec<Named> {
    let mut all = reaching::by_flows(stage, ServiceKind::Snmp);
    all.extend(reach_both::to_kind(stage, ServiceKind::Snmp));
    legs::sample(all, legs::SAMPLE)
}

/// Whether the agent knows its own address; `None` where it did not answer.
fn table(judge: Judge, stage: &Stage, seen: &Seen<'_>, named: &Named) -> Option<Judgement> {
    let (evidence, answer) = seen.answer(&named.leg.probe)?;
    let Answer::Managed { knows_address: Some(knows), .. } = answer else { return None };
    let subject = format!("{} in its table", named.subject);
    if *knows {
        return Some(judge.pass(subject, [evidence]));
    }
    let node = named.leg.path.nodes.last()?;
    let family = named.leg.family();
    let culprit = Culprit::node(node, format!("address table of {}", named.what));
    let args = [
        ("what", named.what.clone()),
        ("family", family.to_string()),
        ("address", named.leg.path.destination.to_string()),
    ];
    let complaint = Complaint {
        severity: Severity::Major,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(stage, "old-table", culprit, named.leg.scope(), args)
    };
    Some(judge.fail(subject, [evidence], complaint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{family::Family, phase::Phase},
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&Snmp);
    }

    #[test]
    fn an_agent_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("firewall", "snmp", Family::V6);
        let found = fixture::complaints(&Snmp, &network);
        assert_eq!(found, [("unreachable".to_owned(), "firewall (udp/161 over IPv6)".to_owned())]);
    }

    #[test]
    fn an_agent_whose_table_has_no_room_for_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            if let Answer::Managed { knows_address: Some(knows), .. } = answer {
                *knows = probe.question.destination().is_some_and(|to| to.is_ipv4());
            }
        });
        let found = fixture::complaints(&Snmp, &network);
        let culprit = "firewall (address table of snmp of firewall)";
        assert_eq!(found, [("old-table".to_owned(), culprit.to_owned())]);
    }
}

//! `svc.ntp-v6`: nodes take the time from their server over every planned family.

use super::{
    Case, Check, Text, UseCase,
    legs::{self, Named},
    reading::Judge,
};
use crate::{
    model::{
        evidence::Seen, experiment::Experiment, family::Family, finding::Severity, node::Node,
        service::ServiceKind, verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Ntp;

static TEXT: Text = Text {
    id: "svc.ntp-v6",
    title: "Time over both families",
    section: "S2 2.2.1",
    use_case: UseCase::NetworkServices,
    question: "Does the time server of a node answer it over every family that both have?",
    good: "Every node gets the time over every planned family.",
    references: &["RFC 5905"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} gets no time from {what} over {family}.",
            expected: "An NTP reply from {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the server listen on the family, allow the client in its restrictions, and open the port on the \
                     way.",
        },
        Case {
            name: "flaky",
            finding: "{from} gets the time from {what} over {family} only some of the time.",
            expected: "An NTP reply from {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a rate limit of the server.",
        },
    ],
};

impl Check for Ntp {
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
        let found = legs::judge(judge, stage, seen, &subjects(stage));
        judge.or_not_applicable(found, "no node takes the time from a server in this phase")
    }
}

fn subjects(stage: &Stage) -> Vec<Named> {
    let all = stage.testbed.nodes.values().flat_map(|node| of_node(stage, node)).collect();
    legs::sample(all, legs::SAMPLE)
}

fn of_node(stage: &Stage, node: &Node) -> Vec<Named> {
    let Some(server) = node.time_from.as_ref().and_then(|name| stage.testbed.nodes.get(name))
    else {
        return Vec::new();
    };
    let mut legs = Vec::new();
    for service in server.services.iter().filter(|s| s.kind == ServiceKind::Ntp) {
        for family in Family::ALL.into_iter().filter(|f| stage.listens(server, service, *f)) {
            for address in stage.service_addresses(server, service, family) {
                let Ok(path) = stage.path(&node.name, address) else { continue };
                legs.extend(Named::to_service(stage, path, server, service, Severity::Major));
            }
        }
    }
    legs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::phase::Phase,
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&Ntp);
    }

    #[test]
    fn a_time_server_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "ntp", Family::V6);
        let found = fixture::complaints(&Ntp, &network);
        assert_eq!(found, [("unreachable".to_owned(), "ns (udp/123 over IPv6)".to_owned())]);
    }
}

//! `svc.ntp-v6`: nodes take the time from their server over every planned family.

use crate::{
    check::{Case, Text, UseCase, legs, legs::Named, reaching::Reaching},
    model::{family::Family, finding::Severity, node::Node, service::ServiceKind},
    stage::Stage,
};

/// The check.
pub(super) static NTP: Reaching = Reaching {
    text: &TEXT,
    subjects,
    without: "no node takes the time from a server in this phase",
};

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

fn subjects(stage: &Stage) -> Vec<Named> {
    let all = stage.testbed.nodes.values().flat_map(|node| of_node(stage, node));
    legs::sample(all.collect(), legs::SAMPLE)
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
        fixture::assert_silent_when_healthy(&NTP);
    }

    #[test]
    fn who_is_not_to_reach_its_server_is_not_blamed() {
        fixture::assert_closed(&NTP, "lan->ns time");
    }

    #[test]
    fn a_time_server_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "ntp", Family::V6);
        let found = fixture::complaints(&NTP, &network);
        assert_eq!(found, [("unreachable".to_owned(), "ns (udp/123 over IPv6)".to_owned())]);
    }
}

//! `svc.backend-flows`: servers reach the servers that they work with over every planned family.

use crate::{
    check::{
        Case, Text, UseCase,
        legs::{self, Named},
        reaching::Reaching,
    },
    model::{
        finding::Severity,
        node::{Node, Role},
        service::{Service, ServiceKind},
    },
    stage::Stage,
};

/// The check.
pub(super) static BACKEND_FLOWS: Reaching = Reaching {
    text: &TEXT,
    subjects,
    without: "no flow leads from a server to another in this phase",
};

static TEXT: Text = Text {
    id: "svc.backend-flows",
    title: "Servers work together over both families",
    section: "S2 3.1, 2.2.3",
    use_case: UseCase::NetworkServices,
    question: "Does every server reach the services of other servers that the flows name, over every family that both have?",
    good: "Servers reach each other over every planned family.",
    references: &["RFC 7381 section 2.4", "RFC 6724"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} does not reach {what} over {family}.",
            expected: "{what} answers {from} at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Write names and not addresses into the configuration of the one that asks, let the other listen on the \
                     family, and open the port on the way. Users notice nothing while the other family works, and nobody is \
                     served once it is switched off.",
        },
        Case {
            name: "flaky",
            finding: "{from} reaches {what} over {family} only some of the time.",
            expected: "{what} answers {from} at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a limit of connections.",
        },
    ],
};

fn subjects(stage: &Stage) -> Vec<Named> {
    legs::of_exchanges_with(stage, Severity::Major, is_of_backends)
}

/// From server to server; what every node asks of the infrastructure has checks of its own.
fn is_of_backends(from: &Node, to: &Node, service: &Service) -> bool {
    let infrastructure = matches!(
        service.kind,
        ServiceKind::Dns
            | ServiceKind::Resolver
            | ServiceKind::Ntp
            | ServiceKind::Ldap
            | ServiceKind::Snmp
            | ServiceKind::Radius
            | ServiceKind::Smtp
    );
    (from.role, to.role) == (Role::Server, Role::Server) && !infrastructure
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{family::Family, phase::Phase},
    };

    /// The name server of the fixture is a server among others, and asks the portal for pages.
    fn network(phase: Phase) -> Network {
        let mut testbed = (*fixture::testbed()).clone();
        testbed.nodes.get_mut("ns").unwrap().role = Role::Server;
        let mut flow =
            testbed.flows.iter().find(|flow| flow.name == "lan->portal").unwrap().clone();
        flow.name = "ns->portal".to_owned();
        flow.from = crate::model::flow::End::Node(fixture::node("ns"));
        testbed.flows.push(flow);
        Network::of(Stage::new(&Arc::new(testbed), phase))
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&BACKEND_FLOWS);
        for phase in Phase::ALL {
            assert_eq!(fixture::complaints(&BACKEND_FLOWS, &network(phase)), []);
        }
    }

    #[test]
    fn a_back_end_that_is_deaf_on_ipv6_is_found() {
        let deaf = network(Phase::DualStack).deafen("portal", "https", Family::V6);
        let found = fixture::complaints(&BACKEND_FLOWS, &deaf);
        assert_eq!(found, [("unreachable".to_owned(), "portal (tcp/443 over IPv6)".to_owned())]);
    }
}

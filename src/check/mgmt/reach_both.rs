//! `mgmt.reach-both`: management interfaces answer the management station over every planned family.

use crate::{
    check::{
        Case, Text, UseCase,
        legs::{self, Named},
        reaching::Reaching,
    },
    model::{
        family::Family,
        finding::Severity,
        node::{Node, Role},
        segment::Plane,
        service::{Service, ServiceKind},
    },
    stage::Stage,
};

/// The check.
pub(in crate::check) static MGMT_REACH: Reaching = Reaching {
    text: &TEXT,
    subjects,
    without: "no management station or no management interface is planned",
};

static TEXT: Text = Text {
    id: "mgmt.reach-both",
    title: "Management interfaces",
    section: "S2 2.2.4",
    use_case: UseCase::Management,
    question: "Does the management interface of every node answer the management station over every family of the phase?",
    good: "Every node can be managed over every planned family.",
    references: &["RFC 8504 section 15"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} cannot manage {what} over {family}.",
            expected: "{what} answers at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Give the management plane of the node the address, route, access list and listener of the family.",
        },
        Case {
            name: "flaky",
            finding: "{from} reaches {what} over {family} only some of the time.",
            expected: "{what} answers at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the management network.",
        },
    ],
};

fn subjects(stage: &Stage) -> Vec<Named> {
    legs::sample(managed(stage, |_| true), legs::SAMPLE)
}

/// From each station, to each service of a kind that a node offers on the management plane.
pub(in crate::check) fn to_kind(stage: &Stage, kind: ServiceKind) -> Vec<Named> {
    managed(stage, |service| service.kind == kind)
}

fn managed(stage: &Stage, wanted: impl Fn(&Service) -> bool) -> Vec<Named> {
    let nodes = stage.testbed.nodes.values();
    let stations: Vec<_> = nodes.filter(|node| node.role == Role::ManagementStation).collect();
    let nodes = stage.testbed.nodes.values();
    nodes.flat_map(|node| of_node(stage, &stations, node, &wanted)).collect()
}

/// From each station, to each service that a node offers on the management plane.
fn of_node(
    stage: &Stage,
    stations: &[&Node],
    node: &Node,
    wanted: impl Fn(&Service) -> bool,
) -> Vec<Named> {
    let mut legs = Vec::new();
    for service in node.services.iter().filter(|service| wanted(service)) {
        for family in Family::ALL.into_iter().filter(|f| stage.listens(node, service, *f)) {
            let managed = stage.addresses(&node.name, Plane::Management, family);
            let offered = stage.service_addresses(node, service, family);
            for address in offered.into_iter().filter(|address| managed.contains(address)) {
                for station in stations.iter().filter(|station| station.name != node.name) {
                    let Ok(path) = stage.path(&station.name, address) else { continue };
                    legs.extend(Named::to_service(stage, path, node, service, Severity::Major));
                }
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
        fixture::assert_silent_when_healthy(&MGMT_REACH);
    }

    #[test]
    fn a_management_interface_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::Ipv6Only).deafen("firewall", "ssh", Family::V6);
        let found = fixture::complaints(&MGMT_REACH, &network);
        assert_eq!(found, [("unreachable".to_owned(), "firewall (tcp/22 over IPv6)".to_owned())]);
    }
}

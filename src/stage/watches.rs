//! Watches: which agents the status pages of a phase are about.

use super::Stage;
use crate::model::{
    family::Family,
    monitor::{Agent, Watch},
    name::NodeName,
    node::Node,
    service::{Service, ServiceKind},
};

/// Fills in whom status pages ask.
pub(super) fn derive(stage: &mut Stage) {
    let testbed = std::sync::Arc::clone(&stage.testbed);
    for node in testbed.nodes.values() {
        let services = node.services.iter().filter(|service| !service.polls.is_empty());
        let watches = services.map(|service| Watch {
            service: service.name.clone(),
            agents: agents(stage, node, service),
        });
        let watches = watches.collect();
        stage.nodes.get_mut(&node.name).expect("a node of the testbed").watches = watches;
    }
}

/// Every agent at every address to which there is a way.
fn agents(stage: &Stage, monitor: &Node, service: &Service) -> Vec<Agent> {
    let polled = service.polls.iter().filter_map(|name| stage.testbed.nodes.get(name));
    polled.flat_map(|node| of_node(stage, &monitor.name, node)).collect()
}

fn of_node(stage: &Stage, monitor: &NodeName, node: &Node) -> Vec<Agent> {
    let is_agent = |service: &&Service| service.kind == ServiceKind::Snmp;
    let mut found = Vec::new();
    for service in node.services.iter().filter(is_agent) {
        let sockets = Family::ALL.into_iter().flat_map(|f| stage.service_sockets(node, service, f));
        let near = sockets.filter(|at| stage.path(monitor, at.ip()).is_ok());
        found.extend(near.map(|at| Agent { node: node.name.clone(), at }));
    }
    found
}

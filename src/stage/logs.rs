//! Logs: to which socket each node sends what its web services write down.

use std::net::SocketAddr;

use super::Stage;
use crate::model::{
    family::Family,
    node::Node,
    service::{Service, ServiceKind},
};

/// Fills in the sinks of nodes with a web service of their own: a front writes nothing down.
pub(super) fn derive(stage: &mut Stage) {
    let testbed = std::sync::Arc::clone(&stage.testbed);
    for node in testbed.nodes.values().filter(|node| node.services.iter().any(Service::is_site)) {
        let sinks = sinks(stage, node);
        stage.nodes.get_mut(&node.name).expect("a node of the testbed").log_sinks = sinks;
    }
}

/// The live sockets of the sink to which there is a way.
fn sinks(stage: &Stage, node: &Node) -> Vec<SocketAddr> {
    let sink = node.logs_to.as_ref().and_then(|name| stage.testbed.nodes.get(name));
    let Some(sink) = sink else { return Vec::new() };
    let mut sinks = Vec::new();
    for service in sink.services.iter().filter(|service| service.kind == ServiceKind::Syslog) {
        for family in
            [Family::V6, Family::V4].into_iter().filter(|f| stage.listens(sink, service, *f))
        {
            let addresses = stage.service_addresses(sink, service, family).into_iter();
            let near = addresses.filter(|address| stage.path(&node.name, *address).is_ok());
            sinks.extend(near.map(|address| SocketAddr::new(address, service.port)));
        }
    }
    sinks
}

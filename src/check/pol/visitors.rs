//! Visitors of a service: who can come to it over the network, whatever the service then says.

use std::net::IpAddr;

use crate::{
    model::{family::Family, flow::Traffic, name::NodeName, node::Node, service::Service},
    stage::{Path, Stage},
};

/// A service under one of its addresses, and everybody who comes to it there.
pub(super) struct Reception<'s> {
    /// The node.
    pub(super) node: &'s Node,
    /// The service.
    pub(super) service: &'s Service,
    /// The address.
    pub(super) address: IpAddr,
    /// The ways of the visitors: hosts before routers, in the order of their names.
    pub(super) ways: Vec<Path>,
}

/// The first address in every family of every service that is wanted, listens, and can be told whom to let in.
pub(super) fn receptions(stage: &Stage, wanted: impl Fn(&Service) -> bool) -> Vec<Reception<'_>> {
    let mut found = Vec::new();
    for node in stage.testbed.nodes.values() {
        for service in node.services.iter().filter(|s| s.keeps_list() && wanted(s)) {
            for family in Family::ALL.into_iter().filter(|f| stage.listens(node, service, *f)) {
                let first = stage.service_addresses(node, service, family).into_iter().next();
                let Some(address) = first else { continue };
                let ways = ways(stage, node, service, address);
                found.push(Reception { node, service, address, ways });
            }
        }
    }
    found
}

impl Reception<'_> {
    /// Whether the access list of the service lets in who comes by a way; without a list it lets in everybody.
    pub(super) fn admits(&self, way: &Path) -> bool {
        self.service.lets_in(way.source)
    }
}

fn ways(stage: &Stage, node: &Node, service: &Service, to: IpAddr) -> Vec<Path> {
    let others = stage.testbed.nodes.values().filter(|other| other.name != node.name);
    let mut others: Vec<_> = others.collect();
    others.sort_by_key(|other| other.role.forwards());
    others.iter().filter_map(|from| way(stage, &from.name, node, service, to)).collect()
}

/// The way of a visitor, where no filter is to stop it.
fn way(stage: &Stage, from: &NodeName, node: &Node, service: &Service, to: IpAddr) -> Option<Path> {
    let path = stage.path(from, to).ok()?;
    let filters = path.transit().iter().any(|name| stage.testbed.nodes[name].role.filters());
    let port = service.ports().next()?;
    let traffic = Traffic::Port { word: port.to_string(), port };
    (!filters || stage.is_allowed(from, &node.name, &traffic)).then_some(path)
}

/// Who visits by a way.
pub(super) fn visitor(way: &Path) -> &NodeName {
    way.nodes.first().expect("a path has ends")
}

//! Fronts: which sites live behind them, and under which addresses they stand for a site.

use std::net::{IpAddr, SocketAddr};

use super::Stage;
use crate::model::{
    family::Family,
    front::{Front, Fronted, Fronts, Site},
    name::{DomainName, NodeName},
    node::Node,
    service::Service,
};

/// Fills in what fronts pass on, and whom sites believe.
pub(super) fn derive(stage: &mut Stage) {
    let testbed = std::sync::Arc::clone(&stage.testbed);
    for node in testbed.nodes.values() {
        for service in &node.services {
            let Some(front) = &service.front else { continue };
            let sites: Vec<_> = stage.sites_behind(node, service).collect();
            if sites.is_empty() {
                let staged = stage.nodes.get_mut(&node.name).expect("a node of the testbed");
                staged.listeners.retain(|listener| listener.service != service.name);
                continue;
            }
            if front.tells.is_some() {
                for site in &sites {
                    believe(stage, &node.name, site, service);
                }
            }
            let fronted = Fronted { sites, tells: front.tells };
            fronts(stage, &node.name).passes.push((service.name.clone(), fronted));
        }
    }
}

fn fronts<'s>(stage: &'s mut Stage, node: &NodeName) -> &'s mut Fronts {
    &mut stage.nodes.get_mut(node).expect("a node of the testbed").fronts
}

/// The site hears the front from the addresses that its ways begin with.
fn believe(stage: &mut Stage, front: &NodeName, site: &Site, service: &Service) {
    let ways = site.at.iter().filter_map(|at| stage.path(front, at.ip()).ok());
    let sources: Vec<_> = ways.map(|way| way.source).collect();
    let testbed = std::sync::Arc::clone(&stage.testbed);
    let Some(behind) = testbed.nodes[&site.node].first_of(service.kind) else { return };
    let believes = &mut fronts(stage, &site.node).believes;
    match believes.iter_mut().find(|(name, _)| *name == behind.name) {
        Some((_, known)) => known.extend(sources),
        None => believes.push((behind.name.clone(), sources)),
    }
}

impl Stage {
    /// The sites of a front that live in this phase and to which it has a way.
    pub fn sites_behind<'s>(
        &'s self,
        node: &'s Node,
        service: &'s Service,
    ) -> impl Iterator<Item = Site> + 's {
        let sites = service.front.iter().flat_map(|front: &Front| &front.sites);
        sites.filter_map(move |name| {
            let site = &self.testbed.nodes[name];
            let behind = site.first_of(service.kind)?;
            let of = |family| self.service_sockets(site, behind, family);
            let at: Vec<_> = [of(Family::V6), of(Family::V4)]
                .concat()
                .into_iter()
                .filter(|at| self.path(&node.name, at.ip()).is_ok())
                .collect();
            let site = Site { node: name.clone(), names: behind.names.clone(), at };
            (!site.at.is_empty()).then_some(site)
        })
    }

    /// The sockets of a service in a family, where it listens there.
    pub(super) fn service_sockets(
        &self,
        node: &Node,
        service: &Service,
        family: Family,
    ) -> Vec<SocketAddr> {
        if !self.listens(node, service, family) {
            return Vec::new();
        }
        let addresses = self.service_addresses(node, service, family).into_iter();
        addresses.map(|address| SocketAddr::new(address, service.port)).collect()
    }

    /// The names that a front stands for in a family, with its addresses: those of sites that do not listen there
    /// themselves.
    pub(super) fn fronted_names(
        &self,
        node: &Node,
        service: &Service,
        family: Family,
    ) -> Vec<(DomainName, IpAddr)> {
        let sites = self.sites_behind(node, service);
        let names = sites.filter(|site| site.at.iter().all(|at| Family::of(at.ip()) != family));
        let addresses = self.service_addresses(node, service, family);
        let all = names.flat_map(|site| site.names);
        all.flat_map(|name| addresses.iter().map(move |ip| (name.clone(), *ip))).collect()
    }
}

//! A node: its namespace and the ways into it that stay open.

use std::{collections::BTreeMap, io};

use crate::{
    model::{
        answer::{LinkState, NeighbourState, RouteState},
        name::NodeName,
    },
    net::{
        links,
        namespace::Namespace,
        neighbours,
        netlink::{Netlink, NetlinkError},
        routes,
        switch::{self, SwitchError, Switches},
    },
};

/// A node of the lab.
#[derive(Debug)]
pub struct Node {
    /// Its name in the testbed.
    pub name: NodeName,
    /// Its network namespace.
    pub namespace: Namespace,
    /// A netlink socket inside.
    pub netlink: Netlink,
    /// Its switches.
    pub switches: Switches,
    /// The index of each interface, `lo` included.
    pub indices: BTreeMap<String, u32>,
}

impl Node {
    /// What becomes of a namespace that this thread has just made and is in.
    pub(super) fn here(
        name: &NodeName,
        namespace: Namespace,
        interfaces: impl Iterator<Item = String>,
    ) -> io::Result<Self> {
        let mut indices: BTreeMap<_, _> = interfaces.zip(links::FIRST..).collect();
        indices.insert("lo".to_owned(), links::LOOPBACK);
        Ok(Self {
            name: name.clone(),
            namespace,
            netlink: Netlink::open_here()?,
            switches: Switches::open_here()?,
            indices,
        })
    }

    /// The index of an interface.
    pub fn index(&self, interface: &str) -> Option<u32> {
        self.indices.get(interface).copied()
    }

    /// Its links with their addresses.
    pub fn links(&self) -> Result<Vec<LinkState>, NetlinkError> {
        Ok(links::read(&self.netlink)?.into_values().collect())
    }

    /// Its routes.
    pub fn routes(&self) -> Result<Vec<RouteState>, NetlinkError> {
        routes::read(&self.netlink)
    }

    /// Its neighbour cache.
    pub fn neighbours(&self) -> Result<Vec<NeighbourState>, NetlinkError> {
        neighbours::read(&self.netlink)
    }

    /// The switches that decide about the address families, of the node and of each interface, in a fixed order.
    pub fn family_switches(&self) -> Result<Vec<(String, String)>, SwitchError> {
        let of_node = switch::OF_NODE.into_iter().map(str::to_owned);
        let of_interfaces = self.indices.keys().flat_map(|name| switch::of_interface(name));
        let mut found = Vec::new();
        for name in of_node.chain(of_interfaces) {
            if let Some(value) = self.switches.read_if_there(&name)? {
                found.push((name, value));
            }
        }
        Ok(found)
    }
}

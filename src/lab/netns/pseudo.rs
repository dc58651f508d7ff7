//! Pseudo-interfaces of automatic tunnels. Kernels without modules have none of the real ones: a cable to nowhere stands for it,
//! which packets leave as they leave a tunnel.

use std::{io, net::Ipv4Addr, sync::Arc};

use super::node::Node;
use crate::{
    model::automatic::AutomaticTunnel,
    net::{
        links::{self, End},
        namespace::Namespace,
        netlink::NetlinkError,
        switch::SwitchError,
    },
};

/// The index of the first, above those of all planned interfaces.
const FIRST: u32 = 6000;
/// The least that IPv6 asks of a link, and what automatic tunnels offer.
const MTU: u32 = 1280;

/// An interface of a node that nobody planned.
pub(super) struct Pseudo {
    node: Arc<Node>,
    index: u32,
    _nowhere: Namespace,
}

/// Why it could not be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum PseudoError {
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
}

impl Pseudo {
    /// Makes one with the address that a host gives itself. IPv6 is switched on for it, whatever the phase is.
    pub(super) fn make(
        node: &Arc<Node>,
        kind: AutomaticTunnel,
        host: Ipv4Addr,
    ) -> Result<Self, PseudoError> {
        let nowhere = Namespace::create()?;
        let name = kind.interface();
        let index = FIRST + kind as u32;
        let near = End { name, index, mac: None };
        let far = End { name: "nowhere", index: links::FIRST, mac: None };
        node.netlink.ask(&links::add_cable(near, None, far, &nowhere, MTU))?;
        let made = Self { node: Arc::clone(node), index, _nowhere: nowhere };
        node.netlink.ask(&links::take_down(index))?;
        links::as_tunnel(&node.namespace, name)?;
        node.switches.set(&format!("net.ipv6.conf.{name}.disable_ipv6"), "0")?;
        node.switches.set(&format!("net.ipv6.conf.{name}.accept_dad"), "0")?;
        node.netlink.ask(&links::bring_up(index))?;
        node.netlink.ask(&links::add_address(index, kind.address(host).into()))?;
        Ok(made)
    }
}

impl Drop for Pseudo {
    fn drop(&mut self) {
        // It goes with its namespace at the latest.
        let _ = self.node.netlink.ask(&links::remove(self.index));
    }
}

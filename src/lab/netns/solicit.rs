//! Asking routers: an interface that begins to listen late has missed what was announced when it came up.

use std::{io, net::SocketAddrV6};

use socket2::{Domain, Protocol, Socket, Type};

use super::node::Node;
use crate::{
    stage::StagedInterface,
    wire::ra::{self, ALL_ROUTERS},
};

/// Sends a Router Solicitation (RFC 4861 section 6.3.7). Fails while there is no link-local address that may be used; then
/// the kernel itself solicits as soon as there is one.
pub(super) fn solicit(node: &Node, interface: &StagedInterface) -> io::Result<()> {
    let index = node.index(interface.name.as_str()).ok_or(io::ErrorKind::NotFound)?;
    let socket =
        node.namespace.run(|| Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)))?;
    socket.set_multicast_hops_v6(u32::from(ra::HOP_LIMIT))?;
    socket.bind(&SocketAddrV6::new(interface.link_local(), 0, 0, index).into())?;
    let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, index);
    socket.send_to(&ra::solicitation(Some(interface.mac)), &to.into())?;
    Ok(())
}

//! Asking routers: an interface that begins to listen late has missed what was announced when it came up.

use std::{
    io,
    net::{Ipv6Addr, SocketAddrV6},
};

use socket2::{Domain, Protocol, Socket, Type};

use super::node::Node;
use crate::{stage::StagedInterface, wire::ra};

/// All routers of the link (RFC 4291 section 2.7.1).
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

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

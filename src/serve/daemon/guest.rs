//! Readiness of what is done for a link: asked as a host there would ask, from the node's own interface. The kernel hands
//! what is sent to a group of the link to listeners of the node itself as well.

use std::{
    fs, io,
    net::{SocketAddr, SocketAddrV6},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::{
    model::{mac::Mac, name::InterfaceName},
    net::{interface::Interface, namespace::Namespace},
    wire::{
        dhcpv6::{ALL_SERVERS, CLIENT_PORT, Kind, Message, SERVER_PORT, WANTED, duid},
        ra::{self, ALL_ROUTERS, HOP_LIMIT},
    },
};

/// Who asks DHCPv6: a locally administered address that no host of a testbed has.
const NOBODY: Mac = Mac([0x02, 0xff, 0xff, 0xff, 0xff, 0xfe]);
/// What tells the question from those of hosts.
const TRANSACTION: u32 = 0x51_c0de;

/// Whether the node answers a solicitation on a link, as a router. There may be others.
pub(super) async fn solicit(namespace: &Namespace, on: &InterfaceName) -> io::Result<bool> {
    let (socket, own) = namespace.run(|| {
        let interface = Interface::read(on.as_str())?;
        let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::ICMPV6))?;
        socket.set_multicast_if_v6(interface.index)?;
        socket.set_multicast_hops_v6(HOP_LIMIT.into())?;
        let own = interface.link_local().ok_or(io::ErrorKind::AddrNotAvailable)?;
        socket.bind(&SocketAddrV6::new(own, 0, 0, interface.index).into())?;
        let to = SocketAddrV6::new(ALL_ROUTERS, 0, 0, interface.index);
        socket.send_to(&ra::solicitation(interface.mac), &to.into())?;
        // A raw socket in the clothes of a UDP one: the runtime polls both alike and does nothing else with it.
        Ok((UdpSocket::from_std(socket.into())?, own))
    })?;
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let router = from.ip();
        if router == own && ra::decode(&buffer[..length], router, None, HOP_LIMIT).is_ok() {
            return Ok(true);
        }
    }
}

/// Whether a server answers on a link what it tells hosts beside addresses.
pub(super) async fn inform(namespace: &Namespace, on: &InterfaceName) -> io::Result<bool> {
    let (socket, index) = namespace.run(|| {
        let interface = Interface::read(on.as_str())?;
        let own = interface.link_local().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let socket = Socket::new(Domain::IPV6, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.set_only_v6(true)?;
        socket.set_reuse_address(true)?;
        socket.bind(&SocketAddrV6::new(own, CLIENT_PORT, 0, interface.index).into())?;
        socket.set_multicast_if_v6(interface.index)?;
        Ok((UdpSocket::from_std(socket.into())?, interface.index))
    })?;
    let question = Message {
        client: duid(NOBODY),
        wanted: WANTED.to_vec(),
        ..Message::new(Kind::InformationRequest, TRANSACTION)
    };
    let to = SocketAddrV6::new(ALL_SERVERS, SERVER_PORT, 0, index);
    socket.send_to(&question.encode(), SocketAddr::V6(to)).await?;
    let mut buffer = [0; 1500];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let heard = Message::decode(&buffer[..length]);
        if heard.is_ok_and(|m| m.kind == Kind::Reply && m.transaction == question.transaction) {
            return Ok(true);
        }
    }
}

/// Whether somebody on the node has a UDP port open for IPv6. What a relay sends is answered to relays, and what it
/// carries by others: neither can be asked from here.
pub(super) fn is_open(namespace: &Namespace, port: u16) -> io::Result<bool> {
    let sockets = namespace.run(|| fs::read_to_string("/proc/thread-self/net/udp6"))?;
    let is_on_port = |line: &str| {
        let local = line.split_whitespace().nth(1)?;
        let (_, number) = local.rsplit_once(':')?;
        Some(u16::from_str_radix(number, 16) == Ok(port))
    };
    Ok(sockets.lines().skip(1).filter_map(is_on_port).any(|is| is))
}

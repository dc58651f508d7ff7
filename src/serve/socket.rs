//! Sockets of services. Each family has its own: an IPv6 socket never takes IPv4. A socket can be bound to an address
//! that the node does not have yet, or that duplicate address detection still holds back, and takes up its work as soon
//! as the address is there.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::AsRawFd,
};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::Interest,
    net::{TcpListener, UdpSocket},
};

/// The largest payload of a datagram (RFC 768), in octets.
const LARGEST: usize = 65_535;
/// As many connections may wait to be accepted; the kernel's own limit (`somaxconn`) is the same.
const BACKLOG: i32 = 4096;

/// Opens a listening TCP socket in the namespace of this thread. Needs the context of a runtime.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, Type::STREAM, Protocol::TCP)?;
    // Connections of an earlier listener may still be in TIME-WAIT (RFC 9293 section 3.3.2).
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Opens a UDP socket that knows which address a datagram came to.
pub(super) fn datagrams(address: SocketAddr) -> io::Result<Datagrams> {
    let socket = datagram_socket(address)?;
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    socket.bind(&address.into())?;
    Ok(Datagrams { socket: UdpSocket::from_std(socket.into())? })
}

/// Opens a UDP socket for an address, not bound yet.
pub(super) fn datagram_socket(address: SocketAddr) -> io::Result<Socket> {
    open(address, Type::DGRAM, Protocol::UDP)
}

/// Opens a raw socket of a protocol for an address, not bound yet.
pub(super) fn raw_socket(address: IpAddr, protocol: u8) -> io::Result<Socket> {
    let protocol = Protocol::from(i32::from(protocol));
    let socket = Socket::new(
        Domain::for_address(SocketAddr::new(address, 0)),
        Type::RAW.nonblocking(),
        Some(protocol),
    )?;
    match address {
        IpAddr::V4(_) => socket.set_freebind_v4(true)?,
        IpAddr::V6(_) => socket.set_freebind_v6(true)?,
    }
    Ok(socket)
}

/// Has what is too long for the path split on its way: what a tunnel carries has been measured already.
pub(super) fn split_on_the_way(socket: &Socket, local: SocketAddr) -> io::Result<()> {
    if local.is_ipv4() {
        let never = libc::IP_PMTUDISC_DONT;
        crate::net::socket::set_number(socket, libc::SOL_IP, libc::IP_MTU_DISCOVER, never)?;
    }
    Ok(())
}

fn open(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), Some(protocol))?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    Ok(socket)
}

/// A UDP socket that answers from the address that was asked, as a node with several addresses must.
pub(super) struct Datagrams {
    socket: UdpSocket,
}

/// A datagram that came.
#[derive(Clone, Debug)]
pub(super) struct Datagram {
    pub(super) payload: Vec<u8>,
    pub(super) from: SocketAddr,
    /// The address that it came to and, for a link-local one, the interface.
    pub(super) asked: IpAddr,
    interface: u32,
}

impl Datagrams {
    pub(super) async fn receive(&self) -> io::Result<Datagram> {
        self.socket.async_io(Interest::READABLE, || self.try_receive()).await
    }

    pub(super) async fn reply(&self, to: &Datagram, payload: &[u8]) -> io::Result<()> {
        self.socket.async_io(Interest::WRITABLE, || self.try_reply(to, payload)).await
    }

    /// The buffer is made when something has come, so that an idle socket holds none.
    fn try_receive(&self) -> io::Result<Datagram> {
        let mut buffer = vec![0; LARGEST];
        let mut control = nix::cmsg_space!(libc::in6_pktinfo);
        let (length, from, asked) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let message = recvmsg::<SockaddrStorage>(
                self.socket.as_raw_fd(),
                &mut parts,
                Some(&mut control),
                MsgFlags::empty(),
            )?;
            let asked = message.cmsgs()?.find_map(|control| asked_of(&control));
            (message.bytes, message.address.and_then(address_of), asked)
        };
        let missing = |what| io::Error::new(io::ErrorKind::InvalidData, what);
        let from = from.ok_or_else(|| missing("a datagram without a sender"))?;
        let (asked, interface) = asked.ok_or_else(|| missing("a datagram without a receiver"))?;
        Ok(Datagram { payload: buffer[..length].to_vec(), from, asked, interface })
    }

    fn try_reply(&self, to: &Datagram, payload: &[u8]) -> io::Result<()> {
        let parts = [IoSlice::new(payload)];
        let target = SockaddrStorage::from(to.from);
        let fd = self.socket.as_raw_fd();
        let send = |control| {
            sendmsg(fd, &parts, &[control], MsgFlags::empty(), Some(&target))?;
            Ok(())
        };
        match to.asked {
            IpAddr::V4(address) => send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: libc::in_addr { s_addr: u32::from(address).to_be() },
                ipi_addr: libc::in_addr { s_addr: 0 },
            })),
            IpAddr::V6(address) => send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo {
                ipi6_addr: libc::in6_addr { s6_addr: address.octets() },
                ipi6_ifindex: if address.is_unicast_link_local() { to.interface } else { 0 },
            })),
        }
    }
}

/// The address that a datagram came to, and the interface.
fn asked_of(control: &ControlMessageOwned) -> Option<(IpAddr, u32)> {
    match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            let address = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
            Some((address.into(), u32::try_from(info.ipi_ifindex).unwrap_or(0)))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            Some((Ipv6Addr::from(info.ipi6_addr.s6_addr).into(), info.ipi6_ifindex))
        }
        _ => None,
    }
}

pub(super) fn address_of(storage: SockaddrStorage) -> Option<SocketAddr> {
    let v4 = storage.as_sockaddr_in().map(|address| SocketAddrV4::from(*address).into());
    v4.or_else(|| storage.as_sockaddr_in6().map(|address| SocketAddrV6::from(*address).into()))
}

//! DHCPv6 of a node (RFC 8415): one socket for all its duties, as server of some links and as relay of others.

mod server;

use std::{
    collections::BTreeMap,
    io::{self, IoSliceMut},
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    os::fd::{AsRawFd, RawFd},
};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{io::Interest, net::UdpSocket, task::JoinHandle};

use crate::{
    model::{dhcp::DhcpDuty, mac::Mac, name::InterfaceName},
    net::namespace::Namespace,
    wire::dhcpv6::{ALL_SERVERS, CLIENT_PORT, MOST_HOPS, Message, Relayed, SERVER_PORT, duid},
};

/// The DHCPv6 service of a node. Dropping it ends it.
pub struct Dhcp {
    task: JoinHandle<()>,
}

impl Drop for Dhcp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Dhcp {
    /// Begins to do duties. `mac` makes the DUID of a server.
    pub fn start(namespace: &Namespace, mac: Mac, duties: Vec<DhcpDuty>) -> io::Result<Self> {
        let agent = namespace.run(|| Agent::open(mac, duties))?;
        Ok(Self { task: tokio::spawn(agent.run()) })
    }
}

/// The interface on which hosts of a duty are, where they are on one.
fn interface(duty: &DhcpDuty) -> Option<&str> {
    match duty {
        DhcpDuty::Serve(link) => link.interface.as_ref().map(InterfaceName::as_str),
        DhcpDuty::Relay { interface, .. } => Some(interface.as_str()),
    }
}

struct Agent {
    socket: UdpSocket,
    duid: Vec<u8>,
    duties: Vec<DhcpDuty>,
    /// The interfaces that hosts are on, by index.
    interfaces: BTreeMap<u32, String>,
}

impl Agent {
    /// Opens the socket in the namespace of this thread.
    fn open(mac: Mac, duties: Vec<DhcpDuty>) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV6, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        socket.set_only_v6(true)?;
        socket.set_reuse_address(true)?;
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        let everywhere = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, SERVER_PORT, 0, 0);
        socket.bind(&everywhere.into())?;
        let mut interfaces = BTreeMap::new();
        for name in duties.iter().filter_map(interface) {
            let index = nix::net::if_::if_nametoindex(name)?;
            socket.join_multicast_v6(&ALL_SERVERS, index)?;
            interfaces.insert(index, name.to_owned());
        }
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket, duid: duid(mac), duties, interfaces })
    }

    async fn run(self) {
        loop {
            let receive = || receive(self.socket.as_raw_fd());
            let Ok((octets, from, index)) = self.socket.async_io(Interest::READABLE, receive).await
            else {
                continue;
            };
            if let Some((answer, to)) = self.answer(&octets, from, index) {
                // What cannot be sent is asked for again (RFC 8415 section 15).
                let _ = self.socket.send_to(&answer, to).await;
            }
        }
    }

    /// What is sent because of a packet, and where to.
    fn answer(
        &self,
        octets: &[u8],
        from: SocketAddrV6,
        index: u32,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        match Relayed::decode(octets).ok()? {
            Some(relayed) if relayed.forward => {
                let answer = server::relayed(&self.duties, &self.duid, &relayed)?;
                Some((answer, from.into()))
            }
            Some(relayed) => self.back(relayed),
            None => self.of_host(octets, from, index),
        }
    }

    fn of_host(
        &self,
        octets: &[u8],
        from: SocketAddrV6,
        index: u32,
    ) -> Option<(Vec<u8>, SocketAddr)> {
        let on = self.interfaces.get(&index)?;
        let duty = self.duties.iter().find(|duty| interface(duty) == Some(on))?;
        match duty {
            DhcpDuty::Serve(link) => {
                let question = Message::decode(octets).ok()?;
                let answer = server::answer(link, &self.duid, &question)?.encode();
                let to = SocketAddrV6::new(*from.ip(), from.port(), 0, index);
                Some((answer, to.into()))
            }
            DhcpDuty::Relay { interface, link, server } => {
                let relayed = Relayed {
                    forward: true,
                    hops: 0,
                    link: *link,
                    peer: *from.ip(),
                    interface: interface.as_str().into(),
                    message: octets.to_vec(),
                };
                let to = SocketAddrV6::new(*server, SERVER_PORT, 0, 0);
                Some((relayed.encode(), to.into()))
            }
        }
    }

    /// From a server to the host, which the relay finds by what it has called the interface.
    fn back(&self, relayed: Relayed) -> Option<(Vec<u8>, SocketAddr)> {
        let mut known = self.interfaces.iter();
        let (index, _) = known.find(|(_, name)| name.as_bytes() == relayed.interface)?;
        let relays =
            |duty: &DhcpDuty| matches!(duty, DhcpDuty::Relay { link, .. } if *link == relayed.link);
        if relayed.hops >= MOST_HOPS || !self.duties.iter().any(relays) {
            return None;
        }
        let to = SocketAddrV6::new(relayed.peer, CLIENT_PORT, 0, *index);
        Some((relayed.message, to.into()))
    }
}

fn receive(fd: RawFd) -> io::Result<(Vec<u8>, SocketAddrV6, u32)> {
    let mut buffer = [0; 1500];
    let mut control = nix::cmsg_space!(libc::in6_pktinfo);
    let (length, from, index) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message =
            recvmsg::<SockaddrIn6>(fd, &mut parts, Some(&mut control), MsgFlags::empty())?;
        let index = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv6PacketInfo(info) => Some(info.ipi6_ifindex),
            _ => None,
        });
        (message.bytes, message.address, index)
    };
    let from = from.map(|from| SocketAddrV6::new(from.ip(), from.port(), 0, from.scope_id()));
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    Ok((buffer[..length].to_vec(), from, index.unwrap_or_default()))
}

//! One end of a tunnel that encrypts nothing: packets in packets (RFC 4213, RFC 2473), or in frames in datagrams (RFC 7348).
//! Nothing is agreed on: an end that runs carries.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    sync::Arc,
};

use nix::sys::socket::{MsgFlags, SockaddrStorage, recv, recvfrom, send, sendto};
use socket2::Socket;
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::mpsc,
};

use super::{counters::Counters, selectors::Selectors, wireguard::Order};
use crate::{
    model::{
        family::Family,
        tunnel::{Carrier, TunnelEnd, TunnelKind},
    },
    net::socket::register,
    serve::{socket, tube::Tube},
    wire::encapsulation::Envelope,
};

/// The longest packet.
const LONGEST: usize = 65_600;

/// One end at work.
pub(super) struct End {
    pub(super) tube: Tube,
    pub(super) outside: Outside,
    pub(super) envelope: Envelope,
    pub(super) selectors: Selectors,
    pub(super) counters: Arc<Counters>,
}

/// What stands between the outer header and a packet; `None` for a kind that is not plain.
pub(super) fn envelope(end: &TunnelEnd) -> Option<Envelope> {
    match (end.kind, end.macs) {
        (TunnelKind::SixInFour, _) => Some(Envelope::Bare(Family::V6)),
        (TunnelKind::FourInSix, _) => Some(Envelope::Bare(Family::V4)),
        (TunnelKind::Vxlan, Some([own, theirs])) => {
            Some(Envelope::Vxlan { identifier: end.number, own, theirs })
        }
        (TunnelKind::Vxlan, None) | (TunnelKind::Vpn, _) => None,
    }
}

impl End {
    /// Works until its orders end.
    pub(super) async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let (mut frame, mut came) = (vec![0; LONGEST], vec![0; LONGEST]);
        loop {
            tokio::select! {
                taken = self.tube.take(&mut frame) => match taken {
                    Ok(packet) => self.leave(packet),
                    // The link has been taken away: there is nothing more to carry.
                    Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                    Err(_) => return,
                },
                // An ICMP error about what was sent before is no reason to stop.
                Ok(payload) = self.outside.receive(&mut came) => self.arrive(payload),
                order = orders.recv() => match order {
                    // It has no keys, and one way outside.
                    Some(Order::Renew | Order::Lose(_) | Order::Regain) => {}
                    None => return,
                },
            }
        }
    }

    fn leave(&self, packet: &[u8]) {
        let wrapped = self.envelope.wrap(packet).filter(|_| self.selectors.let_out(packet));
        let Some(wrapped) = wrapped else { return self.counters.refuse() };
        self.counters.sent.add(packet.len());
        // What the outside does not take is lost, as on any link.
        let _ = self.outside.send(&wrapped);
    }

    fn arrive(&self, payload: &[u8]) {
        let unwrapped = self.envelope.unwrap(payload);
        let Some((packet, family)) = unwrapped.filter(|(packet, _)| self.selectors.let_in(packet))
        else {
            return self.counters.refuse();
        };
        self.counters.received.add(packet.len());
        // What the gateway's link does not take is lost, as on any link.
        let _ = self.tube.put(packet, family);
    }
}

/// The socket of an end on its outside. Only the other end is heard.
pub(super) struct Outside {
    socket: AsyncFd<Socket>,
    remote: SocketAddr,
    /// Whether the other end sends from ports of its own choice (RFC 7348 section 5).
    any_port: bool,
    /// A raw IPv4 socket hands over the outer header too, a raw IPv6 socket does not.
    with_header: bool,
}

impl Outside {
    /// Opens it in the namespace of this thread.
    pub(super) fn open(end: &TunnelEnd) -> io::Result<Self> {
        let (local, remote) = (end.local, end.remote);
        let (socket, raw) = match end.carrier() {
            Carrier::Port(_) => (socket::datagram_socket(local)?, false),
            Carrier::Protocol(number) => (socket::raw_socket(local.ip(), number)?, true),
        };
        socket::split_on_the_way(&socket, local)?;
        socket.bind(&local.into())?;
        if raw {
            socket.connect(&remote.into())?;
        }
        let with_header = raw && matches!(local.ip(), IpAddr::V4(_));
        Ok(Self { socket: register(socket)?, remote, any_port: !raw, with_header })
    }

    fn send(&self, payload: &[u8]) -> io::Result<()> {
        let (socket, flags) = (self.socket.get_ref().as_raw_fd(), MsgFlags::MSG_DONTWAIT);
        if self.any_port {
            sendto(socket, payload, &SockaddrStorage::from(self.remote), flags)?;
        } else {
            send(socket, payload, flags)?;
        }
        Ok(())
    }

    async fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let take = |socket: &Socket| self.take(socket, buffer);
        let length = self.socket.async_io(Interest::READABLE, take).await?;
        let header = if self.with_header { usize::from(buffer[0] & 0x0f) * 4 } else { 0 };
        Ok(buffer.get(header..length).unwrap_or_default())
    }

    /// What has come, without waiting; nothing of what strangers send.
    fn take(&self, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.any_port {
            return Ok(recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?);
        }
        let (length, from) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), buffer)?;
        Ok(if from.and_then(sender) == Some(self.remote.ip()) { length } else { 0 })
    }
}

fn sender(from: SockaddrStorage) -> Option<IpAddr> {
    let v4 = || from.as_sockaddr_in().map(|from| IpAddr::V4(from.ip()));
    v4().or_else(|| from.as_sockaddr_in6().map(|from| IpAddr::V6(from.ip())))
}

//! The ways of an end of a tunnel to the other end: one for each family that may carry it, and which of them does.

use std::{io, net::SocketAddr};

use futures_util::future::select_all;
use tokio::net::UdpSocket;

use crate::{
    model::{family::Family, tunnel::TunnelEnd},
    net::{namespace::Namespace, socket},
};

/// After how many ticks without a word from the other end it is asked for one, and again.
const ASKS: u32 = 5;
/// After how many ticks the next way is taken.
const GIVES_UP: u32 = 15;
/// How often the first choice is tried while another way carries, in ticks.
const TRIES_HOME: u32 = 20;

/// Room for datagrams that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 4 << 20;

/// A socket of one family.
struct Way {
    socket: UdpSocket,
    family: Family,
    /// The traffic class of its packets now.
    class: u8,
}

/// All ways, first choice first.
pub(super) struct Ways {
    all: Vec<Way>,
    /// Which of them carries.
    current: usize,
    /// Ticks since something was sent after which nothing was heard.
    unheard: Option<u32>,
    /// Ticks on a way that is not the first choice.
    away: u32,
    /// A family that has died.
    dead: Option<Family>,
}

/// What is to be done about the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// A handshake on the way that carries.
    Handshake,
    /// A handshake on the first choice, without leaving the way that carries.
    HandshakeAtHome,
}

impl Ways {
    /// Opens a socket for each.
    pub(super) fn open(namespace: &Namespace, end: &TunnelEnd) -> io::Result<Self> {
        let way = |[local, remote]: [SocketAddr; 2]| {
            let socket = namespace.run(|| outside(local, remote))?;
            Ok(Way { socket, family: Family::of(local.ip()), class: 0 })
        };
        let all = end.outsides().map(way).collect::<io::Result<_>>()?;
        Ok(Self { all, current: 0, unheard: None, away: 0, dead: None })
    }

    /// Waits for a datagram: its length, and the way that it came.
    pub(super) async fn hear(&self, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
        loop {
            let ready =
                self.all.iter().enumerate().map(|(at, way)| {
                    Box::pin(async move { way.socket.readable().await.map(|()| at) })
                });
            let at = select_all(ready).await.0?;
            match self.all[at].socket.try_recv(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(_) if self.dead == Some(self.all[at].family) => {}
                heard => return heard.map(|length| (length, at)),
            }
        }
    }

    /// Sends on the way that carries. What the outside does not take is lost, as on any link.
    pub(super) async fn send(&self, datagram: &[u8]) {
        self.send_on(self.current, datagram).await;
    }

    /// Sends on the first choice.
    pub(super) async fn send_home(&self, datagram: &[u8]) {
        self.send_on(0, datagram).await;
    }

    async fn send_on(&self, at: usize, datagram: &[u8]) {
        let way = &self.all[at];
        if self.dead != Some(way.family) {
            let _ = way.socket.send(datagram).await;
        }
    }

    /// The class of what is sent from now on.
    pub(super) fn show_class(&mut self, class: u8) {
        let way = &mut self.all[self.current];
        let socket = socket2::SockRef::from(&way.socket);
        if class != way.class && socket::set_class(&socket, way.family, class).is_ok() {
            way.class = class;
        }
    }

    /// Something of the tunnel was sent: a word from the other end is due.
    pub(super) fn note_sent(&mut self) {
        self.unheard.get_or_insert(0);
    }

    /// The other end was heard: the way that it came carries, as it roams in WireGuard.
    pub(super) fn note_heard(&mut self, at: usize) {
        self.current = at;
        self.unheard = None;
    }

    /// Looks, once a tick, whether the other end is still heard.
    pub(super) fn look(&mut self) -> Need {
        if self.all.len() < 2 {
            return Need::Nothing;
        }
        let Some(ticks) = self.unheard.as_mut() else {
            self.away = if self.current == 0 { 0 } else { self.away + 1 };
            let home = self.away > 0 && self.away.is_multiple_of(TRIES_HOME);
            return if home { Need::HandshakeAtHome } else { Need::Nothing };
        };
        *ticks += 1;
        if *ticks >= GIVES_UP {
            self.current = (self.current + 1) % self.all.len();
            self.unheard = Some(0);
            Need::Handshake
        } else if ticks.is_multiple_of(ASKS) {
            Need::Handshake
        } else {
            Need::Nothing
        }
    }

    /// Whether a way is the first choice.
    pub(super) fn is_home(at: usize) -> bool {
        at == 0
    }

    /// A family dies.
    pub(super) fn lose(&mut self, family: Family) {
        self.dead = Some(family);
    }

    /// It is back, and the first choice is taken again.
    pub(super) fn regain(&mut self) {
        self.dead = None;
        self.current = 0;
        self.unheard = None;
    }
}

/// The socket of a way.
fn outside(local: SocketAddr, remote: SocketAddr) -> io::Result<UdpSocket> {
    let socket = crate::serve::socket::datagram_socket(local)?;
    crate::serve::socket::split_on_the_way(&socket, local)?;
    socket.set_recv_buffer_size(WAITING_ROOM)?;
    socket.bind(&local.into())?;
    // Only the peer is heard. An address that duplicate address detection still holds back cannot send yet, but can be
    // connected from.
    socket.connect(&remote.into())?;
    UdpSocket::from_std(socket.into())
}

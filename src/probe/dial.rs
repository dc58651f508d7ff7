//! A TCP connection from a node to a literal address, with all that its beginning tells.

use std::{
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use socket2::Socket;
use tokio::net::TcpStream;

use super::{Deadline, Vantage, attempt::Course, within};
use crate::{
    model::{
        answer::{Attempt, Outcome},
        service::Transport,
    },
    net::{
        endpoint,
        packet::{self, Layer, PacketSocket},
        socket::{self, Speech},
    },
    wire::{filter, packet as wire},
};

/// A connection that stands.
pub(super) struct Line {
    /// The connection.
    pub(super) stream: TcpStream,
    /// What is noted of it.
    pub(super) course: Course,
}

/// Connects, until the deadline. With `watch`, the hop limit of the answer is taken from the wire.
pub(super) async fn dial(
    at: &Vantage,
    to: SocketAddr,
    source: Option<IpAddr>,
    watch: bool,
    deadline: Deadline,
) -> Result<Line, Box<Attempt>> {
    let (mut course, begun) = begin(at, to, source, watch);
    let Begun { socket, said, ear } = begun.map_err(|error| course.unprepared(&error))?;
    course.source = socket::local(&socket);
    said.map_err(|error| course.unsent(&error))?;
    let stream = TcpStream::from_std(socket.into()).map_err(|error| course.unprepared(&error))?;
    let waited = within(deadline, stream.writable()).await;
    let local = stream.local_addr().ok();
    course.hop_limit = ear.zip(local).and_then(|(ear, local)| hop_limit(&ear, local.port()));
    match waited {
        Err(_) => Err(Box::new(course.end(Outcome::TimedOut))),
        Ok(Err(error)) => Err(Box::new(course.unprepared(&error))),
        Ok(Ok(())) => match stream.take_error() {
            Ok(None) => {
                course.answered();
                Ok(Line { stream, course })
            }
            Ok(Some(error)) | Err(error) => {
                let socket = socket2::SockRef::from(&stream);
                let queued = endpoint::next_error(&socket, &mut [0; 256]).ok().flatten();
                let icmp = queued.and_then(|queued| queued.icmp);
                Err(Box::new(course.failed(Transport::Tcp, &error, icmp)))
            }
        },
    }
}

/// A connection that has been begun within the node.
struct Begun {
    socket: Socket,
    /// What the kernel said at once.
    said: io::Result<()>,
    ear: Option<PacketSocket>,
}

fn begin(
    at: &Vantage,
    to: SocketAddr,
    source: Option<IpAddr>,
    watch: bool,
) -> (Course, io::Result<Begun>) {
    let mut course = Course::start(to);
    let begun = at.namespace.run(|| {
        let scope = at.scope(source);
        let socket = socket::open(Speech::Stream, to.ip())?;
        if let Some(source) = source {
            socket::bind(&socket, source, scope)?;
        }
        let ear = watch.then(|| listen_for(to)).transpose()?;
        course = Course::start(to);
        let said = socket::begin_connect(&socket, socket::scoped(to, scope));
        Ok(Begun { socket, said, ear })
    });
    (course, begun)
}

fn listen_for(to: SocketAddr) -> io::Result<PacketSocket> {
    packet::open(Layer::Network, &filter::segments_from(to.ip(), to.port()), 0)
}

/// The hop limit of the first segment that came to this port. The kernel hands it to packet sockets before TCP sees it,
/// so that it is there already.
fn hop_limit(ear: &Socket, port: u16) -> Option<u8> {
    let mut buffer = [0; 256];
    while let Ok(length) = packet::hear_now(ear, &mut buffer) {
        if let Some(hops) = wire::hop_limit_of_segment(&buffer[..length], port) {
            return Some(hops);
        }
    }
    None
}

impl Vantage {
    /// The scope of link-local destinations, to be asked within the node: the interface that has the source address, if that is
    /// link-local, or its one interface; 0 for unclear.
    pub(super) fn scope(&self, source: Option<IpAddr>) -> u32 {
        match (source, &self.interfaces[..]) {
            (_, [only]) => nix::net::if_::if_nametoindex(only.as_str()).unwrap_or(0),
            (Some(IpAddr::V6(source)), _) if source.is_unicast_link_local() => holder(source),
            _ => 0,
        }
    }
}

/// The index of the interface of this namespace that has a link-local address, or 0.
fn holder(address: Ipv6Addr) -> u32 {
    let addresses = nix::ifaddrs::getifaddrs().into_iter().flatten();
    let mut v6 = addresses.filter_map(|on| on.address?.as_sockaddr_in6().copied());
    v6.find(|own| own.ip() == address).map_or(0, |own| own.scope_id())
}

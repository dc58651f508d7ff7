//! Dumps over netlink by hand, for a namespace that is visited once and briefly: listening sockets, and the bridge of a
//! segment.

use std::io;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage},
};
use netlink_sys::{Socket, SocketAddr, protocols};

use crate::{
    model::{family::Family, service::Transport},
    wire::sock_diag::{self, Listening},
};

/// The listening sockets of the namespace of this thread.
pub fn listening(family: Family, transport: Transport) -> io::Result<Vec<Listening>> {
    let socket = open(protocols::NETLINK_SOCK_DIAG)?;
    socket.send(&sock_diag::request(family, transport), 0)?;
    let mut sockets = Vec::new();
    loop {
        let (buffer, _) = socket.recv_from_full()?;
        let part = sock_diag::read(&buffer);
        sockets.extend(part.sockets);
        match part.errno {
            Some(errno) => return Err(io::Error::from_raw_os_error(errno)),
            None if part.done || buffer.is_empty() => return Ok(sockets),
            None => {}
        }
    }
}

/// The index of the bridge of the namespace of this thread, if it has one.
pub fn bridge() -> io::Result<Option<u32>> {
    let socket = open(protocols::NETLINK_ROUTE)?;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(LinkMessage::default()));
    request.header.flags = NLM_F_DUMP | NLM_F_REQUEST;
    request.finalize();
    let mut octets = vec![0; request.buffer_len()];
    request.serialize(&mut octets);
    socket.send(&octets, 0)?;
    let mut found = None;
    loop {
        let (buffer, _) = socket.recv_from_full()?;
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
                    found = found.or(is_bridge(&link).then_some(link.header.index));
                }
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::Done(_) => return Ok(found),
                _ => {}
            }
            let length = usize::try_from(message.header.length).unwrap_or(rest.len());
            rest = rest.get(length.next_multiple_of(4).max(16)..).unwrap_or_default();
        }
    }
}

fn is_bridge(link: &LinkMessage) -> bool {
    link.attributes.iter().any(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => infos.contains(&LinkInfo::Kind(InfoKind::Bridge)),
        _ => false,
    })
}

fn open(protocol: isize) -> io::Result<Socket> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    Ok(socket)
}

//! The socket table as the kernel gives it: `SOCK_DIAG_BY_FAMILY` requests and their answers (linux/inet_diag.h).

use std::net::{IpAddr, SocketAddr};

use crate::model::{family::Family, service::Transport};

/// Octets of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Octets of `struct inet_diag_msg`.
const SOCKET: usize = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;
/// Attribute `INET_DIAG_SKV6ONLY`.
const V6_ONLY: u16 = 11;
/// `TCP_LISTEN` for TCP; an unconnected UDP socket counts as `TCP_CLOSE`.
const LISTEN: u32 = 1 << 10;
const CLOSE: u32 = 1 << 7;

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listening {
    /// The address and port that it is bound to.
    pub local: SocketAddr,
    /// `IPV6_V6ONLY`, of an IPv6 socket.
    pub v6_only: Option<bool>,
}

/// What a buffer of answers holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// The sockets.
    pub sockets: Vec<Listening>,
    /// Whether this was the last buffer.
    pub done: bool,
    /// The kernel's error number, above zero, where it refused.
    pub errno: Option<i32>,
}

/// A request for the listening sockets of a family and transport.
pub fn request(family: Family, transport: Transport) -> Vec<u8> {
    let states = match transport {
        Transport::Tcp => LISTEN,
        Transport::Udp => CLOSE,
    };
    let mut message = Vec::with_capacity(HEADER + 56);
    message.extend(72u32.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend([address_family(family), transport.number(), 0, 0]);
    message.extend(states.to_ne_bytes());
    message.resize(HEADER + 56, 0);
    message
}

/// Reads a buffer of answers.
pub fn read(mut buffer: &[u8]) -> Part {
    let mut part = Part::default();
    while let Some(header) = buffer.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = buffer.get(HEADER..length) else { break };
        match u16::from_ne_bytes([header[4], header[5]]) {
            SOCK_DIAG_BY_FAMILY => part.sockets.extend(read_socket(body)),
            NLMSG_DONE => part.done = true,
            NLMSG_ERROR => part.errno = read_errno(body),
            _ => {}
        }
        buffer = buffer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    part
}

fn read_errno(body: &[u8]) -> Option<i32> {
    let errno = i32::from_ne_bytes(*body.first_chunk()?);
    Some(errno.checked_neg().unwrap_or(i32::MAX))
}

fn read_socket(body: &[u8]) -> Option<Listening> {
    let socket = body.first_chunk::<SOCKET>()?;
    let port = u16::from_be_bytes([socket[4], socket[5]]);
    let remote_port = u16::from_be_bytes([socket[6], socket[7]]);
    // A UDP socket that was never bound has no port, one that is connected listens to a single peer.
    (port != 0 && remote_port == 0).then_some(())?;
    let ip: IpAddr = if socket[0] == address_family(Family::V4) {
        IpAddr::from(<[u8; 4]>::try_from(&socket[8..12]).ok()?)
    } else {
        IpAddr::from(<[u8; 16]>::try_from(&socket[8..24]).ok()?)
    };
    let v6_only = attribute(&body[SOCKET..], V6_ONLY).and_then(|value| Some(*value.first()? != 0));
    Some(Listening { local: SocketAddr::new(ip, port), v6_only: v6_only.filter(|_| ip.is_ipv6()) })
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(header) = attributes.first_chunk::<4>() {
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([header[2], header[3]]) == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    None
}

/// `AF_INET` and `AF_INET6`.
fn address_family(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_has_the_length_that_it_says() {
        assert_eq!(request(Family::V6, Transport::Tcp).len(), 72);
    }

    proptest! {
        #[test]
        fn hostile_buffers_never_panic(mut octets in prop::collection::vec(any::<u8>(), 0..300), length in 0..120u8) {
            if let Some(start) = octets.get_mut(..6) {
                start.copy_from_slice(&[length, 0, 0, 0, 20, 0]);
            }
            read(&octets);
        }
    }
}

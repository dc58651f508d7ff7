//! ICMP (RFC 792) and ICMPv6 (RFC 4443): echo messages, and the words for errors.

use super::checksum::Checksum;
use crate::model::family::Family;

/// Octets of the header of an echo message.
pub const ECHO_HEADER: usize = 8;

/// The protocol number of ICMP or ICMPv6.
pub fn protocol(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 58,
    }
}

/// The type of an echo request.
pub fn echo_request_type(family: Family) -> u8 {
    match family {
        Family::V4 => 8,
        Family::V6 => 128,
    }
}

/// The type of an echo reply.
pub fn echo_reply_type(family: Family) -> u8 {
    match family {
        Family::V4 => 0,
        Family::V6 => 129,
    }
}

/// The type of a Time Exceeded.
pub fn time_exceeded_type(family: Family) -> u8 {
    match family {
        Family::V4 => 11,
        Family::V6 => 3,
    }
}

/// What tells one echo from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EchoId {
    /// The identifier: one per probe.
    pub identifier: u16,
    /// The sequence number: one per packet of the probe.
    pub sequence: u16,
}

/// An echo request with `size` octets of payload. The checksum of ICMPv6 covers addresses that only the kernel knows;
/// it fills it in (RFC 3542 section 3.1), and here it stays zero.
pub fn echo_request(family: Family, id: EchoId, size: usize) -> Vec<u8> {
    let payload: Vec<_> = (0..size).map(|at| b'a' + u8::try_from(at % 26).unwrap_or(0)).collect();
    echo_request_with(family, id, &payload)
}

/// The same with a payload.
pub fn echo_request_with(family: Family, id: EchoId, payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(ECHO_HEADER + payload.len());
    message.extend([echo_request_type(family), 0, 0, 0]);
    message.extend(id.identifier.to_be_bytes());
    message.extend(id.sequence.to_be_bytes());
    message.extend(payload);
    if family == Family::V4 {
        let sum = Checksum::default().plus(&message).finish();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    message
}

/// Reads an echo reply, without an IP header before it.
pub fn read_echo_reply(family: Family, message: &[u8]) -> Option<EchoId> {
    read_echo(echo_reply_type(family), message)
}

/// Reads the echo request that an ICMP error quotes, or as much of it as it quotes.
pub fn read_echo_request(family: Family, message: &[u8]) -> Option<EchoId> {
    read_echo(echo_request_type(family), message)
}

fn read_echo(kind: u8, message: &[u8]) -> Option<EchoId> {
    let [k, 0, _, _, i0, i1, s0, s1] = *message.first_chunk::<ECHO_HEADER>()? else { return None };
    (k == kind).then_some(EchoId {
        identifier: u16::from_be_bytes([i0, i1]),
        sequence: u16::from_be_bytes([s0, s1]),
    })
}

/// What follows the IPv4 header; raw IPv4 sockets hand it over with the packet, raw IPv6 sockets do not.
pub fn after_ipv4_header(packet: &[u8]) -> Option<&[u8]> {
    let first = packet.first()?;
    (first >> 4 == 4).then_some(())?;
    packet.get(usize::from(first & 0xf) * 4..)
}

/// Whether an error says that a packet was too big for a link: it then names the MTU.
pub fn is_too_big(family: Family, kind: u8, code: u8) -> bool {
    match family {
        Family::V4 => (kind, code) == (3, 4),
        Family::V6 => kind == 2,
    }
}

/// Whether an error says that a port is closed.
pub fn is_port_unreachable(family: Family, kind: u8, code: u8) -> bool {
    match family {
        Family::V4 => (kind, code) == (3, 3),
        Family::V6 => (kind, code) == (1, 4),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read_back_from_a_quote() {
        let id = EchoId { identifier: 0x1234, sequence: 7 };
        for family in Family::ALL {
            let message = echo_request(family, id, 3);
            assert_eq!(message.len(), 11);
            assert_eq!(read_echo_request(family, &message), Some(id));
            assert_eq!(read_echo_reply(family, &message), None);
        }
        assert_eq!(Checksum::default().plus(&echo_request(Family::V4, id, 3)).finish(), 0);
    }

    proptest! {
        #[test]
        fn hostile_octets_never_panic(octets: Vec<u8>) {
            for family in Family::ALL {
                let _ = read_echo_reply(family, &octets);
                let _ = read_echo_request(family, &octets);
            }
            let _ = after_ipv4_header(&octets);
        }
    }
}

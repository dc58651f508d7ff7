//! `Question::Encapsulated`: a packet in a packet, as tunnels without keys make them. `Answered` says that it has left the
//! node; whether it passes is for a tap to tell.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Vantage, call::Call, not_asked};
use crate::{
    model::{
        answer::{Answer, Attempt},
        family::Family,
        probe::Capsule,
    },
    net::socket::Speech,
    wire::packet,
};

/// The ends of the packet inside: of prefixes for documentation (RFC 5737, RFC 3849), so that whoever unpacks it has
/// nowhere to send it.
const INNER_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(203, 0, 113, 250), Ipv4Addr::new(203, 0, 113, 251)];
const INNER_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 0xa),
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 0xb),
];
/// The port of the packet inside: discard (RFC 863).
const DISCARD: u16 = 9;
/// The header of GRE without options, before a packet of IPv6 (RFC 2784 section 2, RFC 7676).
const GRE_OF_IPV6: [u8; 4] = [0, 0, 0x86, 0xdd];

pub(super) async fn ask(at: &Vantage, to: IpAddr, how: Capsule, token: &str) -> Answer {
    if !Capsule::within(Family::of(to)).contains(&how) {
        return not_asked(format!("{how} is not carried by {}", Family::of(to)));
    }
    let Some(payload) = payload(how, token) else {
        return not_asked("the token is too long for one packet");
    };
    Answer::Echo { attempt: send(at, to, how, &payload).await.unwrap_or_else(|attempt| *attempt) }
}

/// What the packet outside carries.
fn payload(how: Capsule, token: &str) -> Option<Vec<u8>> {
    let [source, destination] = match how {
        Capsule::Ipv4 => INNER_V4.map(IpAddr::from),
        Capsule::Ipv6 | Capsule::Gre | Capsule::Teredo => INNER_V6.map(IpAddr::from),
    };
    let (source, destination) =
        (SocketAddr::new(source, DISCARD), SocketAddr::new(destination, DISCARD));
    let inner = packet::udp(source, destination, token.as_bytes())?;
    let before: &[u8] = if how == Capsule::Gre { &GRE_OF_IPV6 } else { &[] };
    Some([before, &inner].concat())
}

async fn send(
    at: &Vantage,
    to: IpAddr,
    how: Capsule,
    payload: &[u8],
) -> Result<Attempt, Box<Attempt>> {
    let (speech, port) = match how.port() {
        Some(port) => (Speech::Datagram, port.number),
        None => (Speech::Protocol(how.protocol()), 0),
    };
    let call = Call::open(at, speech, SocketAddr::new(to, port), None, |_| Ok(()))?;
    call.send(payload)?;
    Ok(call.leave().await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_inside_is_whole_and_holds_the_token() {
        for how in Capsule::within(Family::V4) {
            let payload = payload(*how, "token").unwrap();
            let inner = if *how == Capsule::Gre { &payload[4..] } else { &payload };
            let parsed = etherparse::PacketHeaders::from_ip_slice(inner).unwrap();
            assert_eq!(parsed.payload.slice(), b"token", "{how}");
            let is_v4 = matches!(parsed.net, Some(etherparse::NetHeaders::Ipv4(..)));
            assert_eq!(is_v4, *how == Capsule::Ipv4, "{how}");
        }
    }
}

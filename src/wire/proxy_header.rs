//! The PROXY protocol: what a front says before it passes a connection on, so that the service behind it knows the client
//! (<https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt>).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::model::front::ProxyProtocol;

/// How a header of version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How a header of version 1 begins.
const WORD: &[u8] = b"PROXY ";
/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// Signature, version and command, family and protocol, length.
const FIXED: usize = 16;

/// What octets are, seen as the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// It takes more of them to tell.
    Unknown,
    /// No header: the client itself speaks.
    Plain,
    /// A header of so many octets, and the client that it names, where it names one.
    Header {
        /// Its octets.
        length: usize,
        /// The client; `None` where the front speaks for itself (`LOCAL`, `UNKNOWN`).
        client: Option<SocketAddr>,
    },
    /// A header that is not in order.
    Broken,
}

/// The header for a connection of a client to a front.
pub fn encode(version: ProxyProtocol, client: SocketAddr, front: SocketAddr) -> Vec<u8> {
    match version {
        ProxyProtocol::V1 => {
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (client.ip(), front.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), front.port())
                .into_bytes()
        }
        ProxyProtocol::V2 => {
            let addresses = match (client.ip(), front.ip()) {
                (IpAddr::V4(from), IpAddr::V4(to)) => [from.octets(), to.octets()].concat(),
                (from, to) => [v6(from).octets(), v6(to).octets()].concat(),
            };
            let family = if addresses.len() == 8 { 0x11 } else { 0x21 };
            let length = u16::try_from(addresses.len() + 4).expect("two addresses and two ports");
            let mut header = SIGNATURE.to_vec();
            header.extend([0x21, family]);
            header.extend(length.to_be_bytes());
            header.extend(addresses);
            header.extend(client.port().to_be_bytes());
            header.extend(front.port().to_be_bytes());
            header
        }
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

/// What the beginning of a connection is.
pub fn beginning(octets: &[u8]) -> Beginning {
    let begins = |with: &[u8]| {
        let common = octets.len().min(with.len());
        octets[..common] == with[..common]
    };
    match octets {
        [] => Beginning::Unknown,
        _ if begins(&SIGNATURE) => second(octets),
        _ if begins(WORD) => first(octets),
        _ => Beginning::Plain,
    }
}

fn first(octets: &[u8]) -> Beginning {
    let Some(end) = octets.windows(2).take(LONGEST_LINE - 1).position(|two| two == b"\r\n") else {
        let is_over = octets.len() >= LONGEST_LINE;
        return if is_over { Beginning::Broken } else { Beginning::Unknown };
    };
    let Ok(line) = std::str::from_utf8(&octets[..end]) else { return Beginning::Broken };
    let words: Vec<_> = line.split(' ').collect();
    let client = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", "TCP4" | "TCP6", from, _, port, _] => match (from.parse(), port.parse()) {
            (Ok(from), Ok(port)) => Some(SocketAddr::new(from, port)),
            _ => return Beginning::Broken,
        },
        _ => return Beginning::Broken,
    };
    Beginning::Header { length: end + 2, client }
}

fn second(octets: &[u8]) -> Beginning {
    let Some(fixed) = octets.get(..FIXED) else { return Beginning::Unknown };
    let length = FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let Some(rest) = octets.get(FIXED..length) else { return Beginning::Unknown };
    let port = |at: usize| Some(u16::from_be_bytes([*rest.get(at)?, *rest.get(at + 1)?]));
    let client = match (fixed[12], fixed[13]) {
        (0x20, _) | (0x21, 0x00) => Some(None),
        (0x21, 0x11) => rest
            .first_chunk::<4>()
            .zip(port(8))
            .map(|(ip, port)| Some(SocketAddr::new(Ipv4Addr::from(*ip).into(), port))),
        (0x21, 0x21) => rest
            .first_chunk::<16>()
            .zip(port(32))
            .map(|(ip, port)| Some(SocketAddr::new(Ipv6Addr::from(*ip).into(), port))),
        _ => None,
    };
    client.map_or(Beginning::Broken, |client| Beginning::Header { length, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_heard_in_both_versions_and_families() {
        for (client, front) in
            [("192.0.2.7:50000", "198.51.100.1:443"), ("[2001:db8::7]:50000", "[2001:db8::1]:443")]
        {
            let (client, front) = (client.parse().unwrap(), front.parse().unwrap());
            for version in ProxyProtocol::ALL {
                let mut octets = encode(version, client, front);
                let length = octets.len();
                let heard = Beginning::Header { length, client: Some(client) };
                octets.extend(b"GET / HTTP/1.1\r\n");
                assert_eq!(beginning(&octets), heard);
                for cut in 0..length {
                    assert_eq!(beginning(&octets[..cut]), Beginning::Unknown, "{cut} octets");
                }
            }
        }
    }

    #[test]
    fn what_is_no_header_is_left_alone() {
        for plain in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"POST", b"\r\n\r\nQ"] {
            assert_eq!(beginning(plain), Beginning::Plain, "{plain:?}");
        }
    }

    #[test]
    fn a_front_may_speak_for_itself_and_nonsense_is_told() {
        let unknown = b"PROXY UNKNOWN\r\n";
        assert_eq!(beginning(unknown), Beginning::Header { length: 15, client: None });
        let local = [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat();
        assert_eq!(beginning(&local), Beginning::Header { length: 16, client: None });
        for broken in [
            b"PROXY TCP4 nobody 192.0.2.1 1 2\r\n".to_vec(),
            b"PROXY \r\n".to_vec(),
            [b"PROXY ".to_vec(), vec![b'x'; 120]].concat(),
            [&SIGNATURE[..], &[0x21, 0x11, 0, 2, 1, 2]].concat(),
            [&SIGNATURE[..], &[0x31, 0x11, 0, 0]].concat(),
        ] {
            assert_eq!(beginning(&broken), Beginning::Broken, "{broken:?}");
        }
    }
}

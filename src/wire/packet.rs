//! IP packets made by hand, for what no ordinary socket would send: false sources and odd headers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::checksum::Checksum;
use crate::model::family::Family;

/// The protocol number of UDP.
const UDP: u8 = 17;
/// The hop limit of packets made here: what Linux uses, so that the distance can be told.
const HOP_LIMIT: u8 = 64;

/// Octets of an IP header without options.
pub fn overhead(family: Family) -> usize {
    match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

/// The family of a packet, by its version.
pub fn family(packet: &[u8]) -> Option<Family> {
    match packet.first()? >> 4 {
        4 => Some(Family::V4),
        6 => Some(Family::V6),
        _ => None,
    }
}

/// The traffic class of a packet (RFC 8200 section 7), or its type of service.
pub fn class(packet: &[u8]) -> Option<u8> {
    match (family(packet)?, packet) {
        (Family::V4, [_, class, ..]) => Some(*class),
        (Family::V6, [first, second, ..]) => Some(first << 4 | second >> 4),
        _ => None,
    }
}

/// Gives a packet another traffic class. One that is too short for it is left alone.
pub fn set_class(packet: &mut [u8], class: u8) {
    match (family(packet), &mut *packet) {
        (Some(Family::V4), [_, octet, ..]) => *octet = class,
        (Some(Family::V6), [first, second, ..]) => {
            *first = 0x60 | class >> 4;
            *second = class << 4 | *second & 0x0f;
        }
        _ => {}
    }
    sum_anew(packet);
}

/// Takes a hop from the limit of a packet that has more than one left.
pub fn take_hop(packet: &mut [u8]) {
    let at = match family(packet) {
        Some(Family::V4) => 8,
        _ => 7,
    };
    if let Some(limit) = packet.get_mut(at).filter(|limit| **limit > 1) {
        *limit -= 1;
    }
    sum_anew(packet);
}

/// Puts the checksum of an IPv4 header right; IPv6 has none.
fn sum_anew(packet: &mut [u8]) {
    let Some(Family::V4) = family(packet) else { return };
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    let Some(header) = packet.get_mut(..length).filter(|header| header.len() >= 20) else { return };
    header[10..12].fill(0);
    let sum = Checksum::default().plus(header).finish();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

/// A UDP datagram in a whole IP packet. `None` if the ends are of two families or the payload is too long.
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(8 + payload.len()).ok()?;
    let mut segment = Vec::with_capacity(usize::from(length));
    for field in [source.port(), destination.port(), length, 0] {
        segment.extend(field.to_be_bytes());
    }
    segment.extend(payload);
    let sum = Checksum::of_pseudo_header(source.ip(), destination.ip(), UDP, u32::from(length))
        .plus(&segment)
        .finish();
    // RFC 768: a sum of zero is sent as all ones, since zero says that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    segment[6..8].copy_from_slice(&sum.to_be_bytes());
    let mut packet = header(source.ip(), destination.ip(), UDP, HOP_LIMIT, length)?;
    packet.extend(segment);
    Some(packet)
}

/// The header of a packet without options, with `length` octets to follow.
pub fn header(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    hop_limit: u8,
    length: u16,
) -> Option<Vec<u8>> {
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ipv4_header(source, destination, protocol, hop_limit, length)
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            Some(ipv6_header(source, destination, protocol, hop_limit, length))
        }
        _ => None,
    }
}

/// The hop limit of a packet (without link header) that carries a TCP segment to this port.
pub fn hop_limit_of_segment(packet: &[u8], to_port: u16) -> Option<u8> {
    let sliced = etherparse::LaxSlicedPacket::from_ip(packet).ok()?;
    let etherparse::TransportSlice::Tcp(tcp) = sliced.transport? else { return None };
    (tcp.destination_port() == to_port).then_some(())?;
    match sliced.net? {
        etherparse::LaxNetSlice::Ipv4(ip) => Some(ip.header().ttl()),
        etherparse::LaxNetSlice::Ipv6(ip) => Some(ip.header().hop_limit()),
        etherparse::LaxNetSlice::Arp(_) => None,
    }
}

fn ipv4_header(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    hop_limit: u8,
    length: u16,
) -> Option<Vec<u8>> {
    let mut header = vec![0x45, 0];
    header.extend(length.checked_add(20)?.to_be_bytes());
    header.extend([0, 0, 0x40, 0, hop_limit, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    let sum = Checksum::default().plus(&header).finish();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Some(header)
}

fn ipv6_header(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    protocol: u8,
    hop_limit: u8,
    length: u16,
) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0];
    header.extend(length.to_be_bytes());
    header.extend([protocol, hop_limit]);
    header.extend(source.octets());
    header.extend(destination.octets());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_changed_keeps_a_right_checksum() {
        for (source, destination) in
            [("192.0.2.1", "198.51.100.2"), ("2001:db8::1", "2001:db8:1::2")]
        {
            let [source, destination] =
                [source, destination].map(|ip| ip.parse::<IpAddr>().unwrap());
            let made = |class: u8, hops| {
                let mut packet = header(source, destination, UDP, hops, 0).unwrap();
                set_class(&mut packet, class);
                packet
            };
            let mut packet = made(0xba, 64);
            assert_eq!(class(&packet), Some(0xba));
            take_hop(&mut packet);
            assert_eq!(packet, made(0xba, 63));
            set_class(&mut packet, 0);
            assert_eq!(packet, header(source, destination, UDP, 63, 0).unwrap());
            let mut last = made(0, 1);
            take_hop(&mut last);
            assert_eq!(last, made(0, 1), "what has one hop left is not ours to stop");
        }
        for length in 0..20 {
            let mut short = vec![0x45; length];
            set_class(&mut short, 0);
            take_hop(&mut short);
        }
    }

    #[test]
    fn what_is_made_here_is_read_by_a_parser_with_right_checksums() {
        for (source, destination) in
            [("192.0.2.1:1000", "198.51.100.2:53"), ("[2001:db8::1]:1000", "[2001:db8:1::2]:53")]
        {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            let packet = udp(source, destination, b"token").unwrap();
            let parsed = etherparse::PacketHeaders::from_ip_slice(&packet).unwrap();
            let etherparse::TransportHeader::Udp(header) = parsed.transport.unwrap() else {
                panic!("not UDP")
            };
            assert_eq!(header.destination_port, 53);
            let expected = match parsed.net.unwrap() {
                etherparse::NetHeaders::Ipv4(ip, _) => header.calc_checksum_ipv4(&ip, b"token"),
                etherparse::NetHeaders::Ipv6(ip, _) => header.calc_checksum_ipv6(&ip, b"token"),
                etherparse::NetHeaders::Arp(_) => panic!("not IP"),
            };
            assert_eq!(header.checksum, expected.unwrap());
        }
    }

    #[test]
    fn two_families_do_not_fit_into_one_packet() {
        let v4 = "192.0.2.1:1".parse().unwrap();
        let v6 = "[2001:db8::1]:1".parse().unwrap();
        assert_eq!(udp(v4, v6, b""), None);
    }
}

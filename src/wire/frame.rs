//! Ethernet frames as a tap sees them, and which of them count.

use std::net::IpAddr;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};
use memchr::memmem;

use crate::model::{
    family::Family,
    mac::Mac,
    tap::{CANARY_ETHERTYPE, FrameNote, Watch},
};

/// Octets of the Ethernet header.
pub const ETHERNET_HEADER: usize = 14;

/// Decodes as much of a frame as can be told; `None` only if it is shorter than an Ethernet header.
pub fn decode(frame: &[u8], at_us: u64) -> Option<FrameNote> {
    let header = frame.first_chunk::<ETHERNET_HEADER>()?;
    let mut note = FrameNote {
        at_us,
        source_mac: mac(&header[6..12])?,
        destination_mac: mac(&header[0..6])?,
        ethertype: format!("{:04x}", ethertype(frame)?),
        source: None,
        destination: None,
        protocol: None,
        source_port: None,
        destination_port: None,
        icmp: None,
        hop_limit: None,
        class: None,
        length: u32::try_from(frame.len()).unwrap_or(u32::MAX),
    };
    if let Ok(packet) = LaxSlicedPacket::from_ethernet(frame) {
        note_network(&mut note, packet.net.as_ref());
        note_transport(&mut note, packet.transport.as_ref());
    }
    Some(note)
}

/// The ICMPv6 message in a frame, from its type on.
pub fn icmpv6_message(frame: &[u8]) -> Option<&[u8]> {
    match LaxSlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Icmpv6(icmp) => Some(icmp.slice()),
        _ => None,
    }
}

/// What a UDP datagram in a frame carries.
pub fn udp_payload(frame: &[u8]) -> Option<&[u8]> {
    match LaxSlicedPacket::from_ethernet(frame).ok()?.transport? {
        TransportSlice::Udp(udp) => Some(udp.payload()),
        _ => None,
    }
}

/// The EtherType of a frame.
pub fn ethertype(frame: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(*frame.get(12..14)?.first_chunk()?))
}

/// Whether a decoded frame counts for a watch.
pub fn counts(watch: &Watch, note: &FrameNote, frame: &[u8]) -> bool {
    let is_of = |family: Family| ethertype(frame) == Some(family.ethertype());
    let wanted = |asked: &Option<IpAddr>, seen: Option<IpAddr>| {
        asked.is_none_or(|asked| seen == Some(asked))
    };
    match watch {
        Watch::Ethertypes(types) => ethertype(frame).is_some_and(|t| types.contains(&t)),
        Watch::Packets { family, source, destination, port } => {
            is_of(*family)
                && wanted(source, note.source)
                && wanted(destination, note.destination)
                && port.is_none_or(|port| {
                    note.protocol == Some(port.transport.number())
                        && note.destination_port == Some(port.number)
                })
        }
        Watch::Answers { source, port } => {
            is_of(Family::of(*source))
                && note.source == Some(*source)
                && note.protocol == Some(port.transport.number())
                && note.source_port == Some(port.number)
        }
        Watch::Protocol { family, source, destination, number } => {
            is_of(*family)
                && note.source == Some(*source)
                && note.destination == Some(*destination)
                && note.protocol == Some(*number)
        }
        Watch::Icmp { family, types, source, destination } => {
            is_of(*family)
                && wanted(source, note.source)
                && wanted(destination, note.destination)
                && note.icmp.is_some_and(|(kind, _)| types.contains(&kind))
        }
        Watch::Payload { family: None, token } => {
            Family::ALL.into_iter().any(is_of) && holds(frame, token.as_bytes())
        }
        Watch::Payload { family: Some(family), token } | Watch::Delivered { family, token } => {
            is_of(*family) && holds(frame, token.as_bytes())
        }
    }
}

/// Which tap a canary is for. The kernel's filter knows it, so that the canaries of other taps wake nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark(pub u32);

/// A canary frame to everybody on the link: the experimental EtherType, the mark of the tap that it is for, and its turn.
pub fn canary(source: Mac, mark: Mark, turn: u32) -> Vec<u8> {
    let mut frame = ethernet(source, Mac([0xff; 6]), CANARY_ETHERTYPE);
    frame.extend(mark.0.to_be_bytes());
    frame.extend(turn.to_be_bytes());
    // Padded to the minimum of IEEE 802.3.
    frame.resize(60, 0);
    frame
}

/// The mark and the turn of a canary frame, if it is one.
pub fn canary_of(frame: &[u8]) -> Option<(Mark, u32)> {
    (ethertype(frame)? == CANARY_ETHERTYPE).then_some(())?;
    let (mark, rest) = frame.get(ETHERNET_HEADER..)?.split_first_chunk()?;
    Some((Mark(u32::from_be_bytes(*mark)), u32::from_be_bytes(*rest.first_chunk()?)))
}

/// An Ethernet header, for a payload to be added.
pub fn ethernet(source: Mac, destination: Mac, ethertype: u16) -> Vec<u8> {
    let mut frame = Vec::with_capacity(128);
    frame.extend(destination.0);
    frame.extend(source.0);
    frame.extend(ethertype.to_be_bytes());
    frame
}

fn mac(octets: &[u8]) -> Option<Mac> {
    Some(Mac(*octets.first_chunk()?))
}

fn holds(frame: &[u8], token: &[u8]) -> bool {
    !token.is_empty() && memmem::find(frame, token).is_some()
}

fn note_network(note: &mut FrameNote, net: Option<&LaxNetSlice<'_>>) {
    match net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            note.source = Some(header.source_addr().into());
            note.destination = Some(header.destination_addr().into());
            note.hop_limit = Some(header.ttl());
            note.class = Some(header.dcp().value() << 2 | header.ecn().value());
            note.protocol = Some(ip.payload().ip_number.0);
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            note.source = Some(header.source_addr().into());
            note.destination = Some(header.destination_addr().into());
            note.hop_limit = Some(header.hop_limit());
            note.class = Some(header.traffic_class());
            note.protocol = Some(ip.payload().ip_number.0);
        }
        Some(LaxNetSlice::Arp(arp)) => {
            let address = |octets: &[u8]| <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
            note.source = address(arp.sender_protocol_addr());
            note.destination = address(arp.target_protocol_addr());
        }
        None => {}
    }
}

fn note_transport(note: &mut FrameNote, transport: Option<&TransportSlice<'_>>) {
    match transport {
        Some(TransportSlice::Udp(udp)) => {
            note.source_port = Some(udp.source_port());
            note.destination_port = Some(udp.destination_port());
        }
        Some(TransportSlice::Tcp(tcp)) => {
            note.source_port = Some(tcp.source_port());
            note.destination_port = Some(tcp.destination_port());
        }
        Some(TransportSlice::Icmpv4(icmp)) => note.icmp = Some((icmp.type_u8(), icmp.code_u8())),
        Some(TransportSlice::Icmpv6(icmp)) => note.icmp = Some((icmp.type_u8(), icmp.code_u8())),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        model::service::{Port, Transport},
        wire::packet,
    };

    fn udp_frame(source: &str, destination: &str, payload: &[u8]) -> Vec<u8> {
        let [source, destination]: [std::net::SocketAddr; 2] =
            [source.parse().unwrap(), destination.parse().unwrap()];
        let packet = packet::udp(source, destination, payload).unwrap();
        let family = Family::of(source.ip());
        let mut frame =
            ethernet(Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]), family.ethertype());
        frame.extend(packet);
        frame
    }

    #[test]
    fn a_packet_counts_only_if_every_part_of_the_watch_matches() {
        let frame = udp_frame("[2001:db8::1]:5000", "[2001:db8::2]:53", b"xx-token-xx");
        let note = decode(&frame, 5).unwrap();
        assert_eq!((note.source_port, note.destination_port), (Some(5000), Some(53)));
        assert_eq!(note.hop_limit, Some(64));
        let watch = |source: Option<&str>, number| Watch::Packets {
            family: Family::V6,
            source: source.map(|s| s.parse().unwrap()),
            destination: None,
            port: Some(Port { transport: Transport::Udp, number }),
        };
        assert!(counts(&watch(Some("2001:db8::1"), 53), &note, &frame));
        // A port is where packets go to: what comes from it is an answer.
        assert!(counts(&watch(None, 53), &note, &frame));
        assert!(!counts(&watch(None, 5000), &note, &frame));
        assert!(!counts(&watch(None, 54), &note, &frame));
        assert!(!counts(&watch(Some("2001:db8::2"), 53), &note, &frame));
        let payload =
            |family, token: &str| Watch::Payload { family: Some(family), token: token.to_owned() };
        assert!(counts(&payload(Family::V6, "token"), &note, &frame));
        assert!(!counts(&payload(Family::V4, "token"), &note, &frame));
        assert!(!counts(&payload(Family::V6, "nothing"), &note, &frame));
    }

    #[test]
    fn an_mld_report_behind_a_hop_by_hop_header_is_icmp() {
        let mut body = vec![58, 0, 5, 2, 0, 0, 1, 0]; // hop-by-hop: router alert, padding
        body.extend([143, 0, 0, 0, 0, 0, 0, 0]);
        let (source, all) = ("fe80::1".parse().unwrap(), "ff02::16".parse().unwrap());
        let mut frame = ethernet(Mac([2; 6]), Mac([0x33, 0x33, 0, 0, 0, 0x16]), 0x86dd);
        frame.extend(packet::header(source, all, 0, 1, 16).unwrap());
        frame.extend(body);
        let note = decode(&frame, 0).unwrap();
        assert_eq!((note.protocol, note.icmp), (Some(58), Some((143, 0))));
    }

    proptest! {
        #[test]
        fn hostile_frames_never_panic(octets in prop::collection::vec(any::<u8>(), 0..200), kind in 0..4usize) {
            let mut frame = octets;
            if let Some(place) = frame.get_mut(12..14) {
                let types = [[8, 0], [8, 6], [0x86, 0xdd], [0x88, 0xb5]];
                place.copy_from_slice(&types[kind]);
            }
            if let Some(note) = decode(&frame, 0) {
                let watch = Watch::Payload { family: Some(Family::V4), token: "x".into() };
                counts(&watch, &note, &frame);
            }
            canary_of(&frame);
        }
    }
}

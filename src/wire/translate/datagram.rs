//! IP packets taken apart and put together again, both families alike.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    model::family::Family,
    wire::{checksum::Checksum, packet::overhead},
};

/// Next header of the Fragment header (RFC 8200 section 4.5).
const FRAGMENT: u8 = 44;
/// Octets of the Fragment header.
const FRAGMENT_HEADER: usize = 8;
/// Don't Fragment, as it stands in the flags and offset of IPv4 (RFC 791 section 3.1).
const DONT_FRAGMENT: u16 = 0x4000;
/// More Fragments, there.
const MORE_FRAGMENTS: u16 = 0x2000;

/// A packet without what is special about its family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub source: IpAddr,
    /// To whom.
    pub destination: IpAddr,
    /// Traffic class, or type of service.
    pub traffic_class: u8,
    /// Hop limit, or time to live.
    pub hop_limit: u8,
    /// The protocol of the payload.
    pub protocol: u8,
    /// Which part of a larger packet it is, if it is one.
    pub part: Option<Part>,
    /// Whether routers may split it, or its sender did: IPv4 without DF, IPv6 with a Fragment header.
    pub may_be_split: bool,
    /// By which its fragments are known.
    pub identification: u32,
    /// How long the payload is by the header; a quotation holds less.
    pub declared: usize,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// A part of a larger packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins, in octets.
    pub offset: usize,
    /// Whether another follows.
    pub more: bool,
}

/// Why octets are no packet that can be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Neither version 4 nor 6.
    #[error("it is a packet of neither family")]
    Version,
    /// It ends too soon.
    #[error("it is shorter than its header says")]
    Short,
    /// A routing header that is not used up (RFC 7915 section 5.1).
    #[error("it has a routing header with segments left")]
    Routed,
}

impl Datagram {
    /// Takes a whole packet apart.
    pub fn read(packet: &[u8]) -> Result<Self, Unreadable> {
        let read = Self::read_quoted(packet)?;
        if read.payload.len() < read.declared { Err(Unreadable::Short) } else { Ok(read) }
    }

    /// Takes the beginning of a packet apart, as ICMP errors quote it.
    pub fn read_quoted(packet: &[u8]) -> Result<Self, Unreadable> {
        match packet.first().map(|first| first >> 4) {
            Some(4) => read_v4(packet),
            Some(6) => read_v6(packet),
            _ => Err(Unreadable::Version),
        }
    }

    /// Its family.
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }

    /// Octets of the packet, as far as no header but the fixed one is counted.
    pub fn length(&self) -> usize {
        overhead(self.family()) + self.declared
    }

    /// Puts it together: in one packet, or in several of at most so many octets where it may be split.
    pub fn write(&self, most: usize) -> Vec<Vec<u8>> {
        let split = self.may_be_split && self.length() > most;
        if !split {
            return vec![self.write_part(&self.payload, self.declared, None)];
        }
        let headers =
            overhead(self.family()) + if self.family() == Family::V6 { FRAGMENT_HEADER } else { 0 };
        let room = (most.saturating_sub(headers) / 8 * 8).max(8);
        let last = self.payload.len().div_ceil(room).saturating_sub(1);
        let pieces = self.payload.chunks(room).enumerate();
        let write = |(number, piece): (usize, &[u8])| {
            let part = Part { offset: number * room, more: number < last };
            self.write_part(piece, piece.len(), Some(part))
        };
        pieces.map(write).collect()
    }

    /// As an ICMP error quotes it: one packet, whatever its length.
    pub fn write_quoted(&self) -> Vec<u8> {
        self.write_part(&self.payload, self.declared, self.part)
    }

    fn write_part(&self, piece: &[u8], declared: usize, part: Option<Part>) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.write_v4((source, destination), piece, declared, part)
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.write_v6((source, destination), piece, declared, part)
            }
            _ => Vec::new(),
        }
    }

    fn write_v4(
        &self,
        (source, destination): (Ipv4Addr, Ipv4Addr),
        piece: &[u8],
        declared: usize,
        part: Option<Part>,
    ) -> Vec<u8> {
        let mut flags = part.map_or(0, |part| u16::try_from(part.offset / 8).unwrap_or(0x1fff));
        flags |= if part.is_some_and(|part| part.more) { MORE_FRAGMENTS } else { 0 };
        flags |= if self.may_be_split { 0 } else { DONT_FRAGMENT };
        let [.., high, low] = self.identification.to_be_bytes();
        let mut packet = vec![0x45, self.traffic_class];
        packet.extend(u16::try_from(20 + declared).unwrap_or(u16::MAX).to_be_bytes());
        packet.extend([high, low]);
        packet.extend(flags.to_be_bytes());
        packet.extend([self.hop_limit, self.protocol, 0, 0]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        let sum = Checksum::default().plus(&packet).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet.extend(piece);
        packet
    }

    fn write_v6(
        &self,
        (source, destination): (Ipv6Addr, Ipv6Addr),
        piece: &[u8],
        declared: usize,
        part: Option<Part>,
    ) -> Vec<u8> {
        let more = if part.is_some() { FRAGMENT_HEADER } else { 0 };
        let next = if part.is_some() { FRAGMENT } else { self.protocol };
        let mut packet = vec![0x60 | self.traffic_class >> 4, self.traffic_class << 4, 0, 0];
        packet.extend(u16::try_from(declared + more).unwrap_or(u16::MAX).to_be_bytes());
        packet.extend([next, self.hop_limit]);
        packet.extend(source.octets());
        packet.extend(destination.octets());
        if let Some(part) = part {
            let offset = u16::try_from(part.offset).unwrap_or(u16::MAX) & !7;
            packet.extend([self.protocol, 0]);
            packet.extend((offset | u16::from(part.more)).to_be_bytes());
            packet.extend(self.identification.to_be_bytes());
        }
        packet.extend(piece);
        packet
    }
}

fn word(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

fn read_v4(packet: &[u8]) -> Result<Datagram, Unreadable> {
    let fixed: &[u8; 20] = packet.first_chunk().ok_or(Unreadable::Short)?;
    let header = usize::from(fixed[0] & 0xf) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if header < 20 || total < header || packet.len() < header {
        return Err(Unreadable::Short);
    }
    let flags = u16::from_be_bytes([fixed[6], fixed[7]]);
    let (offset, more) = (usize::from(flags & 0x1fff) * 8, flags & MORE_FRAGMENTS != 0);
    let source: [u8; 4] = [fixed[12], fixed[13], fixed[14], fixed[15]];
    let destination: [u8; 4] = [fixed[16], fixed[17], fixed[18], fixed[19]];
    Ok(Datagram {
        source: source.into(),
        destination: destination.into(),
        traffic_class: fixed[1],
        hop_limit: fixed[8],
        protocol: fixed[9],
        part: (offset > 0 || more).then_some(Part { offset, more }),
        may_be_split: flags & DONT_FRAGMENT == 0,
        identification: u16::from_be_bytes([fixed[4], fixed[5]]).into(),
        declared: total - header,
        payload: packet[header..packet.len().min(total)].to_vec(),
    })
}

fn read_v6(packet: &[u8]) -> Result<Datagram, Unreadable> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION: u8 = 60;
    let fixed: &[u8; 40] = packet.first_chunk().ok_or(Unreadable::Short)?;
    let source: [u8; 16] = *fixed[8..].first_chunk().ok_or(Unreadable::Short)?;
    let destination: [u8; 16] = *fixed[24..].first_chunk().ok_or(Unreadable::Short)?;
    let mut read = Datagram {
        source: source.into(),
        destination: destination.into(),
        traffic_class: fixed[0] << 4 | fixed[1] >> 4,
        hop_limit: fixed[7],
        protocol: fixed[6],
        part: None,
        may_be_split: false,
        identification: 0,
        declared: usize::from(u16::from_be_bytes([fixed[4], fixed[5]])),
        payload: Vec::new(),
    };
    let mut rest = &packet[40..packet.len().min(40 + read.declared)];
    loop {
        let length = match read.protocol {
            FRAGMENT => {
                let field = word(rest, 2).ok_or(Unreadable::Short)?;
                let id = rest.get(4..8).and_then(<[u8]>::first_chunk).ok_or(Unreadable::Short)?;
                let part = Part { offset: usize::from(field & !7), more: field & 1 != 0 };
                read.identification = u32::from_be_bytes(*id);
                read.may_be_split = true;
                // A packet that is its only fragment is whole (RFC 6946).
                read.part = (part.offset > 0 || part.more).then_some(part);
                FRAGMENT_HEADER
            }
            ROUTING if rest.get(3).is_none_or(|left| *left > 0) => return Err(Unreadable::Routed),
            HOP_BY_HOP | ROUTING | DESTINATION => {
                8 * (1 + usize::from(*rest.get(1).ok_or(Unreadable::Short)?))
            }
            _ => break,
        };
        if rest.len() < length || read.declared < length {
            return Err(Unreadable::Short);
        }
        read.protocol = rest[0];
        read.declared -= length;
        rest = &rest[length..];
        // What follows in a later fragment is the middle of something.
        if read.part.is_some_and(|part| part.offset > 0) {
            break;
        }
    }
    read.payload = rest.to_vec();
    Ok(read)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn datagram(family: Family, payload: Vec<u8>) -> Datagram {
        let (source, destination) = match family {
            Family::V4 => ("192.0.2.1", "198.51.100.2"),
            Family::V6 => ("2001:db8::1", "2001:db8:1::2"),
        };
        Datagram {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            traffic_class: 0xb8,
            hop_limit: 61,
            protocol: 17,
            part: None,
            may_be_split: false,
            identification: 0,
            declared: payload.len(),
            payload,
        }
    }

    #[test]
    fn extension_headers_are_stepped_over_and_routing_that_is_not_done_is_refused() {
        let plain = datagram(Family::V6, b"payload!".to_vec());
        let mut packet = plain.write(1500).remove(0);
        packet[6] = 60;
        packet[5] += 8;
        packet.splice(40..40, [17, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(Datagram::read(&packet), Ok(plain));
        packet[6] = 43;
        packet[43] = 1;
        assert_eq!(Datagram::read(&packet), Err(Unreadable::Routed));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(v6: bool, payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let sent = datagram(if v6 { Family::V6 } else { Family::V4 }, payload);
            let packets = sent.write(1500);
            prop_assert_eq!(packets.len(), 1);
            prop_assert_eq!(Datagram::read(&packets[0]), Ok(sent));
        }

        #[test]
        fn parts_fit_and_cover_the_whole(v6: bool, length in 0..4000_usize, most in 68..1500_usize) {
            let payload: Vec<u8> = (0..length).map(|at| at.to_be_bytes()[7]).collect();
            let family = if v6 { Family::V6 } else { Family::V4 };
            let sent = Datagram { may_be_split: true, identification: 77, ..datagram(family, payload) };
            let mut covered = Vec::new();
            for packet in sent.write(most) {
                prop_assert!(packet.len() <= most, "{} > {most}", packet.len());
                let part = Datagram::read(&packet).unwrap();
                prop_assert_eq!(part.part.map_or(0, |part| part.offset), covered.len());
                covered.extend(part.payload);
            }
            prop_assert_eq!(covered, sent.payload);
        }

        #[test]
        fn hostile_octets_never_panic(octets: Vec<u8>, version in 3..8_u8) {
            let mut octets = octets;
            if let Some(first) = octets.first_mut() {
                *first = version << 4 | *first & 0xf;
            }
            if let Ok(read) = Datagram::read_quoted(&octets) {
                let _ = read.write(1280);
            }
        }
    }
}

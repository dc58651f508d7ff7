//! Who has this address: neighbour solicitations (RFC 4861 section 4.3) and ARP requests (RFC 826) as whole frames,
//! and the link-layer address in the answers. Made by hand, so that the node's own cache has no part in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    checksum::Checksum,
    frame::{ETHERNET_HEADER, ethernet},
    icmp, packet,
};
use crate::model::{family::Family, mac::Mac};

/// The ICMPv6 type of a neighbour solicitation.
pub const SOLICITATION: u8 = 135;
/// The ICMPv6 type of a neighbour advertisement.
pub const ADVERTISEMENT: u8 = 136;
/// The hop limit that neighbour discovery demands (RFC 4861 section 7.1).
const HOP_LIMIT: u8 = 255;
/// The EtherType of ARP.
pub const ARP: u16 = 0x0806;
const ARP_REQUEST: u8 = 1;
const ARP_REPLY: u8 = 2;

/// A frame that asks who has `target`: everybody who may, or the one whose link-layer address is known. `None` if `source` is
/// of another family.
pub fn question(mac: Mac, source: IpAddr, target: IpAddr, known: Option<Mac>) -> Option<Vec<u8>> {
    match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => Some(arp_request(mac, source, target, known)),
        (IpAddr::V6(source), IpAddr::V6(target)) => solicitation(mac, source, target, known),
        _ => None,
    }
}

/// The link-layer address in an answer to the question, if the frame is one.
pub fn answer(frame: &[u8], target: IpAddr) -> Option<Mac> {
    match target {
        IpAddr::V4(target) => arp_answer(frame, target),
        IpAddr::V6(target) => advertised(frame, target),
    }
}

/// An ICMPv6 message in a frame of its own, with hop limit 255.
pub fn icmpv6_frame(
    mac: Mac,
    to: Mac,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    mut message: Vec<u8>,
) -> Option<Vec<u8>> {
    let length = u16::try_from(message.len()).ok()?;
    let protocol = icmp::protocol(Family::V6);
    let (source, destination) = (IpAddr::from(source), IpAddr::from(destination));
    message.get_mut(2..4)?.fill(0);
    let sum = Checksum::of_pseudo_header(source, destination, protocol, u32::from(length))
        .plus(&message)
        .finish();
    message.get_mut(2..4)?.copy_from_slice(&sum.to_be_bytes());
    let mut frame = ethernet(mac, to, Family::V6.ethertype());
    frame.extend(packet::header(source, destination, protocol, HOP_LIMIT, length)?);
    frame.extend(message);
    Some(frame)
}

/// The link-layer address of an IPv6 multicast group (RFC 2464 section 7).
pub fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    Mac([0x33, 0x33, a, b, c, d])
}

/// The group that is asked for an address (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

fn solicitation(
    mac: Mac,
    source: Ipv6Addr,
    target: Ipv6Addr,
    known: Option<Mac>,
) -> Option<Vec<u8>> {
    let group = solicited_node(target);
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend(target.octets());
    // Source link-layer address option, one unit of eight octets.
    message.extend([1, 1]);
    message.extend(mac.0);
    let (to, destination) = known.map_or((group_mac(group), group), |known| (known, target));
    icmpv6_frame(mac, to, source, destination, message)
}

fn advertised(frame: &[u8], target: Ipv6Addr) -> Option<Mac> {
    let packet = frame.get(ETHERNET_HEADER..)?;
    let message = packet.get(40..)?;
    let is_advertisement = packet[6] == icmp::protocol(Family::V6)
        && packet[7] == HOP_LIMIT
        && message.first() == Some(&ADVERTISEMENT)
        && message.get(8..24)? == target.octets();
    is_advertisement.then_some(())?;
    let option = target_link_layer_option(message.get(24..)?);
    option.or_else(|| Some(Mac(*frame.get(6..12)?.first_chunk()?)))
}

/// Option type 2 (RFC 4861 section 4.6.1).
fn target_link_layer_option(mut options: &[u8]) -> Option<Mac> {
    while let [kind, units, ..] = *options {
        if kind == 2 && units == 1 {
            return Some(Mac(*options.get(2..8)?.first_chunk()?));
        }
        if units == 0 {
            return None;
        }
        options = options.get(usize::from(units) * 8..)?;
    }
    None
}

fn arp_request(mac: Mac, source: Ipv4Addr, target: Ipv4Addr, known: Option<Mac>) -> Vec<u8> {
    let mut frame = ethernet(mac, known.unwrap_or(Mac([0xff; 6])), ARP);
    // Ethernet and IPv4, addresses of six and four octets.
    frame.extend([0, 1, 8, 0, 6, 4, 0, ARP_REQUEST]);
    frame.extend(mac.0);
    frame.extend(source.octets());
    frame.extend([0; 6]);
    frame.extend(target.octets());
    frame
}

fn arp_answer(frame: &[u8], target: Ipv4Addr) -> Option<Mac> {
    let arp = frame.get(ETHERNET_HEADER..)?;
    let is_reply = frame.get(12..14)? == ARP.to_be_bytes()
        && arp.get(..8)? == [0, 1, 8, 0, 6, 4, 0, ARP_REPLY]
        && arp.get(14..18)? == target.octets();
    is_reply.then_some(())?;
    Some(Mac(*arp.get(8..14)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_taken_only_for_the_address_asked_for() {
        let mac = Mac([2, 0, 0, 0, 0, 9]);
        let target: Ipv6Addr = "2001:db8::9".parse().unwrap();
        let source: Ipv6Addr = "fe80::1".parse().unwrap();
        let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
        message.extend(target.octets());
        message.extend([2, 1, 2, 0, 0, 0, 0, 9]);
        let frame = icmpv6_frame(Mac([2; 6]), mac, target, source, message).unwrap();
        assert_eq!(answer(&frame, target.into()), Some(mac));
        assert_eq!(answer(&frame, "2001:db8::8".parse().unwrap()), None);

        let target: Ipv4Addr = "192.0.2.9".parse().unwrap();
        let mut frame = arp_request(mac, target, "192.0.2.1".parse().unwrap(), None);
        assert_eq!(answer(&frame, target.into()), None, "a request is no answer");
        frame[21] = ARP_REPLY;
        assert_eq!(answer(&frame, target.into()), Some(mac));
    }

    proptest! {
        #[test]
        fn hostile_frames_never_panic(octets: Vec<u8>) {
            answer(&octets, "2001:db8::9".parse().unwrap());
            answer(&octets, "192.0.2.9".parse().unwrap());
        }
    }
}

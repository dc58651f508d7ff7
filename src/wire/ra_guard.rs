//! What a switch that guards against forged Router Advertisements stops at its access ports (RFC 6105, as RFC 7113 section 3
//! demands it), and the forged ones that it is tried with.

use std::net::{IpAddr, Ipv6Addr};

use super::{
    checksum::Checksum,
    frame::{self, ETHERNET_HEADER, ethernet},
    icmp,
    neighbour::group_mac,
    packet,
    ra::{HOP_LIMIT, ROUTER_ADVERTISEMENT},
};
use crate::model::{
    family::Family,
    guard::{Forgery, GuardFault},
    mac::Mac,
};

/// Octets of the IPv6 header.
const FIXED: usize = 40;
const NEXT_HEADER: usize = 6;
const HOP_LIMIT_AT: usize = 7;
/// Next headers (RFC 8200 section 4.1 and others).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const DESTINATION_OPTIONS: u8 = 60;
/// Mobility, host identity and shim6 have the form of options (RFC 6275, RFC 7401, RFC 5533).
const LIKE_OPTIONS: [u8; 6] = [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, 135, 139, 140];
/// What ends a chain and is no ICMPv6: IPv4, TCP, UDP, DCCP, IPv6, GRE, ESP, none, OSPF, PIM, VRRP, SCTP and UDP-Lite.
const UPPER: [u8; 13] = [4, 6, 17, 33, 41, 47, 50, 59, 89, 103, 112, 132, 136];
/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// An ICMPv6 type and a neighbour discovery option for experiments (RFC 4443 section 2.1, RFC 4727 section 5.1.3), and a
/// destination option for them that is skipped where it is not known (RFC 4727 section 3.3).
const EXPERIMENT: u8 = 200;
const EXPERIMENT_OPTION: u8 = 253;
const EXPERIMENT_DESTINATION_OPTION: u8 = 0x1e;
/// What tells the fragments of one packet from those of another.
const IDENTIFICATION: u32 = 0x7369_7877;

/// Whether a guard stops a frame that comes in by an access port.
pub fn stops(frame: &[u8], fault: Option<GuardFault>) -> bool {
    if fault == Some(GuardFault::Off) || frame::ethertype(frame) != Some(Family::V6.ethertype()) {
        return false;
    }
    frame.get(ETHERNET_HEADER..).is_some_and(|packet| is_stopped(packet, fault).unwrap_or(false))
}

/// `None` if the packet ends before it can be told; a host takes no such packet, unless it is a first fragment.
fn is_stopped(packet: &[u8], fault: Option<GuardFault>) -> Option<bool> {
    // Hosts take advertisements from link-local addresses with hop limit 255 alone (RFC 4861 section 6.1.2).
    let source: [u8; 16] = *packet.get(8..24)?.first_chunk()?;
    let is_local = Ipv6Addr::from(source).is_unicast_link_local();
    if !is_local || *packet.get(HOP_LIMIT_AT)? != HOP_LIMIT {
        return Some(false);
    }
    let first = *packet.get(NEXT_HEADER)?;
    if fault == Some(GuardFault::FirstHeader) {
        return Some(first == ICMPV6 && packet.get(FIXED) == Some(&ROUTER_ADVERTISEMENT));
    }
    Some(match end_of_chain(packet, first) {
        End::Icmp { kind, fragmented } => {
            kind == ROUTER_ADVERTISEMENT && !(fragmented && fault == Some(GuardFault::NoFragments))
        }
        End::Cut { fragmented } => {
            let lets = [Some(GuardFault::NoFragments), Some(GuardFault::CutChains)];
            fragmented && !lets.contains(&fault)
        }
        End::Unknown => true,
        End::Other => false,
    })
}

/// What a chain of headers ends with.
enum End {
    /// A message of ICMPv6, in a first fragment or whole.
    Icmp { kind: u8, fragmented: bool },
    /// The packet ends before its chain does.
    Cut { fragmented: bool },
    /// A header that nobody knows: it may hide anything.
    Unknown,
    /// Another protocol, or a later fragment.
    Other,
}

/// Follows a chain to its end, however long it is.
fn end_of_chain(packet: &[u8], mut next: u8) -> End {
    let (mut at, mut fragmented) = (FIXED, false);
    loop {
        let header = packet.get(at..).unwrap_or_default();
        if next == ICMPV6 {
            return match header.first() {
                Some(kind) => End::Icmp { kind: *kind, fragmented },
                None => End::Cut { fragmented },
            };
        }
        let is_extension =
            LIKE_OPTIONS.contains(&next) || [FRAGMENT, AUTHENTICATION].contains(&next);
        if !is_extension {
            return if UPPER.contains(&next) { End::Other } else { End::Unknown };
        }
        let [follows, length, offset_high, offset_low, ..] = *header else {
            return End::Cut { fragmented };
        };
        let length = usize::from(length);
        at += match next {
            FRAGMENT if u16::from_be_bytes([offset_high, offset_low]) >> 3 != 0 => {
                return End::Other;
            }
            FRAGMENT => {
                fragmented = true;
                8
            }
            AUTHENTICATION => (length + 2) * 4,
            _ => (length + 1) * 8,
        };
        next = follows;
    }
}

/// The frames of a forged advertisement, or of what goes the same way unharmed; the first holds the token, which has at
/// most 200 octets. `None` if it is longer.
pub fn forged(how: Forgery, mac: Mac, token: &str) -> Option<Vec<Vec<u8>>> {
    let kind = if how == Forgery::Harmless { EXPERIMENT } else { ROUTER_ADVERTISEMENT };
    // A guard lets later fragments pass, so the token must not be in one.
    let shown = if how == Forgery::CutChain { "" } else { token };
    let message = message(kind, shown)?;
    let packets = match how {
        Forgery::Harmless | Forgery::Plain => vec![(ICMPV6, message)],
        Forgery::BehindOptions => {
            vec![(DESTINATION_OPTIONS, [options(token)?, message].concat())]
        }
        Forgery::InFragments => {
            let head = message.len() - EMPTY.len();
            fragments(ICMPV6, &message, head)
        }
        Forgery::CutChain => {
            let options = options(token)?;
            let head = options.len();
            fragments(DESTINATION_OPTIONS, &[options, message].concat(), head)
        }
    };
    packets.into_iter().map(|(next, payload)| in_frame(mac, next, &payload)).collect()
}

/// An option for experiments with nothing in it: what the second fragment of an advertisement holds.
const EMPTY: [u8; 8] = [EXPERIMENT_OPTION, 1, 0, 0, 0, 0, 0, 0];

/// An advertisement of a router with lifetime zero, and the token in an option.
fn message(kind: u8, token: &str) -> Option<Vec<u8>> {
    let mut message = vec![kind, 0, 0, 0];
    message.extend([0; 12]);
    let units = (2 + token.len()).div_ceil(8);
    message.extend([EXPERIMENT_OPTION, u8::try_from(units).ok().filter(|units| *units <= 26)?]);
    message.extend(token.as_bytes());
    message.resize(16 + units * 8, 0);
    message.extend(EMPTY);
    let length = u32::try_from(message.len()).ok()?;
    let (from, to) = (IpAddr::from(Forgery::ROUTER), IpAddr::from(ALL_NODES));
    let protocol = icmp::protocol(Family::V6);
    let sum = Checksum::of_pseudo_header(from, to, protocol, length).plus(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    Some(message)
}

/// A destination options header with the token in it, before ICMPv6.
fn options(token: &str) -> Option<Vec<u8>> {
    let units = (4 + token.len()).div_ceil(8);
    let room = u8::try_from(units * 8 - 4).ok()?;
    let mut header = vec![ICMPV6, u8::try_from(units - 1).ok()?];
    header.extend([EXPERIMENT_DESTINATION_OPTION, room]);
    header.extend(token.as_bytes());
    header.resize(units * 8, 0);
    Some(header)
}

/// Two fragments of what follows the IPv6 header, the first with `head` octets, which are whole units of eight.
fn fragments(next: u8, payload: &[u8], head: usize) -> Vec<(u8, Vec<u8>)> {
    let fragment = |offset: usize, more: bool, octets: &[u8]| {
        let place = u16::try_from(offset).unwrap_or_default() | u16::from(more);
        let mut packet = vec![next, 0];
        packet.extend(place.to_be_bytes());
        packet.extend(IDENTIFICATION.to_be_bytes());
        packet.extend(octets);
        (FRAGMENT, packet)
    };
    vec![fragment(0, true, &payload[..head]), fragment(head, false, &payload[head..])]
}

fn in_frame(mac: Mac, next: u8, payload: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(payload.len()).ok()?;
    let mut frame = ethernet(mac, group_mac(ALL_NODES), Family::V6.ethertype());
    let (from, to) = (Forgery::ROUTER.into(), ALL_NODES.into());
    frame.extend(packet::header(from, to, next, HOP_LIMIT, length)?);
    frame.extend(payload);
    Some(frame)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::ra;

    fn frames(how: Forgery) -> Vec<Vec<u8>> {
        forged(how, Mac([2; 6]), "token").unwrap()
    }

    /// What gets past a guard whole.
    fn passes(fault: Option<GuardFault>) -> Vec<Forgery> {
        let all = std::iter::once(Forgery::Harmless).chain(Forgery::FORGED);
        all.filter(|how| frames(*how).iter().all(|frame| !stops(frame, fault))).collect()
    }

    #[test]
    fn a_guard_stops_every_forgery_and_nothing_else() {
        assert_eq!(passes(None), [Forgery::Harmless]);
    }

    #[test]
    fn each_way_of_guarding_badly_lets_its_own_forgeries_pass() {
        let let_through = |fault| passes(Some(fault)).split_off(1);
        assert_eq!(let_through(GuardFault::Off), Forgery::FORGED);
        assert_eq!(let_through(GuardFault::FirstHeader), Forgery::FORGED[1..]);
        assert_eq!(let_through(GuardFault::NoFragments), Forgery::FORGED[2..]);
        assert_eq!(let_through(GuardFault::CutChains), [Forgery::CutChain]);
    }

    #[test]
    fn a_forgery_is_an_advertisement_that_gives_nothing() {
        let frame = &frames(Forgery::Plain)[0];
        let message = frame::icmpv6_message(frame).unwrap();
        let heard = ra::decode(message, Forgery::ROUTER.into(), None, 255).unwrap();
        assert_eq!((heard.lifetime_s, heard.prefixes.len(), heard.mtu), (0, 0, None));
        let note = frame::decode(frame, 0).unwrap();
        assert_eq!(note.source, Some(Forgery::ROUTER.into()));
        assert!(frame.windows(5).any(|window| window == b"token"));
    }

    #[test]
    fn the_first_frame_holds_the_token_and_fragments_are_whole_units() {
        for how in Forgery::FORGED {
            let frames = frames(how);
            assert!(frames[0].windows(5).any(|window| window == b"token"), "{how}");
            if let [first, second] = frames.as_slice() {
                assert_eq!((first.len() - ETHERNET_HEADER - FIXED) % 8, 0, "{how}");
                assert!(!stops(second, None), "a later fragment alone does no harm");
                assert!(!second.windows(5).any(|window| window == b"token"), "{how}");
            }
        }
        assert_eq!(forged(Forgery::Plain, Mac([2; 6]), &"x".repeat(300)), None);
    }

    #[test]
    fn what_routers_elsewhere_and_other_protocols_send_passes() {
        let plain = &frames(Forgery::Plain)[0];
        let with = |at: usize, octet: u8| {
            let mut frame = plain.clone();
            frame[ETHERNET_HEADER + at] = octet;
            frame
        };
        assert!(!stops(&with(HOP_LIMIT_AT, 64), None), "hosts do not take it");
        assert!(!stops(&with(8, 0x20), None), "it is from no link-local address");
        assert!(!stops(&with(NEXT_HEADER, 17), None), "UDP");
        assert!(stops(&with(NEXT_HEADER, 253), None), "a header that nobody knows");
    }

    proptest! {
        #[test]
        fn hostile_frames_never_panic(octets in prop::collection::vec(any::<u8>(), 0..120), next: u8) {
            let mut frame = ethernet(Mac([2; 6]), Mac([4; 6]), Family::V6.ethertype());
            let from = Forgery::ROUTER.into();
            frame.extend(packet::header(from, ALL_NODES.into(), next, 255, 0).unwrap());
            frame.extend(octets);
            stops(&frame, None);
            stops(&frame[..frame.len() / 2], None);
        }
    }
}

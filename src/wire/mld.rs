//! Multicast Listener Discovery: a general query of version 2 (RFC 3810 section 5.1) as a whole frame, and the groups in
//! the reports of both versions (RFC 3810 section 5.2, RFC 2710 section 3).

use std::net::{IpAddr, Ipv6Addr};

use super::{checksum::Checksum, frame::ethernet, icmp, neighbour::group_mac, packet};
use crate::model::{family::Family, mac::Mac};

/// The ICMPv6 type of a report of version 2.
pub const REPORT: u8 = 143;
/// The same of version 1.
const REPORT_OF_ONE: u8 = 131;
const QUERY: u8 = 130;
/// All nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// The most groups that are read of one report: more than fit into a packet of 1500 octets.
const MOST: usize = 80;
/// A hop-by-hop header with the Router Alert option for MLD (RFC 2711), before ICMPv6.
const ROUTER_ALERT: [u8; 8] = [58, 0, 5, 2, 0, 0, 1, 0];
/// Robustness and interval of a querier as RFC 3810 section 9 has them by default: 2 and 125 seconds.
const ROBUSTNESS: u8 = 2;
const INTERVAL_S: u8 = 125;

/// A frame that asks every listener of the link for its groups, to be answered within so many milliseconds.
pub fn general_query(mac: Mac, source: Ipv6Addr, within_ms: u16) -> Option<Vec<u8>> {
    let mut message = vec![QUERY, 0, 0, 0];
    message.extend(within_ms.min(0x7fff).to_be_bytes());
    message.extend([0, 0]);
    message.extend([0; 16]);
    message.extend([ROBUSTNESS, INTERVAL_S, 0, 0]);
    let protocol = icmp::protocol(Family::V6);
    let length = u32::try_from(message.len()).ok()?;
    let (from, to) = (IpAddr::from(source), IpAddr::from(ALL_NODES));
    let sum = Checksum::of_pseudo_header(from, to, protocol, length).plus(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let behind = u16::try_from(ROUTER_ALERT.len() + message.len()).ok()?;
    let mut frame = ethernet(mac, group_mac(ALL_NODES), Family::V6.ethertype());
    frame.extend(packet::header(from, to, 0, 1, behind)?);
    frame.extend(ROUTER_ALERT);
    frame.extend(message);
    Some(frame)
}

/// The groups that the sender of an ICMPv6 message listens to; `None` if it is no report. A record that says that nobody
/// listens any more is left out.
pub fn groups(message: &[u8]) -> Option<Vec<Ipv6Addr>> {
    match *message.first()? {
        REPORT_OF_ONE => Some(vec![address(message.get(8..24)?)?]),
        REPORT => Some(records(message)),
        _ => None,
    }
}

fn records(message: &[u8]) -> Vec<Ipv6Addr> {
    let mut rest = message.get(8..).unwrap_or_default();
    let mut found = Vec::new();
    while let Some((kind, group, behind)) = record(rest) {
        rest = behind;
        if is_listening(kind) {
            found.push(group);
        }
        if found.len() >= MOST {
            break;
        }
    }
    found
}

/// The kind of a record, its group and whether sources stand in it, and what follows.
fn record(octets: &[u8]) -> Option<((u8, u16), Ipv6Addr, &[u8])> {
    let [kind, more_words, high, low] = *octets.first_chunk()?;
    let sources = u16::from_be_bytes([high, low]);
    let group = address(octets.get(4..20)?)?;
    let length = 20 + usize::from(sources) * 16 + usize::from(more_words) * 4;
    Some(((kind, sources), group, octets.get(length..)?))
}

/// Including no source is listening to nobody (RFC 3810 section 5.2.12).
fn is_listening((kind, sources): (u8, u16)) -> bool {
    const INCLUDES: [u8; 2] = [1, 3];
    const BLOCKS: u8 = 6;
    kind != BLOCKS && !(INCLUDES.contains(&kind) && sources == 0)
}

fn address(octets: &[u8]) -> Option<Ipv6Addr> {
    Some(Ipv6Addr::from(*octets.first_chunk::<16>()?))
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::wire::frame;

    fn report(records: &[(u8, &str)]) -> Vec<u8> {
        let mut message = vec![REPORT, 0, 0, 0, 0, 0, 0, u8::try_from(records.len()).unwrap()];
        for (kind, group) in records {
            message.extend([*kind, 0, 0, 0]);
            message.extend(group.parse::<Ipv6Addr>().unwrap().octets());
        }
        message
    }

    #[test]
    fn a_query_is_read_as_one_by_a_parser() {
        let source = "fe80::1".parse().unwrap();
        let frame = general_query(Mac([2, 0, 0, 0, 0, 1]), source, 500).unwrap();
        let note = frame::decode(&frame, 0).unwrap();
        assert_eq!((note.icmp, note.hop_limit), (Some((QUERY, 0)), Some(1)));
        assert_eq!(note.source, Some(source.into()));
        let message = frame::icmpv6_message(&frame).unwrap();
        let sum =
            Checksum::of_pseudo_header(note.source.unwrap(), note.destination.unwrap(), 58, 28);
        assert_eq!(sum.plus(message).finish(), 0, "the checksum is right");
    }

    #[test]
    fn groups_that_somebody_listens_to_are_read_and_others_are_not() {
        let message = report(&[(4, "ff02::1:ff00:1"), (3, "ff02::fb"), (2, "ff02::2")]);
        let wanted: Vec<Ipv6Addr> =
            ["ff02::1:ff00:1", "ff02::2"].map(|g| g.parse().unwrap()).into();
        assert_eq!(groups(&message), Some(wanted));
        let mut of_one = vec![REPORT_OF_ONE, 0, 0, 0, 0, 0, 0, 0];
        of_one.extend("ff02::fb".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(groups(&of_one), Some(vec!["ff02::fb".parse().unwrap()]));
        assert_eq!(groups(&[128, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(octets in vec(any::<u8>(), 0..200)) {
            let _ = groups(&octets);
        }
    }
}

//! Reassembly: a translator needs the ports, which only the first fragment has, and the length of the whole, which the
//! checksum of ICMPv6 covers (RFC 6146 section 3.4, RFC 7915 section 1.2). Fragments that overlap are an attack and are
//! dropped together with what they overlap (RFC 5722).

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::datagram::Datagram;

/// Packets that may wait for their fragments at the same time.
const MOST_WAITING: usize = 64;
/// Octets of the largest packet.
const LARGEST: usize = 65_535;

/// By which the fragments of a packet are known.
type Key = (IpAddr, IpAddr, u8, u32);

/// Packets that wait for their fragments.
#[derive(Debug, Default)]
pub(super) struct Reassembly(BTreeMap<Key, Waiting>);

#[derive(Debug)]
struct Waiting {
    since: Duration,
    first: Option<Datagram>,
    pieces: BTreeMap<usize, Vec<u8>>,
    length: Option<usize>,
}

/// A packet that is whole again.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Whole {
    pub(super) datagram: Datagram,
    /// Octets of the largest piece that it came in: it fits through where it came from.
    pub(super) largest_piece: Option<usize>,
}

impl Reassembly {
    /// A packet that is whole already, or that this fragment makes whole.
    pub(super) fn take(
        &mut self,
        datagram: Datagram,
        now: Duration,
        patience: Duration,
    ) -> Option<Whole> {
        let Some(part) = datagram.part else {
            return Some(Whole { datagram, largest_piece: None });
        };
        self.0.retain(|_, waiting| waiting.since + patience > now);
        let protocol = datagram.protocol;
        let key = (datagram.source, datagram.destination, protocol, datagram.identification);
        if self.0.len() >= MOST_WAITING && !self.0.contains_key(&key) {
            return None;
        }
        let end = part.offset + datagram.payload.len();
        let waiting = self.0.entry(key).or_insert_with(|| Waiting {
            since: now,
            first: None,
            pieces: BTreeMap::new(),
            length: None,
        });
        let odd = part.more && !datagram.payload.len().is_multiple_of(8);
        if odd || end > LARGEST || waiting.overlaps(part.offset, end) {
            self.0.remove(&key);
            return None;
        }
        waiting.pieces.insert(part.offset, datagram.payload.clone());
        if !part.more {
            waiting.length = Some(end);
        }
        if part.offset == 0 {
            waiting.first = Some(datagram);
        }
        waiting.is_whole().then(|| self.0.remove(&key)).flatten()?.whole()
    }
}

impl Waiting {
    fn overlaps(&self, from: usize, to: usize) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.any(|(at, piece)| *at < to && from < at + piece.len() || *at == from)
            || self.length.is_some_and(|length| to > length)
    }

    fn is_whole(&self) -> bool {
        self.first.is_some() && self.length == Some(self.pieces.values().map(Vec::len).sum())
    }

    fn whole(self) -> Option<Whole> {
        let largest_piece = self.pieces.values().map(Vec::len).max();
        let payload: Vec<u8> = self.pieces.into_values().flatten().collect();
        let first = self.first?;
        let datagram =
            Datagram { part: None, may_be_split: true, declared: payload.len(), payload, ..first };
        Some(Whole { datagram, largest_piece })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    fn sent(length: usize) -> Datagram {
        Datagram {
            source: "192.0.2.1".parse().unwrap(),
            destination: "198.51.100.2".parse().unwrap(),
            traffic_class: 0,
            hop_limit: 64,
            protocol: 17,
            part: None,
            may_be_split: true,
            identification: 9,
            declared: length,
            payload: (0..length).map(|at| at.to_be_bytes()[7]).collect(),
        }
    }

    fn parts(of: &Datagram) -> Vec<Datagram> {
        of.write(596).iter().map(|packet| Datagram::read(packet).unwrap()).collect()
    }

    #[test]
    fn fragments_that_overlap_or_come_too_late_make_no_packet() {
        let parts = parts(&sent(1000));
        let mut waiting = Reassembly::default();
        let mut take =
            |part: &Datagram, at| waiting.take(part.clone(), Duration::from_secs(at), PATIENCE);
        assert_eq!(take(&parts[0], 0), None);
        assert_eq!(take(&parts[1], 3), None, "too late");
        assert_eq!(take(&parts[1], 3), None, "and now twice");
        assert_eq!(take(&parts[0], 3), None, "what overlapped is forgotten");
        assert!(take(&parts[1], 4).is_some());
    }

    proptest! {
        #[test]
        fn in_whatever_order_they_come(length in 600..5000_usize, order: u64) {
            let sent = sent(length);
            let mut parts = parts(&sent);
            let mut seed = order;
            for at in (1..parts.len()).rev() {
                parts.swap(at, usize::try_from(seed % (at as u64 + 1)).unwrap());
                seed = seed.rotate_left(13) ^ 0x9e37_79b9;
            }
            let mut waiting = Reassembly::default();
            let mut made: Vec<_> =
                parts.into_iter().filter_map(|p| waiting.take(p, Duration::ZERO, PATIENCE)).collect();
            prop_assert_eq!(made.len(), 1);
            let whole = made.remove(0);
            prop_assert_eq!(whole.datagram, sent);
            prop_assert_eq!(whole.largest_piece, Some(576));
        }
    }
}

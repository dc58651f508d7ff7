//! ICMP errors from one family into the other (RFC 7915 sections 4.2 and 5.2), without what they quote.

use std::net::{IpAddr, Ipv6Addr};

use super::datagram::Datagram;
use crate::{
    model::family::Family,
    wire::{checksum::Checksum, icmp, packet},
};

/// What translation adds to a packet on its way to IPv6: the difference of the fixed headers.
const DIFFERENCE: u32 = 20;
/// The smallest MTU of a link with IPv6 (RFC 8200 section 5).
const LEAST_MTU: u32 = 1280;
/// The largest packets that links of old could carry, for routers that do not say how large (RFC 1191 section 7.1).
const PLATEAUS: [u32; 10] = [65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296];

/// The beginning of an error: type, code, and the four octets behind the checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Error {
    pub(super) kind: u8,
    pub(super) code: u8,
    pub(super) rest: u32,
}

impl Error {
    /// Reads the beginning of a message and what it quotes; `None` where it is no error.
    pub(super) fn read(family: Family, message: &[u8]) -> Option<(Self, &[u8])> {
        let (head, quoted) = message.split_first_chunk::<8>()?;
        let [kind, code, _, _, r0, r1, r2, r3] = *head;
        let is_error = match family {
            Family::V4 => matches!(kind, 3 | 4 | 5 | 11 | 12),
            Family::V6 => kind < 128,
        };
        is_error.then_some(())?;
        // What a router appended to the quotation (RFC 4884) is left out.
        let unit = if family == Family::V4 { 4 } else { 8 };
        let length = if family == Family::V4 { r1 } else { r0 };
        let extended =
            length > 0 && matches!((family, kind), (Family::V4, 3 | 11 | 12) | (Family::V6, 1 | 3));
        let quoted = if extended {
            quoted.get(..usize::from(length) * unit).unwrap_or(quoted)
        } else {
            quoted
        };
        Some((Self { kind, code, rest: u32::from_be_bytes([r0, r1, r2, r3]) }, quoted))
    }

    /// In the other family; `None` for what has no counterpart and is dropped. `quoted` is the length of the packet that
    /// could not go on, by its header.
    pub(super) fn translated(self, from: Family, quoted: usize) -> Option<Self> {
        match from {
            Family::V4 => self.to_v6(quoted),
            Family::V6 => self.to_v4(),
        }
    }

    fn to_v6(self, quoted: usize) -> Option<Self> {
        let plain = |kind, code| Some(Self { kind, code, rest: 0 });
        match (self.kind, self.code) {
            (3, 2) => Some(Self { kind: 4, code: 1, rest: 6 }),
            (3, 3) => plain(1, 4),
            (3, 4) => Some(Self { kind: 2, code: 0, rest: mtu_to_v6(self.rest & 0xffff, quoted) }),
            (3, 0 | 1 | 5..=8 | 11 | 12) => plain(1, 0),
            (3, 9 | 10 | 13 | 15) => plain(1, 1),
            (11, code) => plain(3, code),
            (12, 0 | 2) => {
                let rest = match self.rest >> 24 {
                    same @ (0 | 1) => same,
                    2 | 3 => 4,
                    8 => 7,
                    9 => 6,
                    12..=15 => 8,
                    16..=19 => 24,
                    _ => return None,
                };
                Some(Self { kind: 4, code: 0, rest })
            }
            _ => None,
        }
    }

    fn to_v4(self) -> Option<Self> {
        let plain = |kind, code| Some(Self { kind, code, rest: 0 });
        match (self.kind, self.code) {
            (1, 0 | 2 | 3) => plain(3, 1),
            (1, 1) => plain(3, 10),
            (1, 4) => plain(3, 3),
            (2, _) => {
                let mtu = self.rest.saturating_sub(DIFFERENCE).min(0xffff);
                Some(Self { kind: 3, code: 4, rest: mtu })
            }
            (3, code) => plain(11, code),
            (4, 0) => {
                let pointer = match self.rest {
                    same @ (0 | 1) => same,
                    4 | 5 => 2,
                    6 => 9,
                    7 => 8,
                    8..=23 => 12,
                    24..=39 => 16,
                    _ => return None,
                };
                Some(Self { kind: 12, code: 0, rest: pointer << 24 })
            }
            (4, 1) => plain(3, 2),
            _ => None,
        }
    }

    /// The message, checksum zero.
    pub(super) fn write(self, quoted: &[u8]) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0];
        message.extend(self.rest.to_be_bytes());
        message.extend(quoted);
        message
    }
}

/// What is told to a user who asks for an address that is not translated to: communication is administratively prohibited
/// (RFC 4443 section 3.1). `None` for packets that nothing may be told of (section 2.4, point e).
pub fn prohibited(packet: &[u8], gateway: Ipv6Addr) -> Option<Vec<u8>> {
    const LONGEST: usize = 1280 - 48;
    const HOP_LIMIT: u8 = 64;
    let asked = Datagram::read_quoted(packet).ok()?;
    let IpAddr::V6(user) = asked.source else { return None };
    let family = Family::V6;
    let is_error = asked.protocol == icmp::protocol(family)
        && asked.payload.first().is_none_or(|kind| *kind < 128);
    let is_later = asked.part.is_some_and(|part| part.offset > 0);
    if is_error || is_later || user.is_unspecified() || user.is_multicast() {
        return None;
    }
    let quoted = &packet[..packet.len().min(LONGEST)];
    let mut message = Error { kind: 1, code: 1, rest: 0 }.write(quoted);
    let length = u16::try_from(message.len()).ok()?;
    let protocol = icmp::protocol(family);
    let sum = Checksum::of_pseudo_header(gateway.into(), user.into(), protocol, length.into());
    let sum = sum.plus(&message).finish();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut made = packet::header(gateway.into(), user.into(), protocol, HOP_LIMIT, length)?;
    made.extend(message);
    Some(made)
}

/// A router of old that names no MTU is taken to have the next smaller one of its time.
fn mtu_to_v6(said: u32, quoted: usize) -> u32 {
    let quoted = u32::try_from(quoted).unwrap_or(u32::MAX);
    let guessed = || PLATEAUS.into_iter().find(|plateau| *plateau < quoted).unwrap_or(LEAST_MTU);
    let mtu = if said == 0 { guessed() } else { said };
    (mtu + DIFFERENCE).max(LEAST_MTU)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: u8, code: u8, rest: u32) -> Error {
        Error { kind, code, rest }
    }

    #[test]
    fn too_big_is_translated_with_the_difference_of_the_headers() {
        let to_v6 = |mtu, quoted| error(3, 4, mtu).translated(Family::V4, quoted).map(|e| e.rest);
        assert_eq!(to_v6(1400, 1480), Some(1420));
        assert_eq!(to_v6(576, 1480), Some(1280), "never below what every IPv6 link carries");
        assert_eq!(to_v6(0, 1480), Some(1280), "the plateau below 1480 is 1006");
        assert_eq!(to_v6(0, 4000), Some(2022));
        let to_v4 = |mtu| error(2, 0, mtu).translated(Family::V6, 0).map(|e| e.rest);
        assert_eq!(to_v4(1400), Some(1380));
        assert_eq!(to_v4(1280), Some(1260));
    }

    #[test]
    fn the_tables_of_rfc_7915() {
        let to_v6 = |kind, code, rest| {
            error(kind, code, rest).translated(Family::V4, 100).map(|e| (e.kind, e.code, e.rest))
        };
        for (kind, code, expected) in [
            (3, 0, Some((1, 0, 0))),
            (3, 1, Some((1, 0, 0))),
            (3, 2, Some((4, 1, 6))),
            (3, 3, Some((1, 4, 0))),
            (3, 9, Some((1, 1, 0))),
            (3, 13, Some((1, 1, 0))),
            (3, 14, None),
            (4, 0, None),
            (5, 1, None),
            (11, 0, Some((3, 0, 0))),
            (11, 1, Some((3, 1, 0))),
        ] {
            assert_eq!(to_v6(kind, code, 0), expected, "{kind} {code}");
        }
        assert_eq!(to_v6(12, 0, 8 << 24), Some((4, 0, 7)));
        assert_eq!(to_v6(12, 0, 20 << 24), None, "options have no counterpart");
        assert_eq!(to_v6(12, 1, 0), None);
        let to_v4 = |kind, code, rest| {
            error(kind, code, rest).translated(Family::V6, 100).map(|e| (e.kind, e.code, e.rest))
        };
        for (kind, code, expected) in [
            (1, 0, Some((3, 1, 0))),
            (1, 1, Some((3, 10, 0))),
            (1, 4, Some((3, 3, 0))),
            (1, 5, None),
            (3, 0, Some((11, 0, 0))),
            (4, 1, Some((3, 2, 0))),
            (4, 2, None),
        ] {
            assert_eq!(to_v4(kind, code, 0), expected, "{kind} {code}");
        }
        assert_eq!(to_v4(4, 0, 7), Some((12, 0, 8 << 24)));
        assert_eq!(to_v4(4, 0, 2), None);
    }
}

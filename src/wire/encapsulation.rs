//! What plain tunnels put around a packet: nothing but the outer header (RFC 4213 section 3, RFC 2473 section 3), or a frame
//! and a header in a UDP datagram (VXLAN, RFC 7348 section 5). The outer header is the kernel's.

use super::frame::{ETHERNET_HEADER, ethernet, ethertype};
use crate::model::{family::Family, mac::Mac};

/// Octets of the header of VXLAN.
const VXLAN_HEADER: usize = 8;
/// The flag that says that a network identifier is there.
const HAS_IDENTIFIER: u8 = 0x08;

/// What stands between the outer header and a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Nothing: the protocol number of the outer header says what follows.
    Bare(Family),
    /// A header of VXLAN and a frame.
    Vxlan {
        /// The network identifier.
        identifier: u16,
        /// The sender of frames that leave, and the one that those which come are for.
        own: Mac,
        /// The other end.
        theirs: Mac,
    },
}

impl Envelope {
    /// What goes outside for a packet; `None` if it does not carry its family.
    pub fn wrap(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let family = family(packet)?;
        match self {
            Self::Bare(carried) => (family == *carried).then(|| packet.to_vec()),
            Self::Vxlan { identifier, own, theirs } => {
                let [high, low] = identifier.to_be_bytes();
                let mut datagram = vec![HAS_IDENTIFIER, 0, 0, 0, 0, high, low, 0];
                datagram.extend(ethernet(*own, *theirs, family.ethertype()));
                datagram.extend(packet);
                Some(datagram)
            }
        }
    }

    /// The packet in what came, and its family; `None` if it is not for this end.
    pub fn unwrap<'o>(&self, came: &'o [u8]) -> Option<(&'o [u8], Family)> {
        let packet = match self {
            Self::Bare(_) => came,
            Self::Vxlan { identifier, own, .. } => {
                let header = came.first_chunk::<VXLAN_HEADER>()?;
                let [high, low] = identifier.to_be_bytes();
                // Reserved bits are ignored; an identifier of more than 16 bits is of somebody else.
                let ours = header[0] & HAS_IDENTIFIER != 0 && header[4..7] == [0, high, low];
                let frame = came.get(VXLAN_HEADER..).filter(|_| ours)?;
                let packet = frame.get(ETHERNET_HEADER..).filter(|_| frame[..6] == own.0)?;
                (ethertype(frame)? == family(packet)?.ethertype()).then_some(packet)?
            }
        };
        let family = family(packet)?;
        match self {
            Self::Bare(carried) if family != *carried => None,
            _ => Some((packet, family)),
        }
    }
}

/// The family of a packet by its first octet.
fn family(packet: &[u8]) -> Option<Family> {
    match packet.first()? >> 4 {
        4 => Some(Family::V4),
        6 => Some(Family::V6),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const THEIRS: Mac = Mac([2, 0, 0, 0, 0, 2]);
    const HERE: Envelope = Envelope::Vxlan { identifier: 0x0102, own: OWN, theirs: THEIRS };
    const THERE: Envelope = Envelope::Vxlan { identifier: 0x0102, own: THEIRS, theirs: OWN };

    #[test]
    fn vxlan_is_written_as_the_rfc_draws_it() {
        let datagram = HERE.wrap(&[0x60, 1, 2]).unwrap();
        assert_eq!(datagram[..8], [8, 0, 0, 0, 0, 1, 2, 0]);
        assert_eq!(datagram[8..], [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 1, 2]);
        assert_eq!(THERE.unwrap(&datagram), Some((&[0x60, 1, 2][..], Family::V6)));
    }

    #[test]
    fn what_is_for_others_is_not_taken() {
        let datagram = HERE.wrap(&[0x45, 1]).unwrap();
        let spoilt = |at: usize, octet| {
            let mut datagram = datagram.clone();
            datagram[at] = octet;
            THERE.unwrap(&datagram).is_some()
        };
        assert!(spoilt(3, 9), "a reserved bit is nobody's business");
        assert!(!spoilt(0, 0), "no identifier");
        assert!(!spoilt(6, 3) && !spoilt(4, 1), "another identifier");
        assert!(!spoilt(8, 3), "another receiver");
        assert!(!spoilt(20, 0x86), "an EtherType that the packet belies");
    }

    #[test]
    fn a_bare_packet_is_of_the_family_that_its_kind_carries() {
        let six = Envelope::Bare(Family::V6);
        assert_eq!(six.wrap(&[0x60, 1]), Some(vec![0x60, 1]));
        assert_eq!(six.wrap(&[0x45, 1]), None);
        assert_eq!(six.unwrap(&[0x45, 1]), None);
        assert_eq!(six.unwrap(&[0x60]), Some((&[0x60][..], Family::V6)));
    }

    proptest! {
        #[test]
        fn any_octets_are_read_or_refused(came: Vec<u8>) {
            for envelope in [HERE, Envelope::Bare(Family::V4), Envelope::Bare(Family::V6)] {
                let _ = envelope.unwrap(&came);
            }
        }

        #[test]
        fn what_one_end_wraps_the_other_unwraps(rest: Vec<u8>, four: bool) {
            let mut packet = vec![if four { 0x45 } else { 0x60 }];
            packet.extend(rest);
            let wrapped = HERE.wrap(&packet).unwrap();
            prop_assert_eq!(THERE.unwrap(&wrapped).map(|(packet, _)| packet), Some(&packet[..]));
        }
    }
}

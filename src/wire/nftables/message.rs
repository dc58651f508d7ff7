//! A netlink message of netfilter: 16 octets of header, then four with the family, the version and a resource id.

use super::attribute::{Malformed, Writer, padded};
use super::kernel::flag;

const HEADER: usize = 16;
const FAMILY_HEADER: usize = 4;

/// A message that was received.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// Everything after the netlink header.
    pub(super) payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The `NFPROTO_*` of the object.
    pub(super) fn family(&self) -> u8 {
        self.payload.first().copied().unwrap_or(0)
    }

    /// In what the kernel sends, the low half of the number of the generation of the rules.
    pub(super) fn resource(&self) -> u16 {
        self.payload.get(2..FAMILY_HEADER).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
    }

    /// The attributes of the object.
    pub(super) fn attributes(&self) -> &'a [u8] {
        self.payload.get(FAMILY_HEADER..).unwrap_or_default()
    }
}

/// Splits what a socket gave into messages.
pub(super) fn messages(bytes: &[u8]) -> Result<Vec<Message<'_>>, Malformed> {
    let mut list = Vec::new();
    let mut rest = bytes;
    while let Some(head) = rest.first_chunk::<HEADER>() {
        let length = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let payload = rest.get(HEADER..length).ok_or(Malformed::Length {
            what: "a netlink message",
            said: length,
            present: rest.len(),
        })?;
        list.push(Message {
            kind: u16::from_ne_bytes([head[4], head[5]]),
            flags: u16::from_ne_bytes([head[6], head[7]]),
            sequence: u32::from_ne_bytes([head[8], head[9], head[10], head[11]]),
            payload,
        });
        rest = rest.get(padded(length)..).unwrap_or_default();
    }
    Ok(list)
}

/// The header of a message to be sent.
pub(super) struct Header {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) family: u8,
    /// Only batches use it: the number of the subsystem.
    pub(super) resource: u16,
}

/// Appends a message.
pub(super) fn append(bytes: &mut Vec<u8>, header: &Header, attributes: &Writer) {
    let length = HEADER + FAMILY_HEADER + attributes.bytes.len();
    let length = u32::try_from(length).expect("messages are short by construction");
    bytes.extend(length.to_ne_bytes());
    bytes.extend(header.kind.to_ne_bytes());
    bytes.extend((header.flags | flag::REQUEST).to_ne_bytes());
    bytes.extend(header.sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend([header.family, 0]);
    bytes.extend(header.resource.to_be_bytes());
    bytes.extend(&attributes.bytes);
}

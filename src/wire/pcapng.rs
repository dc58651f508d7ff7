//! Captures on disk: the pcapng format (draft-ietf-opsawg-pcapng), as far as a tap writes it.

/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const OPTION_COMMENT: u16 = 1;
const OPTION_NAME: u16 = 2;
const OPTION_RESOLUTION: u16 = 9;

/// The beginning of a file: a section with a comment, and its one interface, with times in nanoseconds.
pub fn header(interface: &str, comment: &str) -> Vec<u8> {
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend([1, 0, 0, 0]);
    // The length of the section is not known yet.
    section.extend([0xff; 8]);
    option(&mut section, OPTION_COMMENT, comment.as_bytes());
    option(&mut section, 0, &[]);
    let mut description = Vec::new();
    description.extend(ETHERNET.to_le_bytes());
    description.extend([0; 6]);
    option(&mut description, OPTION_NAME, interface.as_bytes());
    option(&mut description, OPTION_RESOLUTION, &[9]);
    option(&mut description, 0, &[]);
    let mut file = block(SECTION_HEADER, &section);
    file.extend(block(INTERFACE_DESCRIPTION, &description));
    file
}

/// A frame, with its time in nanoseconds since 1970.
pub fn packet(at_ns: u64, frame: &[u8]) -> Vec<u8> {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    let mut body = Vec::with_capacity(frame.len() + 24);
    body.extend([0; 4]);
    let [a, b, c, d, low @ ..] = at_ns.to_be_bytes();
    body.extend(u32::from_be_bytes([a, b, c, d]).to_le_bytes());
    body.extend(u32::from_be_bytes(low).to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(frame);
    block(ENHANCED_PACKET, &body)
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    // An option holds at most what two octets of length can say; a longer text is cut.
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend(code.to_le_bytes());
    body.extend(length.to_le_bytes());
    body.extend(&value[..usize::from(length)]);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let padded = body.len().next_multiple_of(4);
    let total = u32::try_from(padded + 12).unwrap_or(u32::MAX);
    let mut block = Vec::with_capacity(padded + 12);
    block.extend(kind.to_le_bytes());
    block.extend(total.to_le_bytes());
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(total.to_le_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_says_its_length_twice() {
        let mut file = header("lan-a", "a comment of odd length");
        file.extend(packet(1_700_000_000_123_456_789, &[1, 2, 3]));
        let mut rest = &file[..];
        let mut kinds = Vec::new();
        while !rest.is_empty() {
            let word = |at: usize| u32::from_le_bytes(*rest[at..].first_chunk().unwrap());
            let length = word(4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(length - 4) as usize, length);
            kinds.push(word(0));
            rest = &rest[length..];
        }
        assert_eq!(kinds, [SECTION_HEADER, INTERFACE_DESCRIPTION, ENHANCED_PACKET]);
    }
}

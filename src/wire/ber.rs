//! BER with tags of one octet and definite lengths (X.690 section 8.1), which is all that LDAP (RFC 4511 section 5.1)
//! and SNMP (RFC 3417 section 8) use. Lengths may be longer than they need to be, as some servers write them.

/// `INTEGER`.
pub const INTEGER: u8 = 0x02;
/// `OCTET STRING`.
pub const OCTET_STRING: u8 = 0x04;
/// `NULL`.
pub const NULL: u8 = 0x05;
/// `OBJECT IDENTIFIER`.
pub const OBJECT: u8 = 0x06;
/// `BOOLEAN`.
pub const BOOLEAN: u8 = 0x01;
/// `ENUMERATED`.
pub const ENUMERATED: u8 = 0x0a;
/// `SEQUENCE`.
pub const SEQUENCE: u8 = 0x30;
/// `SET`.
pub const SET: u8 = 0x31;

/// The most octets that an element may hold here: nothing that is asked for comes near.
const MOST: usize = 1 << 20;

/// Why octets are no element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBer {
    /// The end came first.
    #[error("an element ends after the last octet")]
    Short,
    /// The tag goes on in the next octet.
    #[error("a tag of more than one octet")]
    Tag,
    /// The length is not definite, or beyond what is taken here.
    #[error("a length that is not definite, or of more than {MOST} octets")]
    Length,
    /// Another tag than the one that belongs there.
    #[error("an element with tag {found:#04x} where {wanted:#04x} belongs")]
    Unexpected {
        /// What belongs there.
        wanted: u8,
        /// What is there.
        found: u8,
    },
    /// A number beyond 31 bits, or none.
    #[error("a number of {0} octets")]
    Number(usize),
}

/// An element: its tag and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'o> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub content: &'o [u8],
}

impl<'o> Element<'o> {
    /// What it holds, where it has this tag.
    pub fn expect(self, wanted: u8) -> Result<&'o [u8], BadBer> {
        let Self { tag: found, content } = self;
        if found == wanted { Ok(content) } else { Err(BadBer::Unexpected { wanted, found }) }
    }
}

/// How many octets the element at the start takes, header included; `None` while too few have come to tell. For
/// streams.
pub fn extent(octets: &[u8]) -> Result<Option<usize>, BadBer> {
    Ok(header(octets)?.map(|(header, content)| header + content))
}

/// The octets of the header and of the content.
fn header(octets: &[u8]) -> Result<Option<(usize, usize)>, BadBer> {
    let [tag, rest @ ..] = octets else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(BadBer::Tag);
    }
    let Some((first, rest)) = rest.split_first() else { return Ok(None) };
    let long = usize::from(first & 0x7f);
    if first & 0x80 == 0 {
        return Ok(Some((2, long)));
    }
    if !(1..=4).contains(&long) {
        return Err(BadBer::Length);
    }
    let Some(digits) = rest.get(..long) else { return Ok(None) };
    let content = digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit));
    if content > MOST { Err(BadBer::Length) } else { Ok(Some((2 + long, content))) }
}

/// Elements one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'o>(&'o [u8]);

impl<'o> Reader<'o> {
    /// Reads from the start of some octets.
    pub fn new(octets: &'o [u8]) -> Self {
        Self(octets)
    }

    /// The next element.
    pub fn element(&mut self) -> Result<Element<'o>, BadBer> {
        let (start, length) = header(self.0)?.ok_or(BadBer::Short)?;
        let content = self.0.get(start..start + length).ok_or(BadBer::Short)?;
        let tag = self.0[0];
        self.0 = &self.0[start + length..];
        Ok(Element { tag, content })
    }

    /// What the next element holds, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<&'o [u8], BadBer> {
        self.element()?.expect(tag)
    }

    /// The elements within the next one, which must have this tag.
    pub fn within(&mut self, tag: u8) -> Result<Self, BadBer> {
        self.expect(tag).map(Self)
    }

    /// The next element as a number that is not negative.
    pub fn number(&mut self, tag: u8) -> Result<u32, BadBer> {
        let content = self.expect(tag)?;
        let digits = match content {
            [0, digits @ ..] if !digits.is_empty() => digits,
            [first, ..] if *first & 0x80 != 0 => return Err(BadBer::Number(content.len())),
            digits => digits,
        };
        if !(1..=4).contains(&digits.len()) {
            return Err(BadBer::Number(content.len()));
        }
        Ok(digits.iter().fold(0, |sum, digit| sum << 8 | u32::from(*digit)))
    }

    /// Whether nothing is left.
    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// An element that holds some octets.
pub fn element(tag: u8, content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let mut octets = vec![tag];
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    match content.len() {
        0..=0x7f => octets.push(length[3]),
        0x80..=0xff => octets.extend([0x81, length[3]]),
        0x100..=0xffff => octets.extend([0x82, length[2], length[3]]),
        _ => octets.extend([0x84].into_iter().chain(length)),
    }
    octets.extend_from_slice(content);
    octets
}

/// An element that holds others.
pub fn nest<const N: usize>(tag: u8, parts: &[Vec<u8>; N]) -> Vec<u8> {
    element(tag, parts.concat())
}

/// A number that is not negative.
pub fn number(tag: u8, value: u32) -> Vec<u8> {
    // One octet in front, so that the first bit, the sign, is never set; then as few octets as hold it.
    let octets = [&[0][..], &value.to_be_bytes()].concat();
    let spare = octets.windows(2).take_while(|pair| pair[0] == 0 && pair[1] & 0x80 == 0).count();
    element(tag, &octets[spare..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_may_be_longer_than_it_needs_to_be() {
        let mut reader = Reader::new(&[0x04, 0x84, 0, 0, 0, 1, b'x']);
        assert_eq!(reader.expect(OCTET_STRING), Ok(&b"x"[..]));
        assert!(reader.is_at_end());
    }

    #[test]
    fn what_is_no_element_is_refused() {
        assert_eq!(Reader::new(&[0x04, 2, b'x']).element(), Err(BadBer::Short));
        assert_eq!(Reader::new(&[0x30, 0x80, 0, 0]).element(), Err(BadBer::Length));
        assert_eq!(
            Reader::new(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).element(),
            Err(BadBer::Length)
        );
        assert_eq!(Reader::new(&[0x1f, 1, 0]).element(), Err(BadBer::Tag));
        assert_eq!(Reader::new(&[INTEGER, 1, 0x80]).number(INTEGER), Err(BadBer::Number(1)));
        assert_eq!(Reader::new(&[INTEGER, 0]).number(INTEGER), Err(BadBer::Number(0)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tag in 0..0x1f_u8, content in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let octets = element(tag, &content);
            prop_assert_eq!(extent(&octets), Ok(Some(octets.len())));
            prop_assert_eq!(Reader::new(&octets).element(), Ok(Element { tag, content: &content }));
        }

        #[test]
        fn numbers_are_read_as_written(value in any::<u32>()) {
            prop_assert_eq!(Reader::new(&number(INTEGER, value)).number(INTEGER), Ok(value));
        }

        #[test]
        fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&octets);
            while reader.element().is_ok() {}
            prop_assert!(extent(&octets).is_err() || extent(&octets).is_ok());
        }
    }
}

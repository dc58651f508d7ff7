//! Netlink attributes: 16 bits of length and of type in host order, then the value, padded to four octets.

/// Why bytes are not messages of nf_tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A length points beyond the bytes that are there, or into the header itself.
    #[error("{what} says it is {said} octets long, but {present} octets are there")]
    Length {
        /// What carries the length.
        what: &'static str,
        /// What it says.
        said: usize,
        /// What is there.
        present: usize,
    },
    /// An attribute that the object cannot be without is not there, or is too short.
    #[error("attribute {kind} of {what} is missing or too short")]
    Missing {
        /// The object.
        what: &'static str,
        /// The number of the attribute.
        kind: u16,
    },
}

const HEADER: usize = 4;
/// The two top bits of a type say "nested" and "network order".
const KIND: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

/// The next multiple of four: where the next attribute or message begins.
pub(super) fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Writes attributes one after another.
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    pub(super) fn octets(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(HEADER + value.len()).expect("values are short by construction");
        self.bytes.extend(length.to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend(value);
        self.bytes.resize(padded(self.bytes.len()), 0);
    }

    /// A number, in network order as everywhere in nf_tables.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.octets(kind, &value.to_be_bytes());
    }

    pub(super) fn text(&mut self, kind: u16, value: &str) {
        self.octets(kind, &[value.as_bytes(), &[0]].concat());
    }

    pub(super) fn nest(&mut self, kind: u16, inside: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        inside(&mut inner);
        self.octets(kind | NESTED, &inner.bytes);
    }
}

/// The attributes of an object.
pub(super) struct Attributes<'a> {
    what: &'static str,
    list: Vec<(u16, &'a [u8])>,
}

impl<'a> Attributes<'a> {
    /// Splits bytes; `what` is the object that they belong to, for messages.
    pub(super) fn split(what: &'static str, mut bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut list = Vec::new();
        while let Some((head, _)) = bytes.split_at_checked(HEADER) {
            let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
            let kind = u16::from_ne_bytes([head[2], head[3]]) & KIND;
            let value = bytes.get(HEADER..length).ok_or(Malformed::Length {
                what,
                said: length,
                present: bytes.len(),
            })?;
            list.push((kind, value));
            bytes = bytes.get(padded(length)..).unwrap_or_default();
        }
        Ok(Self { what, list })
    }

    pub(super) fn find(&self, kind: u16) -> Option<&'a [u8]> {
        self.list.iter().find(|(found, _)| *found == kind).map(|(_, value)| *value)
    }

    pub(super) fn all(&self, kind: u16) -> impl Iterator<Item = &'a [u8]> {
        self.list.iter().filter(move |(found, _)| *found == kind).map(|(_, value)| *value)
    }

    pub(super) fn octets(&self, kind: u16) -> Result<&'a [u8], Malformed> {
        self.find(kind).ok_or(Malformed::Missing { what: self.what, kind })
    }

    pub(super) fn find_number(&self, kind: u16) -> Option<u32> {
        self.find(kind)?.first_chunk().map(|octets| u32::from_be_bytes(*octets))
    }

    pub(super) fn number(&self, kind: u16) -> Result<u32, Malformed> {
        self.find_number(kind).ok_or(Malformed::Missing { what: self.what, kind })
    }

    pub(super) fn find_long(&self, kind: u16) -> Option<u64> {
        self.find(kind)?.first_chunk().map(|octets| u64::from_be_bytes(*octets))
    }

    /// A text up to its NUL; foreign octets that are not UTF-8 are replaced, since names are only shown and compared.
    pub(super) fn text(&self, kind: u16) -> Result<String, Malformed> {
        let octets = self.octets(kind)?;
        let end = octets.iter().position(|octet| *octet == 0).unwrap_or(octets.len());
        Ok(String::from_utf8_lossy(&octets[..end]).into_owned())
    }

    pub(super) fn nested(&self, kind: u16) -> Result<Attributes<'a>, Malformed> {
        Attributes::split(self.what, self.octets(kind)?)
    }
}

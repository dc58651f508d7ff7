//! vici, the control protocol of strongSwan (README.md of its plugin of that name), as far as one tunnel needs it: requests
//! with sections, values and lists; responses and events, read as a flat list of values by their paths.

/// The longest message that the daemon takes or sends.
pub const MOST: usize = 512 * 1024;

const REQUEST: u8 = 0;
const RESPONSE: u8 = 1;
const UNKNOWN: u8 = 2;
const REGISTER: u8 = 3;
const CONFIRM: u8 = 5;
const UNKNOWN_EVENT: u8 = 6;
const EVENT: u8 = 7;

const SECTION: u8 = 1;
const SECTION_END: u8 = 2;
const VALUE: u8 = 3;
const LIST: u8 = 4;
const ITEM: u8 = 5;
const LIST_END: u8 = 6;

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadVici {
    /// Longer than any message is.
    #[error("a message of {0} octets, more than the protocol allows")]
    Length(usize),
    /// A kind of packet or of element that is not known.
    #[error("a part of the unknown kind {0}")]
    Kind(u8),
    /// A part that goes beyond the end, or an end of what was not begun.
    #[error("a message that ends too early or too often")]
    Shape,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// A name and its value.
    Value(&'static str, String),
    /// A name and several values.
    List(&'static str, Vec<String>),
    /// A name and what is below it.
    Section(String, Vec<Element>),
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The answer to a request: values by their paths, such as `success`.
    Response(Vec<(String, String)>),
    /// Something has happened.
    Event {
        /// What.
        name: String,
        /// Values by their paths, such as `lan/child-sas/ds-1/state`.
        values: Vec<(String, String)>,
    },
    /// An event will be told from now on.
    Confirmed,
    /// There is no such request or event.
    Unknown,
}

/// A request, with its length before it.
pub fn request(name: &str, message: &[Element]) -> Vec<u8> {
    let mut octets = vec![REQUEST];
    put_name(&mut octets, name);
    for element in message {
        put(&mut octets, element);
    }
    framed(&octets)
}

/// Asks to be told an event, with its length before it.
pub fn register(event: &str) -> Vec<u8> {
    let mut octets = vec![REGISTER];
    put_name(&mut octets, event);
    framed(&octets)
}

fn framed(octets: &[u8]) -> Vec<u8> {
    let length = u32::try_from(octets.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes()[..], octets].concat()
}

fn put_name(octets: &mut Vec<u8>, name: &str) {
    let name = &name.as_bytes()[..name.len().min(255)];
    octets.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    octets.extend(name);
}

fn put_value(octets: &mut Vec<u8>, value: &str) {
    let value = &value.as_bytes()[..value.len().min(usize::from(u16::MAX))];
    octets.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
    octets.extend(value);
}

fn put(octets: &mut Vec<u8>, element: &Element) {
    match element {
        Element::Value(name, value) => {
            octets.push(VALUE);
            put_name(octets, name);
            put_value(octets, value);
        }
        Element::List(name, items) => {
            octets.push(LIST);
            put_name(octets, name);
            for item in items {
                octets.push(ITEM);
                put_value(octets, item);
            }
            octets.push(LIST_END);
        }
        Element::Section(name, elements) => {
            octets.push(SECTION);
            put_name(octets, name);
            for element in elements {
                put(octets, element);
            }
            octets.push(SECTION_END);
        }
    }
}

/// Takes the first whole message from what has come so far; `None` where more has to come.
pub fn take(octets: &mut Vec<u8>) -> Result<Option<Said>, BadVici> {
    let Some(length) = octets.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MOST {
        return Err(BadVici::Length(length));
    }
    let Some(message) = octets.get(4..4 + length) else { return Ok(None) };
    let said = read(message)?;
    octets.drain(..4 + length);
    Ok(Some(said))
}

fn read(message: &[u8]) -> Result<Said, BadVici> {
    let mut rest = Rest(message);
    match rest.octet()? {
        RESPONSE => Ok(Said::Response(rest.values()?)),
        EVENT => Ok(Said::Event { name: rest.name()?, values: rest.values()? }),
        CONFIRM => Ok(Said::Confirmed),
        UNKNOWN | UNKNOWN_EVENT => Ok(Said::Unknown),
        kind => Err(BadVici::Kind(kind)),
    }
}

/// What has not been read yet.
struct Rest<'o>(&'o [u8]);

impl Rest<'_> {
    fn octet(&mut self) -> Result<u8, BadVici> {
        let (first, rest) = self.0.split_first().ok_or(BadVici::Shape)?;
        self.0 = rest;
        Ok(*first)
    }

    fn text(&mut self, length: usize) -> Result<String, BadVici> {
        let (text, rest) = self.0.split_at_checked(length).ok_or(BadVici::Shape)?;
        self.0 = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn name(&mut self) -> Result<String, BadVici> {
        let length = self.octet()?;
        self.text(usize::from(length))
    }

    fn value(&mut self) -> Result<String, BadVici> {
        let length = u16::from_be_bytes([self.octet()?, self.octet()?]);
        self.text(usize::from(length))
    }

    /// Everything that is left, each value with the names of the sections around it.
    fn values(&mut self) -> Result<Vec<(String, String)>, BadVici> {
        let (mut path, mut values) = (Vec::new(), Vec::new());
        while !self.0.is_empty() {
            match self.octet()? {
                SECTION | LIST => path.push(self.name()?),
                SECTION_END | LIST_END => drop(path.pop().ok_or(BadVici::Shape)?),
                VALUE => {
                    let name = self.name()?;
                    let whole = path.iter().chain([&name]).map(String::as_str).collect::<Vec<_>>();
                    values.push((whole.join("/"), self.value()?));
                }
                ITEM => values.push((path.join("/"), self.value()?)),
                kind => return Err(BadVici::Kind(kind)),
            }
        }
        if path.is_empty() { Ok(values) } else { Err(BadVici::Shape) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the protocol's own README, "Message format", but for its numbers: a section, a value, a list.
    const EXAMPLE: &[u8] = b"\x03\x04key1\x00\x06value1\
        \x01\x08section1\x01\x0bsub-section\x03\x04key2\x00\x06value2\x02\
        \x04\x05list1\x05\x00\x05item1\x05\x00\x05item2\x06\x02";

    fn example() -> Vec<Element> {
        let items = ["item1", "item2"].map(str::to_owned).to_vec();
        vec![
            Element::Value("key1", "value1".to_owned()),
            Element::Section(
                "section1".to_owned(),
                vec![
                    Element::Section(
                        "sub-section".to_owned(),
                        vec![Element::Value("key2", "value2".to_owned())],
                    ),
                    Element::List("list1", items),
                ],
            ),
        ]
    }

    #[test]
    fn a_request_is_as_the_protocol_says() {
        let sent = request("test", &example());
        let length = u32::try_from(EXAMPLE.len() + 6).unwrap().to_be_bytes();
        assert_eq!(sent, [&length[..], b"\x00\x04test", EXAMPLE].concat());
        assert_eq!(register("child-updown"), b"\x00\x00\x00\x0e\x03\x0cchild-updown");
    }

    #[test]
    fn what_is_said_is_read_by_paths_and_only_when_it_is_whole() {
        let event = [b"\x07\x04news", EXAMPLE].concat();
        let mut octets = framed(&event);
        octets.extend(framed(b"\x05"));
        let mut part = octets[..20].to_vec();
        assert_eq!(take(&mut part), Ok(None));
        let value = |path: &str, value: &str| (path.to_owned(), value.to_owned());
        let values = vec![
            value("key1", "value1"),
            value("section1/sub-section/key2", "value2"),
            value("section1/list1", "item1"),
            value("section1/list1", "item2"),
        ];
        assert_eq!(take(&mut octets), Ok(Some(Said::Event { name: "news".to_owned(), values })));
        assert_eq!(take(&mut octets), Ok(Some(Said::Confirmed)));
        assert_eq!(take(&mut octets), Ok(None));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        let taken = |octets: &[u8]| take(&mut framed(octets));
        assert_eq!(taken(b"\x09"), Err(BadVici::Kind(9)));
        assert_eq!(taken(b""), Err(BadVici::Shape));
        assert_eq!(taken(b"\x01\x02"), Err(BadVici::Shape));
        assert_eq!(taken(b"\x01\x01\x01a"), Err(BadVici::Shape));
        assert_eq!(take(&mut vec![0xff; 8]), Err(BadVici::Length(0xffff_ffff)));
    }

    proptest! {
        #[test]
        fn no_octets_panic(mut octets: Vec<u8>) {
            let _ = take(&mut octets.clone());
            let mut whole = framed(&octets);
            octets.clear();
            let _ = take(&mut whole);
        }
    }
}

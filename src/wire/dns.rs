//! DNS messages (RFC 1035) as a prober needs them: a query of exactly the wanted shape, and a reader that survives
//! what a broken server sends, for example an AAAA record of four octets (RFC 4074), and keeps it as evidence.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::hexadecimal;
use crate::model::{
    answer::DnsReply,
    name::DomainName,
    record::{Record, RecordData, RecordType},
};

/// The longest chain of compression pointers that is followed; a name has at most 127 labels.
const MOST_JUMPS: usize = 127;
const CLASS_INTERNET: u16 = 1;
const TYPE_OPT: u16 = 41;
const TYPE_HTTPS: u16 = 65;
/// Where the parameters of a service are hints at addresses (RFC 9460 section 14.3.2).
const IPV4_HINT: u16 = 4;
const IPV6_HINT: u16 = 6;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What tells the reply from others.
    pub id: u16,
    /// The name.
    pub name: DomainName,
    /// The type.
    pub rtype: RecordType,
    /// The payload size to announce with EDNS(0); `None` sends no OPT record.
    pub edns: Option<u16>,
    /// RD.
    pub recurse: bool,
    /// Whether every other letter of the name is a capital.
    pub mixed_case: bool,
}

/// Why a message is not a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Shorter than it says.
    #[error("the message ends within its {0}")]
    Short(&'static str),
    /// The id or the question is another, or QR is not set: not for this query.
    #[error("the message is not a reply to this query")]
    NotOurs,
}

impl Query {
    /// The query as it goes over UDP.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(64);
        message.extend(self.id.to_be_bytes());
        message.extend([u8::from(self.recurse), 0]);
        for count in [1, 0, 0, u16::from(self.edns.is_some())] {
            message.extend(count.to_be_bytes());
        }
        encode_name(&mut message, &self.written_name());
        message.extend(type_number(self.rtype).to_be_bytes());
        message.extend(CLASS_INTERNET.to_be_bytes());
        if let Some(size) = self.edns {
            // RFC 6891 section 6.1.2: root name, OPT, payload size as class, no flags, no options.
            message.push(0);
            message.extend(TYPE_OPT.to_be_bytes());
            message.extend(size.to_be_bytes());
            message.extend([0; 6]);
        }
        message
    }

    fn written_name(&self) -> String {
        let letter = |(at, letter): (usize, char)| match at % 2 {
            0 if self.mixed_case => letter.to_ascii_uppercase(),
            _ => letter,
        };
        self.name.as_str().chars().enumerate().map(letter).collect()
    }

    /// Reads the reply to this query.
    pub fn read(&self, message: &[u8]) -> Result<DnsReply, BadReply> {
        let mut reader = Reader { message, at: 0 };
        let header = reader.header()?;
        if header.id != self.id || header.flags & 0x8000 == 0 {
            return Err(BadReply::NotOurs);
        }
        for _ in 0..header.counts[0] {
            let name = reader.name().ok_or(BadReply::Short("question"))?;
            let rtype = reader.short().ok_or(BadReply::Short("question"))?;
            reader.short().ok_or(BadReply::Short("question"))?;
            if rtype != type_number(self.rtype) || !name.eq_ignore_ascii_case(self.name.as_str()) {
                return Err(BadReply::NotOurs);
            }
        }
        reader.sections(&header)
    }
}

struct Header {
    id: u16,
    flags: u16,
    counts: [u16; 4],
}

/// A resource record whose data stands at `data` in the message.
struct RawRecord<'m> {
    name: String,
    rtype: u16,
    ttl: u32,
    data: &'m [u8],
    data_at: usize,
}

struct Reader<'m> {
    message: &'m [u8],
    at: usize,
}

impl<'m> Reader<'m> {
    fn short(&mut self) -> Option<u16> {
        let octets = self.message.get(self.at..)?.first_chunk()?;
        self.at += 2;
        Some(u16::from_be_bytes(*octets))
    }

    fn header(&mut self) -> Result<Header, BadReply> {
        let mut field = || self.short().ok_or(BadReply::Short("header"));
        Ok(Header {
            id: field()?,
            flags: field()?,
            counts: [field()?, field()?, field()?, field()?],
        })
    }

    /// A name in text, with compression (RFC 1035 section 4.1.4). Labels are foreign octets: what is no ASCII letter,
    /// digit or hyphen is written as `\DDD`.
    fn name(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut at = self.at;
        let mut jumps = 0;
        loop {
            let length = usize::from(*self.message.get(at)?);
            match length & 0xc0 {
                0xc0 => {
                    let low = usize::from(*self.message.get(at + 1)?);
                    if jumps == 0 {
                        self.at = at + 2;
                    }
                    jumps += 1;
                    at = (length & 0x3f) << 8 | low;
                    (jumps <= MOST_JUMPS).then_some(())?;
                }
                0 if length == 0 => break,
                0 => {
                    push_label(&mut text, self.message.get(at + 1..=at + length)?);
                    (text.len() <= 1100).then_some(())?;
                    at += 1 + length;
                }
                _ => return None,
            }
        }
        if jumps == 0 {
            self.at = at + 1;
        }
        Some(text)
    }

    fn record(&mut self) -> Option<RawRecord<'m>> {
        let name = self.name()?;
        let rtype = self.short()?;
        self.short()?;
        let ttl = u32::from(self.short()?) << 16 | u32::from(self.short()?);
        let length = usize::from(self.short()?);
        let data_at = self.at;
        let data = self.message.get(data_at..data_at + length)?;
        self.at += length;
        Some(RawRecord { name, rtype, ttl, data, data_at })
    }

    fn sections(&mut self, header: &Header) -> Result<DnsReply, BadReply> {
        let mut reply = DnsReply {
            rcode: String::new(),
            authoritative: header.flags & 0x0400 != 0,
            recursion_available: header.flags & 0x0080 != 0,
            truncated: header.flags & 0x0200 != 0,
            answers: Vec::new(),
            has_soa: false,
            glue: Vec::new(),
            refers: Vec::new(),
            malformed: Vec::new(),
            octets: u32::try_from(self.message.len()).unwrap_or(u32::MAX),
        };
        let mut extended = 0;
        for (section, count) in header.counts.into_iter().enumerate().skip(1) {
            for _ in 0..count {
                let Some(record) = self.record() else {
                    // A truncated message may end anywhere (RFC 2181 section 9).
                    reply.rcode = rcode(header.flags & 0xf);
                    let broken =
                        if reply.truncated { Ok(reply) } else { Err(BadReply::Short("records")) };
                    return broken;
                };
                match (section, record.rtype) {
                    (1, _) => self.answer(&mut reply, &record),
                    (2, 2) => reply.refers.extend(self.read_record(&record)),
                    (2, 6) => reply.has_soa = true,
                    (3, 1 | 28) => reply.glue.extend(self.read_record(&record)),
                    (3, TYPE_OPT) => extended = u16::try_from(record.ttl >> 24).unwrap_or(0) << 4,
                    _ => {}
                }
            }
        }
        reply.rcode = rcode(extended | header.flags & 0xf);
        Ok(reply)
    }

    fn answer(&self, reply: &mut DnsReply, record: &RawRecord<'_>) {
        let wanted = match record.rtype {
            1 => 4,
            28 => 16,
            _ => record.data.len(),
        };
        if record.data.len() == wanted {
            reply.answers.extend(self.read_record(record));
        } else {
            reply.malformed.push(hexadecimal::digits(record.data));
        }
    }

    /// The addresses that an HTTPS record hints at: behind its priority and its name, which is not compressed (RFC 9460
    /// section 2.2).
    fn hints(&self, record: &RawRecord<'_>) -> Option<BTreeSet<IpAddr>> {
        let mut name = Reader { message: self.message, at: record.data_at + 2 };
        name.name()?;
        let mut rest = record.data.get(name.at.checked_sub(record.data_at)?..)?;
        let mut hints = BTreeSet::new();
        while !rest.is_empty() {
            let (key, length) = (short_at(rest, 0)?, usize::from(short_at(rest, 2)?));
            let value = rest.get(4..4 + length)?;
            let (old, new) = (value.as_chunks::<4>().0, value.as_chunks::<16>().0);
            match key {
                IPV4_HINT => hints.extend(old.iter().map(|octets| IpAddr::from(*octets))),
                IPV6_HINT => hints.extend(new.iter().map(|octets| IpAddr::from(*octets))),
                _ => {}
            }
            rest = &rest[4 + length..];
        }
        Some(hints)
    }

    /// A record of a type that is known here, where it is in order.
    fn read_record(&self, record: &RawRecord<'_>) -> Option<Record> {
        let inner_name = |skip| {
            Reader { message: self.message, at: record.data_at + skip }
                .name()?
                .to_ascii_lowercase()
                .parse()
                .ok()
        };
        let data = match record.rtype {
            1 => RecordData::Address(Ipv4Addr::from(<[u8; 4]>::try_from(record.data).ok()?).into()),
            28 => {
                RecordData::Address(Ipv6Addr::from(<[u8; 16]>::try_from(record.data).ok()?).into())
            }
            2 => RecordData::Server(inner_name(0)?),
            5 => RecordData::Alias(inner_name(0)?),
            12 => RecordData::Pointer(inner_name(0)?),
            15 if record.data.get(2..) == Some(&[0]) => RecordData::Mail(None),
            15 => RecordData::Mail(Some(inner_name(2)?)),
            16 => RecordData::Text(text(record.data)),
            TYPE_HTTPS => RecordData::Https(self.hints(record)?),
            _ => return None,
        };
        Some(Record { name: record.name.to_ascii_lowercase().parse().ok()?, data })
    }
}

/// The two octets at a place.
fn short_at(octets: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*octets.get(at..)?.first_chunk()?))
}

fn push_label(text: &mut String, label: &[u8]) {
    if !text.is_empty() {
        text.push('.');
    }
    for octet in label {
        if octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_') {
            text.push(char::from(*octet));
        } else {
            let _ = write!(text, "\\{octet:03}");
        }
    }
}

/// Character strings one after the other, as one text.
fn text(mut data: &[u8]) -> String {
    let mut whole = Vec::new();
    while let Some((length, rest)) = data.split_first() {
        let (string, after) = rest.split_at(rest.len().min(usize::from(*length)));
        whole.extend(string);
        data = after;
    }
    String::from_utf8_lossy(&whole).into_owned()
}

fn encode_name(message: &mut Vec<u8>, name: &str) {
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).expect("a label has at most 63 octets"));
        message.extend(label.as_bytes());
    }
    message.push(0);
}

/// RFC 1035 section 3.2.2, RFC 3596 section 2.1, RFC 9460 section 14.1.
fn type_number(rtype: RecordType) -> u16 {
    match rtype {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Cname => 5,
        RecordType::Soa => 6,
        RecordType::Ptr => 12,
        RecordType::Mx => 15,
        RecordType::Txt => 16,
        RecordType::Aaaa => 28,
        RecordType::Https => TYPE_HTTPS,
    }
}

/// The name of a response code (RFC 6895 section 2.3).
fn rcode(number: u16) -> String {
    let known = match number {
        0 => "NoError",
        1 => "FormErr",
        2 => "ServFail",
        3 => "NXDomain",
        4 => "NotImp",
        5 => "Refused",
        6 => "YXDomain",
        7 => "YXRRSet",
        8 => "NXRRSet",
        9 => "NotAuth",
        10 => "NotZone",
        16 => "BadVers",
        other => return format!("RCODE{other}"),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query() -> Query {
        Query {
            id: 0x1234,
            name: "portal.dc.test".parse().unwrap(),
            rtype: RecordType::Aaaa,
            edns: Some(1232),
            recurse: true,
            mixed_case: false,
        }
    }

    #[test]
    fn a_name_in_mixed_case_is_the_same_name() {
        let query = Query { mixed_case: true, ..query() };
        let sent = query.encode();
        assert!(sent.windows(6).any(|octets| octets == b"PoRtAl"), "{sent:?}");
        let mut reply = sent.clone();
        reply[2] |= 0x80;
        reply[11] = 0;
        reply.truncate(12 + 16 + 4);
        assert!(query.read(&reply).is_ok());
    }

    /// A reply: header flags, then answers as (type, data), each with the question's name by a pointer.
    fn reply(flags: u16, answers: &[(u16, &[u8])]) -> Vec<u8> {
        let query = Query { edns: None, ..query() }.encode();
        let mut message = query.clone();
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message[7] = u8::try_from(answers.len()).unwrap();
        for (rtype, data) in answers {
            message.extend([0xc0, 12]);
            message.extend(rtype.to_be_bytes());
            message.extend([0, 1, 0, 0, 0, 60]);
            message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            message.extend(*data);
        }
        message
    }

    #[test]
    fn the_query_is_what_another_implementation_reads() {
        let message = hickory_proto::op::Message::from_vec(&query().encode()).unwrap();
        assert_eq!(message.queries[0].name().to_string(), "portal.dc.test.");
        assert!(message.metadata.recursion_desired);
        assert_eq!(message.edns.unwrap().max_payload(), 1232);
    }

    #[test]
    fn an_aaaa_record_of_four_octets_is_kept_as_evidence() {
        let good: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let message = reply(0x8580, &[(28, &[192, 0, 2, 1]), (28, &good.octets())]);
        let read = query().read(&message).unwrap();
        assert_eq!(read.malformed, ["c0000201"]);
        assert_eq!(read.addresses().collect::<Vec<_>>(), [IpAddr::V6(good)]);
        assert!(read.authoritative && read.recursion_available && !read.truncated);
        assert_eq!(read.rcode, "NoError");
    }

    #[test]
    fn the_hints_of_a_service_are_read_and_broken_ones_are_none() {
        let query = Query { rtype: RecordType::Https, ..query() };
        let mut message = reply(0x8580, &[]);
        message[12 + 16 + 1] = 65;
        message[7] = 1;
        let data = [
            &[0, 1, 0, 0, 1, 0, 3, 2, b'h', b'2', 0, 4, 0, 4, 192, 0, 2, 1, 0, 6, 0, 16][..],
            &"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets(),
        ]
        .concat();
        let record =
            |length: u8| [&[0xc0, 12, 0, 65, 0, 1, 0, 0, 0, 60, 0, length][..], &data].concat();
        let whole = [message.clone(), record(38)].concat();
        let hints = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap()).into();
        assert_eq!(query.read(&whole).unwrap().answers[0].data, RecordData::Https(hints));
        let cut = [message, record(30)[..42].to_vec()].concat();
        assert!(query.read(&cut).unwrap().answers.is_empty());
    }

    #[test]
    fn a_reply_to_another_query_is_refused() {
        let other = Query { id: 1, ..query() };
        assert_eq!(other.read(&reply(0x8000, &[])), Err(BadReply::NotOurs));
        assert_eq!(query().read(&reply(0, &[])), Err(BadReply::NotOurs));
    }

    #[test]
    fn a_name_that_points_to_itself_ends() {
        let mut message = reply(0x8000, &[]);
        message[7] = 1;
        let own = u8::try_from(message.len()).unwrap();
        message.extend([0xc0, own, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(query().read(&message), Err(BadReply::Short("records")));
    }

    proptest! {
        #[test]
        fn hostile_messages_never_panic(mut octets: Vec<u8>) {
            if let Some(start) = octets.get_mut(..3) {
                start.copy_from_slice(&[0x12, 0x34, 0x80]);
            }
            let _ = query().read(&octets);
        }

        #[test]
        fn hostile_changes_of_a_good_reply_never_panic(at in 3..90usize, to: u8) {
            let mut message = reply(0x8180, &[(5, &[0xc0, 12]), (16, b"\x03abc"), (28, &[0; 16])]);
            if let Some(octet) = message.get_mut(at) {
                *octet = to;
            }
            let _ = query().read(&message);
        }
    }
}

//! DHCPv6 on the wire (RFC 8415, RFC 3646): what hosts, servers and relays here say, as values. Options that nobody here
//! speaks are passed over; whatever cannot be read is an error, never a panic.

use std::net::Ipv6Addr;

use crate::model::{mac::Mac, name::DomainName};

/// Where hosts listen.
pub const CLIENT_PORT: u16 = 546;
/// Where servers and relays listen.
pub const SERVER_PORT: u16 = 547;
/// All servers and relays of the link (RFC 8415 section 7.1).
pub const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// The most relays that a message may pass (RFC 8415 section 7.6).
pub const MOST_HOPS: u8 = 8;
/// The server has no address for the host (RFC 8415 section 21.13).
pub const NO_ADDRESSES: u16 = 2;
/// The server knows of no lease of the host (RFC 8415 section 21.13).
pub const NO_BINDING: u16 = 3;
/// Options that hosts ask for: resolvers and domains to search (RFC 3646).
pub const WANTED: [u16; 2] = [DNS, SEARCH];

const CLIENT_ID: u16 = 1;
const SERVER_ID: u16 = 2;
const IA_NA: u16 = 3;
const IA_ADDRESS: u16 = 5;
const OPTION_REQUEST: u16 = 6;
const ELAPSED: u16 = 8;
const RELAY_MESSAGE: u16 = 9;
const STATUS: u16 = 13;
const INTERFACE_ID: u16 = 18;
const DNS: u16 = 23;
const SEARCH: u16 = 24;

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DhcpError {
    /// It ends before its fixed part does.
    #[error("the message ends after {0} octets")]
    Short(usize),
    /// An option that reaches beyond the end.
    #[error("option {0} reaches beyond the end")]
    Long(u16),
    /// An option whose inside is not as it should be.
    #[error("option {0} cannot be read")]
    Odd(u16),
    /// A kind of message that nobody here speaks.
    #[error("message type {0} is not spoken here")]
    Kind(u8),
}

/// The kinds of messages between hosts and servers (RFC 8415 section 7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A host looks for servers.
    Solicit,
    /// A server offers.
    Advertise,
    /// A host takes an offer.
    Request,
    /// A host keeps what it has, from the server that gave it.
    Renew,
    /// A host keeps what it has, from whichever server.
    Rebind,
    /// A server gives.
    Reply,
    /// A host gives back.
    Release,
    /// A host asks for everything but addresses.
    InformationRequest,
}

impl Kind {
    const ALL: [(u8, Self); 8] = [
        (1, Self::Solicit),
        (2, Self::Advertise),
        (3, Self::Request),
        (5, Self::Renew),
        (6, Self::Rebind),
        (7, Self::Reply),
        (8, Self::Release),
        (11, Self::InformationRequest),
    ];

    fn of(octet: u8) -> Result<Self, DhcpError> {
        let found = Self::ALL.into_iter().find(|(number, _)| *number == octet);
        found.map(|(_, kind)| kind).ok_or(DhcpError::Kind(octet))
    }

    fn octet(self) -> u8 {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or(0, |(number, _)| number)
    }
}

/// A message between a host and a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is.
    pub kind: Kind,
    /// What tells one exchange from another: 24 bits.
    pub transaction: u32,
    /// The DUID of the host; empty where none is given.
    pub client: Vec<u8>,
    /// The DUID of the server; empty where none is given.
    pub server: Vec<u8>,
    /// The identity association of the host's addresses, where there is one.
    pub association: Option<Association>,
    /// The options that the host asks for.
    pub wanted: Vec<u16>,
    /// The status, where it is given.
    pub status: Option<u16>,
    /// The resolvers.
    pub dns: Vec<Ipv6Addr>,
    /// The domains to search.
    pub search: Vec<DomainName>,
}

/// An identity association for addresses (RFC 8415 section 21.4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Association {
    /// Its number on the host.
    pub id: u32,
    /// When the host asks its server anew, in seconds.
    pub renew_s: u32,
    /// When it asks any server, in seconds.
    pub rebind_s: u32,
    /// The addresses.
    pub addresses: Vec<Leased>,
    /// The status, where it is given.
    pub status: Option<u16>,
}

/// An address with its lifetimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leased {
    /// The address.
    pub address: Ipv6Addr,
    /// How long it is used for what is new, in seconds.
    pub preferred_s: u32,
    /// How long it may be used at all, in seconds.
    pub valid_s: u32,
}

/// A message that a relay carries (RFC 8415 section 9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// To the server, or back to the host.
    pub forward: bool,
    /// Relays that it has passed before.
    pub hops: u8,
    /// An address on the link of the host.
    pub link: Ipv6Addr,
    /// The host.
    pub peer: Ipv6Addr,
    /// What the relay calls the interface of the host.
    pub interface: Vec<u8>,
    /// The message that is carried.
    pub message: Vec<u8>,
}

/// The DUID of a host by its link-layer address (RFC 8415 section 11.4): it stays when everything else changes.
pub fn duid(mac: Mac) -> Vec<u8> {
    let mut duid = vec![0, 3, 0, 1];
    duid.extend(mac.0);
    duid
}

/// The link-layer address in such a DUID.
pub fn mac_of(duid: &[u8]) -> Option<Mac> {
    Some(Mac(duid.strip_prefix(&[0, 3, 0, 1])?.try_into().ok()?))
}

impl Message {
    /// A message without options.
    pub fn new(kind: Kind, transaction: u32) -> Self {
        Self {
            kind,
            transaction: transaction & 0x00ff_ffff,
            client: Vec::new(),
            server: Vec::new(),
            association: None,
            wanted: Vec::new(),
            status: None,
            dns: Vec::new(),
            search: Vec::new(),
        }
    }

    /// The octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.kind.octet()];
        out.extend(&self.transaction.to_be_bytes()[1..]);
        for (code, duid) in [(CLIENT_ID, &self.client), (SERVER_ID, &self.server)] {
            if !duid.is_empty() {
                option(&mut out, code, duid);
            }
        }
        if let Some(association) = &self.association {
            option(&mut out, IA_NA, &association.encode());
        }
        if !self.wanted.is_empty() {
            let codes: Vec<_> = self.wanted.iter().flat_map(|code| code.to_be_bytes()).collect();
            option(&mut out, OPTION_REQUEST, &codes);
        }
        if is_of_host(self.kind) {
            option(&mut out, ELAPSED, &[0, 0]);
        }
        status(&mut out, self.status);
        if !self.dns.is_empty() {
            let servers: Vec<_> = self.dns.iter().flat_map(Ipv6Addr::octets).collect();
            option(&mut out, DNS, &servers);
        }
        if !self.search.is_empty() {
            let names: Vec<_> = self.search.iter().flat_map(labels).collect();
            option(&mut out, SEARCH, &names);
        }
        out
    }

    /// Reads a message between a host and a server.
    pub fn decode(octets: &[u8]) -> Result<Self, DhcpError> {
        let ([kind, a, b, c], rest) =
            octets.split_first_chunk().ok_or(DhcpError::Short(octets.len()))?;
        let mut message = Self::new(Kind::of(*kind)?, u32::from_be_bytes([0, *a, *b, *c]));
        for (code, inside) in options(rest)? {
            match code {
                CLIENT_ID => message.client = inside.to_vec(),
                SERVER_ID => message.server = inside.to_vec(),
                IA_NA => message.association = Some(Association::decode(inside)?),
                OPTION_REQUEST => message.wanted = codes(inside)?,
                STATUS => message.status = Some(half(code, inside)?),
                DNS => message.dns = addresses(inside)?,
                SEARCH => message.search = names(inside)?,
                _ => {}
            }
        }
        Ok(message)
    }

    /// Whether the server says that it has nothing, for the whole or for the addresses.
    pub fn refusal(&self) -> Option<u16> {
        let inside = self.association.as_ref().and_then(|association| association.status);
        [self.status, inside].into_iter().flatten().find(|status| *status != 0)
    }
}

impl Association {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.id, self.renew_s, self.rebind_s] {
            out.extend(word.to_be_bytes());
        }
        for leased in &self.addresses {
            let mut inside = leased.address.octets().to_vec();
            inside.extend(leased.preferred_s.to_be_bytes());
            inside.extend(leased.valid_s.to_be_bytes());
            option(&mut out, IA_ADDRESS, &inside);
        }
        status(&mut out, self.status);
        out
    }

    fn decode(octets: &[u8]) -> Result<Self, DhcpError> {
        let word = |at: usize| word(IA_NA, octets, at);
        let mut association =
            Self { id: word(0)?, renew_s: word(4)?, rebind_s: word(8)?, ..Self::default() };
        for (code, inside) in options(&octets[12..])? {
            match code {
                IA_ADDRESS => association.addresses.push(leased(inside)?),
                STATUS => association.status = Some(half(code, inside)?),
                _ => {}
            }
        }
        Ok(association)
    }
}

impl Relayed {
    /// The octets.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.forward { 12 } else { 13 }, self.hops];
        out.extend(self.link.octets());
        out.extend(self.peer.octets());
        if !self.interface.is_empty() {
            option(&mut out, INTERFACE_ID, &self.interface);
        }
        option(&mut out, RELAY_MESSAGE, &self.message);
        out
    }

    /// Reads what a relay carries; `None` if it is a message between a host and a server.
    pub fn decode(octets: &[u8]) -> Result<Option<Self>, DhcpError> {
        let forward = match octets.first() {
            Some(12) => true,
            Some(13) => false,
            _ => return Ok(None),
        };
        let head = octets.get(..34).ok_or(DhcpError::Short(octets.len()))?;
        let address = |at: usize| {
            let octets: [u8; 16] = head[at..at + 16].try_into().expect("sixteen of them");
            Ipv6Addr::from(octets)
        };
        let mut relayed = Self {
            forward,
            hops: head[1],
            link: address(2),
            peer: address(18),
            interface: Vec::new(),
            message: Vec::new(),
        };
        for (code, inside) in options(&octets[34..])? {
            match code {
                INTERFACE_ID => relayed.interface = inside.to_vec(),
                RELAY_MESSAGE => relayed.message = inside.to_vec(),
                _ => {}
            }
        }
        if relayed.message.is_empty() {
            Err(DhcpError::Odd(RELAY_MESSAGE))
        } else {
            Ok(Some(relayed))
        }
    }
}

fn is_of_host(kind: Kind) -> bool {
    !matches!(kind, Kind::Advertise | Kind::Reply)
}

/// What is too long for an option is cut: nothing here is.
fn option(out: &mut Vec<u8>, code: u16, inside: &[u8]) {
    let length = u16::try_from(inside.len()).unwrap_or(u16::MAX);
    out.extend(code.to_be_bytes());
    out.extend(length.to_be_bytes());
    out.extend(&inside[..usize::from(length)]);
}

fn status(out: &mut Vec<u8>, status: Option<u16>) {
    if let Some(status) = status {
        option(out, STATUS, &status.to_be_bytes());
    }
}

fn options(mut rest: &[u8]) -> Result<Vec<(u16, &[u8])>, DhcpError> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let ([a, b, c, d], behind) =
            rest.split_first_chunk().ok_or(DhcpError::Short(rest.len()))?;
        let (code, length) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
        let (inside, behind) =
            behind.split_at_checked(usize::from(length)).ok_or(DhcpError::Long(code))?;
        found.push((code, inside));
        rest = behind;
    }
    Ok(found)
}

fn word(code: u16, octets: &[u8], at: usize) -> Result<u32, DhcpError> {
    let octets = octets.get(at..at + 4).and_then(|octets| octets.try_into().ok());
    octets.map(u32::from_be_bytes).ok_or(DhcpError::Odd(code))
}

fn half(code: u16, octets: &[u8]) -> Result<u16, DhcpError> {
    octets.first_chunk().map(|octets| u16::from_be_bytes(*octets)).ok_or(DhcpError::Odd(code))
}

fn codes(octets: &[u8]) -> Result<Vec<u16>, DhcpError> {
    octets.chunks(2).map(|pair| half(OPTION_REQUEST, pair)).collect()
}

fn leased(octets: &[u8]) -> Result<Leased, DhcpError> {
    Ok(Leased {
        address: *addresses(octets.get(..16).unwrap_or_default())?
            .first()
            .ok_or(DhcpError::Odd(IA_ADDRESS))?,
        preferred_s: word(IA_ADDRESS, octets, 16)?,
        valid_s: word(IA_ADDRESS, octets, 20)?,
    })
}

fn addresses(octets: &[u8]) -> Result<Vec<Ipv6Addr>, DhcpError> {
    let one = |octets: &[u8]| {
        let octets: [u8; 16] = octets.try_into().map_err(|_| DhcpError::Odd(DNS))?;
        Ok(Ipv6Addr::from(octets))
    };
    octets.chunks(16).map(one).collect()
}

/// A name in the form of DNS, without compression (RFC 8415 section 10).
fn labels(name: &DomainName) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.as_str().split('.').filter(|label| !label.is_empty()) {
        out.push(u8::try_from(label.len()).unwrap_or(63));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn names(mut rest: &[u8]) -> Result<Vec<DomainName>, DhcpError> {
    let odd = DhcpError::Odd(SEARCH);
    let mut found = Vec::new();
    while !rest.is_empty() {
        let mut name = String::new();
        loop {
            let (length, behind) = rest.split_first().ok_or(odd)?;
            let (label, behind) = behind.split_at_checked(usize::from(*length)).ok_or(odd)?;
            rest = behind;
            if label.is_empty() {
                break;
            }
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(std::str::from_utf8(label).map_err(|_| odd)?);
        }
        found.push(name.parse().map_err(|_| odd)?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 10]);

    fn reply() -> Message {
        Message {
            client: duid(MAC),
            server: duid(Mac([2, 0, 0, 0, 0, 1])),
            association: Some(Association {
                id: 1,
                renew_s: 1_800,
                rebind_s: 2_880,
                addresses: vec![Leased {
                    address: "2001:db8:1::10".parse().unwrap(),
                    preferred_s: 3_600,
                    valid_s: 7_200,
                }],
                status: None,
            }),
            dns: vec!["2001:db8::53".parse().unwrap()],
            search: vec!["dc.test".parse().unwrap(), "admin.test".parse().unwrap()],
            ..Message::new(Kind::Reply, 0x12_34_56)
        }
    }

    /// Written by hand from the figures of RFC 8415 sections 8, 11.4, 21.2 to 21.6, and RFC 3646.
    #[test]
    fn the_octets_are_those_of_the_figures() {
        let expected = [
            "07123456",
            "0001000a 00030001 02000000000a",
            "0002000a 00030001 020000000001",
            "00030028 00000001 00000708 00000b40",
            "00050018 20010db8000100000000000000000010 00000e10 00001c20",
            "00170010 20010db8000000000000000000000053",
            "00180015 02646304746573740005 61646d696e 047465737400",
        ];
        let digits = expected.concat().replace(' ', "");
        let octets = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let expected: Vec<u8> = (0..digits.len()).step_by(2).map(octets).collect();
        assert_eq!(reply().encode(), expected);
        assert_eq!(Message::decode(&expected), Ok(reply()));
        assert_eq!(mac_of(&duid(MAC)), Some(MAC));
    }

    #[test]
    fn what_is_relayed_comes_out_as_it_went_in() {
        let relayed = Relayed {
            forward: true,
            hops: 1,
            link: "2001:db8:1::1".parse().unwrap(),
            peer: "fe80::10".parse().unwrap(),
            interface: b"office".to_vec(),
            message: reply().encode(),
        };
        assert_eq!(Relayed::decode(&relayed.encode()), Ok(Some(relayed.clone())));
        assert_eq!(Relayed::decode(&reply().encode()), Ok(None));
        assert_eq!(Relayed::decode(&relayed.encode()[..33]), Err(DhcpError::Short(33)));
        let empty = Relayed { message: Vec::new(), ..relayed };
        assert!(Relayed::decode(&empty.encode()).is_err());
    }

    #[test]
    fn what_cannot_be_a_message_is_an_error() {
        let whole = reply().encode();
        assert_eq!(Message::decode(&[1, 0]), Err(DhcpError::Short(2)));
        assert_eq!(Message::decode(&[99, 0, 0, 0]), Err(DhcpError::Kind(99)));
        assert_eq!(Message::decode(&whole[..whole.len() - 1]), Err(DhcpError::Long(SEARCH)));
        assert_eq!(Message::decode(&[1, 0, 0, 0, 0, 23, 0, 1, 7]), Err(DhcpError::Odd(DNS)));
        assert_eq!(Message::decode(&[1, 0, 0, 0, 0, 3, 0, 2, 0, 0]), Err(DhcpError::Odd(IA_NA)));
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard(
            kind in 0..Kind::ALL.len(),
            transaction in 0..0x0100_0000_u32,
            (id, renew_s, rebind_s) in any::<(u32, u32, u32)>(),
            leased in prop::collection::vec(any::<([u8; 16], u32, u32)>(), 0..3),
            dns in prop::collection::vec(any::<[u8; 16]>().prop_map(Ipv6Addr::from), 0..4),
            wanted in prop::collection::vec(any::<u16>(), 0..4),
            status in any::<Option<u16>>(),
        ) {
            let leased = leased.into_iter().map(|(address, preferred_s, valid_s)| {
                Leased { address: address.into(), preferred_s, valid_s }
            });
            let association =
                Association { id, renew_s, rebind_s, addresses: leased.collect(), status };
            let said = Message {
                client: duid(MAC), association: Some(association), wanted, status, dns,
                ..Message::new(Kind::ALL[kind].1, transaction)
            };
            prop_assert_eq!(Message::decode(&said.encode()), Ok(said));
        }

        #[test]
        fn no_octets_make_it_panic(octets in prop::collection::vec(any::<u8>(), 0..200), first in 0..14_u8) {
            let mut octets = octets;
            if let Some(place) = octets.first_mut() {
                *place = first;
            }
            let _ = Message::decode(&octets);
            let _ = Relayed::decode(&octets);
        }
    }
}

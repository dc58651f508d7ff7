//! SNMPv2c as far as a manager needs it to see that an agent answers and knows the address that it is asked at: a `Get`
//! of `sysDescr` (RFC 3418) and of that address in the `ipAddressTable` of the IP-MIB (RFC 4293), which has room for
//! both families, as the older `ipAddrTable` has not.

use std::net::IpAddr;

use super::ber::{self, BadBer, INTEGER, NULL, OBJECT, OCTET_STRING, Reader, SEQUENCE};

/// Everybody may read with it; what is read here is no secret.
pub const COMMUNITY: &str = "public";

const VERSION_2C: u32 = 1;
const GET_REQUEST: u8 = 0xa0;
const RESPONSE: u8 = 0xa2;
const NO_SUCH_OBJECT: u8 = 0x80;
const NO_SUCH_INSTANCE: u8 = 0x81;
/// `sysDescr.0`: 1.3.6.1.2.1.1.1.0.
const SYS_DESCR: [u8; 8] = [0x2b, 6, 1, 2, 1, 1, 1, 0];
/// `ipAddressIfIndex`: 1.3.6.1.2.1.4.34.1.3, followed by the type, the length and the octets of an address.
const IF_INDEX: [u8; 9] = [0x2b, 6, 1, 2, 1, 4, 34, 1, 3];

/// Why octets are no answer of an agent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSnmp {
    /// No BER.
    #[error("the answer is no SNMP message: {0}")]
    Ber(#[from] BadBer),
    /// Another version than 2c.
    #[error("SNMP version number {0} instead of {VERSION_2C}, which is 2c")]
    Version(u32),
    /// Another message than the request asks for.
    #[error("an SNMP message with tag {0:#04x}")]
    Operation(u8),
    /// The answer to another request.
    #[error("the answer is to another request")]
    Id,
    /// The agent reports an error.
    #[error("the agent reports error {0}")]
    Error(u32),
    /// Not what was asked for.
    #[error("the agent answers about other objects than it was asked")]
    Objects,
}

/// What an agent tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What it says that it is. Foreign text.
    pub system: String,
    /// Whether the address that it was asked at stands in its table.
    pub knows_address: bool,
}

/// The objects that a manager asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Get {
    id: u32,
    community: Vec<u8>,
    objects: Vec<Vec<u8>>,
}

/// An object that an agent of this program knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// What it is.
    System,
    /// On which interface it has an address.
    Interface(IpAddr),
}

/// What an agent says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(u32),
    /// It has no such object.
    Nothing,
}

fn message(community: &[u8], operation: u8, id: u32, bindings: &[Vec<u8>]) -> Vec<u8> {
    let pdu = [
        ber::number(INTEGER, id),
        ber::number(INTEGER, 0), // no error
        ber::number(INTEGER, 0), // at no object
        ber::element(SEQUENCE, bindings.concat()),
    ];
    let version = ber::number(INTEGER, VERSION_2C);
    let community = ber::element(OCTET_STRING, community);
    ber::nest(SEQUENCE, &[version, community, ber::nest(operation, &pdu)])
}

fn binding(object: &[u8], value: Vec<u8>) -> Vec<u8> {
    ber::nest(SEQUENCE, &[ber::element(OBJECT, object), value])
}

/// A row of the table: subidentifiers above 127 take two octets (X.690 section 8.19.2).
fn row(address: IpAddr) -> Vec<u8> {
    let (kind, octets) = match address {
        IpAddr::V4(address) => (1, address.octets().to_vec()),
        IpAddr::V6(address) => (2, address.octets().to_vec()),
    };
    let length = u8::try_from(octets.len()).expect("an address has 4 or 16 octets");
    let mut row = [&IF_INDEX[..], &[kind, length]].concat();
    for octet in octets {
        if octet > 0x7f {
            row.push(0x81);
        }
        row.push(octet & 0x7f);
    }
    row
}

fn address_of(row: &[u8]) -> Option<IpAddr> {
    let [kind, length, digits @ ..] = row.strip_prefix(&IF_INDEX)? else { return None };
    let (mut octets, mut high) = (Vec::new(), 0);
    for digit in digits {
        match (digit, high) {
            (0x81, 0) => high = 0x80,
            (digit, _) if digit & 0x80 != 0 => return None,
            (digit, _) => octets.push(digit | std::mem::take(&mut high)),
        }
    }
    match (kind, length, high) {
        (1, 4, 0) => <[u8; 4]>::try_from(octets).ok().map(IpAddr::from),
        (2, 16, 0) => <[u8; 16]>::try_from(octets).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A request for what an agent is, and for the interface on which it has this address.
pub fn query(id: u32, address: IpAddr) -> Vec<u8> {
    let nothing = || ber::element(NULL, []);
    let bindings = [binding(&SYS_DESCR, nothing()), binding(&row(address), nothing())];
    message(COMMUNITY.as_bytes(), GET_REQUEST, id, &bindings)
}

/// The answer to `query(id, address)`.
pub fn read_told(octets: &[u8], id: u32, address: IpAddr) -> Result<Told, BadSnmp> {
    let (_, mut pdu) = open(octets, RESPONSE)?;
    if pdu.number(INTEGER)? != id {
        return Err(BadSnmp::Id);
    }
    let error = pdu.number(INTEGER)?;
    if error != 0 {
        return Err(BadSnmp::Error(error));
    }
    pdu.number(INTEGER)?;
    let mut bindings = pdu.within(SEQUENCE)?;
    let system = bound(&mut bindings, &SYS_DESCR)?.expect(OCTET_STRING)?;
    let interface = bound(&mut bindings, &row(address))?;
    Ok(Told {
        system: String::from_utf8_lossy(system).into_owned(),
        knows_address: interface.tag == INTEGER,
    })
}

/// The community and what the message holds, which must be this.
fn open(octets: &[u8], operation: u8) -> Result<(&[u8], Reader<'_>), BadSnmp> {
    let mut message = Reader::new(octets).within(SEQUENCE)?;
    match message.number(INTEGER)? {
        VERSION_2C => {}
        other => return Err(BadSnmp::Version(other)),
    }
    let community = message.expect(OCTET_STRING)?;
    let pdu = message.element()?;
    if pdu.tag != operation {
        return Err(BadSnmp::Operation(pdu.tag));
    }
    Ok((community, Reader::new(pdu.content)))
}

fn bound<'o>(bindings: &mut Reader<'o>, object: &[u8]) -> Result<ber::Element<'o>, BadSnmp> {
    let mut binding = bindings.within(SEQUENCE)?;
    let named = binding.expect(OBJECT)?;
    if named == object { Ok(binding.element()?) } else { Err(BadSnmp::Objects) }
}

/// What a manager asks.
pub fn read_get(octets: &[u8]) -> Result<Get, BadSnmp> {
    let (community, mut pdu) = open(octets, GET_REQUEST)?;
    let id = pdu.number(INTEGER)?;
    pdu.number(INTEGER)?;
    pdu.number(INTEGER)?;
    let (mut bindings, mut objects) = (pdu.within(SEQUENCE)?, Vec::new());
    while !bindings.is_at_end() {
        objects.push(bindings.within(SEQUENCE)?.expect(OBJECT)?.to_vec());
    }
    Ok(Get { id, community: community.to_vec(), objects })
}

impl Get {
    /// Whether it knows the word that agents of this program want.
    pub fn may_read(&self) -> bool {
        self.community == COMMUNITY.as_bytes()
    }

    /// The answer, object by object.
    pub fn answer(&self, value: impl Fn(Object) -> Value) -> Vec<u8> {
        let bindings = self.objects.iter().map(|name| {
            let object = match address_of(name) {
                Some(address) => Some(Object::Interface(address)),
                None => (*name == SYS_DESCR).then_some(Object::System),
            };
            let value = match object.map(&value) {
                Some(Value::Text(text)) => ber::element(OCTET_STRING, text),
                Some(Value::Number(number)) => ber::number(INTEGER, number),
                Some(Value::Nothing) => ber::element(NO_SUCH_INSTANCE, []),
                None => ber::element(NO_SUCH_OBJECT, []),
            };
            binding(name, value)
        });
        message(&self.community, RESPONSE, self.id, &bindings.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(address: IpAddr, known: bool) -> Result<Told, BadSnmp> {
        let get = read_get(&query(7, address)).unwrap();
        assert!(get.may_read());
        let answer = get.answer(|object| match object {
            Object::System => Value::Text("a box".to_owned()),
            Object::Interface(asked) if asked == address && known => Value::Number(2),
            Object::Interface(_) => Value::Nothing,
        });
        read_told(&answer, 7, address)
    }

    #[test]
    fn an_agent_is_understood() {
        for address in ["10.0.0.200", "2001:db8:ffff::80"] {
            let address = address.parse().unwrap();
            for knows_address in [true, false] {
                let told = Told { system: "a box".to_owned(), knows_address };
                assert_eq!(asked(address, knows_address), Ok(told));
            }
        }
    }

    /// `snmpget -v2c -c public HOST 1.3.6.1.2.1.1.1.0` of Net-SNMP.
    #[test]
    fn the_request_of_a_known_manager_is_understood() {
        let request = [
            0x30, 0x29, 2, 1, 1, 4, 6, b'p', b'u', b'b', b'l', b'i', b'c', 0xa0, 0x1c, 2, 4, 0x0b,
            0x35, 0x7a, 0x1f, 2, 1, 0, 2, 1, 0, 0x30, 0x0e, 0x30, 0x0c, 6, 8, 0x2b, 6, 1, 2, 1, 1,
            1, 0, 5, 0,
        ];
        let get = read_get(&request).unwrap();
        assert_eq!(get.objects, [SYS_DESCR.to_vec()]);
    }

    proptest! {
        #[test]
        fn rows_are_read_as_written(octets in any::<[u8; 16]>()) {
            prop_assert_eq!(address_of(&row(octets.into())), Some(octets.into()));
        }

        #[test]
        fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..96)) {
            let _ = read_get(&octets);
            let _ = read_told(&octets, 1, IpAddr::from([192, 0, 2, 1]));
            let _ = address_of(&octets);
        }

        #[test]
        fn a_damaged_request_never_panics(at in 0..64_usize, octet in any::<u8>()) {
            let mut request = query(1, IpAddr::from([192, 0, 2, 1]));
            let length = request.len();
            request[at % length] = octet;
            let _ = read_get(&request);
        }
    }
}

//! RADIUS (RFC 2865) as far as one log-in needs it: an Access-Request with name and hidden password, and the answer.
//! Both are signed by a Message-Authenticator (RFC 3579 section 3.2), without which anybody on the way could forge an
//! Access-Accept.

use std::net::IpAddr;

/// Octets before the attributes.
const HEADER: usize = 20;
/// Octets of an authenticator and of an MD5 sum.
const SUM: usize = 16;
/// Octets of a signature with its type and length.
const SIGNATURE: u8 = 18;
/// The longest packet (RFC 2865 section 3).
const MOST: usize = 4096;

const USER_NAME: u8 = 1;
const USER_PASSWORD: u8 = 2;
const NAS_IP_ADDRESS: u8 = 4;
const MESSAGE_AUTHENTICATOR: u8 = 80;
/// RFC 3162 section 2.1.
const NAS_IPV6_ADDRESS: u8 = 95;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Who may come in?
    Request = 1,
    /// This one.
    Accept = 2,
    /// Not this one.
    Reject = 3,
}

/// Why octets are no packet that can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRadius {
    /// Shorter than it says, or than any packet is.
    #[error("a packet of {0} octets, which is not what it says or what RADIUS allows")]
    Length(usize),
    /// Another code.
    #[error("a packet with code {0}")]
    Code(u8),
    /// An attribute that goes beyond the end.
    #[error("an attribute that ends after the packet")]
    Attribute,
    /// It is not signed with the secret that both sides have, or not about this request.
    #[error("a packet that is not signed with the common secret")]
    Signature,
}

/// A request to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Repeated in the answer.
    pub id: u8,
    /// Hard to guess; the answer is signed with it.
    pub authenticator: [u8; SUM],
    /// Who wants to come in.
    pub user: String,
    /// What proves it.
    pub password: String,
}

impl Request {
    /// The packet, from the device that asks.
    pub fn write(&self, secret: &[u8], nas: IpAddr) -> Vec<u8> {
        let (kind, nas) = match nas {
            IpAddr::V4(address) => (NAS_IP_ADDRESS, address.octets().to_vec()),
            IpAddr::V6(address) => (NAS_IPV6_ADDRESS, address.octets().to_vec()),
        };
        let mut password = self.password.clone().into_bytes();
        password.resize(password.len().next_multiple_of(SUM).max(SUM), 0);
        let attributes = [
            (USER_NAME, self.user.clone().into_bytes()),
            (USER_PASSWORD, hide(&password, secret, self.authenticator)),
            (kind, nas),
        ];
        let mut octets = packet(Code::Request, self.id, self.authenticator, &attributes);
        sign(&mut octets, secret);
        octets
    }

    /// What a device asks, if it knows the secret.
    pub fn read(octets: &[u8], secret: &[u8]) -> Result<Self, BadRadius> {
        let octets = whole(octets)?;
        if octets[0] != Code::Request as u8 {
            return Err(BadRadius::Code(octets[0]));
        }
        let (_, authenticator) = head(octets);
        check(octets, secret, authenticator)?;
        let text = |kind| {
            let found = attributes(octets)
                .flatten()
                .find(|(at, length)| octets[*at] == kind && *length >= 2);
            found.map_or(&[][..], |(at, length)| &octets[at + 2..at + length])
        };
        let mut password = show(text(USER_PASSWORD), secret, authenticator);
        password.truncate(password.iter().rposition(|octet| *octet != 0).map_or(0, |at| at + 1));
        Ok(Self {
            id: octets[1],
            authenticator,
            user: String::from_utf8_lossy(text(USER_NAME)).into_owned(),
            password: String::from_utf8_lossy(&password).into_owned(),
        })
    }

    /// The answer to it.
    pub fn answer(&self, code: Code, secret: &[u8]) -> Vec<u8> {
        let mut octets = packet(code, self.id, self.authenticator, &[]);
        sign(&mut octets, secret);
        let sum = md5::compute([&octets[..], secret].concat()).0;
        octets[4..HEADER].copy_from_slice(&sum);
        octets
    }

    /// What the answer says.
    pub fn read_answer(&self, octets: &[u8], secret: &[u8]) -> Result<Code, BadRadius> {
        let octets = whole(octets)?;
        let code = match octets[0] {
            2 => Code::Accept,
            3 => Code::Reject,
            other => return Err(BadRadius::Code(other)),
        };
        let (mut asked, sum) = (octets.to_vec(), head(octets).1);
        asked[4..HEADER].copy_from_slice(&self.authenticator);
        asked.extend_from_slice(secret);
        if octets[1] != self.id || md5::compute(&asked).0 != sum {
            return Err(BadRadius::Signature);
        }
        check(octets, secret, self.authenticator)?;
        Ok(code)
    }
}

fn packet(code: Code, id: u8, authenticator: [u8; SUM], attributes: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut octets = vec![code as u8, id, 0, 0];
    octets.extend(authenticator);
    // The signature goes first: whoever reads on does so knowing that it can trust the rest (Blast-RADIUS).
    octets.extend([MESSAGE_AUTHENTICATOR, SIGNATURE]);
    octets.extend([0; SUM]);
    for (kind, value) in attributes {
        let length = u8::try_from(value.len() + 2).unwrap_or(u8::MAX);
        octets.extend([*kind, length]);
        octets.extend(&value[..usize::from(length) - 2]);
    }
    let length = u16::try_from(octets.len()).unwrap_or(u16::MAX);
    octets[2..4].copy_from_slice(&length.to_be_bytes());
    octets
}

/// The octets that the length counts; what follows is padding.
fn whole(octets: &[u8]) -> Result<&[u8], BadRadius> {
    let bad = BadRadius::Length(octets.len());
    let length =
        usize::from(u16::from_be_bytes(*octets.get(2..).and_then(<[u8]>::first_chunk).ok_or(bad)?));
    if !(HEADER..=MOST).contains(&length) {
        return Err(bad);
    }
    let octets = octets.get(..length).ok_or(bad)?;
    attributes(octets).collect::<Result<Vec<_>, _>>()?;
    Ok(octets)
}

fn head(octets: &[u8]) -> (u8, [u8; SUM]) {
    (octets[0], *octets[4..].first_chunk().expect("a whole packet has a header"))
}

/// Where each attribute begins, and its octets with type and length.
fn attributes(octets: &[u8]) -> impl Iterator<Item = Result<(usize, usize), BadRadius>> {
    let mut at = HEADER;
    std::iter::from_fn(move || {
        if at >= octets.len() {
            return None;
        }
        let length = octets.get(at + 1).map_or(0, |length| usize::from(*length));
        let start = at;
        if length < 2 || start + length > octets.len() {
            at = octets.len();
            return Some(Err(BadRadius::Attribute));
        }
        at += length;
        Some(Ok((start, length)))
    })
}

/// Where the signature of a packet stands.
fn signature(octets: &[u8]) -> Option<usize> {
    let is = |(at, length): &(usize, usize)| {
        octets[*at] == MESSAGE_AUTHENTICATOR && *length == usize::from(SIGNATURE)
    };
    attributes(octets).flatten().find(is).map(|(at, _)| at + 2)
}

/// Puts the signature in; the authenticator must be that of the request.
fn sign(octets: &mut [u8], secret: &[u8]) {
    if let Some(at) = signature(octets) {
        let sum = hmac(secret, octets);
        octets[at..at + SUM].copy_from_slice(&sum);
    }
}

/// Whether the signature is right.
fn check(octets: &[u8], secret: &[u8], asked: [u8; SUM]) -> Result<(), BadRadius> {
    let at = signature(octets).ok_or(BadRadius::Signature)?;
    let mut unsigned = octets.to_vec();
    unsigned[4..HEADER].copy_from_slice(&asked);
    unsigned[at..at + SUM].fill(0);
    let right = hmac(secret, &unsigned) == octets[at..at + SUM];
    if right { Ok(()) } else { Err(BadRadius::Signature) }
}

/// RFC 2865 section 5.2: each block is hidden by a sum over the secret and the hidden block before it.
fn hide(password: &[u8], secret: &[u8], authenticator: [u8; SUM]) -> Vec<u8> {
    let mut hidden = authenticator.to_vec();
    for block in password.chunks(SUM) {
        let key = md5::compute([secret, &hidden[hidden.len() - SUM..]].concat()).0;
        hidden.extend(block.iter().zip(key).map(|(octet, key)| octet ^ key));
    }
    hidden.split_off(SUM)
}

fn show(hidden: &[u8], secret: &[u8], authenticator: [u8; SUM]) -> Vec<u8> {
    let mut before = &authenticator[..];
    let mut password = Vec::new();
    for block in hidden.chunks_exact(SUM) {
        let key = md5::compute([secret, before].concat()).0;
        password.extend(block.iter().zip(key).map(|(octet, key)| octet ^ key));
        before = block;
    }
    password
}

/// HMAC-MD5 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; SUM] {
    let mut block = if key.len() > 64 { md5::compute(key).0.to_vec() } else { key.to_vec() };
    block.resize(64, 0);
    let padded = |with: u8| block.iter().map(|octet| octet ^ with).collect::<Vec<_>>();
    let inner = md5::compute([&padded(0x36)[..], message].concat()).0;
    md5::compute([&padded(0x5c)[..], &inner].concat()).0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::hexadecimal;

    const SECRET: &[u8] = b"xyzzy5461";

    fn request(password: &str) -> Request {
        let (user, password) = ("sixwalk".to_owned(), password.to_owned());
        Request { id: 9, authenticator: [7; SUM], user, password }
    }

    #[test]
    fn a_request_and_its_answer_are_understood() {
        for nas in ["192.0.2.1", "2001:db8::1"] {
            let asked = request("a password that is longer than one block");
            let octets = asked.write(SECRET, nas.parse().unwrap());
            assert_eq!(Request::read(&octets, SECRET), Ok(asked.clone()));
            assert_eq!(Request::read(&octets, b"other"), Err(BadRadius::Signature));
            for code in [Code::Accept, Code::Reject] {
                assert_eq!(asked.read_answer(&asked.answer(code, SECRET), SECRET), Ok(code));
            }
        }
    }

    #[test]
    fn an_answer_that_was_changed_on_the_way_is_not_believed() {
        let asked = request("secret");
        let mut forged = asked.answer(Code::Reject, SECRET);
        forged[0] = Code::Accept as u8;
        assert_eq!(asked.read_answer(&forged, SECRET), Err(BadRadius::Signature));
    }

    /// RFC 2865 section 7.1: the password `arctangent`, hidden with this secret and authenticator.
    #[test]
    fn a_password_is_hidden_as_in_the_document() {
        let authenticator = [
            0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4,
            0x22, 0x7a,
        ];
        let mut password = b"arctangent".to_vec();
        password.resize(SUM, 0);
        let hidden = hide(&password, SECRET, authenticator);
        assert_eq!(hexadecimal::digits(&hidden), "0dbe708d93d413ce3196e43f782a0aee");
    }

    /// RFC 2202 section 2, case 2.
    #[test]
    fn a_signature_is_as_in_the_document() {
        let sum = hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hexadecimal::digits(&sum), "750c783e6ab0b503eaa86e310a5db738");
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange(mut octets in prop::collection::vec(any::<u8>(), 0..96), honest: bool) {
            if honest && octets.len() >= 4 {
                let length = u16::try_from(octets.len()).unwrap();
                octets[2..4].copy_from_slice(&length.to_be_bytes());
                octets[0] = octets[0] % 3 + 1;
            }
            let _ = Request::read(&octets, SECRET);
            let _ = request("x").read_answer(&octets, SECRET);
        }
    }
}

//! LDAP as far as everybody may speak it: the search for the root DSE, by which a server says who it is (RFC 4511
//! section 4.5, RFC 4512 section 5.1), and StartTLS (RFC 4511 section 4.14).

use super::ber::{
    self, BOOLEAN, BadBer, ENUMERATED, Element, INTEGER, OCTET_STRING, Reader, SEQUENCE, SET,
};

const BIND_REQUEST: u8 = 0x60;
const BIND_RESPONSE: u8 = 0x61;
const UNBIND_REQUEST: u8 = 0x42;
const SEARCH_REQUEST: u8 = 0x63;
const SEARCH_ENTRY: u8 = 0x64;
const SEARCH_DONE: u8 = 0x65;
const EXTENDED_REQUEST: u8 = 0x77;
const EXTENDED_RESPONSE: u8 = 0x78;
/// The name of an extended request (RFC 4511 section 4.12), and that of StartTLS.
const REQUEST_NAME: u8 = 0x80;
const START_TLS: &str = "1.3.6.1.4.1.1466.20037";
/// A reference that comes among entries (RFC 4511 section 4.5.3), and the referral of a result (section 4.1.10).
const SEARCH_REFERENCE: u8 = 0x73;
const REFERRALS: u8 = 0xa3;
/// The filter `(attribute=*)`.
const PRESENT: u8 = 0x87;
/// The attribute that lists what a server holds, and the one that lists what it speaks (RFC 4512 section 5.1).
const CONTEXTS: &str = "namingContexts";
const VERSION: &str = "supportedLDAPVersion";
/// The extended requests that a server knows.
const EXTENSIONS: &str = "supportedExtension";
/// Other servers, which a client may turn to where this one is not there.
const ALTERNATIVES: &str = "altServer";
/// A name that no directory holds: whoever sends those on who ask for what is not there sends on who asks for it.
pub const ELSEWHERE: &str = "dc=elsewhere,dc=invalid";
/// The most servers of an answer that are kept.
const MOST: usize = 16;

/// A result code: `success` (RFC 4511 section 4.1.9).
pub const SUCCESS: u32 = 0;
/// `protocolError`, which is also said to an extended request that is not known (section 4.12).
pub const PROTOCOL_ERROR: u32 = 2;
/// `referral`: others are to be asked.
pub const REFERRAL: u32 = 10;
/// `noSuchObject`: what is asked for is not there.
pub const NO_SUCH_OBJECT: u32 = 32;
/// `unwillingToPerform`: what is asked for is not done here.
pub const UNWILLING: u32 = 53;
/// Something stands in the way, such as operations that are outstanding.
pub const OPERATIONS_ERROR: u32 = 1;

/// Why octets are no answer to what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLdap {
    /// No BER.
    #[error("the answer is no LDAP message: {0}")]
    Ber(#[from] BadBer),
    /// The id of another message.
    #[error("the answer is to message {0}, which was not asked")]
    Id(u32),
    /// A message that answers something else.
    #[error("the answer has tag {0:#04x}, which is no answer to what was asked")]
    Operation(u8),
    /// It failed.
    #[error("the request ended with result {0}")]
    Result(u32),
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// To be known by a name, or by none.
    Bind,
    /// That is all.
    Unbind,
    /// For entries at or below a name.
    Search {
        /// The name; the root DSE has none.
        base: String,
    },
    /// To speak TLS from now on.
    StartTls,
    /// Anything else.
    Other,
}

/// What came of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// An entry: the naming contexts that it lists, the other servers, and whether TLS can be started.
    Entry {
        /// What is held.
        contexts: Vec<String>,
        /// Who else may be asked, as URLs.
        others: Vec<String>,
        /// Whether StartTLS is among the extensions.
        offers_tls: bool,
    },
    /// Who is to be asked for the rest, as URLs.
    Reference(Vec<String>),
    /// That was all: how it ended, and who is to be asked instead.
    Done {
        /// The result code.
        code: u32,
        /// The URLs of a referral.
        others: Vec<String>,
    },
}

fn message(id: u32, operation: Vec<u8>) -> Vec<u8> {
    ber::nest(SEQUENCE, &[ber::number(INTEGER, id), operation])
}

/// The search for the root DSE.
pub fn root_dse_query(id: u32) -> Vec<u8> {
    search(id, "")
}

/// The search for one entry.
pub fn search(id: u32, base: &str) -> Vec<u8> {
    let attributes =
        [CONTEXTS, VERSION, ALTERNATIVES, EXTENSIONS].map(|name| ber::element(OCTET_STRING, name));
    let search = [
        ber::element(OCTET_STRING, base),
        ber::number(ENUMERATED, 0), // this entry alone
        ber::number(ENUMERATED, 0), // aliases are not followed
        ber::number(INTEGER, 0),    // no limit of size
        ber::number(INTEGER, 0),    // nor of time
        ber::element(BOOLEAN, [0]), // values too
        ber::element(PRESENT, "objectClass"),
        ber::nest(SEQUENCE, &attributes),
    ];
    message(id, ber::nest(SEARCH_REQUEST, &search))
}

/// The request to speak TLS.
pub fn start_tls(id: u32) -> Vec<u8> {
    message(id, ber::nest(EXTENDED_REQUEST, &[ber::element(REQUEST_NAME, START_TLS)]))
}

/// Whether a message lets whoever sent the extended request with this id go on.
pub fn read_started(octets: &[u8], id: u32) -> Result<(), BadLdap> {
    let operation = operation(octets, id)?;
    if operation.tag != EXTENDED_RESPONSE {
        return Err(BadLdap::Operation(operation.tag));
    }
    match Reader::new(operation.content).number(ENUMERATED)? {
        SUCCESS => Ok(()),
        code => Err(BadLdap::Result(code)),
    }
}

/// What a message with this id holds.
fn operation(octets: &[u8], id: u32) -> Result<Element<'_>, BadLdap> {
    let mut message = Reader::new(octets).within(SEQUENCE)?;
    let answered = message.number(INTEGER)?;
    if answered != id {
        return Err(BadLdap::Id(answered));
    }
    Ok(message.element()?)
}

/// What a message says to the search with this id.
pub fn read_found(octets: &[u8], id: u32) -> Result<Found, BadLdap> {
    let operation = operation(octets, id)?;
    let mut inside = Reader::new(operation.content);
    match operation.tag {
        SEARCH_ENTRY => {
            inside.expect(OCTET_STRING)?;
            let attributes = inside.within(SEQUENCE)?;
            let others = values(attributes, ALTERNATIVES)?;
            let offers_tls = values(attributes, EXTENSIONS)?.iter().any(|oid| oid == START_TLS);
            Ok(Found::Entry { contexts: values(attributes, CONTEXTS)?, others, offers_tls })
        }
        SEARCH_REFERENCE => Ok(Found::Reference(urls(inside)?)),
        SEARCH_DONE => {
            let code = inside.number(ENUMERATED)?;
            let mut others = Vec::new();
            while !inside.is_at_end() {
                let part = inside.element()?;
                if part.tag == REFERRALS {
                    others = urls(Reader::new(part.content))?;
                }
            }
            Ok(Found::Done { code, others })
        }
        other => Err(BadLdap::Operation(other)),
    }
}

fn urls(mut all: Reader<'_>) -> Result<Vec<String>, BadBer> {
    let mut found = Vec::new();
    while !all.is_at_end() && found.len() < MOST {
        found.push(String::from_utf8_lossy(all.expect(OCTET_STRING)?).into_owned());
    }
    Ok(found)
}

/// The values of an attribute.
fn values(mut attributes: Reader<'_>, wanted: &str) -> Result<Vec<String>, BadBer> {
    let mut found = Vec::new();
    while !attributes.is_at_end() {
        let mut attribute = attributes.within(SEQUENCE)?;
        let name = attribute.expect(OCTET_STRING)?;
        let mut values = attribute.within(SET)?;
        while !values.is_at_end() {
            let value = values.expect(OCTET_STRING)?;
            if name.eq_ignore_ascii_case(wanted.as_bytes()) {
                found.push(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    Ok(found)
}

/// What a client asks, and the id of its message.
pub fn read_request(octets: &[u8]) -> Result<(u32, Request), BadBer> {
    let mut message = Reader::new(octets).within(SEQUENCE)?;
    let id = message.number(INTEGER)?;
    let operation = message.element()?;
    let request = match operation.tag {
        BIND_REQUEST => Request::Bind,
        UNBIND_REQUEST => Request::Unbind,
        SEARCH_REQUEST => {
            let base = Reader::new(operation.content).expect(OCTET_STRING)?;
            Request::Search { base: String::from_utf8_lossy(base).into_owned() }
        }
        EXTENDED_REQUEST => {
            let name = Reader::new(operation.content).expect(REQUEST_NAME)?;
            if name == START_TLS.as_bytes() { Request::StartTls } else { Request::Other }
        }
        _ => Request::Other,
    };
    Ok((id, request))
}

/// The root DSE: an entry without a name.
pub fn root_dse(id: u32, contexts: &[String], offers_tls: bool) -> Vec<u8> {
    let attribute = |name: &str, values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| ber::element(OCTET_STRING, value)).collect();
        ber::nest(SEQUENCE, &[ber::element(OCTET_STRING, name), ber::element(SET, values.concat())])
    };
    let contexts: Vec<_> = contexts.iter().map(String::as_str).collect();
    let mut attributes = vec![attribute(CONTEXTS, &contexts), attribute(VERSION, &["3"])];
    if offers_tls {
        attributes.push(attribute(EXTENSIONS, &[START_TLS]));
    }
    let entry = [ber::element(OCTET_STRING, ""), ber::element(SEQUENCE, attributes.concat())];
    message(id, ber::nest(SEARCH_ENTRY, &entry))
}

/// How a request ended, and who is to be asked instead; `None` for one that is not answered.
pub fn result(id: u32, request: &Request, code: u32, others: &[&str]) -> Option<Vec<u8>> {
    let tag = match request {
        Request::Bind => BIND_RESPONSE,
        Request::Search { .. } => SEARCH_DONE,
        Request::StartTls => EXTENDED_RESPONSE,
        Request::Unbind | Request::Other => return None,
    };
    let nothing = || ber::element(OCTET_STRING, "");
    let urls: Vec<_> = others.iter().map(|url| ber::element(OCTET_STRING, url)).collect();
    let referral =
        if urls.is_empty() { urls } else { vec![ber::element(REFERRALS, urls.concat())] };
    let parts = [ber::number(ENUMERATED, code), nothing(), nothing(), referral.concat()];
    Some(message(id, ber::nest(tag, &parts)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_search_and_its_answer_are_understood() {
        let (id, request) = read_request(&root_dse_query(7)).unwrap();
        assert_eq!((id, &request), (7, &Request::Search { base: String::new() }));
        let contexts = vec!["dc=dc,dc=test".to_owned()];
        for offers_tls in [true, false] {
            let entry = Found::Entry { contexts: contexts.clone(), others: Vec::new(), offers_tls };
            assert_eq!(read_found(&root_dse(7, &contexts, offers_tls), 7), Ok(entry));
        }
        let ended = |code, others: &[&str]| Found::Done {
            code,
            others: others.iter().map(|url| (*url).to_owned()).collect(),
        };
        let done = result(7, &request, SUCCESS, &[]).unwrap();
        assert_eq!(read_found(&done, 7), Ok(ended(SUCCESS, &[])));
        assert_eq!(read_found(&done, 8), Err(BadLdap::Id(7)));
        let others = ["ldap://10.2.0.7/", "ldap://[2001:db8::7]/"];
        let referred = result(7, &request, REFERRAL, &others).unwrap();
        assert_eq!(read_found(&referred, 7), Ok(ended(REFERRAL, &others)));
        let bound = result(7, &Request::Bind, SUCCESS, &[]).unwrap();
        assert_eq!(read_found(&bound, 7), Err(BadLdap::Operation(BIND_RESPONSE)));
    }

    #[test]
    fn tls_is_asked_for_and_begun_or_not() {
        let (id, request) = read_request(&start_tls(3)).unwrap();
        assert_eq!((id, &request), (3, &Request::StartTls));
        let said = |code| result(3, &request, code, &[]).unwrap();
        assert_eq!(read_started(&said(SUCCESS), 3), Ok(()));
        assert_eq!(read_started(&said(PROTOCOL_ERROR), 3), Err(BadLdap::Result(2)));
        assert_eq!(read_started(&said(SUCCESS), 4), Err(BadLdap::Id(3)));
        let bound = result(3, &Request::Bind, SUCCESS, &[]).unwrap();
        assert_eq!(read_started(&bound, 3), Err(BadLdap::Operation(BIND_RESPONSE)));
    }

    /// As OpenLDAP's `ldapsearch -x -s base -b '' namingContexts` sends it.
    #[test]
    fn the_query_of_a_known_client_is_understood() {
        let bind = [0x30, 0x0c, 0x02, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0];
        assert_eq!(read_request(&bind), Ok((1, Request::Bind)));
        let unbind = [0x30, 5, 2, 1, 3, 0x42, 0];
        assert_eq!(read_request(&unbind), Ok((3, Request::Unbind)));
    }

    proptest! {
        #[test]
        fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..96)) {
            let _ = read_request(&octets);
            let _ = (read_found(&octets, 1), read_started(&octets, 1));
        }

        #[test]
        fn a_damaged_answer_never_panics(at in 0..64_usize, octet in any::<u8>()) {
            let mut answer = root_dse(1, &["dc=test".to_owned()], true);
            let length = answer.len();
            answer[at % length] = octet;
            let _ = read_found(&answer, 1);
        }
    }
}

//! ESP of the kernel (XFRM): whether there is one, and the interface through which packets go to it.
//!
//! Whether there is one shows when an association is to be made (`XFRM_MSG_NEWSA`): policies are taken by kernels without it
//! too.

use netlink_packet_route::{
    RouteNetlinkMessage,
    route::{RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use netlink_sys::protocols;
use rtnetlink::{LinkMessageBuilder, LinkXfrm};

use super::{
    links::{self, address_family},
    namespace::Namespace,
    netlink::{Netlink, Request},
};
use crate::model::family::Family;

/// What ties policies and associations to the interface.
pub const TIE: u32 = 1;

const NEW_ASSOCIATION: u16 = 0x10;
/// Octets of `struct xfrm_usersa_info`, and where in it are what is set here.
const ASSOCIATION: usize = 224;
const DESTINATION: usize = 56;
const SPI: usize = 72;
const PROTOCOL: usize = 76;
const SOURCE: usize = 80;
const LIMITS: std::ops::Range<usize> = 96..128;
const FAMILY: usize = 212;
const MODE: usize = 214;

const ESP: u8 = 50;
const TUNNEL: u8 = 1;
/// The attribute of a cipher that authenticates too (`XFRMA_ALG_AEAD`), and the one that strongSwan is told here: AES-GCM
/// with a key of 128 bits, a salt of 32 and a check of 128 (RFC 4106).
const AEAD: u16 = 18;
const CIPHER: &[u8] = b"rfc4106(gcm(aes))";
const CIPHER_NAME: usize = 64;
const KEY_BITS: u32 = 160;
const CHECK_BITS: u32 = 128;

/// Tries to make an association and an interface, in a namespace that is gone afterwards. The error is the kernel's sentence.
pub fn offered() -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let namespace = Namespace::create().map_err(|error| said(&error))?;
    let xfrm = namespace.run(|| Netlink::of_protocol(protocols::NETLINK_XFRM));
    let made = xfrm.map_err(|error| said(&error))?.ask_raw(NEW_ASSOCIATION, 0, &association());
    made.map_err(|error| format!("no ESP: {error}"))?;
    let netlink = Netlink::open(&namespace).map_err(|error| said(&error))?;
    let made = netlink.ask(&interface("trial", links::FIRST)[0]);
    made.map_err(|error| format!("no XFRM interface: {error}"))
}

/// Makes an interface, up, to which everything goes that has no other route. What is sent on it, or comes from it, is what
/// goes into ESP and comes out of it.
pub fn interface(name: &str, index: u32) -> Vec<Request> {
    let link = LinkMessageBuilder::<LinkXfrm>::new(name).index(index).if_id(TIE).build();
    let made = Request::create(RouteNetlinkMessage::NewLink(link));
    let routes = Family::ALL.into_iter().map(|family| all_through(family, index));
    [made, links::bring_up(index)].into_iter().chain(routes).collect()
}

fn all_through(family: Family, index: u32) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(family);
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Static;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes.push(RouteAttribute::Oif(index));
    Request::create(RouteNetlinkMessage::NewRoute(message))
}

/// An association between two addresses for documentation (RFC 5737), with a key that nobody uses.
fn association() -> Vec<u8> {
    let mut octets = vec![0; ASSOCIATION];
    octets[DESTINATION..DESTINATION + 4].copy_from_slice(&[192, 0, 2, 2]);
    octets[SPI..SPI + 4].copy_from_slice(&0x100u32.to_be_bytes());
    octets[PROTOCOL] = ESP;
    octets[SOURCE..SOURCE + 4].copy_from_slice(&[192, 0, 2, 1]);
    octets[LIMITS].fill(0xff);
    octets[FAMILY..FAMILY + 2].copy_from_slice(&family_number().to_ne_bytes());
    octets[MODE] = TUNNEL;
    let mut cipher = CIPHER.to_vec();
    cipher.resize(CIPHER_NAME, 0);
    cipher.extend([KEY_BITS, CHECK_BITS].iter().flat_map(|bits| bits.to_ne_bytes()));
    cipher.extend((0..KEY_BITS / 8).map(|_| 0x5a));
    let length = u16::try_from(4 + cipher.len()).expect("a short attribute");
    octets.extend([length, AEAD].iter().flat_map(|half| half.to_ne_bytes()));
    octets.extend(cipher);
    octets
}

fn family_number() -> u16 {
    u16::try_from(libc::AF_INET).expect("a small number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_association_has_the_kernels_layout() {
        let octets = association();
        // Attributes are aligned to four octets: 4 of their head, 64 of the name, 8 of lengths, 20 of the key.
        assert_eq!(octets.len(), ASSOCIATION + 4 + 64 + 8 + 20);
        assert_eq!(octets[SPI..SPI + 5], [0, 0, 1, 0, ESP]);
        assert_eq!(
            octets[ASSOCIATION..ASSOCIATION + 4],
            [96u16.to_ne_bytes(), 18u16.to_ne_bytes()].concat()
        );
    }
}

//! `Question::Solicit`: a Router Solicitation, and the Router Advertisements that come (RFC 4861 section 6.3.7). Both
//! as frames, so that it also works where the node's own IPv6 is off, and shows the sender's link-layer address.

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use super::{Deadline, Vantage, by_hand::Hand, not_asked, within};
use crate::{
    model::{
        answer::{Answer, HeardAdvertisement},
        mac::Mac,
        name::InterfaceName,
    },
    wire::{
        filter, frame,
        neighbour::{group_mac, icmpv6_frame},
        ra::{self, ALL_ROUTERS},
    },
};

/// How long others are waited for after the first: routers answer within half a second (RFC 4861 section 10).
const AFTER_FIRST: Duration = Duration::from_secs(1);

pub(super) async fn ask(at: &Vantage, interface: &InterfaceName, deadline: Deadline) -> Answer {
    match solicit(at, interface, deadline).await {
        Ok(heard) => Answer::Advertisements { heard },
        Err(error) => {
            not_asked(format!("cannot solicit on `{interface}` of node `{}`: {error}", at.node))
        }
    }
}

async fn solicit(
    at: &Vantage,
    interface: &InterfaceName,
    mut deadline: Deadline,
) -> io::Result<Vec<HeardAdvertisement>> {
    let hand = Hand::open(at, interface, &filter::icmpv6(ra::ROUTER_ADVERTISEMENT))?;
    hand.send(&question(&hand)?)?;
    let mut heard: Vec<HeardAdvertisement> = Vec::new();
    let mut buffer = vec![0; 65_550];
    while let Ok(length) = within(deadline, hand.hear(&mut buffer)).await {
        let Some(advertisement) = read(&buffer[..length?]) else { continue };
        if heard.is_empty() {
            deadline = deadline.or_after(AFTER_FIRST);
        }
        if !heard.contains(&advertisement) {
            heard.push(advertisement);
        }
    }
    Ok(heard)
}

/// From the link-local address where there is one, else from the unspecified address and without the link-layer
/// address (RFC 4861 section 4.1).
fn question(hand: &Hand) -> io::Result<Vec<u8>> {
    let mac = hand.interface.mac.ok_or_else(|| io::Error::other("it has no link-layer address"))?;
    let (source, option) = match hand.interface.link_local() {
        Some(source) => (source, Some(mac)),
        None => (Ipv6Addr::UNSPECIFIED, None),
    };
    let message = ra::solicitation(option);
    icmpv6_frame(mac, group_mac(ALL_ROUTERS), source, ALL_ROUTERS, message)
        .ok_or_else(|| io::Error::other("the solicitation is too long"))
}

fn read(octets: &[u8]) -> Option<HeardAdvertisement> {
    let note = frame::decode(octets, 0)?;
    let message = frame::icmpv6_message(octets)?;
    ra::decode(message, note.source?, Some::<Mac>(note.source_mac), note.hop_limit?)
        .ok()
        .filter(|advertisement| matches!(advertisement.router, IpAddr::V6(_)))
}

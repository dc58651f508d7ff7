//! `Question::Listeners`: who listens to which groups of the link, asked as a querier asks (RFC 3810 section 5.1).

use std::{collections::BTreeMap, io, time::Duration};

use super::{Deadline, Vantage, by_hand::Hand, not_asked, within};
use crate::{
    model::{
        answer::{Answer, HeardListener},
        mac::Mac,
        name::InterfaceName,
    },
    wire::{filter, frame, mld},
};

/// How long listeners may take: each answers after a random time of at most this.
const WITHIN_MS: u16 = 200;
/// How long reports are waited for: a little longer.
const WAIT: Duration = Duration::from_millis(500);

pub(super) async fn ask(at: &Vantage, interface: &InterfaceName, deadline: Deadline) -> Answer {
    match query(at, interface, deadline).await {
        Ok(heard) => Answer::Listeners { heard },
        Err(error) => not_asked(format!(
            "cannot ask for listeners on `{interface}` of node `{}`: {error}",
            at.node
        )),
    }
}

async fn query(
    at: &Vantage,
    interface: &InterfaceName,
    deadline: Deadline,
) -> io::Result<Vec<HeardListener>> {
    let hand = Hand::open(at, interface, &filter::icmpv6(mld::REPORT))?;
    hand.send(&question(&hand)?)?;
    let until = deadline.or_after(WAIT);
    let mut heard = BTreeMap::<Mac, HeardListener>::new();
    let mut buffer = vec![0; 65_550];
    while let Ok(length) = within(until, hand.hear(&mut buffer)).await {
        let Some((mac, groups)) = read(&buffer[..length?]) else { continue };
        let listener =
            heard.entry(mac).or_insert_with(|| HeardListener { mac, groups: Vec::new() });
        listener.groups.extend(groups);
    }
    Ok(heard
        .into_values()
        .map(|mut listener| {
            listener.groups.sort();
            listener.groups.dedup();
            listener
        })
        .collect())
}

fn question(hand: &Hand) -> io::Result<Vec<u8>> {
    let asked = hand.interface.mac.zip(hand.interface.link_local());
    asked
        .and_then(|(mac, source)| mld::general_query(mac, source, WITHIN_MS))
        .ok_or_else(|| io::Error::other("it has no link-local address to ask from"))
}

fn read(octets: &[u8]) -> Option<(Mac, Vec<std::net::Ipv6Addr>)> {
    let note = frame::decode(octets, 0)?;
    Some((note.source_mac, mld::groups(frame::icmpv6_message(octets)?)?))
}

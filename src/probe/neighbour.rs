//! `Question::Neighbour`: who has an address, asked on the link itself. The node's neighbour cache has no part in it:
//! neither what it remembers nor what its filter lets in.

use std::{io, net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::{Deadline, Vantage, attempt::micros, by_hand::Hand, not_asked, within};
use crate::{
    model::{answer::Answer, family::Family, mac::Mac, name::InterfaceName},
    wire::{filter, neighbour},
};

/// How long an answer is waited for before the question is repeated: `RETRANS_TIMER` (RFC 4861 section 10).
const REPEAT: Duration = Duration::from_secs(1);
/// How long others are waited for after the first.
const AFTER_FIRST: Duration = Duration::from_secs(1);

pub(super) async fn ask(
    at: &Vantage,
    interface: &InterfaceName,
    whom: (IpAddr, Option<Mac>),
    deadline: Deadline,
) -> Answer {
    let target = whom.0;
    match solicit(at, interface, whom, deadline).await {
        Ok((macs, took)) => Answer::Neighbour { macs, took_us: micros(took) },
        Err(error) => not_asked(format!(
            "cannot ask for {target} on `{interface}` of node `{}`: {error}",
            at.node
        )),
    }
}

async fn solicit(
    at: &Vantage,
    interface: &InterfaceName,
    (target, known): (IpAddr, Option<Mac>),
    deadline: Deadline,
) -> io::Result<(Vec<Mac>, Duration)> {
    let family = Family::of(target);
    let program = match family {
        Family::V4 => filter::arp(),
        Family::V6 => filter::icmpv6(neighbour::ADVERTISEMENT),
    };
    let hand = Hand::open(at, interface, &program)?;
    let question = question(&hand, family, (target, known))?;
    let begun = Instant::now();
    let mut took = Duration::ZERO;
    let mut macs: Vec<Mac> = Vec::new();
    let mut buffer = vec![0; 65_550];
    while macs.is_empty() && !deadline.has_passed() {
        hand.send(&question)?;
        let mut until = deadline.or_after(REPEAT);
        while let Ok(length) = within(until, hand.hear(&mut buffer)).await {
            let Some(mac) = neighbour::answer(&buffer[..length?], target) else { continue };
            if macs.is_empty() {
                took = begun.elapsed();
                until = deadline.or_after(AFTER_FIRST);
            }
            if !macs.contains(&mac) {
                macs.push(mac);
            }
        }
    }
    Ok((macs, if took.is_zero() { begun.elapsed() } else { took }))
}

fn question(
    hand: &Hand,
    family: Family,
    (target, known): (IpAddr, Option<Mac>),
) -> io::Result<Vec<u8>> {
    let asked = hand.interface.mac.zip(hand.interface.source(family));
    asked
        .and_then(|(mac, source)| neighbour::question(mac, source, target, known))
        .ok_or_else(|| io::Error::other(format!("it has no {family} address to ask from")))
}

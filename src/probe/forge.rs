//! `Question::Forge`: a Router Advertisement that nobody may send from here. `Answered` says that it has left the node;
//! whether it is delivered is for a tap to tell.

use std::{io, net::SocketAddr};

use super::{Vantage, attempt::Course, by_hand::Hand, not_asked};
use crate::{
    model::{
        answer::{Answer, Attempt, Outcome},
        guard::Forgery,
        name::InterfaceName,
    },
    wire::{filter, ra_guard},
};

pub(super) fn ask(at: &Vantage, interface: &InterfaceName, how: Forgery, token: &str) -> Answer {
    match send(at, interface, how, token) {
        Ok(attempt) => Answer::Echo { attempt },
        Err(error) => {
            not_asked(format!("cannot send {how} by `{interface}` of node `{}`: {error}", at.node))
        }
    }
}

fn send(at: &Vantage, interface: &InterfaceName, how: Forgery, token: &str) -> io::Result<Attempt> {
    let everybody = SocketAddr::new(ra_guard::ALL_NODES.into(), 0);
    let mut course = Course::start(everybody);
    course.source = Some(SocketAddr::new(Forgery::ROUTER.into(), 0));
    let hand = Hand::open(at, interface, &filter::nothing())?;
    let mac = hand.interface.mac.ok_or_else(|| io::Error::other("it has no link-layer address"))?;
    let frames = ra_guard::forged(how, mac, token)
        .ok_or_else(|| io::Error::other("the token is too long for one packet"))?;
    frames.iter().try_for_each(|frame| hand.send(frame))?;
    Ok(course.end(Outcome::Answered))
}

//! `Question::Time` and `Question::LateTime`: NTP queries.

use std::net::SocketAddr;

use super::{
    Deadline, Vantage,
    call::{Call, always, fresh},
};
use crate::{
    model::answer::{Answer, Attempt, Outcome},
    net::socket::Speech,
    wire::sntp::{self, BadTime},
};

pub(super) async fn ask(at: &Vantage, to: SocketAddr, deadline: Deadline) -> Answer {
    put(at, to, fresh(), deadline).await
}

/// Asks for an answer that comes late.
pub(super) async fn ask_late(at: &Vantage, to: SocketAddr, s: u16, deadline: Deadline) -> Answer {
    let number = u16::try_from(fresh() & 0xffff).expect("masked to 16 bits");
    put(at, to, sntp::late_nonce(s, number), deadline).await
}

async fn put(at: &Vantage, to: SocketAddr, nonce: u64, deadline: Deadline) -> Answer {
    match exchange(at, to, nonce, deadline).await {
        Ok((attempt, stratum)) => Answer::Time { attempt, stratum },
        Err(attempt) => Answer::Time { attempt: *attempt, stratum: None },
    }
}

/// Asks. The socket is connected: an answer from another address of the server does not arrive, as it must not.
async fn exchange(
    at: &Vantage,
    to: SocketAddr,
    nonce: u64,
    deadline: Deadline,
) -> Result<(Attempt, Option<u8>), Box<Attempt>> {
    let mut call = Call::open(at, Speech::Datagram, to, None, |_| Ok(()))?;
    call.send(&sntp::query(nonce))?;
    let read = |packet: &[u8]| match sntp::read_stratum(packet, nonce) {
        Err(BadTime::Origin) => None,
        said => Some(said),
    };
    match call.wait(deadline, read, always).await? {
        Ok(stratum) => Ok((call.course.end(Outcome::Answered), Some(stratum))),
        Err(bad) => Ok((call.course.end(Outcome::Garbled { what: bad.to_string() }), None)),
    }
}

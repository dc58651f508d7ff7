//! `Question::Datagram`: a datagram to an echo service (RFC 862).

use std::net::SocketAddr;

use super::{
    Deadline, Vantage,
    call::{Call, always, fresh},
};
use crate::{
    model::answer::{Answer, Attempt, Outcome},
    net::socket::Speech,
};

pub(super) async fn ask(at: &Vantage, to: SocketAddr, size: u16, deadline: Deadline) -> Answer {
    Answer::Echo { attempt: exchange(at, to, size, deadline).await.unwrap_or_else(|a| *a) }
}

async fn exchange(
    at: &Vantage,
    to: SocketAddr,
    size: u16,
    deadline: Deadline,
) -> Result<Attempt, Box<Attempt>> {
    let mut call = Call::open(at, Speech::Datagram, to, None, |_| Ok(()))?;
    let sent = payload(size);
    call.send(&sent)?;
    let same = call.wait(deadline, |message| Some(message == sent), always).await?;
    let outcome = if same {
        Outcome::Answered
    } else {
        Outcome::Garbled { what: "what came back is not what was sent".to_owned() }
    };
    Ok(call.course.end(outcome))
}

/// A number of its own, repeated to the size.
fn payload(size: u16) -> Vec<u8> {
    fresh().to_be_bytes().into_iter().cycle().take(usize::from(size)).collect()
}

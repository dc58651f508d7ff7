//! `Question::Radius`: a device asks whether a user may come in.

use std::net::{IpAddr, SocketAddr};

use super::{
    Deadline, Vantage,
    call::{Call, always, fresh, fresh_short},
};
use crate::{
    model::{
        answer::{Answer, Attempt, Outcome},
        service::TESTBED_USER,
    },
    net::socket::Speech,
    wire::radius::{Code, Request},
};

pub(super) async fn ask(at: &Vantage, to: SocketAddr, deadline: Deadline) -> Answer {
    Answer::Echo { attempt: exchange(at, to, deadline).await.unwrap_or_else(|a| *a) }
}

async fn exchange(
    at: &Vantage,
    to: SocketAddr,
    deadline: Deadline,
) -> Result<Attempt, Box<Attempt>> {
    let user = TESTBED_USER;
    let mut call = Call::open(at, Speech::Datagram, to, None, |_| Ok(()))?;
    let own = call.course.source.map_or(IpAddr::from([0, 0, 0, 0]), |source| source.ip());
    let request = Request {
        id: fresh_short().to_be_bytes()[1],
        authenticator: authenticator(),
        user: user.name.to_owned(),
        password: user.password.to_owned(),
    };
    call.send(&request.write(user.secret.as_bytes(), own))?;
    let read = |packet: &[u8]| Some(request.read_answer(packet, user.secret.as_bytes()));
    let outcome = match call.wait(deadline, read, always).await? {
        Ok(Code::Accept) => Outcome::Answered,
        Ok(_) => Outcome::Garbled { what: "a user who is known is rejected".to_owned() },
        Err(bad) => Outcome::Garbled { what: bad.to_string() },
    };
    Ok(call.course.end(outcome))
}

/// Different for each request; that nobody guesses it is not needed in a lab.
fn authenticator() -> [u8; 16] {
    (u128::from(fresh()) << 64 | u128::from(fresh())).to_be_bytes()
}

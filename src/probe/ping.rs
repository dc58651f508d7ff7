//! `Question::Ping`: ICMP or ICMPv6 echo.

use std::net::{IpAddr, SocketAddr};

use super::{
    Deadline, Vantage,
    call::{Call, fresh_short},
};
use crate::{
    model::{
        answer::{Answer, Attempt, Outcome},
        family::Family,
    },
    net::socket::{self, Speech},
    wire::{
        filter,
        icmp::{self, EchoId},
    },
};

pub(super) async fn ask(
    at: &Vantage,
    to: IpAddr,
    source: Option<IpAddr>,
    size: u16,
    hop_limit: Option<u8>,
    deadline: Deadline,
) -> Answer {
    let id = EchoId { identifier: fresh_short(), sequence: 1 };
    let attempt = match open(at, to, source, id.identifier, hop_limit) {
        Ok(call) => {
            let request = icmp::echo_request(Family::of(to), id, usize::from(size));
            echo(call, to, id, &request, deadline).await
        }
        Err(attempt) => *attempt,
    };
    Answer::Echo { attempt }
}

/// `Question::Canary`: an echo request that taps know again.
pub(super) async fn canary(at: &Vantage, to: IpAddr, token: &str, deadline: Deadline) -> Answer {
    let id = EchoId { identifier: fresh_short(), sequence: 1 };
    let attempt = match open(at, to, None, id.identifier, None) {
        Ok(call) => {
            let request = icmp::echo_request_with(Family::of(to), id, token.as_bytes());
            echo(call, to, id, &request, deadline).await
        }
        Err(attempt) => *attempt,
    };
    Answer::Echo { attempt }
}

/// A raw socket on which only the replies to one probe are heard.
pub(super) fn open(
    at: &Vantage,
    to: IpAddr,
    source: Option<IpAddr>,
    identifier: u16,
    hop_limit: Option<u8>,
) -> Result<Call, Box<Attempt>> {
    let family = Family::of(to);
    Call::open(at, Speech::Icmp, SocketAddr::new(to.to_canonical(), 0), source, |socket| {
        socket::attach(socket, &filter::echo_replies(family, identifier))?;
        hop_limit.map_or(Ok(()), |hops| socket::set_hop_limit(socket, family, hops))
    })
}

/// Sends one request and waits for its reply.
pub(super) async fn echo(
    mut call: Call,
    to: IpAddr,
    id: EchoId,
    request: &[u8],
    deadline: Deadline,
) -> Attempt {
    let family = Family::of(to);
    if let Err(attempt) = call.send(request) {
        return *attempt;
    }
    let is_reply = |message: &[u8]| (reply_id(family, message)? == id).then_some(());
    let is_about = |quote: &[u8]| icmp::read_echo_request(family, quote) == Some(id);
    match call.wait(deadline, is_reply, is_about).await {
        Ok(()) => call.course.end(Outcome::Answered),
        Err(attempt) => *attempt,
    }
}

/// The id of a reply as a raw socket hands it over: with the IP header for IPv4.
pub(super) fn reply_id(family: Family, message: &[u8]) -> Option<EchoId> {
    let message = match family {
        Family::V4 => icmp::after_ipv4_header(message)?,
        Family::V6 => message,
    };
    icmp::read_echo_reply(family, message)
}

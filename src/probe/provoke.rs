//! `Question::Provoke`: something that must be answered with an ICMP error. Routers limit the rate of errors (RFC 4443
//! section 2.4 f), so that silence is asked again.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::Socket;

use super::{
    Deadline, Vantage,
    call::{Call, always, fresh_short},
    not_asked,
    ping::reply_id,
};
use crate::{
    model::{
        answer::{Answer, Attempt, Outcome},
        family::Family,
        probe::Provocation,
    },
    net::socket::{self, Speech},
    wire::{
        filter,
        icmp::{self, ECHO_HEADER, EchoId},
        packet,
    },
};

/// How long an error is waited for before it is provoked again: longer than the second for which Linux holds back
/// IPv4 errors.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// The first port of traceroute: nobody listens there.
const CLOSED_PORT: u16 = 33_434;
/// A destination options header of eight octets with the option 0x9e: for experiments (RFC 4727), to be answered with an
/// error by whoever does not know it (RFC 8200 section 4.2).
const UNKNOWN_OPTION: [u8; 8] = [0, 0, 0x9e, 4, 0, 0, 0, 0];
/// At least eight octets: Linux passes on no error that quotes less of the payload.
const PAYLOAD: &[u8] = b"sixwalk asks";
/// Octets of payload of an echo request whose size does not matter.
const SIZE: usize = 8;

pub(super) async fn ask(at: &Vantage, to: IpAddr, how: Provocation, deadline: Deadline) -> Answer {
    let to = to.to_canonical();
    let family = Family::of(to);
    if how == Provocation::UnknownOption && family == Family::V4 {
        return not_asked("IPv4 has no options that demand an answer");
    }
    let id = EchoId { identifier: fresh_short(), sequence: 1 };
    let provoked = match how {
        Provocation::ClosedPort => {
            let to = SocketAddr::new(to, CLOSED_PORT);
            let call = Call::open(at, Speech::Datagram, to, None, |_| Ok(()));
            provoke(call, PAYLOAD, always, |_| Some(()), deadline).await
        }
        Provocation::UnknownNextHeader => {
            let to = SocketAddr::new(to, 0);
            let call =
                Call::open(at, Speech::Protocol(Provocation::UNKNOWN_PROTOCOL), to, None, |_| {
                    Ok(())
                });
            provoke(call, PAYLOAD, always, |_| Some(()), deadline).await
        }
        Provocation::HopLimit(hops) => {
            let call = echo_socket(at, to, id, |s| socket::set_hop_limit(s, family, hops));
            provoke_by_echo(call, family, id, SIZE, deadline).await
        }
        Provocation::TooBig(size) => {
            let payload = usize::from(size).saturating_sub(packet::overhead(family) + ECHO_HEADER);
            let call = echo_socket(at, to, id, |socket| socket::probe_mtu(socket, family));
            provoke_by_echo(call, family, id, payload, deadline).await
        }
        Provocation::UnknownOption => {
            let call = echo_socket(at, to, id, |socket| {
                socket::set_octets(socket, libc::SOL_IPV6, libc::IPV6_DSTOPTS, &UNKNOWN_OPTION)
            });
            provoke_by_echo(call, family, id, SIZE, deadline).await
        }
    };
    Answer::Echo { attempt: provoked.unwrap_or_else(|attempt| *attempt) }
}

type Opened = Result<Call, Box<Attempt>>;

fn echo_socket(
    at: &Vantage,
    to: IpAddr,
    id: EchoId,
    prepare: impl FnOnce(&Socket) -> io::Result<()> + Send,
) -> Opened {
    let family = Family::of(to);
    Call::open(at, Speech::Icmp, SocketAddr::new(to, 0), None, |socket| {
        socket::attach(socket, &filter::echo_replies(family, id.identifier))?;
        prepare(socket)
    })
}

async fn provoke_by_echo(
    call: Opened,
    family: Family,
    id: EchoId,
    size: usize,
    deadline: Deadline,
) -> Result<Attempt, Box<Attempt>> {
    let message = icmp::echo_request(family, id, size);
    let is_about = |quote: &[u8]| icmp::read_echo_request(family, quote) == Some(id);
    let is_reply = |message: &[u8]| (reply_id(family, message)? == id).then_some(());
    provoke(call, &message, is_about, is_reply, deadline).await
}

/// Sends until an error comes back, or an answer where none should be.
async fn provoke(
    call: Opened,
    message: &[u8],
    is_about: impl Fn(&[u8]) -> bool,
    is_answer: impl Fn(&[u8]) -> Option<()>,
    deadline: Deadline,
) -> Result<Attempt, Box<Attempt>> {
    let mut call = call?;
    loop {
        call.send(message)?;
        let until = deadline.or_after(PATIENCE);
        match call.wait(until, &is_answer, &is_about).await {
            Ok(()) => return Ok(call.course.end(Outcome::Answered)),
            Err(attempt) if attempt.outcome == Outcome::TimedOut && !deadline.has_passed() => {}
            Err(attempt) => return Err(attempt),
        }
    }
}

//! `Question::Log`: a syslog message with a token (RFC 5424 over UDP, RFC 5426). There is no answer to wait for:
//! `Answered` says that the message has left the node and that no error was known right after; the sink tells whether
//! it arrived.

use std::net::SocketAddr;

use super::{Vantage, call::Call};
use crate::{
    model::{
        answer::{Answer, Attempt, Outcome},
        service::Transport,
    },
    net::{endpoint, socket::Speech},
    wire::syslog,
};

pub(super) fn ask(at: &Vantage, to: SocketAddr, token: &str) -> Answer {
    Answer::Echo { attempt: send(at, to, token).unwrap_or_else(|attempt| *attempt) }
}

fn send(at: &Vantage, to: SocketAddr, token: &str) -> Result<Attempt, Box<Attempt>> {
    let call = Call::open(at, Speech::Datagram, to, None, |_| Ok(()))?;
    call.send(syslog::message(at.node.as_str(), "sixwalk", token).as_bytes())?;
    let queued = endpoint::next_error(call.endpoint.socket(), &mut [0; 256]).ok().flatten();
    Ok(match queued {
        Some(queued) => {
            let error = std::io::Error::from_raw_os_error(queued.errno);
            call.course.failed(Transport::Udp, &error, queued.icmp)
        }
        None => call.course.end(Outcome::Answered),
    })
}

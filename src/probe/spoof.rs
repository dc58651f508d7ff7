//! `Question::Spoof`: a datagram with a source address that is not the node's. `Answered` says that it has left the
//! node; whether it passes is for a tap to tell.

use std::net::{IpAddr, SocketAddr};

use super::{Vantage, call::Call, not_asked};
use crate::{
    model::answer::{Answer, Attempt},
    net::socket::Speech,
    wire::packet,
};

/// The source port: of the dynamic range, and the same each time, so that a rule can name it.
const SOURCE_PORT: u16 = 61_000;
/// `IPPROTO_RAW`: what is sent holds the IP header already (raw(7)).
const WHOLE_PACKETS: u8 = 255;

pub(super) async fn ask(at: &Vantage, source: IpAddr, to: SocketAddr, token: &str) -> Answer {
    let source = SocketAddr::new(source, SOURCE_PORT);
    let Some(packet) = packet::udp(source, to, token.as_bytes()) else {
        return not_asked(format!("{} and {} are not of one family", source.ip(), to.ip()));
    };
    Answer::Echo { attempt: send(at, source, to, &packet).await.unwrap_or_else(|attempt| *attempt) }
}

async fn send(
    at: &Vantage,
    source: SocketAddr,
    to: SocketAddr,
    packet: &[u8],
) -> Result<Attempt, Box<Attempt>> {
    // A raw socket knows no ports.
    let host = SocketAddr::new(to.ip(), 0);
    let mut call = Call::open(at, Speech::Protocol(WHOLE_PACKETS), host, None, |_| Ok(()))?;
    call.course.source = Some(source);
    call.send(packet)?;
    Ok(Attempt { destination: to, ..call.leave().await })
}

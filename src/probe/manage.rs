//! `Question::Snmp`: a request to a management agent.

use std::net::{IpAddr, SocketAddr};

use super::{
    Deadline, Vantage,
    call::{Call, always, fresh_word},
};
use crate::{
    model::answer::{Answer, Attempt, Outcome},
    net::socket::Speech,
    wire::snmp::{self, BadSnmp, Told},
};

pub(super) async fn ask(
    at: &Vantage,
    to: SocketAddr,
    source: Option<IpAddr>,
    deadline: Deadline,
) -> Answer {
    match exchange(at, to, source, deadline).await {
        Ok((attempt, told)) => Answer::Managed {
            attempt,
            system: told.as_ref().map(|told| told.system.clone()),
            knows_address: told.map(|told| told.knows_address),
        },
        Err(attempt) => Answer::Managed { attempt: *attempt, system: None, knows_address: None },
    }
}

async fn exchange(
    at: &Vantage,
    to: SocketAddr,
    source: Option<IpAddr>,
    deadline: Deadline,
) -> Result<(Attempt, Option<Told>), Box<Attempt>> {
    // A request id is a signed number of 32 bits (RFC 3416 section 3).
    let id = fresh_word() & 0x7fff_ffff;
    let mut call = Call::open(at, Speech::Datagram, to, source, |_| Ok(()))?;
    call.send(&snmp::query(id, to.ip()))?;
    let read = |packet: &[u8]| match snmp::read_told(packet, id, to.ip()) {
        Err(BadSnmp::Id) => None,
        said => Some(said),
    };
    match call.wait(deadline, read, always).await? {
        Ok(told) => Ok((call.course.end(Outcome::Answered), Some(told))),
        Err(bad) => Ok((call.course.end(Outcome::Garbled { what: bad.to_string() }), None)),
    }
}

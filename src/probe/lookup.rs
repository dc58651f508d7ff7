//! `Question::Lookup`: one DNS query on the wire.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Deadline, Vantage,
    call::{Call, always, fresh_short},
    connect::garbled,
    dial::{Line, dial},
    within,
};
use crate::{
    model::{
        answer::{Answer, Attempt, DnsReply, Outcome},
        name::DomainName,
        record::RecordType,
        service::Transport,
    },
    net::socket::Speech,
    wire::dns::{BadReply, Query},
};

/// The query with an id of its own.
pub(super) fn query(
    name: &DomainName,
    rtype: RecordType,
    edns: Option<u16>,
    recurse: bool,
    mixed_case: bool,
) -> Query {
    Query { id: fresh_short(), name: name.clone(), rtype, edns, recurse, mixed_case }
}

pub(super) async fn ask(
    at: &Vantage,
    server: SocketAddr,
    transport: Transport,
    query: &Query,
    deadline: Deadline,
) -> Answer {
    let asked = match transport {
        Transport::Udp => over_udp(at, server, query, deadline).await,
        Transport::Tcp => over_tcp(at, server, query, deadline).await,
    };
    match asked {
        Ok((attempt, reply)) => Answer::Dns { attempt, reply: Some(reply) },
        Err(attempt) => Answer::Dns { attempt: *attempt, reply: None },
    }
}

/// Asks over UDP. Messages that are not for this query are passed over.
pub(super) async fn over_udp(
    at: &Vantage,
    server: SocketAddr,
    query: &Query,
    deadline: Deadline,
) -> Result<(Attempt, DnsReply), Box<Attempt>> {
    let mut call = Call::open(at, Speech::Datagram, server, None, |_| Ok(()))?;
    call.send(&query.encode())?;
    let read = |message: &[u8]| match query.read(message) {
        Err(BadReply::NotOurs) => None,
        said => Some(said),
    };
    match call.wait(deadline, read, always).await? {
        Ok(reply) => Ok((call.course.end(Outcome::Answered), reply)),
        Err(bad) => Err(Box::new(call.course.end(Outcome::Garbled { what: bad.to_string() }))),
    }
}

async fn over_tcp(
    at: &Vantage,
    server: SocketAddr,
    query: &Query,
    deadline: Deadline,
) -> Result<(Attempt, DnsReply), Box<Attempt>> {
    let Line { stream, course } = dial(at, server, None, false, deadline).await?;
    match within(deadline, exchange(stream, &query.encode())).await {
        Err(_) => Err(Box::new(course.end(Outcome::Stalled))),
        Ok(Err(error)) => Err(Box::new(garbled(course, &error))),
        Ok(Ok(message)) => match query.read(&message) {
            Ok(reply) => Ok((course.end(Outcome::Answered), reply)),
            Err(bad) => Err(Box::new(course.end(Outcome::Garbled { what: bad.to_string() }))),
        },
    }
}

/// RFC 1035 section 4.2.2: each message after its length; both in one segment (RFC 7766 section 8).
async fn exchange(mut stream: TcpStream, query: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(query.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

//! `Question::Fetch`: a page over HTTP or HTTPS from a literal address.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::RootCertStore;
use tokio::net::TcpStream;

use super::{
    Asker, Deadline, Vantage,
    connect::garbled,
    dial::{Line, dial},
    page,
    tls::{self, Handshake},
    within,
};
use crate::model::answer::{Answer, Outcome, Page};

pub(super) async fn ask(
    asker: &Asker,
    at: &Vantage,
    to: SocketAddr,
    tls: Option<&str>,
    host: &str,
    path: &str,
    deadline: Deadline,
) -> Answer {
    let Line { stream, course } = match dial(at, to, None, false, deadline).await {
        Ok(line) => line,
        Err(attempt) => return Answer::Page { attempt: *attempt, page: None },
    };
    match within(deadline, get(&asker.roots, stream, tls, host, path)).await {
        Ok(Ok(page)) => Answer::Page { attempt: course.end(Outcome::Answered), page: Some(page) },
        Ok(Err(error)) => Answer::Page { attempt: garbled(course, &error), page: None },
        Err(_) => Answer::Page { attempt: course.end(Outcome::Stalled), page: None },
    }
}

/// A page over a TCP connection, with TLS for the name if one is given.
pub(super) async fn get(
    roots: &Arc<RootCertStore>,
    stream: TcpStream,
    tls: Option<&str>,
    host: &str,
    path: &str,
) -> io::Result<Page> {
    match tls {
        Some(name) => {
            let (stream, handshake) = tls::handshake(roots, stream, name).await?;
            page::get(stream, host, path, handshake).await
        }
        None => page::get(stream, host, path, Handshake::default()).await,
    }
}

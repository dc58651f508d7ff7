//! Log-ins at a web service: written to its access log, sent on to the sink of the node, and shown by a page of the node
//! that has the sink. Where an engine is the web service, or the sink, the first two are its own.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use hyper::{HeaderMap, header::FORWARDED};

use super::speaker::Speaker;
use crate::wire::{forwarded, log_in::LogIn, syslog};

/// Both ends of a connection.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    pub(super) client: SocketAddr,
    pub(super) own: SocketAddr,
}

/// Who tells who is at both ends of what is asked.
#[derive(Clone, Copy)]
pub(super) enum Parties {
    /// The connection.
    Known(Ends),
    /// Each request: a web server passes it on.
    Told,
}

impl Parties {
    /// Who is at both ends of a request; `None` where it is not told.
    pub(super) fn of(self, headers: &HeaderMap) -> Option<Ends> {
        match self {
            Self::Known(ends) => Some(ends),
            Self::Told => {
                let (client, own) = forwarded::ends(headers.get(FORWARDED)?.to_str().ok()?)?;
                Some(Ends { client, own })
            }
        }
    }
}

/// Notes a log-in, where the query says that it is one, and sends it on. Where an engine does so, what it is told.
pub(super) fn note(speaker: &Speaker, query: &str, ends: Ends) -> Option<String> {
    let client = ends.client.ip().to_canonical().to_string();
    let mut log_in = LogIn::of_query(query, client)?;
    let premises = &speaker.premises;
    let own = premises.node.service(speaker.service.as_str());
    if own.is_some_and(|service| service.engine.is_some()) {
        return Some(log_in.told());
    }
    log_in.client = speaker.spoiled(log_in.client, ends.own.ip());
    let (node, service) = (premises.node.name.as_str(), speaker.service.as_str());
    let message = syslog::message(node, service, &log_in.line());
    premises.access().keep(log_in);
    // As with every syslog over UDP, nobody notices when a message is lost; the checks do.
    if let Some(sink) = premises.behaviour().log_sinks.first() {
        let _ = premises.namespace.run(|| send(&message, *sink));
    }
    None
}

fn send(message: &str, sink: SocketAddr) -> std::io::Result<usize> {
    let any: IpAddr = crate::model::family::Family::of(sink.ip()).unspecified();
    UdpSocket::bind((any, 0))?.send_to(message.as_bytes(), sink)
}

/// What the sink makes of a message: a row of its table, where it is about a log-in.
pub(super) fn parse(speaker: &Speaker, message: &[u8], own: IpAddr) {
    if let Some(mut log_in) = LogIn::of_line(&String::from_utf8_lossy(message)) {
        log_in.client = speaker.spoiled(log_in.client, own);
        speaker.premises.keep_in_table(log_in);
    }
}

/// The table of the page that shows the last log-ins of a user.
pub(super) fn shown(speaker: &Speaker, query: &str, own: IpAddr) -> String {
    let user = query.strip_prefix("user=").unwrap_or_default();
    let row = |log_in: &LogIn| {
        let client = speaker.spoiled(log_in.client.clone(), own);
        LogIn { client, ..log_in.clone() }.row()
    };
    let rows: String = speaker.premises.table(|table| table.last(user).map(row).collect());
    format!("<table>\n{rows}</table>\n")
}

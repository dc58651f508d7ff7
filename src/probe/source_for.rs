//! `Question::SourceFor`: the source address that the kernel would take (RFC 6724), by connecting a UDP socket, which
//! sends nothing.

use std::net::{IpAddr, SocketAddr};

use super::{Vantage, not_asked};
use crate::{
    model::answer::Answer,
    net::socket::{self, Speech},
};

/// The discard port: any would do, nothing is sent.
const PORT: u16 = 9;

pub(super) fn ask(at: &Vantage, to: IpAddr) -> Answer {
    match sources(at, &[to]) {
        Ok(sources) => Answer::SourceFor { source: sources.into_iter().next().flatten() },
        Err(error) => not_asked(format!("cannot open a socket on `{}`: {error}", at.node)),
    }
}

/// The source for each of some destinations; none where there is no way.
pub(super) fn sources(at: &Vantage, to: &[IpAddr]) -> std::io::Result<Vec<Option<IpAddr>>> {
    at.namespace.run(|| {
        let scope = at.scope(None);
        to.iter().map(|to| source(*to, scope)).collect()
    })
}

fn source(to: IpAddr, scope: u32) -> std::io::Result<Option<IpAddr>> {
    let socket = socket::open(Speech::Datagram, to)?;
    let to = socket::scoped(SocketAddr::new(to, PORT), scope);
    let connected = socket::begin_connect(&socket, to).is_ok();
    Ok(connected.then(|| socket::local(&socket)).flatten().map(|local| local.ip()))
}

//! `Question::Inspect`: something on the node itself. The socket table is read here; the lab reads the rest.

use std::io;

use super::{Vantage, not_asked};
use crate::{
    model::{
        answer::{Answer, SocketState},
        family::Family,
        probe::Aspect,
        service::Transport,
    },
    net::dump,
    wire::sock_diag::Listening,
};

pub(super) async fn ask(at: &Vantage, aspect: Aspect) -> Answer {
    match aspect {
        Aspect::Sockets => match sockets(at) {
            Ok(sockets) => Answer::Sockets(sockets),
            Err(error) => {
                not_asked(format!("cannot read the socket table of `{}`: {error}", at.node))
            }
        },
        other => at.host.inspect(other).await,
    }
}

fn sockets(at: &Vantage) -> io::Result<Vec<SocketState>> {
    let found = at.namespace.run(|| {
        let mut found = Vec::new();
        for transport in [Transport::Tcp, Transport::Udp] {
            for family in Family::ALL {
                let listening = dump::listening(family, transport)?;
                found.extend(listening.into_iter().map(|socket| (transport, socket)));
            }
        }
        Ok(found)
    })?;
    let mut states: Vec<_> =
        found.into_iter().map(|(transport, socket)| state(at, transport, &socket)).collect();
    states.sort_by_key(|state| (state.transport, state.local));
    Ok(states)
}

fn state(at: &Vantage, transport: Transport, socket: &Listening) -> SocketState {
    SocketState {
        transport,
        local: socket.local,
        v6_only: socket.v6_only,
        service: at.host.service_at(transport, socket.local),
    }
}

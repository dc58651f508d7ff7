//! Listening sockets as read on a node: the local proof behind a connection that was refused.

use std::net::IpAddr;

use super::ask;
use crate::{
    model::{
        answer::{Answer, SocketState},
        evidence::{EvidenceId, Seen},
        family::Family,
        finding::{Culprit, Scope},
        name::NodeName,
        node::{Address, Node},
        probe::{Aspect, Probe},
        service::{Port, Service},
    },
    stage::{Listener, Stage},
};

/// The question for the sockets of a node.
pub fn probe(node: &NodeName) -> Probe {
    ask::inspect(node, Aspect::Sockets)
}

/// The sockets of a node, where they could be read.
pub fn of<'e>(seen: &Seen<'e>, node: &NodeName) -> Option<(EvidenceId, &'e [SocketState])> {
    match seen.answer(&probe(node))? {
        (id, Answer::Sockets(sockets)) => Some((id, sockets)),
        _ => None,
    }
}

/// The sockets that a service is to have at a port in a family: by address.
pub fn planned<'s>(
    stage: &'s Stage,
    node: &Node,
    service: &'s Service,
    family: Family,
) -> impl Iterator<Item = &'s Listener> {
    let listeners = stage.nodes[&node.name].listeners.iter();
    listeners.filter(move |l| l.service == service.name && Family::of(l.address) == family)
}

/// Whether some socket of a node takes what is sent to the address of a listener. In the place of one for every address, a
/// server may have one for each.
pub fn takes(
    stage: &Stage,
    node: &NodeName,
    sockets: &[SocketState],
    listener: &Listener,
    port: Port,
) -> bool {
    let family = Family::of(listener.address);
    let taken = |address: IpAddr| {
        sockets.iter().any(|socket| {
            let bound = socket.local.ip();
            let here = bound == address || bound.is_unspecified();
            here && port_of(socket) == port && socket.families().has(family)
        })
    };
    let each = || {
        let own = stage.nodes[node].interfaces.iter().flat_map(|interface| &interface.addresses);
        let mut own = own.map(Address::ip).filter(|ip| Family::of(*ip) == family).peekable();
        own.peek().is_some() && own.all(taken)
    };
    taken(listener.address) || listener.address.is_unspecified() && each()
}

/// Its port.
pub fn port_of(socket: &SocketState) -> Port {
    Port { transport: socket.transport, number: socket.local.port() }
}

/// The sockets at a port as they stand in the table: `0.0.0.0:443, [::]:443 (IPv6 only)`.
pub fn table(sockets: &[SocketState], port: Port) -> String {
    let at: Vec<_> = sockets.iter().filter(|socket| port_of(socket) == port).map(text).collect();
    if at.is_empty() { format!("nothing at {port}") } else { at.join(", ") }
}

fn text(socket: &SocketState) -> String {
    match socket.v6_only {
        Some(true) => format!("{} (IPv6 only)", socket.local),
        Some(false) => format!("{} (also takes IPv4 on a wildcard)", socket.local),
        None => socket.local.to_string(),
    }
}

/// Who is to blame if a service does not listen.
pub fn listener(node: &NodeName, service: &Service) -> Culprit {
    Culprit::node(node, format!("listener {}", service.name))
}

/// Who is to blame if something listens that nobody planned.
pub fn stranger(node: &NodeName, port: Port) -> Culprit {
    Culprit::node(node, format!("listener {port}"))
}

/// What is touched if nothing listens at a port.
pub fn scope(node: &NodeName, port: Port, family: Option<Family>) -> Scope {
    Scope { family, to: Some(node.clone()), port: Some(port), ..Scope::default() }
}

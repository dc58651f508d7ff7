//! What is said at a socket: each kind of service in its own protocol.

use std::{
    sync::PoisonError,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::net::TcpStream;

use super::{
    dns, echo, front, http, https, ldap,
    log_ins::{self, Ends, Parties},
    manager, ntp, radius, smtp, snmp,
    socket::Datagram,
    speaker::Speaker,
    ssh,
};
use crate::{
    model::{
        family::Family,
        fault::ContentFault,
        service::{ServiceKind, Transport},
    },
    wire::sntp,
};

/// Serves one connection until it ends. How it ends is the user's business: nothing is reported.
pub(super) async fn converse(speaker: &Speaker, mut stream: TcpStream) {
    let (Ok(own), Ok(peer)) = (stream.local_addr(), stream.peer_addr()) else { return };
    let family = Family::of(own.ip());
    let behaviour = speaker.premises.behaviour();
    let client = if behaviour.believes(&speaker.service, peer.ip()) {
        front::client(&mut stream, peer).await
    } else {
        Ok(peer)
    };
    let Ok(client) = client else { return };
    if speaker.turns_away(client.ip()) {
        return;
    }
    let ends = Ends { client, own };
    if let Some(fronted) = behaviour.fronts.get(&speaker.service) {
        return drop(front::converse(speaker, stream, ends, fronted.clone()).await);
    }
    // Answers are small and come at once; Nagle's algorithm would only delay the last piece.
    let _ = stream.set_nodelay(true);
    match speaker.kind {
        ServiceKind::Http => drop(http::converse(speaker, stream, Parties::Known(ends)).await),
        ServiceKind::Https => drop(https::converse(speaker, stream, ends).await),
        ServiceKind::Ssh => drop(ssh::converse(speaker, stream, family).await),
        ServiceKind::Echo => drop(echo::converse(speaker, stream, family).await),
        ServiceKind::Dns | ServiceKind::Resolver => {
            drop(dns::converse(speaker, stream, ends.client.ip()).await);
        }
        ServiceKind::Manager | ServiceKind::Box => {
            drop(manager::converse(speaker, stream, family).await);
        }
        ServiceKind::Ldap => drop(ldap::converse(speaker, stream, family).await),
        ServiceKind::Smtp => drop(smtp::converse(speaker, stream, family).await),
        ServiceKind::Ntp | ServiceKind::Syslog | ServiceKind::Snmp | ServiceKind::Radius => {}
    }
}

/// What goes back to a datagram, if anything.
pub(super) async fn reply(speaker: &Speaker, datagram: &Datagram) -> Option<Vec<u8>> {
    let family = Family::of(datagram.asked);
    if speaker.turns_away(datagram.from.ip()) {
        return None;
    }
    match speaker.kind {
        ServiceKind::Dns | ServiceKind::Resolver => {
            dns::answer(speaker, &datagram.payload, Transport::Udp, datagram.from.ip()).await
        }
        ServiceKind::Ntp => {
            speaker.hold_back(family).await;
            if let Some(seconds) = sntp::read_lateness(&datagram.payload) {
                tokio::time::sleep(Duration::from_secs(seconds.into())).await;
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            ntp::answer(&datagram.payload, now)
        }
        ServiceKind::Echo => {
            speaker.hold_back(family).await;
            Some(datagram.payload.clone())
        }
        ServiceKind::Syslog => {
            let behaviour = speaker.premises.behaviour();
            let faults = behaviour.log_faults(&speaker.service);
            let mut sink = speaker.premises.sink.lock().unwrap_or_else(PoisonError::into_inner);
            sink.take(&datagram.payload, datagram.from, &speaker.premises.node.name, faults);
            drop(sink);
            log_ins::parse(speaker, &datagram.payload, datagram.asked);
            None
        }
        ServiceKind::Snmp => {
            speaker.hold_back(family).await;
            let behaviour = speaker.premises.behaviour();
            let is_old = behaviour.differs(&speaker.service, family, ContentFault::Ipv4Table);
            snmp::answer(&datagram.payload, &speaker.premises, is_old)
        }
        ServiceKind::Radius => {
            speaker.hold_back(family).await;
            radius::answer(&datagram.payload)
        }
        ServiceKind::Http
        | ServiceKind::Https
        | ServiceKind::Ssh
        | ServiceKind::Ldap
        | ServiceKind::Smtp
        | ServiceKind::Manager
        | ServiceKind::Box => None,
    }
}

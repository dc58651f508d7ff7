//! What is said at a socket: each kind of service in its own protocol.

use std::{
    sync::PoisonError,
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::net::TcpStream;

use super::{dns, echo, http, https, manager, ntp, socket::Datagram, speaker::Speaker, ssh};
use crate::model::{
    family::Family,
    service::{ServiceKind, Transport},
};

/// Serves one connection until it ends. How it ends is the user's business: nothing is reported.
pub(super) async fn converse(speaker: &Speaker, stream: TcpStream) {
    let Ok(local) = stream.local_addr() else { return };
    let family = Family::of(local.ip());
    // Answers are small and come at once; Nagle's algorithm would only delay the last piece.
    let _ = stream.set_nodelay(true);
    match speaker.kind {
        ServiceKind::Http => drop(http::converse(speaker, stream, family).await),
        ServiceKind::Https => drop(https::converse(speaker, stream, family).await),
        ServiceKind::Ssh => drop(ssh::converse(speaker, stream, family).await),
        ServiceKind::Echo => drop(echo::converse(speaker, stream, family).await),
        ServiceKind::Dns | ServiceKind::Resolver => {
            drop(dns::converse(speaker, stream, family).await);
        }
        ServiceKind::Manager | ServiceKind::Box => {
            drop(manager::converse(speaker, stream, family).await);
        }
        ServiceKind::Ntp | ServiceKind::Syslog => {}
    }
}

/// What goes back to a datagram, if anything.
pub(super) async fn reply(speaker: &Speaker, datagram: &Datagram) -> Option<Vec<u8>> {
    let family = Family::of(datagram.asked);
    match speaker.kind {
        ServiceKind::Dns | ServiceKind::Resolver => {
            dns::answer(speaker, &datagram.payload, Transport::Udp, family).await
        }
        ServiceKind::Ntp => {
            speaker.hold_back(family).await;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            ntp::answer(&datagram.payload, now)
        }
        ServiceKind::Echo => {
            speaker.hold_back(family).await;
            Some(datagram.payload.clone())
        }
        ServiceKind::Syslog => {
            let mut sink = speaker.premises.sink.lock().unwrap_or_else(PoisonError::into_inner);
            sink.take(&datagram.payload, datagram.from);
            None
        }
        ServiceKind::Http
        | ServiceKind::Https
        | ServiceKind::Ssh
        | ServiceKind::Manager
        | ServiceKind::Box => None,
    }
}

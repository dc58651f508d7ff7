//! The voice of a service behind one socket: knows what to say in which protocol.

use std::{
    sync::{Arc, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::net::TcpStream;

use super::{dns, echo, http, https, ntp, premises::Premises, socket::Datagram, ssh};
use crate::model::{
    family::Family,
    name::ServiceName,
    service::{ServiceKind, Transport},
};

/// A service behind one of its sockets.
pub(super) struct Speaker {
    pub(super) service: ServiceName,
    pub(super) kind: ServiceKind,
    pub(super) premises: Arc<Premises>,
}

impl Speaker {
    /// Serves one connection until it ends. How it ends is the user's business: nothing is reported.
    pub(super) async fn converse(&self, stream: TcpStream) {
        let Ok(local) = stream.local_addr() else { return };
        let family = Family::of(local.ip());
        // Answers are small and come at once; Nagle's algorithm would only delay the last piece.
        let _ = stream.set_nodelay(true);
        match self.kind {
            ServiceKind::Http => drop(http::converse(self, stream, family).await),
            ServiceKind::Https => drop(https::converse(self, stream, family).await),
            ServiceKind::Ssh => drop(ssh::converse(self, stream, family).await),
            ServiceKind::Echo => drop(echo::converse(self, stream, family).await),
            ServiceKind::Dns | ServiceKind::Resolver => {
                drop(dns::converse(self, stream, family).await);
            }
            ServiceKind::Ntp | ServiceKind::Syslog => {}
        }
    }

    /// What goes back to a datagram, if anything.
    pub(super) async fn reply(&self, datagram: &Datagram) -> Option<Vec<u8>> {
        let family = Family::of(datagram.asked);
        match self.kind {
            ServiceKind::Dns | ServiceKind::Resolver => {
                dns::answer(self, &datagram.payload, Transport::Udp, family).await
            }
            ServiceKind::Ntp => {
                self.hold_back(family).await;
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                ntp::answer(&datagram.payload, now)
            }
            ServiceKind::Echo => {
                self.hold_back(family).await;
                Some(datagram.payload.clone())
            }
            ServiceKind::Syslog => {
                let mut sink = self.premises.sink.lock().unwrap_or_else(PoisonError::into_inner);
                sink.take(&datagram.payload, datagram.from);
                None
            }
            ServiceKind::Http | ServiceKind::Https | ServiceKind::Ssh => None,
        }
    }

    /// Waits where a fault says that users of a family get their answers later.
    pub(super) async fn hold_back(&self, family: Family) {
        let delay = self.premises.behaviour().delay(&self.service, family);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

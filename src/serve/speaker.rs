//! A service behind one of its sockets.

use std::{io, net::IpAddr, sync::Arc};

use hyper::StatusCode;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{access, premises::Premises};
use crate::{
    model::{family::Family, fault::ContentFault, name::ServiceName, service::ServiceKind},
    wire::log_in,
};

/// Who speaks at a socket.
pub(super) struct Speaker {
    pub(super) service: ServiceName,
    pub(super) kind: ServiceKind,
    pub(super) premises: Arc<Premises>,
}

impl Speaker {
    /// Whether a client is not let in: the access list does not name it, or a fault says so.
    pub(super) fn turns_away(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let behaviour = self.premises.behaviour();
        let own = self.premises.node.service(self.service.as_str());
        let list = own.map_or(&[][..], |service| &service.admits);
        behaviour.differs(&self.service, Family::of(client), ContentFault::TurnsAway)
            || !access::admits(list, client, behaviour.access_faults(&self.service))
    }

    /// Why the service refuses a log-in, where it locks users and sources out.
    pub(super) fn refuses(&self, query: &str, client: IpAddr) -> Option<StatusCode> {
        let lockout = self.premises.node.service(self.service.as_str())?.lockout?;
        let fault = self.premises.behaviour().lock_fault(&self.service);
        self.premises.failures().refusal(&self.service, (lockout, fault), query, client)
    }

    /// An address of a client as this service writes it.
    pub(super) fn spoiled(&self, client: String, own: IpAddr) -> String {
        let behaviour = self.premises.behaviour();
        let faults = behaviour.log_faults(&self.service);
        faults.fold(client, |client, fault| log_in::spoiled(&client, fault, own))
    }

    /// Begins TLS on a connection that spoke without it: what STARTTLS promises.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        family: Family,
    ) -> io::Result<TlsStream<TcpStream>> {
        let behaviour = self.premises.behaviour();
        if behaviour.differs(&self.service, family, ContentFault::BrokenStarttls) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        self.premises.doors().usual.accept(stream).await
    }

    /// Waits where a fault says that users of a family get their answers later.
    pub(super) async fn hold_back(&self, family: Family) {
        let delay = self.premises.behaviour().delay(&self.service, family);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
    }
}

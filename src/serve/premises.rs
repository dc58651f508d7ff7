//! What the services of one node share.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock},
};

use super::{
    authority::CertificateError, behaviour::Behaviour, daemon, doors::Doors, kept::Kept,
    lockout::Failures, shared::Shared, syslog::Sink, tunnel::TunnelHost,
};
use crate::{
    engine,
    model::{
        management::{Cards, Station},
        name::DomainName,
        node::{Address, Node},
        service::{Revocation, Service, ServiceKind},
    },
    net::namespace::Namespace,
    wire::log_in::LogIn,
};

/// What the services of one node share. A running service holds it, and looks up its behaviour anew for every request.
pub(super) struct Premises {
    pub(super) node: Node,
    pub(super) namespace: Namespace,
    pub(super) shared: Arc<Shared>,
    pub(super) sink: Mutex<Sink>,
    /// What the management product of the node keeps.
    pub(super) station: Mutex<Station>,
    /// What a box keeps of its configurations.
    pub(super) cards: Mutex<Cards>,
    /// The tunnels of the node, which a box sets.
    pub(super) tunnels: OnceLock<Arc<TunnelHost>>,
    access: Mutex<Kept>,
    /// Failed log-ins at its web services.
    failures: Mutex<Failures>,
    table: Mutex<Kept>,
    behaviour: RwLock<Arc<Behaviour>>,
    /// TLS, once a service that speaks it has been opened.
    pub(super) doors: OnceLock<Doors>,
    /// What engines show to users of TLS, once one has been started.
    pub(super) shown: OnceLock<engine::Identity>,
    /// SSH, once a management interface has been asked.
    pub(super) ssh: OnceLock<Arc<russh::server::Config>>,
}

impl Premises {
    pub(super) fn new(node: Node, namespace: Namespace, shared: Arc<Shared>) -> Self {
        Self {
            node,
            namespace,
            shared,
            sink: Mutex::default(),
            station: Mutex::default(),
            cards: Mutex::default(),
            tunnels: OnceLock::new(),
            access: Mutex::default(),
            failures: Mutex::default(),
            table: Mutex::default(),
            behaviour: RwLock::default(),
            doors: OnceLock::new(),
            shown: OnceLock::new(),
            ssh: OnceLock::new(),
        }
    }

    /// The access log of its web services.
    pub(super) fn access(&self) -> MutexGuard<'_, Kept> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Failed log-ins at its web services.
    pub(super) fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a log-in that its syslog sink was told of.
    pub(super) fn keep_in_table(&self, log_in: LogIn) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).keep(log_in);
    }

    /// The log-ins that its syslog sink was told of, also where the sink is an engine.
    pub(super) fn table<R>(&self, look: impl FnOnce(&Kept) -> R) -> R {
        let is_sink =
            |service: &&Service| service.kind == ServiceKind::Syslog && service.engine.is_some();
        match self.node.services.iter().find(is_sink) {
            Some(sink) => look(&Kept::read(&daemon::written(&self.node.name, &sink.name))),
            None => look(&self.table.lock().unwrap_or_else(PoisonError::into_inner)),
        }
    }

    pub(super) fn behaviour(&self) -> Arc<Behaviour> {
        Arc::clone(&self.behaviour.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(behaviour);
    }

    /// TLS of the node: of a service that speaks it.
    pub(super) fn doors(&self) -> &Doors {
        self.doors.get().expect("TLS is set up before the socket is opened")
    }

    /// The certificate that engines of the node show, the same as long as the lab stands.
    pub(super) fn identity(&self) -> Result<engine::Identity, CertificateError> {
        if let Some(identity) = self.shown.get() {
            return Ok(identity.clone());
        }
        let made = self.shared.identity(&self.names(), &self.addresses(), &self.revocation())?.pem;
        Ok(self.shown.get_or_init(|| made).clone())
    }

    /// The published names of the node.
    pub(super) fn names(&self) -> Vec<DomainName> {
        let services = self.node.services.iter();
        services.flat_map(|service| service.names.iter().cloned()).collect()
    }

    /// What the certificate of the node says: what the first of its services says that says something.
    pub(super) fn revocation(&self) -> Revocation {
        let mut said = self.node.services.iter().map(|service| &service.revocation);
        said.find(|revocation| !revocation.is_empty()).cloned().unwrap_or_default()
    }

    /// The planned addresses of the node, live or not.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let interfaces = self.node.interfaces.iter();
        interfaces.flat_map(|interface| interface.addresses.iter().map(Address::ip)).collect()
    }
}

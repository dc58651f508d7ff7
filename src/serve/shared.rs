//! What the services of all nodes of a run share: one clock, one certificate authority, the host keys.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Instant,
};

use russh::keys::{
    PrivateKey,
    ssh_key::{
        LineEnding,
        private::{Ed25519Keypair, KeypairData},
    },
};
use rustls::{
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::CertificateDer,
};

use super::{
    authority::{Authority, CertificateError, Identity},
    daemon::Engines,
};
use crate::{
    engine::Esp,
    model::{
        name::{DomainName, NodeName},
        service::Revocation,
    },
    net::esp,
};

/// Where stamps begin, in seconds: an old copy of a page can so be older than the run.
const FIRST_STAMP: u64 = 3_600;

/// What the services of a run share. Keys are made when they are first needed.
pub struct Shared {
    began: Instant,
    crypto: Arc<CryptoProvider>,
    authority: OnceLock<Result<Authority, CertificateError>>,
    host_keys: Mutex<BTreeMap<NodeName, PrivateKey>>,
    engines: Engines,
    esp: OnceLock<Esp>,
}

impl Shared {
    /// Begins the clock of a run.
    pub fn new() -> Arc<Self> {
        Self::with(Engines::default())
    }

    /// The same, with what engines need to know.
    pub fn with(engines: Engines) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            crypto: Arc::new(aws_lc_rs::default_provider()),
            authority: OnceLock::new(),
            host_keys: Mutex::default(),
            engines,
            esp: OnceLock::new(),
        })
    }

    pub(super) fn engines(&self) -> &Engines {
        &self.engines
    }

    /// Where engines of tunnels encrypt on this machine, found out by trying when it is first asked.
    pub(super) fn esp(&self) -> Esp {
        *self.esp.get_or_init(|| esp::offered().map_or(Esp::UserSpace, |()| Esp::Kernel))
    }

    /// The certificate that vouches for all HTTPS services of the run: the only one that their users need to trust.
    pub fn root_certificate(&self) -> Result<CertificateDer<'static>, CertificateError> {
        Ok(self.authority()?.root())
    }

    /// The host key that the management interface of a node shows in this run.
    pub fn host_key(&self, node: &NodeName) -> PrivateKey {
        let mut keys = self.host_keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry(node.clone()).or_insert_with(|| self.make_host_key()).clone()
    }

    /// The same in the form of OpenSSH.
    pub(super) fn host_key_text(&self, node: &NodeName) -> String {
        let text = self.host_key(node).to_openssh(LineEnding::LF);
        text.expect("a key that was made here can be written").to_string()
    }

    /// The freshness stamp of this moment: a number of seconds, the same on all nodes.
    pub(super) fn stamp(&self) -> String {
        (FIRST_STAMP + self.began.elapsed().as_secs()).to_string()
    }

    /// The stamp of a copy that is an hour older than the run.
    pub(super) fn old_stamp() -> String {
        "0".to_owned()
    }

    pub(super) fn crypto(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.crypto)
    }

    pub(super) fn identity(
        &self,
        names: &[DomainName],
        addresses: &[IpAddr],
        revocation: &Revocation,
    ) -> Result<Identity, CertificateError> {
        self.authority()?.identity(names, addresses, revocation)
    }

    fn authority(&self) -> Result<&Authority, CertificateError> {
        self.authority.get_or_init(Authority::new).as_ref().map_err(Clone::clone)
    }

    fn make_host_key(&self) -> PrivateKey {
        let mut seed = [0; 32];
        self.crypto.secure_random.fill(&mut seed).expect("the kernel has random numbers");
        let pair = Ed25519Keypair::from_seed(&seed);
        PrivateKey::new(KeypairData::Ed25519(pair), "").expect("an Ed25519 pair is a private key")
    }
}

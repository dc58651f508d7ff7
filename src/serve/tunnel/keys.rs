//! The keys of a run: made when a gateway first needs one, kept in memory, never written anywhere.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use boringtun::x25519::{PublicKey, StaticSecret};
use rustls::crypto::aws_lc_rs;

use crate::{
    model::name::{NodeName, TunnelName},
    wire::hexadecimal,
};

/// The static keys of all gateways.
#[derive(Default)]
pub struct Keys(Mutex<BTreeMap<(NodeName, TunnelName), StaticSecret>>);

impl Keys {
    /// The secret of a gateway for one of its tunnels.
    pub(super) fn secret(&self, gateway: &NodeName, tunnel: &TunnelName) -> StaticSecret {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.entry((gateway.clone(), tunnel.clone())).or_insert_with(fresh).clone()
    }

    /// The secret that both ends of a tunnel share, as text.
    pub(super) fn shared(
        &self,
        gateway: &NodeName,
        peer: &NodeName,
        tunnel: &TunnelName,
    ) -> String {
        let shared = self.secret(gateway, tunnel).diffie_hellman(&self.public(peer, tunnel));
        hexadecimal::digits(shared.as_bytes())
    }

    /// What the other end knows of it.
    pub(super) fn public(&self, gateway: &NodeName, tunnel: &TunnelName) -> PublicKey {
        PublicKey::from(&self.secret(gateway, tunnel))
    }
}

fn fresh() -> StaticSecret {
    let mut seed = [0; 32];
    let random = aws_lc_rs::default_provider().secure_random;
    random.fill(&mut seed).expect("the kernel has random numbers");
    StaticSecret::from(seed)
}

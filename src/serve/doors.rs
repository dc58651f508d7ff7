//! TLS of the services of a node: its certificate, for its names and its literal addresses.

use std::{net::IpAddr, sync::Arc};

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::{authority::CertificateError, shared::Shared};
use crate::model::{name::DomainName, service::Revocation};

/// The two ways in: with the certificate of the node, and with another one for users who are to see a difference.
pub(super) struct Doors {
    pub(super) usual: TlsAcceptor,
    pub(super) other: TlsAcceptor,
}

impl Doors {
    pub(super) fn new(
        shared: &Shared,
        names: &[DomainName],
        addresses: &[IpAddr],
        revocation: &Revocation,
    ) -> Result<Self, CertificateError> {
        let door = || door(shared, names, addresses, revocation);
        Ok(Self { usual: door()?, other: door()? })
    }
}

fn door(
    shared: &Shared,
    names: &[DomainName],
    addresses: &[IpAddr],
    revocation: &Revocation,
) -> Result<TlsAcceptor, CertificateError> {
    let identity = shared.identity(names, addresses, revocation)?;
    let mut config = ServerConfig::builder_with_provider(shared.crypto())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let chain = vec![identity.certificate];
            builder.with_no_client_auth().with_single_cert(chain, identity.key)
        })
        .map_err(|error| CertificateError::new("a web service", &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

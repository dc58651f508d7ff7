//! The web service over TLS (RFC 9110 section 4.2.2), with a certificate for the node's names and literal addresses.

use std::{io, sync::Arc};

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{authority::CertificateError, http, premises::Premises, speaker::Speaker};
use crate::model::{family::Family, fault::ContentFault};

/// The two ways in: with the certificate of the node, and with another one for users who are to see a difference.
pub(super) struct Doors {
    usual: TlsAcceptor,
    other: TlsAcceptor,
}

impl Doors {
    pub(super) fn new(premises: &Premises) -> Result<Self, CertificateError> {
        Ok(Self { usual: door(premises)?, other: door(premises)? })
    }
}

fn door(premises: &Premises) -> Result<TlsAcceptor, CertificateError> {
    let services = premises.node.services.iter();
    let names: Vec<_> = services.flat_map(|service| service.names.iter().cloned()).collect();
    let identity = premises.shared.identity(&names, &premises.addresses())?;
    let failed = |error: rustls::Error| CertificateError::new(premises.node.name.as_str(), &error);
    let mut config = ServerConfig::builder_with_provider(premises.shared.crypto())
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            let chain = vec![identity.certificate];
            builder.with_no_client_auth().with_single_cert(chain, identity.key)
        })
        .map_err(failed)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

pub(super) async fn converse(
    speaker: &Speaker,
    stream: TcpStream,
    family: Family,
) -> io::Result<()> {
    let behaviour = speaker.premises.behaviour();
    let other = behaviour.differs(&speaker.service, family, ContentFault::OtherCertificate);
    let doors = speaker.premises.doors.get().expect("TLS is set up before the socket is opened");
    let door = if other { &doors.other } else { &doors.usual };
    let stream = door.accept(stream).await?;
    http::converse(speaker, stream, family).await.map_err(io::Error::other)
}

//! TLS as a prober speaks it: the handshake is finished whatever the certificate says, and what is wrong with the
//! certificate is noted. Nothing secret is ever sent over such a connection.

use std::{
    io,
    sync::{Arc, Mutex},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::wire::{hexadecimal, revocation};

/// What the handshake told.
#[derive(Clone, Debug, Default)]
pub(super) struct Handshake {
    /// For example `TLSv1.3`.
    pub(super) version: Option<String>,
    /// SHA-256 of the server's certificate.
    pub(super) certificate_sha256: Option<String>,
    /// Where it has its users ask whether it is revoked; nothing where it cannot be read.
    pub(super) revocation: Vec<String>,
    /// Why the certificate was not accepted, where it was not.
    pub(super) error: Option<String>,
}

/// Speaks TLS over a connection. An address literal as name sends no server name (RFC 6066 section 3), and the
/// certificate must hold the address.
pub(super) async fn handshake(
    roots: &Arc<RootCertStore>,
    stream: TcpStream,
    name: &str,
) -> io::Result<(TlsStream<TcpStream>, Handshake)> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let witness = Arc::new(Witness::new(roots, &provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let bare = name.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(bare).map_err(io::Error::other)?;
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let session = stream.get_ref().1;
    let version = session.protocol_version().and_then(|version| version.as_str());
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    let handshake = Handshake {
        version: version.map(|version| version.replace("TLSv1_", "TLSv1.")),
        revocation: certificate.and_then(|der| revocation::urls(der).ok()).unwrap_or_default(),
        certificate_sha256: certificate.map(|der| hexadecimal::digits(&Sha256::digest(der))),
        error: witness.complaint(),
    };
    Ok((stream, handshake))
}

/// Verifies a certificate as a browser would, notes the complaint, and lets the handshake go on. Signatures of the
/// handshake itself are verified strictly: the server must hold the key of the certificate that it shows.
#[derive(Debug)]
struct Witness {
    judge: Result<Arc<WebPkiServerVerifier>, String>,
    provider: Arc<CryptoProvider>,
    complaint: Mutex<Option<String>>,
}

impl Witness {
    fn new(roots: &Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Self {
        let judge = WebPkiServerVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| error.to_string());
        Self { judge, provider: provider.clone(), complaint: Mutex::default() }
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.lock().ok()?.take()
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judged = match &self.judge {
            Ok(judge) => judge
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.clone()),
        };
        if let (Err(complaint), Ok(mut noted)) = (judged, self.complaint.lock()) {
            *noted = Some(complaint);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

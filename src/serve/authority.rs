//! The certificate authority of a run: made once, kept in memory only, gone with the run.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CrlDistributionPoint, CustomExtension,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{
    engine,
    model::{name::DomainName, service::Revocation},
    wire::{self, revocation::ACCESS_OID},
};

/// Why a certificate could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot make a certificate for {subject}: {said}")]
pub struct CertificateError {
    /// For whom.
    pub subject: String,
    /// What the cryptography said.
    pub said: String,
}

impl CertificateError {
    pub(super) fn new(subject: &str, said: &impl ToString) -> Self {
        Self { subject: subject.to_owned(), said: said.to_string() }
    }
}

/// A certificate authority.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(super) struct Identity {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
    /// Both once more as PEM, for programs.
    pub(super) pem: engine::Identity,
}

impl Authority {
    pub(super) fn new() -> Result<Self, CertificateError> {
        let title = "sixwalk test authority";
        let failed = |error: rcgen::Error| CertificateError::new(title, &error);
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, title);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(failed)?;
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, key).map_err(failed)? })
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A new certificate, with a new key, for these names and literal addresses.
    pub(super) fn identity(
        &self,
        names: &[DomainName],
        addresses: &[IpAddr],
        revocation: &Revocation,
    ) -> Result<Identity, CertificateError> {
        let subject = names.first().map_or("a node without names", DomainName::as_str);
        let failed = |error: rcgen::Error| CertificateError::new(subject, &error);
        let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(texts).map_err(failed)?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, subject);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let points = revocation.crl.iter().cloned();
        params.crl_distribution_points =
            points.map(|url| CrlDistributionPoint { uris: vec![url] }).collect();
        let responder = revocation.ocsp.iter().map(|url| wire::revocation::access(url));
        params.custom_extensions = responder
            .map(|content| CustomExtension::from_oid_content(&ACCESS_OID, content))
            .collect();
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        let name = names.first().map(ToString::to_string);
        let name = name.or_else(|| addresses.first().map(ToString::to_string));
        let pem = engine::Identity {
            name: name.unwrap_or_default(),
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Identity { certificate: certificate.der().clone(), key, pem })
    }
}

//! Where a certificate has its users ask whether it is revoked: its CRL distribution points and its OCSP responders (RFC 5280
//! sections 4.2.1.13 and 4.2.2.1). Two extensions of a certificate that others verify are read here; that does not pay for a
//! parser of certificates.

use super::ber::{self, BOOLEAN, BadBer, OCTET_STRING, Reader, SEQUENCE};

const OBJECT: u8 = 0x06;
/// The extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// The name of a distribution point, and of this its full form.
const NAME: u8 = 0xa0;
/// A general name that is a URI.
const URI: u8 = 0x86;
/// 2.5.29.31.
const POINTS: &[u8] = &[0x55, 0x1d, 0x1f];
/// 1.3.6.1.5.5.7.1.1.
const ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
/// 1.3.6.1.5.5.7.48.1.
const OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
/// The most URLs of a certificate that are kept.
const MOST: usize = 16;

/// The URLs of a certificate in DER.
pub fn urls(certificate: &[u8]) -> Result<Vec<String>, BadBer> {
    let mut said = Reader::new(certificate).within(SEQUENCE)?.within(SEQUENCE)?;
    let mut found = Vec::new();
    while !said.is_at_end() {
        let part = said.element()?;
        if part.tag != EXTENSIONS {
            continue;
        }
        let mut extensions = Reader::new(part.content).within(SEQUENCE)?;
        while !extensions.is_at_end() {
            found.extend(of_extension(extensions.within(SEQUENCE)?)?);
        }
    }
    found.truncate(MOST);
    Ok(found)
}

fn of_extension(mut extension: Reader<'_>) -> Result<Vec<String>, BadBer> {
    let id = extension.expect(OBJECT)?;
    let mut value = extension.element()?;
    if value.tag == BOOLEAN {
        value = extension.element()?;
    }
    let content = value.expect(OCTET_STRING)?;
    match id {
        POINTS => points(Reader::new(content).within(SEQUENCE)?),
        ACCESS => responders(Reader::new(content).within(SEQUENCE)?),
        _ => Ok(Vec::new()),
    }
}

fn points(mut points: Reader<'_>) -> Result<Vec<String>, BadBer> {
    let mut found = Vec::new();
    while !points.is_at_end() {
        let mut point = points.within(SEQUENCE)?;
        while !point.is_at_end() {
            let name = point.element()?;
            if name.tag != NAME {
                continue;
            }
            let form = Reader::new(name.content).element()?;
            let mut names = Reader::new(if form.tag == NAME { form.content } else { &[] });
            while !names.is_at_end() {
                found.extend(uri(names.element()?));
            }
        }
    }
    Ok(found)
}

fn responders(mut ways: Reader<'_>) -> Result<Vec<String>, BadBer> {
    let mut found = Vec::new();
    while !ways.is_at_end() {
        let mut way = ways.within(SEQUENCE)?;
        let is_ocsp = way.expect(OBJECT)? == OCSP;
        let place = uri(way.element()?);
        found.extend(place.filter(|_| is_ocsp));
    }
    Ok(found)
}

fn uri(name: ber::Element<'_>) -> Option<String> {
    (name.tag == URI).then(|| String::from_utf8_lossy(name.content).into_owned())
}

/// The object identifier of the extension that names responders (`id-pe-authorityInfoAccess`).
pub const ACCESS_OID: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 1, 1];

/// The content of the extension that names one OCSP responder.
pub fn access(ocsp: &str) -> Vec<u8> {
    let way = ber::nest(SEQUENCE, &[ber::element(OBJECT, OCSP), ber::element(URI, ocsp)]);
    ber::nest(SEQUENCE, &[way])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, CrlDistributionPoint, CustomExtension, KeyPair};

    use super::*;

    fn certificate(crl: &str, ocsp: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.crl_distribution_points = vec![CrlDistributionPoint { uris: vec![crl.to_owned()] }];
        params.custom_extensions =
            vec![CustomExtension::from_oid_content(&ACCESS_OID, access(ocsp))];
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn what_a_certificate_says_is_read() {
        let (crl, ocsp) = ("http://pki.a.test/crl", "http://10.2.0.7/ocsp");
        let mut found = urls(&certificate(crl, ocsp)).unwrap();
        found.sort();
        assert_eq!(found, [ocsp, crl]);
        let params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        let plain = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(urls(plain.der()), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn damaged_certificates_never_panic(at in 0..600_usize, octet in any::<u8>()) {
            let mut damaged = certificate("http://a.test/", "http://b.test/");
            let length = damaged.len();
            damaged[at % length] = octet;
            let _ = urls(&damaged);
            let _ = urls(&damaged[..at % length]);
        }
    }
}

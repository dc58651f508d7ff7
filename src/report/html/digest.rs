//! The digest by which a Content Security Policy allows an inline style (CSP Level 3 section 2.3.1).

use sha2::{Digest, Sha256};

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// SHA-256 of a text in base64 (RFC 4648 section 4).
pub(super) fn sha256_base64(text: &str) -> String {
    base64(&Sha256::digest(text.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    bytes.chunks(3).flat_map(quantum).collect()
}

/// Three octets as four letters; `=` for each octet that lacks.
fn quantum(octets: &[u8]) -> [char; 4] {
    let at = |index: usize| octets.get(index).map_or(0, |octet| u32::from(*octet));
    let bits = at(0) << 16 | at(1) << 8 | at(2);
    std::array::from_fn(|index| {
        let letter = ALPHABET[(bits >> (18 - 6 * index) & 63) as usize];
        if index <= octets.len() { char::from(letter) } else { '=' }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_rfc_4648() {
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}

//! Digests of what a run was made of, as `sha256sum` prints them.

use sha2::{Digest, Sha256};

use crate::wire::hexadecimal;

/// The SHA-256 (FIPS 180-4) of some content, in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    hexadecimal::digits(&Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_example_of_the_standard() {
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), digest);
    }
}

//! Octets as people read and compare them.

use std::fmt::Write as _;

/// Two hexadecimal digits in lower case for each octet, as `sha256sum` prints them.
pub fn digits(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02x}"); // writing to a String cannot fail
        text
    })
}

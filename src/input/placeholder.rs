//! Placeholders: names that stand for what cannot be a name, so that the rest of what was written is read all the same.
//! One text has one placeholder, so that whoever refers to a thing by its bad name still finds it. Nobody sees them: in
//! messages, what was written stands again.

use crate::model::name::NodeName;

/// What every placeholder begins with.
pub(super) const MARK: &str = "bad-";
/// The octets of a placeholder: as many as the shortest kind of name may have.
pub(super) const LENGTH: usize = 15;

/// The placeholder of a text: always the same, and good as a name of any kind.
pub(super) fn of(text: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // FNV-1a: texts of one file are told apart, nothing more is asked of it.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let digit = |at: usize| char::from(ALPHABET[(hash >> (5 * at) & 31) as usize]);
    MARK.chars().chain((0..LENGTH - MARK.len()).map(digit)).collect()
}

/// Whether a name is a placeholder.
pub(super) fn is(name: &str) -> bool {
    name.len() == LENGTH && name.starts_with(MARK)
}

/// A text where it is a name, else its placeholder.
pub(super) fn stand_in(text: &str) -> String {
    if text.parse::<NodeName>().is_ok() { text.to_owned() } else { of(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::name::{InterfaceName, TunnelName};

    #[test]
    fn a_placeholder_is_a_name_of_every_kind_and_texts_are_told_apart() {
        for text in ["", "a b", "Lan", "../etc", "\u{1b}[31m"] {
            assert!(of(text).parse::<InterfaceName>().is_ok(), "{text:?}");
            assert!(of(text).parse::<TunnelName>().is_ok(), "{text:?}");
        }
        assert_ne!(of("Lan"), of("lan"));
        assert_eq!(stand_in("lan"), "lan");
        assert_eq!(stand_in("Lan"), of("Lan"));
    }
}

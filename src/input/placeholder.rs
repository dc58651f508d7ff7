//! Placeholders: names that stand for what cannot be a name, so that the rest of what was written is read all the same.
//! One text has one placeholder, so that whoever refers to a thing by its bad name still finds it. Nobody sees them: in
//! messages, what was written stands again.

use std::collections::BTreeMap;

use toml::{Spanned, de::DeValue};

use super::{
    diagnostic::Diagnostic,
    table::{Table, read},
};
use crate::model::name::NodeName;

/// What every placeholder begins with.
const MARK: &str = "bad-";
/// With the mark, as long as the shortest kind of name may be.
const DIGITS: u32 = 11;

/// The placeholder of a text: always the same, and good as a name of any kind.
pub(super) fn of(text: &str) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    // FNV-1a: texts of one file are told apart, nothing more is asked of it.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    let digit = |at: u32| char::from(ALPHABET[(hash >> (5 * at) & 31) as usize]);
    MARK.chars().chain((0..DIGITS).map(digit)).collect()
}

/// A text where it is a name, else its placeholder.
pub(super) fn stand_in(text: &str) -> String {
    if read::<NodeName>(text).is_ok() { text.to_owned() } else { of(text) }
}

/// Puts what was written in the places of placeholders.
pub(super) fn unmask(root: &Table<'_>, found: &mut [Diagnostic]) {
    let is_masked = |one: &Diagnostic| texts(&mut one.clone()).any(|text| text.contains(MARK));
    if !found.iter().any(is_masked) {
        return;
    }
    let mut written = Vec::new();
    root.entries().iter().for_each(|entry| collect(&entry.key, entry.value, &mut written));
    let masks: BTreeMap<_, _> = written.into_iter().map(|text| (of(&text), text)).collect();
    for text in found.iter_mut().flat_map(texts).filter(|text| text.contains(MARK)) {
        *text = unmasked(text, &masks);
    }
}

fn unmasked(text: &str, masks: &BTreeMap<String, String>) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(MARK) {
        let mask = rest[at..].get(..MARK.len() + DIGITS as usize);
        let (from, written) = match mask.and_then(|mask| Some((mask.len(), masks.get(mask)?))) {
            Some((length, written)) => (at + length, written.as_str()),
            None => (at + MARK.len(), MARK),
        };
        shown.push_str(&rest[..at]);
        shown.push_str(written);
        rest = &rest[from..];
    }
    shown + rest
}

/// Every key and every text of a document.
fn collect(key: &str, value: &Spanned<DeValue<'_>>, written: &mut Vec<String>) {
    written.push(key.to_owned());
    match value.get_ref() {
        DeValue::String(text) => written.push(text.to_string()),
        DeValue::Array(items) => items.iter().for_each(|item| collect("", item, written)),
        DeValue::Table(table) => {
            table.iter().for_each(|(key, value)| collect(key.get_ref(), value, written));
        }
        _ => {}
    }
}

fn texts(one: &mut Diagnostic) -> impl Iterator<Item = &mut String> {
    let notes = one.notes.iter_mut().map(|note| &mut note.label);
    [&mut one.message, &mut one.label].into_iter().chain(&mut one.hint).chain(notes)
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

//! The way back from placeholders: in messages, what was written stands again.

use std::collections::BTreeMap;

use toml::{Spanned, de::DeValue};

use super::{
    diagnostic::Diagnostic,
    placeholder::{LENGTH, MARK, of},
    table::Table,
};

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
        let mask = rest[at..].get(..LENGTH);
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

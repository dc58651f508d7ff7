//! Shapes: what may be written where. The one truth about the grammar: files are checked against it, and the JSON Schema
//! is made from it. A shape complains of everything that does not fit; `Table` then reads what does.

use serde_json::{Map, Value, json};
use toml::de::DeValue;

use super::{
    diagnostic::{Diagnostic, Span},
    spelling,
    suggest::{list, suggest},
    table::{Entry, Table, number},
};

/// What may be written at some place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    /// Any text of at most 200 characters, without control characters.
    Text,
    /// A text of at most so many characters, without control characters.
    LongText { most: usize },
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number { least: i64, most: i64 },
    /// One of these words.
    Word(fn() -> Vec<&'static str>),
    /// A text that must be readable as something; the function says why it is not.
    Parsed { what: &'static str, check: fn(&str) -> Result<(), String> },
    /// A list; where it has one entry, the brackets may be left out.
    List { of: &'static Shape, most: usize },
    /// A table with these keys.
    Table(&'static [Key]),
    /// Tables one after another: `[[noun]]`.
    Tables { noun: &'static str, of: &'static [Key], most: usize },
    /// A table whose keys are names that the writer chooses.
    Named {
        noun: &'static str,
        check: fn(&str) -> Result<(), String>,
        of: &'static Shape,
        most: usize,
    },
    /// The short form, or the long one (a table).
    Short { short: &'static Shape, long: &'static [Key] },
}

/// A key of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What it is for: shown by editors.
    pub about: &'static str,
    /// What may stand there.
    pub shape: Shape,
    /// Whether it may not be left out.
    pub required: bool,
    /// Whether a list without entries says nothing there.
    pub filled: bool,
}

impl Key {
    /// The same, of a list that is to have an entry where it stands.
    pub(super) const fn filled(self) -> Self {
        Self { filled: true, ..self }
    }
}

/// A key that may be left out.
pub(super) const fn key(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, about, shape, required: false, filled: false }
}

/// A key that may not be left out.
pub(super) const fn required(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, about, shape, required: true, filled: false }
}

/// The longest free text.
const LONGEST_TEXT: usize = 200;

/// Where a value stands, for messages.
#[derive(Clone)]
struct Place {
    /// As in "`mtu` of segment `lan`".
    words: String,
    /// The key or header that leads there.
    span: Span,
}

/// Compares a document with its shape and complains of everything that does not fit.
pub(super) fn check(keys: &'static [Key], root: &Table<'_>, text: &str) -> Vec<Diagnostic> {
    let mut checker = Checker { text, found: Vec::new() };
    checker.table(keys, root, &Place { words: "the file".to_owned(), span: 0..0 });
    checker.found
}

struct Checker<'t> {
    text: &'t str,
    found: Vec<Diagnostic>,
}

impl Checker<'_> {
    fn value(&mut self, shape: &'static Shape, entry: &Entry<'_>, place: &Place) {
        match (shape, entry.value.get_ref()) {
            (Shape::Text, DeValue::String(text)) => self.text(text, LONGEST_TEXT, entry, place),
            (Shape::LongText { most }, DeValue::String(text)) => {
                self.text(text, *most, entry, place);
            }
            (Shape::Flag, DeValue::Boolean(_)) => {}
            (Shape::Number { least, most }, DeValue::Integer(written)) => {
                if !number(written).is_some_and(|n| (*least..=*most).contains(&n)) {
                    self.misfit(shape, entry, place);
                }
            }
            (Shape::Word(words), DeValue::String(word)) => {
                let words = words();
                if !words.contains(&word.as_ref()) {
                    let message = format!("{} cannot be `{word}`", place.words);
                    let hint = suggest(word, words.iter().copied());
                    self.found.push(Diagnostic::error(&entry.span(), message).maybe_hint(hint));
                }
            }
            (Shape::Parsed { check, .. }, DeValue::String(text)) => {
                if let Err(why) = check(text) {
                    self.found.push(misspelt(&entry.span(), text, why, *check));
                }
            }
            (Shape::List { of, most }, DeValue::Array(items)) => {
                self.at_most(*most, items.len(), place);
                for item in items {
                    let entry = Entry { key: entry.key.clone(), at: item.span(), value: item };
                    self.value(of, &entry, place);
                }
            }
            (Shape::List { of, .. }, _) => self.value(of, entry, place),
            (Shape::Table(keys), DeValue::Table(_)) => self.keys(keys, entry, place),
            (Shape::Tables { noun, of, most }, DeValue::Array(items)) => {
                self.at_most(*most, items.len(), place);
                for (at, item) in items.iter().enumerate() {
                    let place = Place { words: format!("{noun} {}", at + 1), span: item.span() };
                    let entry = Entry { key: entry.key.clone(), at: item.span(), value: item };
                    self.value_as_table(of, &entry, &place, shape);
                }
            }
            (Shape::Named { noun, check, of, most }, DeValue::Table(_)) => {
                self.named(noun, *check, of, *most, entry, place);
            }
            (Shape::Short { long, .. }, DeValue::Table(_)) => self.keys(long, entry, place),
            (Shape::Short { short, .. }, DeValue::String(_)) => self.value(short, entry, place),
            _ => self.misfit(shape, entry, place),
        }
    }

    fn value_as_table(
        &mut self,
        keys: &'static [Key],
        entry: &Entry<'_>,
        place: &Place,
        shape: &'static Shape,
    ) {
        match entry.value.get_ref() {
            DeValue::Table(_) => self.keys(keys, entry, place),
            _ => self.misfit(shape, entry, place),
        }
    }

    fn keys(&mut self, keys: &'static [Key], entry: &Entry<'_>, place: &Place) {
        if let Some(table) = entry.table() {
            self.table(keys, &table, place);
        }
    }

    fn table(&mut self, keys: &'static [Key], table: &Table<'_>, place: &Place) {
        for entry in table.entries() {
            let Some(key) = keys.iter().find(|key| key.name == entry.key) else {
                let message = format!("{} has no key `{}`", place.words, entry.key);
                let hint = suggest(&entry.key, keys.iter().map(|key| key.name));
                self.found.push(Diagnostic::error(&entry.at, message).maybe_hint(hint));
                continue;
            };
            let words = match place.words.as_str() {
                "the file" => format!("`{}`", key.name),
                of => format!("`{}` of {of}", key.name),
            };
            let place = Place { words, span: entry.at.clone() };
            self.filled(key, entry, &place);
            self.value(&key.shape, entry, &place);
        }
        for key in keys.iter().filter(|key| key.required && table.entry(key.name).is_none()) {
            let message = format!("{} has no `{}`", place.words, key.name);
            let hint = format!("add `{}`: {}", key.name, uncapitalised(key.about));
            self.found.push(Diagnostic::error(&place.span, message).hint(hint));
        }
    }

    /// A list of nothing where something is to be named.
    fn filled(&mut self, key: &Key, entry: &Entry<'_>, place: &Place) {
        let is_empty = matches!(entry.value.get_ref(), DeValue::Array(items) if items.is_empty());
        if !key.filled || !is_empty {
            return;
        }
        let message = format!("{} is a list of nothing", place.words);
        let about = uncapitalised(key.about);
        let hint = if key.required {
            format!("name at least one in `{}`: {about}", key.name)
        } else {
            format!("leave `{}` out, or name at least one: {about}", key.name)
        };
        self.found.push(Diagnostic::error(&entry.span(), message).hint(hint));
    }

    fn named(
        &mut self,
        noun: &str,
        check: fn(&str) -> Result<(), String>,
        of: &'static Shape,
        most: usize,
        entry: &Entry<'_>,
        place: &Place,
    ) {
        let Some(table) = entry.table() else { return };
        self.at_most(most, table.entries().len(), place);
        for child in table.entries() {
            if let Err(why) = check(&child.key) {
                self.found.push(misspelt(&child.at, &child.key, why, check));
            }
            let words = match place.words.split_once(" of ") {
                Some((_, of)) => format!("{noun} `{}` of {of}", child.key),
                None => format!("{noun} `{}`", child.key),
            };
            self.value(of, child, &Place { words, span: child.at.clone() });
        }
    }

    fn text(&mut self, text: &str, most: usize, entry: &Entry<'_>, place: &Place) {
        let why = if text.chars().count() > most {
            format!("is longer than {most} characters")
        } else if text.chars().any(char::is_control) {
            "holds a control character".to_owned()
        } else if text.trim().is_empty() {
            "is empty".to_owned()
        } else {
            return;
        };
        self.found.push(Diagnostic::error(&entry.span(), format!("{} {why}", place.words)));
    }

    fn misfit(&mut self, shape: &Shape, entry: &Entry<'_>, place: &Place) {
        let written = self.text.get(entry.span()).unwrap_or_default();
        let written = match entry.value.get_ref() {
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::String(_) => format!("the text {written}"),
            _ => format!("`{written}`"),
        };
        let message = format!("{} must be {}, not {written}", place.words, shape.in_words());
        self.found.push(Diagnostic::error(&entry.span(), message));
    }

    fn at_most(&mut self, most: usize, count: usize, place: &Place) {
        if count > most {
            let message = format!("{} has {count} entries; at most {most} are read", place.words);
            self.found.push(Diagnostic::error(&place.span, message));
        }
    }
}

/// A text that cannot be read, with the spelling that can, where it is plain.
fn misspelt(
    at: &Span,
    text: &str,
    why: String,
    check: fn(&str) -> Result<(), String>,
) -> Diagnostic {
    let hint = spelling::hint(text, |candidate| check(candidate).is_ok());
    Diagnostic::error(at, why).maybe_hint(hint)
}

impl Shape {
    fn in_words(&self) -> String {
        match self {
            Self::Text | Self::LongText { .. } => "a text".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Number { least, most } => format!("a number from {least} to {most}"),
            Self::Word(words) => format!("one of {}", list(words())),
            Self::Parsed { what, .. } => (*what).to_owned(),
            Self::List { of, .. } => format!("{} or a list of such", of.in_words()),
            Self::Table(keys) => {
                format!("a table with the keys {}", list(keys.iter().map(|k| k.name)))
            }
            Self::Tables { noun, .. } => format!("written as `[[{noun}]]`"),
            Self::Named { noun, .. } => format!("a table with a key for each {noun}"),
            Self::Short { short, long } => {
                let keys = list(long.iter().map(|key| key.name));
                format!("{} or a table with the keys {keys}", short.in_words())
            }
        }
    }

    /// The shape as JSON Schema (draft 2020-12).
    fn schema(&self) -> Value {
        match self {
            Self::Text => json!({ "type": "string", "minLength": 1, "maxLength": LONGEST_TEXT }),
            Self::LongText { most } => {
                json!({ "type": "string", "minLength": 1, "maxLength": most })
            }
            Self::Flag => json!({ "type": "boolean" }),
            Self::Number { least, most } => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::Word(words) => json!({ "enum": words() }),
            Self::Parsed { what, .. } => json!({ "type": "string", "description": what }),
            Self::List { of, most } => {
                let of = of.schema();
                json!({ "anyOf": [of, { "type": "array", "items": of, "maxItems": most }] })
            }
            Self::Table(keys) => object(keys),
            Self::Tables { of, most, .. } => {
                json!({ "type": "array", "items": object(of), "maxItems": most })
            }
            Self::Named { of, most, .. } => json!({
                "type": "object", "additionalProperties": of.schema(), "maxProperties": most
            }),
            Self::Short { short, long } => json!({ "anyOf": [short.schema(), object(long)] }),
        }
    }
}

/// A table as JSON Schema.
pub(super) fn object(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut schema = key.shape.schema();
        if key.filled {
            schema["anyOf"][1]["minItems"] = 1.into();
        }
        schema["description"] = match schema.get("description").and_then(Value::as_str) {
            Some(what) => format!("{} Written as {what}.", key.about).into(),
            None => key.about.into(),
        };
        properties.insert(key.name.to_owned(), schema);
    }
    let needed: Vec<_> = keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    json!({
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": false,
    })
}

/// A sentence as the end of another.
fn uncapitalised(sentence: &str) -> String {
    let sentence = sentence.trim_end_matches('.');
    let first = sentence.chars().next().map(|first| first.to_ascii_lowercase());
    first.into_iter().chain(sentence.chars().skip(1)).collect()
}

//! Tables as they were written: what is of the right shape is read, what is not has been complained of by `shape`.

use serde::de::{DeserializeOwned, IntoDeserializer, value::Error};
use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue},
};

use super::{diagnostic::Span, placeholder, spelling};
use crate::model::name::DomainName;

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At<T> {
    /// What was written.
    pub is: T,
    /// Where.
    pub at: Span,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry<'d> {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub at: Span,
    /// Its value.
    pub value: &'d Spanned<DeValue<'d>>,
}

/// A table with its entries in the order of the file.
#[derive(Clone, Debug)]
pub(super) struct Table<'d> {
    entries: Vec<Entry<'d>>,
}

impl<'d> Table<'d> {
    /// The entries of a table in the order of the file.
    pub(super) fn new(table: &'d DeTable<'d>) -> Self {
        let entry = |(key, value): (&Spanned<_>, &'d _)| {
            let name: &std::borrow::Cow<'_, str> = key.get_ref();
            Entry { key: name.to_string(), at: key.span(), value }
        };
        let mut entries: Vec<_> = table.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.at.start);
        Self { entries }
    }

    /// A table without entries: what a short form leaves unsaid.
    pub(super) fn empty() -> Self {
        Self { entries: Vec::new() }
    }

    pub(super) fn entries(&self) -> &[Entry<'d>] {
        &self.entries
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry<'d>> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// A text that is a value of a type: a name, a word, an address.
    pub(super) fn one<T: DeserializeOwned>(&self, key: &str) -> Option<At<T>> {
        self.entry(key)?.one()
    }

    /// The values of a list; a single value is a list of one.
    pub(super) fn list<T: DeserializeOwned>(&self, key: &str) -> Vec<At<T>> {
        self.entry(key)
            .map_or_else(Vec::new, |entry| entry.items().iter().filter_map(Entry::one).collect())
    }

    /// A domain name.
    pub(super) fn domain(&self, key: &str) -> Option<At<DomainName>> {
        self.entry(key)?.domain()
    }

    /// Domain names; a single one is a list of one.
    pub(super) fn domains(&self, key: &str) -> Vec<At<DomainName>> {
        self.items(key).iter().filter_map(Entry::domain).collect()
    }

    /// The name of something else.
    pub(super) fn reference<T: DeserializeOwned>(&self, key: &str) -> Option<At<T>> {
        self.entry(key)?.reference()
    }

    /// The names of a list; a single name is a list of one.
    pub(super) fn references<T: DeserializeOwned>(&self, key: &str) -> Vec<At<T>> {
        self.items(key).iter().filter_map(Entry::reference).collect()
    }

    pub(super) fn flag(&self, key: &str) -> Option<At<bool>> {
        let entry = self.entry(key)?;
        Some(At { is: entry.value.get_ref().as_bool()?, at: entry.span() })
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, key: &str) -> Option<At<T>> {
        let entry = self.entry(key)?;
        Some(At { is: entry.number()?, at: entry.span() })
    }

    /// A table below a key.
    pub(super) fn table(&self, key: &str) -> Option<Table<'d>> {
        self.entry(key)?.table()
    }

    /// The entries of a table below a key; none where there is no such table.
    pub(super) fn children(&self, key: &str) -> Vec<Entry<'d>> {
        self.table(key).map_or_else(Vec::new, |table| table.entries)
    }

    /// The items of a list below a key.
    pub(super) fn items(&self, key: &str) -> Vec<Entry<'d>> {
        self.entry(key).map_or_else(Vec::new, Entry::items)
    }
}

impl<'d> Entry<'d> {
    /// Where the value stands.
    pub(super) fn span(&self) -> Span {
        self.value.span()
    }

    /// The value as a table.
    pub(super) fn table(&self) -> Option<Table<'d>> {
        self.value.get_ref().as_table().map(Table::new)
    }

    /// The value as one or several of the same kind.
    pub(super) fn items(&self) -> Vec<Self> {
        let item = |value: &'d Spanned<_>| Self { key: self.key.clone(), at: value.span(), value };
        match self.value.get_ref() {
            DeValue::Array(items) => items.iter().map(item).collect(),
            _ => vec![self.clone()],
        }
    }

    /// The value as a text that is a value of a type.
    pub(super) fn one<T: DeserializeOwned>(&self) -> Option<At<T>> {
        Some(At { is: read(self.value.get_ref().as_str()?).ok()?, at: self.span() })
    }

    /// The value as a domain name; as the one that it means where it is none, which `shape` has complained of.
    pub(super) fn domain(&self) -> Option<At<DomainName>> {
        let text = self.value.get_ref().as_str()?;
        let is = read(text).ok().or_else(|| spelling::domain(text))?;
        Some(At { is, at: self.span() })
    }

    /// The value as a whole number.
    pub(super) fn number<T: TryFrom<i64>>(&self) -> Option<T> {
        number(self.value.get_ref().as_integer()?)?.try_into().ok()
    }

    /// The key as a name; a placeholder where it is none, which `shape` has complained of.
    pub(super) fn name<T: DeserializeOwned>(&self) -> Option<At<T>> {
        Some(At { is: name(&self.key)?, at: self.at.clone() })
    }

    /// The name of something else that an entry of this one must say. Where it does not, which has been complained of, a
    /// placeholder stands at the place of that complaint, so that the rest is read all the same.
    pub(super) fn needed<T: DeserializeOwned>(&self, key: &str) -> Option<At<T>> {
        let table = self.table()?;
        let said = table.reference(key);
        let at = || table.entry(key).map_or_else(|| self.at.clone(), Entry::span);
        said.or_else(|| Some(At { is: name("")?, at: at() }))
    }

    /// The value as a name of something else; a placeholder where it is none, likewise.
    pub(super) fn reference<T: DeserializeOwned>(&self) -> Option<At<T>> {
        Some(At { is: name(self.value.get_ref().as_str()?)?, at: self.span() })
    }
}

fn name<T: DeserializeOwned>(text: &str) -> Option<T> {
    read(text).or_else(|_| read(&placeholder::of(text))).ok()
}

/// Reads a text by the same rules as the JSON of the product: one set of words for everything.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    T::deserialize(text.into_deserializer())
}

/// A whole number, where it is not beyond 64 bits.
pub(super) fn number(written: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(written.as_str(), written.radix()).ok()
}

//! Sets: lists of values that a rule compares with at once. Ours hold ICMP types; those of others may hold ranges.

use super::{
    attribute::{Attributes, Malformed, Writer},
    kernel::{key_type, object},
};
use crate::model::family::Family;

/// A set with its elements.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) name: String,
    /// Its number within a batch.
    pub(super) id: u32,
    pub(super) flags: u32,
    pub(super) key_type: u32,
    pub(super) elements: Vec<Element>,
}

/// A value, or where in an interval set a range begins or has ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Element {
    pub(super) key: Vec<u8>,
    /// The value is the first that is no longer in the range. Sorts before the range that begins there.
    pub(super) goes_on: bool,
}

/// From the first to the last value, both included.
pub(super) type Range = (Vec<u8>, Vec<u8>);

impl Set {
    pub(super) fn of_icmp_types(family: Family, id: u32, types: &[u8]) -> Self {
        Self {
            name: format!("__set{id}"),
            id,
            flags: object::SET_ANONYMOUS | object::SET_CONSTANT,
            key_type: match family {
                Family::V4 => key_type::ICMP,
                Family::V6 => key_type::ICMPV6,
            },
            elements: types.iter().map(|t| Element { key: vec![*t], goes_on: true }).collect(),
        }
    }

    /// The attributes of the message that makes it.
    pub(super) fn write(&self, table: &str) -> Writer {
        let mut set = Writer::default();
        set.text(object::SET_TABLE, table);
        set.text(object::SET_NAME, &self.name);
        set.number(object::SET_FLAGS, self.flags);
        set.number(object::SET_KEY_TYPE, self.key_type);
        set.number(object::SET_KEY_LENGTH, 1);
        set.number(object::SET_ID, self.id);
        set
    }

    /// The attributes of the message that fills it.
    pub(super) fn write_elements(&self, table: &str) -> Writer {
        let mut list = Writer::default();
        list.text(object::ELEMENTS_TABLE, table);
        list.text(object::ELEMENTS_SET, &self.name);
        list.number(object::ELEMENTS_SET_ID, self.id);
        list.nest(object::ELEMENTS_LIST, |list| {
            for element in &self.elements {
                list.nest(object::LIST_ELEMENT, |one| {
                    one.nest(object::ELEMENT_KEY, |key| {
                        key.octets(object::DATA_VALUE, &element.key);
                    });
                });
            }
        });
        list
    }

    /// Reads the attributes of a set. The elements come in messages of their own.
    pub(super) fn read(attributes: &Attributes<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            name: attributes.text(object::SET_NAME)?,
            id: attributes.find_number(object::SET_ID).unwrap_or(0),
            flags: attributes.find_number(object::SET_FLAGS).unwrap_or(0),
            key_type: attributes.find_number(object::SET_KEY_TYPE).unwrap_or(0),
            elements: Vec::new(),
        })
    }

    /// Whether its elements say all that it holds: it is no map, no concatenation, and no packet changes it.
    pub(super) fn is_plain(&self) -> bool {
        let special = object::SET_MAP
            | object::SET_TIMEOUT
            | object::SET_DYNAMIC
            | object::SET_OBJECT
            | object::SET_CONCAT;
        self.flags & special == 0
    }

    /// What is in it, in order; an error says why that cannot be told.
    pub(super) fn ranges(&self) -> Result<Vec<Range>, String> {
        if !self.is_plain() {
            return Err(format!(
                "a lookup in `{}`, which is more than a list of values",
                self.name
            ));
        }
        let mut elements = self.elements.clone();
        elements.sort();
        if self.flags & object::SET_INTERVAL == 0 {
            return Ok(elements.into_iter().map(|e| (e.key.clone(), e.key)).collect());
        }
        let mut ranges = Vec::new();
        let mut open: Option<Vec<u8>> = None;
        for element in elements {
            if let Some(first) = open.take() {
                ranges.push((first, before(&element.key)));
            }
            if element.goes_on {
                open = Some(element.key);
            }
        }
        ranges.extend(open.map(|first| (first.clone(), vec![0xff; first.len()])));
        Ok(ranges)
    }
}

impl Element {
    /// Reads an element; an error in words where it is of a kind that has no single value.
    pub(super) fn read(octets: &[u8]) -> Result<Option<Self>, Malformed> {
        let attributes = Attributes::split("an element of a set", octets)?;
        if attributes.find(object::ELEMENT_KEY_END).is_some() {
            return Ok(None);
        }
        let Some(key) = attributes.find(object::ELEMENT_KEY) else { return Ok(None) };
        let key = Attributes::split("the key of an element", key)?;
        let flags = attributes.find_number(object::ELEMENT_FLAGS).unwrap_or(0);
        Ok(Some(Self {
            key: key.octets(object::DATA_VALUE)?.to_vec(),
            goes_on: flags & object::ELEMENT_INTERVAL_END == 0,
        }))
    }
}

/// The number before, as wide; zero stays zero.
fn before(key: &[u8]) -> Vec<u8> {
    let mut less = key.to_vec();
    for octet in less.iter_mut().rev() {
        let (value, borrow) = octet.overflowing_sub(1);
        *octet = value;
        if !borrow {
            return less;
        }
    }
    key.to_vec()
}

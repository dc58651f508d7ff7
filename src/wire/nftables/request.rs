//! Requests for dumps.

use super::{
    attribute::Writer,
    kernel::{flag, message, object},
    message::{Header, append},
};

/// What is asked of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// All tables of the namespace.
    Tables,
    /// All chains.
    Chains,
    /// All rules.
    Rules,
    /// All sets, without their elements.
    Sets,
    /// The elements of a set.
    Elements {
        /// The number of the table's family.
        family: u8,
        /// The table.
        table: String,
        /// The set.
        set: String,
    },
}

impl Request {
    /// As a message.
    pub fn to_bytes(&self, sequence: u32) -> Vec<u8> {
        let mut attributes = Writer::default();
        let (kind, family) = match self {
            Self::Tables => (message::GET_TABLE, 0),
            Self::Chains => (message::GET_CHAIN, 0),
            Self::Rules => (message::GET_RULE, 0),
            Self::Sets => (message::GET_SET, 0),
            Self::Elements { family, table, set } => {
                attributes.text(object::ELEMENTS_TABLE, table);
                attributes.text(object::ELEMENTS_SET, set);
                (message::GET_ELEMENTS, *family)
            }
        };
        let mut bytes = Vec::new();
        let header = Header { kind, flags: flag::DUMP, sequence, family, resource: 0 };
        append(&mut bytes, &header, &attributes);
        bytes
    }
}

//! `[site.NAME]`

use super::words::{NODE, NODES};
use crate::{
    input::{
        shape::{Key, Shape, key},
        table::{At, Entry},
    },
    model::name::{NodeName, SiteName},
};

pub(in crate::input) const KEYS: &[Key] = &[
    key("title", Shape::Text, "What people call the site."),
    key(
        "resolvers",
        NODES,
        "The nodes that its nodes ask for names, unless a node says otherwise.",
    ),
    key(
        "logs-to",
        NODE,
        "The node that its nodes send their log to, unless a node says otherwise.",
    ),
    key(
        "time-from",
        NODE,
        "The node that its nodes take the time from, unless a node says otherwise.",
    ),
    key(
        "users-from",
        NODE,
        "The directory in which its nodes look users up, unless a node says otherwise.",
    ),
];

/// A site as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Site {
    pub name: At<SiteName>,
    pub title: Option<At<String>>,
    pub uses: Uses,
}

/// The services of other nodes that nodes use.
#[derive(Clone, Debug, Default)]
pub(in crate::input) struct Uses {
    pub resolvers: Vec<At<NodeName>>,
    pub logs_to: Option<At<NodeName>>,
    pub time_from: Option<At<NodeName>>,
    pub users_from: Option<At<NodeName>>,
}

impl Site {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self { name: entry.name()?, title: table.one("title"), uses: Uses::read(&table) })
    }
}

impl Uses {
    pub(super) fn read(table: &crate::input::table::Table<'_>) -> Self {
        Self {
            resolvers: table.references("resolvers"),
            logs_to: table.reference("logs-to"),
            time_from: table.reference("time-from"),
            users_from: table.reference("users-from"),
        }
    }
}

//! `[tunnel.NAME]`

use super::words::{FAMILIES, NODES};
use crate::{
    input::{
        diagnostic::Span,
        shape::{Key, Shape, key, required},
        table::{At, Entry},
    },
    model::{
        family::Family,
        name::{NodeName, TunnelName},
    },
};

const PAIR: Shape = Shape::List { of: &Shape::Text, most: 2 };

pub(in crate::input) const KEYS: &[Key] = &[
    required("between", NODES, "The two VPN gateways that end it."),
    key(
        "outer",
        FAMILIES,
        "The families that may carry it, first choice first; both, IPv6 first, otherwise.",
    ),
    required(
        "couple",
        Shape::List { of: &PAIR, most: 64 },
        "Pairs of segments or prefixes, the first behind the first gateway: `[[\"admin-lan\", \"dc-lan\"]]`.",
    ),
];

/// A tunnel as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Tunnel {
    pub name: At<TunnelName>,
    pub between: Vec<At<NodeName>>,
    pub outer: Vec<At<Family>>,
    pub couple: Vec<Couple>,
}

/// A pair of subnets as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Couple {
    pub at: Span,
    pub ends: Vec<At<String>>,
}

impl Tunnel {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self {
            name: entry.name()?,
            between: table.references("between"),
            outer: table.list("outer"),
            couple: table.items("couple").iter().map(Couple::read).collect(),
        })
    }
}

impl Couple {
    fn read(entry: &Entry<'_>) -> Self {
        let ends = entry.items().iter().filter_map(Entry::one).collect();
        Self { at: entry.span(), ends }
    }
}

//! `[partial]`: what the partial phase means in this testbed

use super::words::{NODES, SEGMENTS};
use crate::{
    input::{
        shape::{Key, Shape, key},
        table::{At, Table},
    },
    model::name::{NodeName, SegmentName},
};

pub(in crate::input) const KEYS: &[Key] = &[
    key(
        "dual-stack",
        SEGMENTS,
        "The segments on which both families are live; the others stay IPv4-only.",
    ),
    key("ipv6-only", SEGMENTS, "The segments on which only IPv6 is live."),
    key("stay-ipv4", NODES, "The nodes that speak only IPv4 even on those segments."),
];

pub(in crate::input) const SHAPE: Shape = Shape::Table(KEYS);

/// The partial phase as written.
#[derive(Clone, Debug, Default)]
pub(in crate::input) struct Partial {
    pub dual_stack: Vec<At<SegmentName>>,
    pub ipv6_only: Vec<At<SegmentName>>,
    pub stay_ipv4: Vec<At<NodeName>>,
}

impl Partial {
    pub(super) fn read(table: &Table<'_>) -> Self {
        Self {
            dual_stack: table.references("dual-stack"),
            ipv6_only: table.references("ipv6-only"),
            stay_ipv4: table.references("stay-ipv4"),
        }
    }
}

//! A wire: the namespace of a segment, with a bridge that every interface on the segment is plugged into.

use std::collections::BTreeMap;

use crate::{
    model::name::{InterfaceName, NodeName, SegmentName},
    net::{links, namespace::Namespace, netlink::Netlink},
};

/// The name of the bridge in the namespace of every segment.
pub const BRIDGE: &str = "bridge";

/// The index of the bridge; its ports follow.
pub const BRIDGE_INDEX: u32 = links::FIRST;

/// The link of a segment.
#[derive(Debug)]
pub struct Wire {
    /// The segment.
    pub segment: SegmentName,
    /// The namespace of the bridge. Nothing of either family is ever live in it.
    pub namespace: Namespace,
    /// A netlink socket inside.
    pub netlink: Netlink,
    /// The port of the bridge that an interface is plugged into, by node and interface.
    pub ports: BTreeMap<(NodeName, InterfaceName), Port>,
}

/// A port of the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name in the namespace of the segment.
    pub name: String,
    /// Its index there.
    pub index: u32,
}

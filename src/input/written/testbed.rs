//! A testbed file

use super::{
    claim::{self, Claim},
    flow::{self, Flow},
    node::{self, Node},
    partial::{self, Partial},
    segment::{self, Segment},
    site::{self, Site},
    translation::{self, Translation},
    tunnel::{self, Tunnel},
    words::parses,
    zone::{self, Zone},
};
use crate::{
    input::{
        diagnostic::Span,
        shape::{Key, Shape, key, required},
        table::{At, Entry, Table},
    },
    model::name::{NodeName, SegmentName, SiteName, TranslationName, TunnelName},
};

pub(in crate::input) const KEYS: &[Key] = &[
    required("title", Shape::Text, "What people call the testbed."),
    key("source", Shape::Text, "The document that it follows."),
    key(
        "site",
        Shape::Named {
            noun: "site",
            check: parses::<SiteName>,
            of: &Shape::Table(site::KEYS),
            most: 1000,
        },
        "The sites, each as `[site.administration]`.",
    ),
    required(
        "segment",
        Shape::Named {
            noun: "segment",
            check: parses::<SegmentName>,
            of: &Shape::Table(segment::KEYS),
            most: 2000,
        },
        "The segments, each as `[segment.admin-lan]`.",
    ),
    required(
        "node",
        Shape::Named {
            noun: "node",
            check: parses::<NodeName>,
            of: &Shape::Table(node::KEYS),
            most: 4000,
        },
        "The nodes, each as `[node.portal]`.",
    ),
    key(
        "zone",
        Shape::Tables { noun: "zone", of: zone::KEYS, most: 256 },
        "The zones of names, each as `[[zone]]`.",
    ),
    key(
        "tunnel",
        Shape::Named {
            noun: "tunnel",
            check: parses::<TunnelName>,
            of: &Shape::Table(tunnel::KEYS),
            most: 256,
        },
        "The tunnels, each as `[tunnel.a-to-b]`.",
    ),
    key(
        "translation",
        Shape::Named {
            noun: "translation",
            check: parses::<TranslationName>,
            of: &Shape::Table(translation::KEYS),
            most: 16,
        },
        "How users with IPv6 alone reach what has IPv4 alone, each as `[translation.nat64]`.",
    ),
    key(
        "flow",
        Shape::Tables { noun: "flow", of: flow::KEYS, most: 1000 },
        "Who may, and who may not, reach what, each as `[[flow]]`.",
    ),
    key(
        "claim",
        Shape::Tables { noun: "claim", of: claim::KEYS, most: 256 },
        "What documents say that management software does, each as `[[claim]]`.",
    ),
    key("partial", partial::SHAPE, "What the partial phase means here."),
];

/// A testbed as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Testbed {
    /// The places that the grammar has complained of.
    pub refused: Vec<Span>,
    /// The tables without which there is no testbed, where they hold nothing.
    pub empty: Vec<At<String>>,
    pub title: Option<At<String>>,
    pub source: Option<At<String>>,
    pub sites: Vec<Site>,
    pub segments: Vec<Segment>,
    pub nodes: Vec<Node>,
    pub zones: Vec<Zone>,
    pub tunnels: Vec<Tunnel>,
    pub translations: Vec<Translation>,
    pub flows: Vec<Flow>,
    pub claims: Vec<Claim>,
    pub partial: Partial,
}

impl Testbed {
    /// What is of the right shape.
    pub(in crate::input) fn read(root: &Table<'_>, refused: Vec<Span>) -> Self {
        fn all<T>(entries: &[Entry<'_>], read: impl Fn(&Entry<'_>) -> Option<T>) -> Vec<T> {
            entries.iter().filter_map(read).collect()
        }
        Self {
            refused,
            empty: ["segment", "node"].iter().filter_map(|key| empty(root, key)).collect(),
            title: root.one("title"),
            source: root.one("source"),
            sites: all(&root.children("site"), Site::read),
            segments: all(&root.children("segment"), Segment::read),
            nodes: all(&root.children("node"), Node::read),
            zones: all(&root.items("zone"), Zone::read),
            tunnels: all(&root.children("tunnel"), Tunnel::read),
            translations: all(&root.children("translation"), Translation::read),
            flows: all(&root.items("flow"), Flow::read),
            claims: all(&root.items("claim"), Claim::read),
            partial: root.table("partial").map(|t| Partial::read(&t)).unwrap_or_default(),
        }
    }

    pub(in crate::input) fn segment(&self, name: &SegmentName) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.name.is == *name)
    }

    pub(in crate::input) fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name.is == *name)
    }

    /// Whether a node has an interface on a segment that there is not: it may be on any.
    pub(in crate::input) fn is_dangling(&self, node: &Node) -> bool {
        node.on.iter().any(|interface| self.segment(&interface.segment.is).is_none())
    }

    /// Whether all links of a node are known, with their prefixes.
    pub(in crate::input) fn is_placed(&self, node: &Node) -> bool {
        let known = |interface: &node::Interface| {
            self.segment(&interface.segment.is).is_some_and(Segment::is_known)
        };
        node.on.iter().all(known)
    }

    /// The nodes on a segment in the order of the file.
    pub(in crate::input) fn members<'a>(
        &'a self,
        segment: &'a SegmentName,
    ) -> impl Iterator<Item = (&'a Node, &'a node::Interface)> {
        self.nodes.iter().flat_map(move |node| {
            let on = node.on.iter().filter(move |interface| interface.segment.is == *segment);
            on.map(move |interface| (node, interface))
        })
    }
}

/// A table that is there and holds nothing.
fn empty(root: &Table<'_>, key: &str) -> Option<At<String>> {
    let entry = root.entry(key)?;
    let is_empty = entry.table()?.entries().is_empty();
    is_empty.then(|| At { is: key.to_owned(), at: entry.at.clone() })
}

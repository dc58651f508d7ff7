//! Hop limits: how far the packets of a node go. The limit is read on the node, the routers on the way are the plan's.

use super::ask;
use crate::{
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        family::Family,
        name::NodeName,
        probe::Aspect,
    },
    stage::{Expect, Path, Stage},
};

/// A hop limit as it was read on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopLimit {
    /// The switch that holds it.
    pub switch: String,
    /// Its value.
    pub value: usize,
}

impl HopLimit {
    /// The hop limit with which the first node of a path sends along it, among the switches that were read there.
    pub fn of_path(stage: &Stage, path: &Path, switches: &[(String, String)]) -> Option<Self> {
        let switch = match path.family() {
            Family::V4 => "net.ipv4.ip_default_ttl".to_owned(),
            Family::V6 => {
                let mut interfaces = stage.nodes[path.nodes.first()?].interfaces.iter();
                let first = interfaces.find(|i| Some(&i.segment) == path.segments.first())?;
                format!("net.ipv6.conf.{}.hop_limit", first.name)
            }
        };
        let (_, value) = switches.iter().find(|(name, _)| *name == switch)?;
        Some(Self { value: value.parse().ok()?, switch })
    }

    /// The same, with the evidence that holds it; `None` if it was not read.
    pub fn read(stage: &Stage, seen: &Seen<'_>, path: &Path) -> Option<(EvidenceId, Self)> {
        match seen.answer(&ask::inspect(path.nodes.first()?, Aspect::Switches))? {
            (id, Answer::Switches(switches)) => Some((id, Self::of_path(stage, path, switches)?)),
            _ => None,
        }
    }

    /// Whether a packet ends at the n-th router on its way: each takes one off, and none forwards what has none left
    /// (RFC 8200 section 3).
    pub fn ends_at(&self, router: usize) -> bool {
        self.value <= router
    }
}

/// The ways over which a node sends by the flows: where it begins, and where it answers.
pub fn ways(stage: &Stage, node: &NodeName, family: Family) -> Vec<Path> {
    let mut ways = Vec::new();
    for exchange in stage.exchanges() {
        if exchange.from != *node && exchange.to != *node {
            continue;
        }
        for target in stage.targets(&exchange, family) {
            let Expect::Reach(path) = stage.expect(&exchange, target) else { continue };
            if exchange.from == *node {
                ways.push(path);
            } else {
                ways.extend(stage.path(node, path.source).ok());
            }
        }
    }
    ways
}

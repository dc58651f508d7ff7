//! Absences: real programs that do not do the work that they were to do in this lab. That says nothing about the network.

use super::{
    finding::Culprit,
    name::{NodeName, SegmentName, TunnelName},
};

/// Somebody who is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Whose work it would be; both ends of a tunnel.
    pub nodes: Vec<NodeName>,
    /// The tunnel, where it is one that nobody carries.
    pub tunnel: Option<TunnelName>,
    /// Its inside, or the link to a translator.
    pub inside: Option<SegmentName>,
    /// What the program did instead, as a sentence.
    pub why: String,
}

impl Absence {
    /// Whether somebody may be blamed for no other reason than that the program is not there.
    pub fn covers(&self, culprit: &Culprit) -> bool {
        let inside = culprit.segment.is_some() && culprit.segment == self.inside;
        inside || culprit.node.as_ref().is_some_and(|node| self.nodes.contains(node))
    }
}

//! Absences: real programs that do not do the work that they were to do in this lab. That says nothing about the network.

use super::{
    family::Family,
    finding::{Complaint, Culprit, Depth},
    name::{NodeName, SegmentName, TunnelName},
};

/// Somebody who is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Whose work it would be; both ends of a tunnel; for DHCPv6 the server and its relays.
    pub nodes: Vec<NodeName>,
    /// Who has addresses and routes of IPv6 from it, where it is done for links.
    pub hosts: Vec<NodeName>,
    /// The tunnel, where it is one that nobody carries.
    pub tunnel: Option<TunnelName>,
    /// Its inside, or the link to a translator.
    pub inside: Option<SegmentName>,
    /// What the program did instead, as a sentence.
    pub why: String,
}

impl Absence {
    /// Whether somebody may be blamed for no other reason than that the program is not there.
    pub fn covers(&self, complaint: &Complaint) -> bool {
        let Culprit { node, segment, .. } = &complaint.culprit;
        let inside = segment.is_some() && *segment == self.inside;
        inside
            || is_among(&self.nodes, node.as_ref())
            || self.leaves_unheard(complaint)
            || self.leaves_without_address(complaint)
    }

    /// Whether somebody asks there and hears nothing, and nobody else is known to be in the way.
    fn leaves_unheard(&self, complaint: &Complaint) -> bool {
        let Complaint { culprit, scope, depth, .. } = complaint;
        let is_askers = culprit.node.is_none() && culprit.segment.is_none()
            || culprit.node.is_some() && culprit.node == scope.from;
        *depth <= Depth::Located && is_askers && is_among(&self.nodes, scope.to.as_ref())
    }

    /// Whether it is about a host that may have no address, or about packets from or to it: whoever cannot pass them on to it
    /// seems to stop them.
    fn leaves_without_address(&self, complaint: &Complaint) -> bool {
        let Complaint { culprit, scope, depth, .. } = complaint;
        let is_host = |node: Option<&NodeName>| is_among(&self.hosts, node);
        let is_end = is_host(scope.from.as_ref()) || is_host(scope.to.as_ref());
        scope.family != Some(Family::V4)
            && (is_host(culprit.node.as_ref()) || *depth <= Depth::Located && is_end)
    }
}

fn is_among(nodes: &[NodeName], node: Option<&NodeName>) -> bool {
    node.is_some_and(|node| nodes.contains(node))
}

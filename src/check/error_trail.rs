//! The trail of an ICMP error: on which links it was seen on its way back to who must hear it, and where it ends.

use super::{icmp_error, reach::Located, tapped::Tapped};
use crate::{
    model::{
        evidence::{EvidenceId, Seen},
        name::{NodeName, SegmentName},
        tap::{Tap, Watch},
    },
    stage::{Path, Stage},
};

/// An ICMP error that some node of a path should send back.
#[derive(Clone, Debug)]
pub struct Trail<'p> {
    /// The way of the packets that provoke it.
    pub path: &'p Path,
    /// Where on the way it is sent: `path.nodes[at]`.
    pub at: usize,
    /// Its ICMP type.
    pub kind: u8,
    /// Tells the taps of different trails apart.
    pub label: String,
}

impl Trail<'_> {
    /// The node that should send the error.
    pub fn origin(&self) -> &NodeName {
        &self.path.nodes[self.at]
    }

    fn tap(&self, segment: &SegmentName) -> Tap {
        Tap {
            segment: segment.clone(),
            watch: Watch::icmp(self.path.family(), &[self.kind]),
            label: self.label.clone(),
        }
    }

    /// Taps on every link between who should send the error and who must hear it.
    pub fn taps(&self) -> Vec<Tap> {
        self.path.segments[..self.at].iter().map(|segment| self.tap(segment)).collect()
    }

    /// Who stops the error: the node after the last link on which it was seen. `None` without taps that can be trusted.
    pub fn end(&self, stage: &Stage, seen: &Seen<'_>) -> Option<(Vec<EvidenceId>, Located)> {
        let tapped = Tapped::along(seen, &self.taps()).filter(|_| self.at > 0)?;
        let saw = |at: usize| {
            tapped.reading(at).first.iter().any(|note| {
                let origin = note.source.and_then(|source| stage.owner(source));
                note.destination == Some(self.path.source)
                    && origin.is_none_or(|(node, _)| node == self.origin())
            })
        };
        let crossed = (0..self.at).rev().take_while(|at| saw(*at)).count();
        let node = &self.path.nodes[self.at - crossed];
        let name = icmp_error::name(self.path.family(), self.kind);
        let how = if crossed == 0 {
            format!("no {name} left it")
        } else if crossed == self.at {
            format!("the {name} came to its own link")
        } else {
            let (seen_on, not_on) = (
                &self.path.segments[self.at - crossed],
                &self.path.segments[self.at - crossed - 1],
            );
            format!("{name} was seen on {seen_on} and not on {not_on}")
        };
        let is_far_end = self.path.nodes.last() == Some(node);
        Some((
            tapped.evidence().collect(),
            Located { node: node.clone(), how, is_far_end, part: None },
        ))
    }
}

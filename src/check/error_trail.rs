//! The trail of an ICMP error: on which links it was seen on its way back to who must hear it, and where it ends.

use super::reach::Located;
use crate::{
    model::{
        answer::IcmpError,
        evidence::{EvidenceId, Seen},
        family::Family,
        name::{NodeName, SegmentName},
        tap::{Tap, Watch},
    },
    stage::{Path, Stage},
    wire::icmp,
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
        let taps = self.taps();
        let readings: Vec<_> = taps.iter().map(|tap| seen.reading(tap)).collect::<Option<_>>()?;
        if readings.is_empty() || readings.iter().any(|(_, reading)| !reading.is_trustworthy()) {
            return None;
        }
        let saw = |at: usize| {
            readings[at].1.first.iter().any(|note| {
                let origin = note.source.and_then(|source| stage.owner(source));
                note.destination == Some(self.path.source)
                    && origin.is_none_or(|(node, _)| node == self.origin())
            })
        };
        let crossed = (0..self.at).rev().take_while(|at| saw(*at)).count();
        let node = &self.path.nodes[self.at - crossed];
        let name = name(self.path.family(), self.kind);
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
        let evidence = readings.iter().map(|(id, _)| *id).collect();
        Some((evidence, Located { node: node.clone(), how, is_far_end, part: None }))
    }
}

/// An ICMP error in words: `ICMPv6 Time Exceeded (type 3 code 0)`. Types mean something else in each family.
pub fn words(icmp: &IcmpError) -> String {
    let protocol = match icmp.family {
        Family::V4 => "ICMP",
        Family::V6 => "ICMPv6",
    };
    let (name, IcmpError { kind, code, .. }) = (name(icmp.family, icmp.kind), icmp);
    format!("{protocol} {} (type {kind} code {code})", name.trim_start_matches("ICMP "))
}

/// Whether a router gave a packet up because its hop limit was used up.
pub fn is_time_exceeded(icmp: &IcmpError) -> bool {
    icmp.code == 0 && icmp.kind == icmp::time_exceeded_type(icmp.family)
}

/// The name of an ICMP error (RFC 792, RFC 4443).
pub fn name(family: Family, kind: u8) -> &'static str {
    match (family, kind) {
        (Family::V6, 1) | (Family::V4, 3) => "Destination Unreachable",
        (Family::V6, 2) => "Packet Too Big",
        (Family::V6, 3) | (Family::V4, 11) => "Time Exceeded",
        (Family::V6, 4) | (Family::V4, 12) => "Parameter Problem",
        _ => "ICMP error",
    }
}

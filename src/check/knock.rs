//! Knocks: something that no flow names, sent across a filtering node, and whether it got past it.

use std::net::IpAddr;

use super::{
    crossing::Crossing,
    passage::{Own, Passage},
    reading::{self, Judge, complaint, describe},
};
use crate::{
    model::{
        answer::{Answer, Outcome},
        evidence::Seen,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        probe::{Probe, Provocation},
        service::Port,
        tap::Watch,
        verdict::Judgement,
    },
    stage::Stage,
};

/// Something that no flow names, sent across a side of a filtering node. The check must have words for the case `open`.
pub struct Knock {
    /// The subject of the judgement.
    pub subject: String,
    /// The way, and the node that is to stop it.
    pub crossing: Crossing,
    /// What is sent, in words.
    pub what: String,
    /// The question.
    pub probe: Probe,
    /// Where it goes.
    pub to: IpAddr,
    /// `None` for a protocol that has no ports.
    pub port: Option<Port>,
    /// Whether somebody has the address.
    pub is_used: bool,
}

impl Knock {
    fn family(&self) -> Family {
        self.crossing.path.family()
    }

    /// The taps on both sides of the node.
    pub fn passage(&self) -> Passage {
        let (family, source) = (self.family(), self.crossing.path.source);
        let watch = match self.port {
            Some(port) => Watch::Packets {
                family,
                source: Some(source),
                destination: Some(self.to),
                port: Some(port),
            },
            None => Watch::Protocol {
                family,
                source,
                destination: self.to,
                number: Provocation::UNKNOWN_PROTOCOL,
            },
        };
        Passage::new(&self.crossing, watch, self.subject.clone())
    }

    /// The port that it was sent from, where it has one.
    fn source_port(&self, answer: &Answer) -> Option<u16> {
        let source = answer.attempt()?.source?;
        self.port.map(|_| source.port())
    }

    /// What became of it.
    pub fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let Some((id, answer)) = seen.answer(&self.probe) else {
            return judge.not_testable(self.subject.clone(), "it was not tried", []);
        };
        let mut evidence = vec![id];
        if let Some(reason) = answer.not_asked() {
            return judge.not_testable(self.subject.clone(), reason, evidence);
        }
        let Some(sight) = self.passage().read(seen, Own::from_port(self.source_port(answer)))
        else {
            return judge.not_testable(self.subject.clone(), "nobody watched it", evidence);
        };
        evidence.extend(sight.evidence);
        if sight.passed > 0 || self.came_from_behind(stage, answer) {
            let complaint = self.complaint(stage, answer, sight.passed);
            return judge.fail(self.subject.clone(), evidence, complaint);
        }
        sight.stopped(judge, &self.crossing, self.subject.clone(), evidence)
    }

    /// Whether the answer shows that the packet got past the filter: the target answered or refused, or a router at or
    /// behind it looked for a neighbour that does not exist (ICMPv6 type 1 code 3, ICMP type 3 code 1).
    fn came_from_behind(&self, stage: &Stage, answer: &Answer) -> bool {
        let Some(attempt) = answer.attempt() else { return false };
        if attempt.outcome == Outcome::Answered {
            return true;
        }
        let Some(icmp) = attempt.icmp else { return false };
        let sender = stage.owner(icmp.sender).map(|(node, _)| node);
        let at = sender.and_then(|s| self.crossing.path.nodes.iter().position(|n| n == s));
        let behind = at.is_some_and(|at| at > self.crossing.at);
        let nobody = if self.family() == Family::V6 { (1, 3) } else { (3, 1) };
        let unreachable = !self.is_used && (icmp.kind, icmp.code) == nobody;
        behind || (unreachable && at == Some(self.crossing.at))
    }

    fn complaint(&self, stage: &Stage, answer: &Answer, frames: u64) -> Complaint {
        let path = &self.crossing.path;
        let scope = Scope {
            family: Some(self.family()),
            to: self.is_used.then(|| self.crossing.to().clone()),
            address: Some(self.to),
            source: Some(path.source),
            port: self.port,
            from: Some(self.crossing.from().clone()),
            nodes: path.nodes.clone(),
            segments: path.segments.clone(),
            carried: reading::carrier(path),
            ..Scope::default()
        };
        let args = [
            ("family", self.family().to_string()),
            ("by", self.crossing.by.to_string()),
            ("what", self.what.clone()),
            ("from", self.crossing.from().to_string()),
            ("to", self.to.to_string()),
            ("observed", describe(answer)),
            ("frames", frames.to_string()),
            ("after", self.crossing.after().to_string()),
        ];
        // The same words for the culprit as `pol.rule-parity-dynamic` has: it is the same fault.
        let culprit = Culprit::node(&self.crossing.by, format!("forwarding of {}", self.family()));
        Complaint {
            severity: Severity::Critical,
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint(stage, "open", culprit, scope, args)
        }
    }
}

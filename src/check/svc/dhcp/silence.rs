//! Where an answer of DHCPv6 was lost: at the server, at its relay, or between the two.

use super::{Subject, TEXT};
use crate::{
    check::{
        ask,
        reading::{Judge, REPETITIONS, complaint},
        tapped::Tapped,
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope},
        name::{NodeName, SegmentName},
        probe::Probe,
        segment::Plane,
        service::{Port, Transport},
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

impl Subject<'_> {
    /// The way between relay and server.
    fn relayed(&self, stage: &Stage) -> Option<Path> {
        let servers = stage.addresses(self.served.server, Plane::Data, Family::V6);
        servers.into_iter().find_map(|to| stage.path(self.served.relay?, to).ok())
    }

    /// Taps on the links between relay and server, in the order in which questions or answers cross them.
    fn taps(&self, path: &Path, back: bool) -> Vec<Tap> {
        let port = Some(Port { transport: Transport::Udp, number: 547 });
        let (source, destination) =
            if back { (path.destination, path.source) } else { (path.source, path.destination) };
        let (source, destination) = (Some(source), Some(destination));
        let tap = |segment: &SegmentName| Tap {
            segment: segment.clone(),
            watch: Watch::Packets { family: Family::V6, source, destination, port },
            label: format!("relayed {}", self.served.segment),
        };
        let taps = path.segments.iter().map(tap);
        if back { taps.rev().collect() } else { taps.collect() }
    }

    /// The question once more, with taps between relay and server, and a control.
    pub(super) fn search(&self, stage: &Stage) -> Vec<Experiment> {
        let rounds = (1..=REPETITIONS).map(|round| self.question(round)).collect();
        let way = self.relayed(stage);
        let both = |path: &Path| [self.taps(path, false), self.taps(path, true)].concat();
        let taps = way.as_ref().map(both).unwrap_or_default();
        let again = Experiment { taps, probes: rounds, ..Experiment::default() };
        vec![again, Experiment::of_probes(self.control(stage))]
    }

    /// Is who speaks on the link there at all?
    fn control(&self, stage: &Stage) -> Option<Probe> {
        let speaker = &stage.nodes[self.served.speaker()];
        let on = speaker.interfaces.iter().find(|i| i.segment == *self.served.segment)?;
        let address = on.addresses.iter().find(|a| a.family() == Family::V6)?;
        Some(ask::ping(self.asker, address.ip()))
    }

    pub(super) fn judge_silence(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        mut evidence: Vec<EvidenceId>,
    ) -> Judgement {
        let judge = Judge(&TEXT);
        let control = self.control(stage).and_then(|probe| seen.answer(&probe));
        evidence.extend(control.map(|(id, _)| id));
        if !control.is_some_and(|(_, answer)| answer.is_answered()) {
            let reason = format!("{} does not answer pings either", self.served.speaker());
            return judge.blocked(self.name(), reason, evidence);
        }
        let times = evidence.len() - 1;
        let (culprit, place) = self.where_lost(stage, seen, &mut evidence);
        let by = self.served.relay.map_or_else(String::new, |relay| format!(" by way of {relay}"));
        let args = [
            ("asker", self.asker.to_string()),
            ("segment", self.served.segment.to_string()),
            ("server", self.served.server.to_string()),
            ("by", by),
            ("speaker", self.served.speaker().to_string()),
            ("times", times.to_string()),
            ("place", place),
            ("culprit", culprit.to_string()),
        ];
        let scope = Scope { carried: self.relayed_by(stage, &culprit), ..self.scope() };
        let part =
            if Some(&culprit) == self.served.relay { "DHCPv6 relay" } else { "DHCPv6 server" };
        let is_end = culprit == *self.served.server || Some(&culprit) == self.served.relay;
        let part = if is_end { part } else { "what passes between relay and server of DHCPv6" };
        let complaint = Complaint {
            severity: self.severity(stage),
            confidence: Confidence::High,
            depth: Depth::Located,
            ..complaint(stage, "silent", Culprit::node(&culprit, part), scope, args)
        };
        judge.fail(self.name(), evidence, complaint)
    }

    /// What passes between relay and server is traffic like any other, and a node that lacks its route loses it.
    fn relayed_by(&self, stage: &Stage, culprit: &NodeName) -> Option<Box<Scope>> {
        let segments = self.relayed(stage)?.segments;
        let (family, nodes) = (Some(Family::V6), vec![culprit.clone()]);
        Some(Box::new(Scope { family, nodes, segments, ..Scope::default() }))
    }

    /// The node that is to blame for silence, and how that is known.
    fn where_lost(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> (NodeName, String) {
        let server = self.served.server;
        let (Some(relay), Some(path)) = (self.served.relay, self.relayed(stage)) else {
            return (server.clone(), format!("{server} is on the link and does not answer"));
        };
        let [outward, homeward] =
            [false, true].map(|back| Tapped::along(seen, &self.taps(&path, back)));
        let (Some(outward), Some(homeward)) = (outward, homeward) else {
            return (server.clone(), "between relay and server nobody could listen".to_owned());
        };
        evidence.extend(outward.evidence().chain(homeward.evidence()));
        let (links, there, back) = (path.segments.len(), outward.crossed(), homeward.crossed());
        if there == 0 {
            return (relay.clone(), format!("{relay} relays nothing to {server}"));
        }
        if there < links {
            let last = &path.segments[there - 1];
            let how = format!("what {relay} relays is seen on {last} and not beyond");
            return (path.nodes[there].clone(), how);
        }
        if back == 0 {
            let how = format!("what {relay} relays reaches {server}, which says nothing");
            return (server.clone(), how);
        }
        if back < links {
            let last = &path.segments[links - back];
            let how = format!("what {server} answers is seen on {last} and not beyond");
            return (path.nodes[links - back].clone(), how);
        }
        (relay.clone(), format!("{relay} gets answers and does not hand them on"))
    }
}

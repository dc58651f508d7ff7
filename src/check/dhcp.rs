//! DHCPv6 servers: where they are planned, which question is put on which link, and what was heard. Shared by the checks of
//! hosts and of strangers.

use super::{advertisement, ask};
use crate::{
    model::{
        answer::Answer,
        dhcp::{DhcpDuty, DhcpLink, HeardDhcp},
        evidence::{EvidenceId, Seen},
        family::Family,
        mac::Mac,
        name::{NodeName, SegmentName},
        probe::{Probe, Question},
        service::{Port, Transport},
    },
    stage::{Stage, StagedInterface},
};

/// A link that somebody is to serve.
pub struct Served<'s> {
    /// The link.
    pub segment: &'s SegmentName,
    /// The server.
    pub server: &'s NodeName,
    /// What it is to say.
    pub link: &'s DhcpLink,
    /// The relay, where there is one.
    pub relay: Option<&'s NodeName>,
}

impl Served<'_> {
    /// Who speaks on the link itself: the server or its relay.
    pub fn speaker(&self) -> &NodeName {
        self.relay.unwrap_or(self.server)
    }

    /// Whether hosts get their addresses from the server.
    pub fn is_stateful(&self) -> bool {
        !self.link.leases.is_empty()
    }
}

/// Every link that is to be served in this phase.
pub fn served(stage: &Stage) -> Vec<Served<'_>> {
    let mut found = Vec::new();
    for (server, node) in &stage.nodes {
        for duty in &node.dhcp {
            let DhcpDuty::Serve(link) = duty else { continue };
            let plan = stage.testbed.segments[&link.segment].dhcp.as_ref();
            let relay = plan.and_then(|plan| plan.relay.as_ref());
            found.push(Served { segment: &link.segment, server, link, relay });
        }
    }
    found
}

/// Who asks on a link: every host that gets its address so, or else some node on it that does not serve there itself.
pub fn askers<'s>(
    stage: &'s Stage,
    segment: &SegmentName,
) -> Vec<(&'s NodeName, &'s StagedInterface)> {
    let speaks = |name: &NodeName| {
        served(stage).iter().any(|served| served.segment == segment && served.speaker() == name)
    };
    let on = |(name, node): (&'s NodeName, &'s crate::stage::StagedNode)| {
        let interface = node.interfaces.iter().find(|i| i.segment == *segment)?;
        (interface.families.has(Family::V6) && !speaks(name)).then_some((name, interface))
    };
    let all: Vec<_> = stage.nodes.iter().filter_map(on).collect();
    let hosts: Vec<_> = all.iter().copied().filter(|(_, interface)| interface.leases).collect();
    if !hosts.is_empty() {
        return hosts;
    }
    let forwards = |name: &NodeName| stage.testbed.nodes[name].role.forwards();
    all.into_iter().min_by_key(|(name, _)| (forwards(name), *name)).into_iter().collect()
}

/// The question of an asker.
pub fn question(asker: &NodeName, interface: &StagedInterface, stateful: bool, round: u8) -> Probe {
    let question = Question::Dhcp { interface: interface.name.clone(), stateful };
    Probe { round, ..ask::probe(asker, question) }
}

/// What was heard in answer, in all rounds; an error says why nothing can be said.
pub fn heard(
    seen: &Seen<'_>,
    asker: &NodeName,
    interface: &StagedInterface,
    stateful: bool,
) -> Result<(Vec<EvidenceId>, Vec<HeardDhcp>), String> {
    let mut evidence = Vec::new();
    let mut all = Vec::<HeardDhcp>::new();
    let mut reason = "it was not asked".to_owned();
    for round in 0..=super::reading::REPETITIONS {
        let probe = question(asker, interface, stateful, round);
        let Some((id, answer)) = seen.answer(&probe) else { continue };
        match answer {
            Answer::Dhcp { heard } => {
                evidence.push(id);
                let new: Vec<_> = heard.iter().filter(|h| !all.contains(h)).cloned().collect();
                all.extend(new);
            }
            other => {
                other
                    .not_asked()
                    .unwrap_or("the answer is of another kind")
                    .clone_into(&mut reason);
            }
        }
    }
    if evidence.is_empty() { Err(reason) } else { Ok((evidence, all)) }
}

/// The ports that a node has open for DHCPv6: as server or relay, and as host (RFC 8415 section 7.2).
pub fn ports(stage: &Stage, node: &NodeName) -> impl Iterator<Item = Port> {
    let staged = &stage.nodes[node];
    let serves = (!staged.dhcp.is_empty()).then_some(547);
    let asks = staged.interfaces.iter().any(|interface| interface.leases).then_some(546);
    let port = |number| Port { transport: Transport::Udp, number };
    serves.into_iter().chain(asks).map(port)
}

/// The link-layer address of who is planned to speak on a link.
pub fn planned_mac(stage: &Stage, served: &Served<'_>) -> Option<Mac> {
    let node = &stage.nodes[served.speaker()];
    node.interfaces.iter().find(|i| i.segment == *served.segment).map(|interface| interface.mac)
}

/// The links that are looked at for strangers: those of the data plane on which IPv6 is live.
pub fn links(stage: &Stage) -> Vec<&SegmentName> {
    let live = |segment: &&SegmentName| stage.segment_families(segment).has(Family::V6);
    advertisement::links(stage).filter(live).collect()
}

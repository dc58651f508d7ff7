//! Couples: what tunnels join in a phase, each direction by itself, with a host on either side. What the checks of the
//! VPN choose their traffic from.

use std::{collections::BTreeSet, net::IpAddr};

use ipnet::IpNet;

use super::{
    ask,
    reading::{self, Judge},
};
use crate::{
    model::{
        answer::Answer,
        evidence::{EvidenceId, Seen},
        family::{Families, Family},
        finding::{Culprit, Scope},
        flow::Traffic,
        name::{NodeName, SegmentName, TunnelName},
        probe::{Probe, Question},
        segment::Segment,
        service::Service,
        tunnel::{Relation, TunnelAct, TunnelCounters, TunnelEnd, TunnelKind},
        verdict::Judgement,
    },
    stage::{Path, Stage},
};

/// One direction of what a tunnel joins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Couple {
    /// The gateway that packets enter the tunnel at.
    pub gateway: NodeName,
    /// Its end of the tunnel.
    pub end: TunnelEnd,
    /// What is coupled, this side first.
    pub relation: Relation,
    /// The way from a host on this side to one on the other.
    pub path: Path,
    /// Whether the same hosts stand for another couple of the tunnel too, so that names alone do not tell them apart.
    ambiguous: bool,
}

impl Couple {
    /// The family inside.
    pub fn inner(&self) -> Family {
        self.path.family()
    }

    /// The family outside.
    pub fn outer(&self) -> Family {
        self.end.outer()
    }

    /// `IPv6 in IPv4`.
    pub fn families(&self) -> String {
        format!("{} in {}", self.inner(), self.outer())
    }

    /// The host that sends.
    pub fn from(&self) -> &NodeName {
        self.path.nodes.first().expect("a path has ends")
    }

    /// The host that is sent to.
    pub fn to(&self) -> &NodeName {
        self.path.nodes.last().expect("a path has ends")
    }

    /// `head-to-branch: IPv6 in IPv4, desk->files`, with what is coupled where hosts stand for several couples.
    pub fn subject(&self) -> String {
        let names =
            format!("{}: {}, {}->{}", self.end.tunnel, self.families(), self.from(), self.to());
        let Relation { here, there } = self.relation;
        if self.ambiguous { format!("{names} ({here} with {there})") } else { names }
    }

    /// The hosts of the other side, each with an address that is coupled.
    pub fn far_hosts(&self, stage: &Stage) -> Vec<(NodeName, IpAddr)> {
        hosts_in(stage, self.relation.there).take(HOSTS).collect()
    }

    /// The same couple, with the hosts of another way to stand for it.
    #[must_use]
    pub fn on(&self, way: &Path) -> Self {
        Self { path: way.clone(), ..self.clone() }
    }

    /// Ways on which every host of either side that may begin with one of the other, or be begun with, is at an end; that of
    /// the couple first.
    pub fn of_every_host(&self, stage: &Stage) -> Vec<Path> {
        let Relation { here, there } = self.relation;
        let [near, far] =
            [here, there].map(|net| hosts_in(stage, net).take(EVERY).collect::<Vec<_>>());
        let between = |from: &NodeName, to: &(NodeName, IpAddr)| {
            way(stage, &self.end, self.relation, from, to)
        };
        let mut ways = vec![self.path.clone()];
        for to in &far {
            if ways.iter().all(|way| way.destination != to.1) {
                ways.extend(near.iter().find_map(|(from, _)| between(from, to)));
            }
        }
        for (from, address) in &near {
            if ways.iter().all(|way| way.source != *address) {
                ways.extend(far.iter().find_map(|to| between(from, to)));
            }
        }
        ways
    }

    /// The hosts of either side, this one first.
    pub fn hosts(&self, stage: &Stage) -> [BTreeSet<NodeName>; 2] {
        let Relation { here, there } = self.relation;
        [here, there].map(|net| hosts_in(stage, net).map(|(name, _)| name).collect())
    }

    /// What a trouble with it touches.
    pub fn scope(&self) -> Scope {
        Scope {
            family: Some(self.inner()),
            from: Some(self.from().clone()),
            to: Some(self.to().clone()),
            nodes: self.path.nodes.clone(),
            segments: self.path.segments.clone(),
            carried: reading::carrier(&self.path),
            ..Scope::default()
        }
    }

    /// The link of the sender.
    pub fn own_link(&self) -> &SegmentName {
        self.path.segments.first().expect("a tunnel is beyond the first link")
    }

    /// The link of the receiver.
    pub fn far_link(&self) -> &SegmentName {
        self.path.segments.last().expect("a tunnel is before the last link")
    }

    /// The inside of the tunnel.
    pub fn inside<'s>(&self, stage: &'s Stage) -> &'s SegmentName {
        &stage.testbed.tunnels[&self.end.tunnel].inside
    }

    /// The tunnel, to be blamed for what it does to the family inside: an echo that is lost does not tell at which end.
    pub fn through(&self, stage: &Stage) -> Culprit {
        Culprit::segment(self.inside(stage), format!("carrying of {}", self.inner()))
    }

    /// What its gateway does to the tunnel at a moment.
    pub fn act(&self, act: TunnelAct, moment: &str) -> Probe {
        self.act_of(&self.gateway, act, moment)
    }

    /// What both of its gateways do to the tunnel at a moment, this side first.
    pub fn act_of_both(&self, act: TunnelAct, moment: &str) -> [Probe; 2] {
        [&self.gateway, &self.end.peer].map(|gateway| self.act_of(gateway, act, moment))
    }

    fn act_of(&self, gateway: &NodeName, act: TunnelAct, moment: &str) -> Probe {
        let moment = format!("{}, {moment}", self.subject());
        let question = Question::Tunnel { tunnel: self.end.tunnel.clone(), act, moment };
        ask::probe(gateway, question)
    }

    /// What both gateways have counted at a moment, this side first.
    pub fn count(&self, moment: &str) -> [Probe; 2] {
        self.act_of_both(TunnelAct::Read, moment)
    }

    /// What came of that; `None` where a gateway was not read.
    pub fn counted(
        &self,
        seen: &Seen<'_>,
        moment: &str,
    ) -> Option<([EvidenceId; 2], [TunnelCounters; 2])> {
        let of = |probe: &Probe| counters(seen, probe, &self.end.tunnel);
        let [here, there] = self.count(moment);
        let ((h, here), (t, there)) = (of(&here)?, of(&there)?);
        Some(([h, t], [here, there]))
    }

    /// The links on which nothing of it may be seen: those that are neither of a side nor an inside, also of the management
    /// plane. A host on two networks of a side may answer over either.
    pub fn outside<'s>(&self, stage: &'s Stage) -> Vec<&'s SegmentName> {
        let own = |segment: &SegmentName| self.path.segments.contains(segment);
        let is_coupled = |segment: &&Segment| {
            let mut sides = self.end.relations.iter().flat_map(|one| [one.here, one.there]);
            sides.any(|side| segment.prefixes.iter().any(|net| net.contains(&side)))
        };
        let links = stage.testbed.links();
        let open = links.filter(|segment| !segment.kind.is_inside() && !is_coupled(segment));
        open.map(|segment| &segment.name).filter(|name| !own(name)).collect()
    }
}

/// What a gateway has counted of a tunnel when it was read; `None` where it was not.
pub fn counters(
    seen: &Seen<'_>,
    read: &Probe,
    tunnel: &TunnelName,
) -> Option<(EvidenceId, TunnelCounters)> {
    let (id, Answer::Tunnels(states)) = seen.answer(read)? else { return None };
    let state = states.iter().find(|state| state.end.tunnel == *tunnel)?;
    Some((id, state.counters))
}

/// Hosts of a subnet of which one is sought that may stand for it.
const HOSTS: usize = 8;

/// Hosts of a subnet of which each is tried, where each matters.
const EVERY: usize = 64;

/// Every couple of the stage, each direction by itself.
pub fn of_stage(stage: &Stage) -> Vec<Couple> {
    let mut found = Vec::<Couple>::new();
    for (gateway, end, relation) in live(stage) {
        let mut ways = ways(stage, end, relation);
        let Some(first) = ways.next() else { continue };
        let same = |couple: &Couple, path: &Path| {
            couple.inner() == path.family() && couple.path.nodes == path.nodes
        };
        let known =
            |path: &Path| found.iter().any(|couple| couple.end == *end && same(couple, path));
        let path =
            if known(&first) { ways.find(|path| !known(path)).unwrap_or(first) } else { first };
        let ambiguous = known(&path);
        let (gateway, end) = (gateway.clone(), end.clone());
        found.push(Couple { gateway, end, relation, path, ambiguous });
    }
    found
}

/// Why there is nothing to judge where no couple is live.
pub const NONE: &str = "no tunnel couples anything in this phase";

/// What was found of the couples, with those that are not tried; that nothing is coupled, where that is so.
pub fn judged(
    judge: Judge,
    stage: &Stage,
    wanted: impl Fn(TunnelKind) -> bool + Copy,
    found: impl IntoIterator<Item = Judgement>,
) -> Vec<Judgement> {
    let all = found.into_iter().chain(untried(judge, stage, wanted)).collect();
    judge.or_not_applicable(all, NONE)
}

/// What is coupled by tunnels of the kinds that are wanted and is not tried, and why: nobody shall take it for tried.
pub fn untried(
    judge: Judge,
    stage: &Stage,
    wanted: impl Fn(TunnelKind) -> bool + Copy,
) -> impl Iterator<Item = Judgement> {
    of_nobody(judge, stage, wanted).chain(not_there(judge, stage, wanted))
}

/// Tunnels that should couple what is live on both sides, and are not there: their gateways do not meet outside.
fn not_there(
    judge: Judge,
    stage: &Stage,
    wanted: impl Fn(TunnelKind) -> bool,
) -> impl Iterator<Item = Judgement> {
    let tunnels = stage.testbed.tunnels.values().filter(move |tunnel| wanted(tunnel.kind));
    let gone = tunnels.filter(|tunnel| !stage.ends().any(|(_, end)| end.tunnel == tunnel.name));
    gone.flat_map(move |tunnel| {
        let lives = |relation: &Relation| {
            let sides = [relation.here, relation.there];
            sides.into_iter().all(|side| hosts_in(stage, side).next().is_some())
        };
        let outer: Families = tunnel.outer.iter().copied().collect();
        let coupled = tunnel.relations.iter().filter(move |relation| lives(relation));
        coupled.map(move |Relation { here, there }| {
            let subject = format!("{}: {here} with {there}", tunnel.name);
            let reason = format!(
                "the tunnel goes over {outer}, and its gateways do not meet over that in this phase"
            );
            judge.not_testable(subject, reason, [])
        })
    })
}

/// What is coupled and has nobody to stand for it.
fn of_nobody(
    judge: Judge,
    stage: &Stage,
    wanted: impl Fn(TunnelKind) -> bool,
) -> impl Iterator<Item = Judgement> {
    let all = live(stage).filter(move |(_, end, _)| wanted(end.kind));
    let silent = all.filter(|(_, end, relation)| ways(stage, end, *relation).next().is_none());
    silent.map(move |(gateway, end, relation)| {
        let Relation { here, there } = relation;
        let subject = format!("{}: {here} with {there} at {gateway}", end.tunnel);
        let nobody = |net| format!("no host has an address in {net}");
        match [here, there].map(|net| hosts_in(stage, net).next().is_none()) {
            [true, _] => judge.not_applicable(subject, nobody(here)),
            [_, true] => judge.not_applicable(subject, nobody(there)),
            _ if !is_used(stage, relation) => judge.not_applicable(
                subject,
                "no flow lets a host of the one begin with one of the other through the tunnel",
            ),
            _ => judge.not_testable(
                subject,
                "tunnels are tried with echoes, and no flow lets a host of the one ping one of the other: allow `ping` there",
                [],
            ),
        }
    })
}

/// Whether a flow lets some host of the one side begin anything with a host of the other.
fn is_used(stage: &Stage, Relation { here, there }: Relation) -> bool {
    let ports = |to: &NodeName| {
        let services = stage.testbed.nodes[to].services.iter();
        let ports = services.flat_map(Service::ports);
        ports.map(|port| Traffic::Port { word: port.to_string(), port }).collect::<Vec<_>>()
    };
    let offers: Vec<_> = hosts_in(stage, there).map(|(to, _)| (ports(&to), to)).collect();
    hosts_in(stage, here).any(|(from, _)| {
        let may = |to, traffic| stage.is_allowed(&from, to, traffic);
        offers.iter().any(|(ports, to)| {
            may(to, &Traffic::Ping) || ports.iter().any(|traffic| may(to, traffic))
        })
    })
}

/// What the ends of tunnels couple in this stage.
fn live(stage: &Stage) -> impl Iterator<Item = (&NodeName, &TunnelEnd, Relation)> {
    stage.ends().flat_map(|(gateway, end)| {
        end.relations.iter().map(move |relation| (gateway, end, *relation))
    })
}

/// The ways by which hosts of one side may begin with hosts of the other, as themselves and through the tunnel.
fn ways<'s>(
    stage: &'s Stage,
    end: &'s TunnelEnd,
    Relation { here, there }: Relation,
) -> impl Iterator<Item = Path> + 's {
    let pairs = hosts_in(stage, here).take(HOSTS).flat_map(move |(from, _)| {
        let far = hosts_in(stage, there).take(HOSTS);
        far.map(move |to| (from.clone(), to))
    });
    pairs.filter_map(move |(from, to)| way(stage, end, Relation { here, there }, &from, &to))
}

/// The way by which a host may begin with an address of another, as itself and through the tunnel.
fn way(
    stage: &Stage,
    end: &TunnelEnd,
    Relation { here, .. }: Relation,
    from: &NodeName,
    (to, address): &(NodeName, IpAddr),
) -> Option<Path> {
    if !stage.is_allowed(from, to, &Traffic::Ping) {
        return None;
    }
    let way = stage.path(from, *address).ok()?;
    (here.contains(&way.source) && way.segments.contains(inside(stage, end))).then_some(way)
}

/// What each tunnel joins, of the couples that are wanted, the directions of the gateway that begins first.
pub fn by_tunnel(stage: &Stage, wanted: impl Fn(&Couple) -> bool) -> Vec<Vec<Couple>> {
    let mut all = of_stage(stage);
    all.retain(wanted);
    all.sort_by_key(|couple| (couple.end.tunnel.clone(), !couple.end.begins));
    let mut tunnels = Vec::<Vec<Couple>>::new();
    for couple in all {
        match tunnels.last_mut().filter(|known| known[0].end.tunnel == couple.end.tunnel) {
            Some(known) => known.push(couple),
            None => tunnels.push(vec![couple]),
        }
    }
    tunnels
}

fn inside<'s>(stage: &'s Stage, end: &TunnelEnd) -> &'s SegmentName {
    &stage.testbed.tunnels[&end.tunnel].inside
}

/// The hosts with a live address in a subnet.
fn hosts_in(stage: &Stage, subnet: IpNet) -> impl Iterator<Item = (NodeName, IpAddr)> {
    let hosts = stage.nodes.iter().filter(|(name, _)| !stage.testbed.nodes[*name].role.forwards());
    let addresses = hosts.flat_map(|(name, node)| {
        let addresses = node.interfaces.iter().flat_map(|interface| &interface.addresses);
        addresses.map(move |address| (name.clone(), address.ip()))
    });
    addresses.filter(move |(_, address)| subnet.contains(address))
}

//! What goes through fronts: who reaches which site over a family that the site itself does not have. What the checks of
//! fronts share.

use std::net::SocketAddr;

use super::{ask, legs, pages};
use crate::{
    model::{
        family::{Families, Family},
        finding::{Packets, Scope},
        flow::Intent,
        front,
        name::NodeName,
        node::Node,
        probe::{Probe, Question},
        segment::Plane,
        service::{Port, Service, ServiceKind, Transport},
    },
    stage::{Exchange, Expect, Path, Stage},
};

/// How many users of a front and a site are asked, outside ones and others in turn.
const MOST: usize = 12;

/// One user, one front, one site.
#[derive(Clone, Debug)]
pub(super) struct Through<'s> {
    pub(super) from: NodeName,
    pub(super) front: &'s Node,
    pub(super) service: &'s Service,
    pub(super) site: front::Site,
    /// The way to the front.
    pub(super) way: Path,
}

/// Every site with one user of each front that stands for it in a family: one with no other way in, where there is one.
pub(super) fn all(stage: &Stage) -> Vec<Through<'_>> {
    let mut found = Vec::<Through<'_>>::new();
    let nodes = &stage.testbed.nodes;
    let is_asked = |e: &Exchange| e.intent == Intent::Allow && pages::is_user(&nodes[&e.from]);
    let mut exchanges: Vec<_> = stage.exchanges().into_iter().filter(is_asked).collect();
    // Whoever has one family alone has no other way in.
    exchanges.sort_by_key(|exchange| stage.families(&exchange.from, Plane::Data) == Families::BOTH);
    for exchange in exchanges {
        let front = &stage.testbed.nodes[&exchange.to];
        let service = exchange.service.as_ref().and_then(|name| front.service(name.as_str()));
        let Some(service) = service.filter(|service| service.front.is_some()) else { continue };
        for address in Family::ALL.into_iter().flat_map(|f| stage.targets(&exchange, f)) {
            let Expect::Reach(way) = stage.expect(&exchange, address) else { continue };
            for site in stage.sites_behind(front, service) {
                let through =
                    Through { from: exchange.from.clone(), front, service, site, way: way.clone() };
                if through.is_needed() && !found.iter().any(|other| other.is_like(&through)) {
                    found.push(through);
                }
            }
        }
    }
    legs::sample(found, MOST)
}

impl Through<'_> {
    /// Whether the site has not the family of the way itself.
    fn is_needed(&self) -> bool {
        self.site.at.iter().all(|at| Family::of(at.ip()) != self.way.family())
    }

    fn is_like(&self, other: &Self) -> bool {
        let key =
            |one: &Self| (one.front.name.clone(), one.service.name.clone(), one.site.node.clone());
        key(self) == key(other) && self.way.destination == other.way.destination
    }

    /// `old-visitor->shop by front/https`.
    pub(super) fn subject(&self) -> String {
        format!("{}->{} by {}/{}", self.from, self.site.node, self.front.name, self.service.name)
    }

    /// The name that the user asks for.
    pub(super) fn name(&self) -> String {
        self.site.names.first().map(ToString::to_string).unwrap_or_default()
    }

    /// A page of the site by the front.
    pub(super) fn page(&self, path: &str) -> Probe {
        self.fetch(&self.from, SocketAddr::new(self.way.destination, self.service.port), path)
    }

    /// The same page of the site itself, asked by the front: whether it is there at all.
    pub(super) fn control(&self, path: &str) -> Option<Probe> {
        self.site.at.first().map(|at| self.fetch(&self.front.name, *at, path))
    }

    fn fetch(&self, from: &NodeName, to: SocketAddr, path: &str) -> Probe {
        let host = self.name();
        let tls = (self.service.kind == ServiceKind::Https).then(|| host.clone());
        ask::probe(from, Question::Fetch { to, tls, host, path: path.to_owned() })
    }

    /// What is touched where users of this site are passed on wrongly.
    pub(super) fn scope(&self) -> Scope {
        Scope {
            family: Some(self.way.family()),
            to: Some(self.front.name.clone()),
            address: Some(self.way.destination),
            port: Some(Port { transport: Transport::Tcp, number: self.service.port }),
            from: Some(self.from.clone()),
            nodes: self.way.nodes.clone(),
            segments: self.way.segments.clone(),
            packets: Some(Packets::Content),
            ..Scope::default()
        }
    }
}

//! Pages: which web services are compared between the families, and from where.

use std::net::IpAddr;

use super::{ask, legs, reading};
use crate::{
    model::{
        answer::{Answer, Page},
        evidence::{EvidenceId, Seen},
        family::Family,
        finding::{Culprit, Packets, Scope},
        name::NodeName,
        node::{Node, Role},
        probe::Probe,
        service::{Port, Service, Transport},
    },
    stage::{Expect, Path, Stage},
};

/// How many services are compared.
const MOST: usize = 12;

/// A web service as one user sees it in one or both families.
#[derive(Clone, Debug)]
pub(super) struct Site<'s> {
    /// Who looks.
    pub(super) user: NodeName,
    /// Who serves.
    pub(super) node: &'s Node,
    /// What.
    pub(super) service: &'s Service,
    /// The ways to its addresses, IPv4 first, those of each family in the order of the plan.
    pub(super) ways: Vec<Path>,
}

/// Every web service that users are to reach, without fronts, whose pages are those of the sites behind them, each as one user from outside and one at a workplace see it.
pub(super) fn sites(stage: &Stage) -> Vec<Site<'_>> {
    let mut sites = Vec::<Site<'_>>::new();
    let mut exchanges = stage.exchanges();
    exchanges.sort_by(|a, b| (&a.to, &a.service, &a.from).cmp(&(&b.to, &b.service, &b.from)));
    for exchange in exchanges {
        let (from, node) =
            (&stage.testbed.nodes[&exchange.from], &stage.testbed.nodes[&exchange.to]);
        let named = exchange.service.as_ref().and_then(|name| node.service(name.as_str()));
        let Some(service) = named.filter(|s| s.is_site()) else { continue };
        if !is_user(from) {
            continue;
        }
        let ways: Vec<_> = Family::ALL
            .into_iter()
            .flat_map(|family| stage.targets(&exchange, family))
            .filter_map(|to| match stage.expect(&exchange, to) {
                Expect::Reach(path) => Some(path),
                _ => None,
            })
            .collect();
        let same = |site: &Site<'_>| {
            let alike = is_outside(&stage.testbed.nodes[&site.user]) == is_outside(from);
            alike && site.node.name == node.name && site.service.name == service.name
        };
        if !ways.is_empty() && !sites.iter().any(same) {
            sites.push(Site { user: from.name.clone(), node, service, ways });
        }
    }
    legs::sample(sites, MOST)
}

/// The largest page that may be asked for over a way: what its slowest link carries in a second.
pub(super) fn most_over(stage: &Stage, way: &Path) -> u32 {
    stage.slowest(way).map_or(u32::MAX, |rate| rate.0.saturating_mul(125))
}

/// Whether a node looks at the sites from outside.
pub(super) fn is_outside(node: &Node) -> bool {
    node.role == Role::OutsideClient || node.site.is_none() && !node.role.serves()
}

/// Whether someone sits before the node and uses services.
pub(super) fn is_user(node: &Node) -> bool {
    matches!(node.role, Role::Workplace | Role::OutsideClient)
}

/// The pages that came of a question, in the first round and in those that repeat it.
pub(super) fn shown<'e>(
    seen: &Seen<'e>,
    first: &Probe,
) -> impl Iterator<Item = (EvidenceId, &'e Page)> {
    reading::rounds(seen, first).filter_map(|(id, answer)| match answer {
        Answer::Page { page: Some(page), .. } => Some((id, page)),
        _ => None,
    })
}

impl Site<'_> {
    /// `visitor->portal/https`.
    pub(super) fn subject(&self) -> String {
        format!("{}->{}/{}", self.user, self.node.name, self.service.name)
    }

    /// The first way over a family.
    pub(super) fn way(&self, family: Family) -> Option<&Path> {
        self.ways.iter().find(|path| path.family() == family)
    }

    /// Its port.
    pub(super) fn port(&self) -> Port {
        Port { transport: Transport::Tcp, number: self.service.port }
    }

    /// The page of this round.
    pub(super) fn fetch(&self, to: IpAddr, round: u8) -> Probe {
        Probe { round, ..ask::fetch(&self.user, self.service, to, &self.service.path) }
    }

    /// The page once at every address.
    pub(super) fn first_looks(&self) -> Vec<Probe> {
        self.ways.iter().map(|path| self.fetch(path.destination, 0)).collect()
    }

    /// Whether every address showed a page at the first look.
    pub(super) fn is_shown(&self, seen: &Seen<'_>) -> bool {
        let answered = |probe: &Probe| seen.answer(probe).is_some_and(|(_, a)| a.is_answered());
        self.first_looks().iter().all(answered)
    }

    /// What this service does wrong beyond being reached or not.
    pub(super) fn culprit(&self, what: &str) -> Culprit {
        Culprit::node(&self.node.name, format!("{what} of {}", self.service.name))
    }

    /// What is touched if what it says is wrong.
    pub(super) fn scope(&self, family: Family) -> Scope {
        let way = self.way(family);
        Scope {
            family: Some(family),
            to: Some(self.node.name.clone()),
            address: way.map(|way| way.destination),
            port: Some(self.port()),
            from: Some(self.user.clone()),
            nodes: way.map(|way| way.nodes.clone()).unwrap_or_default(),
            segments: way.map(|way| way.segments.clone()).unwrap_or_default(),
            carried: way.and_then(super::reading::carrier),
            packets: Some(Packets::Content),
            ..Scope::default()
        }
    }
}

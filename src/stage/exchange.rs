//! Exchanges: the flows of the testbed, node by node and port by port, and what is expected of each in a phase.

use std::net::IpAddr;

use super::{Path, Stage};
use crate::model::{
    family::Family,
    flow::{End, Flow, Intent, Traffic},
    name::{InterfaceName, NodeName, ServiceName},
    node::Node,
    segment::Plane,
    service::{Port, Service, Transport},
};

/// One node that may, or may not, reach another for one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exchange {
    /// The flow that it comes from.
    pub flow: String,
    /// Who begins.
    pub from: NodeName,
    /// Who is reached.
    pub to: NodeName,
    /// The service of the target at that port, where it has one.
    pub service: Option<ServiceName>,
    /// What is exchanged: a port, or a ping.
    pub traffic: Traffic,
    /// Whether it is to pass.
    pub intent: Intent,
}

/// What is expected of an exchange in a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It must pass: allowed, live at both ends, and there is a way.
    Reach(Path),
    /// It must not pass: this node on the way is to stop it.
    Blocked {
        /// The way it would take.
        path: Path,
        /// The first filtering node on it.
        by: NodeName,
    },
    /// There is nothing to reach by plan: the family is off at an end or on the way, or nothing listens.
    Absent(String),
}

impl Stage {
    /// Every exchange that the flows name, allowed and forbidden, once each. A flow that carries `any` stands for the
    /// services of its targets; a target without any service is represented by the echo port.
    pub fn exchanges(&self) -> Vec<Exchange> {
        let mut all: Vec<_> = self.testbed.flows.iter().flat_map(|f| self.of_flow(f)).collect();
        all.sort();
        all.dedup_by(|a, b| {
            (&a.from, &a.to, &a.traffic, a.intent) == (&b.from, &b.to, &b.traffic, b.intent)
        });
        all
    }

    fn of_flow(&self, flow: &Flow) -> Vec<Exchange> {
        let mut found = Vec::new();
        for to in self.testbed.members(&flow.to) {
            for traffic in flow.traffic.iter().flat_map(|traffic| self.samples(to, traffic)) {
                for from in self.testbed.members(&flow.from) {
                    if from.name == to.name {
                        continue;
                    }
                    found.push(Exchange {
                        flow: flow.name.clone(),
                        from: from.name.clone(),
                        to: to.name.clone(),
                        service: self.service_at(to, &traffic).map(|service| service.name.clone()),
                        traffic: traffic.clone(),
                        intent: flow.intent,
                    });
                }
            }
        }
        found
    }

    /// The addresses of the target of an exchange in a family: those of the service, or those of the node.
    pub fn targets(&self, exchange: &Exchange, family: Family) -> Vec<IpAddr> {
        let node = &self.testbed.nodes[&exchange.to];
        match exchange.service.as_ref().and_then(|name| node.service(name.as_str())) {
            Some(service) => self.service_addresses(node, service, family),
            None => self.addresses(&exchange.to, Plane::Data, family),
        }
    }

    /// What is expected of an exchange towards one of its targets.
    pub fn expect(&self, exchange: &Exchange, to: IpAddr) -> Expect {
        let family = Family::of(to);
        let path = match self.path(&exchange.from, to) {
            Ok(path) => path,
            Err(reason) => return Expect::Absent(format!("no {family} path by plan: {reason:?}")),
        };
        let ends = [&exchange.from, &exchange.to];
        if let Some(by) = self.stopped_by(&path, ends, &exchange.traffic).cloned() {
            return Expect::Blocked { path, by };
        }
        let node = &self.testbed.nodes[&exchange.to];
        match exchange.service.as_ref().and_then(|name| node.service(name.as_str())) {
            Some(service) if !self.listens(node, service, family) => {
                Expect::Absent(format!("{} listens on no {family} by plan", service.name))
            }
            None if exchange.traffic != Traffic::Ping => {
                Expect::Absent(format!("nothing listens there on {family} by plan"))
            }
            _ => Expect::Reach(path),
        }
    }

    /// The first filter on a way between two nodes, where the flows do not let traffic pass.
    pub fn stopped_by<'p>(
        &self,
        path: &'p Path,
        [from, to]: [&NodeName; 2],
        traffic: &Traffic,
    ) -> Option<&'p NodeName> {
        let filter = path.transit().iter().find(|n| self.testbed.nodes[*n].role.filters())?;
        (!self.is_allowed(from, to, traffic)).then_some(filter)
    }

    /// Whether the flows let traffic pass: some flow allows it and none denies it.
    pub fn is_allowed(&self, from: &NodeName, to: &NodeName, traffic: &Traffic) -> bool {
        let is_member = |end: &End, name: &NodeName| {
            self.testbed.nodes.get(name).is_some_and(|node| self.testbed.is_member(end, node))
        };
        let concerns = |flow: &&Flow| {
            flow.traffic.iter().any(|carried| carries(carried, traffic))
                && is_member(&flow.from, from)
                && is_member(&flow.to, to)
        };
        let mut intents = self.testbed.flows.iter().filter(concerns).map(|flow| flow.intent);
        let first = intents.next();
        first.is_some_and(|i| i == Intent::Allow) && intents.all(|i| i == Intent::Allow)
            || (matches!(traffic, Traffic::Ping) && first.is_none())
    }

    /// Whether plan and policy let a node ask a server of another one over both transports.
    pub fn may_ask(&self, from: &NodeName, server: IpAddr, number: u16) -> bool {
        let Ok(path) = self.path(from, server) else { return false };
        let Some(to) = path.nodes.last().filter(|to| *to != from) else { return false };
        let mut asked = self.testbed.nodes[to].services.iter().filter(|s| s.port == number);
        if !asked.all(|service| service.lets_in(path.source)) {
            return false;
        }
        let filtered = path.transit().iter().any(|node| self.testbed.nodes[node].role.filters());
        let allowed = |transport| {
            let port = Port { transport, number };
            self.is_allowed(from, to, &Traffic::Port { word: port.to_string(), port })
        };
        !filtered || allowed(Transport::Udp) && allowed(Transport::Tcp)
    }

    /// What stands for a flow's traffic towards a node.
    fn samples(&self, to: &Node, traffic: &Traffic) -> Vec<Traffic> {
        const ECHO: Port = Port { transport: Transport::Tcp, number: 7 };
        let port = |port: Port| Traffic::Port { word: port.to_string(), port };
        if *traffic != Traffic::Any {
            return vec![traffic.clone()];
        }
        let offered = to.services.iter().filter(|service| self.is_offered(to, service));
        let ports: Vec<_> = offered.flat_map(Service::ports).map(port).collect();
        if ports.is_empty() { vec![port(ECHO)] } else { ports }
    }

    /// The service of a node at a port, if it has one there on the data plane.
    fn service_at<'n>(&self, node: &'n Node, traffic: &Traffic) -> Option<&'n Service> {
        let Traffic::Port { port, .. } = traffic else { return None };
        let mut offered = node.services.iter().filter(|service| self.is_offered(node, service));
        offered.find(|service| service.ports().any(|p| p == *port))
    }

    /// Whether a service is offered on the data plane: flows do not concern the others.
    fn is_offered(&self, node: &Node, service: &Service) -> bool {
        let on_it = |name: &InterfaceName| service.on.as_ref().is_none_or(|on| on == name);
        let mut data = node.interfaces.iter().filter(|i| self.testbed.plane(i) == Plane::Data);
        data.any(|interface| on_it(&interface.name))
    }
}

/// Whether a flow's traffic covers some particular traffic.
pub(super) fn carries(carried: &Traffic, traffic: &Traffic) -> bool {
    match (carried, traffic) {
        (Traffic::Any, _) | (Traffic::Ping, Traffic::Ping) => true,
        (Traffic::Port { port, .. }, Traffic::Port { port: asked, .. }) => port == asked,
        _ => false,
    }
}

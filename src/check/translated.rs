//! What is translated: who reaches which host with IPv4 alone, under which address, and on which way. What the checks of
//! translation share.

use std::net::{IpAddr, Ipv4Addr};

use super::{ask, legs, reach::Leg};
use crate::{
    model::{
        family::Family,
        finding::Scope,
        flow::{Intent, Traffic},
        name::NodeName,
        probe::Probe,
        segment::Plane,
        service::{Service, Transport},
        tap::Tap,
        translation::Translation,
    },
    stage::{Stage, Translated},
};

/// One user and one thing that it reaches through a translator.
#[derive(Clone, Debug)]
pub struct Use<'s> {
    /// The translation.
    pub translation: &'s Translation,
    /// Who is reached.
    pub to: NodeName,
    /// Its own address.
    pub host: Ipv4Addr,
    /// `https of register`, `echo of register`.
    pub what: String,
    /// `TCP`, `UDP` or `echo`.
    pub carried: &'static str,
    /// The way.
    pub way: Translated,
    /// The question along the first half of the way, the link to the translator included.
    pub leg: Leg,
    /// The same question from the gateway to the host itself, in IPv4.
    pub beyond: Probe,
}

/// Everything that the flows let users with IPv6 ask of hosts with IPv4 alone.
pub fn uses(stage: &Stage) -> Vec<Use<'_>> {
    let mut found = Vec::new();
    for translation in stage.translations() {
        for (from, to, service) in asked(stage) {
            for host in hosts(stage, &to, service) {
                found.extend(one(stage, translation, &from, &to, service, host));
            }
        }
    }
    legs::sample(found, legs::SAMPLE)
}

/// The same for each user by itself, its echoes first: the simplest question of every user.
pub fn by_user(stage: &Stage) -> Vec<Vec<Use<'_>>> {
    let mut users = Vec::<Vec<Use<'_>>>::new();
    for one in uses(stage) {
        match users.iter_mut().find(|known| known[0].from() == one.from()) {
            Some(known) => known.push(one),
            None => users.push(vec![one]),
        }
    }
    for of_user in &mut users {
        of_user.sort_by_key(|one| one.leg.port.is_some());
    }
    users
}

/// User, host and service; an echo for everybody who may use anything, unless a flow denies it.
fn asked(stage: &Stage) -> Vec<(NodeName, NodeName, Option<&Service>)> {
    let mut found = Vec::new();
    for exchange in stage.exchanges().iter().filter(|e| e.intent == Intent::Allow) {
        let to = &stage.testbed.nodes[&exchange.to];
        let service = exchange.service.as_ref().and_then(|name| to.service(name.as_str()));
        let service = service.filter(|_| exchange.traffic != Traffic::Ping);
        let echo = stage.is_allowed(&exchange.from, &exchange.to, &Traffic::Ping);
        for service in [Some(service), echo.then_some(None)].into_iter().flatten() {
            let one = (exchange.from.clone(), exchange.to.clone(), service);
            if !found.contains(&one) {
                found.push(one);
            }
        }
    }
    found
}

fn hosts(stage: &Stage, to: &NodeName, service: Option<&Service>) -> Vec<Ipv4Addr> {
    let node = &stage.testbed.nodes[to];
    if let Some(service) = service {
        return stage.ipv4_alone(node, service);
    }
    if !stage.addresses(to, Plane::Data, Family::V6).is_empty() {
        return Vec::new();
    }
    let addresses = stage.addresses(to, Plane::Data, Family::V4).into_iter();
    addresses.filter_map(|a| if let IpAddr::V4(a) = a { Some(a) } else { None }).collect()
}

fn one<'s>(
    stage: &'s Stage,
    translation: &'s Translation,
    from: &NodeName,
    to: &NodeName,
    service: Option<&Service>,
    host: Ipv4Addr,
) -> Option<Use<'s>> {
    let gateway = &translation.gateway;
    let way = stage.translated(translation, from, host).ok().filter(|_| from != gateway)?;
    let node = &stage.testbed.nodes[to];
    let question = |asker: &NodeName, address: IpAddr| match service {
        Some(service) => ask::hello(stage, asker, node, service, address),
        None => Some(ask::ping(asker, address)),
    };
    let carried = match service.map(|service| service.ports().next()) {
        None => "echo",
        Some(port) if port?.transport == Transport::Tcp => "TCP",
        Some(_) => "UDP",
    };
    let mut path = way.before.clone();
    path.nodes.push(gateway.clone());
    path.segments.push(translation.inside.clone());
    path.destination = way.address;
    Some(Use {
        translation,
        to: to.clone(),
        host,
        what: format!("{} of {to}", service.map_or("echo", |service| service.name.as_str())),
        carried,
        leg: Leg::new(path, question(from, way.address)?),
        beyond: question(gateway, host.into())?,
        way,
    })
}

impl Use<'_> {
    /// Who begins.
    pub fn from(&self) -> &NodeName {
        &self.leg.probe.from
    }

    /// `desk->register/https/2001:db8:64::c633:640a`.
    pub fn subject(&self) -> String {
        let what = self.what.split(' ').next().unwrap_or_default();
        format!("{}->{}/{what}/{}", self.from(), self.to, self.way.address)
    }

    /// The second half of the way, as the translated packets take it: the same question, seen on the links behind.
    pub fn behind(&self) -> Leg {
        Leg { path: self.way.after.clone(), ..self.leg.clone() }
    }

    /// The way of what the gateway itself asks of the host.
    pub fn from_gateway(&self) -> Leg {
        Leg::new(self.way.after.clone(), self.beyond.clone())
    }

    /// What a trouble touches that is seen by users: what they send, and what the translator makes of it.
    pub fn scope(&self) -> Scope {
        Scope { carried: Some(Box::new(self.behind_scope())), ..self.leg.scope() }
    }

    /// What a trouble behind the translator touches.
    pub fn behind_scope(&self) -> Scope {
        let gateway = Some(self.translation.gateway.clone());
        Scope { from: gateway, carried: None, ..self.behind().scope() }
    }

    /// The tap that shows whether its packets came to the translator.
    pub fn at_translator(&self) -> Option<Tap> {
        let inside = &self.translation.inside;
        self.leg.taps().into_iter().find(|tap| tap.segment == *inside)
    }
}

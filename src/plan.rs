//! The plan: what brings the lab from one stage to the next, in waves, each step with what takes it back.
//!
//! The order is that of RFC 7381 section 4: filters before forwarding, addresses before routes, a service listens before
//! its name is published, a name is withdrawn before its service stops, and the old family goes last.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    model::{
        family::{Families, Family},
        name::NodeName,
        node::Origin,
        policy::Filter,
        step::{Change, Step},
        translation::Translator,
        tunnel::TunnelEnd,
    },
    stage::{Delegation, Listener, Stage, StagedInterface, StagedNode},
};

/// Steps that do not depend on each other's nodes: all nodes go at the same time, each in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// What the wave is for, for people.
    pub purpose: Purpose,
    /// Its steps, by node.
    pub steps: Vec<Step>,
}

/// What a wave is for. The order of the variants is the order of the waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Filters first: no packet of a new family passes unfiltered for a moment.
    Filters,
    /// Switches, addresses, routes and forwarding of what is new.
    Links,
    /// Tunnels, once their outside is there.
    Tunnels,
    /// Translators, once both sides are there.
    Translators,
    /// Listening sockets of what is new.
    Services,
    /// Names and resolvers.
    Names,
    /// Router Advertisements.
    Announcements,
    /// What is no longer to be announced, offered, routed or addressed.
    Withdrawal,
    /// What was learned before the change.
    Residue,
}

impl Purpose {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Filters => "load packet filters",
            Self::Links => "bring up addresses and routes",
            Self::Tunnels => "open tunnels",
            Self::Translators => "open translators",
            Self::Services => "open services",
            Self::Names => "publish names",
            Self::Announcements => "announce routers",
            Self::Withdrawal => "withdraw what is no longer planned",
            Self::Residue => "forget what was learned before",
        }
    }

    fn of(change: &Change) -> Self {
        match change {
            Change::ReplaceFilter { .. } => Self::Filters,
            Change::Switch { on: true, .. }
            | Change::AddAddress { .. }
            | Change::AddRoute { .. }
            | Change::Forward { on: true, .. }
            | Change::AcceptAdvertisements { on: true, .. } => Self::Links,
            Change::OpenTunnel { .. } => Self::Tunnels,
            Change::OpenTranslator { .. } => Self::Translators,
            Change::Listen { .. } => Self::Services,
            Change::PublishZones { .. }
            | Change::Delegate { .. }
            | Change::Synthesize { .. }
            | Change::LogTo { .. }
            | Change::Watch { .. }
            | Change::Front { .. }
            | Change::UseResolvers { .. } => Self::Names,
            Change::Advertise { .. } | Change::Lease { on: true, .. } => Self::Announcements,
            Change::DoDhcp { duties } if !duties.is_empty() => Self::Services,
            Change::StopAdvertising { .. }
            | Change::StopListening { .. }
            | Change::CloseTunnel { .. }
            | Change::CloseTranslator { .. }
            | Change::DoDhcp { .. }
            | Change::Lease { on: false, .. }
            | Change::AcceptAdvertisements { on: false, .. }
            | Change::Forward { on: false, .. }
            | Change::RemoveRoute { .. }
            | Change::RemoveAddress { .. }
            | Change::Switch { on: false, .. } => Self::Withdrawal,
            Change::ForgetResidue => Self::Residue,
        }
    }
}

/// The waves from one stage to the next; `None` is a lab that was just built, with nothing live.
pub fn plan(before: Option<&Stage>, after: &Stage) -> Vec<Wave> {
    let dark = StagedNode::dark();
    let mut steps: Vec<Step> = after
        .nodes
        .iter()
        .flat_map(|(name, node)| {
            let old = before.map_or(&dark, |stage| &stage.nodes[name]);
            NodeChange { name, old, new: node }.steps()
        })
        .collect();
    // Who does not change has learned something of those who do. Where nothing was live before, there is no residue.
    if before.is_some() && !steps.is_empty() {
        let forget = |name: &NodeName| Step {
            node: name.clone(),
            change: Change::ForgetResidue,
            undo: Change::ForgetResidue,
        };
        steps.extend(after.nodes.keys().map(forget));
    }
    // A stable sort: within a wave, each node's steps stay in the order that it gave them.
    steps.sort_by_key(|step| Purpose::of(&step.change));
    let mut waves = Vec::<Wave>::new();
    for step in steps {
        let purpose = Purpose::of(&step.change);
        match waves.last_mut().filter(|wave| wave.purpose == purpose) {
            Some(wave) => wave.steps.push(step),
            None => waves.push(Wave { purpose, steps: vec![step] }),
        }
    }
    waves
}

impl StagedNode {
    /// A node with nothing live.
    fn dark() -> Self {
        Self {
            interfaces: Vec::new(),
            routes: Vec::new(),
            forwarding: Families::NONE,
            filter: Filter::default(),
            listeners: Vec::new(),
            zones: None,
            delegations: None,
            resolvers: Vec::new(),
            log_sinks: Vec::new(),
            watches: Vec::new(),
            tunnels: Vec::new(),
            translators: Vec::new(),
            synthesizes: None,
            fronts: crate::model::front::Fronts::default(),
            dhcp: Vec::new(),
        }
    }
}

/// A node between two stages.
struct NodeChange<'s> {
    name: &'s NodeName,
    old: &'s StagedNode,
    new: &'s StagedNode,
}

impl NodeChange<'_> {
    fn steps(&self) -> Vec<Step> {
        let mut changes = self.filter();
        changes.extend(self.links());
        changes.extend(self.routes());
        changes.extend(self.forwarding());
        changes.extend(self.tunnels());
        changes.extend(self.translators());
        changes.extend(self.listeners());
        changes.extend(self.dhcp());
        changes.extend(self.names());
        changes.extend(self.announcements());
        changes.extend(self.leases());
        let steps = changes.into_iter().map(|(change, undo)| self.step(change, undo));
        let mut steps: Vec<_> = steps.collect();
        // What goes leaves in the opposite order of what comes: routes before addresses before the switch.
        let leaves = |step: &Step| Purpose::of(&step.change) == Purpose::Withdrawal;
        let (mut leaving, mut rest): (Vec<_>, Vec<_>) = steps.drain(..).partition(leaves);
        leaving.reverse();
        rest.extend(leaving);
        rest
    }

    fn step(&self, change: Change, undo: Change) -> Step {
        Step { node: self.name.clone(), change, undo }
    }

    fn filter(&self) -> Vec<(Change, Change)> {
        let replace = |filter: &Filter| Change::ReplaceFilter { filter: filter.clone() };
        if self.old.filter == self.new.filter {
            return Vec::new();
        }
        vec![(replace(&self.new.filter), replace(&self.old.filter))]
    }

    /// Switches and addresses, interface by interface, the loopback first.
    fn links(&self) -> Vec<(Change, Change)> {
        let mut changes = switches("lo", self.old.families(), self.new.families());
        for interface in &self.new.interfaces {
            let old = self.old.interface(interface.name.as_str());
            let had = old.map_or(Families::NONE, |old| old.families);
            changes.extend(switches(interface.name.as_str(), had, interface.families));
            changes.extend(addresses(old, interface));
            let accepted = old.is_some_and(|old| old.accepts_advertisements);
            if accepted != interface.accepts_advertisements {
                let name = &interface.name;
                let form = !interface.leases;
                let accept =
                    |on| Change::AcceptAdvertisements { interface: name.clone(), on, form };
                changes.push(pair(accept, interface.accepts_advertisements));
            }
        }
        changes
    }

    fn routes(&self) -> Vec<(Change, Change)> {
        let old: BTreeSet<_> = self.old.routes.iter().map(|route| (route.to, route.via)).collect();
        let new: BTreeSet<_> = self.new.routes.iter().map(|route| (route.to, route.via)).collect();
        let add = |&(to, via): &_| Change::AddRoute { to, via };
        let remove = |&(to, via): &_| Change::RemoveRoute { to, via };
        let come = new.difference(&old).map(|route| (add(route), remove(route)));
        let go = old.difference(&new).map(|route| (remove(route), add(route)));
        come.chain(go).collect()
    }

    fn forwarding(&self) -> Vec<(Change, Change)> {
        let changed =
            |family: &Family| self.old.forwarding.has(*family) != self.new.forwarding.has(*family);
        Family::ALL
            .into_iter()
            .filter(changed)
            .map(|family| {
                pair(|on| Change::Forward { family, on }, self.new.forwarding.has(family))
            })
            .collect()
    }

    /// A tunnel that is carried otherwise, or couples something else, is opened anew in the place of the old one.
    fn tunnels(&self) -> Vec<(Change, Change)> {
        let old = |end: &TunnelEnd| self.old.tunnels.iter().find(|old| old.tunnel == end.tunnel);
        let come = self.new.tunnels.iter().filter(|end| old(end) != Some(end)).map(|end| {
            let undo = old(end).map_or_else(|| close(end), open);
            (open(end), undo)
        });
        let stays = |old: &&TunnelEnd| self.new.tunnels.iter().any(|end| end.tunnel == old.tunnel);
        let go =
            self.old.tunnels.iter().filter(|old| !stays(old)).map(|old| (close(old), open(old)));
        come.chain(go).collect()
    }

    fn translators(&self) -> Vec<(Change, Change)> {
        let open = |told: &Translator| Change::OpenTranslator { told: told.clone() };
        let close =
            |told: &Translator| Change::CloseTranslator { translation: told.translation.clone() };
        let among = |all: &[Translator], one: &Translator| {
            all.iter().find(|other| other.translation == one.translation).cloned()
        };
        let come = self.new.translators.iter().filter_map(|told| {
            match among(&self.old.translators, told) {
                Some(old) if old == *told => None,
                Some(old) => Some((open(told), open(&old))),
                None => Some((open(told), close(told))),
            }
        });
        let gone = |old: &&Translator| among(&self.new.translators, old).is_none();
        let go = self.old.translators.iter().filter(gone).map(|old| (close(old), open(old)));
        come.chain(go).collect()
    }

    fn listeners(&self) -> Vec<(Change, Change)> {
        let listen =
            |l: &Listener| Change::Listen { service: l.service.clone(), address: l.address };
        let stop =
            |l: &Listener| Change::StopListening { service: l.service.clone(), address: l.address };
        let old: BTreeSet<_> = self.old.listeners.iter().collect();
        let new: BTreeSet<_> = self.new.listeners.iter().collect();
        let come = new.difference(&old).map(|l| (listen(l), stop(l)));
        let go = old.difference(&new).map(|l| (stop(l), listen(l)));
        come.chain(go).collect()
    }

    fn dhcp(&self) -> Vec<(Change, Change)> {
        if self.old.dhcp == self.new.dhcp {
            return Vec::new();
        }
        let duties = |node: &StagedNode| Change::DoDhcp { duties: node.dhcp.clone() };
        vec![(duties(self.new), duties(self.old))]
    }

    /// Hosts ask for addresses once somebody answers.
    fn leases(&self) -> Vec<(Change, Change)> {
        let had = |interface: &StagedInterface| {
            self.old.interface(interface.name.as_str()).is_some_and(|old| old.leases)
        };
        let changed = self.new.interfaces.iter().filter(|i| i.leases != had(i));
        changed
            .map(|interface| {
                let name = &interface.name;
                let of_v6 = |a: &&crate::model::node::Address| a.family() == Family::V6;
                let prefix_length =
                    interface.addresses.iter().find(of_v6).map_or(64, |a| a.net.prefix_len());
                let lease = |on| Change::Lease { interface: name.clone(), prefix_length, on };
                pair(lease, interface.leases)
            })
            .collect()
    }

    fn names(&self) -> Vec<(Change, Change)> {
        let mut changes = Vec::new();
        if let Some((service, zones)) =
            self.new.zones.as_ref().filter(|new| self.old.zones.as_ref() != Some(new))
        {
            let publish = |zones: &[_]| Change::PublishZones {
                service: service.clone(),
                zones: zones.to_vec(),
            };
            let before = self.old.zones.as_ref().map_or(&[][..], |(_, zones)| zones);
            changes.push((publish(zones), publish(before)));
        }
        let delegations = self.new.delegations.as_ref();
        if let Some((service, zones)) =
            delegations.filter(|new| self.old.delegations.as_ref() != Some(new))
        {
            let delegate = |zones: &[Delegation]| Change::Delegate {
                service: service.clone(),
                zones: Delegation::told(zones)
                    .map(|d| (d.zone.clone(), d.servers.clone()))
                    .collect(),
            };
            let before = self.old.delegations.as_ref().map_or(&[][..], |(_, zones)| zones);
            changes.push((delegate(zones), delegate(before)));
        }
        let service = |node: &StagedNode| node.synthesizes.as_ref().map(|(name, _)| name.clone());
        let prefix = |node: &StagedNode| node.synthesizes.as_ref().map(|(_, prefix)| *prefix);
        if let Some(service) = service(self.new).or_else(|| service(self.old))
            && self.old.synthesizes != self.new.synthesizes
        {
            let synthesize =
                |node| Change::Synthesize { service: service.clone(), prefix: prefix(node) };
            changes.push((synthesize(self.new), synthesize(self.old)));
        }
        if self.old.fronts != self.new.fronts {
            let front = |node: &StagedNode| Change::Front { fronts: node.fronts.clone() };
            changes.push((front(self.new), front(self.old)));
        }
        if self.old.log_sinks != self.new.log_sinks {
            let log_to = |node: &StagedNode| Change::LogTo { sinks: node.log_sinks.clone() };
            changes.push((log_to(self.new), log_to(self.old)));
        }
        if self.old.watches != self.new.watches {
            let watch = |node: &StagedNode| Change::Watch { watches: node.watches.clone() };
            changes.push((watch(self.new), watch(self.old)));
        }
        if self.old.resolvers != self.new.resolvers {
            let use_these =
                |node: &StagedNode| Change::UseResolvers { servers: node.resolvers.clone() };
            changes.push((use_these(self.new), use_these(self.old)));
        }
        changes
    }

    fn announcements(&self) -> Vec<(Change, Change)> {
        let mut changes = Vec::new();
        for interface in &self.new.interfaces {
            let old = self.old.interface(interface.name.as_str());
            let before = announcement(old.unwrap_or(&dark_interface(interface)));
            let after = announcement(interface);
            if before != after {
                changes.push((after, before));
            }
        }
        changes
    }
}

impl StagedNode {
    fn families(&self) -> Families {
        self.interfaces.iter().fold(Families::NONE, |all, interface| all.or(interface.families))
    }
}

fn open(end: &TunnelEnd) -> Change {
    Change::OpenTunnel { end: end.clone() }
}

fn close(end: &TunnelEnd) -> Change {
    Change::CloseTunnel { tunnel: end.tunnel.clone() }
}

/// A change that is made and taken back by the same words with `on` the other way round.
fn pair(change: impl Fn(bool) -> Change, on: bool) -> (Change, Change) {
    (change(on), change(!on))
}

fn switches(interface: &str, old: Families, new: Families) -> Vec<(Change, Change)> {
    let switch = |family| move |on| Change::Switch { interface: interface.to_owned(), family, on };
    Family::ALL
        .into_iter()
        .filter(|family| old.has(*family) != new.has(*family))
        .map(|family| pair(switch(family), new.has(family)))
        .collect()
}

/// Static addresses; those from Router Advertisements come and go by themselves.
fn addresses(old: Option<&StagedInterface>, new: &StagedInterface) -> Vec<(Change, Change)> {
    let of = |interface: &StagedInterface| -> BTreeSet<_> {
        let written = interface.addresses.iter().filter(|a| a.origin == Origin::Static);
        written.map(|address| address.net).collect()
    };
    let (old, wanted) = (old.map(of).unwrap_or_default(), of(new));
    let interface = &new.name;
    let add = |net: &_| Change::AddAddress { interface: interface.clone(), net: *net };
    let remove = |net: &_| Change::RemoveAddress { interface: interface.clone(), net: *net };
    let come = wanted.difference(&old).map(|net| (add(net), remove(net)));
    let go = old.difference(&wanted).map(|net| (remove(net), add(net)));
    come.chain(go).collect()
}

fn announcement(interface: &StagedInterface) -> Change {
    match &interface.advertises {
        None => Change::StopAdvertising { interface: interface.name.clone() },
        Some(advertised) => Change::Advertise {
            interface: interface.name.clone(),
            plan: advertised.plan.clone(),
            prefix: advertised.prefix,
            mtu: advertised.mtu,
            dns: advertised.dns.clone(),
            pref64: advertised.pref64.clone(),
        },
    }
}

fn dark_interface(like: &StagedInterface) -> StagedInterface {
    StagedInterface {
        families: Families::NONE,
        addresses: Vec::new(),
        accepts_advertisements: false,
        leases: false,
        advertises: None,
        ..like.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, sync::Arc};

    use super::*;
    use crate::model::phase::Phase;

    fn stage(phase: Phase) -> Stage {
        let text = include_str!("../testbed/translation.toml");
        let testbed = crate::input::testbed("translation.toml", text).expect("a shipped testbed");
        Stage::new(&Arc::new(testbed), phase)
    }

    fn forgetting(waves: &[Wave]) -> Vec<&NodeName> {
        let steps = waves.iter().flat_map(|wave| &wave.steps);
        steps.filter(|step| step.change == Change::ForgetResidue).map(|step| &step.node).collect()
    }

    #[test]
    fn who_does_not_change_forgets_what_it_learned_of_others() {
        let (before, after) = (stage(Phase::DualStack), stage(Phase::Ipv6Only));
        let waves = plan(Some(&before), &after);
        let changed: BTreeSet<_> = waves
            .iter()
            .flat_map(|wave| &wave.steps)
            .filter(|step| step.change != Change::ForgetResidue)
            .map(|step| &step.node)
            .collect();
        assert!(changed.len() < after.nodes.len(), "a node keeps IPv4 alone and does not change");
        assert!(forgetting(&waves).into_iter().eq(after.nodes.keys()));
        assert_eq!(plan(Some(&after), &after), []);
        assert!(forgetting(&plan(None, &after)).is_empty());
    }
}

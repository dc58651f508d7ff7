//! Planting faults: what is done to the kernel behind the program's back.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{
    bend, change,
    driver::{Netns, Occupant},
    impaired::{Layer, Planted as Burden},
    node::Node,
    pseudo::Pseudo,
    stranger::{self, Stranger, StrangerError},
    wire::Wire,
};
use crate::{
    model::{
        answer::Answer,
        automatic::AutomaticTunnel,
        fault::Sabotage,
        name::{NodeName, SegmentName},
        probe::{Probe, Question},
        step::Change,
    },
    net::{links, nftables, routes},
};

/// How long a host listens for routers once it has solicited.
const ROUTERS_ANSWER: Duration = Duration::from_secs(3);

impl Netns {
    /// Plants a fault. An error is a sentence.
    pub(super) async fn plant(&self, fault: &Sabotage) -> Result<(), String> {
        self.do_harm(fault).await?;
        // What hosts take from advertisements follows whatever was planted before and after.
        let taking = self.planted.traces().taking.clone();
        for name in &taking {
            let told = self.told_resolvers(name).await?;
            self.victim(name)?.take_resolvers(told);
        }
        Ok(())
    }

    async fn do_harm(&self, fault: &Sabotage) -> Result<(), String> {
        match fault {
            Sabotage::ListenOnly { node, .. }
            | Sabotage::StopService { node, .. }
            | Sabotage::ExtraListener { node, .. }
            | Sabotage::SetRecord { node, .. }
            | Sabotage::RemoveRecord { node, .. }
            | Sabotage::AnswerWrongly { node, .. }
            | Sabotage::ResolveOnly { node, .. }
            | Sabotage::Refer { node, .. }
            | Sabotage::ShowOtherwise { node, .. }
            | Sabotage::SynthesizeWrongly { node, .. }
            | Sabotage::AdvertiseWrongly { node, .. }
            | Sabotage::DhcpWrongly { node, .. }
            | Sabotage::ServeDifferently { node, .. }
            | Sabotage::Quirk { node, .. }
            | Sabotage::ListenEverywhere { node, .. }
            | Sabotage::LogWrongly { node, .. }
            | Sabotage::AdmitWrongly { node, .. }
            | Sabotage::LockWrongly { node, .. }
            | Sabotage::FrontWrongly { node, .. }
            | Sabotage::Delay { node, .. } => {
                let planted = self.victim(node)?.services.sabotage(fault).await;
                planted.map_err(|error| error.to_string())
            }
            Sabotage::TranslateWrongly { node, how } => {
                self.victim(node)?.translators.leave_out(*how).map_err(|error| error.to_string())
            }
            Sabotage::CarryWrongly { node, how } => {
                let planted = self.victim(node)?.tunnels.carry_wrongly(*how).await;
                planted.map_err(|error| error.to_string())
            }
            Sabotage::AddRule { node, .. }
            | Sabotage::RemoveRule { node, .. }
            | Sabotage::OpenPolicy { node, .. } => self.bend_filter(node, fault),
            Sabotage::AddRoute { node, to, via } => {
                self.tamper(node, &Change::AddRoute { to: *to, via: *via })
            }
            Sabotage::RemoveRoute { node, to } => self.lose_route(node, *to),
            Sabotage::AddAddress { node, interface, net } => {
                let interface = interface.clone();
                self.tamper(node, &Change::AddAddress { interface, net: *net })
            }
            Sabotage::RemoveAddress { node, interface, net } => {
                let interface = interface.clone();
                self.tamper(node, &Change::RemoveAddress { interface, net: *net })
            }
            Sabotage::SetMtu { node, interface, mtu } => {
                let node = &self.victim(node)?.node;
                let index = index(node, interface.as_str())?;
                let done = node.netlink.ask(&links::set_mtu(index, *mtu));
                done.map_err(|error| format!("cannot set the MTU of `{interface}`: {error}"))
            }
            Sabotage::SetSwitch { node, name, value } => self.set_switch(node, name, value),
            Sabotage::TakeResolvers { node } => {
                self.planted.traces().taking.insert(node.clone());
                Ok(())
            }
            Sabotage::AutomaticTunnel { node, kind } => self.tunnel_by_itself(node, *kind),
            Sabotage::RogueRouter { segment, mac, prefix, lifetime_s } => {
                let arrive = |wire: &Wire, mtu, number| {
                    Stranger::arrive(wire, mtu, number, *mac, *prefix, *lifetime_s)
                };
                self.welcome(segment, arrive).await
            }
            Sabotage::RogueDhcp { segment, mac, dns } => {
                let arrive =
                    |wire: &Wire, mtu, number| Stranger::serve_dhcp(wire, mtu, number, *mac, *dns);
                self.welcome(segment, arrive).await
            }
            Sabotage::Impair { segment, family, impairment } => {
                let layer = Layer { family: *family, impairment: *impairment };
                self.add_burden(segment, |burden| burden.layers.push(layer)).await
            }
            Sabotage::GuardWrongly { segment, how } => {
                self.add_burden(segment, |burden| burden.guard = Some(*how)).await
            }
            Sabotage::Snoop { segment, how } => {
                self.add_burden(segment, |burden| burden.snooping = Some(*how)).await
            }
            Sabotage::Talk { node: name, interface, family, to } => {
                let occupant = self.victim(name)?;
                let planned = self.testbed.nodes[name].interfaces.iter();
                let planned = planned.into_iter().find(|planned| planned.name == *interface);
                let mac = planned.ok_or(format!("`{name}` has no interface `{interface}`"))?.mac;
                let talker = stranger::talk(&occupant.node, interface.as_str(), mac, *family, *to);
                self.planted.traces().talkers.push(talker.map_err(|error| error.to_string())?);
                Ok(())
            }
        }
    }

    /// Lets a stranger onto a link, and waits until it is able to do what it came for.
    async fn welcome(
        &self,
        segment: &SegmentName,
        arrive: impl FnOnce(&Wire, u32, u32) -> Result<Stranger, StrangerError>,
    ) -> Result<(), String> {
        let wire = self.lab.wire(segment).ok_or(format!("there is no segment `{segment}`"))?;
        let number = {
            let mut traces = self.planted.traces();
            traces.arrived += 1;
            traces.arrived
        };
        let mtu = self.testbed.segments[segment].mtu;
        let stranger = arrive(wire, mtu, number).map_err(|error| error.to_string())?;
        let ready = stranger.is_ready().await;
        self.planted.traces().strangers.push(stranger);
        ready.map_err(|error| error.to_string())
    }

    /// Adds to what was planted on a link.
    async fn add_burden(
        &self,
        segment: &SegmentName,
        add: impl FnOnce(&mut Burden),
    ) -> Result<(), String> {
        let burden = {
            let mut traces = self.planted.traces();
            let burden = traces.burdens.entry(segment.clone()).or_default();
            add(burden);
            burden.clone()
        };
        self.burden(segment, &burden).await
    }

    fn victim(&self, name: &NodeName) -> Result<&Arc<Occupant>, String> {
        self.occupants.get(name).ok_or_else(|| format!("the lab has no node `{name}`"))
    }

    fn tamper(&self, name: &NodeName, change: &Change) -> Result<(), String> {
        change::make(&self.victim(name)?.node, std::slice::from_ref(change))
            .map_err(|(_, said)| format!("cannot {change} on node `{name}`: {said}"))
    }

    fn bend_filter(&self, name: &NodeName, fault: &Sabotage) -> Result<(), String> {
        let node = &self.victim(name)?.node;
        let (held, _) = nftables::read(&node.namespace).map_err(|error| error.to_string())?;
        let bent = bend::filter(held, fault).expect("only called with faults of a filter");
        let bent = bent.map_err(|error| format!("node `{name}`: {error}"))?;
        nftables::replace(&node.namespace, &bent).map_err(|error| error.to_string())
    }

    /// The resolvers that routers tell a host of, when it solicits on each of its links with IPv6.
    async fn told_resolvers(&self, name: &NodeName) -> Result<Vec<IpAddr>, String> {
        let mut told = Vec::new();
        for interface in &self.testbed.nodes[name].interfaces {
            let question = Question::Solicit { interface: interface.name.clone() };
            let probe = Probe { from: name.clone(), question, round: 0 };
            match self.put(&probe, ROUTERS_ANSWER).await {
                Answer::Advertisements { heard } => {
                    told.extend(heard.into_iter().flat_map(|router| router.dns));
                }
                other => return Err(other.not_asked().unwrap_or("no answer").to_owned()),
            }
        }
        Ok(told)
    }

    /// A link of a kind that every kernel has stands for the tunnel: what comes out of it goes nowhere.
    fn tunnel_by_itself(&self, name: &NodeName, kind: AutomaticTunnel) -> Result<(), String> {
        let node = &self.victim(name)?.node;
        let interfaces = &self.testbed.nodes[name].interfaces;
        let mut addresses = interfaces.iter().flat_map(|interface| &interface.addresses);
        let host = addresses.find_map(|address| match address.ip() {
            IpAddr::V4(v4) => Some(v4),
            IpAddr::V6(_) => None,
        });
        let host =
            host.ok_or(format!("node `{name}` has no IPv4 address to make a tunnel from"))?;
        let tunnel = Pseudo::make(node, kind, host);
        let said = |error| format!("cannot make a tunnel of {kind} on node `{name}`: {error}");
        self.planted.traces().pseudo.push(tunnel.map_err(said)?);
        Ok(())
    }

    /// Whoever made the route: the plan or a Router Advertisement.
    fn lose_route(&self, name: &NodeName, to: ipnet::IpNet) -> Result<(), String> {
        let node = &self.victim(name)?.node;
        let there = node.routes().map_err(|error| error.to_string())?;
        let mut lost =
            there.iter().filter(|route| route.to == to.trunc() && route.learned_mtu.is_none());
        let missing = || format!("node `{name}` has no route to {to}");
        let route = lost.next().ok_or_else(missing)?;
        let index = index(node, &route.interface)?;
        let done = node.netlink.ask(&routes::remove_any(route.to, route.via, index));
        done.map_err(|error| format!("cannot remove the route to {to} on node `{name}`: {error}"))
    }

    fn set_switch(&self, name: &NodeName, switch: &str, value: &str) -> Result<(), String> {
        let node = &self.victim(name)?.node;
        let before = node.switches.read_if_there(switch).map_err(|error| error.to_string())?;
        let before = before.ok_or_else(|| {
            format!(
                "node `{name}` has no sysctl `{switch}` (`sysctl -aN` lists what this kernel knows)"
            )
        })?;
        node.switches.set(switch, value).map_err(|error| error.to_string())?;
        self.planted.traces().switches.push((Arc::clone(node), switch.to_owned(), before));
        Ok(())
    }
}

fn index(node: &Node, interface: &str) -> Result<u32, String> {
    node.index(interface)
        .ok_or_else(|| format!("node `{}` has no interface `{interface}`", node.name))
}

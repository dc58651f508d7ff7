//! Mending: what faults have done is taken back, and what still differs from the stage is put right.

use std::sync::Arc;

use super::{
    Deviation, Difference, PATIENCE, change, driver::Netns, impaired::Planted as Burden,
    node::Node, planted::Traces, solicit::solicit, stranger::Stranger,
};
use crate::{
    model::{family::Family, step::Change},
    net::{
        links::{self, is_link_local},
        netlink::Request,
        nftables, routes,
    },
    stage::{Stage, StagedNode},
};

/// How often differences are put right before giving up: one cure can bring the next difference to light, as when an MTU
/// that was too small for IPv6 has taken the switches of the interface with it.
const ROUNDS: usize = 4;

impl Netns {
    /// Brings every node back to what the stage says. An error lists what could not be put right.
    pub(super) async fn heal(&self, stage: &Stage) -> Result<(), String> {
        let Traces { switches, talkers, strangers, pseudo, burdens, .. } = {
            let mut traces = self.planted.traces();
            let arrived = traces.arrived;
            std::mem::replace(&mut *traces, Traces { arrived, ..Traces::default() })
        };
        talkers.iter().for_each(tokio::task::AbortHandle::abort);
        drop(pseudo);
        for segment in burdens.keys() {
            self.burden(segment, &Burden::default()).await?;
        }
        for (node, name, before) in switches.into_iter().rev() {
            // An interface that lost IPv6 lost its switches too; they begin anew, as the stage wants them.
            let _ = node.switches.set(&name, &before);
        }
        for occupant in self.occupants.values() {
            occupant.services.clear_sabotage().await.map_err(|error| error.to_string())?;
            occupant.translators.mend();
            occupant.take_resolvers(Vec::new());
            occupant.tunnels.mend().await.map_err(|error| error.to_string())?;
        }
        for stranger in strangers {
            self.forget_stranger(stranger).await;
        }
        for occupant in self.occupants.values() {
            occupant.leases.renew();
        }
        for _ in 0..ROUNDS {
            let deviations = self.lab.verify(stage);
            if deviations.is_empty() {
                break;
            }
            self.put_right(stage, &deviations);
        }
        let settled = self.lab.settle(stage, PATIENCE).await.map_err(|error| error.to_string())?;
        let unsettled = settled.unsettled.iter().map(ToString::to_string);
        let left: Vec<_> =
            unsettled.chain(self.lab.verify(stage).iter().map(Deviation::to_string)).collect();
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    }

    /// What its neighbours have learned from a stranger goes with it.
    async fn forget_stranger(&self, stranger: Stranger) {
        let mac = stranger.mac;
        let Some(prefix) = stranger.leave().await else { return };
        for occupant in self.occupants.values() {
            let node = &occupant.node;
            let mut requests = Vec::new();
            for (index, address) in links::read_addresses(&node.netlink).unwrap_or_default() {
                if address.dynamic && prefix.contains(&address.net.addr()) {
                    requests.push(links::remove_address(index, address.net));
                }
            }
            for route in node.routes().unwrap_or_default() {
                let by_stranger = route.via == Some(mac.link_local().into());
                if let Some(index) = node.index(&route.interface)
                    && (by_stranger || route.to == prefix)
                {
                    requests.push(routes::remove_any(route.to, route.via, index));
                }
            }
            // What has gone by itself in the meantime is refused, and that is well.
            let _ = node.netlink.batch(&requests);
        }
    }

    /// Puts right what can be put right by itself: links first, then switches, then addresses, then routes.
    fn put_right(&self, stage: &Stage, deviations: &[Deviation]) {
        for occupant in self.occupants.values() {
            let node = &occupant.node;
            let own: Vec<_> =
                deviations.iter().filter(|d| d.node == node.name).map(|d| &d.what).collect();
            let Some(staged) = stage.nodes.get(&node.name).filter(|_| !own.is_empty()) else {
                continue;
            };
            let mut cures: Vec<_> = own.iter().flat_map(|what| cures(node, staged, what)).collect();
            cures.sort_by_key(Cure::turn);
            // What a cure cannot do shows as a difference afterwards.
            for cure in &cures {
                cure.carry_out(node, staged);
            }
            for interface in staged.interfaces.iter().filter(|i| i.accepts_advertisements) {
                let _ = solicit(node, interface);
            }
        }
    }
}

/// What puts one difference right.
enum Cure {
    Link(Request),
    Set(String, String),
    /// Switches IPv6 of an interface off and on, so that the kernel makes the link-local address anew.
    Renew(String),
    Change(Box<Change>),
    Route(Request),
    Filter,
}

impl Cure {
    fn change(change: Change) -> Self {
        Self::Change(Box::new(change))
    }

    fn turn(&self) -> u8 {
        match self {
            Self::Link(_) => 0,
            Self::Set(..) => 1,
            Self::Renew(_) => 2,
            Self::Change(change) if matches!(**change, Change::AddRoute { .. }) => 4,
            Self::Change(_) | Self::Route(_) => 3,
            Self::Filter => 5,
        }
    }

    fn carry_out(&self, node: &Arc<Node>, staged: &StagedNode) {
        match self {
            Self::Link(request) | Self::Route(request) => drop(node.netlink.ask(request)),
            Self::Set(name, value) => drop(node.switches.set(name, value)),
            Self::Renew(interface) => {
                let name = format!("net.ipv6.conf.{interface}.disable_ipv6");
                drop(node.switches.set(&name, "1").and_then(|()| node.switches.set(&name, "0")));
            }
            Self::Change(change) => drop(change::make(node, std::slice::from_ref(&**change))),
            Self::Filter => drop(nftables::replace(&node.namespace, &staged.filter)),
        }
    }
}

fn cures(node: &Node, staged: &StagedNode, what: &Difference) -> Vec<Cure> {
    let name = |interface: &str| staged.interface(interface).map(|i| i.name.clone());
    let add = |interface: &str, net| {
        name(interface).map(|interface| Change::AddAddress { interface, net })
    };
    let remove = |interface: &str, net| {
        name(interface).map(|interface| Change::RemoveAddress { interface, net })
    };
    let change = |change: Option<Change>| change.map(Cure::change).into_iter().collect();
    match what {
        Difference::Mtu { interface, planned, .. } => node
            .index(interface)
            .map(|index| Cure::Link(links::set_mtu(index, *planned)))
            .into_iter()
            .collect(),
        Difference::Down(interface) => node
            .index(interface)
            .map(|index| Cure::Link(links::bring_up(index)))
            .into_iter()
            .collect(),
        Difference::Switch { name, planned, .. } => vec![Cure::Set(name.clone(), planned.clone())],
        Difference::NoAddress { interface, net } if is_link_local(net.addr()) => {
            vec![Cure::Renew(interface.clone())]
        }
        Difference::NoAddress { interface, .. } if interface == "lo" => Family::ALL
            .into_iter()
            .filter(|family| super::verify::live(staged).has(*family))
            .map(|family| {
                Cure::change(Change::Switch { interface: "lo".to_owned(), family, on: true })
            })
            .collect(),
        // An address of SLAAC comes with the next advertisement, which is asked for.
        Difference::NoAddress { interface, net } if is_static(staged, *net) => {
            change(add(interface, *net))
        }
        Difference::NoAddress { .. } | Difference::NoInterface(_) | Difference::Unread(_) => {
            Vec::new()
        }
        Difference::Duplicate { interface, net } => {
            let both = [remove(interface, *net), add(interface, *net)];
            both.into_iter().flatten().map(Cure::change).collect()
        }
        Difference::ExtraAddress { interface, net } => change(remove(interface, *net)),
        Difference::NoRoute(route) => {
            vec![Cure::change(Change::AddRoute { to: route.to, via: route.via })]
        }
        Difference::ExtraRoute { to, next_hop, interface, .. } => node
            .index(interface)
            .map(|index| Cure::Route(routes::remove_any(*to, *next_hop, index)))
            .into_iter()
            .collect(),
        Difference::Filter(_) => vec![Cure::Filter],
    }
}

fn is_static(staged: &StagedNode, net: ipnet::IpNet) -> bool {
    let mut addresses = staged.interfaces.iter().flat_map(|interface| &interface.addresses);
    addresses.any(|a| a.net == net && a.origin == crate::model::node::Origin::Static)
}

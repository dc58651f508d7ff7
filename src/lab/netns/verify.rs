//! Verifying: what the kernel holds, against what the stage says. A family that is off must be really off.

use std::{collections::BTreeSet, fmt, net::IpAddr};

use ipnet::IpNet;

use super::{
    change::{LOOPBACK_V4, forwarding},
    node::Node,
};
use crate::{
    model::{
        answer::{AddressState, LinkState, RouteState},
        family::{Families, Family},
        name::NodeName,
        node::{Address, Origin, Route},
        policy::{Filter, Hook},
    },
    net::{
        links::is_link_local,
        netlink::NetlinkError,
        nftables::{self, NftError},
        switch::SwitchError,
    },
    stage::{StagedInterface, StagedNode},
};

/// A difference between a node and its stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deviation {
    /// The node.
    pub node: NodeName,
    /// What differs.
    pub what: Difference,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// An interface is not there.
    NoInterface(String),
    /// An interface is down or has no carrier.
    Down(String),
    /// An interface has another MTU.
    Mtu {
        /// The interface.
        interface: String,
        /// What it should be.
        planned: u32,
        /// What it is.
        found: u32,
    },
    /// A planned address is missing.
    NoAddress {
        /// The interface.
        interface: String,
        /// The address.
        net: IpNet,
    },
    /// A planned address cannot be used: another machine has it (RFC 4862 section 5.4.5).
    Duplicate {
        /// The interface.
        interface: String,
        /// The address.
        net: IpNet,
    },
    /// An address is there that nobody planned.
    ExtraAddress {
        /// The interface.
        interface: String,
        /// The address.
        net: IpNet,
    },
    /// A planned route is missing.
    NoRoute(Route),
    /// A route is there that nobody planned.
    ExtraRoute {
        /// Where to.
        to: IpNet,
        /// Next hop, where it has one.
        next_hop: Option<IpAddr>,
        /// Interface.
        interface: String,
        /// Who made it.
        origin: String,
    },
    /// A switch has another value than it should.
    Switch {
        /// Its name.
        name: String,
        /// What it should be.
        planned: String,
        /// What it is.
        found: String,
    },
    /// The filter is another than planned.
    Filter(String),
    /// The state could not be read.
    Unread(String),
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}`: {}", self.node, self.what)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoInterface(name) => write!(f, "interface `{name}` is missing"),
            Self::Down(name) => write!(f, "interface `{name}` is down"),
            Self::Mtu { interface, planned, found } => {
                write!(f, "interface `{interface}` has MTU {found}, planned is {planned}")
            }
            Self::NoAddress { interface, net } => write!(f, "{net} is missing on `{interface}`"),
            Self::Duplicate { interface, net } => {
                write!(f, "{net} on `{interface}` is a duplicate: another machine has it")
            }
            Self::ExtraAddress { interface, net } => {
                write!(f, "`{interface}` has {net}, which is not planned")
            }
            Self::NoRoute(route) => {
                write!(f, "the route to {} via {} is missing", route.to, route.via)
            }
            Self::ExtraRoute { to, next_hop, interface, origin } => {
                let via = next_hop.map_or_else(|| format!("`{interface}`"), |via| via.to_string());
                write!(
                    f,
                    "there is a route to {to} via {via} (made by `{origin}`), which is not planned"
                )
            }
            Self::Switch { name, planned, found } => {
                write!(f, "the switch {name} is {found}, planned is {planned}")
            }
            Self::Filter(what) => write!(f, "its filter is not as planned: {what}"),
            Self::Unread(error) => write!(f, "its state cannot be read: {error}"),
        }
    }
}

/// Why the state of a node could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Switch(#[from] SwitchError),
    #[error(transparent)]
    Filter(#[from] NftError),
}

/// Everything in which a node differs from its stage; what it listens on is left to the checks.
pub(super) fn node(node: &Node, stage: &StagedNode) -> Vec<Deviation> {
    let found = differences(node, stage)
        .unwrap_or_else(|error| vec![Difference::Unread(error.to_string())]);
    found.into_iter().map(|what| Deviation { node: node.name.clone(), what }).collect()
}

fn differences(node: &Node, stage: &StagedNode) -> Result<Vec<Difference>, ReadError> {
    let links = node.links()?;
    let live = live(stage);
    let mut found = loopback(&links, live);
    for planned in &stage.interfaces {
        match links.iter().find(|link| link.name == planned.name.as_str()) {
            Some(link) => found.extend(interface(link, planned)),
            None => found.push(Difference::NoInterface(planned.name.to_string())),
        }
    }
    found.extend(routes(&node.routes()?, stage));
    for (name, planned) in switches(stage) {
        let value = node.switches.read_if_there(&name)?;
        if value.as_deref() != Some(planned) {
            let (planned, value) = (planned.to_owned(), value.unwrap_or("absent".to_owned()));
            found.push(Difference::Switch { name, planned, found: value });
        }
    }
    found.extend(filter(node, &stage.filter)?);
    Ok(found)
}

/// Our rules must be there, and nobody else's.
fn filter(node: &Node, planned: &Filter) -> Result<Option<Difference>, NftError> {
    let (held, unread) = nftables::read(&node.namespace)?;
    let strange = unread.into_iter().next();
    let differs = || (held != *planned).then(|| first_difference(&held, planned));
    Ok(strange.or_else(differs).map(Difference::Filter))
}

fn first_difference(held: &Filter, planned: &Filter) -> String {
    for hook in [Hook::Input, Hook::Forward, Hook::Output] {
        let rules =
            |filter: &Filter| filter.chain(hook).map(|c| c.rules.clone()).unwrap_or_default();
        let (held, planned) = (rules(held), rules(planned));
        if let Some(missing) = planned.iter().find(|rule| !held.contains(rule)) {
            return format!("`{missing}` is missing in {hook:?}");
        }
        if let Some(extra) = held.iter().find(|rule| !planned.contains(rule)) {
            return format!("`{extra}` in {hook:?} is not planned");
        }
    }
    "a policy, or the order of the rules".to_owned()
}

/// The families that are live on some interface.
pub(super) fn live(stage: &StagedNode) -> Families {
    stage.interfaces.iter().fold(Families::NONE, |all, interface| all.or(interface.families))
}

/// The loopback addresses come and go with the families of the node.
fn loopback(links: &[LinkState], live: Families) -> Vec<Difference> {
    let Some(link) = links.iter().find(|link| link.name == "lo") else {
        return vec![Difference::NoInterface("lo".to_owned())];
    };
    let planned = live.iter().map(|family| match family {
        Family::V4 => LOOPBACK_V4.into(),
        Family::V6 => IpNet::from(family.loopback()),
    });
    addresses(link, &planned.collect())
}

fn interface(link: &LinkState, planned: &StagedInterface) -> Vec<Difference> {
    let name = || link.name.clone();
    let mut found = Vec::new();
    if !link.up {
        found.push(Difference::Down(name()));
    }
    if link.mtu != planned.mtu {
        let difference =
            Difference::Mtu { interface: name(), planned: planned.mtu, found: link.mtu };
        found.push(difference);
    }
    found.extend(addresses(link, &planned_addresses(planned)));
    found
}

/// The planned addresses of an interface with its link-local one, where IPv6 is live.
pub(super) fn planned_addresses(interface: &StagedInterface) -> BTreeSet<IpNet> {
    let link_local = interface
        .families
        .has(Family::V6)
        .then(|| IpNet::new(interface.link_local().into(), 64).expect("64 is in range for IPv6"));
    interface.addresses.iter().map(|address| address.net).chain(link_local).collect()
}

fn addresses(link: &LinkState, planned: &BTreeSet<IpNet>) -> Vec<Difference> {
    let interface = || link.name.clone();
    let there: BTreeSet<_> = link.addresses.iter().map(|address| address.net).collect();
    let missing = planned.difference(&there);
    let extra = there.difference(planned);
    let duplicate = |a: &&AddressState| a.dad_failed && planned.contains(&a.net);
    let duplicates = link.addresses.iter().filter(duplicate).map(|address| address.net);
    missing
        .map(|net| Difference::NoAddress { interface: interface(), net: *net })
        .chain(extra.map(|net| Difference::ExtraAddress { interface: interface(), net: *net }))
        .chain(duplicates.map(|net| Difference::Duplicate { interface: interface(), net }))
        .collect()
}

/// A route by a next hop must be planned, or learned by an interface that is to listen to routers. The kernel's own routes
/// belong to addresses, and are wrong only where their family is off.
fn routes(there: &[RouteState], stage: &StagedNode) -> Vec<Difference> {
    let holds = |planned: &Route| {
        there.iter().any(|r| r.via == Some(planned.via) && r.to == planned.to.trunc())
    };
    let missing = stage.routes.iter().filter(|planned| !holds(planned)).copied();
    let missing = missing.map(Difference::NoRoute);
    let extra = there.iter().filter(|route| !is_planned(route, stage)).map(|route| {
        let (next_hop, interface) = (route.via, route.interface.clone());
        Difference::ExtraRoute { to: route.to, next_hop, interface, origin: route.origin.clone() }
    });
    missing.chain(extra).collect()
}

fn is_planned(route: &RouteState, stage: &StagedNode) -> bool {
    let family = Family::of_net(route.to);
    let listens = stage.interface(&route.interface).is_some_and(|i| i.accepts_advertisements);
    match (route.via, route.origin.as_str()) {
        _ if route.learned_mtu.is_some() => true,
        (_, "ra") => listens,
        (_, "kernel") if listens => true,
        (None, "kernel") => live(stage).has(family),
        (Some(via), _) => stage.routes.iter().any(|p| p.via == via && p.to.trunc() == route.to),
        (None, _) => false,
    }
}

/// The switches that the stage decides about, with the value that each should have.
pub(super) fn switches(stage: &StagedNode) -> Vec<(String, &'static str)> {
    let on_off = |on: bool| if on { "1" } else { "0" };
    let live = live(stage);
    let mut all: Vec<_> =
        Family::ALL.map(|f| (forwarding(f).to_owned(), on_off(stage.forwarding.has(f)))).into();
    all.push(("net.ipv6.conf.lo.disable_ipv6".to_owned(), on_off(!live.has(Family::V6))));
    for interface in &stage.interfaces {
        let name = |of: &str| format!("net.ipv6.conf.{}.{of}", interface.name);
        all.push((name("disable_ipv6"), on_off(!interface.families.has(Family::V6))));
        all.push((name("accept_ra"), on_off(interface.accepts_advertisements)));
    }
    all
}

/// What an interface still waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    /// Addresses in duplicate address detection.
    pub(super) tentative: Vec<IpNet>,
    /// Planned addresses that are not there, and that a Router Advertisement brings or the kernel makes by itself.
    pub(super) missing: Vec<IpNet>,
}

/// What the addresses of an interface still wait for.
pub(super) fn pending(there: &[AddressState], planned: &StagedInterface) -> Pending {
    let is_given = |address: &Address| address.origin != Origin::Static;
    let comes_by_itself = |net: &IpNet| {
        is_link_local(net.addr())
            || planned.addresses.iter().filter(|a| is_given(a)).any(|a| a.net == *net)
    };
    let is_there = |net: &IpNet| there.iter().any(|address| address.net == *net);
    Pending {
        tentative: there.iter().filter(|a| a.tentative && !a.dad_failed).map(|a| a.net).collect(),
        missing: planned_addresses(planned)
            .into_iter()
            .filter(|net| comes_by_itself(net) && !is_there(net))
            .collect(),
    }
}

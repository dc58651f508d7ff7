//! Settling: waiting until IPv6 can be judged. No address may be in duplicate address detection, link-local ones included,
//! and what Router Advertisements are to bring must be there.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    node::Node,
    verify::{self, Pending},
};
use crate::{
    model::{
        answer::AddressState,
        name::{InterfaceName, NodeName},
    },
    net::{links, netlink::NetlinkError},
    stage::{StagedInterface, StagedNode},
};

/// How often the kernel is asked. A wait forced by IPv6 lasts a second and more.
const BETWEEN: Duration = Duration::from_millis(20);

/// A protocol that makes us wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Duplicate address detection (RFC 4862 section 5.4): one second for each address, by default.
    DuplicateDetection,
    /// A Router Advertisement that brings an address or a default route (RFC 4861 section 6).
    RouterAdvertisement,
    /// A server that gives an address (RFC 8415).
    Dhcp,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DuplicateDetection => "duplicate address detection",
            Self::RouterAdvertisement => "Router Advertisements",
            Self::Dhcp => "DHCPv6",
        })
    }
}

/// What was waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// How long each protocol made us wait; where several did at a time, the first of them is counted.
    pub waited: BTreeMap<Reason, Duration>,
    /// How long it was in all.
    pub total: Duration,
    /// Who was not ready when the time was over. Empty when all is well.
    pub unsettled: Vec<Unsettled>,
}

/// A node that was not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsettled {
    /// The node.
    pub node: NodeName,
    /// The interface.
    pub interface: String,
    /// What it waits for.
    pub reason: Reason,
    /// The address, or the default route, as text.
    pub what: String,
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, interface, reason, what } = self;
        write!(f, "node `{node}`: {what} on `{interface}` still waits for {reason}")
    }
}

/// A node that is waited for.
#[derive(Clone, Debug)]
pub(super) struct Awaited {
    pub(super) node: Arc<Node>,
    pub(super) stage: StagedNode,
    /// The interface that a default route is to come by.
    pub(super) default_by: Option<InterfaceName>,
}

/// Polls nodes until all are ready or the time is over. A node that was ready is not asked again.
pub(super) async fn settle(
    mut nodes: Vec<Awaited>,
    patience: Duration,
) -> Result<Settled, NetlinkError> {
    let begin = Instant::now();
    let mut settled = Settled::default();
    let mut last = begin;
    loop {
        let (left, unsettled) = tokio::task::spawn_blocking(move || look(nodes))
            .await
            .expect("looking at nodes does not panic")?;
        nodes = left;
        // Where several protocols make us wait at a time, the time is one's alone: it passes but once.
        if let Some(reason) = unsettled.iter().map(|one| one.reason).min() {
            *settled.waited.entry(reason).or_default() += last.elapsed();
        }
        last = Instant::now();
        if unsettled.is_empty() || begin.elapsed() >= patience {
            settled.unsettled = unsettled;
            settled.total = begin.elapsed();
            return Ok(settled);
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

type Looked = (Vec<Awaited>, Vec<Unsettled>);

/// The nodes that are not ready, and why.
fn look(nodes: Vec<Awaited>) -> Result<Looked, NetlinkError> {
    let mut left = Vec::new();
    let mut unsettled = Vec::new();
    for awaited in nodes {
        let waits = of_node(&awaited)?;
        if !waits.is_empty() {
            left.push(awaited);
            unsettled.extend(waits);
        }
    }
    Ok((left, unsettled))
}

fn of_node(awaited: &Awaited) -> Result<Vec<Unsettled>, NetlinkError> {
    let Awaited { node, stage, default_by } = awaited;
    let mut by_link: BTreeMap<u32, Vec<AddressState>> = BTreeMap::new();
    for (index, address) in links::read_addresses(&node.netlink)? {
        by_link.entry(index).or_default().push(address);
    }
    let mut found = Vec::new();
    for planned in &stage.interfaces {
        let index = node.index(planned.name.as_str());
        let there = index.and_then(|index| by_link.remove(&index)).unwrap_or_default();
        found.extend(of_interface(&node.name, planned, &there));
    }
    if let Some(interface) = default_by.as_ref().filter(|_| found.is_empty()) {
        let routes = node.routes()?;
        if !routes.iter().any(|route| route.origin == "ra" && route.to.prefix_len() == 0) {
            let reason = Reason::RouterAdvertisement;
            found.push(unsettled(&node.name, interface, reason, "the default route".to_owned()));
        }
    }
    Ok(found)
}

fn of_interface(
    node: &NodeName,
    planned: &StagedInterface,
    there: &[AddressState],
) -> Vec<Unsettled> {
    let Pending { tentative, missing } = verify::pending(there, planned);
    let tentative = tentative.into_iter().map(|net| (Reason::DuplicateDetection, net));
    // The kernel makes the link-local address by itself, as the first step of duplicate address detection.
    let missing = missing.into_iter().map(|net| {
        if links::is_link_local(net.addr()) {
            (Reason::DuplicateDetection, net)
        } else if planned.leases {
            (Reason::Dhcp, net)
        } else {
            (Reason::RouterAdvertisement, net)
        }
    });
    let waits = tentative.chain(missing);
    waits.map(|(reason, net)| unsettled(node, &planned.name, reason, net.to_string())).collect()
}

fn unsettled(
    node: &NodeName,
    interface: &InterfaceName,
    reason: Reason,
    what: String,
) -> Unsettled {
    Unsettled { node: node.clone(), interface: interface.to_string(), reason, what }
}

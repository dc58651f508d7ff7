//! Building: one namespace for each node and each segment, virtual cables between them, everything up and nothing live.
//!
//! Namespaces are made on two threads, because most of that work needs no lock that all share. Links need the kernel's one
//! lock for links, so the cables of a segment are one batch and come one segment after another.

use std::{collections::BTreeMap, io, sync::Arc, thread};

use super::{
    node::Node,
    wire::{BRIDGE, BRIDGE_INDEX, Port, Wire},
};
use crate::{
    model::{
        name::{NodeName, SegmentName},
        node::{Interface, Origin},
        testbed::Testbed,
    },
    net::{
        links::{self, End},
        namespace::Namespace,
        netlink::{Netlink, NetlinkError, Request},
        switch::{SwitchError, Switches},
    },
    wire::stable::Secret,
};

/// Why a lab could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The limit of open files is too low.
    #[error(
        "a lab of {namespaces} namespaces needs about {needed} open files, but this process may open no more; raise \
         the limit, for example with `ulimit -n {needed}`"
    )]
    OpenFiles {
        /// Nodes and segments.
        namespaces: usize,
        /// About how many files they need.
        needed: usize,
    },
    /// A namespace could not be made.
    #[error("cannot make a network namespace or a socket in it: {0}")]
    Namespace(#[from] io::Error),
    /// A link could not be made.
    #[error("cannot build {what}: {source}")]
    Link {
        /// The part of the lab.
        what: String,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// A switch could not be set.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// A segment has more interfaces than a bridge of the kernel has ports.
    #[error("segment `{segment}` has {count} interfaces; one link of the lab holds at most 1023")]
    Crowded {
        /// The segment.
        segment: SegmentName,
        /// Its interfaces.
        count: usize,
    },
}

/// Interfaces that one link can join: the kernel's bridge numbers its ports with ten bits, from 1.
const MOST_PORTS: usize = 1023;

/// How every node begins. Both families are off and nothing is taken from Router Advertisements until a step says so. Some
/// values would be inherited from the machine, and some slow down or hide what is asked: ICMP errors are not rationed, and
/// duplicate address detection begins at once instead of after a random delay of up to one second (RFC 4862 section 5.4.2
/// asks for the delay so that many machines that start together do not collide).
const BEGINNING: [(&str, &str); 13] = [
    ("net.ipv6.conf.default.disable_ipv6", "1"),
    ("net.ipv6.conf.lo.disable_ipv6", "1"),
    ("net.ipv6.conf.default.accept_ra", "0"),
    ("net.ipv6.conf.default.autoconf", "0"),
    ("net.ipv6.conf.default.router_solicitation_delay", "0"),
    ("net.ipv6.conf.all.forwarding", "0"),
    ("net.ipv6.icmp.ratelimit", "0"),
    ("net.ipv4.ip_forward", "0"),
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
    ("net.ipv4.conf.all.accept_redirects", "0"),
    ("net.ipv4.conf.default.accept_redirects", "0"),
];

/// A segment carries frames and has no part in either family.
const BESIDE: [(&str, &str); 1] = [("net.ipv6.conf.default.disable_ipv6", "1")];

/// The nodes and wires of a lab.
pub(super) struct Built {
    pub(super) nodes: BTreeMap<NodeName, Arc<Node>>,
    pub(super) wires: BTreeMap<SegmentName, Wire>,
}

/// Builds everything that the testbed names.
pub(super) fn build(testbed: &Testbed) -> Result<Built, BuildError> {
    let nodes: Vec<_> = testbed.nodes.values().collect();
    let nodes = in_two_threads(&nodes, |node, namespace| {
        let interfaces = node.interfaces.iter().map(|i| i.name.to_string());
        let made = Node::here(&node.name, namespace, interfaces)?;
        made.switches.set_all(&BEGINNING)?;
        Ok((node.name.clone(), Arc::new(made)))
    })
    .map_err(|error| explained(error, testbed))?;
    let nodes: BTreeMap<_, _> = nodes.into_iter().collect();
    let segments: Vec<_> = testbed.segments.keys().collect();
    let made = Namespace::create_each(&segments, |segment, namespace| {
        Switches::open_here()?.set_all(&BESIDE)?;
        Ok((*segment, namespace, Netlink::open_here()?))
    })
    .map_err(|error| explained(error, testbed))?;
    let mut wires = BTreeMap::new();
    for (segment, namespace, netlink) in made {
        wires.insert(segment.clone(), plug(testbed, segment, namespace, netlink, &nodes)?);
    }
    for (node, interface) in inner_interfaces(testbed) {
        let node = &nodes[&node.name];
        links::as_tunnel(&node.namespace, interface.name.as_str())
            .map_err(BuildError::Namespace)?;
    }
    for node in testbed.nodes.values() {
        keep_secrets(node, &nodes[&node.name])?;
    }
    nodes.values().try_for_each(|node| bring_up(node))?;
    Ok(Built { nodes, wires })
}

/// Tells interfaces that form addresses from a secret which one (RFC 7217). To write it is to choose this way of forming.
fn keep_secrets(node: &crate::model::node::Node, made: &Node) -> Result<(), BuildError> {
    for interface in &node.interfaces {
        if interface.addresses.iter().any(|address| address.origin == Origin::Stable) {
            let Secret(secret) = Secret::of(&node.name, &interface.name);
            let switch = format!("net.ipv6.conf.{}.stable_secret", interface.name);
            made.switches.set(&switch, &secret.to_string())?;
        }
    }
    Ok(())
}

/// The interfaces that lead into tunnels and to translators, with their gateways.
fn inner_interfaces(
    testbed: &Testbed,
) -> impl Iterator<Item = (&crate::model::node::Node, &Interface)> {
    let insides = testbed.segments.values().filter(|segment| segment.kind.is_inside());
    insides.flat_map(|segment| testbed.on_segment(&segment.name))
}

/// Says what is missing where a limit was met.
fn explained(error: BuildError, testbed: &Testbed) -> BuildError {
    let errno = match &error {
        BuildError::Namespace(source) | BuildError::Switch(SwitchError::File { source, .. }) => {
            source.raw_os_error()
        }
        _ => None,
    };
    if errno != Some(libc::EMFILE) {
        return error;
    }
    let namespaces = testbed.nodes.len() + testbed.segments.len();
    BuildError::OpenFiles { namespaces, needed: 5 * namespaces + 256 }
}

fn in_two_threads<I: Sync, T: Send>(
    items: &[I],
    make: impl Fn(&I, Namespace) -> Result<T, BuildError> + Sync,
) -> Result<Vec<T>, BuildError> {
    let (first, second) = items.split_at(items.len() / 2);
    thread::scope(|scope| {
        let other = scope.spawn(|| Namespace::create_each(second, &make));
        let mut made = Namespace::create_each(first, &make)?;
        made.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        Ok(made)
    })
}

/// Makes the bridge of a segment and a cable from it to every interface on the segment.
fn plug(
    testbed: &Testbed,
    segment: &SegmentName,
    namespace: Namespace,
    netlink: Netlink,
    nodes: &BTreeMap<NodeName, Arc<Node>>,
) -> Result<Wire, BuildError> {
    let mtu = testbed.segments[segment].mtu;
    let plugged: Vec<_> = testbed.on_segment(segment).collect();
    if plugged.len() > MOST_PORTS {
        return Err(BuildError::Crowded { segment: segment.clone(), count: plugged.len() });
    }
    // What is put into a tunnel is carried by its gateways; no bridge joins its ends.
    let bridge = (!testbed.segments[segment].kind.is_inside()).then_some(BRIDGE_INDEX);
    let mut ports = BTreeMap::new();
    let mut requests: Vec<_> =
        bridge.map(|index| links::add_bridge(BRIDGE, index, mtu)).into_iter().collect();
    for ((node, interface), index) in plugged.into_iter().zip(BRIDGE_INDEX + 1..) {
        let port = Port { name: format!("port{}", index - BRIDGE_INDEX), index };
        requests.push(cable(&port, bridge, &nodes[&node.name], interface, mtu));
        ports.insert((node.name.clone(), interface.name.clone()), port);
    }
    all(&netlink, &requests, || format!("segment `{segment}`"))?;
    Ok(Wire { segment: segment.clone(), namespace, netlink, ports })
}

fn cable(
    port: &Port,
    bridge: Option<u32>,
    node: &Node,
    interface: &Interface,
    mtu: u32,
) -> Request {
    let name = interface.name.as_str();
    let index = node.index(name).expect("every interface of the testbed has an index");
    let near = End { name: &port.name, index: port.index, mac: None };
    let far = End { name, index, mac: Some(interface.mac) };
    links::add_cable(near, bridge, far, &node.namespace, mtu)
}

/// Brings every interface of a node up. The kernel then gives `lo` its IPv4 address, which belongs to the family and is
/// taken away until the family is switched on.
fn bring_up(node: &Node) -> Result<(), BuildError> {
    let mut requests: Vec<_> = node.indices.values().map(|index| links::bring_up(*index)).collect();
    requests.push(links::remove_address(links::LOOPBACK, super::change::LOOPBACK_V4.into()));
    all(&node.netlink, &requests, || format!("node `{}`", node.name))
}

fn all(
    netlink: &Netlink,
    requests: &[Request],
    what: impl Fn() -> String,
) -> Result<(), BuildError> {
    let failed = |source| BuildError::Link { what: what(), source };
    let outcomes = netlink.batch(requests).map_err(failed)?;
    let refused = outcomes.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |refusal| Err(failed(NetlinkError::Refused(refusal))))
}

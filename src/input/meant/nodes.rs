//! Nodes: their interfaces with the families of each phase, their site, what they use, their own routes.

use std::collections::BTreeMap;

use super::{addresses::Plan, families, names, services, uses};
use crate::{
    engine::{BUILT_IN, Engine, Part},
    input::{
        diagnostic::Diagnostic,
        suggest::list,
        written::{self, testbed::Testbed},
    },
    model::{
        family::Family,
        function::Function,
        name::{EngineName, NodeName, SegmentName, SiteName},
        node::{Interface, Node, Route},
        phase::PerPhase,
        segment::Segment,
        testbed,
    },
};

/// Every node.
pub(super) fn resolve(
    written: &Testbed,
    segments: &BTreeMap<SegmentName, Segment>,
    plan: &Plan,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<NodeName, Node> {
    let mut nodes = BTreeMap::new();
    for node in &written.nodes {
        nodes.insert(node.name.is.clone(), one(written, node, segments, plan, found));
    }
    nodes
}

fn one(
    written: &Testbed,
    node: &written::node::Node,
    segments: &BTreeMap<SegmentName, Segment>,
    plan: &Plan,
    found: &mut Vec<Diagnostic>,
) -> Node {
    let name = node.name.is.clone();
    if let Some(at) = &node.unplugged {
        let message = format!("node `{name}` has no interface");
        let hint = "plug it in: `on = { eth0 = \"…\" }` with the name of a segment";
        found.push(Diagnostic::error(at, message).hint(hint));
    }
    let speaks = families::of_node(written, node, found);
    let interfaces: Vec<_> = node
        .on
        .iter()
        .filter_map(|interface| {
            let segment = segments.get(&interface.segment.is)?;
            let (mac, addresses) = plan.get(&(name.clone(), interface.name.is.clone()))?.clone();
            let families = PerPhase::from_fn(|phase| {
                segment.families.in_phase(phase).and(*speaks.in_phase(phase))
            });
            let name = interface.name.is.clone();
            Some(Interface { name, segment: segment.name.clone(), mac, addresses, families })
        })
        .collect();
    let site = match &node.site {
        Some(site) => names::site(written, site, found),
        None => site_of(written, node),
    };
    let uses = uses::of(written, node, site.as_ref(), found);
    Node {
        title: super::text(node.title.as_ref()).unwrap_or_else(|| name.to_string()),
        role: node.role(),
        services: services::resolve(written, node, &interfaces, segments, found),
        routes: node.routes.iter().map(|r| Route { to: r.to.is.trunc(), via: r.via.is }).collect(),
        resolvers: uses.resolvers,
        logs_to: uses.logs_to,
        time_from: uses.time_from,
        users_from: uses.users_from,
        engines: engines(node, segments, found),
        name,
        site,
        interfaces,
    }
}

/// The programs that do what a node does for the network; each must be one that can, and there must be something to do.
fn engines(
    node: &written::node::Node,
    segments: &BTreeMap<SegmentName, Segment>,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<Function, EngineName> {
    let named = node.engines.iter().filter(|(_, named)| named.is.as_str() != BUILT_IN);
    let mut engines = BTreeMap::new();
    for (function, named) in named {
        if let Some(why) =
            Engine::of(&named.is).and_then(|engine| engine.unfit(Part::Function(*function)))
        {
            found.push(Diagnostic::error(&named.at, why));
        }
        if !function.is_of(&node.name.is, segments.values()) {
            let name = &node.name.is;
            let (what, hint) = match function {
                Function::Advertisements => ("announces nothing", "advertise"),
                Function::Dhcpv6 => ("neither serves DHCPv6 nor relays it", "dhcpv6"),
            };
            let message = format!("node `{name}` {what}, so that `{}` has nothing to do", named.is);
            let hint = format!("name the node in `{hint}` of a segment, or take the engine out");
            found.push(Diagnostic::error(&named.at, message).hint(hint));
        }
        engines.insert(*function, named.is.clone());
    }
    engines
}

/// The site of the first of its segments that has one.
fn site_of(written: &Testbed, node: &written::node::Node) -> Option<SiteName> {
    let of = |i: &written::node::Interface| written.segment(&i.segment.is)?.site.clone();
    node.on.iter().find_map(of).map(|site| site.is)
}

/// Next hops that are on a link of their node, and not the node itself.
pub(super) fn check_routes(
    written: &Testbed,
    testbed: &testbed::Testbed,
    found: &mut Vec<Diagnostic>,
) {
    // Routers are given the lowest addresses, so that those of a node whose role is not known are guesses.
    let guessed = written.nodes.iter().any(|node| node.role.is_none());
    for node in &written.nodes {
        let Some(meant) = testbed.nodes.get(&node.name.is) else { continue };
        for route in node.routes.iter().filter(|_| written.is_placed(node)) {
            found.extend(wrong_route(testbed, meant, route, guessed));
        }
    }
}

fn wrong_route(
    testbed: &testbed::Testbed,
    node: &Node,
    route: &written::node::Route,
    guessed: bool,
) -> Option<Diagnostic> {
    let (to, via) = (route.to.is, route.via.is);
    let nets = || node.interfaces.iter().flat_map(|i| &i.addresses).map(|address| address.net);
    let why = if Family::of(via) != Family::of_net(to) {
        format!("the route to {to} has the next hop {via} of the other family")
    } else if nets().any(|net| net.addr() == via) && !guessed {
        format!("the next hop {via} is `{}` itself", node.name)
    } else if !nets().any(|net| net.contains(&via)) {
        let prefixes: Vec<_> = nets().map(|net| net.trunc().to_string()).collect();
        let hint = format!("it is on {}", list(prefixes.iter().map(String::as_str)));
        let message = format!(
            "the next hop {via} is on no link of `{}`: nothing could be sent there",
            node.name
        );
        return Some(Diagnostic::error(&route.via.at, message).hint(hint));
    } else if testbed.owner(via).is_none() && !guessed {
        let message = format!("the next hop {via} is the address of no node");
        return Some(Diagnostic::error(&route.via.at, message));
    } else {
        return None;
    };
    Some(Diagnostic::error(&route.via.at, why).note(&route.to.at, "the route"))
}

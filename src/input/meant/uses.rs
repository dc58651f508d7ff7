//! What nodes use of others: resolvers, the sink of their log, the time, the directory of users.

use super::names;
use crate::{
    input::{
        diagnostic::Diagnostic,
        table::At,
        written::{node::Node, site::Uses, testbed::Testbed},
    },
    model::{
        flow::{Intent, Traffic},
        name::{NodeName, SiteName},
        segment::Plane,
        service::ServiceKind,
        testbed,
    },
};

/// The services of other nodes that a node uses.
pub(super) struct Used {
    pub(super) resolvers: Vec<NodeName>,
    pub(super) logs_to: Option<NodeName>,
    pub(super) time_from: Option<NodeName>,
    pub(super) users_from: Option<NodeName>,
}

/// What a node says, and what its site says where it does not.
pub(super) fn of(
    written: &Testbed,
    node: &Node,
    site: Option<&SiteName>,
    found: &mut Vec<Diagnostic>,
) -> Used {
    let site = written.sites.iter().find(|candidate| Some(&candidate.name.is) == site);
    let of_site = site.map(|site| &site.uses);
    let resolvers = match (&node.uses.resolvers, of_site) {
        (own, Some(site)) if own.is_empty() => &site.resolvers,
        (own, _) => own,
    };
    let other = |own: &Option<At<NodeName>>, site: Option<&Option<At<NodeName>>>| {
        let chosen = own.clone().or_else(|| site.cloned().flatten())?;
        (chosen.is != node.name.is).then_some(chosen)
    };
    let logs_to = other(&node.uses.logs_to, of_site.map(|uses: &Uses| &uses.logs_to));
    let time_from = other(&node.uses.time_from, of_site.map(|uses| &uses.time_from));
    let users_from = other(&node.uses.users_from, of_site.map(|uses| &uses.users_from));
    let resolvers = resolvers.iter().filter(|name| resolver(written, name, found));
    let resolvers = resolvers.map(|name| name.is.clone()).collect();
    let mut offered = |name: Option<At<NodeName>>, kind| {
        name.filter(|name| offers(written, name, kind, found)).map(|name| name.is)
    };
    Used {
        resolvers,
        logs_to: offered(logs_to, ServiceKind::Syslog),
        time_from: offered(time_from, ServiceKind::Ntp),
        users_from: offered(users_from, ServiceKind::Ldap),
    }
}

/// Whether a node is a resolver; complains where it is not.
pub(super) fn resolver(
    written: &Testbed,
    name: &At<NodeName>,
    found: &mut Vec<Diagnostic>,
) -> bool {
    offers(written, name, ServiceKind::Resolver, found)
}

fn offers(
    written: &Testbed,
    name: &At<NodeName>,
    kind: ServiceKind,
    found: &mut Vec<Diagnostic>,
) -> bool {
    let Some(node) = names::node(written, name, found) else { return false };
    let serves = node.serve.iter().any(|service| service.may_speak(kind));
    if !serves {
        let message = format!("node `{}` has no service of kind `{kind}`", name.is);
        let hint = format!("give it one: `serve.{kind} = {{}}`");
        found
            .push(Diagnostic::error(&name.at, message).note(&node.name.at, "this node").hint(hint));
    }
    serves
}

/// Warns of logs, time, users and names that no flow lets pass.
pub(super) fn check(written: &Testbed, testbed: &testbed::Testbed, found: &mut Vec<Diagnostic>) {
    for node in &written.nodes {
        let Some(meant) = testbed.nodes.get(&node.name.is) else { continue };
        let logs = meant.logs_to.iter().map(|to| (to, ServiceKind::Syslog, "sends its log to"));
        let time = meant.time_from.iter().map(|to| (to, ServiceKind::Ntp, "takes the time from"));
        let users = meant.users_from.iter().map(|to| (to, ServiceKind::Ldap, "looks users up in"));
        let names = meant.resolvers.iter().map(|to| (to, ServiceKind::Resolver, "asks for names"));
        let polled = meant.services.iter().flat_map(|service| &service.polls);
        let polls = polled.map(|to| (to, ServiceKind::Snmp, "polls the agent of"));
        for (to, kind, verb) in polls.chain(logs).chain(time).chain(users).chain(names) {
            if is_near(testbed, &meant.name, to) || is_allowed(testbed, &meant.name, to, kind) {
                continue;
            }
            let message =
                format!("`{}` {verb} `{to}`, but no flow lets `{kind}` pass", node.name.is);
            let hint = format!("add a `[[flow]]` from `{}` to `{to}`", node.name.is);
            found.push(Diagnostic::warning(&node.name.at, message).hint(hint));
        }
    }
}

/// Whether both are one node, on one link, or one of them has no data plane.
fn is_near(testbed: &testbed::Testbed, from: &NodeName, to: &NodeName) -> bool {
    let segments = |name: &NodeName| {
        let interfaces = testbed.nodes[name].interfaces.iter();
        let data = interfaces.filter(|interface| testbed.plane(interface) == Plane::Data);
        data.map(|interface| interface.segment.clone()).collect::<Vec<_>>()
    };
    let (from_on, to_on) = (segments(from), segments(to));
    from == to || from_on.is_empty() || from_on.iter().any(|segment| to_on.contains(segment))
}

fn is_allowed(
    testbed: &testbed::Testbed,
    from: &NodeName,
    to: &NodeName,
    kind: ServiceKind,
) -> bool {
    let service = testbed.nodes[to].services.iter().find(|service| service.kind == kind);
    let Some(wanted) = service.and_then(|service| service.ports().last()) else { return true };
    testbed.flows.iter().filter(|flow| flow.intent == Intent::Allow).any(|flow| {
        let carries = flow.traffic.iter().any(|traffic| match traffic {
            Traffic::Any => true,
            Traffic::Port { port, .. } => *port == wanted,
            Traffic::Ping => false,
        });
        let has = |end, name: &NodeName| testbed.members(end).iter().any(|node| node.name == *name);
        carries && has(&flow.from, from) && has(&flow.to, to)
    })
}

//! Flows: their ends and what they carry, word by word.

use super::names::{self, Noun};
use crate::{
    input::{
        diagnostic::{Diagnostic, Span},
        placeholder,
        suggest::suggest,
        table::{At, read},
        written::{
            self,
            flow::{EVERYWHERE, literal},
            node::Node,
            service::Service,
            testbed::Testbed,
        },
    },
    model::{
        flow::{End, Flow, Intent, Traffic},
        segment::Plane,
        service::{Port, ServiceKind, Transport},
    },
};

/// A flow and where it was written.
pub(super) struct Placed {
    pub(super) flow: Flow,
    /// Where the flow begins that it is one pair of ends of.
    pub(super) of: Span,
    pub(super) from: Span,
    pub(super) to: Span,
    /// Where it stands what is allowed or denied.
    pub(super) says: Span,
}

/// The most flows that are read, pair of ends by pair of ends.
const MOST_FLOWS: usize = 4000;

/// Every flow: one for each pair of ends and each intent.
pub(super) fn resolve(written: &Testbed, found: &mut Vec<Diagnostic>) -> Vec<Placed> {
    let mut flows = Vec::new();
    for flow in &written.flows {
        if flow.allow.is_empty() && flow.deny.is_empty() {
            let message = "the flow neither allows nor denies anything";
            let hint = "say `allow = [\"https\"]` or `deny = [\"any\"]`";
            found.push(Diagnostic::error(&flow.at, message).hint(hint));
        }
        found.extend(in_vain(flow));
        let from = ends(written, &flow.from, found);
        let to = ends(written, &flow.to, found);
        let reached = Reached { ends: &to, all: to.len() == flow.to.len() };
        for intent in [Intent::Allow, Intent::Deny] {
            let traffic = traffic(written, &reached, flow.words(intent), intent, found);
            if traffic.is_empty() {
                continue;
            }
            for from in &from {
                flows.extend(to.iter().map(|to| placed(flow, from, to, &traffic, intent)));
                if flows.len() > MOST_FLOWS {
                    let message = format!("there are more than {MOST_FLOWS} flows from end to end");
                    let hint = "name segments or sites instead of single nodes";
                    found.push(Diagnostic::error(&flow.at, message).hint(hint));
                    return flows;
                }
            }
        }
    }
    flows
}

fn placed(
    written: &written::flow::Flow,
    from: &At<End>,
    to: &At<End>,
    traffic: &[Traffic],
    intent: Intent,
) -> Placed {
    let arrow = match intent {
        Intent::Allow => "->",
        Intent::Deny => "-x>",
    };
    let name = written.name.as_ref().map(|name| name.is.clone());
    let flow = Flow {
        name: name.unwrap_or_else(|| format!("{}{arrow}{}", from.is, to.is)),
        from: from.is.clone(),
        to: to.is.clone(),
        traffic: traffic.to_vec(),
        intent,
    };
    let says = written.place(intent).unwrap_or(&written.at).clone();
    Placed { flow, of: written.at.clone(), from: from.at.clone(), to: to.at.clone(), says }
}

/// A list of nothing beside one that says something: it reads as if all, or nothing, were meant.
fn in_vain(flow: &written::flow::Flow) -> Option<Diagnostic> {
    let sides = [(Intent::Allow, "allow", "deny"), (Intent::Deny, "deny", "allow")];
    sides.into_iter().find_map(|(intent, key, other_key)| {
        let other = if intent == Intent::Allow { Intent::Deny } else { Intent::Allow };
        let (empty, said) = (flow.place(intent)?, flow.place(other)?);
        if !flow.words(intent).is_empty() || flow.words(other).is_empty() {
            return None;
        }
        let message = format!("`{key}` of the flow is a list of nothing beside its `{other_key}`");
        let hint = match intent {
            Intent::Allow => "leave `allow` out: a flow with `deny` alone cuts an exception out of what others allow",
            Intent::Deny => "leave `deny` out: what no flow allows is dropped anyway",
        };
        Some(
            Diagnostic::error(empty, message)
                .label("says nothing")
                .note(said, "says something")
                .hint(hint),
        )
    })
}

fn ends(written: &Testbed, words: &[At<String>], found: &mut Vec<Diagnostic>) -> Vec<At<End>> {
    let mut end = |word: &At<String>| {
        let name = At { is: placeholder::stand_in(&word.is), at: word.at.clone() };
        let word = if word.is == EVERYWHERE { word } else { &name };
        Some(At { is: end(written, word, found)?, at: word.at.clone() })
    };
    words.iter().filter_map(&mut end).collect()
}

fn end(written: &Testbed, word: &At<String>, found: &mut Vec<Diagnostic>) -> Option<End> {
    if word.is == EVERYWHERE {
        return Some(End::Everywhere);
    }
    let noun = names::all(written).find(|(name, ..)| *name == word.is).map(|(_, noun, _)| noun);
    let (end, on_data) = match noun {
        Some(Noun::Node) => {
            let end = End::Node(read(&word.is).ok()?);
            (end, members(written, word).any(|node| is_on_data(written, node)))
        }
        Some(Noun::Segment) => {
            let name = read(&word.is).ok()?;
            let data = written.segment(&name).is_some_and(|s| s.plane == Plane::Data);
            (End::Segment(name), data)
        }
        Some(Noun::Site) => (End::Site(read(&word.is).ok()?), true),
        Some(Noun::Tunnel | Noun::Translation) | None => {
            let wanted = [Noun::Node, Noun::Segment, Noun::Site];
            names::unknown(written, &word.is, &word.at, &wanted, found);
            return None;
        }
    };
    if !on_data {
        let message =
            format!("`{}` is on the management plane; flows are of the data plane", word.is);
        let hint =
            "every node with a management interface is reached from the management station anyway";
        found.push(Diagnostic::error(&word.at, message).hint(hint));
        return None;
    }
    Some(end)
}

fn is_on_data(written: &Testbed, node: &Node) -> bool {
    let plane = |segment| written.segment(segment).map(|segment| segment.plane);
    node.on.iter().any(|interface| plane(&interface.segment.is) == Some(Plane::Data))
}

fn members<'w>(written: &'w Testbed, word: &'w At<String>) -> impl Iterator<Item = &'w Node> {
    written.nodes.iter().filter(move |node| node.name.is.as_str() == word.is)
}

/// Who is reached by a flow, and whether all that it names are known.
struct Reached<'w> {
    ends: &'w [At<End>],
    all: bool,
}

fn traffic(
    written: &Testbed,
    to: &Reached<'_>,
    words: &[At<String>],
    intent: Intent,
    found: &mut Vec<Diagnostic>,
) -> Vec<Traffic> {
    let mut all = Vec::new();
    for word in words {
        for traffic in meaning(written, to, word, intent, found) {
            if !all.contains(&traffic) {
                all.push(traffic);
            }
        }
    }
    all
}

/// What a word of a flow stands for: `any`, `ping`, `tcp/8443`, or a service of the nodes that are reached.
fn meaning(
    written: &Testbed,
    to: &Reached<'_>,
    word: &At<String>,
    intent: Intent,
    found: &mut Vec<Diagnostic>,
) -> Vec<Traffic> {
    match word.is.as_str() {
        "any" => return vec![Traffic::Any],
        "ping" => return vec![Traffic::Ping],
        _ => {}
    }
    let traffic = |port| Traffic::Port { word: word.is.clone(), port };
    if let Some(port) = literal(&word.is) {
        return vec![traffic(port)];
    }
    if word.is.contains('/') {
        let message = format!("`{}` is not a port", word.is);
        let hint = "write `tcp/443` or `udp/53`, with a number from 1 to 65535";
        found.push(Diagnostic::error(&word.at, message).hint(hint));
        return Vec::new();
    }
    let services: Vec<_> = reached(written, to.ends).flat_map(|n| offered(written, n)).collect();
    let named = services.iter().filter(|service| service.name.is.as_str() == word.is);
    let mut ports: Vec<_> = named.flat_map(|service| ports(service)).collect();
    let kind = ServiceKind::ALL.into_iter().find(|kind| kind.word() == word.is);
    if let (true, Intent::Deny, Some(kind)) = (ports.is_empty(), intent, kind) {
        let usual = |t: &Transport| Port { transport: *t, number: kind.usual_port() };
        ports.extend(kind.transports().iter().map(usual));
    }
    // Who is not known might serve it, and so might what a service speaks that does not say so.
    let is_open = |service: &&Service| {
        service.speaks().is_none() && (kind.is_some() || service.name.is.as_str() == word.is)
    };
    let is_open = services.iter().any(is_open);
    let is_known = || kind.is_some() || anywhere(written, &word.is);
    if ports.is_empty() && !is_open && (to.all || !is_known()) {
        let ends: Vec<_> = to.ends.iter().map(|end| end.is.to_string()).collect();
        let message = if ends.is_empty() {
            format!("no node serves `{}`", word.is)
        } else {
            let ends = crate::input::suggest::list(ends.iter().map(String::as_str));
            format!("no node of {ends} serves `{}` on the data plane", word.is)
        };
        let mut known: Vec<_> = services.iter().map(|service| service.name.is.as_str()).collect();
        known.sort_unstable();
        known.dedup();
        let hint = suggest(&word.is, known.into_iter().chain(["any", "ping"]));
        found.push(Diagnostic::error(&word.at, message).maybe_hint(hint));
    }
    ports.sort_unstable();
    ports.dedup();
    ports.into_iter().map(traffic).collect()
}

/// Whether any service of the testbed bears a name.
fn anywhere(written: &Testbed, name: &str) -> bool {
    let mut services = written.nodes.iter().flat_map(|node| &node.serve);
    services.any(|service| service.name.is.as_str() == name)
}

fn ports(service: &Service) -> Vec<Port> {
    let (Some(kind), Some(number)) = (service.speaks(), service.port()) else { return Vec::new() };
    kind.transports().iter().map(|transport| Port { transport: *transport, number }).collect()
}

/// The services of a node that are offered on the data plane.
fn offered<'w>(written: &'w Testbed, node: &'w Node) -> impl Iterator<Item = &'w Service> {
    node.serve.iter().filter(move |service| match &service.on {
        None => true,
        Some(on) => node.on.iter().any(|interface| {
            let segment = written.segment(&interface.segment.is);
            interface.name.is == on.is && segment.is_some_and(|s| s.plane == Plane::Data)
        }),
    })
}

/// The nodes that ends stand for.
fn reached<'w>(written: &'w Testbed, ends: &'w [At<End>]) -> impl Iterator<Item = &'w Node> {
    written.nodes.iter().filter(move |node| {
        ends.iter().any(|end| match &end.is {
            End::Node(name) => node.name.is == *name,
            End::Segment(name) => node.interface_on(name).is_some(),
            End::Site(name) => node.on.iter().any(|interface| {
                let segment = written.segment(&interface.segment.is);
                segment.and_then(|s| s.site.as_ref()).is_some_and(|site| site.is == *name)
            }),
            End::Everywhere => is_on_data(written, node),
        })
    })
}

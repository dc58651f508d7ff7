//! Policy: flows that contradict each other, flows that lead nowhere, and denials that no firewall could enforce.

use std::collections::{BTreeMap, BTreeSet};

use super::flows::Placed;
use crate::{
    input::{diagnostic::Diagnostic, written},
    model::{
        flow::{End, Flow, Intent, Traffic},
        name::{NodeName, SegmentName},
        node::Node,
        segment::Plane,
        testbed::Testbed,
    },
};

/// Checks the flows against each other and against the topology.
pub(super) fn check(
    written: &written::testbed::Testbed,
    flows: &[Placed],
    testbed: &Testbed,
    found: &mut Vec<Diagnostic>,
) {
    // Whether they forward or filter is a guess, from which nothing may follow.
    let guessed: BTreeSet<_> =
        written.nodes.iter().filter(|node| node.role.is_none()).map(|node| &node.name.is).collect();
    turned_inwards(testbed, &guessed, flows, found);
    let flows: Vec<_> =
        flows.iter().filter(|placed| is_certain(testbed, &guessed, &placed.flow)).collect();
    let of = |intent| flows.iter().copied().filter(move |placed| placed.flow.intent == intent);
    for allow in of(Intent::Allow) {
        if let Some(deny) = of(Intent::Deny).find(|deny| covers(testbed, &deny.flow, &allow.flow)) {
            let message = format!(
                "flow `{}` allows what flow `{}` denies: it can never pass",
                allow.flow.name, deny.flow.name
            );
            // Of one flow, the ends are the same.
            let [here, there] =
                if allow.of == deny.of { [&allow.says, &deny.says] } else { [&allow.to, &deny.to] };
            found.push(
                Diagnostic::error(here, message)
                    .label("allowed here")
                    .note(there, "denied here")
                    .hint(
                        "denials come first; what no flow allows is dropped anyway, so deny only what \
                         an allowing flow would let pass",
                    ),
            );
        }
    }
    let open = Open::new(testbed);
    for deny in of(Intent::Deny) {
        found.extend(unenforceable(testbed, &open, deny));
    }
}

/// Whether a flow names no node of which the role is guessed.
fn is_certain(testbed: &Testbed, guessed: &BTreeSet<&NodeName>, flow: &Flow) -> bool {
    let is_guessed = |end| testbed.members(end).iter().any(|node| guessed.contains(&node.name));
    !is_guessed(&flow.from) && !is_guessed(&flow.to)
}

/// Flows of which every pair of ends is one node: what it says to itself passes no filter and is never tried.
fn turned_inwards(
    testbed: &Testbed,
    guessed: &BTreeSet<&NodeName>,
    flows: &[Placed],
    found: &mut Vec<Diagnostic>,
) {
    for written in flows.chunk_by(|one, next| one.of == next.of) {
        let certain = written.iter().filter(|placed| is_certain(testbed, guessed, &placed.flow));
        let alone: Vec<_> = certain.filter_map(|placed| alone(testbed, &placed.flow)).collect();
        let ([first, ..], [node, ..]) = (written, alone.as_slice()) else { continue };
        if alone.len() < written.len() {
            continue;
        }
        let message = match (&first.flow.from, &first.flow.to) {
            (End::Node(_), End::Node(_)) => {
                format!("flow `{}` leads from `{node}` to itself", first.flow.name)
            }
            (from, to) => format!(
                "flow `{}` leads from `{node}` to itself: no other node stands behind `{from}` and `{to}`",
                first.flow.name
            ),
        };
        found.push(Diagnostic::error(&first.to, message).note(&first.from, "from here").hint(
            "what a node says to itself passes no link; name another end, or take the flow away",
        ));
    }
}

/// The one node that both ends of a flow stand for.
fn alone(testbed: &Testbed, flow: &Flow) -> Option<NodeName> {
    let from = names(testbed, &flow.from);
    let is_one = from.len() == 1 && from == names(testbed, &flow.to);
    let named = flow.from != End::Everywhere && flow.to != End::Everywhere;
    from.into_iter().next().filter(|_| is_one && named)
}

/// Whether everything that one flow names is named by the other.
fn covers(testbed: &Testbed, wide: &Flow, narrow: &Flow) -> bool {
    let within = |narrow: &End, wide: &End| {
        narrow == wide || {
            let wide = names(testbed, wide);
            !names(testbed, narrow).is_empty() && names(testbed, narrow).is_subset(&wide)
        }
    };
    narrow.traffic.iter().all(|traffic| wide.traffic.iter().any(|wide| carries(wide, traffic)))
        && within(&narrow.from, &wide.from)
        && within(&narrow.to, &wide.to)
}

fn carries(wide: &Traffic, narrow: &Traffic) -> bool {
    match (wide, narrow) {
        (Traffic::Any, _) | (Traffic::Ping, Traffic::Ping) => true,
        (Traffic::Port { port, .. }, Traffic::Port { port: other, .. }) => port == other,
        _ => false,
    }
}

fn names(testbed: &Testbed, end: &End) -> BTreeSet<NodeName> {
    testbed.members(end).iter().map(|node| node.name.clone()).collect()
}

/// The segments that are joined without a filter between them: those with the same number.
struct Open(BTreeMap<SegmentName, usize>);

impl Open {
    fn new(testbed: &Testbed) -> Self {
        let mut open = Self(testbed.segments.keys().cloned().zip(0..).collect());
        for node in testbed.nodes.values().filter(|n| n.role.forwards() && !n.role.filters()) {
            let joined = open.of(testbed, node);
            let Some(lowest) = joined.first().copied() else { continue };
            for number in open.0.values_mut().filter(|number| joined.contains(*number)) {
                *number = lowest;
            }
        }
        open
    }

    /// The numbers of the segments of a node in the data plane.
    fn of(&self, testbed: &Testbed, node: &Node) -> BTreeSet<usize> {
        let data = node.interfaces.iter().filter(|i| testbed.plane(i) == Plane::Data);
        data.map(|interface| self.0[&interface.segment]).collect()
    }
}

/// Two nodes that a denial is to keep apart, although no filter stands between them.
fn unenforceable(testbed: &Testbed, open: &Open, deny: &Placed) -> Option<Diagnostic> {
    let mut at = BTreeMap::<usize, Vec<&NodeName>>::new();
    for from in testbed.members(&deny.flow.from) {
        for number in open.of(testbed, from) {
            at.entry(number).or_default().push(&from.name);
        }
    }
    let members = testbed.members(&deny.flow.to);
    let (from, to) = members.iter().filter(|to| !to.role.filters()).find_map(|to| {
        let numbers = open.of(testbed, to);
        let mut near = numbers.iter().filter_map(|number| at.get(number)).flatten();
        near.find(|from| **from != &to.name).map(|from| (*from, &to.name))
    })?;
    let message = format!(
        "flow `{}` denies what no firewall can stop: none stands between `{from}` and `{to}`",
        deny.flow.name
    );
    Some(
        Diagnostic::warning(&deny.to, message)
            .note(&deny.from, "from here")
            .hint("put a node with the role `firewall` or `vpn-gateway` between them"),
    )
}

//! Management: every node must stay manageable in every phase (S2 section 2.3.1).

use crate::{
    input::{
        diagnostic::Diagnostic,
        written::{node::Interface, node::Node, testbed::Testbed},
    },
    model::{
        family::Families,
        node::Role,
        phase::Phase,
        segment::Plane,
        testbed::{self},
    },
};

/// Complains of nodes that no management station can reach in some phase.
pub(super) fn check(written: &Testbed, testbed: &testbed::Testbed, found: &mut Vec<Diagnostic>) {
    let segments: Vec<_> =
        written.segments.iter().filter(|s| s.plane == Plane::Management).collect();
    for segment in &segments {
        let name = &segment.name;
        let stations: Vec<_> = written
            .members(&name.is)
            .filter(|(node, _)| node.may_be(|role| role == Role::ManagementStation))
            .collect();
        let members = || written.members(&name.is);
        // Somebody's segment is not known, and it may be this one.
        let dangling = || written.nodes.iter().any(|node| written.is_dangling(node));
        if stations.is_empty() && (!segment.is_known() || dangling()) {
            continue;
        }
        if stations.is_empty() && members().next().is_some() {
            let message = format!("nobody manages the nodes on segment `{}`", name.is);
            let hint = "plug in a node with the role `management-station`";
            found.push(Diagnostic::error(&name.at, message).hint(hint));
            continue;
        }
        // Whether one of them is the station is not known.
        if !segment.is_known() || stations.iter().all(|(node, _)| node.role.is_none()) {
            continue;
        }
        for (node, interface) in members() {
            reachable(testbed, node, interface, &stations, found);
        }
    }
    let on_plane = |node: &Node| {
        written.is_dangling(node)
            || node.on.iter().any(|i| segments.iter().any(|s| s.name.is == i.segment.is))
    };
    for node in written.nodes.iter().filter(|node| node.role().forwards() && !on_plane(node)) {
        let Some(segment) = segments.first() else { break };
        let message = format!(
            "`{}` is a `{}` without a management interface: it cannot be managed",
            node.name.is,
            node.role()
        );
        let hint = format!("plug it in: `mgmt = \"{}\"` under `on`", segment.name.is);
        found.push(Diagnostic::warning(&node.name.at, message).hint(hint));
    }
}

fn reachable(
    testbed: &testbed::Testbed,
    node: &Node,
    interface: &Interface,
    stations: &[(&Node, &Interface)],
    found: &mut Vec<Diagnostic>,
) {
    for phase in Phase::ALL {
        let own = live(testbed, node, interface, phase);
        let theirs = stations.iter().map(|(station, on)| live(testbed, station, on, phase));
        let theirs = theirs.fold(Families::NONE, Families::or);
        if !own.and(theirs).is_empty() {
            continue;
        }
        let message = format!(
            "node `{}` cannot be managed in the phase `{}`: on segment `{}` it speaks {}, the \
             management station {}",
            node.name.is,
            phase.word(),
            interface.segment.is,
            spoken(own),
            spoken(theirs)
        );
        let hint = "let both speak a common family in every phase that the walk goes through";
        found.push(Diagnostic::error(&interface.segment.at, message).hint(hint));
    }
}

/// The families that an interface has addresses of and that are live in a phase.
fn live(testbed: &testbed::Testbed, node: &Node, interface: &Interface, phase: Phase) -> Families {
    let meant = testbed.nodes.get(&node.name.is);
    let on = meant.and_then(|node| node.interface_on(&interface.segment.is));
    on.map_or(Families::NONE, |on| *on.families.in_phase(phase))
}

fn spoken(families: Families) -> String {
    if families.is_empty() { "nothing".to_owned() } else { families.to_string() }
}

//! `vpn.matrix`: what a tunnel couples is reached through it, in both directions, small and large.

use super::{
    Case, Text, UseCase, ask,
    couples::{self, Couple},
    legs::{self, Named},
    reach::Leg,
    reaching::Reaching,
};
use crate::{
    model::{family::Family, finding::Severity, node::Node, probe::Question},
    stage::Stage,
};

/// The check.
pub(super) static MATRIX: Reaching =
    Reaching { text: &TEXT, subjects, without: "no tunnel couples anything in this phase" };

/// Octets of a small echo request after the ICMP header.
const SMALL: u16 = 56;
/// IP and ICMP headers of an echo request.
const HEADERS: [u32; 2] = [28, 48];

static TEXT: Text = Text {
    id: "vpn.matrix",
    title: "What tunnels couple",
    section: "S2 2.3.2, 2.4",
    use_case: UseCase::Policies,
    question: "Is every coupled subnet reached through its tunnel, in every family inside and outside that the phase \
               plans, in both directions, with small packets, with the largest that fit, and as services ask?",
    good: "Everything that is coupled is reached through its tunnel.",
    references: &["RFC 4301 section 4.4.1", "GEN6 D3.6.4 section 2.3.2"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} cannot reach {what} over {family}.",
            expected: "{what} answers at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Compare what both gateways couple, then follow the traffic to the node that is named.",
        },
        Case {
            name: "flaky",
            finding: "{from} reaches {what} over {family} only some of the time.",
            expected: "{what} answers at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way of what carries the tunnel.",
        },
    ],
};

fn subjects(stage: &Stage) -> Vec<Named> {
    let mut named: Vec<_> = couples::of_stage(stage).iter().flat_map(echoes).collect();
    named.extend(services(stage));
    named
}

/// A small echo, and the largest that the tunnel takes whole.
fn echoes(couple: &Couple) -> [Named; 2] {
    let headers = HEADERS[usize::from(couple.inner() == Family::V6)];
    let largest = u16::try_from(couple.path.mtu.saturating_sub(headers)).unwrap_or(SMALL);
    [("small", SMALL), ("large", largest)].map(|(word, size)| {
        let question =
            Question::Ping { to: couple.path.destination, source: None, size, hop_limit: None };
        Named {
            subject: format!("{}, {word} echo", couple.subject()),
            what: format!("{} through {} with {word} packets", couple.to(), couple.end.tunnel),
            leg: Leg::new(couple.path.clone(), ask::probe(couple.from(), question)),
            severity: Severity::Critical,
            name: None,
        }
    })
}

/// What the flows let pass through tunnels, as the protocols of the services ask.
fn services(stage: &Stage) -> Vec<Named> {
    let inside: Vec<_> = stage.testbed.tunnels.values().map(|tunnel| &tunnel.inside).collect();
    let any = |_: &Node, _: &Node| true;
    let mut all = legs::of_exchanges(stage, Severity::Critical, any);
    all.retain(|named| named.leg.path.segments.iter().any(|segment| inside.contains(&segment)));
    all
}

//! `svc.radius-v6`: devices that ask an admission server for their users get an answer over every planned family.

use crate::{
    check::{
        Case, Text, UseCase,
        reaching::{self, Reaching},
    },
    model::service::ServiceKind,
};

/// The check.
pub(super) static RADIUS: Reaching = Reaching {
    text: &TEXT,
    subjects: |stage| reaching::by_flows(stage, ServiceKind::Radius),
    without: "no flow lets anybody ask an admission server in this phase",
};

static TEXT: Text = Text {
    id: "svc.radius-v6",
    title: "Admission over both families",
    section: "S2 Executive Summary",
    use_case: UseCase::NetworkServices,
    question: "Does the admission server let its user in for every device that may ask it, over every family that both \
               have?",
    good: "Every device gets its Access-Accept over every planned family.",
    references: &["RFC 2865", "RFC 3162", "RFC 3579 section 3.2"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} gets no Access-Accept from {what} over {family}.",
            expected: "An Access-Accept from {address}, signed with the common secret.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the server listen on the family, enter the IPv6 address of the device among its clients with \
                     the same secret (a server says nothing to clients that it does not know), and open the port on \
                     the way.",
        },
        Case {
            name: "flaky",
            finding: "{from} gets an Access-Accept from {what} over {family} only some of the time.",
            expected: "An Access-Accept from {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for several servers behind one address of which one is not in order.",
        },
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{family::Family, phase::Phase},
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&RADIUS);
    }

    #[test]
    fn a_server_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "radius", Family::V6);
        let found = fixture::complaints(&RADIUS, &network);
        let one = ("unreachable".to_owned(), "ns (udp/1812 over IPv6)".to_owned());
        assert!(!found.is_empty() && found.iter().all(|found| *found == one), "{found:?}");
    }
}

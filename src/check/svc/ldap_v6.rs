//! `svc.ldap-v6`: directories show who they are over every planned family, to everybody who is to ask them.

use crate::{
    check::{
        Case, Text, UseCase,
        reaching::{self, Reaching},
    },
    model::service::ServiceKind,
};

/// The check.
pub(super) static LDAP: Reaching = Reaching {
    text: &TEXT,
    subjects: |stage| reaching::by_flows(stage, ServiceKind::Ldap),
    without: "no flow lets anybody ask a directory in this phase",
};

static TEXT: Text = Text {
    id: "svc.ldap-v6",
    title: "Directory over both families",
    section: "S2 2.2.1",
    use_case: UseCase::NetworkServices,
    question: "Does the directory answer a search for its root DSE from everybody who may ask it, over every family that \
               both have?",
    good: "Everybody who may ask the directory gets its root DSE over every planned family.",
    references: &["RFC 4511", "RFC 4512 section 5.1", "RFC 7381 section 2.4.3"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} gets no answer from {what} over {family}.",
            expected: "The root DSE from {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the directory listen on the family, name it by its name and not by an address at whoever asks, \
                     and open the port on the way and in its access list.",
        },
        Case {
            name: "flaky",
            finding: "{from} gets an answer from {what} over {family} only some of the time.",
            expected: "The root DSE from {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a limit of connections at the directory.",
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
        fixture::assert_silent_when_healthy(&LDAP);
    }

    #[test]
    fn a_server_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "ldap", Family::V6);
        let found = fixture::complaints(&LDAP, &network);
        let one = ("unreachable".to_owned(), "ns (tcp/389 over IPv6)".to_owned());
        assert!(!found.is_empty() && found.iter().all(|found| *found == one), "{found:?}");
    }
}

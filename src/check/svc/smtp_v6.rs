//! `svc.smtp-v6`: mail servers greet everybody who may bring mail, and let them name themselves by an address of either
//! family.

use crate::{
    check::{
        Case, Text, UseCase,
        reaching::{self, Reaching},
    },
    model::service::ServiceKind,
};

/// The check.
pub(super) static SMTP: Reaching = Reaching {
    text: &TEXT,
    subjects: |stage| reaching::by_flows(stage, ServiceKind::Smtp),
    without: "no flow lets anybody bring mail in this phase",
};

static TEXT: Text = Text {
    id: "svc.smtp-v6",
    title: "Mail over both families",
    section: "S3",
    use_case: UseCase::NetworkServices,
    question: "Does the mail server greet everybody who may bring mail, and accept their EHLO with an address literal, \
               over every family that both have?",
    good: "Mail servers greet everybody who may bring mail over every planned family.",
    references: &["RFC 3974", "RFC 5321 section 4.1.3"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{what} does not take {from} as a bringer of mail over {family}.",
            expected: "220 from {address}, and 250 to EHLO with an address literal.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the mail server listen on the family and know its address literals; open the port on the way. \
                     Before mail is sent over IPv6: a PTR record for its address and an `ip6:` in the SPF record.",
        },
        Case {
            name: "flaky",
            finding: "{what} takes {from} as a bringer of mail over {family} only some of the time.",
            expected: "220 from {address}, and 250 to EHLO, every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a limit of connections at the mail server.",
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
        fixture::assert_silent_when_healthy(&SMTP);
    }

    #[test]
    fn a_server_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "smtp", Family::V6);
        let found = fixture::complaints(&SMTP, &network);
        let one = ("unreachable".to_owned(), "ns (tcp/25 over IPv6)".to_owned());
        assert!(!found.is_empty() && found.iter().all(|found| *found == one), "{found:?}");
    }
}

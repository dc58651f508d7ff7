//! `out.service-reach`: services are reached from the outside, at every address, in every planned family.

use crate::check::{Case, Text, UseCase, legs, legs::Named, pages::is_outside, reaching::Reaching};
use crate::{model::finding::Severity, stage::Stage};

/// The check.
pub(in crate::check) static SERVICE_REACH: Reaching = Reaching {
    text: &TEXT,
    subjects,
    without: "no flow lets external clients reach a service in this phase",
};

static TEXT: Text = Text {
    id: "out.service-reach",
    title: "Services from outside",
    section: "S2 2.1.1",
    use_case: UseCase::OutsideToInside,
    question: "Do external clients reach every published service at each of its addresses, in every family of the phase, \
               and does the service itself answer?",
    good: "Every service answers external clients in every planned family.",
    references: &["RFC 7381 section 2.4.3", "RFC 7381 section 3.2"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} cannot reach {what} over {family}.",
            expected: "{what} answers at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Follow the traffic to the node that is named: give it the rule, route or listener that it has in the \
                     other family.",
        },
        Case {
            name: "flaky",
            finding: "{from} reaches {what} over {family} only some of the time.",
            expected: "{what} answers at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way before judging anything else.",
        },
    ],
};

fn subjects(stage: &Stage) -> Vec<Named> {
    legs::of_exchanges(stage, Severity::Critical, |from, to| is_outside(from) && to.site.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network, node},
        model::{
            family::Family,
            phase::Phase,
            policy::{Action, Hook, Match, Rule},
        },
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&SERVICE_REACH);
    }

    #[test]
    fn a_missing_listener_is_found_at_the_server() {
        let network = Network::healthy(Phase::DualStack).deafen("portal", "https", Family::V6);
        let found = fixture::complaints(&SERVICE_REACH, &network);
        assert_eq!(
            found,
            [("unreachable".to_owned(), "portal (tcp/443 over IPv6)".to_owned())],
            "and nothing about HTTP or IPv4"
        );
    }

    #[test]
    fn a_rule_that_drops_is_found_at_the_firewall() {
        let network = Network::healthy(Phase::DualStack).with(|live| {
            let filter = &mut live.nodes.get_mut(&node("firewall")).unwrap().filter;
            let forward = filter.chains.iter_mut().find(|c| c.hook == Hook::Forward).unwrap();
            let port =
                Match::Port { transport: crate::model::service::Transport::Tcp, number: 443 };
            forward.rules.insert(
                0,
                Rule {
                    label: "planted".to_owned(),
                    matches: vec![Match::Family(Family::V6), port],
                    action: Action::Drop,
                },
            );
        });
        let found = fixture::complaints(&SERVICE_REACH, &network);
        assert_eq!(found, [("unreachable".to_owned(), "firewall (forwarding of IPv6)".to_owned())]);
    }

    #[test]
    fn silence_from_a_node_that_hears_nothing_at_all_is_not_a_failure_of_the_network() {
        use crate::model::answer::{Answer, Outcome};
        let network = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Connection { attempt, .. } | Answer::Echo { attempt } = answer {
                attempt.outcome = Outcome::TimedOut;
            }
        });
        let network = network.bend_tap(|_, reading| reading.alive_after = false);
        let judgements = network.ask(&[&SERVICE_REACH]);
        assert!(judgements.iter().all(|j| j.complaint.is_none()), "{judgements:#?}");
    }
}

//! `in.egress-parity`: users and servers of a site reach what the flows let them reach outside of it, small and large.

use crate::{
    check::{Case, Text, UseCase, ask, legs, legs::Named, reach::Leg, reaching::Reaching},
    model::{finding::Severity, phase::Phase, service::ServiceKind},
    stage::Stage,
};

/// The check.
pub(in crate::check) static EGRESS_PARITY: Reaching =
    Reaching { text: &TEXT, subjects, without: "no flow leaves a site in this phase" };

static TEXT: Text = Text {
    id: "in.egress-parity",
    title: "Services beyond the site",
    section: "S2 2.1.1",
    use_case: UseCase::InsideToOutside,
    question: "Do the nodes of a site reach what the flows let them reach outside of it, in every family of the phase, \
               with a small and with a large answer?",
    good: "Every outbound flow works in every planned family.",
    references: &["RFC 7381 section 2.4.3", "RFC 6092"],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{from} cannot reach {what} over {family}.",
            expected: "{what} answers at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Follow the traffic to the node that is named, then mend its route, rule or listener.",
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
    let severity =
        if stage.phase == Phase::Ipv6Only { Severity::Critical } else { Severity::Major };
    let small =
        legs::of_exchanges(stage, severity, |from, to| from.site.is_some() && from.site != to.site);
    let large: Vec<_> = small.iter().filter_map(|named| page(stage, named)).collect();
    small.into_iter().chain(large).collect()
}

/// The same with a whole page: about 20 kB, which no single packet holds.
fn page(stage: &Stage, named: &Named) -> Option<Named> {
    let node = &stage.testbed.nodes[named.leg.path.nodes.last()?];
    let port = named.leg.port?;
    let web = |kind| matches!(kind, ServiceKind::Http | ServiceKind::Https);
    let service = node.services.iter().find(|s| web(s.kind) && s.port == port.number)?;
    let path = &named.leg.path;
    let probe = ask::fetch(&named.leg.probe.from, service, path.destination, &service.path);
    Some(Named {
        subject: format!("{}/page", named.subject),
        what: format!("a page of {} of {}", service.name, node.name),
        leg: Leg::new(path.clone(), probe),
        ..named.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::{
            answer::{Answer, Outcome},
            family::Family,
        },
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&EGRESS_PARITY);
    }

    #[test]
    fn a_lost_default_route_is_found_at_the_node_that_lacks_it() {
        let network = Network::healthy(Phase::Ipv6Only).with(|live| {
            live.nodes.get_mut("resolver").unwrap().routes.clear();
        });
        let found = fixture::complaints(&EGRESS_PARITY, &network);
        assert!(!found.is_empty());
        for (case, culprit) in found {
            assert_eq!(case, "unreachable");
            assert!(culprit.starts_with("resolver ("), "{culprit}");
        }
    }

    #[test]
    fn a_page_that_stalls_is_a_matter_of_large_packets() {
        let network = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Page { attempt, page } = answer
                && attempt.family == Family::V6
            {
                attempt.outcome = Outcome::Stalled;
                *page = None;
            }
        });
        let complaints: Vec<_> =
            network.ask(&[&EGRESS_PARITY]).into_iter().filter_map(|j| j.complaint).collect();
        assert!(!complaints.is_empty());
        let large = Some(crate::model::finding::Packets::Large);
        assert!(complaints.iter().all(|c| c.scope.packets == large), "{complaints:#?}");
    }
}

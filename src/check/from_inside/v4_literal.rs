//! `in.v4-literal`: what users write as an IPv4 address works as long as IPv4 is planned, and not a phase longer.

use std::net::{IpAddr, SocketAddr};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        legs::{self, Named},
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Scope, Severity},
        name::NodeName,
        node::Role,
        phase::Phase,
        probe::{Hello, Probe, Question},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct V4Literal;

/// How many literals are tried.
const MOST: usize = 8;

static TEXT: Text = Text {
    id: "in.v4-literal",
    title: "IPv4 literals",
    section: "S2 3.5",
    use_case: UseCase::InsideToOutside,
    question: "Do connections to IPv4 literals work while IPv4 is planned, and come to nothing when it is not?",
    good: "IPv4 literals behave as the phase plans.",
    references: &["RFC 6586 section 6.1", "RFC 6877"],
    cases: &[
        Case {
            name: "answers",
            finding: "{from} still reaches {address} over IPv4 in the IPv6-only phase.",
            expected: "No way to any IPv4 address.",
            observed: "{observed}.",
            remedy: "Find the address and route that were left, and remove them.",
        },
        Case {
            name: "unreachable",
            finding: "{from} cannot reach the IPv4 literal {address}.",
            expected: "{what} answers at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Follow the traffic to the node that is named.",
        },
        Case {
            name: "flaky",
            finding: "{from} reaches the IPv4 literal {address} only some of the time.",
            expected: "{what} answers at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way before judging anything else.",
        },
    ],
};

impl Check for V4Literal {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        match stage.phase {
            Phase::Ipv6Only => vec![Experiment::of_probes(forbidden(stage))],
            _ => legs::ask(&allowed(stage)),
        }
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        match stage.phase {
            Phase::Ipv6Only => Vec::new(),
            _ => legs::follow_up(stage, seen, &allowed(stage)),
        }
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = match stage.phase {
            Phase::Ipv6Only => {
                forbidden(stage).iter().map(|p| absent(judge, stage, seen, p)).collect()
            }
            _ => legs::judge(judge, stage, seen, &allowed(stage)),
        };
        judge.or_not_applicable(found, "no user is to reach a service over IPv4")
    }
}

fn allowed(stage: &Stage) -> Vec<Named> {
    let all = legs::of_exchanges(stage, Severity::Major, |from, _| from.role == Role::Workplace);
    let v4 = all.into_iter().filter(|named| named.leg.family() == Family::V4);
    legs::sample(v4.collect(), MOST)
}

/// The same users and services by the IPv4 addresses that they had.
fn forbidden(stage: &Stage) -> Vec<Probe> {
    let before = Stage::new(&stage.testbed, Phase::DualStack);
    let knock = |named: Named| {
        let to = SocketAddr::new(named.leg.path.destination, named.leg.port?.number);
        let question = Question::Connect { to, source: None, hello: Hello::Nothing, watch: false };
        Some(ask::probe(&named.leg.probe.from, question))
    };
    allowed(&before).into_iter().filter_map(knock).collect()
}

fn absent(judge: Judge, stage: &Stage, seen: &Seen<'_>, probe: &Probe) -> Judgement {
    let to = probe.question.destination().unwrap_or(Family::V4.unspecified());
    let subject = format!("{}->{to}", probe.from);
    match seen.answer(probe) {
        None => judge.not_testable(subject, "the question was not sent", []),
        Some((id, answer)) if answer.is_answered() => {
            let observed = reading::describe(answer);
            judge.fail(subject, [id], complaint(stage, &probe.from, to, observed))
        }
        Some((id, answer)) => {
            judge.absent(subject, format!("no way over IPv4: {}", reading::describe(answer)), [id])
        }
    }
}

fn complaint(stage: &Stage, from: &NodeName, to: IpAddr, observed: String) -> Complaint {
    let owner = stage.testbed.owner(to).map(|(node, _)| node.name.clone());
    let scope = Scope {
        family: Some(Family::V4),
        from: Some(from.clone()),
        to: owner.clone(),
        nodes: [Some(from.clone()), owner].into_iter().flatten().collect(),
        ..Scope::default()
    };
    let args = [("from", from.to_string()), ("address", to.to_string()), ("observed", observed)];
    Complaint {
        severity: Severity::Critical,
        confidence: Confidence::High,
        bites_in: vec![stage.phase],
        ..reading::complaint(stage, "answers", Culprit::node(from, "IPv4"), scope, args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::answer::{Answer, Outcome},
    };

    #[test]
    fn a_healthy_network_is_silent_and_ipv6_only_really_tries() {
        fixture::assert_silent_when_healthy(&V4Literal);
        let network = Network::healthy(Phase::Ipv6Only);
        let judgements = network.ask(&[&V4Literal]);
        assert!(judgements[0].reason.starts_with("no way over IPv4"), "{judgements:?}");
    }

    #[test]
    fn ipv4_that_still_works_is_found() {
        let network = Network::healthy(Phase::Ipv6Only).bend(|_, answer| {
            if let Answer::Connection { attempt, .. } = answer {
                attempt.outcome = Outcome::Answered;
            }
        });
        let found = fixture::complaints(&V4Literal, &network);
        assert_eq!(found[0], ("answers".to_owned(), "workplace (IPv4)".to_owned()));
    }
}

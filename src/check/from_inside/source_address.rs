//! `in.source-address`: nodes send from an address that answers can come back to.

use std::net::IpAddr;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, legs,
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        phase::Phase,
        probe::{Probe, Question},
        verdict::Judgement,
    },
    stage::{Expect, Path, Stage},
};

/// The check.
pub(super) struct SourceAddress;

/// How many pairs of nodes are looked at.
const MOST: usize = 64;

static TEXT: Text = Text {
    id: "in.source-address",
    title: "Source addresses",
    section: "S4",
    use_case: UseCase::InsideToOutside,
    question: "Does every node send over IPv6 from a planned address of the link that it sends by?",
    good: "Every node sends from a planned address.",
    references: &["RFC 6724", "RFC 8028"],
    cases: &[Case {
        name: "foreign",
        finding: "{from} sends to {to} from {source}, which the plan does not give it.",
        expected: "A source among {planned}, or one formed from the prefix of {segment}.",
        observed: "The kernel chooses {source}.",
        remedy: "Remove the stale address, or correct the prefix that is announced on the link.",
    }],
};

struct Subject {
    path: Path,
    probe: Probe,
}

impl Check for SourceAddress {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        vec![Experiment::of_probes(subjects(stage).into_iter().map(|subject| subject.probe))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let found = subjects(stage).iter().map(|s| of_one(judge, stage, seen, s)).collect();
        judge.or_not_applicable(found, "no IPv6 traffic is planned in this phase")
    }
}

/// One destination for each pair of nodes that are to reach each other over IPv6.
fn subjects(stage: &Stage) -> Vec<Subject> {
    if stage.phase == Phase::Ipv4Only {
        return Vec::new();
    }
    let mut known = std::collections::BTreeSet::new();
    let mut found = Vec::new();
    for exchange in stage.exchanges() {
        for to in stage.targets(&exchange, Family::V6) {
            let Expect::Reach(path) = stage.expect(&exchange, to) else { continue };
            if known.insert((exchange.from.clone(), to)) {
                let probe = ask::probe(&exchange.from, Question::SourceFor { to });
                found.push(Subject { path, probe });
            }
        }
    }
    legs::sample(found, MOST)
}

fn of_one(judge: Judge, stage: &Stage, seen: &Seen<'_>, subject: &Subject) -> Judgement {
    let Subject { path, probe } = subject;
    let name = format!("{}->{}", probe.from, path.destination);
    let (id, source) = match seen.answer(probe) {
        Some((id, Answer::SourceFor { source: Some(source) })) => (id, *source),
        Some((id, Answer::SourceFor { source: None })) => {
            return judge.blocked(name, "the node has no route there", [id]);
        }
        Some((id, other)) => {
            let reason = other.not_asked().unwrap_or("the answer is of another kind");
            return judge.not_testable(name, reason, [id]);
        }
        None => return judge.not_testable(name, "the question was not sent", []),
    };
    if is_planned(stage, path, &probe.from, source) {
        return judge.pass(name, [id]);
    }
    judge.fail(name, [id], complaint(stage, subject, source))
}

/// A planned address of the node, or, where hosts form their own, any address in the prefix of the first link: a
/// temporary one (RFC 8981) is as good.
fn is_planned(
    stage: &Stage,
    path: &Path,
    from: &crate::model::name::NodeName,
    source: IpAddr,
) -> bool {
    let staged = &stage.nodes[from];
    let own = staged.interfaces.iter().flat_map(|i| &i.addresses);
    if own.into_iter().any(|address| address.ip() == source) {
        return true;
    }
    let first = path.segments.first();
    let on_first = staged.interfaces.iter().filter(|i| Some(&i.segment) == first);
    on_first.filter(|i| i.accepts_advertisements).any(|interface| {
        let prefix = stage.testbed.segments[&interface.segment].prefix(Family::V6);
        prefix.is_some_and(|prefix| prefix.contains(&source))
    })
}

fn complaint(stage: &Stage, subject: &Subject, source: IpAddr) -> Complaint {
    let Subject { path, probe } = subject;
    let own = stage.nodes[&probe.from].interfaces.iter().flat_map(|i| &i.addresses);
    let planned = own.filter(|a| a.family() == Family::V6).map(|a| a.ip().to_string());
    let args = [
        ("from", probe.from.to_string()),
        ("to", path.destination.to_string()),
        ("source", source.to_string()),
        ("planned", planned.collect::<Vec<_>>().join(", ")),
        ("segment", path.segments.first().map_or_else(String::new, ToString::to_string)),
    ];
    let scope = Scope {
        family: Some(Family::V6),
        from: Some(probe.from.clone()),
        nodes: path.nodes.clone(),
        segments: path.segments.clone(),
        carried: reading::carrier(path),
        packets: Some(Packets::RouterDiscovery),
        ..Scope::default()
    };
    Complaint {
        severity: Severity::Minor,
        confidence: Confidence::High,
        depth: Depth::Located,
        ..reading::complaint(
            stage,
            "foreign",
            Culprit::node(&probe.from, format!("address {source}")),
            scope,
            args,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{self, Network};

    fn from_workplace(source: &'static str) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            if let Answer::SourceFor { source: chosen } = answer
                && probe.from.as_str() == "workplace"
            {
                *chosen = Some(source.parse().unwrap());
            }
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&SourceAddress);
    }

    #[test]
    fn a_source_in_a_foreign_prefix_is_found_and_a_temporary_one_is_fine() {
        let found = fixture::complaints(&SourceAddress, &from_workplace("2001:db8:bad::7"));
        assert!(!found.is_empty());
        for one in found {
            assert_eq!(
                one,
                ("foreign".to_owned(), "workplace (address 2001:db8:bad::7)".to_owned())
            );
        }
        let found = fixture::complaints(&SourceAddress, &from_workplace("2001:db8:a::1234:5678"));
        assert_eq!(found, []);
    }
}

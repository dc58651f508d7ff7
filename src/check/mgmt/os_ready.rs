//! `mgmt.os-ready`: the management software works on its host with the families of the phase.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Product},
        reading::{self, Judge},
    },
    model::{
        answer::Answer,
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Scope},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct OsReady;

static TEXT: Text = Text {
    id: "mgmt.os-ready",
    title: "Host of the management software",
    section: "S2 2.3.1",
    use_case: UseCase::Management,
    question: "Does the management software work on its host with the families of the phase, asked over each of them?",
    good: "The management software works on its host, over every family of the phase.",
    references: &["RFC 8504 section 15", "RFC 6540"],
    cases: &[
        Case {
            name: "not-ready",
            finding: "The management software on {station} does not work on a host with {families}.",
            expected: "Asked at {at} over {family}, the software says what it is.",
            observed: "It says “{said}”.",
            remedy: "Ask the manufacturer for a version that runs on IPv6 alone. Until then keep an IPv4 address on the management \
                     station, and nowhere else.",
        },
        Case {
            name: "mute",
            finding: "The management software on {station} does not answer over {family}.",
            expected: "Asked at {at} over {family}, the software says what it is.",
            observed: "{said}.",
            remedy: "Look at the address of the station, at the socket of the software and at the filter before them.",
        },
    ],
};

impl Check for OsReady {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let subjects = subjects(stage);
        vec![Experiment::of_probes(subjects.iter().map(|(p, family)| p.about(*family).probe()))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subjects = subjects(stage);
        let judged = subjects.iter().map(|(p, family)| over(judge, stage, seen, p, *family));
        judge.or_not_applicable(judged.collect(), "no management software is planned in this phase")
    }
}

/// Every station over each of its families.
fn subjects(stage: &Stage) -> Vec<(Product<'_>, Family)> {
    let products = management::stations(stage);
    let all = Family::ALL.into_iter().flat_map(|f| products.iter().map(move |p| (*p, f)));
    all.filter(|(p, family)| stage.listens(p.station, p.manager, *family)).collect()
}

fn over(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    product: &Product<'_>,
    family: Family,
) -> Judgement {
    let subject = format!("{} over {family}", product.station.name);
    let talk = product.about(family);
    let (said, evidence) = match talk.heard(seen) {
        Ok(heard) => return judge.pass(subject, [heard.id]),
        Err(mute) => mute,
    };
    let answer = seen.answer(&talk.probe()).map(|(_, answer)| answer);
    let (refused, asked) = match answer {
        Some(Answer::Dialogue { attempt, replies }) => {
            (!replies.is_empty(), attempt.outcome.was_asked())
        }
        _ => (false, false),
    };
    if !asked {
        return judge.not_testable(subject, said, evidence);
    }
    let addresses = stage.service_addresses(product.station, product.manager, family);
    let live = Family::ALL
        .into_iter()
        .filter(|family| stage.listens(product.station, product.manager, *family));
    let live: crate::model::family::Families = live.collect();
    let args = [
        ("station", product.station.name.to_string()),
        ("families", if live.is_dual() { live.to_string() } else { format!("{live} alone") }),
        ("family", family.to_string()),
        ("at", addresses.first().map_or_else(String::new, ToString::to_string)),
        ("said", said),
    ];
    let (case, culprit, depth) = if refused {
        ("not-ready", product.culprit("management software"), Depth::Located)
    } else {
        ("mute", product.culprit(format!("management software over {family}")), Depth::Symptom)
    };
    let packets = product.scope().packets.filter(|_| refused);
    let scope = Scope { family: Some(family), packets, ..product.scope() };
    let complaint = Complaint {
        confidence: Confidence::High,
        depth,
        ..reading::complaint(stage, case, culprit, scope, args)
    };
    judge.fail(subject, evidence, complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::management::tests;
    use crate::{
        check::fixture,
        model::{management::Quirk, phase::Phase},
    };

    #[test]
    fn software_that_runs_on_any_host_is_silent() {
        tests::assert_silent(&OsReady);
    }

    #[test]
    fn software_that_needs_ipv4_is_found_where_there_is_none() {
        for (phase, wanted) in [(Phase::DualStack, 0), (Phase::Ipv6Only, 1)] {
            let network = tests::network(phase).quirk("manager", Quirk::NeedsIpv4);
            let found = fixture::complaints(&OsReady, &network);
            assert_eq!(found.len(), wanted, "{phase}: {found:?}");
            assert!(found.iter().all(|(case, _)| case == "not-ready"), "{found:?}");
        }
    }
}

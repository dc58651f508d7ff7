//! Section 2.3.5: what tunnels carried in each phase, in which family inside and outside, and what was seen beside them
//! (S2 sections 2.2.3 and 2.3.2).

use std::sync::Arc;

use super::{
    Page, Source,
    phrase::{self, words},
};
use crate::{
    check::couples::{self, Couple},
    model::{
        phase::Phase,
        verdict::{Judgement, Verdict},
    },
    report::document::Line,
    stage::Stage,
};

/// Phase, families, direction, and the verdicts.
type Row = [Line; 14];

pub(super) fn write(page: &mut Page, source: Source<'_>) {
    let testbed = Arc::new(source.run.testbed.clone());
    let walked = source.run.phases.iter();
    let rows: Vec<_> = walked
        .flat_map(|walked| rows(&walked.judgements, &Stage::new(&testbed, walked.phase)))
        .collect();
    if rows.is_empty() {
        return;
    }
    page.heading(4, "2.3.5 Tunnels");
    page.words(
        "One row for each direction of what a tunnel couples, by a host on either side. An echo that came back proves that \
         the tunnel carries; canaries that no tap outside saw, while both gateways counted them, prove that it carries \
         them encrypted; and the same with its keys being renewed and with the tunnel stopped, that nothing takes its place. What is \
         not coupled, and what no flow names, was tried at both gateways. Plain tunnels are named by their kind; what they carry \
         can be read on the way.",
    );
    let speeds: Vec<_> = source
        .run
        .phases
        .iter()
        .flat_map(|walked| speeds(walked.phase, &walked.judgements))
        .collect();
    page.table(
        "tunnels",
        "What tunnels carry, and what is seen beside them",
        [
            "Phase",
            "Family inside and outside",
            "From and to",
            "Small packets",
            "Large packets",
            "Largest packet",
            "ICMP errors",
            "Class and hops",
            "Nothing in clear",
            "Nothing while it is down",
            "New keys",
            "Second family outside",
            "Names",
            "Nothing but what is allowed",
        ],
        rows,
    );
    if speeds.is_empty() {
        return;
    }
    page.words(
        "How fast each family comes through the same tunnel says nothing by itself, since a lab is no network; the ratio of \
         both does.",
    );
    page.table(
        "tunnel-speeds",
        "One page through a tunnel over both families",
        ["Phase", "Tunnel and page", "Verdict", "What was seen"],
        speeds,
    );
}

/// What was said of the speed of tunnels, where there was something to compare.
fn speeds(phase: Phase, judgements: &[Judgement]) -> Vec<[Line; 4]> {
    let of_check = judgements.iter().filter(|judgement| {
        judgement.check == "vpn.performance-parity" && judgement.verdict != Verdict::NotApplicable
    });
    let ratio = |judgement: &Judgement| match &judgement.complaint {
        Some(complaint) => format!("{} times", complaint.args["ratio"]),
        None => judgement.reason.clone(),
    };
    of_check
        .map(|judgement| {
            [
                words(phase.to_string()),
                words(judgement.subject.clone()),
                vec![phrase::verdict(judgement.verdict)],
                words(ratio(judgement)),
            ]
        })
        .collect()
}

fn rows(judgements: &[Judgement], stage: &Stage) -> Vec<Row> {
    let row = |couple: &Couple| {
        let subject = couple.subject();
        let told = |check: &str, subject: &str| of(judgements, check, |known| known == subject);
        [
            words(stage.phase.to_string()),
            words(families(couple)),
            words(format!("{} to {}", couple.from(), couple.to())),
            told("vpn.matrix", &format!("{subject}, small echo")),
            told("vpn.matrix", &format!("{subject}, large echo")),
            told("vpn.inner-mtu", &subject),
            worst(judgements, "vpn.icmp-through", &subject),
            told("vpn.qos-and-hoplimit", &subject),
            told("vpn.no-clear", &subject),
            told("vpn.fail-open", &subject),
            told("vpn.rekey-both", &subject),
            told("vpn.outer-family-failover", &subject),
            told("vpn.dns-inside", &subject),
            worst(judgements, "vpn.policy-enforced", &subject),
        ]
    };
    couples::of_stage(stage).iter().map(row).collect()
}

/// `IPv6 in IPv4`, and what a tunnel that encrypts nothing is.
fn families(couple: &Couple) -> String {
    match couple.end.kind {
        kind if kind.is_encrypted() => couple.families(),
        kind => format!("{}, {kind}, not encrypted", couple.families()),
    }
}

/// The worst of what a check said of a couple and of its parts.
fn worst(judgements: &[Judgement], check: &str, couple: &str) -> Line {
    of(judgements, check, |subject| subject.starts_with(couple))
}

fn of(judgements: &[Judgement], check: &str, is_it: impl Fn(&str) -> bool) -> Line {
    let verdicts = judgements.iter().filter(|j| j.check == check && is_it(&j.subject));
    let rank = |verdict: &Verdict| (verdict.is_bad(), verdict.is_open(), *verdict);
    let worst = verdicts.map(|j| j.verdict).max_by_key(rank);
    worst.map_or_else(|| words("not asked"), |verdict| vec![phrase::verdict(verdict)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{CHECKS, fixture::Network};

    #[test]
    fn every_direction_of_every_couple_has_a_row_with_its_verdicts() {
        let text = include_str!("../../../testbed/fokus.toml");
        let testbed = crate::input::testbed("fokus.toml", text).expect("the reference testbed");
        let testbed = Arc::new(testbed);
        for (phase, families) in [
            (Phase::Ipv4Only, &["IPv4 in IPv4"][..]),
            (Phase::Partial, &["IPv4 in IPv4", "IPv6 in IPv4"]),
            (Phase::DualStack, &["IPv4 in IPv6", "IPv6 in IPv6"]),
            (Phase::Ipv6Only, &["IPv6 in IPv6"]),
        ] {
            let stage = Stage::new(&testbed, phase);
            let judgements = Network::of(stage.clone()).ask(CHECKS);
            let rows = rows(&judgements, &stage);
            assert_eq!(rows.len(), families.len() * 2, "{rows:?}");
            for family in families {
                let of = rows.iter().filter(|row| row[1] == words(*family));
                assert!(of.clone().count() == 2);
                assert!(
                    of.clone().all(|row| row[3] == vec![phrase::verdict(Verdict::Pass)]),
                    "{rows:?}"
                );
            }
        }
    }
}

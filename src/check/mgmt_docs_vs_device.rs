//! `mgmt.docs-vs-device`: what the manual claims about IPv6 against what the product does.

use super::{
    Case, Check, Text, UseCase,
    management::{self, Heard, Product},
    reading::{self, Judge},
};
use crate::{
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Severity},
        management::{About, Feature, Item, Manual, Proposal, Uploaded},
        phase::Phase,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct DocsVsDevice;

static TEXT: Text = Text {
    id: "mgmt.docs-vs-device",
    title: "Manual and device",
    section: "S2 2.3.1",
    use_case: UseCase::Management,
    question: "Does the product do what its manual claims about IPv6, and does the manual claim what the product does?",
    good: "The manual and the product say the same about IPv6.",
    references: &["RFC 7381 section 2.2.3", "S2 2.4"],
    cases: &[
        Case {
            name: "undocumented",
            finding: "The manual of the management software on {station} is behind the product: {features} work and are not in it.",
            expected: "The manual (edition {edition}) tells what {product} does.",
            observed: "It claims {claims}. Without a claim, but working: {features}.",
            remedy: "Ask the manufacturer for the newest documents, and write down edition and version together.",
        },
        Case {
            name: "overstated",
            finding: "The manual of the management software on {station} claims {features}, which the product does not do.",
            expected: "What the manual (edition {edition}) claims works in {product}.",
            observed: "It claims {claims}. Claimed, but not working: {features}.",
            remedy: "Trust what was tested. Ask the manufacturer for a version that does what the manual says.",
        },
    ],
};

impl Check for DocsVsDevice {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let products = management::stations(stage);
        let talks = products.iter().flat_map(|product| {
            let two = [product.entries(), product.configuration()];
            two.into_iter().chain(product.uploads()).map(|talk| talk.probe())
        });
        vec![Experiment::of_probes(talks)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        management::judge_entries(judge, stage, seen, |product, heard| {
            compare(judge, stage, seen, product, heard)
        })
    }
}

fn compare(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    product: &Product<'_>,
    heard: &Heard<'_>,
) -> Judgement {
    let subject = product.subject();
    let Some(manual) = heard.reply("manual").and_then(|(reply, _)| reply.value::<Manual>()) else {
        return judge.not_testable(subject, "the product shows no manual", [heard.id]);
    };
    let mut evidence = vec![heard.id];
    let measured: Vec<_> = Feature::ALL
        .into_iter()
        .filter_map(|feature| {
            let (works, id) = works(stage, seen, product, heard, feature)?;
            evidence.push(id);
            Some((feature, manual.claims.contains(&feature), works))
        })
        .collect();
    evidence.sort_unstable();
    evidence.dedup();
    let those = |documented: bool, working: bool| {
        let found = measured.iter().filter(|(_, d, w)| (*d, *w) == (documented, working));
        found.map(|(feature, ..)| feature.word()).collect::<Vec<_>>().join(", ")
    };
    let (undocumented, overstated) = (those(false, true), those(true, false));
    let (case, features, depth) = match (undocumented.as_str(), overstated.as_str()) {
        ("", "") => return judge.pass(subject, evidence),
        // What does not work has a finding of its own, which explains this one.
        ("", _) => ("overstated", overstated, Depth::Symptom),
        _ => ("undocumented", undocumented, Depth::Located),
    };
    let about = heard.reply("about").and_then(|(reply, _)| reply.value::<About>());
    let claims: Vec<_> = manual.claims.iter().map(|claim| claim.word()).collect();
    let args = [
        ("station", product.station.name.to_string()),
        ("features", features),
        ("edition", manual.edition),
        ("product", about.map_or_else(String::new, |a| format!("{} {}", a.product, a.version))),
        ("claims", if claims.is_empty() { "nothing".to_owned() } else { claims.join(", ") }),
    ];
    let complaint = Complaint {
        severity: Severity::Notice,
        confidence: Confidence::High,
        depth,
        bites_in: management::phases_with(stage, Family::V6),
        ..reading::complaint(stage, case, product.culprit("manual"), product.scope(), args)
    };
    judge.fail(subject, evidence, complaint)
}

/// Whether the product does something, where the phase lets it be seen.
fn works(
    stage: &Stage,
    seen: &Seen<'_>,
    product: &Product<'_>,
    entries: &Heard<'_>,
    feature: Feature,
) -> Option<(bool, EvidenceId)> {
    let talk = product.configuration();
    let configured = || talk.heard(seen).ok();
    match feature {
        Feature::TwoAddresses => {
            let heard = configured().filter(|_| product.is_planned_dual())?;
            Some((heard.is_done("addresses"), heard.id))
        }
        Feature::UploadsOverIpv6 => {
            let heard = configured().filter(|_| product.family == Family::V6)?;
            let went: Uploaded = heard.reply("upload")?.0.value()?;
            Some((Family::of(went.address) == Family::V6, heard.id))
        }
        Feature::RefusesMixedCouples => {
            product.unequal()?;
            Some((!entries.is_done("couple"), entries.id))
        }
        Feature::ProposesSameFamily => {
            let relations = product.relations();
            let relation = relations.iter().find(|relation| relation.family() == Family::V6)?;
            let (reply, _) = entries.reply(&management::proposal(relation.here))?;
            let proposal = reply.value::<Proposal>();
            let same = proposal.is_some_and(|p| Family::of_net(p.remote) == Family::V6);
            Some((same, entries.id))
        }
        Feature::KeepsIpv6Items => {
            let heard = configured()?;
            let v6 = |item: &Item| item.family() == Some(Family::V6);
            let entered: Vec<_> =
                product.items().iter().filter(|item| v6(item)).map(Item::canonical).collect();
            let kept = heard.draft("card again")?.canonical_items();
            let keeps = entered.iter().all(|item| kept.contains(item));
            (!entered.is_empty()).then_some((keeps, heard.id))
        }
        Feature::RunsWithoutIpv4 => (stage.phase == Phase::Ipv6Only).then_some((true, entries.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::management::tests, *};
    use crate::{
        check::{cause, fixture, mgmt_single_address_field::SingleAddressField},
        model::management::Quirk,
    };

    #[test]
    fn a_manual_that_says_what_the_product_does_is_silent() {
        tests::assert_silent(&DocsVsDevice);
    }

    #[test]
    fn an_old_manual_is_behind_the_product_in_every_phase() {
        for phase in Phase::ALL {
            let network = tests::network(phase).quirk("manager", Quirk::OldManual);
            let found = fixture::complaints(&DocsVsDevice, &network);
            let wanted = ("undocumented".to_owned(), "manager (manual)".to_owned());
            assert_eq!(found, [wanted], "{phase}");
        }
    }

    #[test]
    fn what_is_claimed_and_fails_is_a_symptom_of_the_failure() {
        let network = tests::network(Phase::DualStack).quirk("manager", Quirk::OneAddress);
        let judged = network.ask(&[&DocsVsDevice]);
        let complaint = judged[0].complaint.as_ref().expect("a complaint");
        assert_eq!(
            (complaint.case.as_str(), complaint.args["features"].as_str()),
            ("overstated", "two-addresses")
        );
        let judged = network.ask(&[&SingleAddressField, &DocsVsDevice]);
        let found = cause::findings(&[(Phase::DualStack, judged)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].check, "mgmt.single-address-field");
        assert_eq!(found[0].symptoms.len(), 1);
    }
}

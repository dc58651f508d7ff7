//! `mgmt.docs-vs-device`: what the manual claims about IPv6 against what the product does.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Heard, Product},
        reading::{self, Judge},
    },
    model::{
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Severity},
        management::{About, Claim, Feature, Item, Manual, Proposal, Uploaded},
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
            finding: "The manual of the management software on {station} is behind the product, which can do more than it says: {features}.",
            expected: "The manual ({edition}) tells what {product} does.",
            observed: "It claims {claims}. Without a claim, but working: {features}.",
            remedy: "Ask the manufacturer for the newest documents, and write down edition and version together.",
        },
        Case {
            name: "overstated",
            finding: "The manual of the management software on {station} claims {features}, which the product does not do.",
            expected: "What the manual ({edition}) claims works in {product}.",
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

    /// Whether the box itself answers over IPv6, where an upload went over IPv4.
    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let products = management::stations(stage).into_iter().filter(|product| {
            let heard = product.configuration().heard(seen).ok();
            let reply = heard.as_ref().and_then(|heard| heard.reply("upload"));
            let went = reply.and_then(|(reply, _)| reply.value::<Uploaded>());
            product.family == Family::V6 && went.is_some_and(|went| went.address.is_ipv4())
        });
        vec![Experiment::of_probes(products.flat_map(|product| product.controls(Family::V6)))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let mut judged = Vec::new();
        for product in management::stations(stage) {
            match product.entries().heard(seen) {
                Ok(heard) => judged.extend(compare(judge, stage, seen, &product, &heard)),
                Err((reason, evidence)) => {
                    judged.push(judge.not_testable(product.subject(), reason, evidence));
                }
            }
        }
        judge.or_not_applicable(judged, "no management software is planned in this phase")
    }
}

/// What is claimed and what works, each seen from the other.
fn compare(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    product: &Product<'_>,
    heard: &Heard<'_>,
) -> Vec<Judgement> {
    let subject = product.station.name.to_string();
    let Some(documents) = Documents::of(product, stage, heard) else {
        let reason = "the product shows no manual, and no `[[claim]]` of the testbed says what its documents claim";
        return vec![judge.not_testable(subject, reason, [heard.id])];
    };
    let mut evidence = vec![heard.id];
    let mut measured = Vec::new();
    for feature in Feature::ALL {
        let Some((works, id)) = works(stage, seen, product, heard, feature) else { continue };
        evidence.push(id);
        measured.push((feature.word(), documents.claim(feature), works));
    }
    evidence.sort_unstable();
    evidence.dedup();
    // What does not work has a finding of its own, which explains what is claimed of it.
    let sides = [
        ("undocumented", "what works", (false, true), "manual", Depth::Located),
        ("overstated", "what is claimed", (true, false), "claims of the manual", Depth::Symptom),
    ];
    let judged = sides.map(|(case, about, state, part, depth)| {
        let subject = format!("{subject}, {about}");
        let features = measured.iter().filter(|(_, claimed, works)| (*claimed, *works) == state);
        let features: Vec<_> = features.map(|(word, ..)| *word).collect();
        if features.is_empty() {
            return judge.pass(subject, evidence.clone());
        }
        let args = args(product, heard, &documents, &features);
        let complaint = Complaint {
            severity: Severity::Notice,
            confidence: Confidence::High,
            depth,
            bites_in: management::phases_with(stage, Family::V6),
            ..reading::complaint(stage, case, product.culprit(part), product.scope(), args)
        };
        judge.fail(subject, evidence.clone(), complaint)
    });
    judged.to_vec()
}

/// What the documents of a product say: those that the testbed quotes, or else the manual that the product shows.
struct Documents {
    edition: String,
    /// Each claim, and where it stands.
    says: Vec<(Feature, Option<String>)>,
}

impl Documents {
    fn of(product: &Product<'_>, stage: &Stage, heard: &Heard<'_>) -> Option<Self> {
        let about = |claim: &&Claim| claim.of == product.station.name;
        let quoted: Vec<_> = stage.testbed.claims.iter().filter(about).collect();
        if quoted.is_empty() {
            let manual: Manual = heard.reply("manual")?.0.value()?;
            let says = manual.claims.into_iter().map(|feature| (feature, None)).collect();
            return Some(Self { edition: format!("edition {}", manual.edition), says });
        }
        let mut documents: Vec<_> = quoted.iter().map(|claim| claim.document.as_str()).collect();
        documents.sort_unstable();
        documents.dedup();
        let places = |claim: &&Claim| {
            let place = claim.place.clone();
            claim.says.iter().map(move |says| (*says, place.clone())).collect::<Vec<_>>()
        };
        Some(Self { edition: documents.join("; "), says: quoted.iter().flat_map(places).collect() })
    }

    fn claim(&self, feature: Feature) -> bool {
        self.says.iter().any(|(claimed, _)| *claimed == feature)
    }

    /// The claims as a list, each with its place where that is known.
    fn claims(&self) -> String {
        let claims = self.says.iter().map(|(feature, place)| match place {
            Some(place) => format!("{} ({place})", feature.word()),
            None => feature.word().to_owned(),
        });
        let claims: Vec<_> = claims.collect();
        if claims.is_empty() { "nothing".to_owned() } else { claims.join(", ") }
    }
}

fn args(
    product: &Product<'_>,
    heard: &Heard<'_>,
    documents: &Documents,
    features: &[&str],
) -> [(&'static str, String); 5] {
    let about = heard.reply("about").and_then(|(reply, _)| reply.value::<About>());
    [
        ("station", product.station.name.to_string()),
        ("features", features.join(", ")),
        ("edition", documents.edition.clone()),
        ("product", about.map_or_else(String::new, |a| format!("{} {}", a.product, a.version))),
        ("claims", documents.claims()),
    ]
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
            // Where only IPv6 is live, one address is all that is needed.
            let needs_two = product.is_planned_dual() && stage.phase != Phase::Ipv6Only;
            let heard = configured().filter(|_| needs_two)?;
            Some((heard.is_done("addresses"), heard.id))
        }
        Feature::UploadsOverIpv6 => {
            let heard = configured().filter(|_| product.family == Family::V6)?;
            let went: Uploaded = heard.reply("upload")?.0.value()?;
            let over_v6 = Family::of(went.address) == Family::V6;
            // What a box does not answer, or not soon, no product uploads.
            (over_v6 || product.answers_soon(seen, Family::V6).is_ok())
                .then_some((over_v6, heard.id))
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
    use std::sync::Arc;

    use super::*;
    use crate::check::management::tests;
    use crate::{
        check::{
            cause,
            fixture::{self, Network},
            mgmt::single_address_field::SingleAddressField,
        },
        model::{answer::Answer, management::Quirk},
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

    /// The reference testbed with a document that says something of its product.
    fn quoting(says: &[&str]) -> Network {
        let claim = format!(
            "\n[[claim]]\nof = \"manager\"\ndocument = \"Administrator's guide, 2012\"\n\
             place = \"section 3.4\"\nsays = {says:?}\n"
        );
        let text = tests::REFERENCE.to_owned() + &claim;
        let testbed = crate::input::testbed("claimed.toml", &text).expect("it has no mistakes");
        Network::of(Stage::new(&Arc::new(testbed), Phase::DualStack))
    }

    #[test]
    fn what_the_testbed_quotes_counts_and_not_what_the_product_shows() {
        let all: Vec<_> = Feature::ALL.iter().map(|feature| feature.word()).collect();
        let network = quoting(&all).quirk("manager", Quirk::OldManual);
        assert_eq!(fixture::complaints(&DocsVsDevice, &network), []);

        let network = quoting(&["two-addresses"]);
        let judged = network.ask(&[&DocsVsDevice]);
        let complaint = judged[0].complaint.as_ref().expect("a complaint");
        assert_eq!(complaint.case, "undocumented");
        assert_eq!(complaint.args["edition"], "Administrator's guide, 2012");
        assert_eq!(complaint.args["claims"], "two-addresses (section 3.4)");
    }

    #[test]
    fn what_is_claimed_and_fails_is_a_symptom_of_the_failure() {
        let network = tests::network(Phase::DualStack).quirk("manager", Quirk::OneAddress);
        let judged = network.ask(&[&DocsVsDevice]);
        let complaint = judged[1].complaint.as_ref().expect("a complaint");
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

    #[test]
    fn an_upload_that_a_box_did_not_take_over_ipv6_is_no_claim_that_fails() {
        let slow = tests::network(Phase::DualStack).quirk("manager", Quirk::Ipv4First);
        let claims = |network: &Network| fixture::complaints(&DocsVsDevice, network);
        let overstated = ("overstated".to_owned(), "manager (claims of the manual)".to_owned());
        assert_eq!(claims(&slow), [overstated]);
        let slow = slow.bend(|_, answer| {
            if let Answer::Connection { attempt, .. } = answer
                && attempt.family == Family::V6
            {
                attempt.total_us = 1_500_000;
            }
        });
        assert_eq!(claims(&slow), []);
    }
}

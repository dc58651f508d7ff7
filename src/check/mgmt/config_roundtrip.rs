//! `mgmt.config-roundtrip`: what is entered into the management software is what the box has, also after it has started again.

use std::collections::BTreeSet;

use crate::{
    check::{
        Case, Check, Text, UseCase, exchanged,
        management::{self, Heard, Product},
        reading::{self, Judge},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth},
        management::Item,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct ConfigRoundtrip;

static TEXT: Text = Text {
    id: "mgmt.config-roundtrip",
    title: "Configuration there and back",
    section: "S2 2.2.4",
    use_case: UseCase::Management,
    question: "Is every item of a box's configuration (addresses, peers, routes, DNS, NTP, syslog, filters, couples) still \
               there on its card, after the box has started again, and after export and import as a file?",
    good: "What is entered is what the box has, also after it has started again.",
    references: &["S2 2.2.1", "RFC 5952"],
    cases: &[
        Case {
            name: "refused",
            finding: "The management software on {station} does not take {items}, which {device} needs.",
            expected: "Every item of the phase is taken when it is entered.",
            observed: "Over {family}, at {at}: “{said}”.",
            remedy: "Ask the manufacturer for a version that takes these items; until then keep them in a file of their own.",
        },
        Case {
            name: "lost",
            finding: "{device} has lost {items} {step}.",
            expected: "All {entered} items that were entered in {station}.",
            observed: "Over {family}, at {at}: {left} items are left {step}.",
            remedy: "Update the box. Until then keep the lost items in a file, and enter them again after each start.",
        },
    ],
};

impl Check for ConfigRoundtrip {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let products = management::of_stage(stage);
        vec![Experiment::of_probes(products.iter().map(|p| p.configuration().probe()))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let products = management::of_stage(stage);
        let judged = products.iter().flat_map(|product| of_product(judge, stage, seen, product));
        judge.or_not_applicable(judged.collect(), "no management software is planned in this phase")
    }
}

/// The judgements of a box: what its card keeps, what the menu took, and what a file keeps. Each of them can be wrong while
/// another is as well, and has its own culprit.
fn of_product(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    product: &Product<'_>,
) -> [Judgement; 3] {
    let [card, entry, file] = exchanged::kept(&product.station.name, &product.device.name);
    let heard = match product.configuration().heard(seen) {
        Ok(heard) => heard,
        Err((reason, evidence)) => {
            return [card, entry, file]
                .map(|subject| judge.not_testable(subject, reason.clone(), evidence.clone()));
        }
    };
    let judged = |subject, complaint| match complaint {
        Some(complaint) => judge.fail(subject, [heard.id], complaint),
        None => judge.pass(subject, [heard.id]),
    };
    let refusals = refusals(product, &heard);
    let lost = |steps| lost(stage, product, &heard, &refusals, steps);
    let on_card = match heard.refusal("upload") {
        Some(said) => {
            let reason = format!("the upload failed, so there is nothing to compare: {said}");
            judge.not_testable(card, reason, [heard.id])
        }
        None => judged(card, lost(ON_CARD)),
    };
    let in_file = match heard.refusal("file").filter(|_| !refusals.is_empty()) {
        Some(said) => {
            let reason = format!("what the menu refuses is refused in a file too: {said}");
            judge.blocked(file, reason, [heard.id])
        }
        None => judged(file, lost(IN_FILE)),
    };
    [on_card, judged(entry, refused(stage, product, &refusals)), in_file]
}

/// The items that were not taken when they were entered, and what was said.
fn refusals(product: &Product<'_>, heard: &Heard<'_>) -> Vec<(Item, String)> {
    let items = product.items().into_iter().enumerate();
    let refused = items.filter_map(|(at, item)| {
        heard.refusal(&format!("item {at}")).map(|said| (item.canonical(), said))
    });
    refused.collect()
}

fn refused(stage: &Stage, product: &Product<'_>, refusals: &[(Item, String)]) -> Option<Complaint> {
    let (_, said) = refusals.first()?;
    let items: BTreeSet<_> = refusals.iter().map(|(item, _)| item.clone()).collect();
    let args = [
        ("station", product.station.name.to_string()),
        ("device", product.device.name.to_string()),
        ("items", in_words(&items)),
        ("family", product.family.to_string()),
        ("at", product.address().to_string()),
        ("said", said.clone()),
    ];
    let culprit = product.culprit("entry of items");
    Some(found(stage, "refused", culprit, product, &items, args))
}

/// Calls after which a box is to have every item, and the step in words.
const ON_CARD: &[(&str, &str)] =
    &[("card", "after the upload"), ("card again", "after the box has started again")];
/// The same for a file, which needs no box.
const IN_FILE: &[(&str, &str)] = &[("file again", "after import and export as a file")];

/// Items that were taken and are gone at the first step at which any is.
fn lost(
    stage: &Stage,
    product: &Product<'_>,
    heard: &Heard<'_>,
    refusals: &[(Item, String)],
    steps: &[(&str, &str)],
) -> Option<Complaint> {
    let mut entered: BTreeSet<_> = product.items().iter().map(Item::canonical).collect();
    entered.retain(|item| refusals.iter().all(|(refused, _)| refused != item));
    steps.iter().find_map(|&(name, step)| {
        let shown = heard.draft(name).map(|d| d.canonical_items()).unwrap_or_default();
        let items: BTreeSet<_> =
            entered.iter().filter(|item| !shown.contains(item)).cloned().collect();
        if items.is_empty() {
            return None;
        }
        let args = [
            ("station", product.station.name.to_string()),
            ("device", product.device.name.to_string()),
            ("items", in_words(&items)),
            ("step", step.to_owned()),
            ("entered", entered.len().to_string()),
            ("left", shown.len().to_string()),
            ("family", product.family.to_string()),
            ("at", product.device_address().to_string()),
        ];
        let culprit = if name == "file again" {
            product.culprit("import and export of files")
        } else {
            Culprit::node(&product.device.name, "stored configuration")
        };
        Some(found(stage, "lost", culprit, product, &items, args))
    })
}

fn found<const N: usize>(
    stage: &Stage,
    case: &str,
    culprit: Culprit,
    product: &Product<'_>,
    items: &BTreeSet<Item>,
    args: [(&str, String); N],
) -> Complaint {
    let families: BTreeSet<_> = items.iter().filter_map(Item::family).collect();
    let family = families.first().copied().filter(|_| families.len() == 1);
    let bites_in = reading::bites(stage, family.unwrap_or(Family::V6));
    let complaint = reading::complaint(stage, case, culprit, product.scope(), args);
    Complaint { confidence: Confidence::High, depth: Depth::Located, bites_in, ..complaint }
}

/// `the NTP server 2001:db8::1`.
fn in_words(items: &BTreeSet<Item>) -> String {
    let words: Vec<_> =
        items.iter().map(|item| format!("the {} {}", item.kind.word(), item.value)).collect();
    words.join(", ")
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
    fn a_box_that_keeps_everything_is_silent() {
        tests::assert_silent(&ConfigRoundtrip);
    }

    #[test]
    fn the_configuration_has_items_of_every_kind_and_of_both_families() {
        let stage = Stage::new(&tests::reference(), Phase::DualStack);
        let products = management::of_stage(&stage);
        assert_eq!(products.len(), 2);
        let items: Vec<_> = products.iter().flat_map(Product::items).collect();
        let kinds: BTreeSet<_> = items.iter().map(|item| (item.kind, item.family())).collect();
        // The peer is given in the family that carries the tunnel.
        assert_eq!(kinds.len(), 15, "{kinds:?}");
    }

    #[test]
    fn an_item_that_is_refused_is_found_at_the_software_and_only_where_it_is_needed() {
        for (phase, wanted) in [(Phase::Ipv4Only, 0), (Phase::DualStack, 2), (Phase::Ipv6Only, 2)] {
            let network = tests::network(phase).quirk("manager", Quirk::NoIpv6Time);
            let found = fixture::complaints(&ConfigRoundtrip, &network);
            assert_eq!(found.len(), wanted, "{phase}: {found:?}");
            let culprit = ("refused".to_owned(), "manager (entry of items)".to_owned());
            assert!(found.iter().all(|one| *one == culprit), "{found:?}");
        }
    }

    #[test]
    fn what_the_software_refuses_hides_nothing_that_a_box_loses() {
        let network = tests::network(Phase::DualStack)
            .quirk("manager", Quirk::NoIpv6Time)
            .quirk("gateway-b", Quirk::LosesIpv6Directory);
        let found = fixture::complaints(&ConfigRoundtrip, &network);
        let of = |wanted: &str| found.iter().filter(|(case, _)| case == wanted).count();
        assert_eq!((of("refused"), of("lost")), (2, 1), "{found:?}");
        let lost = ("lost".to_owned(), "gateway-b (stored configuration)".to_owned());
        assert!(found.contains(&lost), "{found:?}");
    }

    #[test]
    fn a_lost_time_server_is_found_at_the_box_and_only_where_there_is_one() {
        for (phase, wanted) in [(Phase::Ipv4Only, 0), (Phase::DualStack, 1), (Phase::Ipv6Only, 1)] {
            let network = tests::network(phase).quirk("gateway-a", Quirk::LosesIpv6Time);
            let found = fixture::complaints(&ConfigRoundtrip, &network);
            assert_eq!(found.len(), wanted, "{phase}: {found:?}");
            let culprit = ("lost".to_owned(), "gateway-a (stored configuration)".to_owned());
            assert!(found.iter().all(|one| *one == culprit), "{found:?}");
        }
    }
}

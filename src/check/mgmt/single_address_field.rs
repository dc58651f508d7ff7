//! `mgmt.single-address-field`: a box can be given management addresses of both families.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Product},
        reading::Judge,
    },
    model::{
        evidence::Seen, experiment::Experiment, finding::Complaint, phase::Phase,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct SingleAddressField;

static TEXT: Text = Text {
    id: "mgmt.single-address-field",
    title: "Management addresses of both families",
    section: "S2 2.3.1",
    use_case: UseCase::Management,
    question: "Does the management software take an IPv4 and an IPv6 management address of a box, by its menu and from a file?",
    good: "A box is given management addresses of both families, and both are shown again.",
    references: &["S2 2.4"],
    cases: &[Case {
        name: "one",
        finding: "The management software on {station} takes one management address of a box, IPv4 or IPv6: dual-stack \
                  management cannot be configured in its menu.",
        expected: "{addresses} of {device}, entered in the menu, are both shown again.",
        observed: "Over {family}, at {at}: the menu says “{said}” and shows {shown}. {file}.",
        remedy: "Ask the manufacturer for a version with two fields. Until then import the configuration from a file, if that \
                 keeps both addresses; otherwise manage the box over IPv6 alone.",
    }],
};

impl Check for SingleAddressField {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let products = management::stations(stage);
        vec![Experiment::of_probes(products.iter().map(|p| p.configuration().probe()))]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let products = management::stations(stage);
        let judged = products.iter().map(|product| of_product(judge, stage, seen, product));
        judge.or_not_applicable(judged.collect(), "no management software is planned in this phase")
    }
}

fn of_product(judge: Judge, stage: &Stage, seen: &Seen<'_>, product: &Product<'_>) -> Judgement {
    let subject = product.subject();
    if !product.is_planned_dual() {
        let reason = "the plan gives the box management addresses of one family";
        return judge.not_applicable(subject, reason);
    }
    let heard = match product.configuration().heard(seen) {
        Ok(heard) => heard,
        Err((reason, evidence)) => return judge.not_testable(subject, reason, evidence),
    };
    let planned = product.planned_addresses();
    let shown = |name: &str| heard.draft(name).map(|draft| draft.addresses).unwrap_or_default();
    let keeps = |name: &str| planned.iter().all(|address| shown(name).contains(address));
    if heard.is_done("addresses") && keeps("draft") {
        return judge.pass(subject, [heard.id]);
    }
    if stage.phase == Phase::Ipv6Only {
        let reason = "the menu takes one address, and this phase needs one";
        return judge.info(subject, reason, [heard.id]);
    }
    let list = |addresses: &[std::net::IpAddr]| {
        let words: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        if words.is_empty() { "none".to_owned() } else { words.join(" and ") }
    };
    let file = if keeps("file again") {
        "Imported from a file, both addresses are kept"
    } else {
        "Imported from a file, both addresses are not kept either"
    };
    let args = [
        ("device", product.device.name.to_string()),
        ("addresses", list(&planned)),
        ("said", heard.refusal("addresses").unwrap_or_else(|| "nothing".to_owned())),
        ("shown", list(&shown("draft"))),
        ("file", file.to_owned()),
    ];
    let complaint = Complaint {
        bites_in: management::dual_phases(stage),
        ..product.complaint(stage, "one", "field for the management address", args)
    };
    judge.fail(subject, [heard.id], complaint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::management::tests;
    use crate::{check::fixture, model::management::Quirk};

    #[test]
    fn a_product_with_two_fields_is_silent() {
        tests::assert_silent(&SingleAddressField);
    }

    #[test]
    fn one_field_is_found_before_and_while_both_families_are_needed() {
        for phase in [Phase::Ipv4Only, Phase::Partial, Phase::DualStack] {
            let network = tests::network(phase).quirk("manager", Quirk::OneAddress);
            let judged = network.ask(&[&SingleAddressField]);
            let complaint = judged[0].complaint.as_ref().expect("a complaint");
            assert_eq!(complaint.case, "one");
            assert!(complaint.bites_in.contains(&Phase::DualStack), "{phase}");
            assert!(complaint.args["file"].ends_with("both addresses are kept"), "{phase}");
        }
        let network = tests::network(Phase::Ipv6Only).quirk("manager", Quirk::OneAddress);
        assert_eq!(fixture::complaints(&SingleAddressField, &network), []);
    }
}

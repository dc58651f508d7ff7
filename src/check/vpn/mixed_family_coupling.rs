//! `vpn.mixed-family-coupling`: an IPv4 subnet is never coupled with an IPv6 subnet.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Heard, Product},
        reading::Judge,
    },
    model::{
        evidence::Seen, experiment::Experiment, finding::Complaint, management::Pair,
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct MixedFamilyCoupling;

static TEXT: Text = Text {
    id: "vpn.mixed-family-coupling",
    title: "Couples of unequal families",
    section: "S2 2.3.2",
    use_case: UseCase::Policies,
    question: "Does the management software refuse to couple an IPv4 subnet with an IPv6 subnet, and at which step?",
    good: "A couple of unequal families is refused when it is entered.",
    references: &["RFC 4301 section 4.4.1.1"],
    cases: &[Case {
        name: "coupled",
        finding: "The management software on {station} lets {local} be coupled with {remote}, and complains {step}: no packet can \
                  ever match.",
        expected: "The couple is refused when it is entered.",
        observed: "Over {family}, at {at}: the couple was taken. {said}.",
        remedy: "Write one couple for each family, and look through all couples before they are made final.",
    }],
};

impl Check for MixedFamilyCoupling {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        management::ask_entries(stage)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        management::judge_entries(judge, stage, seen, |product, heard| {
            let subject = product.subject();
            let Some(pair) = product.unequal() else {
                let reason = "the tunnels of the box couple one family only";
                return judge.not_applicable(subject, reason);
            };
            if heard.is_done("couple") {
                judge.fail(subject, [heard.id], coupled(stage, product, heard, pair))
            } else {
                judge.pass(subject, [heard.id])
            }
        })
    }
}

fn coupled(stage: &Stage, product: &Product<'_>, heard: &Heard<'_>, pair: Pair) -> Complaint {
    let late = heard.refusal("couple final");
    let step = if late.is_some() { "only when all is made final" } else { "at no step" };
    let said = late.map_or_else(
        || "Nothing is said when the configuration is made final either".to_owned(),
        |said| format!("When the configuration is made final: “{said}”"),
    );
    let args =
        [("local", pair.local), ("remote", pair.remote), ("step", step.to_owned()), ("said", said)];
    Complaint {
        bites_in: management::dual_phases(stage),
        ..product.complaint(stage, "coupled", "entry of couples", args)
    }
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
    fn a_product_that_refuses_is_silent() {
        tests::assert_silent(&MixedFamilyCoupling);
    }

    #[test]
    fn a_couple_of_unequal_families_is_found_in_every_phase() {
        for phase in Phase::ALL {
            let network = tests::network(phase).quirk("manager", Quirk::MixedCouples);
            let found = fixture::complaints(&MixedFamilyCoupling, &network);
            assert_eq!(found, [("coupled".to_owned(), "manager (entry of couples)".to_owned())]);
        }
    }
}

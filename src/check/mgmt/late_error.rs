//! `mgmt.late-error`: what is no IPv6 address is refused when it is entered.

use crate::{
    check::{
        Case, Check, Text, UseCase,
        management::{self, Heard, NONSENSE, Product},
        reading::Judge,
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Severity},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct LateError;

static TEXT: Text = Text {
    id: "mgmt.late-error",
    title: "Wrong entries",
    section: "S2 2.3.2",
    use_case: UseCase::Management,
    question: "At which step does the management software refuse what is no IPv6 address: when it is entered, when the \
               configuration is made final, or never?",
    good: "What is no IPv6 address is refused when it is entered.",
    references: &["RFC 4291 section 2.2"],
    cases: &[Case {
        name: "late",
        finding: "The management software on {station} takes what is no IPv6 address, and complains {step}.",
        expected: "{entries} are refused when they are entered.",
        observed: "Over {family}, at {at}: {entries} were taken. {said}.",
        remedy: "Check addresses before they are entered, for example with `sixwalk plan`, and ask the manufacturer for a menu \
                 that does.",
    }],
};

impl Check for LateError {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        management::ask_entries(stage)
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        management::judge_entries(judge, stage, seen, |product, heard| {
            match late(stage, product, heard) {
                Some(complaint) => judge.fail(product.subject(), [heard.id], complaint),
                None => judge.pass(product.subject(), [heard.id]),
            }
        })
    }
}

fn late(stage: &Stage, product: &Product<'_>, heard: &Heard<'_>) -> Option<Complaint> {
    let taken: Vec<_> =
        NONSENSE.into_iter().filter(|value| heard.is_done(&format!("{value} entered"))).collect();
    let first = taken.first()?;
    let complaints = taken.iter().filter_map(|value| heard.refusal(&format!("{value} final")));
    let complaints: Vec<_> = complaints.collect();
    let step = match complaints.len() {
        0 => "at no step",
        n if n == taken.len() => "only when all is made final",
        _ => "of some only when all is made final, and of others at no step",
    };
    let said = complaints.first().map_or_else(
        || format!("Nothing is said of {first} when the configuration is made final"),
        |said| format!("When the configuration is made final: “{said}”"),
    );
    let entries: Vec<_> = taken.iter().map(|value| format!("`{value}`")).collect();
    let args = [("step", step.to_owned()), ("entries", entries.join(", ")), ("said", said)];
    Some(Complaint {
        severity: Severity::Minor,
        bites_in: management::phases_with(stage, Family::V6),
        ..product.complaint(stage, "late", "entry of addresses", args)
    })
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
    fn a_menu_that_reads_addresses_is_silent() {
        tests::assert_silent(&LateError);
    }

    #[test]
    fn a_late_complaint_is_found_in_every_phase() {
        for phase in Phase::ALL {
            let network = tests::network(phase).quirk("manager", Quirk::LateErrors);
            let found = fixture::complaints(&LateError, &network);
            let wanted = ("late".to_owned(), "manager (entry of addresses)".to_owned());
            assert_eq!(found, [wanted], "{phase}");
            let mixed = tests::network(phase).quirk("manager", Quirk::MixedCouples);
            assert_eq!(fixture::complaints(&LateError, &mixed), []);
        }
    }
}

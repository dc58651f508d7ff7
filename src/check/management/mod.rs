//! Management products: the stations whose software configures boxes, and what an operator says to them. Checks that look
//! at one property each share these conversations, so that each is held once.

mod product;
mod conversation;
mod said;
mod soon;

use crate::{
    check::reading::Judge,
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::{Families, Family},
        node::{Node, Role},
        phase::Phase,
        service::{Service, ServiceKind},
        verdict::Judgement,
    },
    stage::Stage,
};

pub(super) use conversation::{Conversation, Heard};
pub(super) use product::Product;
pub(super) use said::{NONSENSE, Try, proposal};
pub(super) use soon::SOON_US;

/// Every product of the stage with every box that it can speak to.
pub(super) fn of_stage(stage: &Stage) -> Vec<Product<'_>> {
    let mut found = Vec::new();
    for (station, manager) in offering(stage, ServiceKind::Manager) {
        if station.role != Role::ManagementStation {
            continue;
        }
        for (device, port) in offering(stage, ServiceKind::Box) {
            let mut families = Family::ALL.into_iter().rev().filter(|family| {
                stage.listens(station, manager, *family) && stage.listens(device, port, *family)
            });
            let Some(family) = families.next() else { continue };
            found.push(Product { stage, station, manager, device, port, family });
        }
    }
    found
}

/// Every product once, with the first of its boxes: for what the box has no part in.
pub(super) fn stations(stage: &Stage) -> Vec<Product<'_>> {
    let mut all = of_stage(stage);
    all.dedup_by(|other, first| other.station.name == first.station.name);
    all
}

/// Services of a kind with their nodes.
pub(super) fn offering(
    stage: &Stage,
    kind: ServiceKind,
) -> impl Iterator<Item = (&Node, &Service)> {
    stage.testbed.nodes.values().flat_map(move |node| {
        node.services.iter().filter(move |s| s.kind == kind).map(move |service| (node, service))
    })
}

/// What every check asks that looks at entries.
pub(super) fn ask_entries(stage: &Stage) -> Vec<Experiment> {
    vec![Experiment::of_probes(stations(stage).iter().map(|product| product.entries().probe()))]
}

/// The judgements of a check that looks at entries, one for each product.
pub(super) fn judge_entries<'s>(
    judge: Judge,
    stage: &'s Stage,
    seen: &Seen<'_>,
    of: impl Fn(&Product<'s>, &Heard<'_>) -> Judgement,
) -> Vec<Judgement> {
    let judged = stations(stage).into_iter().map(|product| match product.entries().heard(seen) {
        Ok(heard) => of(&product, &heard),
        Err((reason, evidence)) => judge.not_testable(product.subject(), reason, evidence),
    });
    judge.or_not_applicable(judged.collect(), "no management software is planned in this phase")
}

/// The phases from now on in which a family is live.
pub(super) fn phases_with(stage: &Stage, family: Family) -> Vec<Phase> {
    phases_that(stage, |families| families.has(family))
}

/// The phases in which trouble hurts that needs both families at once, the present one first if it is one.
pub(super) fn dual_phases(stage: &Stage) -> Vec<Phase> {
    phases_that(stage, Families::is_dual)
}

fn phases_that(stage: &Stage, permit: impl Fn(Families) -> bool) -> Vec<Phase> {
    let all = std::iter::once(stage.phase).chain(stage.phase.later());
    all.filter(|phase| permit(phase.permits())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use crate::{
        check::{Check, fixture::Network},
        model::{phase::Phase, testbed::Testbed, verdict::Verdict},
        stage::Stage,
    };

    pub(in crate::check) const REFERENCE: &str = include_str!("../../../testbed/fokus.toml");

    /// The reference testbed, which has a product.
    pub(in crate::check) fn reference() -> Arc<Testbed> {
        Arc::new(crate::input::testbed("fokus.toml", REFERENCE).expect("the reference testbed"))
    }

    /// The reference testbed in a phase, as planned.
    pub(in crate::check) fn network(phase: Phase) -> Network {
        Network::of(Stage::new(&reference(), phase))
    }

    /// A check is content in every phase.
    #[track_caller]
    pub(in crate::check) fn assert_silent(check: &dyn Check) {
        for phase in Phase::ALL {
            let judgements = network(phase).ask(&[check]);
            assert!(!judgements.is_empty(), "{phase}");
            for judgement in judgements {
                let open = [Verdict::NotTestable, Verdict::HarnessError, Verdict::Blocked];
                let bad = judgement.verdict.is_bad() || open.contains(&judgement.verdict);
                assert!(!bad, "{phase}: {judgement:#?}");
            }
        }
    }
}

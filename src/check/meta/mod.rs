//! The harness itself: that a stage has settled, that nothing of the one before is left, and that what is measured can be measured.

mod harness;
mod plan_vs_topology;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &harness::Settled,
    &harness::NoResidue,
    &harness::ControlProbe,
    &harness::FamilyProof,
    &plan_vs_topology::PlanVsTopology,
    &harness::Repeatable,
];

//! `ux.`: what a user feels.

mod family_truth;
mod response_time_parity;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] =
    &[&family_truth::FamilyTruth, &response_time_parity::ResponseTime];

//! `in.`: from workplaces to services, inside and outside (S2 2.1.1, "inside to outside").

pub(super) mod egress_parity;
mod no_ipv4_left;
mod source_address;
mod v4_literal;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &egress_parity::EGRESS_PARITY,
    &no_ipv4_left::NoIpv4Left,
    &source_address::SourceAddress,
    &v4_literal::V4Literal,
];

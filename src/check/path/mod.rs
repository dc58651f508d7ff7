//! `path.`: what ways through the network do with packets.

pub(super) mod pmtu;
mod trace_parity;
mod class;
mod delivery;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &pmtu::Pmtu,
    &pmtu::Blackhole,
    &trace_parity::TraceParity,
    &class::TrafficClass,
    &delivery::Delivery,
];

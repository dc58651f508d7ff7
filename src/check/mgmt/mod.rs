//! `mgmt.`: the interfaces and products by which devices are managed (S2 2.2.4, 2.3.1).

pub(super) mod reach_both;
mod single_address_field;
mod config_roundtrip;
mod family_fallback_order;
mod late_error;
mod os_ready;
mod docs_vs_device;
mod plane_isolation;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &reach_both::MGMT_REACH,
    &single_address_field::SingleAddressField,
    &config_roundtrip::ConfigRoundtrip,
    &family_fallback_order::FallbackOrder,
    &late_error::LateError,
    &os_ready::OsReady,
    &docs_vs_device::DocsVsDevice,
    &plane_isolation::PlaneIsolation,
];

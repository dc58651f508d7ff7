//! `log.`: what is logged of a request, from the service to the page that a user sees (S2 4.2).

pub(super) mod trail;

mod kept;
mod ui_last_logins;
mod host_correlation;
pub(super) mod client_behind_proxy;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &kept::FAMILY_CAPTURED,
    &kept::NOT_CUT,
    &kept::CANONICAL,
    &ui_last_logins::LastLogIns,
    &client_behind_proxy::ClientBehindProxy,
    &host_correlation::HostCorrelation,
];

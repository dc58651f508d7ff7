//! `out.`: from external clients to what is published (S2 2.1.1, "outside to inside").

pub(super) mod service_reach;
mod port_parity;
mod content_parity;
mod literal_url;
mod redirect_and_subresources_v6;
mod v4_front_for_v6_only;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &service_reach::SERVICE_REACH,
    &port_parity::PortParity,
    &content_parity::ContentParity,
    &literal_url::LiteralUrl,
    &redirect_and_subresources_v6::References,
    &v4_front_for_v6_only::FrontForOthers,
];

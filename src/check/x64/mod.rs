//! `x64.`: translation between the families (RFC 6146, RFC 7915).

mod reach;
mod pmtu_and_fragments;
mod policy_bypass;
mod log_mapping;
mod he_confusion;
mod timers;
mod udp_silence;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &reach::Reach,
    &pmtu_and_fragments::PmtuAndFragments,
    &policy_bypass::PolicyBypass,
    &log_mapping::LogMapping,
    &he_confusion::Confusion,
    &timers::TimersKept,
    &udp_silence::UdpSilence,
];

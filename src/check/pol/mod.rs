//! `pol.`: the policies of firewalls and services, as written and as they work.

mod difference;
mod visitors;

pub(super) mod rule_parity_static;
mod rule_parity_dynamic;
pub(super) mod default_deny_v6;
mod icmpv6_musts;
mod nd_and_mld_not_filtered_on_link;
mod anti_spoof;
mod tunnels_blocked;
mod mapped_and_textual_acl;
pub(super) mod lockout_granularity;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &rule_parity_static::RuleParityStatic,
    &rule_parity_dynamic::RuleParityDynamic,
    &default_deny_v6::DefaultDenyV6,
    &icmpv6_musts::Icmpv6Musts,
    &nd_and_mld_not_filtered_on_link::NotFilteredOnLink,
    &anti_spoof::AntiSpoof,
    &tunnels_blocked::TunnelsBlocked,
    &mapped_and_textual_acl::AccessLists,
    &lockout_granularity::LockoutGranularity,
];

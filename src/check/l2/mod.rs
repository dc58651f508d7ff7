//! `l2.`: what happens on one link: Router Advertisements, neighbours, addresses.

mod ra_plan;
mod rogue_ra;
mod ra_guard;
mod ra_lifetime_switchover;
mod prefix_plan;
mod rogue_dhcp;
mod dad;
pub(super) mod unplanned_v6;
mod server_address_stability;
mod neighbour_path;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &ra_plan::RaPlan,
    &rogue_ra::RogueRa,
    &ra_guard::RaGuard,
    &ra_lifetime_switchover::Switchover,
    &rogue_dhcp::RogueDhcp,
    &prefix_plan::PrefixPlan,
    &dad::Dad,
    &unplanned_v6::UnplannedV6,
    &server_address_stability::ServerAddressStability,
    &neighbour_path::NeighbourPath,
];

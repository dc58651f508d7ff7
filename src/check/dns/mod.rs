//! `dns.` and `dns64.`: names, as those who ask for them learn them.

mod aaaa_parity;
pub(super) mod aaaa_dead;
mod aaaa_bogus;
mod wrong_answers;
mod server_listens;
mod large_answer_v6;
mod ptr_v6;
mod resolver_reaches_v6_only_zone;
mod svcb_hints;
mod view_parity;
mod search_and_order;
mod dns64_synth;
mod dns64_prefix_discovery;

use super::Check;

/// In the order of the report.
pub(super) const CHECKS: &[&dyn Check] = &[
    &aaaa_parity::AaaaParity,
    &aaaa_dead::AaaaDead,
    &aaaa_bogus::AaaaBogus,
    &wrong_answers::AaaaRcode,
    &wrong_answers::AaaaSilent,
    &wrong_answers::ABreaksV6,
    &server_listens::ServerListens,
    &large_answer_v6::LargeAnswer,
    &ptr_v6::Ptr,
    &resolver_reaches_v6_only_zone::ReachesZones,
    &svcb_hints::Hints,
    &view_parity::ViewParity,
    &search_and_order::SearchAndOrder,
    &dns64_synth::Synth,
    &dns64_prefix_discovery::PrefixDiscovery,
];

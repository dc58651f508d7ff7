//! Checks: one file each (or one file for a small family). A check says what to ask in a stage, and judges what came
//! back. It is pure: no I/O, no clock. To add one, write its file and name it twice below.

pub mod cause;
pub mod ask;
pub mod reading;
pub mod reach;
pub mod advertisement;
mod carriage;
pub mod couples;
pub mod crossing;
pub mod passage;
pub mod difference;
pub mod icmp_error;
mod tapped;
pub mod error_trail;
pub mod hops;
pub mod knock;
mod reaching;
mod log_trail;
pub mod legs;
mod management;
pub mod names;
pub mod neighbour;
mod pages;
mod fronted;
pub mod sockets;
pub mod visitors;
pub mod translated;
pub mod stream;
pub mod dhcp;

mod meta;
mod meta_plan_vs_topology;
mod dns_aaaa_parity;
mod dns_aaaa_dead;
mod dns_aaaa_bogus;
mod dns_wrong_answers;
mod dns_server_listens;
mod dns_large_answer_v6;
mod dns_ptr_v6;
mod dns_resolver_reaches_v6_only_zone;
mod dns_svcb_hints;
mod dns_view_parity;
mod dns_search_and_order;
mod dns64_synth;
mod dns64_prefix_discovery;
mod in_egress_parity;
mod in_no_ipv4_left;
mod in_source_address;
mod in_v4_literal;
mod out_service_reach;
mod out_port_parity;
mod out_content_parity;
mod out_literal_url;
mod out_redirect_and_subresources_v6;
mod out_v4_front_for_v6_only;
mod svc_listen_families;
mod svc_hostkey_parity;
mod svc_ntp_v6;
mod svc_ldap_v6;
mod svc_syslog_v6;
mod svc_dhcp;
mod svc_snmp_v6;
mod svc_radius_v6;
mod svc_smtp_v6;
mod svc_backend_flows;
mod svc_multicast;
mod log_kept;
mod log_ui_last_logins;
mod log_client_behind_proxy;
mod mgmt_reach_both;
mod mgmt_single_address_field;
mod mgmt_config_roundtrip;
mod mgmt_family_fallback_order;
mod mgmt_late_error;
mod mgmt_os_ready;
mod mgmt_docs_vs_device;
mod mgmt_plane_isolation;
mod pol_rule_parity_static;
mod pol_rule_parity_dynamic;
mod pol_default_deny_v6;
mod pol_icmpv6_musts;
mod pol_nd_and_mld_not_filtered_on_link;
mod pol_anti_spoof;
mod pol_tunnels_blocked;
mod pol_mapped_and_textual_acl;
mod pol_lockout_granularity;
mod vpn_matrix;
mod vpn_no_clear;
mod vpn_policy_enforced;
mod vpn_inner_mtu;
mod vpn_icmp_through;
mod vpn_qos_and_hoplimit;
mod vpn_dns_inside;
mod vpn_rekey_both;
mod vpn_performance_parity;
mod vpn_outer_family_failover;
mod vpn_mixed_family_coupling;
mod vpn_default_subnet_family;
mod vpn_plug_and_play;
mod x64_reach;
mod x64_pmtu_and_fragments;
mod x64_policy_bypass;
mod x64_log_mapping;
mod x64_he_confusion;
mod x64_timers;
mod l2_ra_plan;
mod l2_rogue_ra;
mod l2_ra_guard;
mod l2_ra_lifetime_switchover;
mod l2_prefix_plan;
mod l2_rogue_dhcp;
mod l2_dad;
mod l2_unplanned_v6;
mod l2_server_address_stability;
mod l2_neighbour_path;
mod path_pmtu;
mod path_trace_parity;
mod path_class;
mod path_delivery;
mod ux_family_truth;
mod ux_response_time_parity;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod policy_tests;

use crate::{
    model::{evidence::Seen, experiment::Experiment, verdict::Judgement},
    stage::Stage,
};

/// A question that is asked in every phase.
pub trait Check: Sync {
    /// What it is called, what it looks at, and its sentences.
    fn text(&self) -> &'static Text;

    /// What is to be done in this stage. May be empty: then `judge` says why (not applicable, not testable).
    fn ask(&self, stage: &Stage) -> Vec<Experiment>;

    /// What is to be done once the first answers are known: repetitions, controls, the search for the culprit. Asked
    /// twice at most; probes already sent are not sent again.
    fn follow_up(&self, _stage: &Stage, _seen: &Seen<'_>) -> Vec<Experiment> {
        Vec::new()
    }

    /// What the answers mean. Every subject gets a verdict; a phase in which the check has no subject gets one
    /// judgement that says so.
    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement>;
}

/// The words of a check. Sentences hold `{name}` for the arguments of a complaint.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// The stable id, for example `dns.aaaa-parity`.
    pub id: &'static str,
    /// A short label for tables.
    pub title: &'static str,
    /// The section of the source documents that it serves, for example `S2 2.1.1`.
    pub section: &'static str,
    /// One of the five basic use cases of S2 section 2.1.1, or the harness itself.
    pub use_case: UseCase,
    /// What is looked at, in one sentence.
    pub question: &'static str,
    /// The verdict when all is well, in one sentence.
    pub good: &'static str,
    /// RFCs and other documents.
    pub references: &'static [&'static str],
    /// What can be wrong.
    pub cases: &'static [Case],
}

/// One way in which a check fails.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The name that a complaint gives, for example `dead`.
    pub name: &'static str,
    /// The verdict in one sentence.
    pub finding: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// What was observed.
    pub observed: &'static str,
    /// What to do about it. General advice.
    pub remedy: &'static str,
}

/// The basic use cases of S2 section 2.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum UseCase {
    /// The harness checks itself.
    Harness,
    /// "Connecting from workplace systems to the Internet."
    InsideToOutside,
    /// "Connecting from external clients to internal services."
    OutsideToInside,
    /// "Communication to network infrastructure services (e.g. DNS)."
    NetworkServices,
    /// "Administrative access for configuration and management of devices."
    Management,
    /// "Adaptation of existing policies and/or creation of new policies."
    Policies,
}

impl UseCase {
    /// All, in the order of S2, the harness first.
    pub const ALL: [Self; 6] = [
        Self::Harness,
        Self::InsideToOutside,
        Self::OutsideToInside,
        Self::NetworkServices,
        Self::Management,
        Self::Policies,
    ];

    /// The words of S2.
    pub fn title(self) -> &'static str {
        match self {
            Self::Harness => "The test harness itself",
            Self::InsideToOutside => "Inside to outside",
            Self::OutsideToInside => "Outside to inside",
            Self::NetworkServices => "Network services",
            Self::Management => "Management interfaces",
            Self::Policies => "Configuration of (security) policies",
        }
    }
}

/// Every check, in the order of the report.
pub static CHECKS: &[&dyn Check] = &[
    &meta::Settled,
    &meta::NoResidue,
    &meta::ControlProbe,
    &meta::FamilyProof,
    &meta_plan_vs_topology::PlanVsTopology,
    &meta::Repeatable,
    &dns_aaaa_parity::AaaaParity,
    &dns_aaaa_dead::AaaaDead,
    &dns_aaaa_bogus::AaaaBogus,
    &dns_wrong_answers::AaaaRcode,
    &dns_wrong_answers::AaaaSilent,
    &dns_wrong_answers::ABreaksV6,
    &dns_server_listens::ServerListens,
    &dns_large_answer_v6::LargeAnswer,
    &dns_ptr_v6::Ptr,
    &dns_resolver_reaches_v6_only_zone::ReachesZones,
    &dns_svcb_hints::Hints,
    &dns_view_parity::ViewParity,
    &dns_search_and_order::SearchAndOrder,
    &dns64_synth::Synth,
    &dns64_prefix_discovery::PrefixDiscovery,
    &in_egress_parity::EGRESS_PARITY,
    &in_no_ipv4_left::NoIpv4Left,
    &in_source_address::SourceAddress,
    &in_v4_literal::V4Literal,
    &out_service_reach::SERVICE_REACH,
    &out_port_parity::PortParity,
    &out_content_parity::ContentParity,
    &out_literal_url::LiteralUrl,
    &out_redirect_and_subresources_v6::References,
    &out_v4_front_for_v6_only::FrontForOthers,
    &svc_listen_families::ListenFamilies,
    &svc_hostkey_parity::HostkeyParity,
    &svc_ntp_v6::NTP,
    &svc_ldap_v6::LDAP,
    &svc_syslog_v6::Syslog,
    &svc_dhcp::Dhcp,
    &svc_snmp_v6::Snmp,
    &svc_radius_v6::RADIUS,
    &svc_smtp_v6::SMTP,
    &svc_backend_flows::BACKEND_FLOWS,
    &svc_multicast::Multicast,
    &log_kept::FAMILY_CAPTURED,
    &log_kept::NOT_CUT,
    &log_kept::CANONICAL,
    &log_ui_last_logins::LastLogIns,
    &log_client_behind_proxy::ClientBehindProxy,
    &mgmt_reach_both::MGMT_REACH,
    &mgmt_single_address_field::SingleAddressField,
    &mgmt_config_roundtrip::ConfigRoundtrip,
    &mgmt_family_fallback_order::FallbackOrder,
    &mgmt_late_error::LateError,
    &mgmt_os_ready::OsReady,
    &mgmt_docs_vs_device::DocsVsDevice,
    &mgmt_plane_isolation::PlaneIsolation,
    &pol_rule_parity_static::RuleParityStatic,
    &pol_rule_parity_dynamic::RuleParityDynamic,
    &pol_default_deny_v6::DefaultDenyV6,
    &pol_icmpv6_musts::Icmpv6Musts,
    &pol_nd_and_mld_not_filtered_on_link::NotFilteredOnLink,
    &pol_anti_spoof::AntiSpoof,
    &pol_tunnels_blocked::TunnelsBlocked,
    &pol_mapped_and_textual_acl::AccessLists,
    &pol_lockout_granularity::LockoutGranularity,
    &vpn_matrix::MATRIX,
    &vpn_no_clear::NoClear,
    &vpn_no_clear::FailOpen,
    &vpn_policy_enforced::PolicyEnforced,
    &vpn_inner_mtu::InnerMtu,
    &vpn_icmp_through::IcmpThrough,
    &vpn_qos_and_hoplimit::QosAndHopLimit,
    &vpn_dns_inside::DnsInside,
    &vpn_rekey_both::RekeyBoth,
    &vpn_performance_parity::PerformanceParity,
    &vpn_outer_family_failover::OuterFamilyFailover,
    &vpn_mixed_family_coupling::MixedFamilyCoupling,
    &vpn_default_subnet_family::DefaultSubnetFamily,
    &vpn_plug_and_play::PlugAndPlay,
    &x64_reach::Reach,
    &x64_pmtu_and_fragments::PmtuAndFragments,
    &x64_policy_bypass::PolicyBypass,
    &x64_log_mapping::LogMapping,
    &x64_he_confusion::Confusion,
    &x64_timers::TimersKept,
    &l2_ra_plan::RaPlan,
    &l2_rogue_ra::RogueRa,
    &l2_ra_guard::RaGuard,
    &l2_ra_lifetime_switchover::Switchover,
    &l2_rogue_dhcp::RogueDhcp,
    &l2_prefix_plan::PrefixPlan,
    &l2_dad::Dad,
    &l2_unplanned_v6::UnplannedV6,
    &l2_server_address_stability::ServerAddressStability,
    &l2_neighbour_path::NeighbourPath,
    &path_pmtu::Pmtu,
    &path_pmtu::Blackhole,
    &path_trace_parity::TraceParity,
    &path_class::TrafficClass,
    &path_delivery::Delivery,
    &ux_family_truth::FamilyTruth,
    &ux_response_time_parity::ResponseTime,
];

/// The words of a check.
pub fn text(id: &str) -> Option<&'static Text> {
    CHECKS.iter().map(|check| check.text()).find(|text| text.id == id)
}

impl Text {
    /// The words of one of its cases.
    pub fn case(&self, name: &str) -> Option<&'static Case> {
        self.cases.iter().find(|case| case.name == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique() {
        let mut seen = BTreeSet::new();
        for check in CHECKS {
            assert!(seen.insert(check.text().id), "check id `{}` is taken twice", check.text().id);
        }
    }

    #[test]
    fn every_check_has_its_words() {
        for check in CHECKS {
            let text = check.text();
            for words in [text.title, text.section, text.question, text.good] {
                assert!(!words.is_empty(), "`{}` lacks words", text.id);
            }
            assert!(!text.cases.is_empty(), "`{}` cannot fail", text.id);
        }
    }
}

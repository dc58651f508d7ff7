//! Checks: one file each (or one file for a small family). A check says what to ask in a stage, and judges what came
//! back. It is pure: no I/O, no clock. To add one, write its file and name it twice below.

pub mod cause;
pub mod ask;
pub mod reading;
pub mod reach;
pub mod advertisement;
pub mod crossing;
pub mod difference;
pub mod error_trail;
pub mod legs;
pub mod names;
pub mod neighbour;
mod pages;
pub mod sockets;

mod harness;
mod plan_vs_topology;
mod aaaa_parity;
mod aaaa_dead;
mod aaaa_bogus;
mod wrong_answers;
mod server_listens;
mod large_answer;
mod ptr;
mod egress_parity;
mod no_ipv4_left;
mod source_address;
mod v4_literal;
mod service_reach;
mod port_parity;
mod content_parity;
mod literal_url;
mod listen_families;
mod ntp;
mod syslog;
mod mgmt_reach;
mod pol_rule_parity_static;
mod pol_rule_parity_dynamic;
mod pol_default_deny_v6;
mod pol_icmpv6_musts;
mod pol_icmpv6_on_link;
mod pol_anti_spoof;
mod l2_ra_plan;
mod l2_rogue_ra;
mod l2_dad;
mod l2_unplanned_v6;
mod l2_server_address_stability;
mod l2_neighbour_path;
mod path_pmtu;
mod path_trace_parity;
mod family_truth;
mod response_time;

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
    &harness::Settled,
    &harness::NoResidue,
    &harness::ControlProbe,
    &harness::FamilyProof,
    &plan_vs_topology::PlanVsTopology,
    &harness::Repeatable,
    &aaaa_parity::AaaaParity,
    &aaaa_dead::AaaaDead,
    &aaaa_bogus::AaaaBogus,
    &wrong_answers::AaaaRcode,
    &wrong_answers::AaaaSilent,
    &wrong_answers::ABreaksV6,
    &server_listens::ServerListens,
    &large_answer::LargeAnswer,
    &ptr::Ptr,
    &egress_parity::EgressParity,
    &no_ipv4_left::NoIpv4Left,
    &source_address::SourceAddress,
    &v4_literal::V4Literal,
    &service_reach::ServiceReach,
    &port_parity::PortParity,
    &content_parity::ContentParity,
    &literal_url::LiteralUrl,
    &listen_families::ListenFamilies,
    &ntp::Ntp,
    &syslog::Syslog,
    &mgmt_reach::MgmtReach,
    &pol_rule_parity_static::RuleParityStatic,
    &pol_rule_parity_dynamic::RuleParityDynamic,
    &pol_default_deny_v6::DefaultDenyV6,
    &pol_icmpv6_musts::Icmpv6Musts,
    &pol_icmpv6_on_link::NotFilteredOnLink,
    &pol_anti_spoof::AntiSpoof,
    &l2_ra_plan::RaPlan,
    &l2_rogue_ra::RogueRa,
    &l2_dad::Dad,
    &l2_unplanned_v6::UnplannedV6,
    &l2_server_address_stability::ServerAddressStability,
    &l2_neighbour_path::NeighbourPath,
    &path_pmtu::Pmtu,
    &path_pmtu::Blackhole,
    &path_trace_parity::TraceParity,
    &family_truth::FamilyTruth,
    &response_time::ResponseTime,
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

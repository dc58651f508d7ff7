//! Checks: one file each, in the folder of its family. A check says what to ask in a stage, and judges what came back. It
//! is pure: no I/O, no clock. To add one, write its file and name it twice in the `mod.rs` of its family. What several
//! families share stands here beside them.

pub mod cause;
pub mod ask;
pub mod reading;
pub mod reach;
pub mod advertisement;
mod automatic;
mod carriage;
pub mod couples;
pub mod exchanged;
pub mod crossing;
pub mod passage;
pub mod icmp_error;
mod tapped;
pub mod error_trail;
pub mod hops;
pub mod knock;
mod reaching;
pub mod legs;
mod starttls;
mod management;
pub mod names;
pub mod neighbour;
mod dead_link;
mod pages;
mod fronted;
pub mod sockets;
pub mod translated;
pub mod stream;
pub mod dhcp;

mod meta;
mod dns;
mod from_inside;
mod from_outside;
mod svc;
mod log;
mod mgmt;
mod pol;
mod vpn;
mod x64;
mod l2;
mod path;
mod ux;

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

    /// Whether it takes minutes, so that it is asked only of those who have them, or by its name.
    fn is_patient(&self) -> bool {
        false
    }

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

/// The families, in the order of the report.
const FAMILIES: &[&[&dyn Check]] = &[
    meta::CHECKS,
    dns::CHECKS,
    from_inside::CHECKS,
    from_outside::CHECKS,
    svc::CHECKS,
    log::CHECKS,
    mgmt::CHECKS,
    pol::CHECKS,
    vpn::CHECKS,
    x64::CHECKS,
    l2::CHECKS,
    path::CHECKS,
    ux::CHECKS,
];

/// Every check, in the order of the report.
pub static CHECKS: &[&dyn Check] = &joined::<{ count() }>();

/// How many checks there are.
const fn count() -> usize {
    let (mut all, mut family) = (0, 0);
    while family < FAMILIES.len() {
        all += FAMILIES[family].len();
        family += 1;
    }
    all
}

/// The checks of all families in a row.
const fn joined<const N: usize>() -> [&'static dyn Check; N] {
    let mut all = [FAMILIES[0][0]; N];
    let (mut at, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut check = 0;
        while check < FAMILIES[family].len() {
            all[at] = FAMILIES[family][check];
            at += 1;
            check += 1;
        }
        family += 1;
    }
    all
}

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

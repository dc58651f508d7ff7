//! What services do at this moment: what they were told, as faults bend it. Asked anew for every request, so that a
//! change needs no service to be stopped.

use std::collections::BTreeMap;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use hickory_proto::rr::{Name, RecordType};

use super::{
    question::Question,
    synthesis::Synthesis,
    zone::{Catalog, Delegation, wire_name},
};
use crate::model::{
    access::{AccessFault, LockFault},
    family::{Families, Family},
    fault::{ContentFault, LogFault, Reference, Sabotage, WrongAnswer},
    front::Fronted,
    management::Quirk,
    monitor::Watch,
    name::ServiceName,
};

/// What the services of a node do.
#[derive(Default)]
pub(super) struct Behaviour {
    pub(super) catalogs: BTreeMap<ServiceName, Catalog>,
    pub(super) delegations: BTreeMap<ServiceName, Vec<Delegation>>,
    pub(super) synthesis: BTreeMap<ServiceName, Synthesis>,
    /// Where log-ins are sent on to: the first of them.
    pub(super) log_sinks: Vec<SocketAddr>,
    /// Whom status pages ask.
    pub(super) watches: Vec<Watch>,
    /// What fronts pass on.
    pub(super) fronts: BTreeMap<ServiceName, Fronted>,
    /// Who tells a service who the client is.
    pub(super) believes: BTreeMap<ServiceName, Vec<IpAddr>>,
    pub(super) faults: Vec<Sabotage>,
}

impl Behaviour {
    /// How much later a service answers users of a family.
    pub(super) fn delay(&self, service: &ServiceName, family: Family) -> Duration {
        let of = |fault: &Sabotage| match fault {
            Sabotage::Delay { service: s, family: f, ms, .. } if s == service && *f == family => {
                Some(Duration::from_millis(u64::from(*ms)))
            }
            _ => None,
        };
        self.faults.iter().filter_map(of).sum()
    }

    /// Whether a web service shows users of a family something else.
    pub(super) fn differs(&self, service: &ServiceName, family: Family, how: ContentFault) -> bool {
        self.faults.iter().any(|fault| match fault {
            Sabotage::ServeDifferently { service: s, family: f, how: h, .. } => {
                (s, *f, *h) == (service, family, how)
            }
            _ => false,
        })
    }

    /// How a service goes wrong about whom it lets in.
    pub(super) fn access_faults(&self, service: &ServiceName) -> impl Iterator<Item = AccessFault> {
        self.faults.iter().filter_map(move |fault| match fault {
            Sabotage::AdmitWrongly { service: s, how, .. } if s == service => Some(*how),
            _ => None,
        })
    }

    /// How a service goes wrong about locking log-ins.
    pub(super) fn lock_fault(&self, service: &ServiceName) -> Option<LockFault> {
        self.faults.iter().find_map(|fault| match fault {
            Sabotage::LockWrongly { service: s, how, .. } if s == service => Some(*how),
            _ => None,
        })
    }

    /// Whether a service hears from somebody at this address who the client is.
    pub(super) fn believes(&self, service: &ServiceName, peer: IpAddr) -> bool {
        self.believes.get(service).is_some_and(|fronts| fronts.contains(&peer))
    }

    /// What a management product or a box does worse than it should.
    pub(super) fn quirks(&self, service: &ServiceName) -> Vec<Quirk> {
        let of = |fault: &Sabotage| match fault {
            Sabotage::Quirk { service: s, quirk, .. } if s == service => Some(*quirk),
            _ => None,
        };
        self.faults.iter().filter_map(of).collect()
    }

    /// What a service does to addresses of clients, in the order planted.
    pub(super) fn log_faults(&self, service: &ServiceName) -> impl Iterator<Item = LogFault> {
        self.faults.iter().filter_map(move |fault| match fault {
            Sabotage::LogWrongly { service: s, how, .. } if s == service => Some(*how),
            _ => None,
        })
    }

    /// What the page of a service refers to beyond its plan.
    pub(super) fn refers(
        &self,
        service: &ServiceName,
        wanted: Reference,
    ) -> impl Iterator<Item = &str> {
        self.faults.iter().filter_map(move |fault| match fault {
            Sabotage::Refer { service: s, how, to, .. } if s == service && *how == wanted => {
                Some(to.as_str())
            }
            _ => None,
        })
    }

    /// The addresses that an asker is shown of a name and type instead of what the zone holds.
    pub(super) fn shown_otherwise(
        &self,
        asked: &Name,
        rtype: RecordType,
        asker: IpAddr,
    ) -> Option<Vec<IpAddr>> {
        self.faults.iter().find_map(|fault| match fault {
            Sabotage::ShowOtherwise { name, to, family, address, .. }
                if to.contains(&asker)
                    && address_type(*family) == rtype
                    && wire_name(name) == *asked =>
            {
                Some(address.iter().copied().collect())
            }
            _ => None,
        })
    }

    /// The families over which a resolver asks others.
    pub(super) fn resolves_over(&self) -> Families {
        let only = self.faults.iter().find_map(|fault| match fault {
            Sabotage::ResolveOnly { only, .. } => Some(Families::only(*only)),
            _ => None,
        });
        only.unwrap_or(Families::BOTH)
    }

    /// How a question for an address is answered wrongly, where it is.
    pub(super) fn wrong(&self, question: &Question) -> Option<WrongAnswer> {
        let asked = question.name();
        let is_hit_by = |how: WrongAnswer| match how {
            WrongAnswer::MixedCase => has_capitals(asked),
            WrongAnswer::DropsEdns => question.has_edns(),
            _ => true,
        };
        self.faults.iter().find_map(|fault| match fault {
            Sabotage::AnswerWrongly { name, family, how, .. }
                if address_type(*family) == question.rtype()
                    && is_hit_by(*how)
                    && name.as_ref().is_none_or(|n| wire_name(n) == *asked) =>
            {
                Some(*how)
            }
            _ => None,
        })
    }
}

fn has_capitals(name: &Name) -> bool {
    name.iter().flatten().any(u8::is_ascii_uppercase)
}

/// The type of the records that hold addresses of a family.
fn address_type(family: Family) -> RecordType {
    match family {
        Family::V4 => RecordType::A,
        Family::V6 => RecordType::AAAA,
    }
}

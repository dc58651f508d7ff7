//! What a server offers, against the plan and against what the host holds.

use super::Subject;
use crate::{
    check::{ask, reading::complaint},
    model::{
        answer::Answer,
        dhcp::HeardDhcp,
        evidence::{EvidenceId, Seen},
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        probe::Aspect,
    },
    stage::Stage,
};

impl Subject<'_> {
    pub(super) fn other_address(&self, stage: &Stage, said: &HeardDhcp) -> Option<Complaint> {
        let planned = self.planned().filter(|_| self.stateful)?;
        if said.addresses == [planned] {
            return None;
        }
        let list: Vec<_> = said.addresses.iter().map(ToString::to_string).collect();
        let offered = match (list.is_empty(), said.status) {
            (true, Some(status)) => format!("no address (status {status})"),
            (true, None) => "no address".to_owned(),
            (false, _) => list.join(", "),
        };
        let args = [
            ("server", self.served.server.to_string()),
            ("asker", self.asker.to_string()),
            ("segment", self.served.segment.to_string()),
            ("offered", offered),
            ("planned", planned.to_string()),
            ("prefix", self.served.link.prefix.to_string()),
        ];
        Some(Complaint {
            severity: self.severity(stage),
            ..self.of_server(stage, "address", "DHCPv6 addresses", args)
        })
    }

    pub(super) fn other_options(&self, stage: &Stage, said: &HeardDhcp) -> Option<Complaint> {
        let link = self.served.link;
        let list = |items: Vec<String>| {
            if items.is_empty() { "none".to_owned() } else { items.join(", ") }
        };
        let servers =
            |all: &[std::net::Ipv6Addr]| list(all.iter().map(ToString::to_string).collect());
        let domains = |all: &[crate::model::name::DomainName]| {
            list(all.iter().map(ToString::to_string).collect())
        };
        let mut differences = Vec::new();
        if said.dns != link.dns {
            differences.push(format!("resolvers {}", servers(&said.dns)));
        }
        if said.search != link.search {
            differences.push(format!("domains {}", domains(&said.search)));
        }
        if differences.is_empty() {
            return None;
        }
        let args = [
            ("server", self.served.server.to_string()),
            ("segment", self.served.segment.to_string()),
            ("differences", differences.join(" and ")),
            ("dns", servers(&link.dns)),
            ("search", domains(&link.search)),
        ];
        Some(self.of_server(stage, "options", "DHCPv6 options", args))
    }

    /// Whether the host has what it is offered. Where it was not given so, that has been complained of.
    pub(super) fn not_held(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        evidence: &mut Vec<EvidenceId>,
    ) -> Option<Complaint> {
        let planned = self.planned().filter(|_| self.stateful)?;
        let (id, Answer::Addresses(links)) =
            seen.answer(&ask::inspect(self.asker, Aspect::Addresses))?
        else {
            return None;
        };
        evidence.push(id);
        let link = links.iter().find(|link| link.name == self.interface.name.as_str());
        let addresses = || link.into_iter().flat_map(|link| &link.addresses);
        if addresses().any(|held| held.net.addr() == planned && !held.dad_failed) {
            return None;
        }
        let held: Vec<_> = addresses().map(|held| held.net.to_string()).collect();
        let args = [
            ("asker", self.asker.to_string()),
            ("server", self.served.server.to_string()),
            ("planned", planned.to_string()),
            ("interface", self.interface.name.to_string()),
            ("held", if held.is_empty() { "nothing".to_owned() } else { held.join(", ") }),
        ];
        let scope = Scope {
            family: Some(Family::V6),
            nodes: vec![self.asker.clone()],
            segments: vec![self.served.segment.clone()],
            ..Scope::default()
        };
        let culprit = Culprit::node(self.asker, format!("address {planned}"));
        Some(Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Foundation,
            ..complaint(stage, "not-held", culprit, scope, args)
        })
    }
}

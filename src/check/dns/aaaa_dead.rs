//! `dns.aaaa-dead`: every address that a name leads to answers, at every port of the services under that name.

use std::net::IpAddr;

use super::aaaa_bogus::bogus;
use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        legs::{self, Named},
        names::{self, Asked, Heard, Published},
        reach::Leg,
        reading::{self, Judge, Reached},
    },
    model::{
        evidence::Seen,
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Depth, Severity},
        flow::Traffic,
        name::{DomainName, NodeName},
        node::Node,
        phase::Phase,
        probe::Probe,
        service::{Port, Service, ServiceKind},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(in crate::check) struct AaaaDead;

static TEXT: Text = Text {
    id: "dns.aaaa-dead",
    title: "AAAA that do not answer",
    section: "S0",
    use_case: UseCase::NetworkServices,
    question: "Does each address that a published AAAA record leads to answer, at each declared port of the name?",
    good: "Every published IPv6 address answers.",
    references: &["RFC 8305 section 9.3", "RFC 4861 section 10"],
    cases: &[
        Case {
            name: "dead",
            finding: "The AAAA record of {name} leads to {address}, where nothing answers. Users of both families lose \
                      250 ms or more for each connection, users of IPv6 alone are cut off.",
            expected: "{what} answers at {address}.",
            observed: "{observed}.",
            remedy: "Correct or withdraw the record, or bring up the host at that address.",
        },
        Case {
            name: "unreachable",
            finding: "{name} leads {from} to {address}, which does not answer over {family}.",
            expected: "{what} answers at {address}.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Mend the way to the host, or withdraw the record until it is mended.",
        },
        Case {
            name: "flaky",
            finding: "{name} leads {from} to {address}, which answers only some of the time.",
            expected: "{what} answers at {address} every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way before judging anything else.",
        },
    ],
};

/// A service under a name, and the node that tries it.
struct Offer<'s> {
    asked: Asked,
    node: &'s Node,
    service: &'s Service,
    user: NodeName,
}

impl Check for AaaaDead {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let offers = offers(stage);
        let mut experiments = names::ask(offers.iter().map(|offer| &offer.asked));
        let planned = offers.iter().flat_map(|offer| {
            let addresses = offer.asked.published.of(Family::V6);
            addresses.into_iter().filter_map(|address| offer.probe(stage, address))
        });
        experiments.push(Experiment::of_probes(planned.collect::<Vec<_>>()));
        experiments
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let offers = offers(stage);
        let mut experiments = Vec::new();
        for offer in &offers {
            for address in offer.found(stage, seen) {
                let Some(probe) = offer.probe(stage, address) else { continue };
                if seen.answer(&probe).is_none() {
                    experiments.push(Experiment::of_probes([probe]));
                } else if let Some(named) = offer.named(stage, address) {
                    experiments.extend(named.leg.follow_up(stage, seen));
                } else {
                    experiments.extend(reading::repeat_unanswered(seen, [&probe]));
                }
            }
        }
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let offers = offers(stage);
        let found = offers.iter().flat_map(|offer| {
            let addresses = offer.found(stage, seen).into_iter();
            addresses.filter_map(|address| offer.judge(judge, stage, seen, address))
        });
        judge.or_not_applicable(found.collect(), "no name has an AAAA record in this phase")
    }
}

/// Each published service once: its name as the first authoritative server knows it, tried by one node that may.
fn offers(stage: &Stage) -> Vec<Offer<'_>> {
    let mut known = std::collections::BTreeSet::<DomainName>::new();
    let questions = names::questions(stage, Family::V6);
    let first = questions.into_iter().filter(|asked| {
        asked.server.kind == ServiceKind::Dns && known.insert(asked.published.name.clone())
    });
    let mut offers = Vec::new();
    for asked in first {
        for node in stage.testbed.nodes.values() {
            let under = |s: &&Service| s.names.contains(&asked.published.owner);
            for service in node.services.iter().filter(under) {
                if let Some(user) = user(stage, node, service) {
                    offers.push(Offer { asked: asked.clone(), node, service, user });
                }
            }
        }
    }
    offers
}

/// The first node that may use a service over IPv6: one that is not its own, from outside if there is one.
fn user(stage: &Stage, node: &Node, service: &Service) -> Option<NodeName> {
    let port = service.ports().next()?;
    let traffic = Traffic::Port { word: port.to_string(), port };
    let address = stage.service_addresses(node, service, Family::V6).first().copied()?;
    let may = |other: &&Node| {
        other.name != node.name
            && stage.path(&other.name, address).is_ok()
            && stage.is_allowed(&other.name, &node.name, &traffic)
    };
    let mut users: Vec<_> = stage.testbed.nodes.values().filter(may).collect();
    users.sort_by_key(|user| user.site.is_some());
    users.first().map(|user| user.name.clone())
}

/// A user of the services under a name whom policy keeps from this address of another node. That it does not answer
/// that user says nothing about it: `dns.aaaa-parity` judges that the name leads there.
pub(in crate::check) fn closed_to(
    stage: &Stage,
    name: &Published,
    address: IpAddr,
) -> Option<NodeName> {
    let (owner, _) = stage.owner(address).filter(|_| !name.addresses.contains(&address))?;
    stage.testbed.nodes.values().find_map(|node| {
        let mut under = node.services.iter().filter(|s| s.names.contains(&name.owner));
        under.find_map(|service| {
            user(stage, node, service).filter(|user| is_closed(stage, user, owner, service))
        })
    })
}

/// Whether policy keeps a user from a node at the port of a service.
fn is_closed(stage: &Stage, user: &NodeName, owner: &NodeName, service: &Service) -> bool {
    service
        .ports()
        .any(|port| !stage.is_allowed(user, owner, &Traffic::Port { word: port.to_string(), port }))
}

impl Offer<'_> {
    /// The addresses that the server really gave, without those that `dns.aaaa-bogus` judges.
    fn found(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<IpAddr> {
        match names::heard(seen, &self.asked.probe) {
            Heard::Reply(_, reply) => names::addresses_in(reply, Family::V6)
                .into_iter()
                .filter(|address| bogus(stage, *address).is_none())
                .collect(),
            _ => Vec::new(),
        }
    }

    fn probe(&self, stage: &Stage, address: IpAddr) -> Option<Probe> {
        ask::hello(stage, &self.user, self.node, self.service, address)
    }

    fn port(&self) -> Option<Port> {
        self.service.ports().next()
    }

    /// The leg to an address of the plan that policy lets pass; another address has no way by the plan.
    fn named(&self, stage: &Stage, address: IpAddr) -> Option<Named> {
        let is_planned = self.asked.published.addresses.contains(&address);
        let path = stage.path(&self.user, address).ok().filter(|_| is_planned)?;
        Some(Named {
            subject: self.subject(address),
            what: format!("{} of {}", self.service.name, self.node.name),
            leg: Leg::new(path, self.probe(stage, address)?),
            severity: Severity::Major,
            name: Some(self.asked.published.owner.clone()),
        })
    }

    fn subject(&self, address: IpAddr) -> String {
        let name = &self.asked.published.name;
        format!("{}->{name}/{}/{address}", self.user, self.service.name)
    }

    fn judge(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        address: IpAddr,
    ) -> Option<Judgement> {
        if let Some(named) = self.named(stage, address) {
            return legs::judge(judge, stage, seen, &[named]).pop();
        }
        let probe = self.probe(stage, address)?;
        let subject = self.subject(address);
        let Some(rounds) = reading::consensus(seen, &probe) else {
            return Some(judge.not_testable(subject, "the question was not sent", []));
        };
        let evidence = rounds.evidence.clone();
        if let Some(reason) = self.not_its_own(stage, seen, address) {
            return Some(judge.blocked(subject, reason, evidence));
        }
        Some(match rounds.reached() {
            Reached::Unknown(reason) => judge.not_testable(subject, reason, evidence),
            Reached::Yes | Reached::Sometimes { .. } => judge.pass(subject, evidence),
            Reached::No => {
                let observed = reading::describe(rounds.telling);
                judge.fail(subject, evidence, self.dead(stage, address, observed))
            }
        })
    }

    /// Why the silence of an address says nothing about it: the name should not lead there in the first place.
    fn not_its_own(&self, stage: &Stage, seen: &Seen<'_>, address: IpAddr) -> Option<String> {
        let stray = match names::heard(seen, &self.asked.probe) {
            Heard::Reply(_, reply) => self.asked.stray_alias(reply),
            _ => None,
        };
        if let Some((alias, target)) = stray {
            return Some(format!("the alias {alias} leads to {target}: see dns.aaaa-parity"));
        }
        let (owner, _) = stage.owner(address)?;
        is_closed(stage, &self.user, owner, self.service).then(|| {
            format!("{address} belongs to {owner}, which {} may not reach there", self.user)
        })
    }

    fn dead(&self, stage: &Stage, address: IpAddr, observed: String) -> Complaint {
        let port = self.port().map_or_else(|| "-".to_owned(), |port| port.to_string());
        let args = [
            ("name", self.asked.published.name.to_string()),
            ("address", address.to_string()),
            ("what", format!("{} ({port})", self.service.name)),
            ("from", self.user.to_string()),
            ("observed", observed),
        ];
        Complaint {
            severity: match stage.phase {
                Phase::Ipv6Only => Severity::Critical,
                _ => Severity::Major,
            },
            confidence: Confidence::High,
            depth: Depth::Read,
            ..reading::complaint(
                stage,
                "dead",
                self.asked.record(),
                self.asked.record_scope(),
                args,
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            cause,
            dns::aaaa_parity::AaaaParity,
            fixture::{self, Network, domain},
        },
        model::record::{Record, RecordData},
    };

    fn with_another_aaaa(text: &str, keep: bool) -> Network {
        let data = RecordData::Address(text.parse().unwrap());
        Network::healthy(Phase::DualStack).with(|live| {
            let zone = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1[0];
            let name = domain("portal.dc.test");
            let is_v6 = |r: &Record| matches!(r.data, RecordData::Address(a) if a.is_ipv6());
            zone.extra.retain(|r| keep || r.name != name || !is_v6(r));
            zone.extra.push(Record { name, data });
        })
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&AaaaDead);
    }

    #[test]
    fn a_dead_record_is_one_finding_also_beside_a_good_one() {
        for keep in [false, true] {
            let network = with_another_aaaa("2001:db8:d::dead", keep);
            let judgements = network.ask(&[&AaaaParity, &AaaaDead]);
            let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
            assert_eq!(found.len(), 1, "{found:#?}");
            assert_eq!(
                (found[0].check.as_str(), found[0].case.as_str()),
                ("dns.aaaa-dead", "dead")
            );
            assert_eq!(found[0].culprit.to_string(), "ns (record AAAA portal.dc.test)");
        }
    }

    #[test]
    fn a_good_record_whose_host_is_deaf_is_not_the_name_servers_fault() {
        let network = Network::healthy(Phase::DualStack).deafen("portal", "https", Family::V6);
        let found = fixture::complaints(&AaaaDead, &network);
        assert!(!found.is_empty());
        assert!(
            found.iter().all(|(_, culprit)| culprit == "portal (tcp/443 over IPv6)"),
            "{found:?}"
        );
    }
}

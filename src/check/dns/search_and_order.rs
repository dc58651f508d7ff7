//! `dns.search-and-order`: hosts ask a resolver first that answers, and what they search first does not hide what they look for.

use std::collections::BTreeSet;

use crate::{
    check::{
        Case, Check, Text, UseCase, legs,
        names::{self, Heard, Server},
        reach::Leg,
        reading::{self, Judge, Reached},
    },
    model::{
        answer::{Answer, DnsReply, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::{DomainName, NodeName},
        phase::Phase,
        probe::Probe,
        record::{RecordData, RecordType},
        service::{ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct SearchAndOrder;

/// How long the stub resolver of glibc waits for a resolver before it asks the next (resolv.conf(5), `timeout`).
const STUB_WAITS_S: u64 = 5;
/// How many hosts stand for all.
const HOSTS: usize = 24;

static TEXT: Text = Text {
    id: "dns.search-and-order",
    title: "Order of resolvers and domains to search",
    section: "S0",
    use_case: UseCase::NetworkServices,
    question: "Does the resolver that each host asks first answer, and does no domain that it searches first hold a name that \
               hides one with IPv6?",
    good: "Every host asks a resolver first that answers, and finds what it looks for.",
    references: &["RFC 1034 section 5.3.1", "RFC 8106 section 5.3", "RFC 3646"],
    cases: &[
        Case {
            name: "order",
            finding: "{from} asks {address} first, which does not answer over {family}: each look-up waits {wait} s before \
                      {next} is asked.",
            expected: "An answer of the first resolver, {address}.",
            observed: "{observed}, {place}. {next} answers.",
            remedy: "Mend the way to the resolver over this family, or take its address out of what hosts are told until it is \
                     mended; an order with a live one first only hides it.",
        },
        Case {
            name: "hidden",
            finding: "{from} searches {searched} before {domain}: who types `{label}` is led to {found} and never to {wanted}, \
                      which has IPv6.",
            expected: "Nothing under {hiding}.",
            observed: "{server} answers {found} for A and {other} for AAAA of {hiding}.",
            remedy: "Take the name out of {searched}, give it the AAAA that the other one has, or turn the order of the domains.",
        },
    ],
};

impl Check for SearchAndOrder {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let orders = orders(stage);
        let orders = orders.iter().flat_map(|order| order.legs.iter().map(|leg| leg.probe.clone()));
        let shadows = shadows(stage).into_iter().flat_map(|shadow| shadow.probes());
        vec![Experiment::of_probes(orders.chain(shadows).collect::<Vec<_>>())]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let orders = orders(stage);
        orders
            .iter()
            .flat_map(|order| order.legs.iter())
            .flat_map(|leg| leg.follow_up(stage, seen))
            .collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let orders = orders(stage);
        let mut found: Vec<_> =
            orders.iter().map(|order| order.judge(judge, stage, seen)).collect();
        found.extend(shadows(stage).iter().map(|shadow| shadow.judge(judge, stage, seen)));
        judge.or_not_applicable(found, "no host asks a resolver in this phase")
    }
}

/// The resolvers of a host, as it asks them.
struct Order {
    host: NodeName,
    legs: Vec<Leg>,
}

/// Every host with resolvers, a sample of them where there are many.
fn orders(stage: &Stage) -> Vec<Order> {
    let hosts = stage.nodes.iter().filter(|(_, node)| !node.resolvers.is_empty());
    let order = |(host, node): (&NodeName, &crate::stage::StagedNode)| {
        let legs = node.resolvers.iter().filter_map(|address| {
            let server = names::server_at(stage, host, *address, ServiceKind::Resolver)?;
            let path = stage.path(host, *address).ok().filter(|path| path.nodes.len() > 1)?;
            let zone = names::forward_zones(stage).first()?.origin.clone();
            let probe = names::lookup(&server, &zone, RecordType::Soa, Transport::Udp, None);
            Some(Leg::new(path, probe))
        });
        Order { host: host.clone(), legs: legs.collect() }
    };
    let orders = hosts.map(order).filter(|order| !order.legs.is_empty());
    legs::sample(orders.collect(), HOSTS)
}

impl Order {
    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{} resolvers", self.host);
        let mut evidence = Vec::new();
        let mut silent = Vec::new();
        for leg in &self.legs {
            let Some(reading) = leg.read(stage, seen) else {
                return judge.not_testable(subject, "the resolvers were not asked", evidence);
            };
            evidence.extend(reading.evidence.clone());
            if let Reached::Unknown(reason) = &reading.reached {
                return judge.not_testable(subject, reason.clone(), evidence);
            }
            if matches!(reading.reached, Reached::No) {
                // Whoever refuses, or is known to be away, is passed over at once.
                let is_silence =
                    reading.telling.is_some_and(|answer| ended(answer, &Outcome::TimedOut));
                if is_silence && !refuses(leg, seen) {
                    silent.push((leg, reading));
                }
                continue;
            }
            let wait = STUB_WAITS_S * u64::try_from(silent.len()).unwrap_or(u64::MAX);
            let Some((dead, reading)) = silent.first() else {
                return judge.pass(subject, evidence);
            };
            let args = [
                ("from", self.host.to_string()),
                ("address", dead.path.destination.to_string()),
                ("family", dead.family().to_string()),
                ("wait", wait.to_string()),
                ("next", leg.path.destination.to_string()),
                ("observed", reading.observed.clone()),
                ("place", reading.place()),
            ];
            let complaint = Complaint {
                severity: Severity::Minor,
                confidence: Confidence::High,
                depth: reading.depth(),
                ..reading::complaint(stage, "order", reading.culprit(dead), dead.scope(), args)
            };
            return judge.fail(subject, evidence, complaint);
        }
        judge.blocked(subject, "none of its resolvers answers: see dns.server-listens", evidence)
    }
}

fn ended(answer: &Answer, outcome: &Outcome) -> bool {
    answer.attempt().is_some_and(|attempt| attempt.outcome == *outcome)
}

/// Whether the host was refused anything that it asked of this resolver. A node sends few ICMP errors (RFC 4443 section 2.4), so
/// that of many questions at once only some are refused.
fn refuses(leg: &Leg, seen: &Seen<'_>) -> bool {
    let same = |probe: &Probe| {
        (&probe.from, probe.question.destination(), probe.question.port())
            == (&leg.probe.from, leg.probe.question.destination(), leg.probe.question.port())
    };
    seen.answers().any(|(_, probe, answer)| same(probe) && ended(answer, &Outcome::Rejected))
}

/// A name that is typed without its domain, and a domain that is searched before the right one.
struct Shadow {
    host: NodeName,
    /// Whoever of them answers first says it.
    resolvers: Vec<Server>,
    label: String,
    searched: DomainName,
    domain: DomainName,
    hiding: DomainName,
}

/// For each link whose hosts are told domains to search: the names with IPv6 below each of them that would be sought below
/// an earlier one first, where the plan has nothing. One host stands for its link.
fn shadows(stage: &Stage) -> Vec<Shadow> {
    let zones = names::forward_zones(stage);
    let records = || zones.iter().flat_map(|zone| &zone.extra);
    let planned: BTreeSet<_> = records().map(|record| &record.name).collect();
    let is_v6 = |data: &RecordData| matches!(data, RecordData::Address(a) if a.is_ipv6());
    let with_v6: BTreeSet<_> =
        records().filter(|record| is_v6(&record.data)).map(|record| &record.name).collect();
    let mut found = Vec::new();
    for segment in stage.testbed.segments.values() {
        let Some(plan) = &segment.dhcp else { continue };
        let hosts = stage.testbed.on_segment(&segment.name).map(|(node, _)| node);
        let told = hosts.filter(|node| !node.role.forwards() && node.name != plan.server);
        let asking = told.filter_map(|node| {
            let resolvers: Vec<_> = names::resolvers_of(stage, &node.name).collect();
            (!resolvers.is_empty()).then(|| (node.name.clone(), resolvers))
        });
        let Some((host, resolvers)) = asking.into_iter().next() else { continue };
        for (at, domain) in plan.search.iter().enumerate() {
            for name in &with_v6 {
                let below = name.as_str().strip_suffix(domain.as_str());
                let label = below.and_then(|label| label.strip_suffix('.'));
                let Some(label) = label.filter(|label| !label.contains('.')) else { continue };
                for searched in &plan.search[..at] {
                    let Ok(hiding) = format!("{label}.{searched}").parse::<DomainName>() else {
                        continue;
                    };
                    let in_zone = stage.testbed.zone_of(&hiding).is_some();
                    if in_zone && !planned.contains(&hiding) {
                        found.push(Shadow {
                            host: host.clone(),
                            resolvers: resolvers.clone(),
                            label: label.to_owned(),
                            searched: searched.clone(),
                            domain: domain.clone(),
                            hiding,
                        });
                    }
                }
            }
        }
    }
    legs::sample(found, HOSTS)
}

impl Shadow {
    fn questions<'s>(&'s self, server: &'s Server) -> impl Iterator<Item = Probe> + 's {
        Family::ALL.into_iter().map(|family| {
            names::lookup(server, &self.hiding, RecordType::of(family), Transport::Udp, None)
        })
    }

    fn probes(&self) -> Vec<Probe> {
        self.resolvers.iter().flat_map(|server| self.questions(server)).collect()
    }

    /// The first resolver that answered both questions, and its answers for A and AAAA.
    fn heard<'e>(&self, seen: &Seen<'e>) -> Option<(&Server, [(EvidenceId, &'e DnsReply); 2])> {
        self.resolvers.iter().find_map(|server| {
            let mut replies =
                self.questions(server).filter_map(|probe| match names::heard(seen, &probe) {
                    Heard::Reply(id, reply) => Some((id, reply)),
                    _ => None,
                });
            Some((server, [replies.next()?, replies.next()?]))
        })
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let subject = format!("{} `{}` in {}", self.host, self.label, self.searched);
        let Some((resolver, [(first, old), (second, new)])) = self.heard(seen) else {
            return judge.blocked(subject, "no resolver was heard", []);
        };
        let evidence = [first, second];
        let found = names::addresses_in(old, Family::V4);
        let has_v6 = !names::addresses_in(new, Family::V6).is_empty();
        // With an address of either family there, nobody searches on; without any, everybody does.
        if found.is_empty() || has_v6 {
            return judge.pass(subject, evidence);
        }
        let zone = stage.testbed.zone_of(&self.hiding);
        let server = zone.and_then(|zone| zone.servers.first()).unwrap_or(&resolver.node);
        let words: Vec<_> = found.iter().map(ToString::to_string).collect();
        let args = [
            ("from", self.host.to_string()),
            ("searched", self.searched.to_string()),
            ("domain", self.domain.to_string()),
            ("label", self.label.clone()),
            ("found", words.join(", ")),
            ("wanted", format!("{}.{}", self.label, self.domain)),
            ("hiding", self.hiding.to_string()),
            ("server", resolver.node.to_string()),
            ("other", new.rcode.clone()),
        ];
        let culprit = Culprit::node(server, format!("record A {}", self.hiding));
        let scope = Scope { name: Some(self.hiding.clone()), ..Scope::default() };
        let complaint = Complaint {
            severity: if stage.phase == Phase::Ipv6Only {
                Severity::Major
            } else {
                Severity::Minor
            },
            confidence: Confidence::Medium,
            depth: Depth::Read,
            bites_in: reading::bites(stage, Family::V6),
            ..reading::complaint(stage, "hidden", culprit, scope, args)
        };
        judge.fail(subject, evidence, complaint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network},
        model::probe::Question,
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&SearchAndOrder);
    }

    /// The resolver at an address of a family is silent, or refuses.
    fn first_is(outcome: Outcome) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            let Question::Lookup { server, recurse: true, .. } = &probe.question else { return };
            if server.is_ipv6()
                && let Answer::Dns { attempt, reply } = answer
            {
                attempt.outcome = outcome.clone();
                *reply = None;
            }
        })
    }

    #[test]
    fn a_first_resolver_that_is_silent_costs_five_seconds() {
        let judgements = first_is(Outcome::TimedOut).ask(&[&SearchAndOrder]);
        let complaints: Vec<_> = judgements.iter().filter_map(|j| j.complaint.as_ref()).collect();
        assert!(!complaints.is_empty());
        assert!(complaints.iter().all(|one| one.case == "order" && one.args["wait"] == "5"));
    }

    #[test]
    fn a_first_resolver_that_refuses_costs_nothing() {
        assert_eq!(fixture::complaints(&SearchAndOrder, &first_is(Outcome::Refused)), []);
    }
}

//! `dns.resolver-reaches-v6-only-zone`: resolvers get at zones whose name servers have addresses of one family alone.

use std::{collections::BTreeSet, net::IpAddr};

use super::server_listens;
use crate::{
    check::{
        Case, Check, Text, UseCase, ask, legs,
        names::{self, Heard, Server},
        reach::{Leg, LegReading},
        reading::{self, Judge, Reached},
    },
    model::{
        answer::DnsReply,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::DomainName,
        phase::Phase,
        probe::Probe,
        record::{Record, RecordData},
        service::{Port, ServiceKind, Transport},
        tap::{Tap, Watch},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct ReachesZones;

static TEXT: Text = Text {
    id: "dns.resolver-reaches-v6-only-zone",
    title: "Zones that are served over one family alone",
    section: "S4 IPv6 resolvers",
    use_case: UseCase::NetworkServices,
    question: "Does each resolver get answers from zones whose name servers have addresses of one family alone, wherever it has \
               that family itself?",
    good: "Every resolver gets at the zones that are served over one family alone.",
    references: &["RFC 3901", "RFC 8504 section 7", "RFC 9471"],
    cases: &[
        Case {
            name: "transport",
            finding: "{resolver} does not ask name servers over {family}: zones like {zone}, whose servers have no other \
                      addresses, cannot be looked up.",
            expected: "Name servers of {zone}, asked for by {from}.",
            observed: "{observed}. Asked by {resolver} directly, {server} answers at {address}. {sent}.",
            remedy: "Let the resolver use the family (`do-ip6: yes`; no `-4`), and give it an address and a way out for it.",
        },
        Case {
            name: "glue",
            finding: "{parent} refers to the name servers of {zone} without their addresses of {family}, and they have no others: \
                      nobody can look {zone} up.",
            expected: "{wanted} beside the name servers of {zone}.",
            observed: "{parent} gives {glue}. {resolver} answers {observed}.",
            remedy: "Give the zone above the addresses of the name servers of {zone} as glue; registrars take AAAA where they \
                     take A.",
        },
        Case {
            name: "stale-glue",
            finding: "{parent} refers to the name servers of {zone} at {glue}, where none of them is: {zone} is looked up in vain.",
            expected: "{wanted} at {planned} beside the name servers of {zone}.",
            observed: "{parent} gives {glue}. {resolver} answers {observed}.",
            remedy: "Give the zone above the addresses that the name servers of {zone} have now, and change both together whenever \
                     they are renumbered.",
        },
        Case {
            name: "way",
            finding: "{resolver} cannot reach the name servers of {zone}, which have addresses of {family} alone.",
            expected: "An answer at {address}.",
            observed: "{observed}, {place}. {resolver} answers its users that it has failed.",
            remedy: "Follow the question of the resolver to the node that is named, then mend its route or rule.",
        },
    ],
};

/// A resolver and a zone that is served over one family.
struct Subject {
    resolver: Server,
    zone: DomainName,
    family: Family,
    /// Where the servers of the zone are.
    planned: BTreeSet<IpAddr>,
    /// The servers of the zone, as the resolver would ask them.
    direct: Vec<(Server, Leg)>,
    /// The servers of the zone above, as the resolver would ask them for those of this one.
    above: Vec<Server>,
}

/// What a server of the zone above says of the servers of a zone.
struct Referral<'e> {
    parent: &'e Server,
    evidence: Option<EvidenceId>,
    /// Whom it refers to; `None` where it refers to nobody, or was not heard.
    reply: Option<&'e DnsReply>,
}

impl Check for ReachesZones {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let subjects = subjects(stage);
        let open = subjects.iter().filter(|subject| !subject.direct.is_empty());
        vec![Experiment::of_probes(open.map(Subject::question))]
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let subjects = subjects(stage);
        let asked = subjects.iter().filter(|subject| !subject.direct.is_empty());
        let failed = asked.filter(|subject| {
            !matches!(names::heard(seen, &subject.question()), Heard::Reply(_, reply) if names::names_servers(reply))
        });
        failed.flat_map(|subject| subject.search(stage, seen)).collect()
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let subjects = subjects(stage);
        let found = subjects.iter().map(|subject| subject.judge(judge, stage, seen)).collect();
        judge.or_not_applicable(found, "no zone is served over one family alone in this phase")
    }
}

fn subjects(stage: &Stage) -> Vec<Subject> {
    let mut resolvers = names::servers(stage);
    resolvers.retain(|server| server.kind == ServiceKind::Resolver);
    resolvers.dedup_by(|a, b| (&a.node, &a.service) == (&b.node, &b.service));
    let mut found = Vec::new();
    for zone in names::forward_zones(stage) {
        for resolver in &resolvers {
            let all = stage.nodes[&resolver.node].delegations.iter().flat_map(|(_, all)| all);
            let Some(delegation) = all.into_iter().find(|one| one.zone == zone.origin) else {
                continue;
            };
            let families = delegation.servers.iter().map(|server| Family::of(*server));
            let families = families.fold(Families::NONE, |all, one| all.or(Families::only(one)));
            let Some(family) = families.iter().next().filter(|_| !families.is_dual()) else {
                continue;
            };
            let direct = delegation
                .servers
                .iter()
                .filter_map(|address| direct(stage, resolver, *address, &zone.origin));
            found.push(Subject {
                resolver: resolver.clone(),
                family,
                planned: delegation.servers.iter().copied().collect(),
                direct: direct.collect(),
                above: above(stage, resolver, &zone.origin),
                zone: zone.origin.clone(),
            });
        }
    }
    legs::sample(found, legs::SAMPLE)
}

fn direct(
    stage: &Stage,
    resolver: &Server,
    address: IpAddr,
    zone: &DomainName,
) -> Option<(Server, Leg)> {
    let server = names::server_at(stage, &resolver.node, address, ServiceKind::Dns)?;
    let path = stage.path(&resolver.node, address).ok()?;
    let probe = names::servers_of(&server, zone);
    Some((server, Leg::new(path, probe)))
}

/// The servers of the zone above that do not serve this one as well.
fn above(stage: &Stage, resolver: &Server, zone: &DomainName) -> Vec<Server> {
    let Some(parent) = stage.testbed.zone_above(zone) else { return Vec::new() };
    let all = stage.nodes[&resolver.node].delegations.iter().flat_map(|(_, all)| all);
    let of = |wanted: &DomainName| {
        let delegation = all.clone().find(|one| one.zone == *wanted);
        delegation.map_or(&[][..], |delegation| &delegation.servers)
    };
    let own = of(zone);
    let others = of(&parent.origin).iter().filter(|address| !own.contains(address));
    let server =
        |address: &IpAddr| names::server_at(stage, &resolver.node, *address, ServiceKind::Dns);
    others.filter_map(server).collect()
}

impl Subject {
    /// The servers of the zone, as users ask the resolver for them.
    fn question(&self) -> Probe {
        names::servers_of(&self.resolver, &self.zone)
    }

    fn name(&self) -> String {
        format!("{} by {}", self.zone, self.resolver.node)
    }

    /// Whom the zone above refers to.
    fn referral(&self, server: &Server) -> Probe {
        names::servers_of(server, &self.zone)
    }

    /// Whether the resolver sends anything to a server: seen on the first link.
    fn tap(&self, (server, leg): &(Server, Leg)) -> Option<Tap> {
        let port = Port { transport: Transport::Udp, number: server.at.port() };
        Some(Tap {
            segment: leg.path.segments.first()?.clone(),
            watch: Watch::Packets {
                family: self.family,
                source: None,
                destination: Some(server.at.ip()),
                port: Some(port),
            },
            label: format!("questions of {}", self.resolver.node),
        })
    }

    /// The servers themselves and what the zone above says of them; then whoever stops the way to them, or else, where they
    /// answer, the question once more, alone under taps.
    fn search(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let legs = self.direct.iter().map(|(_, leg)| leg);
        let answers: Vec<_> = legs.clone().filter_map(|leg| seen.answer(&leg.probe)).collect();
        if answers.is_empty() {
            let above = self.above.iter().map(|server| self.referral(server));
            let direct = legs.map(|leg| leg.probe.clone());
            return vec![Experiment::of_probes(direct.chain(above))];
        }
        if !answers.iter().any(|(_, answer)| answer.is_answered()) {
            return legs.flat_map(|leg| leg.follow_up(stage, seen)).collect();
        }
        vec![Experiment {
            taps: self.direct.iter().filter_map(|one| self.tap(one)).collect(),
            probes: (1..=reading::REPETITIONS)
                .map(|round| ask::again(&self.question(), round))
                .collect(),
            ..Experiment::default()
        }]
    }

    fn judge(&self, judge: Judge, stage: &Stage, seen: &Seen<'_>) -> Judgement {
        let name = self.name();
        if self.direct.is_empty() {
            let reason = format!("it is planned to have no way there over {}", self.family);
            return judge.absent(name, reason, []);
        }
        let (id, reply) = match names::heard(seen, &self.question()) {
            Heard::Reply(id, reply) => (id, reply),
            Heard::Silence(id) | Heard::Unheard(id) => {
                return judge.blocked(name, "the resolver was not heard", [id]);
            }
            Heard::NotSent => return judge.not_testable(name, "the question was not sent", []),
        };
        if names::names_servers(reply) {
            return judge.pass(name, [id]);
        }
        let mut evidence = vec![id];
        if server_listens::is_lame(stage, seen, &self.resolver) {
            let reason = format!("it answers {}: see dns.server-listens", reply.rcode);
            return judge.blocked(name, reason, evidence);
        }
        let readings = self
            .direct
            .iter()
            .filter_map(|(server, leg)| Some((server, leg, leg.read(stage, seen)?)));
        let readings: Vec<_> = readings.collect();
        evidence.extend(readings.iter().flat_map(|(_, _, reading)| reading.evidence.clone()));
        let Some((server, leg, reading)) = readings.first() else {
            return judge.not_testable(
                name,
                "the name servers themselves were not asked",
                evidence,
            );
        };
        let well = readings.iter().find(|(_, _, reading)| reading.reached == Reached::Yes);
        let Some((server, ..)) = well else {
            if let Reached::Unknown(reason) = &reading.reached {
                return judge.not_testable(name, reason.clone(), evidence);
            }
            let complaint = self.no_way(stage, server, leg, reading);
            return judge.fail(name, evidence, complaint);
        };
        let referrals = self.referrals(seen);
        evidence.extend(referrals.iter().filter_map(|referral| referral.evidence));
        if let Some(complaint) = self.bad_glue(stage, &referrals, reply) {
            return judge.fail(name, evidence, complaint);
        }
        if let Some(mute) = referrals.iter().find(|referral| referral.reply.is_none()) {
            let reason = format!(
                "{} ({}) refers to no name server of {}, so the resolver cannot know whom to ask: see dns.server-listens and \
                 dns.aaaa-rcode",
                mute.parent.node,
                mute.parent.at.ip(),
                self.zone
            );
            return judge.blocked(name, reason, evidence);
        }
        match self.sent(seen, &mut evidence) {
            // It uses the family; what becomes of its questions is the matter of the links that they take.
            Some(frames) if frames > 0 => {
                let reason = format!(
                    "{} sent {frames} questions over {} and answers {} all the same: see path.loss-reorder-dup",
                    self.resolver.node, self.family, reply.rcode
                );
                judge.blocked(name, reason, evidence)
            }
            sent => {
                let complaint = self.transport(stage, server, reply, sent.is_some());
                judge.fail(name, evidence, complaint)
            }
        }
    }

    fn no_way(
        &self,
        stage: &Stage,
        server: &Server,
        leg: &Leg,
        reading: &LegReading<'_>,
    ) -> Complaint {
        let args = [
            ("resolver", self.resolver.node.to_string()),
            ("zone", self.zone.to_string()),
            ("family", self.family.to_string()),
            ("address", server.at.ip().to_string()),
            ("observed", reading.observed.clone()),
            ("place", reading.place()),
        ];
        Complaint {
            severity: severity(stage),
            depth: reading.depth(),
            ..reading::complaint(stage, "way", reading.culprit(leg), leg.scope(), args)
        }
    }

    /// What the zone above says, asked by the node of the resolver.
    fn referrals<'e>(&'e self, seen: &Seen<'e>) -> Vec<Referral<'e>> {
        let of = |parent| match names::heard(seen, &self.referral(parent)) {
            Heard::Reply(id, reply) => {
                let reply = Some(reply).filter(|reply| !reply.refers.is_empty());
                Referral { parent, evidence: Some(id), reply }
            }
            Heard::Silence(id) | Heard::Unheard(id) => {
                Referral { parent, evidence: Some(id), reply: None }
            }
            Heard::NotSent => Referral { parent, evidence: None, reply: None },
        };
        self.above.iter().map(of).collect()
    }

    /// The glue of a referral, of the family that the servers have.
    fn glue<'r>(
        &self,
        referral: &'r DnsReply,
    ) -> impl Iterator<Item = (&'r DomainName, IpAddr)> + use<'r> {
        let family = self.family;
        let address = |record: &'r Record| match record.data {
            RecordData::Address(address) => Some((&record.name, address)),
            _ => None,
        };
        let all = referral.glue.iter().filter_map(address);
        all.filter(move |(_, address)| Family::of(*address) == family)
    }

    /// The zone above refers to servers without the addresses that they have, or with such as they do not have.
    fn bad_glue(
        &self,
        stage: &Stage,
        referrals: &[Referral<'_>],
        reply: &DnsReply,
    ) -> Option<Complaint> {
        let given = || referrals.iter().filter_map(|one| Some((one.parent, one.reply?)));
        let (first, referral) = given().next()?;
        let rtype = self.family.record_type();
        let names = referral.refers.iter().filter_map(|record| match &record.data {
            RecordData::Server(name) => Some(name),
            _ => None,
        });
        let names: Vec<_> = names.collect();
        let wanted = names.iter().map(|name| format!("{rtype} {name}")).collect::<Vec<_>>();
        let (case, parent, name, glue) = if given().all(|(_, one)| self.glue(one).next().is_none())
        {
            let glue = match referral.glue.len() {
                0 => "no address at all".to_owned(),
                some => format!("{some} addresses, none of {}", self.family),
            };
            ("glue", first, *names.first()?, glue)
        } else {
            let is_stale = |(_, at): &(&DomainName, IpAddr)| !self.planned.contains(at);
            let mut stale =
                given().filter_map(|(parent, one)| Some((parent, self.glue(one).find(is_stale)?)));
            let (parent, (name, at)) = stale.next()?;
            ("stale-glue", parent, name, at.to_string())
        };
        let planned: Vec<_> = self.planned.iter().map(ToString::to_string).collect();
        let args = [
            ("parent", parent.node.to_string()),
            ("resolver", self.resolver.node.to_string()),
            ("zone", self.zone.to_string()),
            ("family", self.family.to_string()),
            ("wanted", wanted.join(", ")),
            ("planned", planned.join(", ")),
            ("glue", glue),
            ("observed", reply.rcode.clone()),
        ];
        let culprit = Culprit::node(&parent.node, format!("record {rtype} {name}"));
        let scope =
            Scope { family: Some(self.family), name: Some(name.clone()), ..Scope::default() };
        Some(Complaint {
            severity: severity(stage),
            confidence: Confidence::High,
            depth: Depth::Read,
            ..reading::complaint(stage, case, culprit, scope, args)
        })
    }

    /// How many questions the resolver sent to the name servers when its users asked; `None` where nobody could watch.
    fn sent(&self, seen: &Seen<'_>, evidence: &mut Vec<EvidenceId>) -> Option<u64> {
        let taps = self.direct.iter().filter_map(|one| self.tap(one));
        let readings: Vec<_> = taps.filter_map(|tap| seen.reading(&tap)).collect();
        evidence.extend(readings.iter().map(|(id, _)| *id));
        let trusted = !readings.is_empty() && readings.iter().all(|(_, r)| r.is_trustworthy());
        trusted.then(|| readings.iter().map(|(_, reading)| reading.frames).sum())
    }

    /// The servers answer whoever asks them from there: the resolver itself does not ask.
    fn transport(
        &self,
        stage: &Stage,
        server: &Server,
        reply: &DnsReply,
        watched: bool,
    ) -> Complaint {
        let sent = if watched {
            "Asked by its users, it sends no question there"
        } else {
            "Its own questions could not be watched"
        };
        let args = [
            ("resolver", self.resolver.node.to_string()),
            ("zone", self.zone.to_string()),
            ("family", self.family.to_string()),
            ("from", self.resolver.asker.to_string()),
            ("server", server.node.to_string()),
            ("address", server.at.ip().to_string()),
            ("observed", reply.rcode.clone()),
            ("sent", sent.to_owned()),
        ];
        let part = format!("questions over {}", self.family);
        let culprit = Culprit::node(&self.resolver.node, part);
        let scope = Scope {
            family: Some(self.family),
            from: Some(self.resolver.node.clone()),
            packets: Some(Packets::Names),
            ..Scope::default()
        };
        Complaint {
            severity: severity(stage),
            confidence: if watched { Confidence::High } else { Confidence::Medium },
            depth: Depth::Read,
            ..reading::complaint(stage, "transport", culprit, scope, args)
        }
    }
}

fn severity(stage: &Stage) -> Severity {
    if stage.phase == Phase::Ipv6Only { Severity::Critical } else { Severity::Major }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::fixture::{self, Network, domain},
        model::verdict::Verdict,
    };

    fn hosting(phase: Phase) -> Network {
        Network::of(fixture::hosting(phase))
    }

    /// The resolver does not know the servers of the zone, for whatever reason.
    fn lost(live: &mut Stage) {
        let resolver = live.nodes.get_mut("resolver-net").unwrap();
        let delegations = &mut resolver.delegations.as_mut().unwrap().1;
        let zone = domain("sites.hosting.test");
        delegations.iter_mut().find(|one| one.zone == zone).unwrap().servers.clear();
    }

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&ReachesZones);
        for phase in Phase::ALL {
            let found = hosting(phase).ask(&[&ReachesZones]);
            let good = [Verdict::Pass, Verdict::NotApplicable];
            assert!(found.iter().all(|one| good.contains(&one.verdict)), "{phase}: {found:#?}");
            let below = found.iter().any(|one| one.subject.starts_with("sites.hosting.test"));
            assert_eq!(below, phase != Phase::Ipv4Only, "{phase}: {found:#?}");
        }
    }

    #[test]
    fn a_resolver_that_asks_over_ipv4_alone_is_found() {
        let found = fixture::complaints(&ReachesZones, &hosting(Phase::DualStack).with(lost));
        let culprit = "resolver-net (questions over IPv6)".to_owned();
        assert_eq!(found, [("transport".to_owned(), culprit)]);
    }

    #[test]
    fn a_delegation_without_the_addresses_that_the_servers_have_is_the_fault_of_the_zone_above() {
        let network = hosting(Phase::DualStack).with(|live| {
            lost(live);
            let zones = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1;
            let glue = domain("ns-sites.sites.hosting.test");
            for zone in zones {
                zone.extra.retain(|record| record.name != glue);
            }
        });
        let found = fixture::complaints(&ReachesZones, &network);
        let culprit = "ns (record AAAA ns-sites.sites.hosting.test)".to_owned();
        assert_eq!(found, [("glue".to_owned(), culprit)]);
    }

    #[test]
    fn glue_that_leads_to_nobody_is_the_fault_of_the_zone_above() {
        let network = hosting(Phase::DualStack).with(|live| {
            lost(live);
            let zones = &mut live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1;
            let glue = domain("ns-sites.sites.hosting.test");
            let all = zones.iter_mut().flat_map(|zone| &mut zone.extra);
            for record in all.filter(|record| record.name == glue) {
                record.data = RecordData::Address("2001:db8:b:1::99".parse().unwrap());
            }
        });
        let found = fixture::complaints(&ReachesZones, &network);
        let culprit = "ns (record AAAA ns-sites.sites.hosting.test)".to_owned();
        assert_eq!(found, [("stale-glue".to_owned(), culprit)]);
    }

    #[test]
    fn a_zone_above_that_refers_to_nobody_is_no_fault_of_the_resolver() {
        let without_zones = |live: &mut Stage| {
            lost(live);
            live.nodes.get_mut("ns").unwrap().zones.as_mut().unwrap().1.clear();
        };
        for network in [
            hosting(Phase::DualStack).with(without_zones),
            hosting(Phase::DualStack).with(lost).deafen("ns", "dns", Family::V6),
            hosting(Phase::Ipv6Only).with(lost).deafen("ns", "dns", Family::V6),
        ] {
            let found = network.ask(&[&ReachesZones]);
            let below = |one: &&Judgement| one.subject.starts_with("sites.hosting.test");
            let verdicts: Vec<_> = found.iter().filter(below).map(|one| one.verdict).collect();
            assert_eq!(verdicts, [Verdict::Blocked], "{found:#?}");
        }
    }

    #[test]
    fn a_way_that_is_closed_is_the_fault_of_who_closes_it() {
        let network = hosting(Phase::DualStack).with(|live| {
            lost(live);
            live.nodes.get_mut("edge").unwrap().filter.chains.iter_mut().for_each(|chain| {
                chain.rules.retain(|rule| rule.label != "resolver-net->ns-sites");
            });
        });
        let found = fixture::complaints(&ReachesZones, &network);
        let culprit = "edge (forwarding of IPv6)".to_owned();
        assert_eq!(found, [("way".to_owned(), culprit)]);
    }
}

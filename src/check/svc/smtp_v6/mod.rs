//! `svc.smtp-v6`: mail servers greet everybody who may bring mail, let them name themselves by an address of either family and
//! encrypt over both alike; where the mail of a domain is brought (MX) is a place for senders of every family; and who brings mail
//! has a confirmed name, and may, over every family.

mod sender;

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use crate::{
    check::{
        Case, Check, Text, UseCase, ask,
        legs::{self, Named},
        names::{self, Heard, Server},
        reach::Leg,
        reaching,
        reading::{self, Judge, Reached},
        starttls,
    },
    model::{
        answer::DnsReply,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::DomainName,
        phase::Phase,
        probe::{Hello, Probe, Question},
        record::{RecordData, RecordType, Zone},
        segment::Plane,
        service::{Port, ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::Stage,
};

/// The check.
pub(super) struct Smtp;

/// Where mail is brought between servers.
const PORT: u16 = 25;

static TEXT: Text = Text {
    id: "svc.smtp-v6",
    title: "Mail over both families",
    section: "S3",
    use_case: UseCase::NetworkServices,
    question: "Does the mail server greet everybody who may bring mail, accept their EHLO with an address literal and encrypt \
               (STARTTLS) over every family that both have? Does the MX record of a domain lead senders of every family to a \
               server that greets them? Does a mail server that brings mail to others have an address of every family whose name is \
               confirmed, and does the SPF record of its domain let it send over both alike? No mail is sent, and certificates are \
               not judged, as mail servers take any.",
    good: "Mail servers greet everybody who may bring mail, and encrypt alike, over every planned family.",
    references: &[
        "RFC 3974",
        "RFC 5321 section 4.1.3",
        "RFC 5321 section 5.1",
        "RFC 3207",
        "RFC 7505",
        "RFC 8601 section 2.7.3",
        "RFC 1912 section 2.1",
        "RFC 7208 section 5",
    ],
    cases: &[
        Case {
            name: "unreachable",
            finding: "{what} does not take {from} as a bringer of mail over {family}.",
            expected: "220 from {address}, 250 to EHLO with an address literal, and TLS after STARTTLS where it is offered.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Let the mail server listen on the family and know its address literals; open the port on the way. \
                     Before mail is sent over IPv6: a PTR record for its address and an `ip6:` in the SPF record.",
        },
        Case {
            name: "flaky",
            finding: "{what} takes {from} as a bringer of mail over {family} only some of the time.",
            expected: "220 from {address}, and 250 to EHLO, every time.",
            observed: "{observed}, {place}. {other}.",
            remedy: "Look for loss on the way, or for a limit of connections at the mail server.",
        },
        Case {
            name: "clear-in-one-family",
            finding: "{what} offers {from} no STARTTLS over {family}, and does over {other}: that mail is brought in the clear.",
            expected: "STARTTLS after EHLO over both families.",
            observed: "{address} greets, and its answer to EHLO does not hold STARTTLS.",
            remedy: "Let the listener of that family have the certificate and the settings of the other. If the server offers it \
                     there, look for a firewall on the way that inspects SMTP and takes it out.",
        },
        Case {
            name: "one-family",
            finding: "Mail to {domain} is not brought over {family}: {why}. Senders with {family} alone keep it in their queues.",
            expected: "An MX record that leads to a name with an address of {family}.",
            observed: "{from} was told of {targets} as MX of {domain}. {why}.",
            remedy: "Let one of the mail servers of the domain listen on the family, and publish its address. A domain that takes \
                     no mail says so by an MX record of preference 0 that names the root (RFC 7505).",
        },
        Case {
            name: "silent",
            finding: "{target}, where mail to {domain} is brought, does not take {from} as a bringer of mail at {address}.",
            expected: "220 from {address}, and 250 to EHLO.",
            observed: "{why}.",
            remedy: "Mend the address of the name, or let a mail server listen there and open the port on the way.",
        },
        Case {
            name: "unconfirmed",
            finding: "{sender} brings mail over {family} from {address}, and {why}.",
            expected: "A PTR record for {address}, and an {rtype} record of its name that leads back: {other}.",
            observed: "{from} asked as receivers of mail do: {why}.",
            remedy: "Publish the reverse name over {family} too, and let the name that it tells have this address. Large receivers \
                     refuse mail over IPv6 without it (RFC 8601 section 2.7.3).",
        },
        Case {
            name: "spf",
            finding: "The SPF record of {domain} lets {sender} send from {other}, and not over {family}: its mail from {address} looks \
                      forged.",
            expected: "A term that {address} matches, as {other} matches one.",
            observed: "{from} was told `{record}`.",
            remedy: "Add `{term}` to the record, before `all`.",
        },
    ],
};

impl Check for Smtp {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let servers = servers(stage);
        let mut experiments = legs::ask(&servers);
        let domains = domains(stage);
        experiments.push(Experiment::of_probes(domains.iter().map(Domain::question)));
        experiments.extend(sender::ask(&sender::senders(stage, &servers)));
        experiments
    }

    fn follow_up(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Experiment> {
        let servers = servers(stage);
        let mut experiments = legs::follow_up(stage, seen, &servers);
        let domains = domains(stage);
        let questions: Vec<_> = domains.iter().map(Domain::question).collect();
        let mut lookups = Vec::new();
        let mut hellos = Vec::new();
        for domain in &domains {
            for target in domain.targets(seen).unwrap_or_default() {
                lookups.extend(names::both_families(&domain.server, &target));
                hellos.extend(domain.hellos(seen, &target, &servers));
            }
        }
        for probes in [&questions, &lookups, &hellos] {
            experiments.extend(reading::repeat_unanswered(seen, probes));
        }
        experiments.push(Experiment::of_probes(lookups.into_iter().chain(hellos)));
        experiments.extend(sender::follow_up(seen, &sender::senders(stage, &servers)));
        experiments
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        let servers = servers(stage);
        let mut found = legs::judge(judge, stage, seen, &servers);
        found.extend(starttls::judge(judge, stage, seen, &servers));
        let domains = domains(stage);
        found.extend(domains.iter().flat_map(|d| d.judge(judge, stage, seen, &servers)));
        found.extend(sender::judge(judge, stage, seen, &sender::senders(stage, &servers)));
        judge.or_not_applicable(found, "no flow lets anybody bring mail in this phase")
    }
}

fn servers(stage: &Stage) -> Vec<Named> {
    reaching::by_flows(stage, ServiceKind::Smtp)
}

/// A domain with MX records, and a bringer of mail who looks them up.
struct Domain<'s> {
    name: DomainName,
    zone: &'s Zone,
    server: Server,
    /// The families over which mail is to be brought.
    families: Families,
}

/// Each domain once for every site, or what belongs to none, whose nodes bring mail over the same families.
fn domains(stage: &Stage) -> Vec<Domain<'_>> {
    let nodes = &stage.testbed.nodes;
    let bringers: BTreeSet<_> =
        servers(stage).into_iter().map(|named| named.leg.probe.from).collect();
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for bringer in bringers {
        let families = stage.families(&bringer, Plane::Data);
        let Some(server) = names::resolvers_of(stage, &bringer).next() else { continue };
        if !known.insert((nodes[&bringer].site.clone(), Family::ALL.map(|f| families.has(f)))) {
            continue;
        }
        for zone in names::forward_zones(stage) {
            let records = zone.extra.iter();
            let mails = records.filter(|record| matches!(record.data, RecordData::Mail(_)));
            let names: BTreeSet<_> = mails.map(|record| record.name.clone()).collect();
            found.extend(names.into_iter().map(|name| Domain {
                families: planned(stage, zone, &name, families),
                server: server.clone(),
                zone,
                name,
            }));
        }
    }
    found
}

/// While a network changes over, mail is brought where the plan has addresses; then over every family that bringers have.
fn planned(stage: &Stage, zone: &Zone, name: &DomainName, bringer: Families) -> Families {
    if stage.phase != Phase::Partial {
        return bringer;
    }
    let targets = zone.extra.iter().filter(|record| record.name == *name);
    let targets: Vec<_> = targets
        .filter_map(|record| match &record.data {
            RecordData::Mail(to) => to.as_ref(),
            _ => None,
        })
        .collect();
    let zones = names::forward_zones(stage);
    let records = zones.iter().flat_map(|zone| &zone.extra);
    let families = records.filter(|record| targets.contains(&&record.name)).filter_map(|record| {
        let RecordData::Address(address) = record.data else { return None };
        Some(Family::of(address))
    });
    families.filter(|family| bringer.has(*family)).collect()
}

/// The mail servers that an answer names; a domain that takes no mail names none.
fn mail_servers(reply: &DnsReply) -> Vec<DomainName> {
    let servers = reply.answers.iter().filter_map(|record| match &record.data {
        RecordData::Mail(to) => to.clone(),
        _ => None,
    });
    servers.collect()
}

/// A part of a zone, to be blamed at the first of its servers.
fn in_zone(zone: &Zone, part: String) -> Culprit {
    match zone.servers.first() {
        Some(server) => Culprit::node(server, part),
        None => Culprit { node: None, segment: None, part },
    }
}

impl Domain<'_> {
    fn question(&self) -> Probe {
        names::lookup(&self.server, &self.name, RecordType::Mx, Transport::Udp, None)
    }

    fn reply<'e>(&self, seen: &Seen<'e>) -> Option<(EvidenceId, &'e DnsReply)> {
        match names::heard(seen, &self.question()) {
            Heard::Reply(id, reply) if reply.rcode != "ServFail" => Some((id, reply)),
            _ => None,
        }
    }

    /// Where mail is brought, as the bringer is told; nowhere where the domain takes none.
    fn targets(&self, seen: &Seen<'_>) -> Option<Vec<DomainName>> {
        let (_, reply) = self.reply(seen)?;
        Some(mail_servers(reply))
    }

    /// The addresses of a target in a family; `None` where they could not be looked up.
    fn addresses(
        &self,
        seen: &Seen<'_>,
        target: &DomainName,
        family: Family,
    ) -> Option<(EvidenceId, BTreeSet<IpAddr>)> {
        let [new, old] = names::both_families(&self.server, target);
        match names::heard(seen, if family == Family::V6 { &new } else { &old }) {
            Heard::Reply(id, reply) if reply.rcode != "ServFail" => {
                Some((id, names::addresses_in(reply, family)))
            }
            _ => None,
        }
    }

    fn hello(&self, address: IpAddr) -> Probe {
        let to = SocketAddr::new(address, PORT);
        let question = Question::Connect { to, source: None, hello: Hello::Smtp, watch: false };
        ask::probe(&self.server.asker, question)
    }

    /// What is asked of a target at the addresses that no planned way leads to: the others are asked along it.
    fn hellos(&self, seen: &Seen<'_>, target: &DomainName, servers: &[Named]) -> Vec<Probe> {
        let families = self.families.iter();
        let addresses = families.filter_map(|family| self.addresses(seen, target, family));
        let hellos = addresses.flat_map(|(_, all)| all).map(|address| self.hello(address));
        let is_new = |probe: &Probe| servers.iter().all(|named| named.leg.probe != *probe);
        hellos.filter(is_new).collect()
    }

    fn subject(&self) -> String {
        format!("{}->MX of {}", self.server.asker, self.name)
    }

    fn judge(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        servers: &[Named],
    ) -> Vec<Judgement> {
        let Some(((id, _), targets)) = self.reply(seen).zip(self.targets(seen)) else {
            return vec![judge.not_testable(self.subject(), "MX could not be looked up", [])];
        };
        if targets.is_empty() {
            let reason = "it takes no mail, by an MX record that says so or by having none";
            return vec![judge.absent(self.subject(), reason, [id])];
        }
        let families = self.families.iter();
        let mut found: Vec<_> = families
            .map(|family| self.in_family(judge, stage, seen, (id, &targets, family)))
            .collect();
        for target in &targets {
            let hellos = self.hellos(seen, target, servers);
            found
                .extend(hellos.iter().map(|hello| self.greeted(judge, stage, seen, target, hello)));
        }
        found
    }

    fn in_family(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        (id, targets, family): (EvidenceId, &[DomainName], Family),
    ) -> Judgement {
        let subject = format!("{} over {family}", self.subject());
        let mut evidence = vec![id];
        let mut without = Vec::new();
        for target in targets {
            let Some((id, addresses)) = self.addresses(seen, target, family) else {
                let reason = format!("{target} could not be looked up");
                return judge.not_testable(subject, reason, evidence);
            };
            evidence.push(id);
            if addresses.is_empty() {
                without.push(target.to_string());
            }
        }
        let rtype = family.record_type();
        let why = format!("{} has no {rtype} record", without.join(", "));
        if without.is_empty() {
            judge.pass(subject, evidence)
        } else if without.len() < targets.len() {
            judge.info(subject, format!("{why}, and another mail server has"), evidence)
        } else {
            judge.fail(subject, evidence, self.one_family(stage, seen, (targets, family), why))
        }
    }

    fn one_family(
        &self,
        stage: &Stage,
        seen: &Seen<'_>,
        (targets, family): (&[DomainName], Family),
        why: String,
    ) -> Complaint {
        let [new, old] = names::both_families(&self.server, &targets[0]);
        let owner = match names::heard(seen, if family == Family::V6 { &new } else { &old }) {
            Heard::Reply(_, reply) => names::end_of_aliases(reply, &targets[0]).clone(),
            _ => targets[0].clone(),
        };
        let scope = Scope {
            family: Some(family),
            port: Some(Port { transport: Transport::Tcp, number: PORT }),
            name: Some(owner),
            packets: Some(Packets::Names),
            ..Scope::default()
        };
        let all: Vec<_> = targets.iter().map(ToString::to_string).collect();
        let args = [("family", family.to_string()), ("why", why), ("targets", all.join(", "))];
        self.complaint(stage, "one-family", scope, args)
    }

    fn greeted(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        target: &DomainName,
        hello: &Probe,
    ) -> Judgement {
        let address = hello.question.destination().expect("a connection leads somewhere");
        let subject = format!("{} at {address}", self.subject());
        let Some(rounds) = reading::consensus(seen, hello) else {
            return judge.not_testable(subject, "it was not asked", []);
        };
        let evidence = rounds.evidence.clone();
        match rounds.reached() {
            Reached::Yes | Reached::Sometimes { .. } => judge.pass(subject, evidence),
            Reached::Unknown(reason) => judge.not_testable(subject, reason, evidence),
            Reached::No => {
                let way = stage.path(&hello.from, address).ok();
                let scope = way.map(|way| Leg::new(way, hello.clone()).scope());
                let scope = Scope {
                    family: Some(Family::of(address)),
                    name: Some(target.clone()),
                    ..scope.unwrap_or_default()
                };
                let args = [
                    ("target", target.to_string()),
                    ("address", address.to_string()),
                    ("why", reading::describe(rounds.telling)),
                ];
                judge.fail(subject, evidence, self.complaint(stage, "silent", scope, args))
            }
        }
    }

    fn complaint<const N: usize>(
        &self,
        stage: &Stage,
        case: &str,
        scope: Scope,
        args: [(&str, String); N],
    ) -> Complaint {
        let part = format!("MX of {}", self.name);
        let culprit = in_zone(self.zone, part);
        let mut complaint = reading::complaint(stage, case, culprit, scope, args);
        let common = [("domain", self.name.to_string()), ("from", self.server.asker.to_string())];
        complaint.args.extend(common.map(|(name, value)| (name.to_owned(), value)));
        Complaint {
            severity: Severity::Major,
            confidence: Confidence::High,
            depth: Depth::Symptom,
            ..complaint
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            fixture::{self, Network},
            management::tests,
        },
        model::answer::Answer,
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&Smtp);
        tests::assert_silent(&Smtp);
    }

    #[test]
    fn a_server_that_is_deaf_on_ipv6_is_found() {
        let network = Network::healthy(Phase::DualStack).deafen("ns", "smtp", Family::V6);
        let found = fixture::complaints(&Smtp, &network);
        let one = ("unreachable".to_owned(), "ns (tcp/25 over IPv6)".to_owned());
        assert!(!found.is_empty() && found.iter().all(|found| *found == one), "{found:?}");
    }

    fn only(case: &str, culprit: &str, network: &Network) {
        let found = fixture::complaints(&Smtp, network);
        let one = (case.to_owned(), culprit.to_owned());
        assert!(!found.is_empty() && found.iter().all(|found| *found == one), "{found:?}");
    }

    #[test]
    fn a_server_that_encrypts_over_one_family_is_found() {
        let network = Network::healthy(Phase::DualStack).bend(|probe, answer| {
            let Question::Connect { to, hello: Hello::Smtp, .. } = &probe.question else { return };
            if let (true, Answer::Connection { key, .. }) = (to.is_ipv6(), answer) {
                *key = None;
            }
        });
        only("clear-in-one-family", "ns (STARTTLS at tcp/25 over IPv6)", &network);
    }

    /// What the zone holds of `mail.dc.test`, and of the MX record of `dc.test`.
    fn reference(phase: Phase, bend: fn(&mut DnsReply, &DomainName, RecordType)) -> Network {
        tests::network(phase).bend(move |probe, answer| {
            let Question::Lookup { name, rtype, .. } = &probe.question else { return };
            let Answer::Dns { reply: Some(reply), .. } = answer else { return };
            bend(reply, name, *rtype);
        })
    }

    #[test]
    fn an_mx_without_aaaa_is_found_in_every_phase_that_has_ipv6() {
        for phase in [Phase::Partial, Phase::DualStack, Phase::Ipv6Only] {
            let network = reference(phase, |reply, name, rtype| {
                if name.as_str() == "mail.dc.test" && rtype == RecordType::Aaaa {
                    reply.answers.clear();
                }
            });
            only("one-family", "ns (MX of dc.test)", &network);
        }
    }

    #[test]
    fn a_domain_that_takes_no_mail_is_not_complained_of() {
        let network = reference(Phase::DualStack, |reply, _, rtype| {
            if rtype == RecordType::Mx {
                reply.answers.iter_mut().for_each(|record| record.data = RecordData::Mail(None));
            }
        });
        assert!(fixture::complaints(&Smtp, &network).is_empty());
    }

    #[test]
    fn an_mx_that_leads_to_no_mail_server_is_found() {
        let network = reference(Phase::DualStack, |reply, _, rtype| {
            if rtype == RecordType::Mx {
                let to = || Some("portal.dc.test".parse().unwrap());
                let mails = reply.answers.iter_mut();
                mails.for_each(|record| record.data = RecordData::Mail(to()));
            }
        });
        let found = fixture::complaints(&Smtp, &network);
        assert!(found.iter().any(|(case, _)| case == "silent"), "{found:?}");
    }
}

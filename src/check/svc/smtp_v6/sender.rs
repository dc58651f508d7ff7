//! Mail servers that bring mail to others, as those see them: whether the name of their address is confirmed (a PTR record, and a
//! name that leads back: RFC 8601 section 2.7.3), and whether the SPF record of their domain lets them (RFC 7208).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{in_zone, mail_servers};
use crate::{
    check::{
        legs::Named,
        names::{self, Heard, Server},
        reading::{self, Judge},
    },
    model::{
        answer::DnsReply,
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope, Severity},
        name::{DomainName, NodeName},
        node::Address,
        probe::Probe,
        record::{RecordData, RecordType, Zone},
        segment::Plane,
        service::{ServiceKind, Transport},
        verdict::Judgement,
    },
    stage::{Stage, zones::reverse},
    wire::spf::{self, Term, Who},
};

/// How many names of an address are looked up.
const NAMES: usize = 4;

/// A mail server that brings mail to another over a family.
pub(super) struct Sender<'s> {
    node: NodeName,
    family: Family,
    /// Where its mail comes from.
    address: IpAddr,
    /// Whom those ask who take its mail.
    server: Server,
    /// The domains whose mail it takes itself, and so sends.
    domains: Vec<(DomainName, &'s Zone)>,
}

/// What became of looking for the name of an address.
enum Confirmed {
    Yes,
    /// Why not, and the record that is to be looked at.
    No(String, DomainName),
    /// Why that is not known.
    Unknown(String),
}

/// Those that flows let bring mail, each once for every family. Who runs no mail server is no server that sends.
pub(super) fn senders<'s>(stage: &'s Stage, servers: &[Named]) -> Vec<Sender<'s>> {
    let nodes = &stage.testbed.nodes;
    let mut found = BTreeMap::new();
    for path in servers.iter().map(|named| &named.leg.path) {
        let (Some(from), Some(to)) = (path.nodes.first(), path.nodes.last()) else { continue };
        let sends = nodes[from].services.iter().any(|it| it.kind == ServiceKind::Smtp);
        // A translator would show another address.
        let mut interfaces = nodes[to].interfaces.iter();
        let is_plain = interfaces.any(|i| i.addresses.iter().any(|a| a.ip() == path.destination));
        let resolvers = names::resolvers_of(stage, to).chain(names::resolvers_of(stage, from));
        let Some(server) = resolvers.into_iter().next() else { continue };
        if !sends || !is_plain || from == to {
            continue;
        }
        found.entry((from, path.family())).or_insert_with(|| Sender {
            node: from.clone(),
            family: path.family(),
            address: path.source,
            server,
            domains: domains(stage, from),
        });
    }
    found.into_values().collect()
}

/// The domains whose MX records name a mail server of a node.
fn domains<'s>(stage: &'s Stage, node: &NodeName) -> Vec<(DomainName, &'s Zone)> {
    let services = stage.testbed.nodes[node].services.iter();
    let mine = services.filter(|service| service.kind == ServiceKind::Smtp);
    let mine: Vec<_> = mine.flat_map(|service| &service.names).collect();
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for zone in names::forward_zones(stage) {
        for record in &zone.extra {
            let is_mine = matches!(&record.data, RecordData::Mail(Some(to)) if mine.contains(&to));
            if is_mine && known.insert(record.name.clone()) {
                found.push((record.name.clone(), zone));
            }
        }
    }
    found
}

/// What is asked at first.
pub(super) fn ask(senders: &[Sender<'_>]) -> Vec<Experiment> {
    vec![Experiment::of_probes(senders.iter().flat_map(Sender::questions))]
}

/// The names that the answers tell of.
pub(super) fn follow_up(seen: &Seen<'_>, senders: &[Sender<'_>]) -> Vec<Experiment> {
    let questions: Vec<_> = senders.iter().flat_map(Sender::questions).collect();
    let further: Vec<_> = senders.iter().flat_map(|sender| sender.further(seen)).collect();
    let again = [&questions, &further].into_iter();
    let mut experiments: Vec<_> =
        again.flat_map(|probes| reading::repeat_unanswered(seen, probes)).collect();
    experiments.push(Experiment::of_probes(further));
    experiments
}

pub(super) fn judge(
    judge: Judge,
    stage: &Stage,
    seen: &Seen<'_>,
    senders: &[Sender<'_>],
) -> Vec<Judgement> {
    let of = |sender: &Sender<'_>| {
        let other = senders.iter().find(|o| o.node == sender.node && o.family != sender.family);
        let name = sender.judge_name(judge, stage, seen, other);
        let domains = sender.domains.iter();
        let spf = domains.map(|domain| sender.judge_spf(judge, stage, seen, domain));
        std::iter::once(name).chain(spf).collect::<Vec<_>>()
    };
    senders.iter().flat_map(of).collect()
}

impl Sender<'_> {
    fn lookup(&self, name: &DomainName, rtype: RecordType) -> Probe {
        names::lookup(&self.server, name, rtype, Transport::Udp, Some(names::SAFE_SIZE))
    }

    fn pointer(&self) -> Probe {
        self.lookup(&reverse(self.address, u8::MAX), RecordType::Ptr)
    }

    fn forward(&self, name: &DomainName) -> Probe {
        self.lookup(name, RecordType::of(self.family))
    }

    fn questions(&self) -> Vec<Probe> {
        let of_domain = |(name, _): &(DomainName, &Zone)| {
            [RecordType::Txt, RecordType::Mx].map(|rtype| self.lookup(name, rtype))
        };
        std::iter::once(self.pointer()).chain(self.domains.iter().flat_map(of_domain)).collect()
    }

    /// What was told. `Err` says why nothing is known.
    fn told<'e>(
        &self,
        seen: &Seen<'e>,
        name: &DomainName,
        rtype: RecordType,
    ) -> Result<(EvidenceId, &'e DnsReply), String> {
        match names::heard(seen, &self.lookup(name, rtype)) {
            Heard::Reply(id, reply) if reply.rcode != "ServFail" && !reply.truncated => {
                Ok((id, reply))
            }
            _ => Err(format!("{name} could not be looked up by {}", self.server.asker)),
        }
    }

    /// The names that its address has.
    fn pointers(&self, seen: &Seen<'_>) -> Result<(EvidenceId, Vec<DomainName>), String> {
        let (id, reply) = self.told(seen, &reverse(self.address, u8::MAX), RecordType::Ptr)?;
        let names = reply.answers.iter().filter_map(|record| match &record.data {
            RecordData::Pointer(name) => Some(name.clone()),
            _ => None,
        });
        Ok((id, names.take(NAMES).collect()))
    }

    /// The SPF record of a domain; `None` where it has none.
    fn record(
        &self,
        seen: &Seen<'_>,
        domain: &DomainName,
    ) -> Result<(EvidenceId, Option<String>), String> {
        let (id, reply) = self.told(seen, domain, RecordType::Txt)?;
        let texts = reply.answers.iter().filter_map(|record| match &record.data {
            RecordData::Text(text) if spf::terms(text).is_some() => Some(text.clone()),
            _ => None,
        });
        let mut texts: Vec<_> = texts.collect();
        match texts.len() {
            // What several of them say is an error to everybody, over any family (RFC 7208 section 4.5).
            2.. => Err(format!("{domain} has several SPF records")),
            _ => Ok((id, texts.pop())),
        }
    }

    /// The names whose addresses a domain lets bring its mail, by the answers so far.
    fn named(&self, seen: &Seen<'_>, domain: &DomainName) -> Vec<DomainName> {
        let Ok((_, Some(text))) = self.record(seen, domain) else { return Vec::new() };
        let terms = spf::terms(&text).unwrap_or_default();
        let of_term = |term: Term| match term.who {
            Who::Name(name) => vec![name.unwrap_or_else(|| domain.clone())],
            Who::MailServers => self.mail_servers(seen, domain).unwrap_or_default(),
            _ => Vec::new(),
        };
        terms.into_iter().flat_map(of_term).collect()
    }

    fn mail_servers(
        &self,
        seen: &Seen<'_>,
        domain: &DomainName,
    ) -> Result<Vec<DomainName>, String> {
        let (_, reply) = self.told(seen, domain, RecordType::Mx)?;
        Ok(mail_servers(reply))
    }

    fn further(&self, seen: &Seen<'_>) -> Vec<Probe> {
        let pointers = self.pointers(seen).map(|(_, names)| names).unwrap_or_default();
        let mut probes: Vec<_> = pointers.iter().map(|name| self.forward(name)).collect();
        for (domain, _) in &self.domains {
            for name in self.named(seen, domain) {
                probes.extend(Family::ALL.map(|f| self.lookup(&name, RecordType::of(f))));
            }
        }
        probes
    }

    fn confirmed(&self, seen: &Seen<'_>) -> (Vec<EvidenceId>, Confirmed) {
        let (id, pointers) = match self.pointers(seen) {
            Ok(read) => read,
            Err(reason) => return (Vec::new(), Confirmed::Unknown(reason)),
        };
        let mut evidence = vec![id];
        let own = reverse(self.address, u8::MAX);
        let Some(first) = pointers.first() else {
            return (evidence, Confirmed::No(format!("{} has no reverse name", self.address), own));
        };
        let mut unknown = None;
        for name in &pointers {
            match self.told(seen, name, RecordType::of(self.family)) {
                Ok((id, reply)) => {
                    evidence.push(id);
                    if names::addresses_in(reply, self.family).contains(&self.address) {
                        return (evidence, Confirmed::Yes);
                    }
                }
                Err(reason) => unknown = Some(reason),
            }
        }
        let no = || {
            let words: Vec<_> = pointers.iter().map(ToString::to_string).collect();
            let why = format!("its reverse name {} does not lead back to it", words.join(", "));
            // Its own mail server by name: then the name is right, and what it says is not.
            let owner = if self.is_own(first) { first.clone() } else { own };
            Confirmed::No(why, owner)
        };
        (evidence, unknown.map_or_else(no, Confirmed::Unknown))
    }

    fn is_own(&self, name: &DomainName) -> bool {
        let mut records = self.domains.iter().flat_map(|(_, zone)| &zone.extra);
        records.any(|record| record.data == RecordData::Mail(Some(name.clone())))
    }

    fn judge_name(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        other: Option<&Self>,
    ) -> Judgement {
        let subject = format!("{}: name of its address over {}", self.node, self.family);
        let (evidence, confirmed) = self.confirmed(seen);
        let (why, owner) = match confirmed {
            Confirmed::Yes => return judge.pass(subject, evidence),
            Confirmed::Unknown(reason) => return judge.not_testable(subject, reason, evidence),
            Confirmed::No(why, owner) => (why, owner),
        };
        let other = other.filter(|other| matches!(other.confirmed(seen), (_, Confirmed::Yes)));
        let expected = match other {
            Some(other) => format!("the name of {} is confirmed", other.address),
            None if self.is_planned(stage) => "its reverse name is planned".to_owned(),
            None => return judge.info(subject, why, evidence),
        };
        let scope = Scope {
            family: Some(self.family),
            name: Some(owner),
            packets: Some(Packets::Names),
            ..Scope::default()
        };
        let part = format!("name of its address over {}", self.family);
        let args = [("why", why), ("other", expected)];
        let culprit = Culprit::node(&self.node, part);
        judge.fail(subject, evidence, self.complaint(stage, "unconfirmed", culprit, scope, args))
    }

    fn is_planned(&self, stage: &Stage) -> bool {
        let own = reverse(self.address, u8::MAX);
        let zones = stage.nodes.values().filter_map(|node| node.zones.as_ref());
        let mut records = zones.flat_map(|(_, zones)| zones).flat_map(|zone| &zone.extra);
        records.any(|record| record.name == own && matches!(record.data, RecordData::Pointer(_)))
    }

    /// Whether mail from an address passes. `Err` says what is not followed.
    fn passes(
        &self,
        seen: &Seen<'_>,
        domain: &DomainName,
        terms: &[Term],
        address: IpAddr,
    ) -> Result<bool, String> {
        let family = Family::of(address);
        let has = |name: &DomainName| {
            let (_, reply) = self.told(seen, name, RecordType::of(family))?;
            Ok::<_, String>(names::addresses_in(reply, family).contains(&address))
        };
        for Term { passes, who } in terms {
            let matches = match who {
                Who::All => true,
                Who::Net(net) => net.contains(&address),
                Who::Name(name) => has(name.as_ref().unwrap_or(domain))?,
                Who::MailServers => {
                    let servers = self.mail_servers(seen, domain)?;
                    servers.iter().map(has).collect::<Result<Vec<_>, _>>()?.contains(&true)
                }
                Who::Elsewhere(word) => return Err(format!("`{word}` is not followed")),
            };
            if matches {
                return Ok(*passes);
            }
        }
        Ok(false)
    }

    fn judge_spf(
        &self,
        judge: Judge,
        stage: &Stage,
        seen: &Seen<'_>,
        (domain, zone): &(DomainName, &Zone),
    ) -> Judgement {
        let subject = format!("{}: SPF of {domain} over {}", self.node, self.family);
        let (id, text) = match self.record(seen, domain) {
            Ok((id, Some(text))) => (id, text),
            Ok((id, None)) => return judge.absent(subject, "the domain has no SPF record", [id]),
            Err(reason) => return judge.not_testable(subject, reason, []),
        };
        let terms = spf::terms(&text).unwrap_or_default();
        match self.passes(seen, domain, &terms, self.address) {
            Ok(true) => return judge.pass(subject, [id]),
            Ok(false) => {}
            Err(reason) => return judge.info(subject, reason, [id]),
        }
        let mut others = self.planned_otherwise(stage).into_iter();
        let other = others.find(|other| self.passes(seen, domain, &terms, *other) == Ok(true));
        let Some(other) = other else {
            let reason = "the record lets it send over neither family";
            return judge.info(subject, reason, [id]);
        };
        let scope = Scope {
            family: Some(self.family),
            name: Some(domain.clone()),
            packets: Some(Packets::Names),
            ..Scope::default()
        };
        let mechanism = match self.family {
            Family::V4 => "ip4",
            Family::V6 => "ip6",
        };
        let culprit = in_zone(zone, format!("SPF of {domain}"));
        let args = [
            ("domain", domain.to_string()),
            ("other", other.to_string()),
            ("term", format!("{mechanism}:{}", self.address)),
            ("record", text),
        ];
        judge.fail(subject, [id], self.complaint(stage, "spf", culprit, scope, args))
    }

    /// Its addresses of the other family, whether or not that is live in this phase.
    fn planned_otherwise(&self, stage: &Stage) -> Vec<IpAddr> {
        let interfaces = stage.testbed.nodes[&self.node].interfaces.iter();
        let data = interfaces.filter(|i| stage.testbed.segments[&i.segment].plane == Plane::Data);
        let addresses = data.flat_map(|interface| &interface.addresses);
        let other = addresses.filter(|address| address.family() != self.family);
        other.map(Address::ip).collect()
    }

    fn complaint<const N: usize>(
        &self,
        stage: &Stage,
        case: &str,
        culprit: Culprit,
        scope: Scope,
        args: [(&str, String); N],
    ) -> Complaint {
        let mut complaint = reading::complaint(stage, case, culprit, scope, args);
        let common = [
            ("sender", self.node.to_string()),
            ("family", self.family.to_string()),
            ("address", self.address.to_string()),
            ("from", self.server.asker.to_string()),
            ("rtype", self.family.record_type().to_owned()),
        ];
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
            svc::smtp_v6::Smtp,
        },
        model::{answer::Answer, phase::Phase, probe::Question, verdict::Verdict},
    };

    /// Two bodies that bring each other mail; names are looked up in this way.
    fn network(
        phase: Phase,
        bend: impl Fn(&mut DnsReply, &DomainName, RecordType) + Send + Sync + 'static,
    ) -> Network {
        Network::with_mail(phase).bend(move |probe, answer| {
            let Question::Lookup { name, rtype, .. } = &probe.question else { return };
            let Answer::Dns { reply: Some(reply), .. } = answer else { return };
            bend(reply, name, *rtype);
        })
    }

    fn found(network: &Network) -> BTreeSet<(String, String)> {
        fixture::complaints(&Smtp, network).into_iter().collect()
    }

    fn one(case: &str, culprit: &str) -> BTreeSet<(String, String)> {
        BTreeSet::from([(case.to_owned(), culprit.to_owned())])
    }

    fn says(text: &'static str) -> impl Fn(&mut DnsReply, &DomainName, RecordType) {
        move |reply, name, rtype| {
            if (name.as_str(), rtype) == ("office.test", RecordType::Txt) {
                let data = RecordData::Text(text.to_owned());
                reply.answers = vec![crate::model::record::Record { name: name.clone(), data }];
            }
        }
    }

    #[test]
    fn mail_as_planned_is_silent_and_every_sender_is_looked_at() {
        for (phase, families) in [(Phase::Ipv4Only, 1), (Phase::DualStack, 2), (Phase::Ipv6Only, 1)]
        {
            let judgements = network(phase, |_, _, _| ()).ask(&[&Smtp]);
            assert!(judgements.iter().all(|j| !j.verdict.is_bad()), "{judgements:#?}");
            let of = |words: &str| {
                let passed = judgements.iter().filter(|j| j.verdict == Verdict::Pass);
                passed.filter(|j| j.subject.contains(words)).count()
            };
            assert_eq!([of(": name of its address"), of(": SPF of ")], [2 * families; 2]);
            assert_eq!(of("drop: "), 0, "it sends none");
        }
    }

    #[test]
    fn an_address_without_a_reverse_name_is_found() {
        for phase in [Phase::DualStack, Phase::Ipv6Only] {
            let without = network(phase, |reply, name, _| {
                if name.as_str().ends_with("1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa") {
                    reply.answers.clear();
                }
            });
            assert_eq!(found(&without), one("unconfirmed", "post (name of its address over IPv6)"));
        }
    }

    #[test]
    fn a_reverse_name_that_leads_elsewhere_is_found() {
        let other = network(Phase::DualStack, |reply, name, _| {
            if name.as_str().ends_with("1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa") {
                let to = "mail.centre.test".parse().unwrap();
                reply.answers.iter_mut().for_each(|record| {
                    record.data = RecordData::Pointer(DomainName::clone(&to));
                });
            }
        });
        assert_eq!(found(&other), one("unconfirmed", "post (name of its address over IPv6)"));
    }

    #[test]
    fn a_record_that_lets_one_family_send_is_found_also_when_that_is_gone() {
        for phase in [Phase::DualStack, Phase::Ipv6Only] {
            let of_ipv4 = network(phase, says("v=spf1 ip4:10.1.0.0/24 -all"));
            assert_eq!(found(&of_ipv4), one("spf", "names (SPF of office.test)"));
        }
        assert_eq!(
            found(&network(Phase::Ipv4Only, says("v=spf1 ip4:10.1.0.0/24 -all"))),
            [].into()
        );
    }

    #[test]
    fn records_that_let_both_families_send_or_neither_or_tell_of_others_are_no_fault() {
        for text in [
            "v=spf1 mx -all",
            "v=spf1 a:mail.office.test ~all",
            "v=spf1 +all",
            "v=spf1 -all",
            "v=spf1 include:office.example ip4:10.1.0.0/24 -all",
            "for everybody",
        ] {
            assert_eq!(found(&network(Phase::DualStack, says(text))), [].into(), "{text}");
        }
    }
}

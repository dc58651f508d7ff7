//! Names: who serves them, who asks, and what the plan says the answer is. What the checks of name resolution share.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use super::{ask, legs, reach::Leg, reading};
use crate::{
    model::{
        answer::{Answer, DnsReply, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Culprit, Packets, Scope},
        name::{DomainName, NodeName, ServiceName},
        probe::{Probe, Question},
        record::{RecordData, RecordType, Zone},
        service::{ServiceKind, Transport},
    },
    stage::{Path, Stage},
};

/// How many names of a zone are asked for; above that, a sample spread evenly over the zone.
const NAMES: usize = 24;
/// How many askers stand for all who use a server.
const ASKERS: usize = 2;

/// How many aliases are followed.
const LONGEST_CHAIN: usize = 8;

/// The UDP payload size that avoids fragments (DNS flag day 2020; RFC 9715 section 3).
pub const SAFE_SIZE: u16 = 1232;

/// A server of names at one of its addresses, and a node that uses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// The node that serves.
    pub node: NodeName,
    /// Its service.
    pub service: ServiceName,
    /// `Dns` is authoritative, `Resolver` asks others.
    pub kind: ServiceKind,
    /// Where it is asked.
    pub at: SocketAddr,
    /// The node that asks.
    pub asker: NodeName,
}

/// A published name and its planned addresses in this phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The name.
    pub name: DomainName,
    /// The name that holds the addresses: the same, or where its alias ends.
    pub owner: DomainName,
    /// The names from it to the owner, both included.
    pub chain: Vec<DomainName>,
    /// Its addresses, an alias followed to its end.
    pub addresses: BTreeSet<IpAddr>,
}

impl Published {
    /// Its planned addresses of a family.
    pub fn of(&self, family: Family) -> BTreeSet<IpAddr> {
        self.addresses.iter().copied().filter(|a| a.is_ipv6() == (family == Family::V6)).collect()
    }
}

/// A question about a name, put to a server.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whom.
    pub server: Server,
    /// About what.
    pub published: Published,
    /// The zone that the name is in.
    pub zone: DomainName,
    /// Addresses of this family.
    pub family: Family,
    /// The question.
    pub probe: Probe,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'e> {
    /// A reply.
    Reply(EvidenceId, &'e DnsReply),
    /// Nothing, although it was asked in every round.
    Silence(EvidenceId),
    /// It was not reached, or not asked: nothing can be said about names.
    Unheard(EvidenceId),
    /// It was never sent.
    NotSent,
}

/// Every server that is to listen, at every address, each with up to two nodes that use it: authoritative servers are
/// used by resolvers, resolvers by the nodes that are configured with them.
pub fn servers(stage: &Stage) -> Vec<Server> {
    let mut found = Vec::new();
    for node in stage.testbed.nodes.values() {
        let kinds = [ServiceKind::Dns, ServiceKind::Resolver];
        for service in node.services.iter().filter(|s| kinds.contains(&s.kind)) {
            for family in Family::ALL.into_iter().filter(|f| stage.listens(node, service, *f)) {
                for address in stage.service_addresses(node, service, family) {
                    let server = |asker| Server {
                        node: node.name.clone(),
                        service: service.name.clone(),
                        kind: service.kind,
                        at: SocketAddr::new(address, service.port),
                        asker,
                    };
                    found.extend(askers(stage, service.kind, address, service.port).map(server));
                }
            }
        }
    }
    found
}

/// Nodes that use a server and may reach it; where none does, any node that may.
fn askers(
    stage: &Stage,
    kind: ServiceKind,
    address: IpAddr,
    port: u16,
) -> impl Iterator<Item = NodeName> {
    let uses = |name: &&NodeName| {
        let node = &stage.nodes[*name];
        match kind {
            ServiceKind::Resolver => node.resolvers.contains(&address),
            _ => node
                .delegations
                .iter()
                .flat_map(|(_, all)| all)
                .any(|d| d.servers.contains(&address)),
        }
    };
    let may = |name: &&NodeName| stage.may_ask(name, address, port);
    let mut users: Vec<_> =
        stage.nodes.keys().filter(uses).filter(may).take(ASKERS).cloned().collect();
    if users.is_empty() {
        users = stage.nodes.keys().filter(may).take(1).cloned().collect();
    }
    users.into_iter()
}

/// The server of a kind at an address, as a node asks it; `None` where there is none that it may ask.
pub fn server_at(
    stage: &Stage,
    asker: &NodeName,
    address: IpAddr,
    kind: ServiceKind,
) -> Option<Server> {
    let (node, _) = stage.owner(address)?;
    let mut services = stage.testbed.nodes[node].services.iter();
    let service = services.find(|service| service.kind == kind)?;
    stage.may_ask(asker, address, service.port).then(|| Server {
        node: node.clone(),
        service: service.name.clone(),
        kind,
        at: SocketAddr::new(address, service.port),
        asker: asker.clone(),
    })
}

/// The resolvers of a host that it may ask, in its order.
pub fn resolvers_of<'s>(stage: &'s Stage, host: &'s NodeName) -> impl Iterator<Item = Server> + 's {
    let addresses = stage.nodes[host].resolvers.iter();
    addresses.filter_map(|address| server_at(stage, host, *address, ServiceKind::Resolver))
}

/// Questions for the addresses of a name in both families, as hosts put them: AAAA first.
pub fn both_families(server: &Server, name: &DomainName) -> [Probe; 2] {
    [Family::V6, Family::V4]
        .map(|family| lookup(server, name, RecordType::of(family), Transport::Udp, None))
}

/// The zones of the plan without reverse zones.
pub fn forward_zones(stage: &Stage) -> Vec<&Zone> {
    let arpa: DomainName = "arpa".parse().expect("a constant that is a name");
    let mut zones = BTreeMap::new();
    for (_, staged) in stage.nodes.values().filter_map(|node| node.zones.as_ref()) {
        for zone in staged.iter().filter(|zone| !zone.origin.is_within(&arpa)) {
            zones.entry(zone.origin.clone()).or_insert(zone);
        }
    }
    zones.into_values().collect()
}

/// The names of a zone that have addresses in this phase, or that would have in another, aliases included.
pub fn published(stage: &Stage, zone: &Zone) -> Vec<Published> {
    let testbed = stage.testbed.nodes.values().flat_map(|node| &node.services);
    // What is below a cut belongs to the zone there.
    let belongs = |name: &&DomainName| {
        let deepest = stage.testbed.zone_of(name);
        deepest.is_some_and(|deepest| deepest.origin == zone.origin)
    };
    let services = testbed.flat_map(|service| &service.names);
    let records = zone
        .extra
        .iter()
        .filter(|record| matches!(record.data, RecordData::Address(_) | RecordData::Alias(_)));
    let names: BTreeSet<_> =
        records.map(|r| &r.name).chain(services).filter(belongs).cloned().collect();
    let published = names.into_iter().map(|name| {
        let chain = aliases(zone, &name);
        let owner = chain.last().unwrap_or(&name).clone();
        Published { addresses: addresses(zone, &owner), owner, chain, name }
    });
    legs::sample(published.collect(), NAMES)
}

/// A name and where its aliases lead.
fn aliases(zone: &Zone, name: &DomainName) -> Vec<DomainName> {
    let mut chain = vec![name.clone()];
    while chain.len() <= LONGEST_CHAIN {
        let alias = zone.extra.iter().find_map(|record| match &record.data {
            RecordData::Alias(target) if chain.last() == Some(&record.name) => Some(target),
            _ => None,
        });
        let Some(target) = alias else { break };
        chain.push(target.clone());
    }
    chain
}

/// Where the aliases of a reply lead from a name: to itself where it has none.
pub fn end_of_aliases<'r>(reply: &'r DnsReply, name: &'r DomainName) -> &'r DomainName {
    let next = |from: &DomainName| {
        reply.answers.iter().find_map(|record| match &record.data {
            RecordData::Alias(target) if record.name == *from => Some(target),
            _ => None,
        })
    };
    std::iter::successors(Some(name), |from| next(from)).take(LONGEST_CHAIN).last().unwrap_or(name)
}

fn addresses(zone: &Zone, owner: &DomainName) -> BTreeSet<IpAddr> {
    let own = zone.extra.iter().filter(|record| record.name == *owner);
    own.filter_map(|record| match record.data {
        RecordData::Address(address) => Some(address),
        _ => None,
    })
    .collect()
}

/// Questions for addresses of a family: every sampled name, at every server that is to know it, by those who are told.
pub fn questions(stage: &Stage, family: Family) -> Vec<Asked> {
    by_whom(stage, family, true)
}

/// The same by those who are to be told nothing: the name is for the inside of its zone alone.
pub fn hidden(stage: &Stage, family: Family) -> Vec<Asked> {
    by_whom(stage, family, false)
}

fn by_whom(stage: &Stage, family: Family, are_told: bool) -> Vec<Asked> {
    let servers = servers(stage);
    let mut asked = Vec::new();
    for zone in forward_zones(stage) {
        let published = published(stage, zone);
        for server in servers.iter().filter(|server| knows(stage, server, zone)) {
            let told = |published: &&Published| tells(stage, server, zone, published) == are_told;
            asked.extend(published.iter().filter(told).map(|published| Asked {
                probe: lookup(
                    server,
                    &published.name,
                    RecordType::of(family),
                    Transport::Udp,
                    None,
                ),
                server: server.clone(),
                published: published.clone(),
                zone: zone.origin.clone(),
                family,
            }));
        }
    }
    asked
}

/// Whether a server tells of a name whoever asks it. Resolvers pass on what they are told themselves, and who asks it is no
/// matter; a node that has an address inside is inside.
fn tells(stage: &Stage, server: &Server, zone: &Zone, published: &Published) -> bool {
    let asker = match server.kind {
        ServiceKind::Resolver => &server.node,
        _ => &server.asker,
    };
    let interfaces = &stage.testbed.nodes[asker].interfaces;
    let mut own = interfaces.iter().flat_map(|interface| &interface.addresses);
    let is_told = |name: &DomainName, own: IpAddr| zone.tells(name, own);
    own.any(|own| published.chain.iter().all(|name| is_told(name, own.ip())))
}

fn knows(stage: &Stage, server: &Server, zone: &Zone) -> bool {
    let staged = &stage.nodes[&server.node];
    match server.kind {
        ServiceKind::Resolver => {
            staged.delegations.iter().flat_map(|(_, all)| all).any(|d| d.zone == zone.origin)
        }
        _ => staged.zones.iter().flat_map(|(_, all)| all).any(|z| z.origin == zone.origin),
    }
}

/// The form in which something is asked: over TCP, with EDNS, in mixed case, or just so.
pub type Form = fn(&Asked) -> Probe;

/// Just so.
pub fn plain(asked: &Asked) -> Probe {
    asked.probe.clone()
}

/// With EDNS, over UDP.
pub fn with_edns(asked: &Asked) -> Probe {
    let rtype = RecordType::of(asked.family);
    lookup(&asked.server, &asked.published.name, rtype, Transport::Udp, Some(SAFE_SIZE))
}

/// One question to a server.
pub fn lookup(
    server: &Server,
    name: &DomainName,
    rtype: RecordType,
    transport: Transport,
    edns: Option<u16>,
) -> Probe {
    let question = Question::Lookup {
        server: server.at,
        transport,
        name: name.clone(),
        rtype,
        edns,
        recurse: server.kind == ServiceKind::Resolver,
        mixed_case: false,
    };
    ask::probe(&server.asker, question)
}

/// Asks for the name servers of a zone.
pub fn servers_of(server: &Server, zone: &DomainName) -> Probe {
    lookup(server, zone, RecordType::Ns, Transport::Udp, None)
}

/// Whether a reply names the servers of a zone.
pub fn names_servers(reply: &DnsReply) -> bool {
    reply.rcode == "NoError" && !reply.answers.is_empty()
}

/// The first round of questions.
pub fn ask<'a>(asked: impl IntoIterator<Item = &'a Asked>) -> Vec<Experiment> {
    vec![Experiment::of_probes(asked.into_iter().map(|asked| asked.probe.clone()))]
}

/// Those that were not answered, once more.
pub fn repeat(seen: &Seen<'_>, asked: &[Asked]) -> Vec<Experiment> {
    reading::repeat_unanswered(seen, asked.iter().map(|asked| &asked.probe))
}

/// What came back, over all rounds: a reply if there was one in any of them.
pub fn heard<'e>(seen: &Seen<'e>, probe: &Probe) -> Heard<'e> {
    let rounds = (0..=reading::REPETITIONS)
        .filter_map(|round| seen.answer(&Probe { round, ..probe.clone() }));
    let rounds: Vec<_> = rounds.collect();
    let replied = rounds.iter().find_map(|(id, answer)| match answer {
        Answer::Dns { reply: Some(reply), .. } => Some(Heard::Reply(*id, reply)),
        _ => None,
    });
    let Some((id, _)) = rounds.last() else { return Heard::NotSent };
    let silent = rounds.iter().all(|(_, answer)| {
        answer.attempt().is_some_and(|attempt| attempt.outcome == Outcome::TimedOut)
    });
    replied.unwrap_or(if silent { Heard::Silence(*id) } else { Heard::Unheard(*id) })
}

impl Asked {
    /// `portal.dc.test AAAA at ns 2001:db8:d::35 from resolver`.
    pub fn subject(&self) -> String {
        let Self { server, published, family, .. } = self;
        let rtype = family.record_type();
        format!(
            "{} {rtype} at {} {} from {}",
            published.name,
            server.node,
            server.at.ip(),
            server.asker
        )
    }

    /// Whether the server that is asked gets its answers elsewhere, and got none that it could pass on: then a wrong
    /// answer says nothing about it. The authoritative servers are asked from the resolver's own node, in the same form.
    pub fn hangs_on_another(&self, seen: &Seen<'_>, all: &[Self], form: Form) -> bool {
        if self.server.kind != ServiceKind::Resolver {
            return false;
        }
        if self.is_out_of_reach(seen, all) {
            return true;
        }
        let is_upstream = |other: &&Self| {
            other.server.kind == ServiceKind::Dns && other.server.asker == self.server.node
        };
        let is_deaf_to_edns = |other: &Self| {
            matches!(heard(seen, &with_edns(other)), Heard::Silence(_) | Heard::Unheard(_))
        };
        // Resolvers ask with EDNS; that is tried with one name of each server.
        if all.iter().filter(is_upstream).any(is_deaf_to_edns) {
            return true;
        }
        let upstream = all.iter().filter(is_upstream).filter(|other| {
            other.published.name == self.published.name && other.family == self.family
        });
        let is_good = |probe: &Probe| match heard(seen, probe) {
            Heard::Reply(_, reply) => is_in_order(reply),
            _ => false,
        };
        // However it is asked itself, a resolver asks others over UDP, and with the letters that it was asked with.
        let good = |other: &Self| is_good(&other.probe) && is_good(&form(other));
        let mut upstream = upstream.peekable();
        upstream.peek().is_none() || !upstream.all(good)
    }

    /// Whether the resolver does not even get at the name servers of the zone: `dns.resolver-reaches-v6-only-zone`.
    fn is_out_of_reach(&self, seen: &Seen<'_>, all: &[Self]) -> bool {
        let mut own = all.iter().filter(|other| other.server.node == self.server.node);
        own.any(|other| match heard(seen, &servers_of(&other.server, &self.zone)) {
            Heard::Reply(_, reply) => !names_servers(reply),
            _ => false,
        })
    }

    /// The traffic that an answer hangs on: the question's own, and whatever the resolver asks for it. A link that loses
    /// packets there explains that no answer comes, and that a resolver says that it has none (RFC 2308 section 7).
    pub fn carried(&self, stage: &Stage) -> Option<Box<Scope>> {
        let own = stage.path(&self.server.asker, self.server.at.ip()).ok();
        let ways: Vec<_> = own.into_iter().chain(self.upstream(stage)).collect();
        let ways =
            || ways.iter().flat_map(|way| [Some(way), way.carried.as_deref().map(|c| &c.way)]);
        let ways: Vec<_> = ways().flatten().collect();
        let family = ways.first()?.family();
        let nodes: BTreeSet<_> = ways.iter().flat_map(|way| &way.nodes).cloned().collect();
        let segments: BTreeSet<_> = ways.iter().flat_map(|way| &way.segments).cloned().collect();
        Some(Box::new(Scope {
            family: ways.iter().all(|way| way.family() == family).then_some(family),
            nodes: nodes.into_iter().collect(),
            segments: segments.into_iter().collect(),
            ..Scope::default()
        }))
    }

    /// The ways to the name servers that a resolver asks about the name.
    fn upstream(&self, stage: &Stage) -> Vec<Path> {
        let zones = stage.nodes[&self.server.node].delegations.iter().flat_map(|(_, all)| all);
        let of_name = zones.filter(|delegation| delegation.zone == self.zone);
        let servers = of_name.flat_map(|delegation| &delegation.servers);
        servers.filter_map(|server| stage.path(&self.server.node, *server).ok()).collect()
    }

    /// Whether the server says for both families that the name does not exist: then a name is missing, and no answer is
    /// wrong for what it is.
    pub fn is_gone(&self, seen: &Seen<'_>) -> bool {
        Family::ALL.into_iter().all(|family| {
            let rtype = RecordType::of(family);
            let probe = lookup(&self.server, &self.published.name, rtype, Transport::Udp, None);
            matches!(heard(seen, &probe), Heard::Reply(_, reply) if reply.rcode == "NXDomain")
        })
    }

    /// Who is to blame if all answers about addresses of the family are wrong.
    pub fn answers(&self) -> Culprit {
        let part = format!("answers about {}", self.family.record_type());
        Culprit::node(&self.server.node, part)
    }

    /// The first alias in a reply that leads elsewhere than planned: its owner and its target. Whatever stands behind it
    /// says nothing about the records of the name that was planned.
    pub fn stray_alias<'r>(&self, reply: &'r DnsReply) -> Option<(&'r DomainName, &'r DomainName)> {
        let chain = &self.published.chain;
        let aliases = reply.answers.iter().filter_map(|record| match &record.data {
            RecordData::Alias(target) => Some((&record.name, target)),
            _ => None,
        });
        let planned = |(owner, target): &(&DomainName, &DomainName)| {
            chain.windows(2).any(|pair| pair[0] == **owner && pair[1] == **target)
        };
        let mut stray = aliases.filter(|alias| !planned(alias));
        stray.find(|(owner, _)| chain.contains(owner))
    }

    /// Who is to blame if an alias is wrong, and what is touched: whoever goes by it, over both families.
    pub fn alias(&self, owner: &DomainName) -> (Culprit, Scope) {
        let culprit = Culprit::node(&self.server.node, format!("record CNAME {owner}"));
        (culprit, Scope { name: Some(owner.clone()), ..Scope::default() })
    }

    /// Who is to blame if a record is wrong: the server that holds it.
    pub fn record(&self) -> Culprit {
        let part = format!("record {} {}", self.family.record_type(), self.published.owner);
        Culprit::node(&self.server.node, part)
    }

    /// What is touched if a record is wrong: whoever goes by that name over that family.
    pub fn record_scope(&self) -> Scope {
        Scope {
            family: Some(self.family),
            name: Some(self.published.owner.clone()),
            ..Scope::default()
        }
    }

    /// What is touched if answers are wrong.
    pub fn answers_scope(&self) -> Scope {
        Scope { packets: Some(Packets::Names), ..self.record_scope() }
    }

    /// The values that sentences about it name.
    pub fn args(&self) -> [(&'static str, String); 6] {
        [
            ("name", self.published.name.to_string()),
            ("type", self.family.record_type().to_owned()),
            ("other", self.family.other().record_type().to_owned()),
            ("server", self.server.node.to_string()),
            ("address", self.server.at.ip().to_string()),
            ("from", self.server.asker.to_string()),
        ]
    }

    /// The way of the question, to search whoever stops it.
    pub fn leg(&self, stage: &Stage) -> Option<Leg> {
        let path = stage.path(&self.server.asker, self.server.at.ip()).ok()?;
        Some(Leg::new(path, self.probe.clone()))
    }
}

/// NOERROR with an answer, or with the SOA that says that there is none (RFC 2308 section 2.2).
pub fn is_in_order(reply: &DnsReply) -> bool {
    reply.rcode == "NoError"
        && reply.malformed.is_empty()
        && (!reply.answers.is_empty() || reply.has_soa)
}

/// The addresses of a family that a reply holds.
pub fn addresses_in(reply: &DnsReply, family: Family) -> BTreeSet<IpAddr> {
    reply.addresses().filter(|a| a.is_ipv6() == (family == Family::V6)).collect()
}

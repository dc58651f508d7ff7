//! What a name server is authoritative for, and what it finds there (RFC 1034 section 4.3.2).

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;

use hickory_proto::{
    op::ResponseCode,
    rr::{
        Name, RData, Record, RecordType,
        rdata::{
            A, AAAA, CNAME, HTTPS, MX, NS, PTR, SOA, SVCB, TXT,
            svcb::{IpHint, SvcParamKey, SvcParamValue},
        },
    },
};

use crate::model::{
    name::DomainName,
    record::{self, MAIL_PREFERENCE, RecordData, Zone, server_name},
};

/// Time to live of every record in seconds, and of negative answers (RFC 2308 section 5). Short, because phases change
/// records under the feet of programs.
pub(super) const TTL_S: u32 = 5;
/// The longest chain of aliases that is followed.
pub(super) const MOST_ALIASES: usize = 8;

/// A zone and the servers that a resolver asks for it.
pub(super) type Delegation = (Name, Vec<IpAddr>);

/// The zones of a name server.
#[derive(Default)]
pub(super) struct Catalog {
    /// The deepest first.
    zones: Vec<Contents>,
}

/// The contents of a zone.
struct Contents {
    origin: Name,
    soa: Record,
    owners: BTreeMap<Name, Vec<RData>>,
    /// Every name that exists: owners and the names between them and the origin (RFC 8020).
    names: BTreeSet<Name>,
    /// Names that the inside alone is told of, and whence it asks.
    inside: (BTreeSet<Name>, Vec<IpNet>),
}

/// What was found.
pub(super) struct Found {
    pub(super) code: ResponseCode,
    /// The aliases on the way, then the records asked for.
    pub(super) answers: Vec<Record>,
    /// The start of authority, where there is nothing to answer with (RFC 2308 section 2), or whom to ask instead.
    pub(super) authorities: Vec<Record>,
    /// The addresses of those who are to be asked instead.
    pub(super) glue: Vec<Record>,
}

impl Found {
    fn answers(answers: Vec<Record>) -> Self {
        let (code, authorities, glue) = (ResponseCode::NoError, Vec::new(), Vec::new());
        Self { code, answers, authorities, glue }
    }

    /// Whether others are to be asked, and nothing is said of the name itself.
    pub(super) fn is_referral(&self) -> bool {
        self.answers.is_empty()
            && self.authorities.iter().any(|record| record.record_type() == RecordType::NS)
    }
}

/// A name as it is on the wire.
pub(super) fn wire_name(name: &DomainName) -> Name {
    Name::from_ascii(format!("{name}.")).expect("a domain name of the model is one of the wire")
}

impl Catalog {
    pub(super) fn new(zones: &[Zone]) -> Self {
        let mut zones: Vec<_> = zones.iter().map(Contents::new).collect();
        zones.sort_by_key(|zone| std::cmp::Reverse(zone.origin.num_labels()));
        Self { zones }
    }

    /// `None` where no zone is concerned. Owners are written as they were asked for.
    pub(super) fn find(&self, asked: &Name, rtype: RecordType, asker: IpAddr) -> Option<Found> {
        let mut zone = self.zone(asked)?;
        let mut owner = asked.clone();
        let mut answers = Vec::new();
        for _ in 0..MOST_ALIASES {
            if let Some(cut) = zone.cut(&owner) {
                return Some(zone.referral(cut, answers));
            }
            if zone.hides(&owner, asker) {
                return Some(zone.no_such(answers));
            }
            let records = zone.owners.get(&owner).map_or(&[][..], Vec::as_slice);
            let wanted = records.iter().filter(|data| is_wanted(data, rtype));
            let before = answers.len();
            answers.extend(wanted.map(|data| record_of(&owner, data.clone())));
            if answers.len() > before {
                break;
            }
            let Some(target) = records.iter().find_map(alias) else {
                return Some(zone.nothing(&owner, answers));
            };
            answers.push(record_of(&owner, RData::CNAME(CNAME(target.clone()))));
            let loops = answers.iter().any(|record| record.name == target);
            match self.zone(&target) {
                Some(next) if !loops => zone = next,
                _ => break,
            }
            owner = target;
        }
        Some(Found::answers(answers))
    }

    /// The start of authority of the zone that a name is in.
    pub(super) fn soa(&self, name: &Name) -> Option<Record> {
        Some(self.zone(name)?.soa.clone())
    }

    fn zone(&self, name: &Name) -> Option<&Contents> {
        self.zones.iter().find(|zone| zone.origin.zone_of(name))
    }
}

impl Contents {
    fn new(zone: &Zone) -> Self {
        let origin = wire_name(&zone.origin);
        let servers: Vec<Name> =
            zone.servers.iter().map(|node| wire_name(&server_name(node, &zone.origin))).collect();
        let primary = servers.first().unwrap_or(&origin).clone();
        let soa = record_of(&origin, RData::SOA(start(&origin, primary)));
        let mut owners: BTreeMap<Name, Vec<RData>> = BTreeMap::new();
        let apex = owners.entry(origin.clone()).or_default();
        apex.push(soa.data.clone());
        apex.extend(servers.into_iter().map(|server| RData::NS(NS(server))));
        for record in &zone.extra {
            owners.entry(wire_name(&record.name)).or_default().push(data_of(record));
        }
        let names = owners.keys().flat_map(|owner| up_to(owner, &origin)).collect();
        let inside = zone.inside.as_ref();
        let hidden = inside.iter().flat_map(|inside| &inside.names).map(wire_name).collect();
        let nets = inside.map_or_else(Vec::new, |inside| inside.nets.clone());
        Self { origin, soa, owners, names, inside: (hidden, nets) }
    }

    /// Whether who asks from an address is told that there is no such name.
    fn hides(&self, owner: &Name, asker: IpAddr) -> bool {
        let (names, nets) = &self.inside;
        names.contains(owner) && !nets.iter().any(|net| net.contains(&asker))
    }

    fn no_such(&self, answers: Vec<Record>) -> Found {
        let code = ResponseCode::NXDomain;
        Found { code, authorities: vec![self.soa.clone()], ..Found::answers(answers) }
    }

    /// NODATA, or NXDOMAIN where neither the name nor anything below it exists.
    fn nothing(&self, owner: &Name, answers: Vec<Record>) -> Found {
        let exists = self.names.contains(owner);
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        Found { code, authorities: vec![self.soa.clone()], ..Found::answers(answers) }
    }

    /// The name below which another zone begins, where a name is that or below it.
    fn cut(&self, owner: &Name) -> Option<&Name> {
        let delegates = |name: &Name| {
            let data = self.owners.get(name)?;
            data.iter().any(|data| data.record_type() == RecordType::NS).then_some(())
        };
        let mut above = up_to(owner, &self.origin).into_iter().filter(|name| *name != self.origin);
        let cut = above.rfind(|name| delegates(name).is_some())?;
        self.owners.get_key_value(&cut).map(|(name, _)| name)
    }

    /// Whom to ask about what is below a cut (RFC 1034 section 4.3.2, step 3b), with every address (RFC 9471 section 3).
    fn referral(&self, cut: &Name, answers: Vec<Record>) -> Found {
        let servers = self.owners[cut].iter().filter(|data| data.record_type() == RecordType::NS);
        let authorities: Vec<_> = servers.map(|data| record_of(cut, data.clone())).collect();
        let names = authorities.iter().filter_map(|record| match &record.data {
            RData::NS(NS(name)) => Some(name),
            _ => None,
        });
        let glue = names.flat_map(|name| {
            let data = self.owners.get(name).map_or(&[][..], Vec::as_slice).iter();
            let addresses =
                data.filter(|data| matches!(data, RData::A(_) | RData::AAAA(_))).cloned();
            addresses.map(|data| record_of(name, data)).collect::<Vec<_>>()
        });
        let glue = glue.collect();
        Found { authorities, glue, ..Found::answers(answers) }
    }
}

/// A name and the names above it, as far as the origin.
fn up_to(owner: &Name, origin: &Name) -> Vec<Name> {
    std::iter::successors(Some(owner.clone()), |name| Some(name.base_name()))
        .take_while(|name| origin.zone_of(name))
        .take(usize::from(owner.num_labels()) + 1)
        .collect()
}

fn start(origin: &Name, primary: Name) -> SOA {
    let person = Name::from_ascii("hostmaster").and_then(|name| name.append_domain(origin));
    let person = person.unwrap_or_else(|_| origin.clone());
    SOA::new(primary, person, 1, 3_600, 600, 86_400, TTL_S)
}

fn record_of(owner: &Name, data: RData) -> Record {
    Record::from_rdata(owner.clone(), TTL_S, data)
}

fn data_of(record: &record::Record) -> RData {
    match &record.data {
        RecordData::Address(IpAddr::V4(address)) => RData::A(A(*address)),
        RecordData::Address(IpAddr::V6(address)) => RData::AAAA(AAAA(*address)),
        RecordData::Alias(name) => RData::CNAME(CNAME(wire_name(name))),
        RecordData::Pointer(name) => RData::PTR(PTR(wire_name(name))),
        RecordData::Server(name) => RData::NS(NS(wire_name(name))),
        RecordData::Mail(to) => RData::MX(match to {
            Some(name) => MX::new(MAIL_PREFERENCE, wire_name(name)),
            None => MX::new(0, Name::root()),
        }),
        RecordData::Text(text) => RData::TXT(TXT::from_bytes(strings(text))),
        RecordData::Https(hints) => RData::HTTPS(HTTPS(service(hints))),
    }
}

/// The service itself, not an alias of it, with hints by family in the order of their keys (RFC 9460 sections 2.4.3 and 7.3).
fn service(hints: &BTreeSet<IpAddr>) -> SVCB {
    let old = hints.iter().filter_map(|hint| match hint {
        IpAddr::V4(address) => Some(A(*address)),
        IpAddr::V6(_) => None,
    });
    let new = hints.iter().filter_map(|hint| match hint {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(AAAA(*address)),
    });
    let (old, new): (Vec<_>, Vec<_>) = (old.collect(), new.collect());
    let mut params = Vec::new();
    if !old.is_empty() {
        params.push((SvcParamKey::Ipv4Hint, SvcParamValue::Ipv4Hint(IpHint(old))));
    }
    if !new.is_empty() {
        params.push((SvcParamKey::Ipv6Hint, SvcParamValue::Ipv6Hint(IpHint(new))));
    }
    SVCB::new(1, Name::root(), params)
}

/// A text as strings of at most 255 octets (RFC 1035 section 3.3.14); the empty text is one empty string.
fn strings(text: &str) -> Vec<&[u8]> {
    if text.is_empty() { vec![b""] } else { text.as_bytes().chunks(255).collect() }
}

fn is_wanted(data: &RData, rtype: RecordType) -> bool {
    rtype == RecordType::ANY || data.record_type() == rtype
}

fn alias(data: &RData) -> Option<Name> {
    match data {
        RData::CNAME(CNAME(target)) => Some(target.clone()),
        _ => None,
    }
}

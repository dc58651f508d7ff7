//! Names: which records are published in a phase, who serves them, who is asked for them.

use std::{collections::BTreeSet, net::IpAddr};

use super::{Delegation, Stage};
use crate::model::{
    family::Family,
    name::{DomainName, NodeName},
    node::Node,
    record::{Record, RecordData, Zone, server_name},
    segment::Plane,
    service::ServiceKind,
};

/// Fills in zones, delegations and resolvers.
pub(super) fn derive(stage: &mut Stage) {
    let zones = published(stage);
    let testbed = std::sync::Arc::clone(&stage.testbed);
    let delegations: Vec<_> = zones
        .iter()
        .map(|zone| Delegation { zone: zone.origin.clone(), servers: name_servers(stage, zone) })
        .filter(|delegation| !delegation.servers.is_empty())
        .collect();
    for node in testbed.nodes.values() {
        let service_of = |kind| {
            let service = node.services.iter().find(|service| service.kind == kind);
            service.map(|service| service.name.clone())
        };
        let own: Vec<_> =
            zones.iter().filter(|z| z.servers.contains(&node.name)).cloned().collect();
        let resolvers =
            node.resolvers.iter().flat_map(|name| resolver_addresses(stage, name)).collect();
        let asked = service_of(ServiceKind::Resolver);
        let asked = asked.map(|service| (service, within_reach(stage, node, &delegations)));
        let staged = stage.nodes.get_mut(&node.name).expect("a node of the testbed");
        staged.zones = service_of(ServiceKind::Dns).map(|service| (service, own));
        staged.delegations = asked;
        staged.resolvers = resolvers;
    }
}

/// The delegations as a resolver is told them: without the servers that it may not or cannot ask by plan, as in a family that
/// ends on the way. It would lose time with them that its users see. A zone that has no others keeps them all.
fn within_reach(stage: &Stage, node: &Node, all: &[Delegation]) -> Vec<Delegation> {
    let reaches = |server: &IpAddr| {
        stage.owner(*server).is_some_and(|(owner, _)| *owner == node.name)
            || stage.may_ask(&node.name, *server, ServiceKind::Dns.usual_port())
    };
    let told = |delegation: &Delegation| {
        let near: Vec<_> = delegation.servers.iter().copied().filter(reaches).collect();
        if near.is_empty() {
            delegation.clone()
        } else {
            Delegation { servers: near, ..delegation.clone() }
        }
    };
    all.iter().map(told).collect()
}

/// The zones of the file with every record that follows from services, then a reverse zone for each segment that has
/// published addresses.
fn published(stage: &Stage) -> Vec<Zone> {
    let mut zones = stage.testbed.zones.clone();
    let Some(first) = zones.first().cloned() else { return zones };
    let mut pointers = BTreeSet::new();
    for zone in &mut zones {
        let mut records: BTreeSet<_> = std::mem::take(&mut zone.extra).into_iter().collect();
        for (name, address) in names_and_addresses(stage, zone) {
            records.insert(Record { name: name.clone(), data: RecordData::Address(address) });
            let pointer = Record { name: reverse(address, 128), data: RecordData::Pointer(name) };
            pointers.insert(pointer);
        }
        zone.extra = hinted(&records);
    }
    delegate(&mut zones);
    for segment in stage.testbed.segments.values().filter(|segment| segment.plane == Plane::Data) {
        for prefix in &segment.prefixes {
            let origin = reverse(prefix.network(), prefix.prefix_len());
            let extra: Vec<_> =
                pointers.iter().filter(|r| r.name.is_within(&origin)).cloned().collect();
            if !extra.is_empty() && !zones.iter().any(|zone| zone.origin == origin) {
                let servers = first.servers.clone();
                zones.push(Zone { origin, servers, inside: None, extra });
            }
        }
    }
    zones
}

/// Gives HTTPS records the addresses of their names; those of names without any are not published.
fn hinted(records: &BTreeSet<Record>) -> Vec<Record> {
    let addresses_of = |name: &DomainName| -> BTreeSet<IpAddr> {
        let own = records.iter().filter(|record| record.name == *name);
        own.filter_map(|record| match record.data {
            RecordData::Address(address) => Some(address),
            _ => None,
        })
        .collect()
    };
    let hint = |record: &Record| match &record.data {
        RecordData::Https(_) => {
            let addresses = addresses_of(&record.name);
            let data = RecordData::Https(addresses.clone());
            (!addresses.is_empty()).then(|| Record { name: record.name.clone(), data })
        }
        _ => Some(record.clone()),
    };
    records.iter().filter_map(hint).collect()
}

/// Each zone is delegated by the one above it: its servers by name, with their addresses, without which nobody finds servers
/// whose names are in the zone itself (RFC 1034 section 4.2.1). A zone whose servers do not live in this phase is not.
fn delegate(zones: &mut [Zone]) {
    let cuts: Vec<_> = zones
        .iter()
        .filter_map(|below| {
            let above =
                |zone: &&Zone| zone.origin != below.origin && below.origin.is_within(&zone.origin);
            let above = zones.iter().filter(above).max_by_key(|zone| zone.origin.as_str().len())?;
            let names: Vec<_> =
                below.servers.iter().map(|server| server_name(server, &below.origin)).collect();
            let is_glue = |record: &&Record| {
                names.contains(&record.name) && matches!(record.data, RecordData::Address(_))
            };
            let glue: Vec<_> = below.extra.iter().filter(is_glue).cloned().collect();
            let found = |name: &&DomainName| glue.iter().any(|record| record.name == **name);
            let servers = names.iter().filter(found).map(|name| Record {
                name: below.origin.clone(),
                data: RecordData::Server(name.clone()),
            });
            Some((above.origin.clone(), servers.chain(glue.clone()).collect::<Vec<_>>()))
        })
        .collect();
    for (origin, records) in cuts {
        let above = zones.iter_mut().find(|zone| zone.origin == origin);
        above.expect("a zone of the list").extra.extend(records);
    }
}

fn names_and_addresses(stage: &Stage, zone: &Zone) -> BTreeSet<(DomainName, IpAddr)> {
    let mut found = BTreeSet::new();
    let belongs = |name: &DomainName| {
        stage.testbed.zone_of(name).is_some_and(|deepest| deepest.origin == zone.origin)
    };
    for node in stage.testbed.nodes.values() {
        let serves_zone = zone.servers.contains(&node.name);
        for service in &node.services {
            let own = serves_zone && service.kind == ServiceKind::Dns;
            let server = own.then(|| server_name(&node.name, &zone.origin));
            let names = service.names.iter().filter(|name| belongs(name)).cloned();
            let names: Vec<_> = names.chain(server).collect();
            for family in Family::ALL.into_iter().filter(|f| stage.listens(node, service, *f)) {
                let fronted = stage.fronted_names(node, service, family);
                found.extend(fronted.into_iter().filter(|(name, _)| belongs(name)));
                for address in stage.service_addresses(node, service, family) {
                    found.extend(names.iter().map(|name| (name.clone(), address)));
                }
            }
        }
    }
    found
}

fn name_servers(stage: &Stage, zone: &Zone) -> Vec<IpAddr> {
    let of =
        |family| zone.servers.iter().flat_map(move |n| serving(stage, n, ServiceKind::Dns, family));
    of(Family::V6).chain(of(Family::V4)).collect()
}

/// IPv6 first: what a host does that was told of both (RFC 8106 section 5.3.1 leaves the order to the host).
fn resolver_addresses(stage: &Stage, name: &NodeName) -> Vec<IpAddr> {
    let of = |family| serving(stage, name, ServiceKind::Resolver, family);
    [of(Family::V6), of(Family::V4)].concat()
}

fn serving(stage: &Stage, name: &NodeName, kind: ServiceKind, family: Family) -> Vec<IpAddr> {
    let node = &stage.testbed.nodes[name];
    let services = node.services.iter().filter(|service| service.kind == kind);
    let live = services.filter(|service| stage.listens(node, service, family));
    live.flat_map(|service| stage.service_addresses(node, service, family)).collect()
}

/// The reverse name of the first `bits` of an address (RFC 1035 section 3.5, RFC 3596 section 2.5), cut at whole octets or
/// nibbles. More bits than the address has means the whole address.
pub fn reverse(address: IpAddr, bits: u8) -> DomainName {
    let (mut labels, suffix): (Vec<_>, _) = match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            let kept = octets.iter().take(usize::from(bits / 8));
            (kept.map(u8::to_string).collect(), "in-addr.arpa")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]);
            let kept = nibbles.take(usize::from(bits / 4));
            (kept.map(|nibble| format!("{nibble:x}")).collect(), "ip6.arpa")
        }
    };
    labels.reverse();
    labels.push(suffix.to_owned());
    let text = labels.join(".");
    text.parse().expect("digits, dots and a known suffix are a domain name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reverse_names_are_those_of_the_rfcs() {
        let text = |address: &str, bits| reverse(address.parse().unwrap(), bits).to_string();
        assert_eq!(text("192.0.2.5", 128), "5.2.0.192.in-addr.arpa");
        assert_eq!(text("10.1.2.0", 24), "2.1.10.in-addr.arpa");
        assert_eq!(text("2001:db8::", 32), "8.b.d.0.1.0.0.2.ip6.arpa");
    }
}

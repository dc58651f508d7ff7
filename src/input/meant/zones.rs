//! Zones: served by name servers, with records that belong into them.

use std::collections::{BTreeMap, BTreeSet};

use super::{access, names};
use crate::{
    engine::BUILT_IN,
    input::{
        diagnostic::Diagnostic,
        placeholder,
        table::At,
        written::{self, testbed::Testbed},
    },
    model::{
        name::{DomainName, EngineName, NodeName},
        record::{Inside, Record, RecordData, Zone},
        service::ServiceKind,
        testbed,
    },
};

/// Every zone.
pub(super) fn resolve(written: &Testbed, found: &mut Vec<Diagnostic>) -> Vec<Zone> {
    let mut known = BTreeMap::new();
    let mut zones = Vec::new();
    for zone in &written.zones {
        let origin = &zone.origin;
        let again = known.insert(&origin.is, &origin.at);
        if let Some(first) = again.filter(|_| !placeholder::is(origin.is.as_str())) {
            let message = format!("zone `{}` is given twice", origin.is);
            found.push(Diagnostic::error(&origin.at, message).note(first, "first used here"));
        }
        if zone.servers.is_empty() {
            let message = format!("zone `{}` has no name server", origin.is);
            found.push(Diagnostic::error(&origin.at, message));
        }
        zones.push(Zone {
            origin: origin.is.clone(),
            servers: servers(written, zone, found),
            inside: None,
            extra: records(written, zone, found),
        });
    }
    rings(written, found);
    zones
}

/// Writes into the zones whom the inside of each stands for.
pub(super) fn inside(
    written: &Testbed,
    testbed: &mut testbed::Testbed,
    found: &mut Vec<Diagnostic>,
) {
    for zone in &written.zones {
        let Some(inside) = &zone.inside else { continue };
        let nets: Vec<_> =
            inside.to.iter().flat_map(|word| access::nets(written, testbed, word, found)).collect();
        for name in &inside.names {
            found.extend(unpublished(written, zone, name));
        }
        let servers = zone.servers.iter().filter_map(|name| written.node(&name.is));
        for engine in servers.flat_map(|node| &node.serve).filter_map(told_by) {
            let message =
                format!("`{}` is not told of the inside of zone `{}`", engine.is, zone.origin.is);
            let hint = "take out `engine`: the built-in name server has views";
            let error = Diagnostic::error(&inside.at, message);
            found.push(error.note(&engine.at, "this engine").hint(hint));
        }
        let names = inside.names.iter().map(|name| name.is.clone()).collect();
        let meant = testbed.zones.iter_mut().find(|meant| meant.origin == zone.origin.is);
        if let Some(meant) = meant {
            meant.inside = Some(Inside { nets, names });
        }
    }
}

/// A name of which there is nothing to hide.
fn unpublished(
    written: &Testbed,
    zone: &written::zone::Zone,
    name: &At<DomainName>,
) -> Option<Diagnostic> {
    let services = written.nodes.iter().flat_map(|node| &node.serve);
    let published = services.flat_map(|service| &service.names);
    let records = zone.records.iter().map(|record| &record.name);
    let within = name.is.is_within(&zone.origin.is);
    let mut known = published.chain(records);
    if written.refused.contains(&name.at) || within && known.any(|known| known.is == name.is) {
        return None;
    }
    let message = format!("nothing publishes `{}` in zone `{}`", name.is, zone.origin.is);
    let hint = "name what a service or a record of the zone publishes";
    Some(Diagnostic::error(&name.at, message).note(&zone.origin.at, "this zone").hint(hint))
}

/// The program that serves names in the place of what is built in.
fn told_by(service: &written::service::Service) -> Option<&At<EngineName>> {
    let engine = service.engine.as_ref()?;
    let is_program = engine.is.as_str() != BUILT_IN;
    (is_program && service.speaks() == Some(ServiceKind::Dns)).then_some(engine)
}

/// An alias that leads back to itself has no address at its end (RFC 1034 section 3.6.2).
fn rings(written: &Testbed, found: &mut Vec<Diagnostic>) {
    let records = written.zones.iter().flat_map(|zone| &zone.records);
    let aliases: BTreeMap<_, _> = records
        .filter_map(|record| match record.data.as_slice() {
            [At { is: RecordData::Alias(to), at }] => Some((&record.name.is, (to, at))),
            _ => None,
        })
        .collect();
    let mut told = BTreeSet::new();
    for start in aliases.keys() {
        if told.contains(start) {
            continue;
        }
        let mut way = vec![*start];
        let mut next = aliases.get(start);
        while let Some((name, _)) = next
            && !way.contains(name)
            && !told.contains(name)
        {
            way.push(name);
            next = aliases.get(name);
        }
        told.extend(way.iter().copied());
        let again = next.and_then(|(name, _)| way.iter().position(|known| known == name));
        let Some(ring) = again.map(|at| &way[at..]) else { continue };
        let message = match ring {
            [name] => format!("`{name}` is an alias of itself"),
            names => {
                let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
                format!("aliases lead in a ring: {} and back to {}", names.join(" to "), names[0])
            }
        };
        let error = Diagnostic::error(aliases[ring[0]].1, message)
            .hint("the last alias of a chain leads to a name that has addresses");
        let others = ring.iter().skip(1);
        found.push(others.fold(error, |error, name| error.note(aliases[name].1, "on the ring")));
    }
}

fn servers(
    written: &Testbed,
    zone: &written::zone::Zone,
    found: &mut Vec<Diagnostic>,
) -> Vec<NodeName> {
    let mut servers = Vec::new();
    for name in &zone.servers {
        let Some(node) = names::node(written, name, found) else { continue };
        if node.serve.iter().any(|service| service.may_speak(ServiceKind::Dns)) {
            servers.push(name.is.clone());
            continue;
        }
        let which = if written.refused.contains(&zone.origin.at) {
            "the zone".to_owned()
        } else {
            format!("zone `{}`", zone.origin.is)
        };
        let message =
            format!("`{}` cannot serve {which}: it has no service of kind `dns`", name.is);
        found.push(
            Diagnostic::error(&name.at, message)
                .note(&node.name.at, "this node")
                .hint("give it one: `serve.dns = {}`"),
        );
    }
    servers
}

fn records(
    written: &Testbed,
    zone: &written::zone::Zone,
    found: &mut Vec<Diagnostic>,
) -> Vec<Record> {
    let mut records = Vec::new();
    for record in &zone.records {
        let name = &record.name;
        let is_known = !placeholder::is(zone.origin.is.as_str());
        if is_known && !name.is.is_within(&zone.origin.is) {
            let message = format!("`{}` is not in zone `{}`", name.is, zone.origin.is);
            found.push(Diagnostic::error(&name.at, message).note(&zone.origin.at, "this zone"));
        }
        let [data] = record.data.as_slice() else {
            let message =
                format!("the record of `{}` has {} kinds of data", name.is, record.data.len());
            let hint =
                "give it exactly one of `address`, `alias`, `pointer`, `mail`, `text` and `https`";
            found.push(Diagnostic::error(&record.at, message).hint(hint));
            continue;
        };
        if matches!(data.is, RecordData::Alias(_)) {
            lonely_alias(written, zone, record, found);
        }
        records.push(Record { name: name.is.clone(), data: data.is.clone() });
    }
    records
}

/// An alias has no other data beside it (RFC 1034 section 3.6.2).
fn lonely_alias(
    written: &Testbed,
    zone: &written::zone::Zone,
    alias: &written::zone::Record,
    found: &mut Vec<Diagnostic>,
) {
    let services = written.nodes.iter().flat_map(|node| &node.serve);
    let published = services.flat_map(|service| &service.names);
    let others = zone.records.iter().filter(|other| other.at != alias.at).map(|other| &other.name);
    let Some(other) = published.chain(others).find(|name| name.is == alias.name.is) else { return };
    let message = format!(
        "`{}` is an alias and has other data; an alias stands alone (RFC 1034 section 3.6.2)",
        alias.name.is
    );
    found.push(Diagnostic::error(&alias.name.at, message).note(&other.at, "the other data"));
}

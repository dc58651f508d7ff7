//! Services: what each speaks, where, over which families, under which names.

use std::collections::{BTreeMap, BTreeSet};

use super::{families, fronts, names, paths, polls};
use crate::{
    engine::{BUILT_IN, Engine, Part},
    input::{
        diagnostic::Diagnostic,
        placeholder,
        suggest::{list, suggest},
        table::At,
        written::{self, testbed::Testbed},
    },
    model::{
        family::Families,
        name::{DomainName, EngineName, NodeName, SegmentName},
        node::Interface,
        phase::PerPhase,
        segment::{Plane, Segment},
        service::{Revocation, Service, ServiceKind},
        testbed,
    },
};

/// The services of a node.
pub(super) fn resolve(
    written: &Testbed,
    node: &written::node::Node,
    interfaces: &[Interface],
    segments: &BTreeMap<SegmentName, Segment>,
    found: &mut Vec<Diagnostic>,
) -> Vec<Service> {
    one_port_each(node, found);
    node.serve.iter().filter_map(|s| one(written, node, s, interfaces, segments, found)).collect()
}

fn one(
    written: &Testbed,
    node: &written::node::Node,
    service: &written::service::Service,
    interfaces: &[Interface],
    segments: &BTreeMap<SegmentName, Segment>,
    found: &mut Vec<Diagnostic>,
) -> Option<Service> {
    let name = &service.name;
    let place = format!("service `{}` of node `{}`", name.is, node.name.is);
    if let Some(on) = &service.on {
        let known = || node.on.iter().map(|interface| interface.name.is.as_str());
        if !known().any(|interface| interface == on.is.as_str()) {
            let message = format!("{place} is on `{}`, which is no interface of the node", on.is);
            let hint = suggest(on.is.as_str(), known());
            found.push(Diagnostic::error(&on.at, message).maybe_hint(hint));
        }
    }
    let has = families_of(service, interfaces, segments);
    for said in service.listen.iter().filter(|_| written.is_placed(node)) {
        let whose = format!("node `{}` then speaks", node.name.is);
        families::limit(said, *has.in_phase(said.phase), &whose, found);
    }
    let Some(kind) = service.speaks() else {
        let kinds = || ServiceKind::ALL.into_iter().map(ServiceKind::word);
        let hint = suggest(name.is.as_str(), kinds());
        let hint = hint.map(|hint| format!("say `kind = \"…\"`; {hint}"));
        let message = format!("it is not said what {place} speaks");
        found.push(Diagnostic::error(&name.at, message).maybe_hint(hint));
        names::nodes(written, &service.fronts, found);
        names::nodes(written, &service.polls, found);
        return None;
    };
    Some(Service {
        name: name.is.clone(),
        kind,
        port: service.port()?,
        on: service.on.as_ref().map(|on| on.is.clone()),
        listen: PerPhase::from_fn(|phase| {
            let said = service.listen.iter().find(|said| said.phase == phase);
            said.map_or(*has.in_phase(phase), |said| said.families.and(*has.in_phase(phase)))
        }),
        names: service.names.iter().map(|name| name.is.clone()).collect(),
        path: path(service, kind, &place, found),
        engine: engine(service, kind, found),
        loads: loads(service, kind, &place, found),
        mirrors: mirrors(service, kind, &place, found),
        revocation: revocation(service, kind, &place, found),
        polls: polls::of(written, service, kind, &place, found),
        admits: Vec::new(),
        lockout: service.lockout.as_ref().map(|lockout| lockout.is),
        front: fronts::of(written, service, kind, &place, found),
    })
}

/// The families of the interfaces on which a service is offered: the one that it names, or those of the data plane, or, on
/// a node without data plane, those of management.
fn families_of(
    service: &written::service::Service,
    interfaces: &[Interface],
    segments: &BTreeMap<SegmentName, Segment>,
) -> PerPhase<Families> {
    if let Some(on) = &service.on {
        return families::live(&interfaces.iter().filter(|interface| interface.name == on.is));
    }
    let in_data = |i: &&Interface| segments.get(&i.segment).is_some_and(|s| s.plane == Plane::Data);
    let data = interfaces.iter().filter(in_data);
    if data.clone().next().is_some() {
        families::live(&data)
    } else {
        families::live(&interfaces.iter())
    }
}

fn loads(
    service: &written::service::Service,
    kind: ServiceKind,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<String> {
    if let Some(first) = service.loads.first()
        && !matches!(kind, ServiceKind::Http | ServiceKind::Https)
    {
        let message = format!("{place} shows no page that could load anything");
        found.push(Diagnostic::error(&first.at, message).hint("take `loads` out"));
    }
    service.loads.iter().map(|url| url.is.clone()).collect()
}

/// The list is one of the built-in service.
fn mirrors(
    service: &written::service::Service,
    kind: ServiceKind,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let engine = service.engine.as_ref().filter(|engine| engine.is.as_str() != BUILT_IN);
    let is_web = matches!(kind, ServiceKind::Http | ServiceKind::Https);
    if let Some(first) = service.mirrors.first()
        && (!is_web || engine.is_some() || !service.fronts.is_empty())
    {
        let message = format!("{place} shows no list of mirrors");
        let hint = "a built-in service of kind `http` or `https` that passes nothing on does";
        found.push(Diagnostic::error(&first.at, message).hint(hint));
    }
    service.mirrors.iter().map(|url| url.is.clone()).collect()
}

fn revocation(
    service: &written::service::Service,
    kind: ServiceKind,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> Revocation {
    if let Some(first) = service.crl.as_ref().or(service.ocsp.as_ref())
        && (kind != ServiceKind::Https || !service.fronts.is_empty())
    {
        let message = format!("{place} shows no certificate of its own");
        let hint = "a service of kind `https` that passes nothing on does";
        found.push(Diagnostic::error(&first.at, message).hint(hint));
    }
    let url = |said: &Option<At<String>>| said.as_ref().map(|url| url.is.clone());
    Revocation { crl: url(&service.crl), ocsp: url(&service.ocsp) }
}

fn path(
    service: &written::service::Service,
    kind: ServiceKind,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> String {
    let Some(path) = &service.path else { return "/".to_owned() };
    if matches!(kind, ServiceKind::Http | ServiceKind::Https) {
        found.extend(paths::wrong(path));
    } else {
        let message = format!("{place} speaks `{kind}`, which has no paths");
        found.push(Diagnostic::error(&path.at, message));
    }
    path.is.clone()
}

/// The program that is to provide a service; it must be one that can.
fn engine(
    service: &written::service::Service,
    kind: ServiceKind,
    found: &mut Vec<Diagnostic>,
) -> Option<EngineName> {
    let named = service.engine.as_ref().filter(|named| named.is.as_str() != BUILT_IN)?;
    if let Some(why) = Engine::of(&named.is).and_then(|engine| engine.unfit(Part::Service(kind))) {
        found.push(Diagnostic::error(&named.at, why));
    }
    Some(named.is.clone())
}

/// Two services cannot listen on one port of one address.
fn one_port_each(node: &written::node::Node, found: &mut Vec<Diagnostic>) {
    for (at, service) in node.serve.iter().enumerate() {
        let clash = node.serve[..at].iter().find(|other| {
            let apart = matches!((&service.on, &other.on), (Some(a), Some(b)) if a.is != b.is);
            !apart && service.port().is_some() && service.port() == other.port() && {
                let transports = |s: &written::service::Service| {
                    s.speaks().map_or(&[][..], ServiceKind::transports)
                };
                transports(service).iter().any(|t| transports(other).contains(t))
            }
        });
        let (Some(other), Some(port)) = (clash, service.port()) else { continue };
        let message = format!(
            "services `{}` and `{}` of node `{}` are both on port {port}",
            other.name.is, service.name.is, node.name.is
        );
        let place = |s: &written::service::Service| {
            s.port.as_ref().map_or_else(|| s.name.at.clone(), |port| port.at.clone())
        };
        found.push(
            Diagnostic::error(&place(service), message)
                .note(&place(other), "first used here")
                .hint("give one of them another `port`, or `on` different interfaces"),
        );
    }
}

/// Published names: within a zone, and each of one node.
pub(super) fn check(written: &Testbed, testbed: &testbed::Testbed, found: &mut Vec<Diagnostic>) {
    let mut owners = BTreeMap::<&DomainName, (&NodeName, &At<DomainName>)>::new();
    // A zone whose origin could not be read may be that of any name.
    let is_unknown = |zone: &written::zone::Zone| placeholder::is(zone.origin.is.as_str());
    let unknown = written.zones.iter().any(is_unknown);
    for node in &written.nodes {
        for name in node.serve.iter().flat_map(|service| &service.names) {
            let zoned =
                unknown || written.zones.iter().any(|zone| name.is.is_within(&zone.origin.is));
            if !zoned {
                let zones: BTreeSet<_> = testbed.zones.iter().map(|z| z.origin.as_str()).collect();
                let message = format!("`{}` is in no zone of the testbed", name.is);
                let hint = if zones.is_empty() {
                    "add a `[[zone]]` with its origin and servers".to_owned()
                } else {
                    format!("the zones are {}", list(zones))
                };
                found.push(Diagnostic::error(&name.at, message).hint(hint));
            }
            let (owner, first) = *owners.entry(&name.is).or_insert((&node.name.is, name));
            if *owner != node.name.is {
                let message =
                    format!("`{}` is the name of `{owner}` and of `{}`", name.is, node.name.is);
                found.push(
                    Diagnostic::error(&name.at, message)
                        .note(&first.at, "first used here")
                        .hint("a published name belongs to one node"),
                );
            }
        }
    }
}

//! Access lists of services: whom each lets in, as prefixes of both families; and who can lock log-ins.

use ipnet::IpNet;

use super::names::{self, Noun};
use crate::{
    input::{
        diagnostic::Diagnostic,
        placeholder,
        table::At,
        written::{self, service::Service, testbed::Testbed},
    },
    model::{node::Address, service::ServiceKind, testbed},
};

/// Writes what the names of access lists stand for into the services of the testbed.
pub(super) fn grant(
    written: &Testbed,
    testbed: &mut testbed::Testbed,
    found: &mut Vec<Diagnostic>,
) {
    for node in &written.nodes {
        for service in &node.serve {
            can_lock(node, service, found);
            told(node, service, found);
            let mut nets: Vec<_> = service
                .admits
                .iter()
                .flat_map(|word| nets(written, testbed, word, found))
                .collect();
            nets.sort();
            nets.dedup();
            let meant = testbed.nodes.get_mut(&node.name.is);
            let of_node = meant.into_iter().flat_map(|node| &mut node.services);
            for meant in of_node.filter(|meant| meant.name == service.name.is) {
                meant.admits.clone_from(&nets);
            }
        }
    }
}

/// The prefixes and addresses that a word stands for.
fn nets(
    written: &Testbed,
    testbed: &testbed::Testbed,
    word: &At<String>,
    found: &mut Vec<Diagnostic>,
) -> Vec<IpNet> {
    let name = placeholder::stand_in(&word.is);
    let noun = names::all(written).find(|(known, ..)| *known == name).map(|(_, noun, _)| noun);
    match noun {
        Some(Noun::Node) => {
            let node = testbed.nodes.get(name.as_str());
            let interfaces = node.into_iter().flat_map(|node| &node.interfaces);
            let addresses = interfaces.flat_map(|interface| &interface.addresses);
            addresses.map(Address::ip).map(IpNet::from).collect()
        }
        Some(Noun::Segment) => {
            let segment = testbed.segments.get(name.as_str());
            segment.map_or_else(Vec::new, |segment| segment.prefixes.clone())
        }
        Some(Noun::Site) => {
            let segments = testbed.segments.values();
            let of_site = |s: &&crate::model::segment::Segment| {
                s.site.as_ref().is_some_and(|site| site.as_str() == name)
            };
            segments.filter(of_site).flat_map(|segment| segment.prefixes.clone()).collect()
        }
        Some(Noun::Tunnel | Noun::Translation) | None => {
            let wanted = [Noun::Node, Noun::Segment, Noun::Site];
            names::unknown(written, &name, &word.at, &wanted, found);
            Vec::new()
        }
    }
}

/// Only web services know log-ins.
fn can_lock(node: &written::node::Node, service: &Service, found: &mut Vec<Diagnostic>) {
    let (Some(lockout), Some(kind)) = (&service.lockout, service.speaks()) else { return };
    if !matches!(kind, ServiceKind::Http | ServiceKind::Https) {
        let (name, node) = (&service.name.is, &node.name.is);
        let message = format!(
            "service `{name}` of node `{node}` speaks `{kind}`, which has no log-ins to lock"
        );
        found.push(Diagnostic::error(&lockout.at, message));
    }
}

/// Engines are not told of access lists and locks.
fn told(node: &written::node::Node, service: &Service, found: &mut Vec<Diagnostic>) {
    let is_engine =
        |at: &&At<crate::model::name::EngineName>| at.is.as_str() != crate::engine::BUILT_IN;
    let Some(engine) = service.engine.as_ref().filter(is_engine) else { return };
    let at = service.lockout.as_ref().map(|lockout| &lockout.at);
    if let Some(at) = at.or(service.admits.first().map(|word| &word.at)) {
        let message = format!(
            "the engine `{}` of service `{}` of node `{}` is not told whom to let in",
            engine.is, service.name.is, node.name.is
        );
        let hint = "take out `engine`: the built-in service has access lists and locks";
        found.push(Diagnostic::error(at, message).note(&engine.at, "this engine").hint(hint));
    }
}

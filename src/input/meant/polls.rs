//! Status pages: a web service that is built in asks management agents of other nodes.

use super::names;
use crate::{
    engine::BUILT_IN,
    input::{
        diagnostic::Diagnostic,
        written::{service::Service, testbed::Testbed},
    },
    model::{name::NodeName, service::ServiceKind},
};

/// The nodes whose agents a service asks; `place` says in words which service it is.
pub(super) fn of(
    written: &Testbed,
    service: &Service,
    kind: ServiceKind,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> Vec<NodeName> {
    let Some(first) = service.polls.first() else { return Vec::new() };
    if !matches!(kind, ServiceKind::Http | ServiceKind::Https) {
        let message = format!("{place} speaks `{kind}`, which shows no status page");
        let hint = "only `http` and `https` do; take `polls` out";
        found.push(Diagnostic::error(&first.at, message).hint(hint));
    }
    if let Some(front) = service.fronts.first() {
        let message = format!("{place} passes its users on, so it shows no status page");
        let hint = "give the page a service of its own";
        found.push(
            Diagnostic::error(&first.at, message).note(&front.at, "passed on here").hint(hint),
        );
    }
    if let Some(engine) = service.engine.as_ref().filter(|e| e.is.as_str() != BUILT_IN) {
        let message = format!("`{}` as {place} asks no agents", engine.is);
        let hint = "leave `engine` out: the built-in service does";
        found
            .push(Diagnostic::error(&first.at, message).note(&engine.at, "this engine").hint(hint));
    }
    let mut polled = Vec::new();
    for name in &service.polls {
        let Some(node) = names::node(written, name, found) else { continue };
        if node.serve.iter().any(|service| service.may_speak(ServiceKind::Snmp)) {
            polled.push(name.is.clone());
            continue;
        }
        let message = format!("{place} polls `{}`, which has no service of kind `snmp`", name.is);
        let hint = "give it one: `serve.snmp = {}`";
        let error = Diagnostic::error(&name.at, message).note(&node.name.at, "this node");
        found.push(error.hint(hint));
    }
    polled
}

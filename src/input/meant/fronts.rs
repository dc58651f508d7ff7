//! Fronts: a service that passes connections on needs sites of its own kind, with names to tell them apart by.

use super::names;
use crate::{
    engine::Engine,
    input::{
        diagnostic::Diagnostic,
        table::At,
        written::{service::Service, testbed::Testbed},
    },
    model::{front::Front, name::NodeName, service::ServiceKind},
};

/// What a service passes on; `place` says in words which one it is.
pub(super) fn of(
    written: &Testbed,
    service: &Service,
    kind: ServiceKind,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<Front> {
    let Some(first) = service.fronts.first() else {
        if let Some(tells) = &service.tells {
            let message =
                format!("{place} passes nothing on, so it tells nobody who the client is");
            let hint = "say whom it stands before: `fronts = \"NODE\"`";
            found.push(Diagnostic::error(&tells.at, message).hint(hint));
        }
        return None;
    };
    if !matches!(kind, ServiceKind::Http | ServiceKind::Https) {
        let message = format!("{place} speaks `{kind}`, in which users name no site");
        let hint = "only `http` (by Host) and `https` (by server name) can be passed on";
        found.push(Diagnostic::error(&first.at, message).hint(hint));
        names::nodes(written, &service.fronts, found);
        return None;
    }
    let engine = service.engine.as_ref();
    if let Some((named, engine)) = engine.and_then(|e| Some((e, Engine::of(&e.is)?)))
        && !engine.passes_on
    {
        let message = format!("`{}` passes nothing on to {}", engine.name, first.is);
        let hint = "leave `engine` out, or take `haproxy`";
        found.push(Diagnostic::error(&named.at, message).hint(hint));
    }
    let mut front = Front {
        sites: Vec::new(),
        names: Vec::new(),
        tells: service.tells.as_ref().map(|tells| tells.is),
    };
    for site in &service.fronts {
        let Some(behind) = behind(written, site, kind, place, found) else { continue };
        if front.tells.is_some()
            && let Some(engine) = behind.engine.as_ref().filter(|e| Engine::of(&e.is).is_some())
        {
            let message = format!(
                "service `{}` of node `{}` is provided by `{}`, which would take what {place} tells of clients for a request",
                behind.name.is, site.is, engine.is
            );
            let hint = "leave out `proxy-protocol` here, or `engine` there";
            found.push(
                Diagnostic::error(&engine.at, message).note(&site.at, "passed on here").hint(hint),
            );
        }
        front.sites.push(site.is.clone());
        front.names.extend(behind.names.iter().map(|name| name.is.clone()));
    }
    Some(front)
}

/// The service of a site that is passed on to.
fn behind<'w>(
    written: &'w Testbed,
    site: &At<NodeName>,
    kind: ServiceKind,
    place: &str,
    found: &mut Vec<Diagnostic>,
) -> Option<&'w Service> {
    let node = names::node(written, site, found)?;
    let Some(behind) = node.serve.iter().find(|service| service.speaks() == Some(kind)) else {
        let message = format!("{place} cannot pass on to `{}`, which serves no `{kind}`", site.is);
        found.push(Diagnostic::error(&site.at, message).note(&node.name.at, "this node"));
        return None;
    };
    if !behind.fronts.is_empty() {
        let message = format!("{place} cannot pass on to `{}`, which passes on itself", site.is);
        found.push(Diagnostic::error(&site.at, message).note(&behind.name.at, "here"));
        return None;
    }
    if behind.names.is_empty() {
        let message = format!("{place} cannot tell `{}` by a name: it has none", site.is);
        let hint = format!("give it one: `serve.{} = \"site.example.test\"`", behind.name.is);
        found.push(
            Diagnostic::error(&behind.name.at, message).note(&site.at, "passed on here").hint(hint),
        );
        return None;
    }
    Some(behind)
}

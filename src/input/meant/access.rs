//! Access lists of services: whom each lets in, as prefixes of both families; and who can lock log-ins.

use ipnet::IpNet;

use super::{
    flows::Placed,
    names::{self, Noun},
};
use crate::{
    input::{
        diagnostic::{Diagnostic, Span},
        placeholder,
        table::At,
        written::{self, service::Service, testbed::Testbed},
    },
    model::{
        family::Family,
        flow::{Intent, Traffic},
        node::{Address, Node},
        phase::Phase,
        segment::Plane,
        service::{self, ServiceKind},
        testbed,
    },
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
            let Some(list) = &service.admits else { continue };
            let complaints = found.len();
            let mut nets: Vec<_> =
                list.is.iter().flat_map(|word| nets(written, testbed, word, found)).collect();
            nets.sort();
            nets.dedup();
            if nets.is_empty() && found.len() == complaints {
                found.push(nobody(node, service, list));
            }
            let meant = testbed.nodes.get_mut(&node.name.is);
            let of_node = meant.into_iter().flat_map(|node| &mut node.services);
            for meant in of_node.filter(|meant| meant.name == service.name.is) {
                meant.admits.clone_from(&nets);
            }
        }
    }
}

/// A list without an address would be none, which lets everybody in.
fn nobody(node: &written::node::Node, service: &Service, list: &At<Vec<At<String>>>) -> Diagnostic {
    let (service, node) = (&service.name.is, &node.name.is);
    let message =
        format!("`admits` of service `{service}` of node `{node}` names nobody who has an address");
    let hint = "name nodes, segments or sites, or take `admits` out to let everybody in";
    Diagnostic::error(&list.at, message).hint(hint)
}

/// A service with an access list, and where the list is written.
struct Door<'t> {
    testbed: &'t testbed::Testbed,
    flows: &'t [Placed],
    node: &'t Node,
    service: &'t service::Service,
    at: &'t Span,
}

/// Complains of lists that keep out whom the same file lets come: over a flow, or by a front.
pub(super) fn check(
    written: &Testbed,
    flows: &[Placed],
    testbed: &testbed::Testbed,
    found: &mut Vec<Diagnostic>,
) {
    for at_node in &written.nodes {
        let Some(node) = testbed.nodes.get(&at_node.name.is) else { continue };
        for at_service in &at_node.serve {
            let Some(list) = &at_service.admits else { continue };
            let service = node.service(at_service.name.is.as_str());
            let Some(service) = service.filter(|service| !service.admits.is_empty()) else {
                continue;
            };
            let door = Door { testbed, flows, node, service, at: &list.at };
            door.closed_to_flows(found);
            for front in &written.nodes {
                let fronts = front.serve.iter().filter(|s| s.speaks() == Some(service.kind));
                let before = |site: &&At<_>| site.is == node.name;
                let placed = fronts.filter_map(|s| Some((s, s.fronts.iter().find(before)?)));
                for (passing, site) in placed {
                    found.extend(door.closed_to_front(&front.name.is, passing, &site.at));
                }
            }
        }
    }
}

impl Door<'_> {
    /// The addresses of a node in the data plane, where services are visited.
    fn addresses(&self, node: &Node) -> Vec<std::net::IpAddr> {
        let on_data = node.interfaces.iter().filter(|i| self.testbed.plane(i) == Plane::Data);
        on_data.flat_map(|interface| &interface.addresses).map(Address::ip).collect()
    }

    /// The first of some families over which a visitor has addresses, none of which the list names.
    fn shuts_out(&self, visitor: &Node, over: impl Fn(Family) -> bool) -> Option<Family> {
        let addresses = self.addresses(visitor);
        Family::ALL.into_iter().filter(|family| over(*family)).find(|family| {
            let mut own = addresses.iter().filter(|a| Family::of(**a) == *family).peekable();
            own.peek().is_some() && !own.any(|address| self.names(*address))
        })
    }

    fn names(&self, address: std::net::IpAddr) -> bool {
        self.service.admits.iter().any(|net| net.contains(&address))
    }

    fn listens(&self, family: Family) -> bool {
        Phase::ALL.into_iter().any(|p| self.service.listen.in_phase(p).has(family))
    }

    /// Whether visitors of the data plane come to the service at all.
    fn is_on_data(&self) -> bool {
        let on = |interface: &&crate::model::node::Interface| {
            self.service.on.as_ref().is_none_or(|on| interface.name == *on)
        };
        let mut offered = self.node.interfaces.iter().filter(on);
        offered.any(|interface| self.testbed.plane(interface) == Plane::Data)
    }

    /// The flows that let somebody come to a service of a node.
    fn flows_to(&self, to: &Node, service: &service::Service, intent: Intent) -> Vec<&Placed> {
        let comes = |placed: &&Placed| {
            let flow = &placed.flow;
            flow.intent == intent
                && flow.traffic.iter().any(|traffic| carries(traffic, service))
                && self.testbed.is_member(&flow.to, to)
        };
        self.flows.iter().filter(comes).collect()
    }

    /// Everybody else whom a flow lets come to a service of a node, unless another flow denies it.
    fn comers(&self, to: &Node, service: &service::Service) -> Vec<(&Placed, Vec<&Node>)> {
        let denied = self.flows_to(to, service, Intent::Deny);
        let is_denied = |from: &Node| {
            denied.iter().any(|placed| self.testbed.is_member(&placed.flow.from, from))
        };
        let from = |placed: &Placed| {
            let members = self.testbed.members(&placed.flow.from).into_iter();
            members.filter(|from| from.name != to.name && !is_denied(from)).collect()
        };
        let allowed = self.flows_to(to, service, Intent::Allow).into_iter();
        allowed.map(|placed| (placed, from(placed))).collect()
    }

    fn is_closed_to(&self, whom: &str) -> String {
        let (service, node) = (&self.service.name, &self.node.name);
        format!("`admits` of service `{service}` of node `{node}` does not let in {whom}")
    }

    fn closed_to_flows(&self, found: &mut Vec<Diagnostic>) {
        if !self.is_on_data() {
            return;
        }
        for (placed, comers) in self.comers(self.node, self.service) {
            let kept_out = comers.into_iter().find_map(|from| {
                Some((from, self.shuts_out(from, |family| self.listens(family))?))
            });
            let Some((from, family)) = kept_out else { continue };
            let whom =
                format!("`{}` over {family}, as flow `{}` does", from.name, placed.flow.name);
            found.push(
                Diagnostic::warning(self.at, self.is_closed_to(&whom))
                    .label("let in here")
                    .note(&placed.to, "allowed here")
                    .hint("name whom the flow allows in `admits`, or allow the others alone"),
            );
        }
    }

    /// A front that says who its users are is believed: they must be let in; any other front must be let in itself.
    fn closed_to_front(
        &self,
        front: &crate::model::name::NodeName,
        passing: &Service,
        site: &Span,
    ) -> Option<Diagnostic> {
        let front = self.testbed.nodes.get(front)?;
        let service = front.service(passing.name.is.as_str())?;
        if service.front.as_ref()?.tells.is_none() {
            let is_let_in = self.addresses(front).into_iter().any(|address| self.names(address));
            let whom = format!("its front `{}`, so whoever comes by it is shut out", front.name);
            return (!is_let_in).then(|| {
                Diagnostic::error(self.at, self.is_closed_to(&whom))
                    .note(site, "passed on here")
                    .hint(format!("name `{}` in `admits`: the site sees no other", front.name))
            });
        }
        let only_by_front = |family| {
            Phase::ALL.into_iter().any(|phase| {
                let has = |service: &service::Service| service.listen.in_phase(phase).has(family);
                has(service) && !has(self.service)
            })
        };
        let (placed, from, family) =
            self.comers(front, service).into_iter().find_map(|(placed, comers)| {
                let kept_out = |from: &Node| self.shuts_out(from, only_by_front);
                comers.into_iter().find_map(|from| Some((placed, from, kept_out(from)?)))
            })?;
        let whom =
            format!("`{}`, which comes over {family} by its front `{}`", from.name, front.name);
        let hint = "name those users in `admits`: the front says who they are, and is believed";
        Some(
            Diagnostic::error(self.at, self.is_closed_to(&whom))
                .label("let in here")
                .note(site, "passed on here")
                .note(&placed.to, "allowed here")
                .hint(hint),
        )
    }
}

fn carries(traffic: &Traffic, service: &service::Service) -> bool {
    match traffic {
        Traffic::Any => true,
        Traffic::Ping => false,
        Traffic::Port { port, .. } => service.ports().any(|own| own == *port),
    }
}

/// The prefixes and addresses that a word stands for.
pub(super) fn nets(
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

/// Some engines are not told of access lists and locks.
fn told(node: &written::node::Node, service: &Service, found: &mut Vec<Diagnostic>) {
    let is_engine =
        |at: &&At<crate::model::name::EngineName>| at.is.as_str() != crate::engine::BUILT_IN;
    let Some(engine) = service.engine.as_ref().filter(is_engine) else { return };
    if service.speaks().is_none_or(ServiceKind::has_lists_in_engines) {
        return;
    }
    let at = service.lockout.as_ref().map(|lockout| &lockout.at);
    let list = service.admits.as_ref();
    let listed = list.map(|list| list.is.first().map_or(&list.at, |word| &word.at));
    if let Some(at) = at.or(listed) {
        let message = format!(
            "the engine `{}` of service `{}` of node `{}` is not told whom to let in",
            engine.is, service.name.is, node.name.is
        );
        let hint = "take out `engine`: the built-in service has access lists";
        found.push(Diagnostic::error(at, message).note(&engine.at, "this engine").hint(hint));
    }
}

#[cfg(test)]
mod tests {
    use crate::input::{self, diagnostic::Level};

    /// What is said where the shop of the hosting testbed has this list.
    fn said(list: &str, change: impl Fn(String) -> String) -> Vec<(Level, String)> {
        let text = include_str!("../../../testbed/hosting.toml");
        let plain = "serve.https = \"shop.hosting.test\"";
        let with = format!("serve.https = {{ name = \"shop.hosting.test\", admits = {list} }}");
        assert!(text.contains(plain));
        let (_, found) = input::examine("t.toml", &change(text.replace(plain, &with)));
        found.iter().map(|one| (one.level, one.message.clone())).collect()
    }

    const SHOP: &str = "`admits` of service `https` of node `shop`";

    #[test]
    fn a_list_of_nobody_is_refused() {
        let wanted = format!("{SHOP} names nobody who has an address");
        assert_eq!(said("[]", |text| text), [(Level::Error, wanted)]);
    }

    #[test]
    fn users_who_come_by_a_front_are_let_in() {
        let wanted = format!(
            "{SHOP} does not let in `old-visitor`, which comes over IPv4 by its front `front`"
        );
        assert_eq!(said("\"internet\"", |text| text), [(Level::Error, wanted)]);
        assert_eq!(said("[\"internet\", \"old-internet\"]", |text| text), []);
    }

    #[test]
    fn a_front_that_does_not_say_who_its_users_are_is_let_in_itself() {
        let silent = |text: String| text.replace("proxy-protocol = \"v2\", ", "");
        let wanted =
            format!("{SHOP} does not let in its front `front`, so whoever comes by it is shut out");
        assert_eq!(said("\"internet\"", silent), [(Level::Error, wanted)]);
        assert_eq!(said("[\"internet\", \"front\"]", silent), []);
    }

    #[test]
    fn whom_a_flow_allows_is_let_in() {
        let found = said("\"old-internet\"", |text| text);
        let (level, message) = found.last().unwrap();
        assert_eq!(*level, Level::Warning, "{found:?}");
        assert!(message.ends_with("as flow `internet->shop` does"), "{found:?}");
    }
}

//! `meta.plan-vs-topology`: what is read on the nodes is what the plan says: addresses, routes, forwarding.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::{
    check::{
        Case, Check, Text, UseCase, ask, automatic,
        hops::{self, HopLimit},
        reading::{self, Judge},
    },
    model::{
        answer::{AddressState, Answer, LinkState, RouteState},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::Family,
        finding::{Complaint, Confidence, Culprit, Depth, Scope, Severity},
        name::NodeName,
        node::{Address, Origin, Route},
        probe::Aspect,
        segment::Plane,
        verdict::Judgement,
    },
    stage::{Stage, StagedInterface},
};

/// The check.
pub(super) struct PlanVsTopology;

static TEXT: Text = Text {
    id: "meta.plan-vs-topology",
    title: "Nodes against their plan",
    section: "S2 2.1",
    use_case: UseCase::Harness,
    question: "Do the addresses, routes and forwarding that are read on every node agree with the plan of the phase?",
    good: "Every node is as planned.",
    references: &["RFC 7381 section 2.2.1"],
    cases: &[
        Case {
            name: "switch",
            finding: "{node}: {what} is not as planned.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Set the switch back, and find what changed it.",
        },
        Case {
            name: "hop-limit",
            finding: "{node} sends {family} with a hop limit that ends before {what}.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Set the switch back (64 is usual), or find the router that announces such a limit.",
        },
        Case {
            name: "address-missing",
            finding: "{node} lacks its planned {family} address {what}.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Configure the address, or correct the plan.",
        },
        Case {
            name: "address-extra",
            finding: "{node} has the {family} address {what}, which nobody planned.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Remove the address, or write it into the plan.",
        },
        Case {
            name: "route-missing",
            finding: "{node} lacks its planned route to {what}.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Configure the route, or correct the plan.",
        },
        Case {
            name: "route-extra",
            finding: "{node} has a route to {what} that nobody planned.",
            expected: "{expected}.",
            observed: "{observed}.",
            remedy: "Remove the route, or write it into the plan.",
        },
    ],
};

/// The switch by which a family is forwarded, and by which IPv6 of an interface is off.
const FORWARDING: [(Family, &str); 2] =
    [(Family::V4, "net.ipv4.ip_forward"), (Family::V6, "net.ipv6.conf.all.forwarding")];

/// Where a node departs from its plan, the root of it first.
struct Departure {
    case: &'static str,
    /// The part to blame: `address 2001:db8::1`.
    part: String,
    /// What it is about, for sentences.
    what: String,
    expected: String,
    observed: String,
    /// What a route leads to that nobody planned.
    leads_to: Option<IpNet>,
}

/// What was read on a node.
struct Node<'e> {
    links: &'e [LinkState],
    routes: &'e [RouteState],
    switches: &'e [(String, String)],
    evidence: Vec<EvidenceId>,
}

impl Check for PlanVsTopology {
    fn text(&self) -> &'static Text {
        &TEXT
    }

    fn ask(&self, stage: &Stage) -> Vec<Experiment> {
        let aspects = [Aspect::Addresses, Aspect::Routes, Aspect::Switches];
        let probes = stage.nodes.keys().flat_map(|node| aspects.map(|a| ask::inspect(node, a)));
        vec![Experiment::of_probes(probes)]
    }

    fn judge(&self, stage: &Stage, seen: &Seen<'_>) -> Vec<Judgement> {
        let judge = Judge(&TEXT);
        stage.nodes.keys().flat_map(|name| of_node(judge, stage, seen, name)).collect()
    }
}

fn of_node(judge: Judge, stage: &Stage, seen: &Seen<'_>, name: &NodeName) -> Vec<Judgement> {
    let Some(node) = Node::read(seen, name) else {
        return vec![judge.not_testable(name.as_str(), "the node could not be read", [])];
    };
    let of_family = |family: Family| {
        let subject = format!("{name}/{}", family.word());
        match node.departure(stage, name, family) {
            None => judge.pass(subject, node.evidence.clone()),
            Some(departure) => {
                let complaint = departure.complaint(stage, name, family);
                judge.fail(subject, node.evidence.clone(), complaint)
            }
        }
    };
    Family::ALL.map(of_family).to_vec()
}

impl<'e> Node<'e> {
    fn read(seen: &Seen<'e>, name: &NodeName) -> Option<Self> {
        let (addresses, Answer::Addresses(links)) =
            seen.answer(&ask::inspect(name, Aspect::Addresses))?
        else {
            return None;
        };
        let (routes_id, Answer::Routes(routes)) =
            seen.answer(&ask::inspect(name, Aspect::Routes))?
        else {
            return None;
        };
        let switches = seen.answer(&ask::inspect(name, Aspect::Switches));
        let mut evidence = vec![addresses, routes_id];
        let switches = match switches {
            Some((id, Answer::Switches(switches))) => {
                evidence.push(id);
                switches.as_slice()
            }
            _ => &[],
        };
        Some(Self { links, routes, switches, evidence })
    }

    /// The root of what is not as planned in a family: without the switch there is no address, without the address no
    /// route. One trouble is one finding.
    fn departure(&self, stage: &Stage, name: &NodeName, family: Family) -> Option<Departure> {
        self.switch(stage, name, family)
            .or_else(|| self.missing_address(stage, name, family))
            .or_else(|| self.extra_address(stage, name, family))
            .or_else(|| self.missing_route(stage, name, family))
            .or_else(|| self.extra_route(stage, name, family))
            .or_else(|| self.short_of_hops(stage, name, family))
    }

    fn switch(&self, stage: &Stage, name: &NodeName, family: Family) -> Option<Departure> {
        let staged = &stage.nodes[name];
        let forwarding = FORWARDING
            .into_iter()
            .filter(|(f, _)| *f == family)
            .map(|(f, switch)| (switch.to_owned(), staged.forwarding.has(f)));
        let live = |i: &&StagedInterface| family == Family::V6 && i.families.has(family);
        let on = staged
            .interfaces
            .iter()
            .filter(live)
            .map(|interface| (format!("net.ipv6.conf.{}.disable_ipv6", interface.name), false));
        forwarding.chain(on).find_map(|(switch, planned)| {
            let value = &self.switches.iter().find(|(name, _)| *name == switch)?.1;
            let is_on = value.as_str() != "0";
            (is_on != planned).then(|| Departure {
                case: "switch",
                part: format!("switch {switch}"),
                what: switch.clone(),
                expected: format!("{switch} = {}", u8::from(planned)),
                observed: format!("{switch} = {value}"),
                leads_to: None,
            })
        })
    }

    /// A hop limit that is too small for a way of the plan. Any other is a matter of taste.
    fn short_of_hops(&self, stage: &Stage, name: &NodeName, family: Family) -> Option<Departure> {
        let routers = stage.nodes.values().filter(|node| node.forwarding.has(family)).count();
        let word = |(switch, _): &&(String, String)| {
            let mut parts = switch.rsplit('.');
            parts.next().is_some_and(|last| ["hop_limit", "ip_default_ttl"].contains(&last))
        };
        let ends = |value: &str| value.parse().is_ok_and(|value: usize| value <= routers);
        if !self.switches.iter().filter(word).any(|(_, value)| ends(value)) {
            return None;
        }
        let ways = hops::ways(stage, name, family).into_iter();
        let short = ways.filter_map(|way| {
            let limit = HopLimit::of_path(stage, &way, self.switches)?;
            limit.ends_at(way.transit().len()).then_some((way, limit))
        });
        let (way, HopLimit { switch, value }) = short.max_by_key(|(way, _)| way.nodes.len())?;
        let (far, routers) = (way.nodes.last()?, way.transit().len());
        Some(Departure {
            case: "hop-limit",
            part: format!("switch {switch}"),
            what: far.to_string(),
            expected: format!("{switch} above {routers}: so many routers are before {far}"),
            observed: format!("{switch} = {value}"),
            leads_to: None,
        })
    }

    fn held(&self, family: Family) -> impl Iterator<Item = (&LinkState, &AddressState)> {
        let links = self.links.iter().filter(|link| link.name != "lo");
        links.flat_map(move |link| {
            let of_family = move |a: &&AddressState| Family::of_net(a.net) == family;
            link.addresses.iter().filter(of_family).map(move |address| (link, address))
        })
    }

    fn missing_address(&self, stage: &Stage, name: &NodeName, family: Family) -> Option<Departure> {
        let held: BTreeSet<_> = self.held(family).map(|(_, a)| a.net.addr()).collect();
        let planned = stage.nodes[name]
            .interfaces
            .iter()
            .flat_map(|i| i.addresses.iter().map(move |address| (i, address)));
        // What a host forms itself follows from what its router announces: `l2.ra-plan` judges that.
        let lacking = |(_, address): &(&StagedInterface, &Address)| {
            address.family() == family
                && address.origin == Origin::Static
                && !held.contains(&address.ip())
        };
        let (interface, address) = planned.into_iter().find(lacking)?;
        Some(Departure {
            case: "address-missing",
            part: format!("address {}", address.ip()),
            what: address.ip().to_string(),
            expected: format!("{} on {}", address.net, interface.name),
            observed: format!(
                "{} has {}",
                interface.name,
                self.list(interface.name.as_str(), family)
            ),
            leads_to: None,
        })
    }

    fn list(&self, interface: &str, family: Family) -> String {
        let on = self.held(family).filter(|(link, _)| link.name == interface);
        let list: Vec<_> = on.map(|(_, address)| address.net.to_string()).collect();
        if list.is_empty() { format!("no {family} address") } else { list.join(", ") }
    }

    /// Link-local addresses and those that a host formed itself are not planned one by one.
    fn extra_address(&self, stage: &Stage, name: &NodeName, family: Family) -> Option<Departure> {
        let planned: BTreeSet<_> = stage.nodes[name]
            .interfaces
            .iter()
            .flat_map(|i| &i.addresses)
            .map(Address::ip)
            .collect();
        // IPv6 where the phase has none is the matter of `l2.unplanned-v6`.
        let is_live = |link: &LinkState| {
            let interface = stage.nodes[name].interface(&link.name);
            family == Family::V4 || interface.is_none_or(|i| i.families.has(family))
        };
        let mut held = self.held(family).filter(|(link, _)| is_live(link));
        let (link, extra) = held.find(|(_, address)| {
            // That of an automatic tunnel is the matter of `pol.tunnels-blocked`.
            let by_itself =
                address.dynamic || address.temporary || is_of_tunnel(stage, address.net);
            !by_itself && !is_link_local(address.net) && !planned.contains(&address.net.addr())
        })?;
        Some(Departure {
            case: "address-extra",
            part: format!("address {}", extra.net.addr()),
            what: extra.net.addr().to_string(),
            expected: "No address beyond the plan".to_owned(),
            observed: format!("{} on {}", extra.net, link.name),
            leads_to: None,
        })
    }

    fn has(&self, route: &Route) -> bool {
        self.routes.iter().any(|held| held.to == route.to && held.via == Some(route.via))
    }

    fn missing_route(&self, stage: &Stage, name: &NodeName, family: Family) -> Option<Departure> {
        let mut planned = stage.nodes[name].routes.iter();
        let route = planned.find(|r| Family::of(r.via) == family && !self.has(r))?;
        let instead = self.routes.iter().find(|held| held.to == route.to);
        Some(Departure {
            case: "route-missing",
            part: format!("route {}", route.to),
            what: route.to.to_string(),
            expected: format!("{} via {}", route.to, route.via),
            observed: instead.map_or_else(|| "No such route".to_owned(), describe),
            leads_to: None,
        })
    }

    /// Routes with a next hop that somebody configured: neither the kernel's own nor those from advertisements.
    fn extra_route(&self, stage: &Stage, name: &NodeName, family: Family) -> Option<Departure> {
        let planned = &stage.nodes[name].routes;
        let configured = |held: &&RouteState| {
            let own = ["kernel", "ra", "redirect"].contains(&held.origin.as_str());
            let of_family = Family::of_net(held.to) == family;
            of_family && !own && held.learned_mtu.is_none() && held.via.is_some()
        };
        let known =
            |held: &&RouteState| planned.iter().any(|r| r.to == held.to && Some(r.via) == held.via);
        let extra = self.routes.iter().filter(configured).find(|held| !known(held))?;
        Some(Departure {
            case: "route-extra",
            part: format!("route {}", extra.to),
            what: extra.to.to_string(),
            expected: "No route beyond the plan".to_owned(),
            observed: describe(extra),
            leads_to: Some(extra.to),
        })
    }
}

fn describe(route: &RouteState) -> String {
    let via = route.via.map_or_else(String::new, |via| format!(" via {via}"));
    format!("{}{via} on {} ({})", route.to, route.interface, route.origin)
}

fn is_of_tunnel(stage: &Stage, net: IpNet) -> bool {
    let IpNet::V6(v6) = net else { return false };
    automatic::unplanned(stage, v6.addr()).is_some()
}

fn is_link_local(net: IpNet) -> bool {
    match net {
        IpNet::V4(v4) => v4.addr().is_link_local(),
        IpNet::V6(v6) => v6.addr().is_unicast_link_local(),
    }
}

impl Departure {
    fn complaint(self, stage: &Stage, name: &NodeName, family: Family) -> Complaint {
        let args = [
            ("node", name.to_string()),
            ("family", family.to_string()),
            ("what", self.what),
            ("expected", self.expected),
            ("observed", self.observed),
        ];
        let (nodes, within) = (vec![name.clone()], self.leads_to);
        let scope = Scope { family: Some(family), nodes, within, ..Scope::default() };
        let live = stage.families(name, Plane::Data).or(stage.families(name, Plane::Management));
        Complaint {
            severity: if live.has(family) { Severity::Major } else { Severity::Minor },
            confidence: Confidence::High,
            // A way too many explains where packets go, and nothing that is read on the node.
            depth: if within.is_some() { Depth::Read } else { Depth::Foundation },
            ..reading::complaint(stage, self.case, Culprit::node(name, self.part), scope, args)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        check::{
            cause,
            fixture::{self, Network, node},
            from_inside::egress_parity::EGRESS_PARITY,
            from_outside::service_reach::SERVICE_REACH,
        },
        model::{family::Families, phase::Phase},
    };

    #[test]
    fn a_healthy_network_is_silent() {
        fixture::assert_silent_when_healthy(&PlanVsTopology);
    }

    fn only(network: &Network) -> (String, String) {
        let mut found = fixture::complaints(&PlanVsTopology, network);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    }

    #[test]
    fn a_lost_address_is_named_and_the_route_that_went_with_it_is_not() {
        let network = Network::healthy(Phase::DualStack).with(|live| {
            let portal = live.nodes.get_mut(&node("portal")).unwrap();
            portal.interfaces[0].addresses.retain(|a| a.family() == Family::V4);
            portal.routes.retain(|r| Family::of(r.via) == Family::V4);
        });
        let expected = ("address-missing".to_owned(), "portal (address 2001:db8:d::a)".to_owned());
        assert_eq!(only(&network), expected);
    }

    #[test]
    fn routes_and_switches_are_named() {
        let route = Network::healthy(Phase::DualStack)
            .with(|live| live.nodes.get_mut("portal").unwrap().routes.retain(|r| r.via.is_ipv4()));
        assert_eq!(only(&route), ("route-missing".to_owned(), "portal (route ::/0)".to_owned()));
        let switch = Network::healthy(Phase::DualStack).with(|live| {
            live.nodes.get_mut("router").unwrap().forwarding = Families::only(Family::V4);
        });
        let part = "router (switch net.ipv6.conf.all.forwarding)".to_owned();
        assert_eq!(only(&switch), ("switch".to_owned(), part));
    }

    #[test]
    fn a_link_that_the_kernel_puts_into_every_namespace_is_no_departure() {
        let network = Network::healthy(Phase::DualStack).bend(|_, answer| {
            if let Answer::Addresses(links) = answer {
                let (name, addresses) = ("sit0".to_owned(), Vec::new());
                links.insert(1, LinkState { name, mac: None, mtu: 1480, up: false, addresses });
            }
        });
        assert_eq!(fixture::complaints(&PlanVsTopology, &network), []);
    }

    fn with_hop_limit(value: &'static str) -> Network {
        Network::healthy(Phase::DualStack).bend(move |probe, answer| {
            if let Answer::Switches(switches) = answer
                && probe.from.as_str() == "portal"
            {
                let of = |(name, _): &&mut (String, String)| name.ends_with(".hop_limit");
                switches.iter_mut().filter(of).for_each(|(_, held)| value.clone_into(held));
            }
        })
    }

    #[test]
    fn a_hop_limit_is_wrong_only_if_it_ends_before_somebody_who_must_be_reached() {
        let part = "portal (switch net.ipv6.conf.eth0.hop_limit)".to_owned();
        assert_eq!(only(&with_hop_limit("1")), ("hop-limit".to_owned(), part));
        assert_eq!(fixture::complaints(&PlanVsTopology, &with_hop_limit("32")), []);
    }

    #[test]
    fn a_lost_route_is_one_finding_with_its_symptoms() {
        let network = Network::healthy(Phase::DualStack)
            .with(|live| live.nodes.get_mut("portal").unwrap().routes.retain(|r| r.via.is_ipv4()));
        let judgements = network.ask(&[&PlanVsTopology, &SERVICE_REACH, &EGRESS_PARITY]);
        let found = cause::findings(&[(Phase::DualStack, judgements)], |_, _| String::new());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].culprit.to_string(), "portal (route ::/0)");
        assert!(!found[0].symptoms.is_empty());
    }
}

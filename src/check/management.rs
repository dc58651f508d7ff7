//! Management products: the stations whose software configures boxes, and what an operator says to them. Checks that look
//! at one property each share these conversations, so that each is held once.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use serde::Serialize;

use super::{
    ask,
    reading::{self, Judge},
};
use crate::{
    model::{
        answer::{Answer, Outcome},
        evidence::{EvidenceId, Seen},
        experiment::Experiment,
        family::{Families, Family},
        finding::{Complaint, Confidence, Culprit, Depth, Packets, Scope},
        management::{Draft, Item, ItemKind, Local, Method, Pair, Reply},
        node::{Node, Role},
        phase::Phase,
        probe::{Call, Probe, Question},
        segment::Plane,
        service::{Port, Service, ServiceKind, Transport},
        tunnel::Relation,
        verdict::Judgement,
    },
    stage::Stage,
};

/// How many routes are entered: enough of both families.
const MOST_ROUTES: usize = 12;

/// What is no IPv6 address or prefix (RFC 4291 section 2.2): a digit that is none, a prefix that is too long, `::` twice.
pub(super) const NONSENSE: [&str; 3] = ["2001:db8::g", "2001:db8::/129", "2001:db8::1::2"];

/// The software of a station together with a box that is configured by it.
#[derive(Clone, Copy)]
pub(super) struct Product<'s> {
    stage: &'s Stage,
    /// Where the software runs, and where its operator sits.
    pub(super) station: &'s Node,
    /// The software.
    pub(super) manager: &'s Service,
    /// The box.
    pub(super) device: &'s Node,
    /// Its interface for configurations.
    pub(super) port: &'s Service,
    /// The family over which both are spoken to: IPv6 where both have it.
    pub(super) family: Family,
}

/// Every product of the stage with every box that it can speak to.
pub(super) fn of_stage(stage: &Stage) -> Vec<Product<'_>> {
    let mut found = Vec::new();
    for (station, manager) in offering(stage, ServiceKind::Manager) {
        if station.role != Role::ManagementStation {
            continue;
        }
        for (device, port) in offering(stage, ServiceKind::Box) {
            let mut families = Family::ALL.into_iter().rev().filter(|family| {
                stage.listens(station, manager, *family) && stage.listens(device, port, *family)
            });
            let Some(family) = families.next() else { continue };
            found.push(Product { stage, station, manager, device, port, family });
        }
    }
    found
}

/// Every product once, with the first of its boxes: for what the box has no part in.
pub(super) fn stations(stage: &Stage) -> Vec<Product<'_>> {
    let mut all = of_stage(stage);
    all.dedup_by(|other, first| other.station.name == first.station.name);
    all
}

/// Services of a kind with their nodes.
pub(super) fn offering(
    stage: &Stage,
    kind: ServiceKind,
) -> impl Iterator<Item = (&Node, &Service)> {
    stage.testbed.nodes.values().flat_map(move |node| {
        node.services.iter().filter(move |s| s.kind == kind).map(move |service| (node, service))
    })
}

/// Two addresses for an upload.
#[derive(Clone, Copy)]
pub(super) struct Try {
    /// The name of the call.
    pub(super) name: &'static str,
    /// The IPv4 address.
    pub(super) v4: IpAddr,
    /// The IPv6 address.
    pub(super) v6: IpAddr,
    /// Which of them answers first, or at all.
    pub(super) wanted: IpAddr,
}

/// What is said, call by call, each under a name by which its reply is found again.
pub(super) struct Conversation {
    probe: Probe,
    names: Vec<String>,
}

/// What came back.
pub(super) struct Heard<'e> {
    names: Vec<String>,
    replies: &'e [(Reply, u64)],
    /// Its evidence.
    pub(super) id: EvidenceId,
}

/// Why nothing can be said of a product, and the evidence for that.
pub(super) type Mute = (String, Vec<EvidenceId>);

impl Conversation {
    fn of(product: &Product<'_>) -> Self {
        let question = Question::Dialogue { calls: Vec::new() };
        Self { probe: ask::probe(&product.station.name, question), names: Vec::new() }
    }

    fn say(
        &mut self,
        name: impl Into<String>,
        to: SocketAddr,
        method: Method,
        path: String,
        body: &impl Serialize,
    ) {
        let body = serde_json::to_string(body).expect("plain values are JSON");
        let Question::Dialogue { calls } = &mut self.probe.question else { return };
        calls.push(Call { to, method, path, body });
        self.names.push(name.into());
    }

    /// As a question.
    pub(super) fn probe(&self) -> Probe {
        self.probe.clone()
    }

    /// Once more.
    #[must_use]
    pub(super) fn again(&self) -> Self {
        Self { probe: ask::again(&self.probe, 1), names: self.names.clone() }
    }

    /// What came back, if the software worked with its operator at all.
    pub(super) fn heard<'e>(&self, seen: &Seen<'e>) -> Result<Heard<'e>, Mute> {
        let Some((id, answer)) = seen.answer(&self.probe) else {
            return Err(("it was not asked".to_owned(), Vec::new()));
        };
        let Answer::Dialogue { attempt, replies } = answer else {
            return Err((reading::describe(answer), vec![id]));
        };
        match replies.first() {
            Some((first, _)) if first.is_done() => {}
            Some((first, _)) => {
                let said = first.complaint().unwrap_or_else(|| format!("status {}", first.status));
                return Err((format!("the product says: {said}"), vec![id]));
            }
            None => return Err((reading::describe(answer), vec![id])),
        }
        if attempt.outcome != Outcome::Answered {
            let to = attempt.destination;
            return Err((format!("{to}: {}", reading::describe(answer)), vec![id]));
        }
        Ok(Heard { names: self.names.clone(), replies, id })
    }
}

impl Heard<'_> {
    /// The reply to a call and the microseconds that it took. Every call that was made has one.
    pub(super) fn reply(&self, name: &str) -> Option<(&Reply, u64)> {
        let at = self.names.iter().position(|known| known == name)?;
        self.replies.get(at).map(|(reply, took)| (reply, *took))
    }

    /// The draft or card in a reply.
    pub(super) fn draft(&self, name: &str) -> Option<Draft> {
        self.reply(name)?.0.value()
    }

    /// Whether a call was done.
    pub(super) fn is_done(&self, name: &str) -> bool {
        self.reply(name).is_some_and(|(reply, _)| reply.is_done())
    }

    /// Why a call was refused, in the words of the product.
    pub(super) fn refusal(&self, name: &str) -> Option<String> {
        let (reply, _) = self.reply(name)?;
        let said = || reply.complaint().unwrap_or_else(|| format!("status {}", reply.status));
        (!reply.is_done()).then(said)
    }
}

impl Product<'_> {
    /// `manager->gateway-a`.
    pub(super) fn subject(&self) -> String {
        format!("{}->{}", self.station.name, self.device.name)
    }

    /// A part of the software.
    pub(super) fn culprit(&self, part: impl Into<String>) -> Culprit {
        Culprit::node(&self.station.name, part)
    }

    /// What is touched by what the software does.
    pub(super) fn scope(&self) -> Scope {
        let port = Port { transport: Transport::Tcp, number: self.manager.port };
        Scope {
            to: Some(self.station.name.clone()),
            port: Some(port),
            packets: Some(Packets::Content),
            ..Scope::default()
        }
    }

    /// A complaint about a part of the software, known for sure, with the words of the place: where the software runs, and
    /// at which address and over which family it was spoken to.
    pub(super) fn complaint<const N: usize>(
        &self,
        stage: &Stage,
        case: &str,
        part: &str,
        args: [(&str, String); N],
    ) -> Complaint {
        let complaint = reading::complaint(stage, case, self.culprit(part), self.scope(), args);
        let place = [
            ("station", self.station.name.to_string()),
            ("family", self.family.to_string()),
            ("at", self.address().to_string()),
        ];
        let place = place.map(|(name, value)| (name.to_owned(), value));
        Complaint {
            confidence: Confidence::High,
            depth: Depth::Located,
            args: complaint.args.into_iter().chain(place).collect(),
            ..complaint
        }
    }

    /// The address at which the software is spoken to.
    pub(super) fn address(&self) -> IpAddr {
        self.socket().ip()
    }

    /// The address at which the box is spoken to.
    pub(super) fn device_address(&self) -> IpAddr {
        self.device_socket().ip()
    }

    fn socket(&self) -> SocketAddr {
        self.at(self.station, self.manager, self.family)
    }

    fn device_socket(&self) -> SocketAddr {
        self.at(self.device, self.port, self.family)
    }

    fn at(&self, node: &Node, service: &Service, family: Family) -> SocketAddr {
        let addresses = self.stage.service_addresses(node, service, family);
        let address = addresses.first().copied().unwrap_or(family.unspecified());
        SocketAddr::new(address, service.port)
    }

    /// The planned management addresses of the box, live or not, the family that is spoken first.
    pub(super) fn planned_addresses(&self) -> Vec<IpAddr> {
        let segments = &self.stage.testbed.segments;
        let offered = self.device.interfaces.iter().filter(|interface| match &self.port.on {
            Some(name) => interface.name == *name,
            None => segments[&interface.segment].plane == Plane::Management,
        });
        let mut addresses: Vec<_> =
            offered.flat_map(|i| i.addresses.iter().map(crate::model::node::Address::ip)).collect();
        addresses.sort_by_key(|address| Family::of(*address) != self.family);
        addresses
    }

    /// Whether the plan gives the box management addresses of both families.
    pub(super) fn is_planned_dual(&self) -> bool {
        let addresses = self.planned_addresses();
        Family::ALL.into_iter().all(|f| addresses.iter().any(|a| Family::of(*a) == f))
    }

    /// Every couple of the plan as the box sees it, live or not.
    pub(super) fn relations(&self) -> Vec<Relation> {
        let tunnels = self.stage.testbed.tunnels.values();
        tunnels.flat_map(|tunnel| tunnel.seen_from(&self.device.name)).collect()
    }

    /// The subnets on both sides of the tunnels of the box.
    fn networks(&self) -> Vec<IpNet> {
        let mut networks: Vec<_> =
            self.relations().iter().flat_map(|relation| [relation.here, relation.there]).collect();
        networks.sort();
        networks.dedup();
        networks
    }

    fn empty(&self) -> Draft {
        Draft { port: self.port.port, networks: self.networks(), ..Draft::default() }
    }

    /// What the phase gives the box to know: the base configuration of S2 section 2.2.1.
    pub(super) fn items(&self) -> Vec<Item> {
        let staged = &self.stage.nodes[&self.device.name];
        let mut items = Vec::new();
        let mut enter = |kind, value: String| items.push(Item { kind, value });
        for interface in self.stage.interfaces(&self.device.name, Plane::Data) {
            for address in &interface.addresses {
                enter(ItemKind::Address, format!("{} {}", interface.name, address.net));
            }
        }
        for end in &staged.tunnels {
            enter(ItemKind::Peer, end.remote.ip().to_string());
            for relation in &end.relations {
                enter(ItemKind::Filter, format!("{} to {}", relation.here, relation.there));
            }
        }
        for route in staged.routes.iter().take(MOST_ROUTES) {
            enter(ItemKind::Route, format!("{} via {}", route.to, route.via));
        }
        staged.resolvers.iter().for_each(|resolver| enter(ItemKind::Dns, spelt_out(*resolver)));
        let uses = [
            (&self.device.time_from, ServiceKind::Ntp, ItemKind::Ntp),
            (&self.device.users_from, ServiceKind::Ldap, ItemKind::Ldap),
            (&self.device.logs_to, ServiceKind::Syslog, ItemKind::Syslog),
        ];
        for (used, speaks, kind) in uses {
            let node = used.as_ref().map(|name| &self.stage.testbed.nodes[name]);
            let services = node.into_iter().flat_map(|node| {
                let of_kind = node.services.iter().filter(|service| service.kind == speaks);
                of_kind.map(move |service| (node, service))
            });
            for (node, service) in services {
                for family in Family::ALL {
                    let addresses = self.stage.service_addresses(node, service, family);
                    for address in addresses {
                        enter(kind, address.to_string());
                    }
                }
            }
        }
        items
    }

    /// The couples of the phase.
    fn couples(&self) -> Vec<Pair> {
        let ends = self.stage.nodes[&self.device.name].tunnels.iter();
        let pair = |relation: &Relation| Pair {
            local: relation.here.to_string(),
            remote: relation.there.to_string(),
        };
        ends.flat_map(|end| end.relations.iter().map(pair)).collect()
    }

    /// The configuration of the box of this phase, from the menu to the box and back, and the same as a file.
    pub(super) fn configuration(&self) -> Conversation {
        let mut said = Conversation::of(self);
        let station = self.socket();
        let name = format!("configuration-{}", self.device.name);
        let draft = |rest: &str| format!("/drafts/{name}{rest}");
        let addresses = self.planned_addresses();
        said.say("new", station, Method::Put, draft(""), &self.empty());
        let one = &addresses[..addresses.len().min(1)];
        said.say("one address", station, Method::Put, draft("/addresses"), &one);
        said.say("addresses", station, Method::Put, draft("/addresses"), &addresses);
        said.say("draft", station, Method::Get, draft(""), &());
        let (items, couples) = (self.items(), self.couples());
        for (at, item) in items.iter().enumerate() {
            said.say(format!("item {at}"), station, Method::Post, draft("/items"), item);
        }
        for (at, pair) in couples.iter().enumerate() {
            said.say(format!("couple {at}"), station, Method::Post, draft("/couples"), pair);
        }
        said.say("final", station, Method::Post, draft("/final"), &());
        said.say("upload", station, Method::Post, draft("/upload"), &());
        let (device, card) = (self.device_socket(), format!("/cards/{name}"));
        said.say("card", device, Method::Get, card.clone(), &());
        said.say("reload", device, Method::Post, format!("{card}/reload"), &());
        said.say("card again", device, Method::Get, card, &());
        let whole = Draft { addresses, items, couples, ..self.empty() };
        let file = format!("/drafts/file-{}", self.device.name);
        said.say("file", station, Method::Put, file.clone(), &whole);
        said.say("file again", station, Method::Get, file, &());
        said
    }

    /// Couples, proposals and nonsense, and what the manual says of it all.
    pub(super) fn entries(&self) -> Conversation {
        let mut said = Conversation::of(self);
        let station = self.socket();
        let draft = |said: &mut Conversation, what: &str| {
            let path = format!("/drafts/entries-{what}");
            said.say(format!("new {what}"), station, Method::Put, path.clone(), &self.empty());
            path
        };
        let path = draft(&mut said, "couple");
        if let Some(pair) = self.unequal() {
            said.say("couple", station, Method::Post, format!("{path}/couples"), &pair);
            said.say("couple final", station, Method::Post, format!("{path}/final"), &());
        }
        for relation in self.relations() {
            let (local, name) = (Local { local: relation.here }, proposal(relation.here));
            said.say(name, station, Method::Post, format!("{path}/proposal"), &local);
        }
        for (at, value) in NONSENSE.into_iter().enumerate() {
            let path = draft(&mut said, &format!("nonsense-{at}"));
            let item = Item { kind: ItemKind::Dns, value: value.to_owned() };
            said.say(
                format!("{value} entered"),
                station,
                Method::Post,
                format!("{path}/items"),
                &item,
            );
            said.say(format!("{value} final"), station, Method::Post, format!("{path}/final"), &());
        }
        said.say("manual", station, Method::Get, "/manual".to_owned(), &());
        said.say("about", station, Method::Get, "/".to_owned(), &());
        said
    }

    /// An IPv4 subnet of this side and an IPv6 subnet of the other, where the plan couples both.
    pub(super) fn unequal(&self) -> Option<Pair> {
        let relations = self.relations();
        let of = |family| relations.iter().find(move |relation| relation.family() == family);
        let (local, remote) = (of(Family::V4)?.here, of(Family::V6)?.there);
        Some(Pair { local: local.to_string(), remote: remote.to_string() })
    }

    /// What uploads are tried with: a name, the IPv4 address of the box, an IPv6 address that is the box's, that nobody has,
    /// or at which nothing listens, and which of the two must be used. `None` where station or box lack a family.
    pub(super) fn tries(&self) -> Option<[Try; 3]> {
        let both = Family::ALL.into_iter().all(|family| {
            self.stage.listens(self.station, self.manager, family)
                && self.stage.listens(self.device, self.port, family)
        });
        let nobody = self.nobody().filter(|_| both)?;
        let [v4, v6] = Family::ALL.map(|family| self.at(self.device, self.port, family).ip());
        let closed = self.at(self.station, self.manager, Family::V6).ip();
        let to = |name, v6, wanted| Try { name, v4, v6, wanted };
        Some([to("both", v6, v6), to("nobody", nobody, v4), to("closed", closed, v4)])
    }

    /// Uploads to the box with all of them.
    pub(super) fn uploads(&self) -> Option<Conversation> {
        let mut said = Conversation::of(self);
        let to = self.socket();
        for Try { name, v4, v6, .. } in self.tries()? {
            let path = format!("/drafts/upload-{name}-{}", self.device.name);
            let draft = Draft { addresses: vec![v4, v6], ..self.empty() };
            said.say(format!("new {name}"), to, Method::Put, path.clone(), &draft);
            said.say(name, to, Method::Post, format!("{path}/upload"), &());
        }
        Some(said)
    }

    /// An IPv6 address on the link of station and box that no node has.
    fn nobody(&self) -> Option<IpAddr> {
        let v6 = self.at(self.device, self.port, Family::V6).ip();
        let (_, interface) = self.stage.owner(v6)?;
        let address = interface.addresses.iter().find(|address| address.ip() == v6)?;
        let IpNet::V6(net) = address.net else { return None };
        let first = u128::from(net.network());
        let mut all = (0xdead..0xdf00_u128).map(|host| Ipv6Addr::from(first | host));
        let free = |ip: &Ipv6Addr| net.contains(ip) && self.stage.owner((*ip).into()).is_none();
        all.find(free).map(IpAddr::V6)
    }

    /// Whether the software answers at all, asked over one family.
    pub(super) fn about(&self, family: Family) -> Conversation {
        let mut said = Conversation::of(self);
        let to = self.at(self.station, self.manager, family);
        said.say("about", to, Method::Get, "/".to_owned(), &());
        said
    }
}

/// The name of the call for a proposal.
pub(super) fn proposal(local: IpNet) -> String {
    format!("proposal for {local}")
}

/// An address with all its digits: a product must take every form (RFC 4291 section 2.2) and show the usual one.
fn spelt_out(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let groups: Vec<_> = v6.segments().iter().map(|group| format!("{group:04x}")).collect();
            groups.join(":")
        }
    }
}

/// What every check asks that looks at entries.
pub(super) fn ask_entries(stage: &Stage) -> Vec<Experiment> {
    vec![Experiment::of_probes(stations(stage).iter().map(|product| product.entries().probe()))]
}

/// The judgements of a check that looks at entries, one for each product.
pub(super) fn judge_entries<'s>(
    judge: Judge,
    stage: &'s Stage,
    seen: &Seen<'_>,
    of: impl Fn(&Product<'s>, &Heard<'_>) -> Judgement,
) -> Vec<Judgement> {
    let judged = stations(stage).into_iter().map(|product| match product.entries().heard(seen) {
        Ok(heard) => of(&product, &heard),
        Err((reason, evidence)) => judge.not_testable(product.subject(), reason, evidence),
    });
    judge.or_not_applicable(judged.collect(), "no management software is planned in this phase")
}

/// The phases from now on in which a family is live.
pub(super) fn phases_with(stage: &Stage, family: Family) -> Vec<Phase> {
    phases_that(stage, |families| families.has(family))
}

/// The phases in which trouble hurts that needs both families at once, the present one first if it is one.
pub(super) fn dual_phases(stage: &Stage) -> Vec<Phase> {
    phases_that(stage, Families::is_dual)
}

fn phases_that(stage: &Stage, permit: impl Fn(Families) -> bool) -> Vec<Phase> {
    let all = std::iter::once(stage.phase).chain(stage.phase.later());
    all.filter(|phase| permit(phase.permits())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use crate::{
        check::{Check, fixture::Network},
        model::{phase::Phase, testbed::Testbed, verdict::Verdict},
        stage::Stage,
    };

    pub(in crate::check) const REFERENCE: &str = include_str!("../../testbed/fokus.toml");

    /// The reference testbed, which has a product.
    pub(in crate::check) fn reference() -> Arc<Testbed> {
        Arc::new(crate::input::testbed("fokus.toml", REFERENCE).expect("the reference testbed"))
    }

    /// The reference testbed in a phase, as planned.
    pub(in crate::check) fn network(phase: Phase) -> Network {
        Network::of(Stage::new(&reference(), phase))
    }

    /// A check is content in every phase.
    #[track_caller]
    pub(in crate::check) fn assert_silent(check: &dyn Check) {
        for phase in Phase::ALL {
            let judgements = network(phase).ask(&[check]);
            assert!(!judgements.is_empty(), "{phase}");
            for judgement in judgements {
                let open = [Verdict::NotTestable, Verdict::HarnessError, Verdict::Blocked];
                let bad = judgement.verdict.is_bad() || open.contains(&judgement.verdict);
                assert!(!bad, "{phase}: {judgement:#?}");
            }
        }
    }
}

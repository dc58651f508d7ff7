//! The services of one node.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    announcement,
    daemon::Post,
    dhcp::Dhcp,
    doors::Doors,
    error::ServeError,
    ldap,
    listener::Listening,
    orders::{Orders, Place},
    premises::Premises,
    router::Router,
    shared::Shared,
    socket::{self, Datagrams},
    speaker::Speaker,
    synthesis::Synthesis,
    tunnel::TunnelHost,
};
use crate::{
    engine::{Job, Part},
    model::{
        answer::Logged,
        dhcp::{DhcpDuty, DhcpFault},
        family::Family,
        fault::{AdvertisementFault, ContentFault, Reference, Sabotage, SynthesisFault},
        function::Function,
        mac::Mac,
        name::{InterfaceName, NodeName, ServiceName},
        node::{Interface, Node},
        probe::{Keeper, RouterAct},
        record::RecordData,
        service::{Service, ServiceKind, Transport},
        step::Change,
    },
    net::namespace::Namespace,
    report::run::EngineRun,
    wire::ra::Announcement,
};

/// The services of one node. Dropping it closes all of them at once.
pub struct ServiceHost {
    premises: Arc<Premises>,
    state: tokio::sync::Mutex<State>,
    open: Mutex<BTreeMap<Place, Listening>>,
    /// The services that engines provide.
    posts: Vec<Post>,
    /// What engines do for the network in the place of the node itself.
    functions: BTreeMap<Function, Post>,
}

#[derive(Default)]
struct State {
    orders: Orders,
    routers: BTreeMap<InterfaceName, (Announcement, Router)>,
    /// What is done for DHCPv6, where something is.
    dhcp: Option<(Vec<DhcpDuty>, Dhcp)>,
}

/// A socket that has been opened and is not served yet.
enum Socket {
    Tcp(tokio::net::TcpListener),
    Udp(Datagrams),
}

impl ServiceHost {
    /// A node that serves nothing yet. Nothing is opened and no key is made before it is needed.
    pub fn new(node: &Node, namespace: Namespace, shared: Arc<Shared>) -> Self {
        let posts = node.services.iter().filter_map(|s| Post::of(&node.name, s, &shared)).collect();
        let functions = node.engines.iter().filter_map(|(function, engine)| {
            Some((*function, Post::of_function(&node.name, *function, engine, &shared)?))
        });
        Self {
            posts,
            functions: functions.collect(),
            premises: Arc::new(Premises::new(node.clone(), namespace, shared)),
            state: tokio::sync::Mutex::default(),
            open: Mutex::default(),
        }
    }

    /// Gives the services of a box the tunnels that they set.
    #[must_use]
    pub fn setting(self, tunnels: Arc<TunnelHost>) -> Self {
        self.premises.tunnels.get_or_init(|| tunnels);
        self
    }

    /// Makes a change that concerns services: what is told to listen, to publish, to ask and to announce. When it
    /// returns, sockets that are to be open are open, and others are closed. A change that fails changes nothing.
    pub async fn apply(&self, change: &Change) -> Result<(), ServeError> {
        self.bring_about(|orders| self.take(orders, change)).await
    }

    /// Plants a fault that concerns services. It bends what changes say, also those made later.
    pub async fn sabotage(&self, fault: &Sabotage) -> Result<(), ServeError> {
        let before = self.troubles();
        self.bring_about(|orders| {
            self.check_fault(orders, fault)?;
            orders.faults.push(fault.clone());
            Ok(())
        })
        .await?;
        match self.troubles().into_iter().find(|said| !before.contains(said)) {
            None => Ok(()),
            Some(said) => Err(ServeError::Trouble { said }),
        }
    }

    /// Lets a router withdraw from a link, or return to it.
    pub async fn router(
        &self,
        interface: &InterfaceName,
        act: RouterAct,
    ) -> Result<(), ServeError> {
        self.bring_about(|orders| {
            self.announces(orders, interface)?;
            match act {
                RouterAct::Withdraw => orders.withdrawn.insert(interface.clone()),
                RouterAct::Return => orders.withdrawn.remove(interface),
            };
            Ok(())
        })
        .await
    }

    /// Takes all faults back: from now on the node serves what changes said.
    pub async fn clear_sabotage(&self) -> Result<(), ServeError> {
        self.bring_about(|orders| {
            orders.faults.clear();
            Ok(())
        })
        .await
    }

    /// Who holds which listening socket.
    pub fn sockets(&self) -> Vec<(Transport, SocketAddr, ServiceName)> {
        let place = |place: &Place| (place.transport, place.address, place.service.clone());
        let built_in: Vec<_> = self.open().keys().map(place).collect();
        let engines = self.posts.iter().flat_map(|post| {
            let sockets = post.sockets().into_iter();
            sockets.map(|(transport, at)| (transport, at, post.service.clone())).collect::<Vec<_>>()
        });
        built_in.into_iter().chain(engines).collect()
    }

    /// The planned service that holds a listening socket; `None` for one that nobody planned.
    pub fn service_at(&self, transport: Transport, local: SocketAddr) -> Option<ServiceName> {
        let sockets = self.sockets();
        let is = |at: &SocketAddr| *at == local;
        // An engine may bind to each address of the node separately.
        let stands_for = |at: &SocketAddr| {
            at.port() == local.port() && at.ip() == Family::of(local.ip()).unspecified()
        };
        let held = |by: &dyn Fn(&SocketAddr) -> bool| {
            sockets.iter().find(|(t, at, _)| *t == transport && by(at))
        };
        let (.., holder) = held(&is).or_else(|| held(&stands_for))?;
        self.premises.node.service(holder.as_str()).map(|service| service.name.clone())
    }

    /// The syslog messages that hold a token, in the order in which they came.
    pub fn sink(&self, token: &str) -> Vec<Logged> {
        let sink = self.premises.sink.lock().unwrap_or_else(PoisonError::into_inner).holding(token);
        sink.into_iter().chain(self.posts.iter().flat_map(|post| post.holding(token))).collect()
    }

    /// Asks engines at addresses that the node could not use when they were started.
    pub async fn settle(&self) {
        let _turn = self.state.lock().await;
        for post in self.all_posts() {
            post.settle(&self.premises.namespace, &self.premises.shared).await;
        }
    }

    /// Services that an engine should provide and does not, as sentences.
    pub fn troubles(&self) -> Vec<String> {
        self.all_posts().filter_map(Post::trouble).collect()
    }

    /// Engines that have ended without being asked to, as sentences; each is told once.
    pub fn losses(&self) -> Vec<String> {
        self.all_posts().flat_map(Post::losses).collect()
    }

    /// What the record holds of engines.
    pub fn engines(&self) -> Vec<EngineRun> {
        self.all_posts().map(Post::record).collect()
    }

    /// The addresses, as text, under which the logs of the node know a log-in.
    pub fn log_in(&self, token: &str, keeper: Keeper) -> Vec<String> {
        match keeper {
            Keeper::Access => self.premises.access().clients(token),
            Keeper::Table => self.premises.table().clients(token),
        }
    }

    fn all_posts(&self) -> impl Iterator<Item = &Post> {
        self.posts.iter().chain(self.functions.values())
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Place, Listening>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self) -> &NodeName {
        &self.premises.node.name
    }

    async fn bring_about(
        &self,
        alter: impl FnOnce(&mut Orders) -> Result<(), ServeError>,
    ) -> Result<(), ServeError> {
        let mut state = self.state.lock().await;
        let State { orders: before, routers, dhcp } = &mut *state;
        let mut after = before.clone();
        alter(&mut after)?;
        if let Err(error) = self.carry_out(&after, routers, dhcp).await {
            // The first error tells what is wrong; going back only closes what was opened.
            let _ = self.carry_out(before, routers, dhcp).await;
            return Err(error);
        }
        *before = after;
        Ok(())
    }

    fn take(&self, orders: &mut Orders, change: &Change) -> Result<(), ServeError> {
        match change {
            Change::Listen { service, address } => {
                self.service(service, &ServiceKind::ALL)?;
                orders.listeners.insert((service.clone(), *address));
            }
            Change::StopListening { service, address } => {
                orders.listeners.remove(&(service.clone(), *address));
            }
            Change::PublishZones { service, zones } => {
                self.service(service, &[ServiceKind::Dns])?;
                orders.zones.insert(service.clone(), zones.clone());
            }
            Change::Delegate { service, zones } => {
                self.service(service, &[ServiceKind::Resolver])?;
                orders.delegations.insert(service.clone(), zones.clone());
            }
            Change::Synthesize { service, prefix } => {
                self.service(service, &[ServiceKind::Resolver])?;
                match prefix {
                    Some(prefix) => orders.synthesis.insert(service.clone(), *prefix),
                    None => orders.synthesis.remove(service),
                };
            }
            Change::Front { fronts } => orders.fronts.clone_from(fronts),
            Change::LogTo { sinks } => orders.log_sinks.clone_from(sinks),
            Change::Watch { watches } => orders.watches.clone_from(watches),
            Change::Advertise { interface, plan, prefix, mtu, dns, pref64 } => {
                let link = self.interface(interface)?;
                let planned = announcement::planned(link.mac, plan, *prefix, *mtu, dns, pref64);
                let standby = plan.routers.first().is_some_and(|first| first != self.node());
                let announcement = Announcement { standby, ..planned };
                orders.announcements.insert(interface.clone(), announcement);
            }
            Change::DoDhcp { duties } => orders.duties.clone_from(duties),
            Change::StopAdvertising { interface } => {
                orders.announcements.remove(interface);
                orders.withdrawn.remove(interface);
            }
            other => return Err(self.not_ours(other.to_string())),
        }
        Ok(())
    }

    fn check_fault(&self, orders: &Orders, fault: &Sabotage) -> Result<(), ServeError> {
        self.check_engines(orders, fault)?;
        let node = self.node().clone();
        match fault {
            Sabotage::ListenOnly { service, .. }
            | Sabotage::AdmitWrongly { service, .. }
            | Sabotage::StopService { service, .. }
            | Sabotage::ListenEverywhere { service, .. }
            | Sabotage::Delay { service, .. } => self.service(service, &ServiceKind::ALL),
            Sabotage::ServeDifferently { service, how: ContentFault::OtherCertificate, .. } => {
                self.service(service, &[ServiceKind::Https])
            }
            Sabotage::ServeDifferently { service, how: ContentFault::OtherHostKey, .. } => {
                self.service(service, &[ServiceKind::Ssh])
            }
            Sabotage::Quirk { service, quirk, .. } => {
                let watches = |service: &ServiceName| {
                    orders.watches.iter().any(|watch| watch.service == *service)
                };
                let kind = match quirk {
                    quirk if quirk.is_of_monitor() && !watches(service) => {
                        return Err(self.no_service(&format!("`{service}` that polls"), &[]));
                    }
                    quirk if quirk.is_of_monitor() => &[ServiceKind::Http, ServiceKind::Https][..],
                    quirk if quirk.is_of_box() => &[ServiceKind::Box],
                    _ => &[ServiceKind::Manager],
                };
                self.service(service, kind)
            }
            Sabotage::ServeDifferently { service, how: ContentFault::TurnsAway, .. } => {
                self.service(service, &ServiceKind::ALL)
            }
            Sabotage::ServeDifferently { service, how: ContentFault::Lame, .. } => {
                self.service(service, &[ServiceKind::Dns, ServiceKind::Resolver])
            }
            Sabotage::ServeDifferently { service, how: ContentFault::Ipv4Table, .. } => {
                self.service(service, &[ServiceKind::Snmp])
            }
            Sabotage::Refer { service, how: Reference::Refers, .. } => {
                self.service(service, &[ServiceKind::Ldap])
            }
            Sabotage::ServeDifferently {
                service,
                how: ContentFault::NoStarttls | ContentFault::BrokenStarttls,
                ..
            } => self.service(service, &[ServiceKind::Smtp, ServiceKind::Ldap]),
            Sabotage::ServeDifferently { service, how: ContentFault::RejectsBrackets, .. } => {
                let kinds = [ServiceKind::Http, ServiceKind::Https, ServiceKind::Smtp];
                self.service(service, &kinds)
            }
            Sabotage::ServeDifferently { service, .. }
            | Sabotage::LockWrongly { service, .. }
            | Sabotage::Refer { service, .. } => {
                self.service(service, &[ServiceKind::Http, ServiceKind::Https])
            }
            Sabotage::LogWrongly { service, how, .. } if how.is_of_sinks() => {
                self.service(service, &[ServiceKind::Syslog])
            }
            Sabotage::LogWrongly { service, .. } => {
                let kinds = [ServiceKind::Http, ServiceKind::Https, ServiceKind::Syslog];
                self.service(service, &kinds)
            }
            Sabotage::FrontWrongly { service, .. } => {
                let known = orders.fronts.passes.iter().any(|(name, _)| name == service);
                let missing = || self.no_service(&format!("`{service}` that passes on"), &[]);
                if known { Ok(()) } else { Err(missing()) }
            }
            Sabotage::ExtraListener { .. } => Ok(()),
            Sabotage::DhcpWrongly { .. } if !orders.duties.is_empty() => Ok(()),
            Sabotage::DhcpWrongly { .. } => Err(ServeError::NoDhcp { node }),
            Sabotage::SetRecord { name, .. }
            | Sabotage::RemoveRecord { name, .. }
            | Sabotage::ShowOtherwise { name, .. } => {
                let name = name.clone();
                let known = orders.has_zone_for(&name);
                if known { Ok(()) } else { Err(ServeError::NoZone { node, name }) }
            }
            Sabotage::AnswerWrongly { .. } => self.answers_names(),
            Sabotage::ResolveOnly { .. } => {
                let has = self.premises.node.services.iter();
                let known = has.map(|service| service.kind).any(|k| k == ServiceKind::Resolver);
                let missing = || self.no_service("that resolves", &[ServiceKind::Resolver]);
                if known { Ok(()) } else { Err(missing()) }
            }
            Sabotage::SynthesizeWrongly { .. } => {
                let kinds = [ServiceKind::Resolver];
                let known = !orders.synthesis.is_empty();
                if known { Ok(()) } else { Err(self.no_service("that synthesizes", &kinds)) }
            }
            Sabotage::AdvertiseWrongly { interface, .. } => self.announces(orders, interface),
            other => Err(self.not_ours(format!("{other:?}"))),
        }
    }

    /// Whether the node announces itself on an interface.
    fn announces(&self, orders: &Orders, interface: &InterfaceName) -> Result<(), ServeError> {
        let known = orders.announcements.contains_key(interface);
        let (node, interface) = (self.node().clone(), interface.clone());
        if known { Ok(()) } else { Err(ServeError::NotAnnouncing { node, interface }) }
    }

    /// Whether engines can do what a fault asks of them. They answer as they were written: what they are told can be bent,
    /// but not how they say it.
    fn check_engines(&self, orders: &Orders, fault: &Sabotage) -> Result<(), ServeError> {
        let refuse = |post: &Post, what: &str| ServeError::Engine {
            node: self.node().clone(),
            service: post.service.clone(),
            engine: post.engine.name,
            what: what.to_owned(),
        };
        let of = |name: &ServiceName| self.posts.iter().find(|post| post.service == *name);
        match fault {
            Sabotage::Delay { service, .. } => {
                of(service).map_or(Ok(()), |post| Err(refuse(post, "to answer one family later")))
            }
            Sabotage::AdmitWrongly { service, .. } | Sabotage::LockWrongly { service, .. } => {
                of(service).map_or(Ok(()), |post| Err(refuse(post, "to know whom to let in")))
            }
            Sabotage::Refer { service, .. } => {
                of(service).map_or(Ok(()), |post| Err(refuse(post, "to refer to something else")))
            }
            Sabotage::ServeDifferently { service, .. } => of(service).map_or(Ok(()), |post| {
                Err(refuse(post, "to show users of one family something else"))
            }),
            Sabotage::ResolveOnly { .. } => {
                let fits = |post: &&Post| {
                    post.engine.parts.contains(&Part::Service(ServiceKind::Resolver))
                };
                let post = self.posts.iter().find(fits);
                post.map_or(Ok(()), |post| Err(refuse(post, "to ask over one family only")))
            }
            Sabotage::AnswerWrongly { .. } | Sabotage::ShowOtherwise { .. } => {
                let names = [ServiceKind::Dns, ServiceKind::Resolver];
                let fits = |post: &&Post| {
                    names.iter().any(|kind| post.engine.parts.contains(&Part::Service(*kind)))
                };
                let post = self.posts.iter().find(fits);
                post.map_or(Ok(()), |post| Err(refuse(post, "to answer wrongly")))
            }
            Sabotage::AdvertiseWrongly {
                change: AdvertisementFault::Silent | AdvertisementFault::NoFarewell,
                ..
            } => {
                let post = self.functions.get(&Function::Advertisements);
                let what = "to fall silent without a farewell";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::DhcpWrongly { how: DhcpFault::OutsidePrefix, .. } => {
                let post = self.functions.get(&Function::Dhcpv6);
                let what = "to give addresses that are not of the link";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::DhcpWrongly {
                how:
                    DhcpFault::NeverRenews
                    | DhcpFault::ForgetsLeases
                    | DhcpFault::NeverRebinds
                    | DhcpFault::NeverReleases
                    | DhcpFault::RenewsForLess
                    | DhcpFault::TwoNames,
                ..
            } => {
                let post = self.functions.get(&Function::Dhcpv6);
                let what = "to treat hosts otherwise from question to question";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::SynthesizeWrongly { how: SynthesisFault::OverNative, .. } => {
                let mut posts = self.posts.iter();
                let post = posts.find(|post| orders.synthesis.contains_key(&post.service));
                let what = "to synthesize for names that have addresses of IPv6";
                post.map_or(Ok(()), |post| Err(refuse(post, what)))
            }
            Sabotage::SetRecord { name, data, .. } => {
                let is_alias = |data: &RecordData| matches!(data, RecordData::Alias(_));
                let beside = |post: &&Post| {
                    let zones = orders.zones_of(&post.service);
                    let mut records = zones.iter().flat_map(|zone| &zone.extra);
                    records.any(|r| r.name == *name && is_alias(&r.data) != is_alias(data))
                        || is_alias(data) && zones.iter().any(|zone| zone.origin == *name)
                };
                self.posts.iter().find(beside).map_or(Ok(()), |post| {
                    let what = "to serve an alias beside other records of its name (RFC 2181 section 10.1)";
                    Err(refuse(post, what))
                })
            }
            _ => Ok(()),
        }
    }

    fn not_ours(&self, what: String) -> ServeError {
        ServeError::NotOurs { node: self.node().clone(), what }
    }

    /// Whether the node has a service of one of these kinds.
    fn service(&self, name: &ServiceName, kinds: &[ServiceKind]) -> Result<(), ServeError> {
        match self.premises.node.service(name.as_str()) {
            Some(service) if kinds.contains(&service.kind) => Ok(()),
            _ => Err(self.no_service(&format!("`{name}`"), kinds)),
        }
    }

    fn answers_names(&self) -> Result<(), ServeError> {
        let kinds = [ServiceKind::Dns, ServiceKind::Resolver];
        let known = self.premises.node.services.iter().any(|s| kinds.contains(&s.kind));
        if known { Ok(()) } else { Err(self.no_service("of any name", &kinds)) }
    }

    fn no_service(&self, service: &str, kinds: &[ServiceKind]) -> ServeError {
        let services = &self.premises.node.services;
        let known: Vec<_> = services.iter().map(|s| format!("`{}` ({})", s.name, s.kind)).collect();
        let kinds: Vec<_> = kinds.iter().map(|kind| kind.word()).collect();
        ServeError::NoService {
            node: self.node().clone(),
            service: service.to_owned(),
            kinds: kinds.join(" or "),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        }
    }

    fn interface(&self, name: &InterfaceName) -> Result<&Interface, ServeError> {
        let found = self.premises.node.interfaces.iter().find(|i| i.name == *name);
        let missing =
            || ServeError::NoInterface { node: self.node().clone(), interface: name.clone() };
        found.ok_or_else(missing)
    }

    /// Brings sockets, behaviour and routers in line with orders.
    async fn carry_out(
        &self,
        orders: &Orders,
        routers: &mut BTreeMap<InterfaceName, (Announcement, Router)>,
        dhcp: &mut Option<(Vec<DhcpDuty>, Dhcp)>,
    ) -> Result<(), ServeError> {
        self.premises.behave(orders.behaviour());
        let mut wanted = orders.places(&self.premises.node);
        wanted.retain(|place| self.posts.iter().all(|post| post.service != place.service));
        self.close_all_but(&wanted).await;
        self.open_missing(wanted)?;
        self.employ(orders).await?;
        let built_in = |function| !self.functions.contains_key(&function);
        if built_in(Function::Dhcpv6) {
            self.do_dhcp(orders.dhcp(), dhcp)?;
        }
        if built_in(Function::Advertisements) {
            self.announce(orders, routers).await?;
        }
        Ok(())
    }

    /// Brings engines in line with orders. That one does not come up is told by `troubles`, and is no reason to stop.
    async fn employ(&self, orders: &Orders) -> Result<(), ServeError> {
        for post in &self.posts {
            let service = self.premises.node.service(post.service.as_str());
            let job = service.map(|service| self.job(orders, service)).transpose()?.flatten();
            post.take(job, &self.premises.namespace, &self.premises.shared).await;
        }
        for (function, post) in &self.functions {
            let job = self.function_job(orders, *function);
            post.take(job, &self.premises.namespace, &self.premises.shared).await;
        }
        Ok(())
    }

    /// What an engine is told that does something for the network; nothing where there is nothing to do.
    fn function_job(&self, orders: &Orders, function: Function) -> Option<Job> {
        let mut job = self.bare_job(Part::Function(function), function.word().parse().ok()?);
        match function {
            Function::Advertisements => {
                job.announcements = orders.announced().into_iter().collect();
            }
            Function::Dhcpv6 => job.duties = orders.dhcp(),
        }
        (!job.places().is_empty()).then_some(job)
    }

    /// What every engine of the node is told.
    fn bare_job(&self, part: Part, service: ServiceName) -> Job {
        Job {
            node: self.node().clone(),
            service,
            part,
            port: 0,
            path: String::new(),
            listen: Vec::new(),
            zones: Vec::new(),
            delegations: Vec::new(),
            synthesis: None,
            contexts: Vec::new(),
            front: None,
            identity: None,
            host_key: None,
            announcements: Vec::new(),
            duties: Vec::new(),
            mac: self.premises.node.interfaces.first().map(|interface| interface.mac),
            rootless: self.premises.shared.engines().rootless,
        }
    }

    /// What an engine is told; nothing where it is to be bound to no address.
    fn job(&self, orders: &Orders, service: &Service) -> Result<Option<Job>, ServeError> {
        let listen = orders.listen(&service.name);
        if listen.is_empty() {
            return Ok(None);
        }
        let premises = &self.premises;
        let certificate = |source| ServeError::Certificate { node: self.node().clone(), source };
        let shows = match service.kind {
            ServiceKind::Https => service.front.is_none(),
            kind => kind == ServiceKind::Ldap,
        };
        let identity = shows.then(|| premises.identity()).transpose().map_err(certificate)?;
        Ok(Some(Job {
            port: service.port,
            path: service.path.clone(),
            listen,
            zones: orders.zones_of(&service.name),
            delegations: orders.delegations.get(&service.name).cloned().unwrap_or_default(),
            synthesis: orders.synthesis_of(&service.name).map(Synthesis::for_engine),
            contexts: match service.kind {
                ServiceKind::Ldap => ldap::contexts(&service.names),
                _ => Vec::new(),
            },
            front: orders.fronted(&service.name),
            identity,
            host_key: (service.kind == ServiceKind::Ssh)
                .then(|| premises.shared.host_key_text(self.node())),
            ..self.bare_job(Part::Service(service.kind), service.name.clone())
        }))
    }

    async fn close_all_but(&self, wanted: &BTreeSet<Place>) {
        let closing: BTreeMap<_, _> = {
            let mut open = self.open();
            let all = mem::take(&mut *open).into_iter();
            let (kept, closing) = all.partition(|(place, _)| wanted.contains(place));
            *open = kept;
            closing
        };
        for (_, listening) in closing {
            listening.stop().await;
        }
    }

    /// Opens all sockets that are missing, or none.
    fn open_missing(&self, wanted: BTreeSet<Place>) -> Result<(), ServeError> {
        let mut open = self.open();
        let missing: Vec<_> =
            wanted.into_iter().filter(|place| !open.contains_key(place)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let speaks_tls = [ServiceKind::Https, ServiceKind::Smtp, ServiceKind::Ldap];
        if missing.iter().any(|place| speaks_tls.contains(&place.kind)) {
            self.set_up_tls()?;
        }
        let opened = self.premises.namespace.run(|| Ok(open_sockets(missing)));
        let opened = opened
            .map_err(|source| ServeError::Enter { node: self.node().clone(), source })?
            .map_err(|(place, source)| ServeError::Listen {
                node: self.node().clone(),
                service: place.service,
                transport: place.transport,
                address: place.address,
                source,
            })?;
        open.extend(opened.into_iter().map(|(place, socket)| {
            let listening = self.serve(&place, socket);
            (place, listening)
        }));
        Ok(())
    }

    fn set_up_tls(&self) -> Result<(), ServeError> {
        if self.premises.doors.get().is_none() {
            let doors = Doors::new(
                &self.premises.shared,
                &self.premises.names(),
                &self.premises.addresses(),
                &self.premises.revocation(),
            );
            let doors = doors
                .map_err(|source| ServeError::Certificate { node: self.node().clone(), source })?;
            self.premises.doors.get_or_init(|| doors);
        }
        Ok(())
    }

    fn serve(&self, place: &Place, socket: Socket) -> Listening {
        let speaker = Speaker {
            service: place.service.clone(),
            kind: place.kind,
            premises: Arc::clone(&self.premises),
        };
        match socket {
            Socket::Tcp(socket) => Listening::tcp(socket, speaker),
            Socket::Udp(socket) => Listening::udp(socket, speaker),
        }
    }

    fn do_dhcp(
        &self,
        duties: Vec<DhcpDuty>,
        doing: &mut Option<(Vec<DhcpDuty>, Dhcp)>,
    ) -> Result<(), ServeError> {
        if doing.as_ref().map_or(duties.is_empty(), |(done, _)| *done == duties) {
            return Ok(());
        }
        *doing = None;
        if duties.is_empty() {
            return Ok(());
        }
        let mac = self.premises.node.interfaces.first().map_or(Mac([2, 0, 0, 0, 0, 0]), |i| i.mac);
        let begun = Dhcp::start(&self.premises.namespace, mac, duties.clone());
        let begun =
            begun.map_err(|source| ServeError::Dhcp { node: self.node().clone(), source })?;
        *doing = Some((duties, begun));
        Ok(())
    }

    async fn announce(
        &self,
        orders: &Orders,
        routers: &mut BTreeMap<InterfaceName, (Announcement, Router)>,
    ) -> Result<(), ServeError> {
        let announced = orders.announced();
        let all = mem::take(routers).into_iter();
        let (kept, ending): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.partition(|(interface, _)| announced.contains_key(interface));
        *routers = kept;
        for (interface, (_, router)) in ending {
            if orders.says_farewell(&interface) {
                router.stop().await;
            }
        }
        for (interface, announcement) in announced {
            match routers.get_mut(&interface) {
                Some((said, _)) if *said == announcement => {}
                Some((said, router)) => {
                    router.announce(announcement.clone());
                    *said = announcement;
                }
                None => {
                    let router = self.start_router(&interface, &announcement)?;
                    routers.insert(interface, (announcement, router));
                }
            }
        }
        Ok(())
    }

    fn start_router(
        &self,
        interface: &InterfaceName,
        announcement: &Announcement,
    ) -> Result<Router, ServeError> {
        Router::start(&self.premises.namespace, interface.as_str(), announcement.clone()).map_err(
            |source| ServeError::Announce {
                node: self.node().clone(),
                interface: interface.clone(),
                source,
            },
        )
    }
}

fn open_sockets(places: Vec<Place>) -> Result<Vec<(Place, Socket)>, (Place, io::Error)> {
    let mut opened = Vec::new();
    for place in places {
        let socket = match place.transport {
            Transport::Tcp => socket::listen(place.address).map(Socket::Tcp),
            Transport::Udp => socket::datagrams(place.address).map(Socket::Udp),
        };
        match socket {
            Ok(socket) => opened.push((place, socket)),
            Err(error) => return Err((place, error)),
        }
    }
    Ok(opened)
}

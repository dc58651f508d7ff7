//! The services of one node.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;

use super::{
    announcement,
    daemon::Post,
    dhcp::Dhcp,
    doors::Doors,
    error::ServeError,
    kept::Kept,
    listener::Listening,
    orders::{Orders, Place},
    premises::Premises,
    router::Router,
    shared::Shared,
    socket::{self, Datagrams},
    speaker::Speaker,
    tunnel::TunnelHost,
};
use crate::{
    model::{
        answer::Logged,
        dhcp::DhcpDuty,
        family::Family,
        fault::Sabotage,
        function::Function,
        mac::Mac,
        name::{InterfaceName, NodeName, ServiceName},
        node::{Interface, Node},
        probe::{Keeper, RouterAct},
        service::{ServiceKind, Transport},
        step::Change,
    },
    net::namespace::Namespace,
    report::run::EngineRun,
    wire::ra::Announcement,
};

/// The services of one node. Dropping it closes all of them at once.
pub struct ServiceHost {
    pub(super) premises: Arc<Premises>,
    state: tokio::sync::Mutex<State>,
    open: Mutex<BTreeMap<Place, Listening>>,
    /// The services that engines provide.
    pub(super) posts: Vec<Post>,
    /// The applications behind those of them that are web services.
    pub(super) applications: Mutex<BTreeMap<ServiceName, Listening>>,
    /// What engines do for the network in the place of the node itself.
    pub(super) functions: BTreeMap<Function, Post>,
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
            applications: Mutex::default(),
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

    /// Starts engines once more that have ended by themselves or fallen silent, whose job may be the same in the next phase.
    pub async fn revive(&self) {
        let state = self.state.lock().await;
        // What does not come up is told by its trouble.
        let _ = self.employ(&state.orders, Post::is_lost).await;
    }

    /// Asks engines at addresses that the node could not use when they were started.
    pub async fn settle(&self) {
        let _turn = self.state.lock().await;
        for post in self.all_posts() {
            post.settle(&self.premises.namespace, &self.premises.shared).await;
        }
    }

    /// Asks engines once more that have answered before: one that hangs is told as one that has ended is.
    pub async fn hear_again(&self) {
        let _turn = self.state.lock().await;
        let (namespace, shared) = (&self.premises.namespace, &self.premises.shared);
        join_all(self.all_posts().map(|post| post.hear_again(namespace, shared))).await;
    }

    fn troubles(&self) -> Vec<String> {
        self.all_posts().filter_map(Post::trouble).collect()
    }

    /// Services that an engine should provide and does not, as sentences.
    pub fn troubles_of_services(&self) -> Vec<String> {
        self.posts.iter().filter_map(Post::trouble).collect()
    }

    /// What an engine should do for links and does not, likewise.
    pub fn troubles_of_functions(&self) -> Vec<(Function, String)> {
        let functions = self.functions.iter();
        functions.filter_map(|(function, post)| Some((*function, post.trouble()?))).collect()
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
            Keeper::Access => {
                let built_in = self.premises.access().clients(token);
                let engines = self.posts.iter().map(Post::access_log);
                let written = engines.flat_map(|log| Kept::read(&log).clients(token));
                built_in.into_iter().chain(written).collect()
            }
            Keeper::Table => self.premises.table(|table| table.clients(token)),
        }
    }

    fn all_posts(&self) -> impl Iterator<Item = &Post> {
        self.posts.iter().chain(self.functions.values())
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<Place, Listening>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn node(&self) -> &NodeName {
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
        self.employ(orders, |_| true).await?;
        let built_in = |function| !self.functions.contains_key(&function);
        if built_in(Function::Dhcpv6) {
            self.do_dhcp(orders.dhcp(), dhcp)?;
        }
        if built_in(Function::Advertisements) {
            self.announce(orders, routers).await?;
        }
        Ok(())
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

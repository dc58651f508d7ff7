//! The tunnels of one gateway.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use boringtun::noise::Tunn;
use futures_util::future::join_all;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    beside,
    byway::Byway,
    carrier::Carrier,
    children::children,
    counters::Counters,
    faults::Faults,
    inside::Inside,
    keys::Keys,
    more::Selective,
    plain,
    selectors::Selectors,
    ways::Ways,
    wireguard::{End, Order},
};
use crate::{
    engine::{TunnelEngine, TunnelWorker},
    model::{
        fault::TunnelFault,
        management::Integration,
        name::{NodeName, TunnelName},
        step::Change,
        tunnel::{Acted, TunnelAct, TunnelEnd, TunnelKind, TunnelState},
    },
    net::{
        namespace::Namespace,
        netlink::NetlinkError,
        patience::{Deadline, until},
    },
    report::run::EngineRun,
    serve::{
        Shared,
        daemon::Vitals,
        tube::{Mouth, Tube},
    },
};

/// How long keys may take after a program was started again.
const PATIENCE: Duration = Duration::from_secs(4);
/// How often it is looked whether they are there.
const BETWEEN: Duration = Duration::from_millis(10);

/// Why a tunnel cannot be as it is told.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The gateway has no part in it.
    #[error("node `{node}` ends no tunnel `{tunnel}` in this phase")]
    NotOurs {
        /// The node.
        node: NodeName,
        /// The tunnel.
        tunnel: TunnelName,
    },
    /// An integration file has nothing for the gateway.
    #[error(
        "the integration file of `{tunnel}` has no end for `{node}`, or no couple and way outside to make one of"
    )]
    Useless {
        /// The node.
        node: NodeName,
        /// The tunnel.
        tunnel: TunnelName,
    },
    /// The gateway has no tunnel that is open.
    #[error("node `{0}` has no tunnel open in this phase")]
    None(NodeName),
    /// It encrypts nothing.
    #[error("the tunnel `{tunnel}` is `{kind}`, which has no keys to renew")]
    NoKeys {
        /// The tunnel.
        tunnel: TunnelName,
        /// Its kind.
        kind: TunnelKind,
    },
    /// The program that carries it could not be told to couple more, or less.
    #[error(
        "what carries the tunnel `{tunnel}` at node `{node}` could not be told what to couple: {source}"
    )]
    Untold {
        /// The node.
        node: NodeName,
        /// The tunnel.
        tunnel: TunnelName,
        /// What came of it.
        source: io::Error,
    },
    /// The program that is to carry it does not do so.
    #[error("{said}")]
    Program {
        /// What came of it, as a sentence.
        said: String,
    },
    /// The routes into it could not be taken away, or given back.
    #[error("node `{node}` cannot change its routes into the tunnel `{tunnel}`: {source}")]
    Routes {
        /// The node.
        node: NodeName,
        /// The tunnel.
        tunnel: TunnelName,
        /// What the kernel said.
        source: NetlinkError,
    },
    /// A socket could not be opened.
    #[error("node `{node}` cannot open the tunnel `{tunnel}` {side}: {source}")]
    Open {
        /// The node.
        node: NodeName,
        /// The tunnel.
        tunnel: TunnelName,
        /// `inside` or `outside`.
        side: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The tunnels of one gateway. Dropping it closes all of them.
pub struct TunnelHost {
    node: NodeName,
    namespace: Namespace,
    keys: Arc<Keys>,
    shared: Arc<Shared>,
    mouths: BTreeMap<TunnelName, Mouth>,
    ends: Mutex<BTreeMap<TunnelName, Opened>>,
    /// The programs that carry tunnels, over all phases.
    carriers: Mutex<BTreeMap<TunnelName, Arc<Carrier>>>,
}

/// An end that was opened, at work or stopped.
struct Opened {
    /// As planned.
    end: TunnelEnd,
    counters: Arc<Counters>,
    faults: Arc<Faults>,
    work: Option<Work>,
    /// The routes that were taken away with it when it was stopped.
    byway: Byway,
    /// What it had counted of handshakes when a program was told to renew its keys, until it has been read since.
    renews: Option<u64>,
}

impl Opened {
    fn worker(&self) -> Option<&'static TunnelWorker> {
        Some(&self.end.engine.as_ref().and_then(TunnelEngine::of)?.by)
    }

    /// Whether what carries it leaves device and routes when it is stopped.
    fn leaves_device(&self) -> bool {
        matches!(self.worker(), Some(TunnelWorker::Kernel))
    }

    fn order(&self, order: Order) {
        if let Some(work) = &self.work {
            let _ = work.orders.try_send(order);
        }
    }
}

/// An end at work: it ends with its orders, or when it is dropped.
struct Work {
    /// What it was told: as planned, or what a box made of an integration file.
    end: TunnelEnd,
    orders: mpsc::Sender<Order>,
    task: JoinHandle<()>,
    /// Where what carries it works, if it is not built in.
    place: Option<Namespace>,
    /// What tells of a program that carries it whether it still does something.
    vitals: Option<Vitals>,
}

impl Work {
    /// Whether it has ended by itself.
    fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    async fn end(mut self) {
        self.task.abort();
        // It can only have been cancelled.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl TunnelHost {
    /// A node with no tunnel open.
    pub fn new(
        node: NodeName,
        namespace: Namespace,
        keys: Arc<Keys>,
        shared: Arc<Shared>,
        mouths: BTreeMap<TunnelName, Mouth>,
    ) -> Self {
        let (ends, carriers) = (Mutex::default(), Mutex::default());
        Self { node, namespace, keys, shared, mouths, ends, carriers }
    }

    /// Makes a change that concerns tunnels. When it returns, the ports of ends that were closed are free.
    pub async fn apply(&self, change: &Change) -> Result<(), TunnelError> {
        match change {
            Change::OpenTunnel { end } => {
                let counters = Arc::new(Counters::default());
                self.close(&end.tunnel).await;
                let faults = Arc::default();
                let work = match self.start(end, &counters, &faults).await {
                    // That a program does not come up is told by `troubles`, and is no reason to stop.
                    Err(TunnelError::Program { .. }) => None,
                    started => Some(started?),
                };
                let byway = Byway::default();
                let opened =
                    Opened { end: end.clone(), counters, faults, work, byway, renews: None };
                self.ends().insert(end.tunnel.clone(), opened);
            }
            Change::CloseTunnel { tunnel } => self.close(tunnel).await,
            _ => {}
        }
        Ok(())
    }

    async fn close(&self, tunnel: &TunnelName) {
        let work = self.ends().remove(tunnel).and_then(|opened| opened.work);
        if let Some(work) = work {
            work.end().await;
        }
    }

    /// Does something to a tunnel that is open.
    pub async fn act(&self, tunnel: &TunnelName, act: TunnelAct) -> Result<Acted, TunnelError> {
        // Whoever has no part in it is told so, whatever it is asked to do.
        self.opened(tunnel, |_| ())?;
        match act {
            TunnelAct::Stop => self.stop(tunnel).await?,
            TunnelAct::Start => self.restart(tunnel).await?,
            TunnelAct::Read => self.see_renewed(tunnel).await,
            TunnelAct::Widen { source, to } => return self.widen(tunnel, source, to).await,
            TunnelAct::Narrow => self.narrow(tunnel).await?,
            TunnelAct::Renew => self.renew(tunnel)?,
            TunnelAct::Lose(family) => {
                self.opened(tunnel, |opened| opened.order(Order::Lose(family)))?;
            }
            TunnelAct::Regain => self.opened(tunnel, |opened| opened.order(Order::Regain))?,
        }
        Ok(Acted::Done)
    }

    async fn stop(&self, tunnel: &TunnelName) -> Result<(), TunnelError> {
        // Nobody could tell afterwards.
        self.hear_of(tunnel).await;
        let work = self.opened(tunnel, |opened| opened.work.take())?;
        if let Some(work) = work {
            work.end().await;
        }
        self.lead_past(tunnel)
    }

    /// An end that has more orders than it can take renews anyhow.
    fn renew(&self, tunnel: &TunnelName) -> Result<(), TunnelError> {
        self.opened(tunnel, |opened| {
            if !opened.end.kind.is_encrypted() {
                return Err(TunnelError::NoKeys { tunnel: tunnel.clone(), kind: opened.end.kind });
            }
            let program = opened.end.engine.is_some() && opened.work.is_some();
            let before = opened.counters.read().handshakes;
            if program && before > 0 && !opened.faults.has(TunnelFault::NoNewKeys) {
                opened.renews = Some(before);
            }
            opened.order(Order::Renew);
            Ok(())
        })?
    }

    /// Has an end put in what it does not couple. One that agrees on selectors with the other end asks it first.
    async fn widen(
        &self,
        tunnel: &TunnelName,
        source: IpAddr,
        to: IpAddr,
    ) -> Result<Acted, TunnelError> {
        let place = self.opened(tunnel, |opened| {
            opened.faults.widen(true);
            opened.work.as_ref()?.place.clone()
        })?;
        let Some((program, place)) = self.selective(tunnel)?.zip(place) else {
            return Ok(Acted::Done);
        };
        let asked = program.ask_for_more(&place, source, to).await;
        asked.map_err(|source| self.untold(tunnel, source))
    }

    async fn narrow(&self, tunnel: &TunnelName) -> Result<(), TunnelError> {
        self.opened(tunnel, |opened| opened.faults.widen(false))?;
        self.be_content(tunnel).await
    }

    /// Has a program couple what was planned alone, unless faults have it take more.
    async fn be_content(&self, tunnel: &TunnelName) -> Result<(), TunnelError> {
        let Some(program) = self.selective(tunnel)? else { return Ok(()) };
        program.be_content().await.map_err(|source| self.untold(tunnel, source))
    }

    /// The program that carries a tunnel at this end, where that one agrees on selectors.
    fn selective(&self, tunnel: &TunnelName) -> Result<Option<Selective>, TunnelError> {
        let state = |o: &mut Opened| (o.end.clone(), o.faults.take_everything(), o.work.is_some());
        let (end, is_spoilt, works) = self.opened(tunnel, state)?;
        let carrier = self.carrier(&end).filter(|_| works);
        Ok(carrier.and_then(|carrier| carrier.selective(&end, is_spoilt)))
    }

    fn opened<T>(
        &self,
        tunnel: &TunnelName,
        of: impl FnOnce(&mut Opened) -> T,
    ) -> Result<T, TunnelError> {
        let not_ours = || TunnelError::NotOurs { node: self.node.clone(), tunnel: tunnel.clone() };
        self.ends().get_mut(tunnel).map(of).ok_or_else(not_ours)
    }

    fn untold(&self, tunnel: &TunnelName, source: io::Error) -> TunnelError {
        TunnelError::Untold { node: self.node.clone(), tunnel: tunnel.clone(), source }
    }

    /// Takes the routes into a stopped tunnel away, as programs do that go: what it couples takes the way that is left, and
    /// only a guard keeps it at home. WireGuard of the kernel leaves its device, and the routes to it.
    fn lead_past(&self, tunnel: &TunnelName) -> Result<(), TunnelError> {
        let mut ends = self.ends();
        let insides: Vec<_> = ends.values().map(|opened| opened.end.interface.clone()).collect();
        let Some(opened) = ends.get_mut(tunnel) else { return Ok(()) };
        if opened.leaves_device() {
            return Ok(());
        }
        let Opened { byway, end, .. } = opened;
        let opened = byway.open(&self.namespace, &end.interface, &insides);
        opened.map_err(|source| self.unrouted(tunnel, source))
    }

    /// Gives the routes back.
    fn lead_through(&self, tunnel: &TunnelName) -> Result<(), TunnelError> {
        let mut ends = self.ends();
        let Some(opened) = ends.get_mut(tunnel) else { return Ok(()) };
        opened.byway.close(&self.namespace).map_err(|source| self.unrouted(tunnel, source))
    }

    fn unrouted(&self, tunnel: &TunnelName, source: NetlinkError) -> TunnelError {
        TunnelError::Routes { node: self.node.clone(), tunnel: tunnel.clone(), source }
    }

    /// Ends all its tunnels, as on a box that comes from the factory.
    pub async fn blank(&self) {
        self.hear_again().await;
        let ended: Vec<_> =
            self.ends().values_mut().filter_map(|opened| opened.work.take()).collect();
        for work in ended {
            work.end().await;
        }
    }

    /// Makes its end of a tunnel as an integration file says, until it is stopped.
    pub async fn integrate(&self, file: &Integration) -> Result<(), TunnelError> {
        self.act(&file.tunnel, TunnelAct::Stop).await?;
        let (node, tunnel) = (self.node.clone(), file.tunnel.clone());
        let Some(end) = self.ends().get(&tunnel).map(|opened| opened.end.clone()) else {
            return Err(TunnelError::NotOurs { node, tunnel });
        };
        let made = file.end(&self.node, &end);
        self.begin(made.ok_or(TunnelError::Useless { node, tunnel })?).await
    }

    /// Asks programs whether they still answer: one that hangs is ended, and told as one that has ended by itself is.
    pub async fn hear_again(&self) {
        let open: Vec<_> = self.ends().keys().cloned().collect();
        join_all(open.iter().map(|tunnel| self.hear_of(tunnel))).await;
    }

    async fn hear_of(&self, tunnel: &TunnelName) {
        let vitals = |work: &Work| work.vitals.clone().filter(|_| !work.is_over());
        let of =
            |opened: &Opened| Some((opened.end.clone(), opened.work.as_ref().and_then(vitals)?));
        let Some((end, vitals)) = self.ends().get(tunnel).and_then(of) else { return };
        let Some(carrier) = self.carrier(&end) else { return };
        let Some(what) = carrier.hangs(&end, &vitals).await else { return };
        let mut ends = self.ends();
        let work = ends.get_mut(tunnel).and_then(|opened| opened.work.as_mut());
        // One that has ended in the meantime has been told.
        if let Some(work) = work.filter(|work| !work.is_over()) {
            work.task.abort();
            carrier.career.lose(&what);
        }
    }

    async fn restart(&self, tunnel: &TunnelName) -> Result<(), TunnelError> {
        let end = {
            let ends = self.ends();
            ends.get(tunnel).filter(|opened| opened.work.is_none()).map(|o| o.end.clone())
        };
        match end {
            Some(end) => self.begin(end).await,
            None => Ok(()),
        }
    }

    /// Puts an end to work that is open and stopped.
    async fn begin(&self, end: TunnelEnd) -> Result<(), TunnelError> {
        // The other end is there already: a program need not wait for it.
        let begins = end.begins || end.engine.is_some();
        let end = TunnelEnd { begins, ..end };
        let of = |o: &Opened| (Arc::clone(&o.counters), Arc::clone(&o.faults));
        let Some((counters, faults)) = self.ends().get(&end.tunnel).map(of) else { return Ok(()) };
        let before = counters.read().handshakes;
        let work = self.start(&end, &counters, &faults).await;
        let work = work
            .inspect_err(|_| self.carrier(&end).iter().for_each(|it| it.career.tell_trouble()))?;
        if let Some(opened) = self.ends().get_mut(&end.tunnel) {
            opened.work = Some(work);
        }
        if faults.take_everything() {
            self.be_content(&end.tunnel).await?;
        }
        self.lead_through(&end.tunnel)?;
        // Where none were ever agreed on, they have been waited for when the phase was entered.
        if end.engine.is_some() && before > 0 {
            self.wait_for_keys(&counters, before).await;
        }
        Ok(())
    }

    /// Waits, before an end is read, for the keys that a program was told to renew.
    async fn see_renewed(&self, tunnel: &TunnelName) {
        let renews = {
            let mut ends = self.ends();
            let opened = ends.get_mut(tunnel);
            opened.and_then(|o| Some((Arc::clone(&o.counters), o.renews.take()?)))
        };
        if let Some((counters, before)) = renews {
            self.wait_for_keys(&counters, before).await;
        }
    }

    /// A program agrees on keys at its own pace, and has no packets wait for them as the tunnel that is built in does.
    async fn wait_for_keys(&self, counters: &Counters, before: u64) {
        let agreed = || (counters.read().handshakes != before).then_some(());
        // Where none come, checks see what is lost.
        let _ = until(Deadline::after(PATIENCE), BETWEEN, agreed).await;
    }

    /// Starts programs that have ended by themselves once more. That one does not come up is told by `troubles`.
    pub async fn settle(&self) -> Result<(), TunnelError> {
        let mut lost = Vec::new();
        for (name, opened) in self.ends().iter_mut() {
            if opened.end.engine.is_some() && opened.work.as_ref().is_some_and(Work::is_over) {
                opened.work = None;
                lost.push(name.clone());
            }
        }
        for tunnel in lost {
            match self.restart(&tunnel).await {
                Ok(()) | Err(TunnelError::Program { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.carriers().values().for_each(|carrier| carrier.career.begin_phase());
        Ok(())
    }

    /// What the record holds of the programs that have carried tunnels.
    pub fn engines(&self) -> Vec<EngineRun> {
        self.carriers().values().map(|carrier| carrier.record()).collect()
    }

    /// Tunnels that are open and that the program that should carry them does not carry, as sentences.
    pub fn troubles(&self) -> Vec<(TunnelName, String)> {
        let open: Vec<_> = self.ends().values().map(|opened| opened.end.clone()).collect();
        let of = |end: &TunnelEnd| Some((end.tunnel.clone(), self.carrier(end)?.career.trouble()?));
        open.iter().filter_map(of).collect()
    }

    /// What programs have done without being asked to and nobody has been told of yet, as sentences.
    pub fn losses(&self) -> Vec<String> {
        self.carriers().values().flat_map(|carrier| carrier.career.losses()).collect()
    }

    fn carriers(&self) -> MutexGuard<'_, BTreeMap<TunnelName, Arc<Carrier>>> {
        self.carriers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who carries an end, where that is a program.
    fn carrier(&self, end: &TunnelEnd) -> Option<Arc<Carrier>> {
        let engine = TunnelEngine::of(end.engine.as_ref()?)?;
        let mut carriers = self.carriers();
        let carrier = carriers
            .entry(end.tunnel.clone())
            .or_insert_with(|| Arc::new(Carrier::new(engine, &self.shared, &self.node, end)));
        Some(Arc::clone(carrier))
    }

    /// Plants a fault in every tunnel that is open.
    pub async fn carry_wrongly(&self, how: TunnelFault) -> Result<(), TunnelError> {
        if self.ends().is_empty() {
            return Err(TunnelError::None(self.node.clone()));
        }
        self.ends().values().for_each(|opened| opened.faults.plant(how));
        self.tell_selectors().await
    }

    /// Takes all faults back.
    pub async fn mend(&self) -> Result<(), TunnelError> {
        let spoilt = self.ends().values().any(|opened| opened.faults.take_everything());
        self.ends().values().for_each(|opened| opened.faults.mend());
        if spoilt { self.tell_selectors().await } else { Ok(()) }
    }

    /// Tells programs what to couple, as faults have it.
    async fn tell_selectors(&self) -> Result<(), TunnelError> {
        let open: Vec<_> = self.ends().keys().cloned().collect();
        for tunnel in &open {
            self.be_content(tunnel).await?;
        }
        Ok(())
    }

    /// What its tunnels are and count.
    pub fn states(&self) -> Vec<TunnelState> {
        let state = |opened: &Opened| TunnelState {
            end: opened.work.as_ref().map_or(&opened.end, |work| &work.end).clone(),
            engine: match (self.carrier(&opened.end), opened.end.kind) {
                (Some(carrier), _) => carrier.title(),
                (None, TunnelKind::Vpn) => "WireGuard, built in".to_owned(),
                (None, plain) => format!("{plain}, built in, not encrypted"),
            },
            running: opened.work.as_ref().is_some_and(|work| !work.is_over()),
            counters: opened.counters.read(),
        };
        self.ends().values().map(state).collect()
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<TunnelName, Opened>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(
        &self,
        end: &TunnelEnd,
        counters: &Arc<Counters>,
        faults: &Arc<Faults>,
    ) -> Result<Work, TunnelError> {
        let tunnel = || end.tunnel.clone();
        let mouth = self.mouths.get(&end.tunnel);
        let mouth = mouth
            .ok_or_else(|| TunnelError::NotOurs { node: self.node.clone(), tunnel: tunnel() })?;
        let failed = |side| {
            let node = self.node.clone();
            move |source| TunnelError::Open { node, tunnel: end.tunnel.clone(), side, source }
        };
        let tube = Tube::open(mouth).map_err(failed("inside"))?;
        let (orders, told) = mpsc::channel(4);
        let (counters, faults) = (Arc::clone(counters), Arc::clone(faults));
        let selectors = Selectors::of(end, Arc::clone(&faults));
        if let Some(envelope) = plain::envelope(end) {
            let outside = self.namespace.run(|| plain::Outside::open(end));
            let outside = outside.map_err(failed("outside"))?;
            let at_work = plain::End { tube, outside, envelope, selectors, counters };
            let task = tokio::spawn(at_work.run(told));
            return Ok(Work { end: end.clone(), orders, task, place: None, vitals: None });
        }
        let ways = Ways::open(&self.namespace, end).map_err(failed("outside"))?;
        let inside = Inside { tube, selectors, counters, faults, renewed: false, regained: false };
        if let Some(carrier) = self.carrier(end) {
            let mtu = mouth.mtu().map_err(failed("inside"))?;
            let appliance = carrier.start(end, &self.keys, mtu).await;
            let appliance = appliance.map_err(|said| TunnelError::Program { said })?;
            let (place, vitals) = (Some(appliance.place.clone()), appliance.agent.vitals());
            let at_work = beside::End {
                carrier,
                appliance,
                inside,
                ways,
                told: end.clone(),
                children: children(end),
                agreed: BTreeSet::new(),
                anew: BTreeSet::new(),
                unproven: Vec::new(),
                tries_home: false,
            };
            let task = tokio::spawn(at_work.run(told));
            return Ok(Work { end: end.clone(), orders, task, place, vitals });
        }
        let secret = self.keys.secret(&self.node, &end.tunnel);
        let peer = self.keys.public(&end.peer, &end.tunnel);
        let at_work = End {
            tunnel: Tunn::new(secret, peer, None, None, u32::from(end.local.port()), None),
            inside,
            ways,
            answers: false,
            begins: end.begins,
        };
        let task = tokio::spawn(at_work.run(told));
        Ok(Work { end: end.clone(), orders, task, place: None, vitals: None })
    }
}

//! The tunnels of one gateway.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use boringtun::noise::Tunn;
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    counters::Counters,
    faults::Faults,
    keys::Keys,
    plain,
    selectors::Selectors,
    ways::Ways,
    wireguard::{End, Order},
};
use crate::{
    model::{
        fault::TunnelFault,
        management::Integration,
        name::{NodeName, TunnelName},
        step::Change,
        tunnel::{TunnelAct, TunnelEnd, TunnelKind, TunnelState},
    },
    net::namespace::Namespace,
    serve::tube::{Mouth, Tube},
};

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
    mouths: BTreeMap<TunnelName, Mouth>,
    ends: Mutex<BTreeMap<TunnelName, Opened>>,
}

/// An end that was opened, at work or stopped.
struct Opened {
    /// As planned.
    end: TunnelEnd,
    counters: Arc<Counters>,
    faults: Arc<Faults>,
    work: Option<Work>,
}

impl Opened {
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
}

impl Work {
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
        mouths: BTreeMap<TunnelName, Mouth>,
    ) -> Self {
        Self { node, namespace, keys, mouths, ends: Mutex::default() }
    }

    /// Makes a change that concerns tunnels. When it returns, the ports of ends that were closed are free.
    pub async fn apply(&self, change: &Change) -> Result<(), TunnelError> {
        match change {
            Change::OpenTunnel { end } => {
                let counters = Arc::new(Counters::default());
                self.close(&end.tunnel).await;
                let faults = Arc::default();
                let work = Some(self.start(end, &counters, &faults)?);
                let opened = Opened { end: end.clone(), counters, faults, work };
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
    pub async fn act(&self, tunnel: &TunnelName, act: TunnelAct) -> Result<(), TunnelError> {
        let not_ours = || TunnelError::NotOurs { node: self.node.clone(), tunnel: tunnel.clone() };
        let stopped = {
            let mut ends = self.ends();
            let opened = ends.get_mut(tunnel).ok_or_else(not_ours)?;
            if act == TunnelAct::Stop { opened.work.take() } else { None }
        };
        if let Some(work) = stopped {
            work.end().await;
        }
        let mut ends = self.ends();
        let opened = ends.get_mut(tunnel).ok_or_else(not_ours)?;
        match act {
            TunnelAct::Start if opened.work.is_none() => {
                opened.work = Some(self.start(&opened.end, &opened.counters, &opened.faults)?);
            }
            TunnelAct::Stop | TunnelAct::Start | TunnelAct::Read => {}
            TunnelAct::Renew if !opened.end.kind.is_encrypted() => {
                return Err(TunnelError::NoKeys { tunnel: tunnel.clone(), kind: opened.end.kind });
            }
            // An end that has more orders than it can take renews anyhow.
            TunnelAct::Renew => opened.order(Order::Renew),
            TunnelAct::Lose(family) => opened.order(Order::Lose(family)),
            TunnelAct::Regain => opened.order(Order::Regain),
        }
        Ok(())
    }

    /// Ends all its tunnels, as on a box that comes from the factory.
    pub async fn blank(&self) {
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
        let mut ends = self.ends();
        let Some(opened) = ends.get_mut(&file.tunnel) else {
            return Err(TunnelError::NotOurs { node, tunnel });
        };
        let made = file.end(&self.node, &opened.end);
        let made = made.ok_or(TunnelError::Useless { node, tunnel })?;
        opened.work = Some(self.start(&made, &opened.counters, &opened.faults)?);
        Ok(())
    }

    /// Plants a fault in every tunnel that is open.
    pub fn carry_wrongly(&self, how: TunnelFault) -> Result<(), TunnelError> {
        let ends = self.ends();
        if ends.is_empty() {
            return Err(TunnelError::None(self.node.clone()));
        }
        ends.values().for_each(|opened| opened.faults.plant(how));
        Ok(())
    }

    /// Takes all faults back.
    pub fn mend(&self) {
        self.ends().values().for_each(|opened| opened.faults.mend());
    }

    /// What its tunnels are and count.
    pub fn states(&self) -> Vec<TunnelState> {
        let state = |opened: &Opened| TunnelState {
            end: opened.work.as_ref().map_or(&opened.end, |work| &work.end).clone(),
            engine: match opened.end.kind {
                TunnelKind::Vpn => "WireGuard, built in".to_owned(),
                plain => format!("{plain}, built in, not encrypted"),
            },
            running: opened.work.as_ref().is_some_and(|work| !work.task.is_finished()),
            counters: opened.counters.read(),
        };
        self.ends().values().map(state).collect()
    }

    fn ends(&self) -> MutexGuard<'_, BTreeMap<TunnelName, Opened>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(
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
            return Ok(Work { end: end.clone(), orders, task: tokio::spawn(at_work.run(told)) });
        }
        let ways = Ways::open(&self.namespace, end).map_err(failed("outside"))?;
        let secret = self.keys.secret(&self.node, &end.tunnel);
        let peer = self.keys.public(&end.peer, &end.tunnel);
        let at_work = End {
            tunnel: Tunn::new(secret, peer, None, None, u32::from(end.local.port()), None),
            tube,
            ways,
            selectors,
            counters,
            faults,
            answers: false,
            renewed: false,
            begins: end.begins,
        };
        Ok(Work { end: end.clone(), orders, task: tokio::spawn(at_work.run(told)) })
    }
}

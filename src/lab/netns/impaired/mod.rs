//! Links that this program carries: where a testbed or a fault says that a link loses, delays, repeats or reorders frames, or
//! that its switch guards against forged Router Advertisements, the bridge is taken down and frames go from port to port here. That works alike on every kernel, for every
//! impairment and for one family alone, and taps see what enters the link as before.

mod fate;
mod listeners;
mod treatment;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    io,
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    node::Node,
    wire::{BRIDGE_INDEX, Wire},
};
use crate::{
    model::mac::Mac,
    net::{
        links,
        namespace::Namespace,
        netlink::NetlinkError,
        packet::{self, Ear, Layer as From, PacketSocket},
    },
    wire::{filter, frame::ETHERNET_HEADER},
};
use fate::{Dice, Line};

pub(super) use fate::Layer;
use listeners::Listeners;
use treatment::Guard;
pub(super) use treatment::{Planted, Treatment};

/// Room for frames that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 8 << 20;
/// The longest frame: what a sender hands over that does not cut it.
const LONGEST_FRAME: usize = 65_550;

/// Why a link cannot be impaired, or not be mended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImpairError {
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// A link that this program carries. Dropping it leaves the link dead.
pub(super) struct Carrier {
    task: JoinHandle<()>,
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Carrier {
    /// Takes a link over from its bridge. Packets must leave the nodes whole: nobody else completes their checksums.
    pub(super) fn take_over<'n>(
        wire: &Wire,
        nodes: impl Iterator<Item = (&'n Node, &'n str)>,
        treatment: Treatment,
    ) -> Result<Self, ImpairError> {
        for (node, interface) in nodes {
            links::set_offloads(&node.namespace, interface, false)?;
        }
        // Strangers, too, may have been plugged in.
        let there = links::read(&wire.netlink)?;
        let plugged: Vec<u32> = there.into_keys().filter(|index| *index > BRIDGE_INDEX).collect();
        let (ear, ports) = wire.namespace.run(|| {
            let ear = packet::open(From::Link, &filter::everything(), 0)?;
            ear.set_recv_buffer_size(WAITING_ROOM)?;
            let open = |index: u32| Ok((index, packet::sender(index)?));
            let ports = plugged.into_iter().map(open);
            Ok::<_, io::Error>((Ear::new(ear)?, ports.collect::<io::Result<HashMap<_, _>>>()?))
        })?;
        wire.netlink.ask(&links::take_down(BRIDGE_INDEX))?;
        let carried = Carried {
            namespace: wire.namespace.clone(),
            ports,
            places: HashMap::new(),
            line: Line::new(treatment.layers, Dice(RandomState::new().build_hasher().finish())),
            guard: treatment.guard,
            listeners: treatment.snooping.map(Listeners::new),
            waiting: BinaryHeap::new(),
            frames: HashMap::new(),
            number: 0,
            began: Instant::now(),
        };
        Ok(Self { task: tokio::spawn(carried.run(ear)) })
    }

    /// Ends; when it returns, no frame is carried any more.
    pub(super) async fn end(mut self) {
        self.task.abort();
        // It can only have been cancelled.
        let _ = (&mut self.task).await;
    }

    /// Ends, and gives the link back to its bridge.
    pub(super) async fn give_back<'n>(
        self,
        wire: &Wire,
        nodes: impl Iterator<Item = (&'n Node, &'n str)>,
    ) -> Result<(), ImpairError> {
        self.end().await;
        wire.netlink.ask(&links::bring_up(BRIDGE_INDEX))?;
        for (node, interface) in nodes {
            links::set_offloads(&node.namespace, interface, true)?;
        }
        Ok(())
    }
}

/// The state of a link that is carried.
struct Carried {
    namespace: Namespace,
    ports: HashMap<u32, PacketSocket>,
    /// The port behind which a link-layer address was last heard.
    places: HashMap<Mac, u32>,
    line: Line,
    guard: Option<Guard>,
    listeners: Option<Listeners>,
    /// When the next frames leave, in microseconds, and their numbers: frames of one moment leave in their order.
    waiting: BinaryHeap<Reverse<(u64, u64)>>,
    frames: HashMap<u64, (u32, Vec<u8>)>,
    number: u64,
    began: Instant,
}

impl Carried {
    async fn run(mut self, ear: Ear) {
        let mut buffer = vec![0; LONGEST_FRAME];
        let mut asks = self.ask_for_listeners();
        loop {
            let next = self.waiting.peek().map(|Reverse((at, _))| self.moment(*at));
            tokio::select! {
                heard = ear.hear_from(&mut buffer) => match heard {
                    Ok((length, port)) => self.take(&mut buffer[..length], port),
                    Err(_) => return,
                },
                () = sleep_until(next.unwrap_or(self.began)), if next.is_some() => {}
                () = sleep_until(asks.unwrap_or(self.began)), if asks.is_some() => {
                    asks = self.ask_for_listeners();
                }
            }
            self.let_go();
        }
    }

    /// Asks for listeners, where the switch is their querier; returns when it asks again.
    fn ask_for_listeners(&mut self) -> Option<Instant> {
        let (question, every) = self.listeners.as_ref()?.question()?;
        self.send(BRIDGE_INDEX, &question);
        Some(Instant::now() + every)
    }

    fn moment(&self, at_us: u64) -> Instant {
        self.began + Duration::from_micros(at_us)
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Canaries of taps go the way of every frame: some taps are for what is delivered.
    fn take(&mut self, frame: &mut [u8], port: u32) {
        if port == BRIDGE_INDEX {
            return;
        }
        if self.guard.as_ref().is_some_and(|guard| guard.stops(frame, port)) {
            return;
        }
        if let Some(source) = mac(frame, 6) {
            self.places.insert(source, port);
        }
        if let Some(listeners) = &mut self.listeners {
            listeners.learn(frame, port);
        }
        for leaves in self.line.pass(frame, port, self.now_us()) {
            self.number += 1;
            self.waiting.push(Reverse((leaves, self.number)));
            self.frames.insert(self.number, (port, frame.to_vec()));
        }
    }

    /// Sends what is due.
    fn let_go(&mut self) {
        let now = self.now_us();
        while let Some(Reverse((at, number))) = self.waiting.peek().copied()
            && at <= now
        {
            self.waiting.pop();
            if let Some((from, frame)) = self.frames.remove(&number) {
                self.send(from, &frame);
            }
        }
    }

    /// To the port behind which the receiver was heard, or to all but the one that the frame came in by.
    fn send(&mut self, from: u32, frame: &[u8]) {
        if from != BRIDGE_INDEX && !self.ports.contains_key(&from) {
            // Somebody was plugged in. Who cannot be sent to hears nothing, as behind a broken cable.
            let opened = self.namespace.run(|| packet::sender(from));
            self.ports.extend(opened.map(|socket| (from, socket)));
        }
        let to = mac(frame, 0);
        let known = to.and_then(|to| self.places.get(&to)).copied();
        let may_leave = |index| match (&self.listeners, to) {
            (Some(listeners), Some(to)) => listeners.may_leave(to, index),
            _ => true,
        };
        for (index, socket) in &self.ports {
            if *index != from && known.is_none_or(|known| known == *index) && may_leave(*index) {
                // What the kernel has no room for is lost, as on any link.
                let _ = packet::send_now(socket, frame);
            }
        }
    }
}

fn mac(frame: &[u8], at: usize) -> Option<Mac> {
    frame.get(..ETHERNET_HEADER)?.get(at..at + 6)?.try_into().ok().map(Mac)
}

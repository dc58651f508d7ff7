//! `Question::PathMtu`: the largest packet that passes, by search with echo requests that must not be fragmented, and
//! who says what is too big. Several sizes are tried at once, so that a black hole costs few waits.

use std::{collections::BTreeSet, io, net::IpAddr, time::Duration};

use tokio::time::Instant;

use super::{
    Deadline, Vantage,
    echoes::{Echo, Echoes},
};
use crate::{
    model::{
        answer::{Answer, IcmpError, Outcome, Sweep},
        family::Family,
    },
    wire::{icmp::ECHO_HEADER, packet},
};

/// The smallest packet tried: below what any link of today carries, so that also an MTU that is too small is found.
const SMALLEST: u16 = 128;
/// How many sizes are tried at once.
const WIDTH: u16 = 8;
/// How often a size is tried before it counts as lost.
const TRIES: usize = 2;
/// How long the first packet may take: a neighbour may have to be found.
const FIRST_WAIT: Duration = Duration::from_millis(1_500);
/// The least that later packets may take, and how many round trips.
const LEAST_WAIT: Duration = Duration::from_millis(250);
const ROUND_TRIPS: u32 = 4;

pub(super) async fn ask(at: &Vantage, to: IpAddr, ceiling: u16, deadline: Deadline) -> Answer {
    let opened = Echoes::open(at, to).map_err(|attempt| attempt.outcome);
    let prepared = opened.and_then(|echoes| match echoes.probe_mtu() {
        Ok(()) => Ok(echoes),
        Err(error) => Err(Outcome::NotAsked { reason: error.to_string() }),
    });
    match prepared {
        Ok(echoes) => {
            let mut search = Search::new(echoes, to, ceiling, deadline);
            search.run().await;
            Answer::PathMtu { sweep: search.sweep }
        }
        Err(Outcome::NotAsked { reason }) => Answer::NotAsked { reason },
        Err(_) => Answer::PathMtu { sweep: nothing_known(None, to) },
    }
}

fn nothing_known(source: Option<IpAddr>, destination: IpAddr) -> Sweep {
    Sweep { source, destination, passed: None, lost: None, too_big: Vec::new() }
}

struct Search {
    echoes: Echoes,
    sweep: Sweep,
    /// Octets of a packet before its payload.
    overhead: u16,
    /// The largest size that the node can send at all.
    bound: u16,
    deadline: Deadline,
    wait: Duration,
    /// The size behind each sequence number.
    sent: Vec<u16>,
    /// Sizes that a router named and that are still to be tried.
    named: BTreeSet<u16>,
}

impl Search {
    fn new(echoes: Echoes, to: IpAddr, ceiling: u16, deadline: Deadline) -> Self {
        let overhead = packet::overhead(Family::of(to)) + ECHO_HEADER;
        Self {
            sweep: nothing_known(echoes.source(), to),
            echoes,
            overhead: u16::try_from(overhead).expect("headers are short"),
            bound: ceiling,
            deadline,
            wait: FIRST_WAIT,
            sent: Vec::new(),
            named: BTreeSet::new(),
        }
    }

    async fn run(&mut self) {
        let begun = Instant::now();
        self.round(&[SMALLEST.min(self.bound)]).await;
        if self.sweep.passed.is_none() {
            return;
        }
        self.wait = (begun.elapsed() * ROUND_TRIPS).clamp(LEAST_WAIT, FIRST_WAIT);
        loop {
            let sizes = self.candidates();
            if sizes.is_empty() || self.deadline.has_passed() {
                return;
            }
            self.round(&sizes).await;
        }
    }

    /// What to try next: the upper end first, since most paths carry it; what routers have named, and one more; else
    /// sizes spread evenly over what is open.
    fn candidates(&mut self) -> Vec<u16> {
        let low = self.sweep.passed.unwrap_or(0);
        let high = self.sweep.lost.map_or(self.bound, |lost| lost - 1).min(self.bound);
        if low >= high {
            return Vec::new();
        }
        if self.sweep.lost.is_none() {
            return vec![high];
        }
        let named = std::mem::take(&mut self.named);
        let useful: Vec<u16> = named.range(low + 1..=high).copied().collect();
        if !useful.is_empty() {
            return useful;
        }
        let open = high - low;
        let width = open.min(WIDTH);
        let spread = |part: u16| {
            let offset = u32::from(open) * u32::from(part) / u32::from(width);
            low + u16::try_from(offset).unwrap_or(open)
        };
        (1..=width).map(spread).collect()
    }

    /// Tries some sizes at once, those that stay silent again, and notes the largest that passed and the smallest
    /// that was lost above it.
    async fn round(&mut self, sizes: &[u16]) {
        let mut open: BTreeSet<u16> = sizes.iter().copied().collect();
        let mut lost = BTreeSet::new();
        for _ in 0..TRIES {
            if open.is_empty() {
                break;
            }
            open.retain(|size| self.send(*size));
            self.collect(&mut open, &mut lost).await;
        }
        lost.extend(open);
        let passed = self.sweep.passed.unwrap_or(0);
        if let Some(smallest) = lost.into_iter().find(|size| *size > passed) {
            self.sweep.lost = Some(self.sweep.lost.map_or(smallest, |lost| lost.min(smallest)));
        }
    }

    /// Sends a packet of a size; `false` if the node's own link cannot carry it.
    fn send(&mut self, size: u16) -> bool {
        let sequence = u16::try_from(self.sent.len()).unwrap_or(u16::MAX);
        self.sent.push(size);
        let payload = usize::from(size.saturating_sub(self.overhead));
        match self.echoes.send(sequence, payload) {
            Err(error) if is_too_long(&error) => {
                self.bound = self.bound.min(size - 1);
                false
            }
            _ => true,
        }
    }

    /// Waits until every open size has passed or met an error, or the time is over.
    async fn collect(&mut self, open: &mut BTreeSet<u16>, lost: &mut BTreeSet<u16>) {
        let until = self.deadline.or_after(self.wait);
        while !open.is_empty() {
            match self.echoes.hear(until).await {
                None => return,
                Some(Echo::Reply(sequence)) => {
                    let Some(size) = self.size(sequence) else { continue };
                    open.remove(&size);
                    self.sweep.passed = self.sweep.passed.max(Some(size));
                }
                Some(Echo::Error(sequence, error)) => {
                    let Some(size) = self.size(sequence) else { continue };
                    self.note(error);
                    if open.remove(&size) {
                        lost.insert(size);
                    }
                }
            }
        }
    }

    fn size(&self, sequence: u16) -> Option<u16> {
        self.sent.get(usize::from(sequence)).copied()
    }

    /// Keeps an error, once for each router and MTU; other errors than these say nothing about sizes.
    fn note(&mut self, error: IcmpError) {
        let Some(mtu) = error.mtu else { return };
        if !self.sweep.too_big.contains(&error) {
            self.sweep.too_big.push(error);
        }
        let mtu = u16::try_from(mtu).unwrap_or(u16::MAX);
        self.named.extend([mtu, mtu.saturating_add(1)]);
    }
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EMSGSIZE)
}

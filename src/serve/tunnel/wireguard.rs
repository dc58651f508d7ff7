//! One end of a WireGuard tunnel (the protocol by the library boringtun, which does no I/O of its own).

use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{
    inside::Inside,
    ways::{Need, Ways},
};
use crate::model::{family::Family, fault::TunnelFault};

/// The longest datagram or frame.
pub(super) const LONGEST: usize = 65_600;
/// How often the timers of the protocol are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How many ticks a handshake has before another is begun. Both ends ration handshakes to ten a second, and duplicate
/// address detection may hold back the first ones for two seconds.
const PATIENCE: u32 = 5;
/// After how many ticks the end that need not begin does so all the same.
const WAITS: u32 = 23;

/// The types of messages (WireGuard, section 5.4).
const INITIATION: u8 = 1;
const RESPONSE: u8 = 2;
const DATA: u8 = 4;

/// What an end is told while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Agree on new keys now (`Rekey-After-Time` comes too late for a test: 120 s).
    Renew,
    /// Be without a family outside.
    Lose(Family),
    /// Have it again.
    Regain,
}

/// One end at work.
pub(super) struct End {
    pub(super) tunnel: Tunn,
    pub(super) inside: Inside,
    pub(super) ways: Ways,
    /// Whether it has answered a handshake that is not over yet.
    pub(super) answers: bool,
    /// Whether this end begins the first handshake.
    pub(super) begins: bool,
}

impl End {
    /// Works until its orders end.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let (mut frame, mut datagram) = (vec![0; LONGEST], vec![0; LONGEST]);
        let mut out = vec![0; LONGEST];
        let mut ticks = ticks();
        let mut silent = 0;
        if self.begins {
            self.begin(&mut out).await;
        }
        loop {
            tokio::select! {
                taken = self.inside.take(&mut frame) => match taken {
                    Ok(Some(packet)) => {
                        // What was ordered before the packet came is done before it goes.
                        while let Ok(order) = orders.try_recv() {
                            self.follow(order, &mut out).await;
                        }
                        self.leave(packet, &mut out).await;
                    }
                    Ok(None) => {}
                    Err(_) => return,
                },
                // An ICMP error about what was sent before is no reason to stop.
                Ok((length, at)) = self.ways.hear(&mut datagram) => {
                    self.arrive(&datagram[..length], at, &mut out).await;
                }
                _ = ticks.tick() => {
                    self.look_at_timers(&mut out).await;
                    silent = if self.is_up() { 0 } else { silent + 1 };
                    self.look_for_peer(&mut out).await;
                    if silent % PATIENCE == 1 && (self.begins || silent > WAITS) {
                        self.begin(&mut out).await;
                    }
                }
                order = orders.recv() => match order {
                    Some(order) => self.follow(order, &mut out).await,
                    None => return,
                },
            }
        }
    }

    async fn follow(&mut self, order: Order, out: &mut [u8]) {
        match order {
            Order::Renew if self.inside.has(TunnelFault::NoNewKeys) => {}
            Order::Renew => {
                self.inside.renewed = true;
                self.begin(out).await;
            }
            Order::Lose(family) => self.ways.lose(family),
            Order::Regain => {
                self.inside.regained = true;
                self.ways.regain();
                self.begin(out).await;
            }
        }
    }

    /// Where the other end is not heard any more, it is asked for a word, and then the next family carries.
    async fn look_for_peer(&mut self, out: &mut [u8]) {
        if !self.is_up() || self.inside.has(TunnelFault::BoundToFirst) {
            return;
        }
        match self.ways.look() {
            Need::Nothing => {}
            Need::Handshake => self.begin(out).await,
            Need::HandshakeAtHome => {
                if let TunnResult::WriteToNetwork(datagram) =
                    self.tunnel.format_handshake_initiation(out, true)
                {
                    self.ways.send_home(datagram).await;
                }
            }
        }
    }

    fn is_up(&self) -> bool {
        self.tunnel.stats().0.is_some()
    }

    /// A packet of the gateway goes into the tunnel.
    async fn leave(&mut self, packet: &[u8], out: &mut [u8]) {
        if !self.inside.lets_out(packet).await {
            return;
        }
        self.ways.show_class(self.inside.class_of(packet));
        if let TunnResult::WriteToNetwork(datagram) = self.tunnel.encapsulate(packet, out) {
            self.ways.send(datagram).await;
            self.ways.note_sent();
        }
    }

    /// A datagram of the other end: a packet, or a message of the protocol, which more may follow.
    async fn arrive(&mut self, datagram: &[u8], at: usize, out: &mut [u8]) {
        if self.inside.has(TunnelFault::BoundToFirst) && !Ways::is_home(at) {
            return;
        }
        let mut message = datagram.first().copied();
        let mut datagram = datagram;
        loop {
            let told = self.tunnel.decapsulate(None, datagram, out);
            if !matches!(told, TunnResult::Err(_)) {
                self.ways.note_heard(at);
                self.note_handshake(message.take());
            }
            match told {
                TunnResult::WriteToNetwork(reply) => {
                    self.ways.send(reply).await;
                    datagram = &[];
                }
                TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                    return self.inside.deliver(packet);
                }
                TunnResult::Done | TunnResult::Err(_) => break,
            }
        }
    }

    /// A handshake is over for who began it with the response, and for the other end with the first message under the new
    /// keys.
    fn note_handshake(&mut self, message: Option<u8>) {
        match message {
            Some(INITIATION) => self.answers = true,
            Some(RESPONSE) => self.inside.counters.note_handshake(),
            Some(DATA) if self.answers => {
                self.answers = false;
                self.inside.counters.note_handshake();
            }
            _ => {}
        }
    }

    async fn look_at_timers(&mut self, out: &mut [u8]) {
        if let TunnResult::WriteToNetwork(datagram) = self.tunnel.update_timers(out) {
            self.ways.send(datagram).await;
        }
    }

    async fn begin(&mut self, out: &mut [u8]) {
        if let TunnResult::WriteToNetwork(datagram) =
            self.tunnel.format_handshake_initiation(out, true)
        {
            self.ways.send(datagram).await;
        }
    }
}

pub(super) fn ticks() -> Interval {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

//! One end of a WireGuard tunnel (the protocol by the library boringtun, which does no I/O of its own).

use std::{io, sync::Arc, time::Duration};

use boringtun::noise::{Tunn, TunnResult};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use super::{counters::Counters, faults::Faults, selectors::Selectors};
use crate::{
    model::{family::Family, fault::TunnelFault},
    net::socket,
    serve::tube::Tube,
    wire::packet,
};

/// The longest datagram or frame.
const LONGEST: usize = 65_600;
/// How often the timers of the protocol are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How many ticks a handshake has before another is begun. Both ends ration handshakes to ten a second, and duplicate
/// address detection may hold back the first ones for two seconds.
const PATIENCE: u32 = 5;
/// After how many ticks the end that need not begin does so all the same.
const WAITS: u32 = 23;

/// What of the traffic class is the code point, and not the congestion mark.
const DSCP: u8 = 0xfc;

/// What an end is told while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Agree on new keys now (`Rekey-After-Time` comes too late for a test: 120 s).
    Renew,
}

/// One end at work.
pub(super) struct End {
    pub(super) tunnel: Tunn,
    pub(super) tube: Tube,
    pub(super) outside: UdpSocket,
    pub(super) selectors: Selectors,
    pub(super) counters: Arc<Counters>,
    pub(super) faults: Arc<Faults>,
    /// The family outside.
    pub(super) outer: Family,
    /// The traffic class that packets have outside now.
    pub(super) shown: u8,
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
                taken = self.tube.take(&mut frame) => match taken {
                    Ok(packet) => self.leave(packet, &mut out).await,
                    // The link has been taken away: there is nothing more to carry.
                    Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                    Err(_) => return,
                },
                // An ICMP error about what was sent before is no reason to stop.
                Ok(length) = self.outside.recv(&mut datagram) => {
                    self.arrive(&datagram[..length], &mut out).await;
                }
                _ = ticks.tick() => {
                    self.look_at_timers(&mut out).await;
                    silent = if self.is_up() { 0 } else { silent + 1 };
                    if silent % PATIENCE == 1 && (self.begins || silent > WAITS) {
                        self.begin(&mut out).await;
                    }
                }
                order = orders.recv() => match order {
                    Some(Order::Renew) => self.begin(&mut out).await,
                    None => return,
                },
            }
        }
    }

    fn is_up(&self) -> bool {
        self.tunnel.stats().0.is_some()
    }

    /// A packet of the gateway goes into the tunnel.
    async fn leave(&mut self, packet: &[u8], out: &mut [u8]) {
        if !self.selectors.let_out(packet) {
            return self.counters.refuse();
        }
        self.counters.sent.add(packet.len());
        self.show_class(packet);
        if let TunnResult::WriteToNetwork(datagram) = self.tunnel.encapsulate(packet, out) {
            // What the outside does not take is lost, as on any link.
            let _ = self.outside.send(datagram).await;
        }
    }

    /// A datagram of the other end: a packet, or a message of the protocol, which more may follow.
    async fn arrive(&mut self, datagram: &[u8], out: &mut [u8]) {
        let before = self.tunnel.stats().0;
        let mut datagram = datagram;
        loop {
            match self.tunnel.decapsulate(None, datagram, out) {
                TunnResult::WriteToNetwork(reply) => {
                    let _ = self.outside.send(reply).await;
                    datagram = &[];
                }
                TunnResult::WriteToTunnelV4(packet, _) => {
                    return self.deliver(Family::V4, packet.len(), out);
                }
                TunnResult::WriteToTunnelV6(packet, _) => {
                    return self.deliver(Family::V6, packet.len(), out);
                }
                TunnResult::Done | TunnResult::Err(_) => break,
            }
        }
        if is_newer(before, self.tunnel.stats().0) {
            self.counters.note_handshake();
        }
    }

    fn deliver(&self, family: Family, length: usize, out: &[u8]) {
        let packet = &out[..length];
        if self.faults.has(TunnelFault::NoErrors) && is_error(packet) {
            return;
        }
        if !self.selectors.let_in(packet) {
            return self.counters.refuse();
        }
        self.counters.received.add(length);
        // What the gateway's link does not take is lost, as on any link.
        let _ = self.tube.put(packet, family);
    }

    /// Outside, a packet has the class of what it carries (RFC 4301 section 5.1.2). Its congestion marks are not shown,
    /// since none that are made outside would be taken in (compatibility mode, RFC 6040 section 4.3).
    fn show_class(&mut self, packet: &[u8]) {
        let class = packet::class(packet).unwrap_or_default() & DSCP;
        let hidden = packet::family(packet) == Some(Family::V6)
            && self.faults.has(TunnelFault::ClassOfIpv4Alone);
        let class = if hidden { 0 } else { class };
        let outside = socket2::SockRef::from(&self.outside);
        if class != self.shown && socket::set_class(&outside, self.outer, class).is_ok() {
            self.shown = class;
        }
    }

    async fn look_at_timers(&mut self, out: &mut [u8]) {
        if let TunnResult::WriteToNetwork(datagram) = self.tunnel.update_timers(out) {
            let _ = self.outside.send(datagram).await;
        }
    }

    async fn begin(&mut self, out: &mut [u8]) {
        if let TunnResult::WriteToNetwork(datagram) =
            self.tunnel.format_handshake_initiation(out, true)
        {
            let _ = self.outside.send(datagram).await;
        }
    }
}

/// Whether a packet is an ICMP error.
fn is_error(packet: &[u8]) -> bool {
    let kind = |at: usize, errors: &[u8]| packet.get(at).is_some_and(|kind| errors.contains(kind));
    match packet::family(packet) {
        Some(Family::V4) => packet.get(9) == Some(&1) && kind(20, &[3, 11, 12]),
        Some(Family::V6) => packet.get(6) == Some(&58) && kind(40, &[1, 2, 3, 4]),
        None => false,
    }
}

/// Whether the last handshake is another one than before.
fn is_newer(before: Option<Duration>, after: Option<Duration>) -> bool {
    match (before, after) {
        (None, Some(_)) => true,
        (Some(before), Some(after)) => after < before,
        _ => false,
    }
}

fn ticks() -> Interval {
    let mut ticks = interval_at(Instant::now() + TICK, TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// The socket of an end on its outside.
pub(super) fn outside(
    local: std::net::SocketAddr,
    remote: std::net::SocketAddr,
) -> io::Result<UdpSocket> {
    let socket = crate::serve::socket::datagram_socket(local)?;
    crate::serve::socket::split_on_the_way(&socket, local)?;
    socket.bind(&local.into())?;
    // Only the peer is heard. An address that duplicate address detection still holds back cannot send yet, but can be
    // connected from.
    socket.connect(&remote.into())?;
    UdpSocket::from_std(socket.into())
}

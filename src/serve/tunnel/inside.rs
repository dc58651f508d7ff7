//! The inside of an end that encrypts, whatever carries it: what goes in, what comes out, and what is planted there.

use std::{borrow::Cow, io, sync::Arc, time::Duration};

use super::{counters::Counters, faults::Faults, selectors::Selectors};
use crate::{
    model::{family::Family, fault::TunnelFault},
    serve::tube::Tube,
    wire::packet,
};

/// What a planted slowness costs each packet.
const SLOWNESS: Duration = Duration::from_millis(3);

/// What of the traffic class is the code point, and not the congestion mark.
const DSCP: u8 = 0xfc;

/// The inside of an end.
pub(super) struct Inside {
    pub(super) tube: Tube,
    pub(super) selectors: Selectors,
    pub(super) counters: Arc<Counters>,
    pub(super) faults: Arc<Faults>,
    /// Whether its keys were renewed since it was started.
    pub(super) renewed: bool,
    /// Whether a family outside was away, and came back, since it was started.
    pub(super) regained: bool,
}

impl Inside {
    pub(super) fn has(&self, fault: TunnelFault) -> bool {
        self.faults.has(fault)
    }

    /// The next packet that the gateway sends; nothing while its link is away.
    pub(super) async fn take<'b>(&self, frame: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        match self.tube.take(frame).await {
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => Ok(None),
            taken => taken.map(Some),
        }
    }

    /// Whether a packet of the gateway goes into the tunnel.
    pub(super) async fn lets_out(&self, packet: &[u8]) -> bool {
        if !self.selectors.let_out(packet) {
            self.counters.refuse();
            return false;
        }
        if !self.has_keys_for(packet) || self.regained && self.has(TunnelFault::LostOnReturn) {
            return false;
        }
        if packet::family(packet) == Some(Family::V6) && self.has(TunnelFault::SlowForIpv6) {
            tokio::time::sleep(SLOWNESS).await;
        }
        self.counters.sent.add(packet.len());
        true
    }

    /// Whether it still has keys for a packet.
    fn has_keys_for(&self, packet: &[u8]) -> bool {
        let lost = self.renewed && self.has(TunnelFault::NewKeysForIpv4Alone);
        !lost || packet::family(packet) != Some(Family::V6)
    }

    /// Outside, a packet has the class of what it carries (RFC 4301 section 5.1.2). Its congestion marks are not shown,
    /// since none that are made outside would be taken in (compatibility mode, RFC 6040 section 4.3).
    pub(super) fn class_of(&self, packet: &[u8]) -> u8 {
        let hidden =
            packet::family(packet) == Some(Family::V6) && self.has(TunnelFault::ClassOfIpv4Alone);
        if hidden { 0 } else { packet::class(packet).unwrap_or_default() & DSCP }
    }

    /// Hands a packet of the other end to the gateway, if it may come out.
    pub(super) fn deliver(&self, packet: &[u8]) {
        if self.has(TunnelFault::NoErrors) && is_error(packet) {
            return;
        }
        let Some(family) = packet::family(packet).filter(|_| self.selectors.let_in(packet)) else {
            return self.counters.refuse();
        };
        self.counters.received.add(packet.len());
        // What the gateway's link does not take is lost, as on any link.
        let _ = self.tube.put(&self.spoilt(packet), family);
    }

    /// A packet as it comes out: with the header that it was put in with, unless something else is planted.
    fn spoilt<'p>(&self, packet: &'p [u8]) -> Cow<'p, [u8]> {
        let mut packet = Cow::Borrowed(packet);
        if self.has(TunnelFault::ClearsClass) {
            packet::set_class(packet.to_mut(), 0);
        }
        if self.has(TunnelFault::TakesAHop) {
            packet::take_hop(packet.to_mut());
        }
        packet
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

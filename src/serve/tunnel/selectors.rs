//! Selectors: what may go through a tunnel (RFC 4301 section 4.4.1.1). WireGuard itself knows only the source of what
//! comes (its allowed addresses); the pairs are looked at here.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use super::faults::Faults;
use crate::model::{family::Family, fault::TunnelFault, tunnel::TunnelEnd};

/// What an end takes and gives.
#[derive(Clone, Debug)]
pub(super) struct Selectors {
    end: TunnelEnd,
    faults: Arc<Faults>,
}

impl Selectors {
    /// Those of an end.
    pub(super) fn of(end: &TunnelEnd, faults: Arc<Faults>) -> Self {
        Self { end: end.clone(), faults }
    }

    fn couples(&self, here: IpAddr, there: IpAddr) -> bool {
        let is_coupled = self.end.couples(here, there) && !self.lacks(Family::of(here));
        is_coupled || self.faults.has(TunnelFault::OpenSelectors)
    }

    /// Whether its couples of a family were never entered.
    fn lacks(&self, family: Family) -> bool {
        self.faults.has(match family {
            Family::V4 => TunnelFault::CouplesIpv6Alone,
            Family::V6 => TunnelFault::CouplesIpv4Alone,
        })
    }

    /// Whether a packet may leave through the tunnel.
    pub(super) fn let_out(&self, packet: &[u8]) -> bool {
        self.faults.is_wide() && ends(packet).is_some()
            || ends(packet).is_some_and(|(source, destination)| self.couples(source, destination))
    }

    /// Whether a packet may come out of the tunnel.
    pub(super) fn let_in(&self, packet: &[u8]) -> bool {
        let open = self.faults.has(TunnelFault::OpenOnArrival);
        ends(packet).is_some_and(|(source, destination)| open || self.couples(destination, source))
    }
}

/// Source and destination of an IP packet.
fn ends(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    match packet.first()? >> 4 {
        4 => {
            let at = |at: usize| Some(Ipv4Addr::from(*packet.get(at..)?.first_chunk::<4>()?));
            Some((at(12)?.into(), at(16)?.into()))
        }
        6 => {
            let at = |at: usize| Some(Ipv6Addr::from(*packet.get(at..)?.first_chunk::<16>()?));
            Some((at(8)?.into(), at(24)?.into()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::tunnel::example::end, wire::packet};

    #[test]
    fn only_coupled_pairs_pass_and_only_the_right_way() {
        let selectors = Selectors::of(&end(), Arc::default());
        let packet = |from: &str, to: &str| {
            packet::header(from.parse().unwrap(), to.parse().unwrap(), 17, 64, 0).unwrap()
        };
        let out = |from, to| selectors.let_out(&packet(from, to));
        assert!(out("10.1.0.9", "10.2.0.9") && out("2001:db8:a::9", "2001:db8:b::9"));
        assert!(!out("10.2.0.9", "10.1.0.9"), "the other way");
        assert!(!out("10.3.0.9", "10.2.0.9"), "a source that is not coupled");
        assert!(!out("10.1.0.9", "192.0.2.33"), "a destination that is not coupled");
        assert!(selectors.let_in(&packet("10.2.0.9", "10.1.0.9")));
        assert!(!selectors.let_in(&packet("10.1.0.9", "10.2.0.9")));
        assert!(out("100.64.0.0", "10.2.0.9"), "ICMP errors of the gateway");
        assert!(selectors.let_in(&packet("100.64.0.1", "10.1.0.9")), "and of its peer");
        assert!(!selectors.let_out(&[]) && !selectors.let_out(&[0x60; 39]));
    }
}

//! The sides of an end that an agent beside its gateway carries: what stands behind it and behind the other end, and where each
//! is heard.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use crate::model::tunnel::TunnelEnd;

/// The port of IKE and of ESP in UDP (RFC 3948 section 4), where WireGuard is heard too, and the one that stands for the other
/// end.
pub(super) const PORT: u16 = 4500;
pub(super) const THEIR_PORT: u16 = 4501;

/// Subnets, each once.
pub(super) type Nets = BTreeSet<IpNet>;

/// The subnets that are coupled at this end.
pub(super) fn heres(end: &TunnelEnd) -> Nets {
    end.relations.iter().map(|relation| relation.here).collect()
}

/// Those at the other.
pub(super) fn theres(end: &TunnelEnd) -> Nets {
    end.relations.iter().map(|relation| relation.there).collect()
}

/// The gateway's own addresses inside: its ICMP errors come from them.
pub(super) fn within(end: &TunnelEnd) -> Nets {
    end.within.iter().copied().collect()
}

/// Those of the other gateway.
pub(super) fn beyond(end: &TunnelEnd) -> Nets {
    end.beyond.iter().copied().collect()
}

/// All that stands behind this end.
pub(super) fn here(end: &TunnelEnd) -> Nets {
    &heres(end) | &within(end)
}

/// All that stands behind the other end.
pub(super) fn there(end: &TunnelEnd) -> Nets {
    &theres(end) | &beyond(end)
}

/// Where the other end is heard by the agent.
pub(super) fn theirs(end: &TunnelEnd) -> SocketAddr {
    SocketAddr::new(end.remote.ip(), THEIR_PORT)
}

/// An address of a prefix.
pub(super) fn first_of(net: IpNet) -> IpAddr {
    net.hosts().next().unwrap_or(net.addr())
}

//! Tunnels between sites (S2 section 2.2): who ends them, over what, and what they couple.
//!
//! The inside of a tunnel is a segment of its own, which bears the tunnel's name and which both gateways have an interface
//! on. So routes, paths, filters and taps know it as any other link.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    family::Family,
    name::{InterfaceName, NodeName, SegmentName, TunnelName},
};

/// A pair of subnets that a tunnel couples: of one family, never of two (S2 section 2.3.2, RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Relation {
    /// The subnet behind the first gateway.
    pub here: IpNet,
    /// The subnet behind the second gateway.
    pub there: IpNet,
}

impl Relation {
    /// The family of both subnets.
    pub fn family(&self) -> Family {
        Family::of_net(self.here)
    }

    /// As the other gateway sees it.
    #[must_use]
    pub fn turned(&self) -> Self {
        Self { here: self.there, there: self.here }
    }
}

/// A LAN-to-LAN tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tunnel {
    /// Its name in the file.
    pub name: TunnelName,
    /// The segment of the same name that is its inside.
    pub inside: SegmentName,
    /// The gateways that end it.
    pub between: [NodeName; 2],
    /// The families that may carry it, first choice first.
    pub outer: Vec<Family>,
    /// What it couples.
    pub relations: Vec<Relation>,
    /// The UDP port of both ends.
    pub port: u16,
}

impl Tunnel {
    /// What it couples as one of its gateways sees it; nothing for another node.
    pub fn seen_from(&self, gateway: &NodeName) -> Vec<Relation> {
        match self.between.iter().position(|end| end == gateway) {
            Some(0) => self.relations.clone(),
            Some(_) => self.relations.iter().map(Relation::turned).collect(),
            None => Vec::new(),
        }
    }

    /// The other gateway.
    pub fn other_end(&self, gateway: &NodeName) -> &NodeName {
        let [first, second] = &self.between;
        if gateway == first { second } else { first }
    }
}

/// One end of a tunnel in a phase: what its gateway is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelEnd {
    /// The tunnel.
    pub tunnel: TunnelName,
    /// The interface of this gateway on the inside.
    pub interface: InterfaceName,
    /// The gateway at the other end.
    pub peer: NodeName,
    /// Whether this end begins.
    pub begins: bool,
    /// Where this end is heard, outside.
    pub local: SocketAddr,
    /// Where the other end is heard, outside.
    pub remote: SocketAddr,
    /// What it couples in this phase, as this gateway sees it.
    pub relations: Vec<Relation>,
    /// The inside addresses of this gateway: its ICMP errors come from them.
    pub within: Vec<IpNet>,
    /// The inside addresses of the other gateway.
    pub beyond: Vec<IpNet>,
}

/// What can be done to an end of a tunnel that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelAct {
    /// It carries nothing any more; its interface and the routes through it stay.
    Stop,
    /// It carries again.
    Start,
    /// It agrees on new keys.
    Renew,
    /// Nothing: it is only read.
    Read,
}

/// Packets and octets of the inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Octets, IP headers included.
    pub octets: u64,
}

/// What an end of a tunnel counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelCounters {
    /// Handshakes that were completed.
    pub handshakes: u64,
    /// Milliseconds since the last of them.
    pub handshake_age_ms: Option<u64>,
    /// What went into the tunnel.
    pub sent: Traffic,
    /// What came out of it.
    pub received: Traffic,
    /// Packets that no selector let through, either way.
    pub refused: u64,
}

/// An end of a tunnel as it stands. No key is ever part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelState {
    /// What the gateway was told.
    pub end: TunnelEnd,
    /// What carries it out.
    pub engine: String,
    /// Whether it carries.
    pub running: bool,
    /// What it has counted since it was opened.
    pub counters: TunnelCounters,
}

impl TunnelEnd {
    /// The family that carries it.
    pub fn outer(&self) -> Family {
        Family::of(self.remote.ip())
    }

    /// Whether it takes packets from this side to the other: those of a couple, and those of the gateways themselves,
    /// whose ICMP errors come through the tunnel too.
    pub fn couples(&self, here: IpAddr, there: IpAddr) -> bool {
        let holds = |nets: &[IpNet], ip: &IpAddr| nets.iter().any(|net| net.contains(ip));
        let is_here = || self.relations.iter().any(|relation| relation.here.contains(&here));
        let is_there = || self.relations.iter().any(|relation| relation.there.contains(&there));
        let coupled = |r: &Relation| r.here.contains(&here) && r.there.contains(&there);
        let (own, theirs) = (holds(&self.within, &here), holds(&self.beyond, &there));
        self.relations.iter().any(coupled) || own && (theirs || is_there()) || theirs && is_here()
    }
}

//! Tunnels between sites (S2 section 2.2): who ends them, over what, and what they couple.
//!
//! The inside of a tunnel is a segment of its own, which bears the tunnel's name and which both gateways have an interface
//! on. So routes, paths, filters and taps know it as any other link.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    family::{Families, Family},
    mac::Mac,
    name::{EngineName, InterfaceName, NodeName, SegmentName, TunnelName},
    service::{Port, Transport},
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

/// How a tunnel carries packets.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
pub enum TunnelKind {
    /// Encrypted, each packet in a UDP datagram.
    #[default]
    #[serde(rename = "vpn")]
    Vpn,
    /// IPv6 in IPv4, as it is (RFC 4213 section 3).
    #[serde(rename = "6in4")]
    SixInFour,
    /// IPv4 in IPv6, as it is (RFC 2473).
    #[serde(rename = "4in6")]
    FourInSix,
    /// Ethernet frames in UDP datagrams, as they are (RFC 7348).
    #[serde(rename = "vxlan")]
    Vxlan,
}

/// What a tunnel's own packets are known by, outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A port.
    Port(Port),
    /// The number of a protocol that has no ports.
    Protocol(u8),
}

/// The UDP port of VXLAN (RFC 7348 section 5).
const VXLAN_PORT: u16 = 4789;

impl TunnelKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vpn, Self::SixInFour, Self::FourInSix, Self::Vxlan];

    /// Its word in a testbed file.
    pub fn word(self) -> &'static str {
        match self {
            Self::Vpn => "vpn",
            Self::SixInFour => "6in4",
            Self::FourInSix => "4in6",
            Self::Vxlan => "vxlan",
        }
    }

    /// Whether nobody on the way can read what it carries.
    pub fn is_encrypted(self) -> bool {
        self == Self::Vpn
    }

    /// The families that it carries.
    pub fn inner(self) -> Families {
        match self {
            Self::Vpn | Self::Vxlan => Families::BOTH,
            Self::SixInFour => Families::only(Family::V6),
            Self::FourInSix => Families::only(Family::V4),
        }
    }

    /// The families that may carry it.
    pub fn outer(self) -> Families {
        match self {
            Self::Vpn | Self::Vxlan => Families::BOTH,
            Self::SixInFour => Families::only(Family::V4),
            Self::FourInSix => Families::only(Family::V6),
        }
    }

    /// The octets that it adds to a packet at most.
    pub fn overhead(self, outer: Family) -> u32 {
        let header = match outer {
            Family::V4 => 20,
            Family::V6 => 40,
        };
        header
            + match self {
                // UDP, and a message of type 4 of WireGuard.
                Self::Vpn => 8 + 32,
                Self::SixInFour | Self::FourInSix => 0,
                // UDP, the header of VXLAN, and that of the frame.
                Self::Vxlan => 8 + 8 + 14,
            }
    }

    /// The port of both ends outside, of a tunnel that would have this one if it were to choose; 0 where there are no ports.
    pub fn port(self, own: u16) -> u16 {
        match self {
            Self::Vpn => own,
            Self::SixInFour | Self::FourInSix => 0,
            Self::Vxlan => VXLAN_PORT,
        }
    }

    /// What its packets are known by where it has this port.
    pub fn carrier(self, number: u16) -> Carrier {
        match self {
            Self::Vpn | Self::Vxlan => Carrier::Port(Port { transport: Transport::Udp, number }),
            Self::SixInFour => Carrier::Protocol(41),
            Self::FourInSix => Carrier::Protocol(4),
        }
    }
}

impl std::fmt::Display for TunnelKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.word())
    }
}

impl Carrier {
    /// Its port, where it has one.
    pub fn port(self) -> Option<Port> {
        match self {
            Self::Port(port) => Some(port),
            Self::Protocol(_) => None,
        }
    }
}

/// A LAN-to-LAN tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tunnel {
    /// Its name in the file.
    pub name: TunnelName,
    /// How it carries packets.
    #[serde(default)]
    pub kind: TunnelKind,
    /// The segment of the same name that is its inside.
    pub inside: SegmentName,
    /// The gateways that end it.
    pub between: [NodeName; 2],
    /// The families that may carry it, first choice first.
    pub outer: Vec<Family>,
    /// What it couples.
    pub relations: Vec<Relation>,
    /// The UDP port of both ends; 0 where its kind has none.
    pub port: u16,
    /// What tells it from others of its kind: the VXLAN network identifier (RFC 7348 section 4).
    #[serde(default)]
    pub number: u16,
    /// The program that carries it in the place of what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineName>,
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
    /// How it carries packets.
    #[serde(default)]
    pub kind: TunnelKind,
    /// What tells it from others of its kind.
    #[serde(default)]
    pub number: u16,
    /// The program that carries it in the place of what is built in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineName>,
    /// The interface of this gateway on the inside.
    pub interface: InterfaceName,
    /// The gateway at the other end.
    pub peer: NodeName,
    /// The link-layer addresses of both gateways inside, this one's first: where a tunnel carries frames, they are theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub macs: Option<[Mac; 2]>,
    /// Whether this end begins.
    pub begins: bool,
    /// Where this end is heard, outside. The port is 0 where its kind has none.
    pub local: SocketAddr,
    /// Where the other end is heard, outside.
    pub remote: SocketAddr,
    /// Where both ends are heard in the other families that may carry it, this end first, in the order of the plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spare: Vec<[SocketAddr; 2]>,
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
    /// It carries nothing any more, and the routes into it are gone, as when the program ends that carries it: what it couples
    /// takes the way that is left. WireGuard of the kernel leaves both, and packets vanish in its interface.
    Stop,
    /// It carries again.
    Start,
    /// It agrees on new keys.
    Renew,
    /// It puts in also what it does not couple, so that the other end can be seen to keep that back. Where selectors are agreed on
    /// (RFC 7296 section 2.9), it asks the other end to take this one more.
    Widen {
        /// Where packets would come from that the tunnel does not couple.
        source: IpAddr,
        /// Where they would go.
        to: IpAddr,
    },
    /// It puts in what it couples, and nothing else.
    Narrow,
    /// Nothing: it is only read.
    Read,
    /// It hears and sends nothing any more over a family outside, as if that had died.
    Lose(Family),
    /// The family that it has lost is back, and it turns to its first choice again.
    Regain,
}

/// What came of an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done,
    /// This end would, and the other has declined: what that one said.
    Declined(String),
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
    /// Where both ends are heard in each family that may carry it, this end first, first choice first.
    pub fn outsides(&self) -> impl Iterator<Item = [SocketAddr; 2]> + '_ {
        std::iter::once([self.local, self.remote]).chain(self.spare.iter().copied())
    }

    /// The family that carries it.
    pub fn outer(&self) -> Family {
        Family::of(self.remote.ip())
    }

    /// What its packets are known by outside.
    pub fn carrier(&self) -> Carrier {
        self.kind.carrier(self.remote.port())
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

/// An end for tests.
#[cfg(test)]
pub(crate) mod example {
    use super::{Relation, TunnelEnd, TunnelKind};

    /// An end that begins and couples one subnet of each family.
    pub(crate) fn end() -> TunnelEnd {
        let net = |text: &str| text.parse().unwrap();
        TunnelEnd {
            tunnel: "a-to-b".parse().unwrap(),
            kind: TunnelKind::Vpn,
            number: 1,
            engine: None,
            macs: None,
            interface: "vpn0".parse().unwrap(),
            peer: "b".parse().unwrap(),
            begins: true,
            local: "192.0.2.1:51820".parse().unwrap(),
            remote: "192.0.2.33:51820".parse().unwrap(),
            spare: Vec::new(),
            relations: vec![
                Relation { here: net("10.1.0.0/24"), there: net("10.2.0.0/24") },
                Relation { here: net("2001:db8:a::/64"), there: net("2001:db8:b::/64") },
            ],
            within: vec![net("100.64.0.0/32")],
            beyond: vec![net("100.64.0.1/32")],
        }
    }
}

//! DHCPv6 (RFC 8415): who gives hosts of a link their addresses and names of servers, and who carries their questions there.

use std::{fmt, net::Ipv6Addr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    mac::Mac,
    name::{DomainName, InterfaceName, NodeName, SegmentName},
};

/// The plan for DHCPv6 on a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct DhcpPlan {
    /// The server.
    pub server: NodeName,
    /// The router that carries questions to it, where it is not on the segment itself.
    pub relay: Option<NodeName>,
    /// The resolvers that hosts are told (RFC 3646, option 23).
    pub dns: Vec<NodeName>,
    /// The domains that hosts are told to search (RFC 3646, option 24).
    pub search: Vec<DomainName>,
}

/// What a node does for the hosts of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DhcpDuty {
    /// Answers them.
    Serve(DhcpLink),
    /// Carries their questions to a server and its answers back.
    Relay {
        /// The interface that they are on.
        interface: InterfaceName,
        /// The address there that tells the server which link it is.
        link: Ipv6Addr,
        /// The server.
        server: Ipv6Addr,
    },
}

/// A link as its server knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DhcpLink {
    /// The segment.
    pub segment: SegmentName,
    /// The interface on it; `None` where a relay stands between.
    pub interface: Option<InterfaceName>,
    /// Its prefix.
    pub prefix: IpNet,
    /// The address that each host gets, by its link-layer address.
    pub leases: Vec<(Mac, Ipv6Addr)>,
    /// The resolvers.
    pub dns: Vec<Ipv6Addr>,
    /// The domains to search.
    pub search: Vec<DomainName>,
    /// Where the relay sends what hosts ask, and the interface of the server that has that address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relayed_to: Option<(InterfaceName, Ipv6Addr)>,
    /// How hosts are treated that have their addresses: planted, and never part of a plan.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spoilt: Vec<DhcpFault>,
}

/// What a host asks of the server that has given it an address.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LeaseAct {
    /// To keep it for longer (RFC 8415 section 18.2.4).
    Renew,
    /// To keep it for longer, of whichever server: who gave it may be gone (RFC 8415 section 18.2.5).
    Rebind,
    /// To take it back (RFC 8415 section 18.2.7).
    Release,
}

impl LeaseAct {
    /// All, in the order of a lease's life.
    pub const ALL: [Self; 3] = [Self::Renew, Self::Rebind, Self::Release];
}

impl fmt::Display for LeaseAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Renew => "Renew",
            Self::Rebind => "Rebind",
            Self::Release => "Release",
        })
    }
}

impl fmt::Display for DhcpDuty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serve(link) => {
                write!(f, "serve {} addresses on {}", link.leases.len(), link.segment)
            }
            Self::Relay { interface, server, .. } => {
                write!(f, "relay from {interface} to {server}")
            }
        }
    }
}

/// How a server or relay does its duty wrongly.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum DhcpFault {
    /// It says and carries nothing.
    Silent,
    /// It tells no resolvers.
    NoDns,
    /// It tells no domains to search.
    NoSearch,
    /// It gives addresses of another prefix than that of the link.
    OutsidePrefix,
    /// It gives addresses and says nothing to who wants to keep one of it.
    NeverRenews,
    /// It gives addresses and knows nothing of them later: who wants to keep one is told so.
    ForgetsLeases,
    /// It gives addresses and says nothing to who wants to keep one of whichever server.
    NeverRebinds,
    /// It takes no address back.
    NeverReleases,
    /// It lets hosts keep their addresses for half as long as it gave them for, as any server may.
    RenewsForLess,
    /// It has another name (DUID) for those who want everything but an address.
    TwoNames,
}

/// What became of a lease that was asked for, kept and given back by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseCourse {
    /// What the first server gave that gave anything.
    pub given: Option<HeardDhcp>,
    /// What it said to each further question for which there was time; `None` if nothing.
    pub then: Vec<(LeaseAct, Option<HeardDhcp>)>,
}

impl LeaseCourse {
    /// Whether something was said to every question, from the first to the last.
    pub fn is_answered(&self) -> bool {
        self.given.is_some()
            && self.then.len() == LeaseAct::ALL.len()
            && self.then.iter().all(|(_, said)| said.is_some())
    }
}

/// An answer of a server as it was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardDhcp {
    /// Who sent the packet: the server, or its relay.
    pub from: Ipv6Addr,
    /// Its link-layer address on the frame.
    pub mac: Mac,
    /// The server's DUID in hexadecimal.
    pub server: String,
    /// `advertise` or `reply`.
    pub kind: String,
    /// The addresses that it offers.
    pub addresses: Vec<Ipv6Addr>,
    /// A status other than success (RFC 8415 section 21.13).
    pub status: Option<u16>,
    /// The resolvers that it tells.
    pub dns: Vec<Ipv6Addr>,
    /// The domains to search that it tells.
    pub search: Vec<DomainName>,
}

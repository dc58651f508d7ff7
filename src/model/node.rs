//! Nodes: the machines of a testbed and their interfaces.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    family::{Families, Family},
    function::Function,
    mac::Mac,
    name::{EngineName, InterfaceName, NodeName, SegmentName, SiteName},
    phase::PerPhase,
    service::Service,
};

/// What a node is in the network.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A user's machine inside a site.
    Workplace,
    /// A machine that offers services.
    Server,
    /// Forwards and does not filter.
    Router,
    /// Forwards what the flows allow and drops the rest.
    Firewall,
    /// A firewall that also ends tunnels (S2 section 2.2).
    VpnGateway,
    /// Where nodes are administered from (S2 section 2.2.4).
    ManagementStation,
    /// A name server or resolver.
    Dns,
    /// A user on the outside (S2 section 2.1.1, "outside to inside").
    OutsideClient,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 8] = [
        Self::Workplace,
        Self::Server,
        Self::Router,
        Self::Firewall,
        Self::VpnGateway,
        Self::ManagementStation,
        Self::Dns,
        Self::OutsideClient,
    ];

    /// Whether it forwards packets between its interfaces of the data plane.
    pub fn forwards(self) -> bool {
        matches!(self, Self::Router | Self::Firewall | Self::VpnGateway)
    }

    /// Whether it drops what no flow allows.
    pub fn filters(self) -> bool {
        matches!(self, Self::Firewall | Self::VpnGateway)
    }

    /// Whether its address must stay what the names say, because others come to it.
    pub fn serves(self) -> bool {
        !matches!(self, Self::Workplace | Self::OutsideClient)
    }

    /// The word of the input files, for example `vpn-gateway`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Workplace => "workplace",
            Self::Server => "server",
            Self::Router => "router",
            Self::Firewall => "firewall",
            Self::VpnGateway => "vpn-gateway",
            Self::ManagementStation => "management-station",
            Self::Dns => "dns",
            Self::OutsideClient => "outside-client",
        }
    }
}

/// The word of the input files.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How an address comes to an interface.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Written on the node.
    Static,
    /// Formed by the node from a Router Advertisement (RFC 4862).
    Slaac,
    /// Formed in the same way, but from a secret and not from the link-layer address (RFC 7217).
    Stable,
    /// Given by a server (RFC 8415).
    Dhcp,
}

/// An address of an interface with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Address {
    /// Address and prefix length, host bits kept.
    pub net: IpNet,
    /// Where it comes from.
    pub origin: Origin,
}

impl Address {
    /// The address alone.
    pub fn ip(&self) -> IpAddr {
        self.net.addr()
    }

    /// Its family.
    pub fn family(&self) -> Family {
        Family::of_net(self.net)
    }
}

/// An interface of a node on a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Its name on the node, for example `eth0` or `wan`.
    pub name: InterfaceName,
    /// The segment that it is plugged into.
    pub segment: SegmentName,
    /// Its link-layer address.
    pub mac: Mac,
    /// Its planned addresses of both families, live or not in a phase.
    pub addresses: Vec<Address>,
    /// The families that are to be live on it in each phase: never more than on its segment.
    pub families: PerPhase<Families>,
}

/// A route that the file gives instead of the derived one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// Where to.
    pub to: IpNet,
    /// The next hop: an address on a segment of the node.
    pub via: IpAddr,
}

/// A machine of the testbed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Its name in the file.
    pub name: NodeName,
    /// What people call it.
    pub title: String,
    /// The site that it stands in: that of its first segment with a site.
    pub site: Option<SiteName>,
    /// What it is in the network.
    pub role: Role,
    /// Its interfaces, in the order of the file.
    pub interfaces: Vec<Interface>,
    /// What it offers.
    pub services: Vec<Service>,
    /// Routes that stand instead of derived ones.
    pub routes: Vec<Route>,
    /// The nodes that it asks for names, in this order.
    pub resolvers: Vec<NodeName>,
    /// The node that it sends its log to, if any.
    pub logs_to: Option<NodeName>,
    /// The node that it takes the time from, if any.
    pub time_from: Option<NodeName>,
    /// The directory in which it looks users up, if any.
    pub users_from: Option<NodeName>,
    /// The programs that do in its place what it does for the network; what is built in where nothing is said.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub engines: BTreeMap<Function, EngineName>,
}

impl Node {
    /// Its interface on a segment.
    pub fn interface_on(&self, segment: &SegmentName) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.segment == *segment)
    }

    /// Its service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name.as_str() == name)
    }

    /// Its first service of a kind.
    pub fn first_of(&self, kind: super::service::ServiceKind) -> Option<&Service> {
        self.services.iter().find(|service| service.kind == kind)
    }
}

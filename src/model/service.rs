//! Services of nodes: what is offered, on which port, over which families in each phase.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    access::{self, Lockout},
    family::Families,
    front::Front,
    name::{DomainName, EngineName, InterfaceName, NodeName, ServiceName},
    phase::PerPhase,
};

/// A transport protocol with ports.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl Transport {
    /// The protocol number in the IP header (IPv4 Protocol, IPv6 Next Header).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// `tcp` or `udp`.
impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// What a service speaks.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceKind {
    /// HTTP/1.1 (RFC 9112).
    Http,
    /// HTTP over TLS.
    Https,
    /// SSH (RFC 4253): the management interface of a node.
    Ssh,
    /// An authoritative name server (RFC 1035).
    Dns,
    /// A recursive resolver for the nodes of the testbed.
    Resolver,
    /// NTP (RFC 5905).
    Ntp,
    /// Echo (RFC 862), for paths and policy.
    Echo,
    /// A syslog sink (RFC 5424 over UDP, RFC 5426).
    Syslog,
    /// The software on a management station that drafts the configurations of VPN boxes (S2 section 2.2.4).
    Manager,
    /// The side of a VPN box that takes its configuration from there.
    Box,
    /// A directory (RFC 4511).
    Ldap,
    /// A management agent (SNMPv2c, RFC 3416).
    Snmp,
    /// An admission server (RFC 2865).
    Radius,
    /// A mail server (RFC 5321).
    Smtp,
}

/// The one user that admission servers of a testbed know.
pub struct TestbedUser {
    /// The name.
    pub name: &'static str,
    /// What proves it.
    pub password: &'static str,
    /// What servers and the devices that ask them have in common.
    pub secret: &'static str,
}

/// There is no secret in a testbed.
pub const TESTBED_USER: TestbedUser =
    TestbedUser { name: "sixwalk", password: "open sesame", secret: "common to the testbed" };

impl ServiceKind {
    /// Whether every engine for it keeps access lists.
    pub fn has_lists_in_engines(self) -> bool {
        use ServiceKind::{Dns, Http, Https, Ntp, Resolver, Snmp};
        matches!(self, Dns | Http | Https | Ntp | Resolver | Snmp)
    }

    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::Http,
        Self::Https,
        Self::Ssh,
        Self::Dns,
        Self::Resolver,
        Self::Ntp,
        Self::Echo,
        Self::Syslog,
        Self::Manager,
        Self::Box,
        Self::Ldap,
        Self::Snmp,
        Self::Radius,
        Self::Smtp,
    ];

    /// The port where the testbed gives none.
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Ssh => 22,
            Self::Dns | Self::Resolver => 53,
            Self::Ntp => 123,
            Self::Echo => 7,
            Self::Syslog => 514,
            Self::Manager => 8080,
            Self::Box => 8081,
            Self::Ldap => 389,
            Self::Snmp => 161,
            Self::Radius => 1812,
            Self::Smtp => 25,
        }
    }

    /// The transports that it listens on.
    pub fn transports(self) -> &'static [Transport] {
        match self {
            Self::Http
            | Self::Https
            | Self::Ssh
            | Self::Manager
            | Self::Box
            | Self::Ldap
            | Self::Smtp => &[Transport::Tcp],
            Self::Dns | Self::Resolver | Self::Echo => &[Transport::Tcp, Transport::Udp],
            Self::Ntp | Self::Syslog | Self::Snmp | Self::Radius => &[Transport::Udp],
        }
    }

    /// The word of the input files, for example `https`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ssh => "ssh",
            Self::Dns => "dns",
            Self::Resolver => "resolver",
            Self::Ntp => "ntp",
            Self::Echo => "echo",
            Self::Syslog => "syslog",
            Self::Manager => "manager",
            Self::Box => "box",
            Self::Ldap => "ldap",
            Self::Snmp => "snmp",
            Self::Radius => "radius",
            Self::Smtp => "smtp",
        }
    }
}

/// The word of the input files.
impl fmt::Display for ServiceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where the certificate of a service has its users ask whether it is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revocation {
    /// The list of revoked certificates (RFC 5280 section 4.2.1.13): an absolute URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crl: Option<String>,
    /// Who answers for one certificate (RFC 6960): an absolute URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ocsp: Option<String>,
}

impl Revocation {
    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        self.crl.is_none() && self.ocsp.is_none()
    }
}

/// A service of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Its name on the node; the kind's word where the file gives none.
    pub name: ServiceName,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Its port on every transport of the kind.
    pub port: u16,
    /// The interface on whose addresses alone it is offered; `None` means every address of the node.
    pub on: Option<InterfaceName>,
    /// The families that it is to listen on in each phase.
    pub listen: PerPhase<Families>,
    /// The published names under which it is reached.
    pub names: Vec<DomainName>,
    /// The path that HTTP users ask for.
    pub path: String,
    /// The program that provides it; the built-in service where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<EngineName>,
    /// The sources that it lets in, of both families; none means everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<String>")]
    pub admits: Vec<IpNet>,
    /// When it locks log-ins, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lockout: Option<Lockout>,
    /// What its page loads from elsewhere: absolute URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<String>,
    /// The mirrors that its list of mirrors names: absolute URLs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// What its certificate says.
    #[serde(default, skip_serializing_if = "Revocation::is_empty")]
    pub revocation: Revocation,
    /// The nodes whose management agents its status page asks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub polls: Vec<NodeName>,
    /// The sites that it passes connections on to, where it is a front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
}

/// A transport and a port, as policy and probes name them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Port {
    /// TCP or UDP.
    pub transport: Transport,
    /// 1 to 65535.
    pub number: u16,
}

/// `tcp/443`.
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.transport, self.number)
    }
}

impl Service {
    /// Whether its access list lets in who comes from there; without a list it lets in everybody.
    pub fn lets_in(&self, source: IpAddr) -> bool {
        access::names(&self.admits, source)
    }

    /// Whether it can be told whom to let in: it is built in, or its engines keep lists.
    pub fn keeps_list(&self) -> bool {
        self.engine.is_none() || self.kind.has_lists_in_engines()
    }

    /// Whether it is a web service, with or without TLS.
    pub fn is_web(&self) -> bool {
        matches!(self.kind, ServiceKind::Http | ServiceKind::Https)
    }

    /// Whether it is a web service that answers for itself, and no front.
    pub fn is_site(&self) -> bool {
        self.is_web() && self.front.is_none()
    }

    /// The ports that it occupies.
    pub fn ports(&self) -> impl Iterator<Item = Port> + '_ {
        let number = self.port;
        self.kind.transports().iter().map(move |transport| Port { transport: *transport, number })
    }
}

//! Probes: one question asked from one node. A probe is a value: it can be shown, counted, stored, compared and
//! asked again. Checks that ask the same question share its answer.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    family::Family,
    guard::Forgery,
    mac::Mac,
    management::Method,
    name::{DomainName, InterfaceName, NodeName, TunnelName},
    record::RecordType,
    service::{Port, Transport},
    tunnel::TunnelAct,
};

/// A question and the node that asks it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// Where it is asked from.
    pub from: NodeName,
    /// What is asked.
    pub question: Question,
    /// 0 for the first time; 1, 2 … for repetitions, so that a repetition is not answered from memory.
    pub round: u8,
}

/// What a TCP probe says once it is connected, to know that the service itself answers and not a middlebox
/// (catalogue section 7, trap 23).
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Hello {
    /// Nothing: the connection alone.
    Nothing,
    /// A TLS ClientHello; the answer is the ServerHello.
    Tls {
        /// The server name to ask for; an address literal sends none (RFC 6066 section 3).
        name: String,
    },
    /// `GET` over HTTP/1.1; the answer is the status line.
    Http {
        /// The Host header, with brackets around an IPv6 literal (RFC 3986).
        host: String,
        /// The path.
        path: String,
    },
    /// Waits for the identification string of an SSH server (RFC 4253 section 4.2) and its host key.
    Ssh,
    /// Sends a line and wants it back.
    Echo,
    /// Asks a directory for its root DSE (RFC 4512 section 5.1), over TLS too where that says that TLS can be started.
    Ldap {
        /// The name that the certificate must be for; or an address.
        name: String,
    },
    /// Waits for the greeting of a mail server and names itself by its address, as EHLO allows (RFC 5321 section 4.1.3).
    Smtp,
}

/// A property of a node that is read on the node itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// Addresses with their flags, and links.
    Addresses,
    /// Routes, also the exceptions that hold a learned path MTU.
    Routes,
    /// The neighbour cache.
    Neighbours,
    /// Listening sockets.
    Sockets,
    /// The packet filter.
    Filter,
    /// The switches of the address families (`disable_ipv6`, `forwarding`, `accept_ra`, `accept_dad` …).
    Switches,
    /// The tunnels that the node ends.
    Tunnels,
    /// The resolvers that its programs ask, in the order asked, whoever has told of them.
    Resolvers,
    /// The translators of the node, and who stands behind which address of their pools.
    Translators,
}

/// A log in which log-ins are kept.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Keeper {
    /// The access log of the web services of a node.
    Access,
    /// The table that a syslog sink makes of what it is told.
    Table,
}

/// What a router does before and after maintenance.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RouterAct {
    /// It says farewell with a router lifetime of zero and announces itself no more (RFC 4861 section 6.2.5). It still
    /// forwards what it is sent.
    Withdraw,
    /// It announces itself again.
    Return,
}

/// What is sent to provoke an ICMP error from some router or host (RFC 4443).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Provocation {
    /// A datagram to a closed UDP port: type 1 code 4 (IPv4: type 3 code 3).
    ClosedPort,
    /// An echo request with this hop limit: type 3 code 0 (IPv4: type 11 code 0).
    HopLimit(u8),
    /// An echo request of this size that must not be fragmented: type 2 (IPv4: type 3 code 4).
    TooBig(u16),
    /// A packet with an unassigned next header (253, RFC 3692): type 4 code 1 (IPv4: type 3 code 2).
    UnknownNextHeader,
    /// A packet with an unknown option that asks for an answer (RFC 8200 section 4.2): type 4 code 2. IPv6 only.
    UnknownOption,
}

impl Provocation {
    /// The upper-layer protocol that nobody speaks (RFC 3692).
    pub const UNKNOWN_PROTOCOL: u8 = 253;
}

/// A packet in a packet, as tunnels without keys make them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Capsule {
    /// IPv6 as the payload of IP: 6in4, 6to4, ISATAP (RFC 4213, RFC 3056, RFC 5214).
    Ipv6,
    /// IPv4 as the payload of IP (RFC 2003, RFC 2473).
    Ipv4,
    /// Generic routing encapsulation (RFC 2784).
    Gre,
    /// IPv6 in UDP over IPv4: Teredo (RFC 4380).
    Teredo,
}

impl Capsule {
    /// Where servers and relays of Teredo listen.
    pub const TEREDO_PORT: u16 = 3544;

    /// Those that a family can carry.
    pub fn within(family: Family) -> &'static [Self] {
        match family {
            Family::V4 => &[Self::Ipv6, Self::Ipv4, Self::Gre, Self::Teredo],
            Family::V6 => &[Self::Ipv6, Self::Ipv4, Self::Gre],
        }
    }

    /// The upper-layer protocol of the packet outside.
    pub fn protocol(self) -> u8 {
        match self {
            Self::Ipv6 => 41,
            Self::Ipv4 => 4,
            Self::Gre => 47,
            Self::Teredo => Transport::Udp.number(),
        }
    }

    /// The port that it goes to, where it has one.
    pub fn port(self) -> Option<Port> {
        let teredo = Port { transport: Transport::Udp, number: Self::TEREDO_PORT };
        (self == Self::Teredo).then_some(teredo)
    }
}

/// As an auditor calls it.
impl std::fmt::Display for Capsule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ipv6 => "IPv6 in protocol 41",
            Self::Ipv4 => "IPv4 in protocol 4",
            Self::Gre => "GRE in protocol 47",
            Self::Teredo => "Teredo in udp/3544",
        })
    }
}

/// A call to a management product, over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Call {
    /// Literal destination.
    pub to: SocketAddr,
    /// The method.
    pub method: Method,
    /// The path.
    pub path: String,
    /// JSON, or nothing.
    pub body: String,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// A TCP connection to a literal address, then a hello of the protocol.
    Connect {
        /// Literal destination: the family is certain.
        to: SocketAddr,
        /// Source to bind to; `None` lets the kernel choose, and the answer says what it chose.
        source: Option<IpAddr>,
        /// What is said once connected.
        hello: Hello,
        /// Also watch the wire at the node for the hop limit of the answer (who sent the reset).
        watch: bool,
    },
    /// A page over HTTP(S), whole, with its headers and a digest of the body.
    Fetch {
        /// Literal destination.
        to: SocketAddr,
        /// The TLS server name; `None` for plain HTTP.
        tls: Option<String>,
        /// The Host header.
        host: String,
        /// The path.
        path: String,
    },
    /// One DNS query on the wire.
    Lookup {
        /// The server asked.
        server: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
        /// The name asked for.
        name: DomainName,
        /// The type asked for.
        rtype: RecordType,
        /// The UDP payload size announced with EDNS(0) (RFC 6891); `None` sends no OPT record.
        edns: Option<u16>,
        /// RD: whether the server is asked to resolve for us.
        recurse: bool,
        /// Whether the name is asked for in mixed case, as resolvers do against forged replies; it is the same name
        /// (RFC 4343).
        #[serde(default)]
        mixed_case: bool,
    },
    /// ICMP or ICMPv6 echo.
    Ping {
        /// Literal destination.
        to: IpAddr,
        /// Source to bind to.
        source: Option<IpAddr>,
        /// Octets of payload after the ICMP header.
        size: u16,
        /// Hop limit of the request; `None` is the kernel's default.
        hop_limit: Option<u8>,
    },
    /// A datagram to an echo service.
    Datagram {
        /// Literal destination.
        to: SocketAddr,
        /// Octets of payload.
        size: u16,
    },
    /// An NTP query, mode 3 (RFC 5905).
    Time {
        /// Literal destination.
        to: SocketAddr,
    },
    /// The same, to be answered after a silence: a time server of the lab takes that long, and others answer at once.
    LateTime {
        /// Literal destination.
        to: SocketAddr,
        /// How long nobody sends anything, in seconds.
        after_s: u16,
    },
    /// Asks a management agent what it is, and whether the address that it is asked at stands in its table (RFC 4293).
    Snmp {
        /// Literal destination.
        to: SocketAddr,
        /// Source to bind to. For a link-local destination it names the link, where the node has several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<IpAddr>,
    },
    /// Asks an admission server for the one user that it knows (RFC 2865).
    Radius {
        /// Literal destination.
        to: SocketAddr,
    },
    /// A syslog message with a token (RFC 5424), sent and not answered.
    Log {
        /// Literal destination.
        to: SocketAddr,
        /// What to find again at the sink: `Question::Sink`.
        token: String,
    },
    /// Asks the syslog sink of this node whether a token has come, and from which address; waits a little for it.
    Sink {
        /// What to look for.
        token: String,
    },
    /// Asks the logs of this node under which address they know a log-in; waits a little for it.
    LogIn {
        /// Which log-in.
        token: String,
        /// Which log.
        keeper: Keeper,
    },
    /// Finds the path MTU by bisection with packets that must not be fragmented, and who sent Packet Too Big.
    PathMtu {
        /// Literal destination, which must answer pings.
        to: IpAddr,
        /// The largest packet to try, IP header included.
        ceiling: u16,
    },
    /// The routers on the way, by echo requests with rising hop limit.
    Trace {
        /// Literal destination.
        to: IpAddr,
        /// The most hops to try.
        most: u8,
    },
    /// Sends a Router Solicitation and collects Router Advertisements (RFC 4861).
    Solicit {
        /// On this interface of the node.
        interface: InterfaceName,
    },
    /// Asks every listener of a link for its groups, as a querier does (RFC 3810), and collects what they report.
    Listeners {
        /// On this interface of the node.
        interface: InterfaceName,
    },
    /// Asks for servers of DHCPv6 as the host itself would, and takes nothing (RFC 8415): Solicit, or Information-Request.
    Dhcp {
        /// On this interface of the node.
        interface: InterfaceName,
        /// For an address, or for everything else.
        stateful: bool,
    },
    /// Lets a router of the plan withdraw from a link, or return to it. Only an experiment that has the lab to itself asks it,
    /// and it leaves the router as it found it.
    Router {
        /// On this interface of the node.
        interface: InterfaceName,
        /// What it does.
        act: RouterAct,
    },
    /// Sends a forged Router Advertisement to everybody on the link, or what proves that it could get there. Whether it is
    /// delivered is for a tap to tell.
    Forge {
        /// By this interface of the node.
        interface: InterfaceName,
        /// How it is forged.
        how: Forgery,
        /// What to find again at the tap.
        token: String,
    },
    /// Has an address given as the host itself would, keeps it, gives it back and asks for it once more, so that the server
    /// holds what it held before (RFC 8415 sections 18.2.1 to 18.2.7).
    Lease {
        /// On this interface of the node.
        interface: InterfaceName,
    },
    /// Forgets a neighbour and asks for it anew (RFC 4861 section 7.2; ARP for IPv4): who has this address?
    Neighbour {
        /// On this interface of the node.
        interface: InterfaceName,
        /// The address asked for.
        target: IpAddr,
        /// The link-layer address that is asked alone, as a neighbour is whom one knows (RFC 4861 section 7.3.3); `None` asks
        /// everybody who may have the address.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        known: Option<Mac>,
    },
    /// Reads something on the node itself.
    Inspect(Aspect),
    /// What a user of this node gets: resolves with the node's resolvers, then connects as Happy Eyeballs does
    /// (RFC 8305) or in one family only.
    Journey {
        /// The name that the user types.
        name: DomainName,
        /// The port.
        port: u16,
        /// Whether TLS is spoken.
        tls: bool,
        /// The path.
        path: String,
        /// `None`: as the stack does by default.
        pinned: Option<Family>,
    },
    /// Sends a datagram with a source address that is not the node's. Whether it passes is for a tap to tell.
    Spoof {
        /// The false source.
        source: IpAddr,
        /// Literal destination.
        to: SocketAddr,
        /// What to find again at the tap.
        token: String,
    },
    /// Sends a packet in a packet. Whether it passes is for a tap to tell.
    Encapsulated {
        /// Literal destination of the packet outside.
        to: IpAddr,
        /// How it is packed.
        how: Capsule,
        /// What to find again at the tap: the payload of the packet inside.
        token: String,
    },
    /// Sends something that must be answered with an ICMP error.
    Provoke {
        /// Literal destination.
        to: IpAddr,
        /// What is sent.
        how: Provocation,
    },
    /// ICMP or ICMPv6 echo with a token in its payload, to be found again by taps.
    Canary {
        /// Literal destination.
        to: IpAddr,
        /// What to look for.
        token: String,
    },
    /// Many echo requests at once with a traffic class (RFC 2474) of their own: how many replies come back, in which
    /// order, and with which class. Hosts answer with the class that they were asked with.
    Stream {
        /// Literal destination.
        to: IpAddr,
        /// How many requests.
        packets: u16,
        /// Octets of payload after the ICMP header.
        size: u16,
        /// The traffic class, or the type of service of IPv4: the same octet.
        class: u8,
        /// Whether the far end is knocked at until it answers, and the requests are sent then: what is lost while the next hops of
        /// the way are not known yet does not count.
        opened: bool,
    },
    /// Does something to a tunnel that the node ends, or reads it. Only an experiment that has the lab to itself does
    /// something, and it leaves the tunnel as it found it.
    Tunnel {
        /// Which.
        tunnel: TunnelName,
        /// What is done.
        act: TunnelAct,
        /// Why and when, in words: what is done or read again at another moment is another question.
        #[serde(default)]
        moment: String,
    },
    /// Calls to a management product, one after another, as an operator makes them. Ends with the first that gets no reply.
    Dialogue {
        /// The calls.
        calls: Vec<Call>,
    },
    /// Which source address the node would use towards a destination (RFC 6724), without sending anything.
    SourceFor {
        /// The destination.
        to: IpAddr,
    },
}

impl Question {
    /// The longest that a single attempt may wait for an answer. Above 3.07 s, so that a dead host
    /// behind a router (three neighbour solicitations of one second each, RFC 4861 section 10) is told apart from a
    /// firewall that drops.
    pub fn patience(&self) -> Duration {
        let ms = match self {
            Self::Connect { .. } | Self::Fetch { .. } | Self::Provoke { .. } => 4_000,
            // A lease takes six exchanges, each asked twice if need be.
            Self::Journey { .. } | Self::Lease { .. } => 12_000,
            // An upload by a product that waits long before it gives a family up is part of it.
            Self::PathMtu { .. } | Self::Trace { .. } | Self::Dialogue { .. } => 20_000,
            Self::Lookup { .. }
            | Self::Time { .. }
            | Self::Snmp { .. }
            | Self::Radius { .. }
            | Self::Datagram { .. } => 2_000,
            // The kernel gives the search for a next hop up after three seconds.
            Self::Ping { .. }
            | Self::Spoof { .. }
            | Self::Encapsulated { .. }
            | Self::Solicit { .. }
            | Self::Listeners { .. }
            | Self::Dhcp { .. }
            | Self::Neighbour { .. } => 3_500,
            Self::Tunnel { .. } | Self::Router { .. } => 5_000,
            Self::LateTime { after_s, .. } => u64::from(*after_s) * 1_000 + 5_000,
            Self::Stream { .. } => 8_000,
            // A canary is seen by taps at once; the reply only tells that the way is open.
            Self::Sink { .. } | Self::LogIn { .. } | Self::Canary { .. } => 1_500,
            Self::Log { .. } | Self::Inspect(_) | Self::Forge { .. } | Self::SourceFor { .. } => {
                1_000
            }
        };
        Duration::from_millis(ms)
    }

    /// The port that it goes to, where it has one.
    pub fn port(&self) -> Option<Port> {
        let (transport, to) = match self {
            Self::Connect { to, .. } | Self::Fetch { to, .. } => (Transport::Tcp, to),
            Self::Lookup { server, transport, .. } => (*transport, server),
            Self::Datagram { to, .. }
            | Self::Time { to }
            | Self::LateTime { to, .. }
            | Self::Snmp { to, .. }
            | Self::Radius { to }
            | Self::Log { to, .. } => (Transport::Udp, to),
            _ => return None,
        };
        Some(Port { transport, number: to.port() })
    }

    /// The destination of the question, where it has one.
    pub fn destination(&self) -> Option<IpAddr> {
        match self {
            Self::Connect { to, .. }
            | Self::Fetch { to, .. }
            | Self::Lookup { server: to, .. }
            | Self::Datagram { to, .. }
            | Self::Time { to }
            | Self::LateTime { to, .. }
            | Self::Snmp { to, .. }
            | Self::Radius { to }
            | Self::Log { to, .. }
            | Self::Spoof { to, .. } => Some(to.ip()),
            Self::Ping { to, .. }
            | Self::PathMtu { to, .. }
            | Self::Trace { to, .. }
            | Self::Provoke { to, .. }
            | Self::Encapsulated { to, .. }
            | Self::SourceFor { to }
            | Self::Canary { to, .. }
            | Self::Stream { to, .. }
            | Self::Neighbour { target: to, .. } => Some(*to),
            Self::Dialogue { calls } => calls.first().map(|call| call.to.ip()),
            Self::Sink { .. }
            | Self::LogIn { .. }
            | Self::Solicit { .. }
            | Self::Listeners { .. }
            | Self::Dhcp { .. }
            | Self::Lease { .. }
            | Self::Forge { .. }
            | Self::Router { .. }
            | Self::Inspect(_)
            | Self::Tunnel { .. }
            | Self::Journey { .. } => None,
        }
    }
}

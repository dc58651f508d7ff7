//! Answers: what came back, in words that keep "the network said no" apart from "we could not ask".

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    dhcp::{HeardDhcp, LeaseCourse},
    family::Family,
    mac::Mac,
    management::Reply,
    name::ServiceName,
    policy::Filter,
    record::Record,
    service::Transport,
    translation::{Pref64, TranslatorState},
    tunnel::TunnelState,
};

/// An ICMP or ICMPv6 error and who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IcmpError {
    /// ICMP (IPv4) or ICMPv6.
    pub family: Family,
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// The router or host that sent it.
    pub sender: IpAddr,
    /// The MTU that a Packet Too Big or Fragmentation Needed names.
    pub mtu: Option<u32>,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The peer answered as its protocol asks.
    Answered,
    /// A TCP reset, or ICMP port unreachable for UDP.
    Refused,
    /// An ICMP error of another kind came back.
    Rejected,
    /// The node itself has no way there: nothing was sent.
    NoRoute,
    /// Nothing came back within the time limit.
    TimedOut,
    /// Connected, then the data stopped before the answer was whole.
    Stalled,
    /// Something answered, but not as the protocol asks.
    Garbled {
        /// What was wrong with it.
        what: String,
    },
    /// The attempt could not be made: a local error that says nothing about the network.
    NotAsked {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// Whether the attempt really was made: only then it says something about the network.
    pub fn was_asked(&self) -> bool {
        !matches!(self, Self::NotAsked { .. })
    }
}

/// One attempt on the network, with the addresses really used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Source really used (`getsockname`), where the kernel chose one.
    pub source: Option<SocketAddr>,
    /// Destination really used (`getpeername` once connected).
    pub destination: SocketAddr,
    /// The family on the wire: an IPv4-mapped destination counts as IPv4.
    pub family: Family,
    /// How it ended.
    pub outcome: Outcome,
    /// `errno` of the failing call, where there was one, by name: `ECONNREFUSED`.
    pub errno: Option<String>,
    /// The ICMP error that ended it, with its sender.
    pub icmp: Option<IcmpError>,
    /// Hop limit of the first answer (SYN-ACK, RST, reply), where it was watched: the sender is 64 minus this away.
    pub hop_limit: Option<u8>,
    /// Microseconds until the connection stood or the first answer came.
    pub connect_us: u64,
    /// Microseconds until the whole attempt was over.
    pub total_us: u64,
}

/// A message that has come to a syslog sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Who sent it.
    pub from: SocketAddr,
    /// The host that the sink files it under. Foreign text.
    pub host: String,
}

/// An answer to a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To `Connect`.
    Connection {
        /// The attempt.
        attempt: Attempt,
        /// What the service said first: status line, SSH identification, TLS version. Foreign text.
        greeting: Option<String>,
        /// SHA-256 of its certificate or host key, in hexadecimal.
        key: Option<String>,
        /// The other servers that a directory names, as URLs. Foreign text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        others: Vec<String>,
    },
    /// To `Fetch`.
    Page {
        /// The attempt.
        attempt: Attempt,
        /// What came, where something came.
        page: Option<Page>,
    },
    /// To `Lookup`.
    Dns {
        /// The attempt.
        attempt: Attempt,
        /// What came, where something came.
        reply: Option<DnsReply>,
    },
    /// To `Ping`, `Canary`, `Datagram`, `Radius`, `Log`, `Spoof`, `Encapsulated`, `Forge` and `Provoke`.
    Echo {
        /// The attempt; an ICMP error that was provoked stands in it.
        attempt: Attempt,
    },
    /// To `Time`.
    Time {
        /// The attempt.
        attempt: Attempt,
        /// Stratum of the server (RFC 5905), where it answered.
        stratum: Option<u8>,
    },
    /// To `Snmp`.
    Managed {
        /// The attempt.
        attempt: Attempt,
        /// What the agent says that it is, where it answered. Foreign text.
        system: Option<String>,
        /// Whether the address that it was asked at stands in its table of addresses.
        knows_address: Option<bool>,
    },
    /// To `Sink`: the sources under which the token arrived.
    Sink {
        /// Each datagram that held the token: who sent it.
        from: Vec<SocketAddr>,
        /// The host that each of them is filed under, in the same order. Foreign text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<String>,
    },
    /// To `LogIn`: the addresses, as text, under which the log knows it. Foreign text.
    LogIn {
        /// None if it is not there.
        clients: Vec<String>,
    },
    /// To `PathMtu`.
    PathMtu {
        /// The sweep.
        sweep: Sweep,
    },
    /// To `Trace`: hop by hop.
    Trace {
        /// Hop 1 first; `None` where no router answered.
        hops: Vec<Option<IpAddr>>,
        /// Whether the destination answered in the end.
        reached: bool,
    },
    /// To `Solicit`.
    Advertisements {
        /// Each Router Advertisement that came within the wait, the same router's repeated ones left out.
        heard: Vec<HeardAdvertisement>,
    },
    /// To `Listeners`: who reported something within the wait.
    Listeners {
        /// Each sender once, with all of its groups.
        heard: Vec<HeardListener>,
    },
    /// To `Lease`.
    Lease {
        /// What became of it.
        course: LeaseCourse,
    },
    /// To `Dhcp`.
    Dhcp {
        /// Each answer that came within the wait.
        heard: Vec<HeardDhcp>,
    },
    /// To `Neighbour`.
    Neighbour {
        /// The link-layer addresses that answered: more than one means a duplicate address.
        macs: Vec<Mac>,
        /// Microseconds until the first.
        took_us: u64,
    },
    /// To `Inspect(Addresses)`.
    Addresses(Vec<LinkState>),
    /// To `Inspect(Routes)`.
    Routes(Vec<RouteState>),
    /// To `Inspect(Neighbours)`.
    Neighbours(Vec<NeighbourState>),
    /// To `Inspect(Sockets)`.
    Sockets(Vec<SocketState>),
    /// To `Inspect(Filter)`.
    Filter {
        /// The rules as the kernel holds them.
        filter: Filter,
        /// Rules that this program cannot put into its words, as text: parity cannot be judged for them.
        unread: Vec<String>,
    },
    /// To `Inspect(Switches)`: name and value, for example `net.ipv6.conf.eth0.disable_ipv6` = `0`.
    Switches(Vec<(String, String)>),
    /// To `Inspect(Tunnels)`.
    Tunnels(Vec<TunnelState>),
    /// To `Inspect(Resolvers)`.
    Resolvers(Vec<IpAddr>),
    /// Translators.
    Translators(Vec<TranslatorState>),
    /// To `Tunnel`: it has been done.
    Done,
    /// To `Tunnel`: this end has asked the other one, which has declined.
    Declined {
        /// What the other end said.
        said: String,
    },
    /// To `Stream`.
    Stream {
        /// Source really used.
        source: Option<IpAddr>,
        /// Requests that left the node.
        sent: u16,
        /// How many of them were answered.
        answered: u16,
        /// Replies that came a second time.
        duplicates: u16,
        /// Replies that came after one to a later request.
        late: u16,
        /// The traffic classes of the replies, each once.
        classes: BTreeSet<u8>,
        /// Microseconds of the fastest request there and back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fastest_us: Option<u64>,
        /// Microseconds from the first request to the last reply.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took_us: Option<u64>,
    },
    /// To `Journey`.
    Journey {
        /// The addresses that the name resolved to, in the order tried.
        resolved: Vec<IpAddr>,
        /// Microseconds until the first address was known.
        resolve_us: u64,
        /// Every connection attempt, in the order made.
        attempts: Vec<Attempt>,
        /// What the winner served.
        page: Option<Page>,
        /// Microseconds until the page was whole.
        total_us: u64,
        /// Why nothing was fetched, in the resolver's or the protocol's words.
        failure: Option<String>,
    },
    /// To `Dialogue`.
    Dialogue {
        /// The connection of the last call that was made.
        attempt: Attempt,
        /// What came back from each call, and after how many microseconds.
        replies: Vec<(Reply, u64)>,
    },
    /// To `SourceFor`.
    SourceFor {
        /// The source address, where there is a route.
        source: Option<IpAddr>,
    },
    /// The question could not be put. Never a pass, never a failure of the network.
    NotAsked {
        /// Why.
        reason: String,
    },
}

impl Answer {
    /// What a sink has of a token.
    pub fn of_sink(messages: Vec<Logged>) -> Self {
        let (from, hosts) =
            messages.into_iter().map(|message| (message.from, message.host)).unzip();
        Self::Sink { from, hosts }
    }

    /// The single attempt behind the answer, where there is one.
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::Connection { attempt, .. }
            | Self::Page { attempt, .. }
            | Self::Dns { attempt, .. }
            | Self::Echo { attempt }
            | Self::Time { attempt, .. }
            | Self::Managed { attempt, .. }
            | Self::Dialogue { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// Why the question could not be put, where it could not.
    pub fn not_asked(&self) -> Option<&str> {
        match self {
            Self::NotAsked { reason } => Some(reason),
            _ => match &self.attempt()?.outcome {
                Outcome::NotAsked { reason } => Some(reason),
                _ => None,
            },
        }
    }

    /// Whether the peer answered as its protocol asks.
    pub fn is_answered(&self) -> bool {
        self.attempt().is_some_and(|attempt| attempt.outcome == Outcome::Answered)
    }
}

/// A page as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The status code.
    pub status: u16,
    /// Where a redirect points to.
    pub location: Option<String>,
    /// The headers that are compared, in lower case, sorted.
    pub headers: Vec<(String, String)>,
    /// Octets of the body.
    pub octets: u64,
    /// The rows of its table, where it has one. Foreign text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
    /// What it loads from elsewhere, as absolute URLs. Foreign text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loads: Vec<String>,
    /// The absolute URLs that it lists, each on a line of its own. Foreign text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<String>,
    /// Where the server's certificate has its users ask whether it is revoked, where TLS was spoken. Foreign text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revocation: Vec<String>,
    /// SHA-256 of the body without its stamp, in hexadecimal.
    pub body_sha256: String,
    /// The freshness stamp that the page carries (`sixwalk-stamp`), where it does.
    pub stamp: Option<String>,
    /// The node and family that the page says served it (`sixwalk-served-by`). Foreign text.
    pub served_by: Option<String>,
    /// SHA-256 of the server's certificate, where TLS was spoken.
    pub certificate_sha256: Option<String>,
    /// The TLS version, for example `TLSv1.3`.
    pub tls_version: Option<String>,
    /// Why the certificate was not accepted for the name asked, where it was not.
    pub tls_error: Option<String>,
}

/// A DNS reply as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsReply {
    /// RCODE by name (RFC 1035 section 4.1.1), for example `NoError` or `NXDomain`.
    pub rcode: String,
    /// AA.
    pub authoritative: bool,
    /// RA.
    pub recursion_available: bool,
    /// TC.
    pub truncated: bool,
    /// The answer section, CNAME chain included.
    pub answers: Vec<Record>,
    /// Whether the authority section holds a SOA (RFC 2308: what makes NODATA and NXDOMAIN cacheable).
    pub has_soa: bool,
    /// The addresses of the additional section: of the name servers that it refers to, the glue (RFC 9471).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub glue: Vec<Record>,
    /// Whom it refers to: the NS records of the authority section.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refers: Vec<Record>,
    /// AAAA or A records whose data has the wrong length, as hexadecimal.
    pub malformed: Vec<String>,
    /// Octets of the reply.
    pub octets: u32,
}

impl DnsReply {
    /// The addresses in the answer.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.answers.iter().filter_map(|record| match record.data {
            super::record::RecordData::Address(address) => Some(address),
            _ => None,
        })
    }
}

/// A sweep for the path MTU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Source really used.
    pub source: Option<IpAddr>,
    /// Destination.
    pub destination: IpAddr,
    /// The largest packet that was answered, IP header included; `None` if not even the smallest was.
    pub passed: Option<u16>,
    /// The smallest packet that was lost; `None` if everything up to the ceiling passed.
    pub lost: Option<u16>,
    /// Packet Too Big (RFC 8201) or Fragmentation Needed (RFC 1191) that came back. None although packets were lost:
    /// a black hole.
    pub too_big: Vec<IcmpError>,
}

/// A listener of a link and the groups that it reported (RFC 3810).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardListener {
    /// Its link-layer address.
    pub mac: Mac,
    /// The groups, each once.
    pub groups: Vec<std::net::Ipv6Addr>,
}

/// A Router Advertisement as it was heard (RFC 4861 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardAdvertisement {
    /// The router's link-local address.
    pub router: IpAddr,
    /// Its link-layer address on the frame.
    pub mac: Option<Mac>,
    /// Hop limit of the packet: must be 255.
    pub hop_limit: u8,
    /// Flag M.
    pub managed: bool,
    /// Flag O.
    pub other: bool,
    /// Router lifetime in seconds; 0 is no default router.
    pub lifetime_s: u16,
    /// Default router preference (RFC 4191): `low`, `medium` or `high`.
    pub preference: String,
    /// The MTU option.
    pub mtu: Option<u32>,
    /// Prefix Information Options.
    pub prefixes: Vec<HeardPrefix>,
    /// Recursive DNS servers (RFC 8106).
    pub dns: Vec<IpAddr>,
    /// The translation prefixes (RFC 8781).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pref64: Vec<Pref64>,
}

/// A Prefix Information Option (RFC 4861 section 4.6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeardPrefix {
    /// The prefix.
    pub prefix: IpNet,
    /// Flag L.
    pub on_link: bool,
    /// Flag A.
    pub autonomous: bool,
    /// Valid lifetime in seconds.
    pub valid_s: u32,
    /// Preferred lifetime in seconds.
    pub preferred_s: u32,
}

/// A link of a node and its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkState {
    /// The interface. `lo` stands as any other.
    pub name: String,
    /// Its link-layer address.
    pub mac: Option<Mac>,
    /// Its MTU in octets.
    pub mtu: u32,
    /// Whether it is up and has a carrier.
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<AddressState>,
}

/// An address on a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressState {
    /// Address and prefix length.
    pub net: IpNet,
    /// Duplicate address detection is not over (RFC 4862 section 5.4).
    pub tentative: bool,
    /// Duplicate address detection found another owner.
    pub dad_failed: bool,
    /// Formed from a Router Advertisement: its lifetime is not for ever.
    pub dynamic: bool,
    /// A temporary address (RFC 8981).
    pub temporary: bool,
    /// Deprecated (RFC 4862 section 5.5.4).
    pub deprecated: bool,
}

/// A route of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteState {
    /// Where to.
    pub to: IpNet,
    /// Next hop, where there is one.
    pub via: Option<IpAddr>,
    /// Interface.
    pub interface: String,
    /// Who made it: `kernel`, `static`, `ra` …
    pub origin: String,
    /// A path MTU that was learned for it, with the seconds until it is forgotten.
    pub learned_mtu: Option<(u32, u32)>,
    /// The seconds until it is forgotten, of a route that a router has announced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_s: Option<u32>,
}

/// An entry of the neighbour cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighbourState {
    /// The neighbour.
    pub address: IpAddr,
    /// Its link-layer address, where known.
    pub mac: Option<Mac>,
    /// Interface.
    pub interface: String,
    /// `reachable`, `stale`, `failed` …
    pub state: String,
    /// It said that it is a router.
    pub router: bool,
}

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketState {
    /// TCP or UDP.
    pub transport: Transport,
    /// The address and port that it is bound to.
    pub local: SocketAddr,
    /// `IPV6_V6ONLY`: an IPv6 wildcard socket without it also takes IPv4.
    pub v6_only: Option<bool>,
    /// The service of the testbed that holds it, where it is a built-in one.
    pub service: Option<ServiceName>,
}

impl SocketState {
    /// The families that reach this socket.
    pub fn families(&self) -> super::family::Families {
        use super::family::Families;
        match (self.local.ip(), self.v6_only) {
            (IpAddr::V6(ip), Some(false)) if ip.is_unspecified() => Families::BOTH,
            (ip, _) => Families::only(Family::of(ip)),
        }
    }
}

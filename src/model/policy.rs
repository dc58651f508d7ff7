//! Packet filters in the words of the field, independent of the program that enforces them.

use std::fmt;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    family::Family,
    name::InterfaceName,
    service::{Port, Transport},
};

/// Labels of the rules that do not come from a flow; faults and findings name them.
pub mod label {
    /// Answers to what was allowed before.
    pub const ESTABLISHED: &str = "established";
    /// What connection tracking cannot place.
    pub const INVALID: &str = "invalid";
    /// Nothing between data and management.
    pub const MANAGEMENT: &str = "management-plane";
    /// BCP 38.
    pub const ANTI_SPOOF: &str = "anti-spoof";
    /// ICMP and ICMPv6 errors (RFC 4890 section 4.3.1).
    pub const ICMP_ERRORS: &str = "icmp-errors";
    /// Echo (RFC 4890 section 4.3.1).
    pub const ICMP_ECHO: &str = "icmp-echo";
    /// Neighbour and router discovery and MLD on the link (RFC 4890 section 4.4.1).
    pub const ON_LINK: &str = "icmpv6-on-link";
    /// The node's own loopback.
    pub const LOOPBACK: &str = "loopback";
    /// A service of the node itself.
    pub const OWN_SERVICE: &str = "own-service";
    /// What carries a tunnel.
    pub const TUNNEL: &str = "tunnel";
    /// What a tunnel couples never leaves beside it.
    pub const TUNNEL_GUARD: &str = "tunnel-guard";

    /// DHCPv6 of servers and relays (RFC 8415).
    pub const DHCP: &str = "dhcpv6";

    /// All of them.
    pub const ALL: [&str; 12] = [
        ESTABLISHED,
        INVALID,
        MANAGEMENT,
        ANTI_SPOOF,
        ICMP_ERRORS,
        ICMP_ECHO,
        ON_LINK,
        LOOPBACK,
        OWN_SERVICE,
        TUNNEL,
        TUNNEL_GUARD,
        DHCP,
    ];
}

/// Where in a node's packet path a chain stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// Packets for the node itself.
    Input,
    /// Packets that the node passes on.
    Forward,
    /// Packets of the node itself.
    Output,
}

/// What happens to a packet.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Passes.
    Accept,
    /// Vanishes.
    Drop,
    /// Refused with an ICMP error "administratively prohibited" (ICMPv6 type 1 code 1, ICMP type 3 code 13).
    Reject,
    /// Refused with a TCP reset.
    Reset,
}

/// A condition on a packet; a rule applies where all of its conditions hold.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Match {
    /// Came in by the node's own loopback interface.
    Loopback,
    /// Came in by this interface.
    InInterface(InterfaceName),
    /// Leaves by this interface.
    OutInterface(InterfaceName),
    /// The family of the packet.
    Family(Family),
    /// Source within a prefix; also fixes the family.
    Source(#[schemars(with = "String")] IpNet),
    /// Destination within a prefix; also fixes the family.
    Destination(#[schemars(with = "String")] IpNet),
    /// A transport, whatever the port.
    Transport(Transport),
    /// Another upper-layer protocol, by its number.
    Protocol(u8),
    /// A destination port.
    Port {
        /// TCP or UDP.
        transport: Transport,
        /// The port number.
        number: u16,
    },
    /// ICMP (IPv4) or ICMPv6 of any of these types.
    Icmp {
        /// Which of the two protocols.
        family: Family,
        /// The types; empty means every type.
        types: Vec<u8>,
    },
    /// Part of a connection that was allowed before (conntrack state established or related).
    Established,
    /// A packet that connection tracking cannot place (conntrack state invalid).
    Invalid,
    /// The source would not be reached by the interface the packet came in by (reverse path filter, BCP 38).
    NotReversePath,
    /// The packet is longer than this many octets, IP header included.
    ///
    /// The kernel looks at packets as its drivers hand them over: where the sender's interface leaves the splitting of
    /// TCP segments to a later point (GSO), that is up to 64 kB at once, whatever the segment size.
    LongerThan(u16),
}

/// A line of a filter.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Rule {
    /// Why it is there: the flow or the RFC, as the comment of the rule.
    pub label: String,
    /// All of these must hold.
    pub matches: Vec<Match>,
    /// Then this happens.
    pub action: Action,
}

/// The rules of one hook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Chain {
    /// Where it stands.
    pub hook: Hook,
    /// What happens to packets that no rule names: `Accept` or `Drop`.
    pub policy: Action,
    /// In order; the first that applies decides.
    pub rules: Vec<Rule>,
}

/// Everything that a node filters. Empty means that it filters nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Filter {
    /// At most one chain per hook.
    pub chains: Vec<Chain>,
}

impl Filter {
    /// The chain of a hook.
    pub fn chain(&self, hook: Hook) -> Option<&Chain> {
        self.chains.iter().find(|chain| chain.hook == hook)
    }
}

impl Rule {
    /// The family that the rule is limited to, where it is.
    pub fn family(&self) -> Option<Family> {
        self.matches.iter().find_map(|condition| match condition {
            Match::Family(family) | Match::Icmp { family, .. } => Some(*family),
            Match::Source(net) | Match::Destination(net) => Some(Family::of_net(*net)),
            _ => None,
        })
    }

    /// The destination port that it names, where it names one.
    pub fn port(&self) -> Option<Port> {
        self.matches.iter().find_map(|condition| match condition {
            Match::Port { transport, number } => {
                Some(Port { transport: *transport, number: *number })
            }
            _ => None,
        })
    }
}

/// As an auditor reads it: `ip6 saddr 2001:db8:a::/64 tcp dport 443 accept`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.matches {
            write!(f, "{condition} ")?;
        }
        self.action.fmt(f)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accept => "accept",
            Self::Drop => "drop",
            Self::Reject => "reject with icmpx admin-prohibited",
            Self::Reset => "reject with tcp reset",
        })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = |net: &IpNet| match Family::of_net(*net) {
            Family::V4 => "ip",
            Family::V6 => "ip6",
        };
        match self {
            Self::Loopback => f.write_str("iifname lo"),
            Self::InInterface(name) => write!(f, "iifname {name}"),
            Self::OutInterface(name) => write!(f, "oifname {name}"),
            Self::Family(family) => write!(f, "meta nfproto {}", family.word()),
            Self::Source(net) => write!(f, "{} saddr {net}", ip(net)),
            Self::Destination(net) => write!(f, "{} daddr {net}", ip(net)),
            Self::Transport(transport) => write!(f, "meta l4proto {transport}"),
            Self::Protocol(number) => write!(f, "meta l4proto {number}"),
            Self::Port { transport, number } => write!(f, "{transport} dport {number}"),
            Self::Icmp { family, types } => {
                let name = if *family == Family::V4 { "icmp" } else { "icmpv6" };
                let list: Vec<_> = types.iter().map(u8::to_string).collect();
                match list.as_slice() {
                    [] => write!(f, "meta l4proto {name}"),
                    [one] => write!(f, "{name} type {one}"),
                    many => write!(f, "{name} type {{ {} }}", many.join(", ")),
                }
            }
            Self::Established => f.write_str("ct state established,related"),
            Self::Invalid => f.write_str("ct state invalid"),
            Self::NotReversePath => f.write_str("fib saddr . iif oif missing"),
            Self::LongerThan(octets) => write!(f, "meta length > {octets}"),
        }
    }
}

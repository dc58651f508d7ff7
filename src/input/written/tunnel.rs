//! `[tunnel.NAME]`

use ipnet::IpNet;

use super::words::{FAMILIES, NODES, prefixes, segment_prefix};
use crate::{
    engine::{BUILT_IN, TunnelEngine},
    input::{
        diagnostic::Span,
        shape::{Key, Shape, key, required},
        table::{At, Entry},
    },
    model::{
        family::Family,
        name::{EngineName, NodeName, TunnelName},
        tunnel::TunnelKind,
    },
};

const PAIR: Shape = Shape::List { of: &Shape::Text, most: 2 };

pub(in crate::input) const KEYS: &[Key] = &[
    required("between", NODES, "The two VPN gateways that end it."),
    key(
        "kind",
        Shape::Word(|| TunnelKind::ALL.into_iter().map(TunnelKind::word).collect()),
        "How it carries packets: encrypted (`vpn`, the usual), or as they are: IPv6 in IPv4 (`6in4`, RFC 4213), IPv4 in \
         IPv6 (`4in6`, RFC 2473), frames in UDP (`vxlan`, RFC 7348).",
    ),
    key(
        "engine",
        Shape::Word(|| {
            [BUILT_IN].into_iter().chain(TunnelEngine::all().map(|e| e.name)).collect()
        }),
        "The program that carries it, in the place of the WireGuard that is built in; of `vpn` alone.",
    ),
    key(
        "outer",
        FAMILIES,
        "The families that may carry it, first choice first; all of its kind, IPv6 first, otherwise.",
    ).filled(),
    required(
        "couple",
        Shape::List { of: &PAIR, most: 64 },
        "Pairs of segments or prefixes, the first behind the first gateway: `[[\"admin-lan\", \"dc-lan\"]]`.",
    ).filled(),
    key(
        "ipv4",
        Shape::Parsed {
            what: "an IPv4 prefix of two addresses such as `192.0.2.128/31`",
            check: |text| pair_prefix(text, Family::V4).map(drop),
        },
        "The IPv4 addresses of its two ends inside; two of 100.64.0.0/10 (RFC 6598) otherwise.",
    ),
    key(
        "ipv6",
        Shape::Parsed {
            what: "an IPv6 prefix of two addresses such as `2001:db8:f:d::/127`",
            check: |text| pair_prefix(text, Family::V6).map(drop),
        },
        "The IPv6 addresses of its two ends inside; two of fd76:706e::/32 (RFC 4193) otherwise.",
    ),
    key(
        "mtu",
        Shape::Number { least: 576, most: 65_535 },
        "MTU inside in octets; what the smallest link of the testbed leaves otherwise.",
    ),
];

/// A prefix of exactly two addresses.
fn pair_prefix(text: &str, family: Family) -> Result<IpNet, String> {
    let net = segment_prefix(text, family)?;
    let usual = family.bits() - 1;
    match net.prefix_len() {
        length if length == usual => Ok(net),
        length => Err(format!("{net} has /{length}; the two ends of a tunnel share a /{usual}")),
    }
}

/// A tunnel as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Tunnel {
    pub name: At<TunnelName>,
    pub kind: TunnelKind,
    pub engine: Option<At<EngineName>>,
    pub between: Vec<At<NodeName>>,
    pub outer: Vec<At<Family>>,
    pub couple: Vec<Couple>,
    pub prefixes: Vec<At<IpNet>>,
    /// Prefixes that are not of two addresses.
    pub misfits: Vec<At<IpNet>>,
    pub mtu: Option<At<u32>>,
}

/// A pair of subnets as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Couple {
    pub at: Span,
    pub ends: Vec<At<String>>,
}

impl Tunnel {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        let keys = Family::ALL.map(|family| (family.word(), family));
        let (prefixes, misfits) = prefixes(&table, &keys, pair_prefix);
        Some(Self {
            prefixes,
            misfits,
            mtu: table.number("mtu"),
            name: entry.name()?,
            kind: kind(table.one::<String>("kind")),
            engine: table.one("engine"),
            between: table.references("between"),
            outer: table.list("outer"),
            couple: table.items("couple").iter().map(Couple::read).collect(),
        })
    }
}

fn kind(word: Option<At<String>>) -> TunnelKind {
    let known = |word: At<String>| TunnelKind::ALL.into_iter().find(|k| k.word() == word.is);
    word.and_then(known).unwrap_or_default()
}

impl Couple {
    fn read(entry: &Entry<'_>) -> Self {
        let ends = entry.items().iter().filter_map(Entry::one).collect();
        Self { at: entry.span(), ends }
    }
}

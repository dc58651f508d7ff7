//! `[segment.NAME]`

use ipnet::IpNet;

use super::words::{
    BY_PHASE, DELAY, DOMAIN, InPhase, NODE, NODES, PLANNED_RATE, PLANNED_SHARE, SITE, by_phase,
    prefixes, segment_prefix,
};
use crate::{
    input::{
        diagnostic::Span,
        shape::{Key, Shape, key, required},
        table::{At, Entry, Table},
    },
    model::{
        family::{Families, Family},
        impairment::Impairment,
        name::{DomainName, NodeName, SegmentName, SiteName},
        segment::{Plane, SegmentKind},
    },
};

/// The MTU of a link where nothing is said: Ethernet.
pub(in crate::input) const USUAL_MTU: u32 = 1500;

pub(in crate::input) const KEYS: &[Key] = &[
    key("site", SITE, "The site that it belongs to; networks between sites belong to none."),
    key(
        "kind",
        Shape::Word(|| vec!["lan", "point-to-point", "transit"]),
        "What kind of link it is; a LAN where nothing is said.",
    ),
    key(
        "plane",
        Shape::Word(|| vec!["data", "management"]),
        "Data, or management of the nodes; nothing is forwarded between the two.",
    ),
    key(
        "ipv4",
        Shape::Parsed {
            what: "an IPv4 prefix such as `10.1.0.0/24`",
            check: |text| segment_prefix(text, Family::V4).map(drop),
        },
        "Its IPv4 prefix.",
    ),
    key(
        "ipv6",
        Shape::Parsed {
            what: "an IPv6 prefix such as `2001:db8:a:1::/64`",
            check: |text| segment_prefix(text, Family::V6).map(drop),
        },
        "Its IPv6 prefix.",
    ),
    key(
        "mtu",
        Shape::Number { least: 68, most: 65_535 },
        "MTU of the link in octets; 1500 where nothing is said, at least 1280 with IPv6.",
    ),
    key(
        "advertise",
        Shape::Short { short: &NODE, long: ADVERTISE },
        "What its routers announce by Router Advertisements, or the router that announces the usual.",
    ),
    key(
        "dhcpv6",
        Shape::Short { short: &NODE, long: DHCP },
        "Who serves DHCPv6 on it: a node on it, or one that a relay asks.",
    ),
    key("families", BY_PHASE, "The families that are live on it, where not as the phase says."),
    key(
        "stays-ipv4",
        Shape::Text,
        "Why it keeps IPv4 alone in every phase: `\"a network of another body without IPv6\"`.",
    ),
    key(
        "ra-guard",
        Shape::Flag,
        "Whether its switch stops Router Advertisements at every port but those of its routers (RFC 6105).",
    ),
    key("loss", PLANNED_SHARE, "The share of frames that it loses, in each direction."),
    key("duplicate", PLANNED_SHARE, "The share of frames that arrive twice."),
    key("reorder", PLANNED_SHARE, "The share of frames that others overtake."),
    key("rate", PLANNED_RATE, "How fast it is in each direction."),
    key("delay", DELAY, "How long it takes in each direction."),
];

const DHCP: &[Key] = &[
    required("by", NODE, "The server."),
    key(
        "relay",
        NODE,
        "The router on it that carries questions to the server; the one that announces otherwise, where the server is \
         elsewhere.",
    ),
    key("dns", NODES, "The resolvers that hosts are told (option 23)."),
    key(
        "search",
        Shape::List { of: &DOMAIN, most: 16 },
        "The domains that hosts are told to search (option 24).",
    ),
];

const ADVERTISE: &[Key] = &[
    key(
        "by",
        NODES,
        "The routers that announce, the default router first; all routers on it otherwise.",
    ),
    key("on-link", Shape::Flag, "Flag L: the prefix is on-link. True where nothing is said."),
    key(
        "autonomous",
        Shape::Flag,
        "Flag A: hosts form addresses (SLAAC). True where nothing is said.",
    ),
    key("managed", Shape::Flag, "Flag M: addresses by DHCPv6. False where nothing is said."),
    key(
        "other",
        Shape::Flag,
        "Flag O: other configuration by DHCPv6. False where nothing is said.",
    ),
    key(
        "lifetime",
        Shape::Number { least: 0, most: 9000 },
        "Router lifetime in seconds (RFC 4861 section 6.2.1); 1800 where nothing is said.",
    ),
    key("dns", NODES, "The nodes that are announced as recursive DNS servers (RFC 8106)."),
];

/// A segment as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Segment {
    pub name: At<SegmentName>,
    pub site: Option<At<SiteName>>,
    pub kind: SegmentKind,
    pub plane: Plane,
    pub prefixes: Vec<At<IpNet>>,
    /// Prefixes of a length that no segment has.
    pub misfits: Vec<At<IpNet>>,
    /// The families of which a prefix was written, readable or not.
    pub said: Families,
    pub mtu: Option<At<u32>>,
    pub advertise: Option<Advertise>,
    pub dhcp: Option<Dhcp>,
    pub impairment: Impairment,
    pub ra_guard: Option<At<bool>>,
    pub families: Vec<InPhase>,
    /// Why it has IPv4 alone in every phase, where it does.
    pub stays_ipv4: Option<At<String>>,
}

/// DHCPv6 as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Dhcp {
    pub at: Span,
    pub by: At<NodeName>,
    pub relay: Option<At<NodeName>>,
    pub dns: Vec<At<NodeName>>,
    pub search: Vec<At<DomainName>>,
}

/// Router Advertisements as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Advertise {
    pub at: Span,
    pub by: Vec<At<NodeName>>,
    pub on_link: Option<At<bool>>,
    pub autonomous: Option<At<bool>>,
    pub managed: Option<At<bool>>,
    pub other: Option<At<bool>>,
    pub lifetime_s: Option<At<u16>>,
    pub dns: Vec<At<NodeName>>,
}

impl Segment {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        let keys = Family::ALL.map(|family| (family.word(), family));
        let (prefixes, misfits) = prefixes(&table, &keys, segment_prefix);
        Some(Self {
            name: entry.name()?,
            site: table.reference("site"),
            kind: table.one("kind").map(|kind| kind.is).unwrap_or_default(),
            plane: table.one("plane").map(|plane| plane.is).unwrap_or_default(),
            said: Family::ALL.into_iter().filter(|f| table.entry(f.word()).is_some()).collect(),
            prefixes,
            misfits,
            mtu: table.number("mtu"),
            advertise: table.entry("advertise").and_then(Advertise::read),
            dhcp: table.entry("dhcpv6").and_then(Dhcp::read),
            impairment: impairment(&table),
            ra_guard: table.flag("ra-guard"),
            families: by_phase(&table, "families"),
            stays_ipv4: table.one("stays-ipv4"),
        })
    }

    /// The octets of the largest packet that it carries.
    pub(in crate::input) fn size(&self) -> u32 {
        self.mtu.as_ref().map_or(USUAL_MTU, |mtu| mtu.is)
    }

    /// Whether nothing was written of a family, so that it never has it.
    pub(in crate::input) fn lacks(&self, family: Family) -> bool {
        !self.said.has(family)
    }

    /// Whether each prefix that was written could be read.
    pub(in crate::input) fn is_known(&self) -> bool {
        self.said.iter().all(|family| self.prefix(family).is_some())
    }

    /// Its prefix of a family.
    pub(in crate::input) fn prefix(&self, family: Family) -> Option<&At<IpNet>> {
        self.prefixes.iter().find(|prefix| Family::of_net(prefix.is) == family)
    }
}

/// What a link is said to do to frames.
pub(in crate::input) fn impairment(table: &Table<'_>) -> Impairment {
    let share = |key| table.one(key).map(|share| share.is).unwrap_or_default();
    Impairment {
        loss: share("loss"),
        duplicate: share("duplicate"),
        reorder: share("reorder"),
        rate: table.one("rate").map(|rate| rate.is),
        delay: table.one("delay").map(|delay| delay.is).unwrap_or_default(),
        class: table.number("class").map(|class| class.is),
    }
}

impl Dhcp {
    fn read(entry: &Entry<'_>) -> Option<Self> {
        let Some(table) = entry.table() else {
            let (at, by) = (entry.at.clone(), entry.reference()?);
            return Some(Self { at, by, relay: None, dns: Vec::new(), search: Vec::new() });
        };
        Some(Self {
            at: entry.at.clone(),
            by: entry.needed("by")?,
            relay: table.reference("relay"),
            dns: table.references("dns"),
            search: table.list("search"),
        })
    }
}

impl Advertise {
    fn read(entry: &Entry<'_>) -> Option<Self> {
        let Some(table) = entry.table() else {
            return Some(Self {
                by: vec![entry.reference()?],
                ..Self::long(&Table::empty(), entry)
            });
        };
        Some(Self::long(&table, entry))
    }

    fn long(table: &Table<'_>, entry: &Entry<'_>) -> Self {
        Self {
            at: entry.at.clone(),
            by: table.references("by"),
            on_link: table.flag("on-link"),
            autonomous: table.flag("autonomous"),
            managed: table.flag("managed"),
            other: table.flag("other"),
            lifetime_s: table.number("lifetime"),
            dns: table.references("dns"),
        }
    }
}

//! `[node.NAME]`

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    service::{self, Service},
    site::Uses,
    words::{
        ADDRESS, BY_PHASE, InPhase, NET, NODE, NODES, SEGMENT, SITE, address, by_phase,
        host_address, net, parses,
    },
};
use crate::{
    engine::{BUILT_IN, Engine},
    input::{
        diagnostic::Span,
        shape::{Key, Shape, key, required},
        table::{At, Entry, Table},
    },
    model::{
        family::Family,
        function::Function,
        mac::Mac,
        name::{EngineName, InterfaceName, NodeName, SegmentName, ServiceName, SiteName},
        node::Role,
    },
};

/// The word that stands instead of an address that the node forms itself.
pub(in crate::input) const SLAAC: &str = "slaac";
/// The same from a secret (RFC 7217): the word of the kernel.
const STABLE: &str = "stable-privacy";

/// The word that stands instead of an address that a server gives.
pub(in crate::input) const DHCP: &str = "dhcpv6";

/// The highest host number: four decimal digits are also four hexadecimal ones.
const HOST: Shape = Shape::Number { least: 1, most: 9999 };

pub(in crate::input) const KEYS: &[Key] = &[
    key("title", Shape::Text, "What people call the node."),
    required(
        "role",
        Shape::Word(|| Role::ALL.into_iter().map(Role::word).collect()),
        "What it is in the network.",
    ),
    key(
        "site",
        SITE,
        "The site that it stands in; that of its first segment with a site otherwise.",
    ),
    required(
        "on",
        Shape::Named {
            noun: "interface",
            check: parses::<InterfaceName>,
            of: &Shape::Short { short: &SEGMENT, long: INTERFACE_KEYS },
            most: 64,
        },
        "Its interfaces: `on = { eth0 = \"admin-lan\" }`.",
    ),
    key("host", HOST, "Its host number on every segment: 10 makes `.10` and `::10`."),
    key(
        "serve",
        Shape::Named {
            noun: "service",
            check: parses::<ServiceName>,
            of: &service::SHAPE,
            most: 64,
        },
        "What it offers: `serve.https = \"portal.dc.test\"`.",
    ),
    key(
        "routes",
        Shape::Tables { noun: "route", of: ROUTE_KEYS, most: 256 },
        "Routes that stand instead of derived ones: `routes = [{ to = \"…\", via = \"…\" }]`.",
    ),
    key("resolvers", NODES, "The nodes that it asks for names, in this order."),
    key("logs-to", NODE, "The node that it sends its log to."),
    key("time-from", NODE, "The node that it takes the time from."),
    key("users-from", NODE, "The directory in which it looks users up."),
    key(
        "engines",
        Shape::Table(ENGINE_KEYS),
        "The programs that do what it does for the network, in the place of what is built in.",
    ),
    key("families", BY_PHASE, "The families that it speaks, where fewer than its segments."),
];

const ENGINE: Shape =
    Shape::Word(|| [BUILT_IN].into_iter().chain(Engine::all().map(|engine| engine.name)).collect());

const ENGINE_KEYS: &[Key] = &[
    key("advertisements", ENGINE, "The program that sends its Router Advertisements."),
    key("dhcpv6", ENGINE, "The program that is its DHCPv6 server, or relay."),
];

const INTERFACE_KEYS: &[Key] = &[
    required("segment", SEGMENT, "The segment that it is plugged into."),
    key("host", HOST, "Its host number: 10 makes `.10` and `::10`."),
    key(
        "ipv4",
        Shape::Parsed {
            what: "an IPv4 address such as `10.1.0.5`",
            check: |text| host_address(text, Family::V4).map(drop),
        },
        "Its IPv4 address, instead of a host number.",
    ),
    key(
        "ipv6",
        Shape::Parsed {
            what: "an IPv6 address, `slaac`, `stable-privacy` or `dhcpv6`",
            check: |text| v6(text).map(drop),
        },
        "Its IPv6 address, `slaac` for one that it forms from Router Advertisements, `stable-privacy` for one that says \
         nothing of its link-layer address (RFC 7217), or `dhcpv6` for one that a server gives.",
    ),
    key(
        "mac",
        Shape::Parsed {
            what: "a link-layer address such as `02:00:00:00:00:0a`",
            check: parses::<Mac>,
        },
        "Its link-layer address; derived from node and interface where nothing is said.",
    ),
];

const ROUTE_KEYS: &[Key] = &[
    required("to", NET, "Where to."),
    required("via", ADDRESS, "The next hop: an address on a segment of the node."),
];

/// A node as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Node {
    pub name: At<NodeName>,
    pub title: Option<At<String>>,
    pub role: Option<At<Role>>,
    pub site: Option<At<SiteName>>,
    pub host: Option<At<u32>>,
    pub on: Vec<Interface>,
    /// Where the file says that it has no interface.
    pub unplugged: Option<Span>,
    pub serve: Vec<Service>,
    pub routes: Vec<Route>,
    pub uses: Uses,
    pub families: Vec<InPhase>,
    pub engines: Vec<(Function, At<EngineName>)>,
}

/// An interface as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Interface {
    pub name: At<InterfaceName>,
    pub segment: At<SegmentName>,
    pub host: Option<At<u32>>,
    pub addresses: Vec<At<IpAddr>>,
    /// Where the file says that the IPv6 address comes by SLAAC.
    pub slaac: Option<Span>,
    /// Whether it is then formed from a secret (RFC 7217).
    pub stable: bool,
    /// Where the file says that the IPv6 address comes by DHCPv6.
    pub dhcp: Option<Span>,
    pub mac: Option<At<Mac>>,
}

/// A route as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Route {
    pub to: At<IpNet>,
    pub via: At<IpAddr>,
}

/// An IPv6 address, or none for one that the node forms or is given.
fn v6(text: &str) -> Result<Option<IpAddr>, String> {
    if [SLAAC, STABLE, DHCP].contains(&text) {
        Ok(None)
    } else {
        host_address(text, Family::V6).map(Some)
    }
}

fn engines(table: &Table<'_>) -> Vec<(Function, At<EngineName>)> {
    let said = table.table("engines").unwrap_or_else(Table::empty);
    let of = |function: Function| Some((function, said.one(function.word())?));
    Function::ALL.into_iter().filter_map(of).collect()
}

impl Node {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self {
            name: entry.name()?,
            title: table.one("title"),
            role: table.one("role"),
            site: table.reference("site"),
            host: table.number("host"),
            unplugged: table
                .entry("on")
                .filter(|on| on.table().is_some_and(|on| on.entries().is_empty()))
                .map(|on| on.at.clone()),
            on: table.children("on").iter().filter_map(Interface::read).collect(),
            serve: table.children("serve").iter().filter_map(Service::read).collect(),
            routes: table.items("routes").iter().filter_map(Route::read).collect(),
            uses: Uses::read(&table),
            families: by_phase(&table, "families"),
            engines: engines(&table),
        })
    }

    /// Its role; a server where the role could not be read, which has been complained of. What follows from a guess must
    /// not be complained of: ask [`Self::may_be`] for that.
    pub(in crate::input) fn role(&self) -> Role {
        self.role.as_ref().map_or(Role::Server, |role| role.is)
    }

    /// Whether its role is such, or could not be read.
    pub(in crate::input) fn may_be(&self, such: impl Fn(Role) -> bool) -> bool {
        self.role.as_ref().is_none_or(|role| such(role.is))
    }

    /// Its interface on a segment.
    pub(in crate::input) fn interface_on(&self, segment: &SegmentName) -> Option<&Interface> {
        self.on.iter().find(|interface| interface.segment.is == *segment)
    }
}

impl Interface {
    fn read(entry: &Entry<'_>) -> Option<Self> {
        let Some(table) = entry.table() else {
            return Some(Self::long(entry.name()?, entry.reference()?, &Table::empty()));
        };
        Some(Self::long(entry.name()?, entry.needed("segment")?, &table))
    }

    fn long(name: At<InterfaceName>, segment: At<SegmentName>, table: &Table<'_>) -> Self {
        let written = |family: Family| table.one::<String>(family.word());
        let word = |word| written(Family::V6).filter(|text| text.is == word).map(|text| text.at);
        let fixed = |family| {
            let text = written(family)?;
            Some(At { is: host_address(&text.is, family).ok()?, at: text.at })
        };
        Self {
            name,
            segment,
            host: table.number("host"),
            addresses: Family::ALL.into_iter().filter_map(fixed).collect(),
            slaac: word(SLAAC).or_else(|| word(STABLE)),
            stable: word(STABLE).is_some(),
            dhcp: word(DHCP),
            mac: table.one("mac"),
        }
    }

    /// Its written address of a family.
    pub(in crate::input) fn address(&self, family: Family) -> Option<&At<IpAddr>> {
        self.addresses.iter().find(|address| Family::of(address.is) == family)
    }
}

impl Route {
    fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        let (to, via) = (table.one::<String>("to")?, table.one::<String>("via")?);
        Some(Self {
            to: At { is: net(&to.is).ok()?, at: to.at },
            via: At { is: address(&via.is).ok()?, at: via.at },
        })
    }
}

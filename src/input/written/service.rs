//! `serve.NAME` of a node

use super::words::{BY_PHASE, DOMAIN, INTERFACE, InPhase, NODES, URL, by_phase};
use crate::{
    engine::{BUILT_IN, Engine},
    input::{
        shape::{Key, Shape, key, required},
        table::{At, Entry, Table},
    },
    model::{
        access::Lockout,
        front::ProxyProtocol,
        name::{DomainName, EngineName, InterfaceName, NodeName, ServiceName},
        service::ServiceKind,
    },
};

const DOMAINS: Shape = Shape::List { of: &DOMAIN, most: 16 };

pub(in crate::input) const KEYS: &[Key] = &[
    key(
        "kind",
        Shape::Word(|| ServiceKind::ALL.into_iter().map(ServiceKind::word).collect()),
        "What it speaks; needed where the name of the service does not say it.",
    ),
    key(
        "port",
        Shape::Number { least: 1, most: 65_535 },
        "Its port; the kind's usual one otherwise.",
    ),
    key("on", INTERFACE, "The interface on whose addresses alone it is offered."),
    key("name", DOMAINS, "The published name or names under which it is reached."),
    key("path", Shape::Text, "The path that users of HTTP ask for; `/` where nothing is said."),
    key(
        "loads",
        Shape::List { of: &URL, most: 16 },
        "What its page loads from elsewhere: absolute URLs.",
    ),
    key(
        "mirrors",
        Shape::List { of: &URL, most: 16 },
        "What its page `/mirrors` lists: where those who reach it take updates from.",
    ),
    key(
        "crl",
        URL,
        "Where its certificate says that the list of revoked certificates is (`https`).",
    ),
    key("ocsp", URL, "Whom its certificate says to ask whether it is revoked (`https`)."),
    key(
        "polls",
        NODES,
        "The nodes whose management agents (`snmp`) its page `/status` asks: it is the page of a monitoring server.",
    ).filled(),
    key(
        "engine",
        Shape::Word(|| {
            [BUILT_IN].into_iter().chain(Engine::all().map(|engine| engine.name)).collect()
        }),
        "The program that provides it, in the place of the service that is built in.",
    ),
    key(
        "admits",
        Shape::List { of: &Shape::Text, most: 64 },
        "Whom it lets in, whatever filters say: nodes, segments and sites; everybody where nothing is said.",
    ),
    key(
        "lockout",
        Shape::Table(LOCKOUT),
        "When it locks log-ins, for a user and the network that failures came from.",
    ),
    key(
        "fronts",
        NODES,
        "The nodes that it passes connections on to, by the name that users ask for (HTTP: Host, TLS: server name).",
    ).filled(),
    key(
        "proxy-protocol",
        Shape::Word(|| ProxyProtocol::ALL.map(ProxyProtocol::word).to_vec()),
        "How it tells them who the client is; they see its own address where nothing is said.",
    ),
    key("listen", BY_PHASE, "The families that it listens on, where not those of its node."),
];

const LOCKOUT: &[Key] = &[
    required("after", Shape::Number { least: 1, most: 20 }, "After so many failures."),
    key(
        "ipv4",
        Shape::Number { least: 8, most: 32 },
        "How many bits of an IPv4 address tell one source from another; 32 where nothing is said.",
    ),
    key(
        "ipv6",
        Shape::Number { least: 16, most: 64 },
        "The same of IPv6; 64 where nothing is said.",
    ),
];

/// The short form: the published name.
pub(in crate::input) const SHAPE: Shape = Shape::Short { short: &DOMAIN, long: KEYS };

/// A service as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Service {
    pub name: At<ServiceName>,
    pub kind: Option<At<ServiceKind>>,
    pub port: Option<At<u16>>,
    pub on: Option<At<InterfaceName>>,
    pub names: Vec<At<DomainName>>,
    pub path: Option<At<String>>,
    pub loads: Vec<At<String>>,
    pub mirrors: Vec<At<String>>,
    pub crl: Option<At<String>>,
    pub ocsp: Option<At<String>>,
    pub polls: Vec<At<NodeName>>,
    pub engine: Option<At<EngineName>>,
    pub admits: Option<At<Vec<At<String>>>>,
    pub lockout: Option<At<Lockout>>,
    pub fronts: Vec<At<NodeName>>,
    pub tells: Option<At<ProxyProtocol>>,
    pub listen: Vec<InPhase>,
}

fn lockout(table: &Table<'_>) -> Option<At<Lockout>> {
    let entry = table.entry("lockout")?;
    let said = entry.table()?;
    let bits = |key, usual| said.number(key).map_or(usual, |bits| bits.is);
    let after = said.number("after")?.is;
    Some(At {
        is: Lockout { after, ipv4: bits("ipv4", 32), ipv6: bits("ipv6", 64) },
        at: entry.span(),
    })
}

fn admits(table: &Table<'_>) -> Option<At<Vec<At<String>>>> {
    let at = table.entry("admits")?.span();
    Some(At { is: table.list("admits"), at })
}

impl Service {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table().unwrap_or_else(Table::empty);
        let short = if entry.table().is_none() { entry.domain() } else { None };
        Some(Self {
            name: entry.name()?,
            kind: table.one("kind"),
            port: table.number("port"),
            on: table.reference("on"),
            names: short.into_iter().chain(table.domains("name")).collect(),
            path: table.one("path"),
            engine: table.one("engine"),
            loads: table.list("loads"),
            mirrors: table.list("mirrors"),
            crl: table.one("crl"),
            ocsp: table.one("ocsp"),
            polls: table.references("polls"),
            admits: admits(&table),
            lockout: lockout(&table),
            fronts: table.references("fronts"),
            tells: table.one("proxy-protocol"),
            listen: by_phase(&table, "listen"),
        })
    }

    /// What it speaks, by `kind` or by its name.
    pub(in crate::input) fn speaks(&self) -> Option<ServiceKind> {
        let by_name = |kind: &ServiceKind| kind.word() == self.name.is.as_str();
        let named = || ServiceKind::ALL.into_iter().find(by_name);
        self.kind.as_ref().map(|kind| kind.is).or_else(named)
    }

    /// Whether it speaks something, or what it speaks could not be read, which has been complained of.
    pub(in crate::input) fn may_speak(&self, kind: ServiceKind) -> bool {
        self.speaks().is_none_or(|spoken| spoken == kind)
    }

    /// Its port, given or usual.
    pub(in crate::input) fn port(&self) -> Option<u16> {
        let given = self.port.as_ref().map(|port| port.is);
        given.or_else(|| Some(self.speaks()?.usual_port()))
    }
}

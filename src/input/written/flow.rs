//! `[[flow]]`

use crate::{
    input::{
        diagnostic::Span,
        shape::{Key, Shape, key, required},
        table::{At, Entry},
    },
    model::{
        flow::Intent,
        service::{Port, Transport},
    },
};

/// The word for every node of the data plane.
pub(in crate::input) const EVERYWHERE: &str = "everywhere";

const ENDS: Shape = Shape::List { of: &Shape::Text, most: 64 };
const TRAFFIC: Shape = Shape::List { of: &Shape::Text, most: 64 };

pub(in crate::input) const KEYS: &[Key] = &[
    key(
        "name",
        Shape::Text,
        "The name of its rules and findings; `from->to` where nothing is said.",
    ),
    required("from", ENDS, "Who begins: nodes, segments, sites, or `everywhere`.").filled(),
    required("to", ENDS, "Who is reached: nodes, segments, sites, or `everywhere`.").filled(),
    key("allow", TRAFFIC, "What must pass: services, `tcp/8443`, `ping` or `any`."),
    key("deny", TRAFFIC, "What must not pass: services, `tcp/8443`, `ping` or `any`."),
];

/// A flow as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Flow {
    pub at: Span,
    pub name: Option<At<String>>,
    pub from: Vec<At<String>>,
    pub to: Vec<At<String>>,
    pub allow: Vec<At<String>>,
    pub deny: Vec<At<String>>,
    /// Where `allow` and `deny` stand.
    pub said: [Option<Span>; 2],
}

impl Flow {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self {
            at: entry.span(),
            name: table.one("name"),
            from: table.list("from"),
            to: table.list("to"),
            allow: table.list("allow"),
            deny: table.list("deny"),
            said: ["allow", "deny"].map(|key| Some(table.entry(key)?.span())),
        })
    }

    /// Where it says something of an intent.
    pub(in crate::input) fn place(&self, intent: Intent) -> Option<&Span> {
        let [allow, deny] = &self.said;
        match intent {
            Intent::Allow => allow.as_ref(),
            Intent::Deny => deny.as_ref(),
        }
    }

    /// What it says of an intent.
    pub(in crate::input) fn words(&self, intent: Intent) -> &[At<String>] {
        match intent {
            Intent::Allow => &self.allow,
            Intent::Deny => &self.deny,
        }
    }
}

/// `tcp/8443`, `udp/514`.
pub(in crate::input) fn literal(word: &str) -> Option<Port> {
    let (transport, number) = word.split_once('/')?;
    let transport = [Transport::Tcp, Transport::Udp]
        .into_iter()
        .find(|candidate| candidate.to_string() == transport)?;
    Some(Port { transport, number: number.parse().ok().filter(|number| *number > 0)? })
}

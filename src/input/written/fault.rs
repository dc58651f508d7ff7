//! Fault files: `[fault.NAME]` with its phases and one change

use super::words::{
    ADDRESS, DELAY, DOMAIN, FAMILIES, FAMILY, INTERFACE, NET, NODE, PHASE, RATE, REFERENCE,
    SEGMENT, SERVICE, SHARE, parses,
};
use crate::{
    input::shape::{Key, Shape, key, required},
    model::{mac::Mac, management::Quirk, name::FaultName},
};

pub(in crate::input) const KEYS: &[Key] = &[
    key(
        "testbed",
        Shape::Text,
        "The testbed that was found with these faults, as a path from this file; then this file can be walked like a testbed.",
    ),
    key("title", Shape::Text, "What people call the testbed with these faults."),
    key("source", Shape::Text, "The document that tells of them."),
    required(
        "fault",
        Shape::Named {
            noun: "fault",
            check: parses::<FaultName>,
            of: &Shape::Table(FAULT_KEYS),
            most: 1000,
        },
        "Faults: `[fault.portal-forgets-ipv6]`.",
    ),
];

/// The keys of a fault that are not its change.
pub(in crate::input) const NOT_CHANGES: [&str; 2] = ["title", "phase"];

pub(in crate::input) const FAULT_KEYS: &[Key] = &[
    key("title", Shape::Text, "What people call it."),
    required(
        "phase",
        Shape::List { of: &PHASE, most: 4 },
        "The phase or phases in which it is planted; it is gone when the phase is left.",
    )
    .filled(),
    change("listen", &[NODE_KEY, SERVICE_KEY, ONLY], "A service listens on one family only."),
    change("stop", &[NODE_KEY, SERVICE_KEY], "A service stops."),
    change(
        "extra-listener",
        &[
            NODE_KEY,
            required("families", FAMILIES, "The families that it listens on.").filled(),
            required("port", PORT_NUMBER, "The TCP port."),
        ],
        "Something listens that nobody planned.",
    ),
    change("add-rule", RULE, "A rule is put before all others of a chain."),
    change(
        "remove-rule",
        &[
            NODE_KEY,
            required("label", Shape::Text, "The name of a flow, or of built-in rules."),
            key("family", FAMILY, "Only in this family."),
        ],
        "The rules of a label are taken out.",
    ),
    change(
        "open-policy",
        &[NODE_KEY, CHAIN, key("family", FAMILY, "Only for this family.")],
        "What no rule names passes.",
    ),
    change(
        "set-record",
        &[
            NODE_KEY,
            NAME_KEY,
            key("address", ADDRESS, "An A or AAAA record."),
            key("alias", DOMAIN, "A CNAME record."),
            key("pointer", DOMAIN, "A PTR record."),
            key("text", Shape::Text, "A TXT record."),
            key(
                "hints",
                Shape::List { of: &ADDRESS, most: 16 },
                "An HTTPS record that hints at these addresses.",
            ),
        ],
        "A name server says something else.",
    ),
    change("remove-record", &[NODE_KEY, NAME_KEY, FAMILY_KEY], "A name server forgets addresses."),
    change(
        "answer-wrongly",
        &[
            NODE_KEY,
            key("name", DOMAIN, "Only for this name."),
            FAMILY_KEY,
            required("how", Shape::Word(wrong_answers), "How."),
        ],
        "A name server or resolver answers questions for addresses of a family wrongly.",
    ),
    change(
        "refer",
        &[
            NODE_KEY,
            SERVICE_KEY,
            required("how", Shape::Word(|| vec!["loads", "redirects", "lists", "refers"]), "How."),
            required("to", REFERENCE, "To what."),
        ],
        "The page of a web service, or a directory, refers to something else.",
    ),
    change(
        "show-otherwise",
        &[
            NODE_KEY,
            NAME_KEY,
            required("to", NET, "Whoever asks from this prefix."),
            FAMILY_KEY,
            key("address", ADDRESS, "What they are shown; nothing of the family otherwise."),
        ],
        "A name server shows some of those who ask other addresses.",
    ),
    change(
        "resolve-only",
        &[NODE_KEY, required("over", FAMILY, "The family over which it still asks.")],
        "A resolver asks name servers over one family only.",
    ),
    change(
        "synthesize-wrongly",
        &[NODE_KEY, required("how", Shape::Word(wrong_syntheses), "How.")],
        "A resolver synthesizes addresses otherwise than planned.",
    ),
    change(
        "translate-wrongly",
        &[NODE_KEY, required("how", Shape::Word(wrong_translations), "What it leaves out.")],
        "A translator leaves something out.",
    ),
    change(
        "carry-wrongly",
        &[NODE_KEY, required("how", Shape::Word(wrong_tunnels), "How.")],
        "An end of a tunnel does its work worse than it should.",
    ),
    change("remove-route", &[NODE_KEY, TO_NET], "A route is taken out."),
    change(
        "add-route",
        &[NODE_KEY, TO_NET, required("via", ADDRESS, "The next hop.")],
        "A route is added.",
    ),
    change("add-address", &[NODE_KEY, INTERFACE_KEY, ADDRESS_KEY], "An address is added."),
    change("remove-address", &[NODE_KEY, INTERFACE_KEY, ADDRESS_KEY], "An address is taken off."),
    change(
        "set-mtu",
        &[
            NODE_KEY,
            INTERFACE_KEY,
            required("mtu", Shape::Number { least: 68, most: 65_535 }, "Octets."),
        ],
        "An interface gets another MTU.",
    ),
    change(
        "take-resolvers",
        &[NODE_KEY],
        "A host asks the resolvers that Router Advertisements tell of before those that it was given.",
    ),
    change(
        "automatic-tunnel",
        &[
            NODE_KEY,
            required("kind", Shape::Word(|| vec!["6to4", "teredo", "isatap"]), "Which kind."),
        ],
        "A host makes an automatic tunnel, with an address of its kind.",
    ),
    change(
        "set-switch",
        &[
            NODE_KEY,
            required(
                "name",
                Shape::Parsed { what: "a sysctl below `net.ipv4.` or `net.ipv6.`", check: sysctl },
                "The sysctl, for example `net.ipv6.conf.eth0.accept_dad`.",
            ),
            required("value", Shape::Text, "Its value, as text."),
        ],
        "A switch of the kernel is set.",
    ),
    change(
        "rogue-router",
        &[
            required("segment", SEGMENT, "The link."),
            required("prefix", NET, "The prefix that the stranger announces."),
            key("mac", MAC, "Its link-layer address."),
            key("lifetime", Shape::Number { least: 0, most: 9000 }, "Router lifetime in seconds."),
        ],
        "A stranger announces itself as a router.",
    ),
    change(
        "rogue-dhcpv6",
        &[
            required("segment", SEGMENT, "The link."),
            key("mac", MAC, "Its link-layer address."),
            required("dns", ADDRESS, "The resolver that it tells."),
        ],
        "A stranger answers for DHCPv6.",
    ),
    change(
        "dhcpv6-wrongly",
        &[NODE_KEY, required("how", Shape::Word(wrong_leases), "What is wrong.")],
        "A server or relay of DHCPv6 does its duty wrongly.",
    ),
    change(
        "impair",
        &[
            required("segment", SEGMENT, "The link."),
            key("family", FAMILY, "Only frames of this family."),
            key("loss", SHARE, "The share of frames that it loses, in each direction."),
            key("duplicate", SHARE, "The share of frames that arrive twice."),
            key("reorder", SHARE, "The share of frames that others overtake."),
            key("rate", RATE, "How fast it is in each direction."),
            key("delay", DELAY, "How long it takes in each direction."),
            key(
                "class",
                Shape::Number { least: 0, most: 255 },
                "The traffic class that it writes into every packet.",
            ),
        ],
        "A link treats frames worse than planned.",
    ),
    change(
        "guard-wrongly",
        &[
            required("segment", SEGMENT, "A link with `ra-guard`."),
            required(
                "how",
                Shape::Word(|| vec!["off", "first-header", "no-fragments", "cut-chains"]),
                "What it lets pass.",
            ),
        ],
        "A switch guards worse against forged Router Advertisements than it is said to.",
    ),
    change(
        "snoop",
        &[
            required("segment", SEGMENT, "The link."),
            required(
                "how",
                Shape::Word(|| vec!["drops-solicited-node", "no-querier", "by-reports"]),
                "Where frames to groups go.",
            ),
        ],
        "A switch snoops MLD that is not planned to (RFC 4541).",
    ),
    change(
        "advertise-wrongly",
        &[
            NODE_KEY,
            INTERFACE_KEY,
            key("how", Shape::Word(wrong_advertisements), "What differs."),
            key(
                "mtu",
                Shape::Number { least: 1280, most: 65_535 },
                "An MTU that the link does not have, instead of `how`.",
            ),
            key(
                "dns",
                ADDRESS,
                "The IPv6 address of a resolver, which it tells of in place of those of the plan, instead of `how`.",
            ),
        ],
        "A router announces something else than planned.",
    ),
    change(
        "talk",
        &[NODE_KEY, INTERFACE_KEY, FAMILY_KEY, required("to", ADDRESS, "To whom.")],
        "A forgotten device sends packets from time to time.",
    ),
    change(
        "serve-differently",
        &[
            NODE_KEY,
            SERVICE_KEY,
            FAMILY_KEY,
            required("how", Shape::Word(wrong_contents), "How it differs."),
        ],
        "A service shows something else to users of one family.",
    ),
    change(
        "log-wrongly",
        &[
            NODE_KEY,
            SERVICE_KEY,
            required("how", Shape::Word(wrong_logs), "What becomes of the addresses of clients."),
        ],
        "A web service or a syslog sink spoils the addresses of clients in what it writes down or shows.",
    ),
    change(
        "admit-wrongly",
        &[NODE_KEY, SERVICE_KEY, required("how", Shape::Word(wrong_access), "How.")],
        "A service goes wrong about whom its access list lets in.",
    ),
    change(
        "lock-wrongly",
        &[NODE_KEY, SERVICE_KEY, required("how", Shape::Word(wrong_locks), "How.")],
        "A service goes wrong about locking log-ins over IPv6.",
    ),
    change(
        "front-wrongly",
        &[
            NODE_KEY,
            SERVICE_KEY,
            required("site", NODE, "A node behind it."),
            required("how", Shape::Word(wrong_fronts), "How."),
        ],
        "A front passes connections for a site on otherwise than planned.",
    ),
    change(
        "quirk",
        &[NODE_KEY, SERVICE_KEY, required("is", Shape::Word(quirks), "What it does.")],
        "A management product, or a box, does something worse than it should.",
    ),
    change(
        "listen-everywhere",
        &[NODE_KEY, SERVICE_KEY],
        "A service of one interface listens on every address of its node.",
    ),
    change(
        "delay",
        &[
            NODE_KEY,
            SERVICE_KEY,
            FAMILY_KEY,
            required("ms", Shape::Number { least: 1, most: 60_000 }, "How much, in milliseconds."),
        ],
        "A service answers later, to users of one family.",
    ),
];

const fn change(name: &'static str, keys: &'static [Key], about: &'static str) -> Key {
    key(name, Shape::Table(keys), about)
}

const NODE_KEY: Key = required("node", NODE, "Where.");
const SERVICE_KEY: Key = required("service", SERVICE, "Which service.");
const INTERFACE_KEY: Key = required("interface", INTERFACE, "On which interface.");
const NAME_KEY: Key = required("name", DOMAIN, "The owner of the record.");
const FAMILY_KEY: Key = required("family", FAMILY, "Which family.");
const ONLY: Key = required("only", FAMILY, "The family that stays.");
const TO_NET: Key = required("to", NET, "Where to.");
const ADDRESS_KEY: Key =
    required("address", NET, "Address and prefix length: `2001:db8:a:1::99/64`.");
const CHAIN: Key =
    required("chain", Shape::Word(|| vec!["input", "forward", "output"]), "Which chain.");
const PORT_NUMBER: Shape = Shape::Number { least: 1, most: 65_535 };
const MAC: Shape = Shape::Parsed {
    what: "a link-layer address such as `02:00:00:00:00:0a`",
    check: parses::<Mac>,
};
const ICMP_TYPES: Shape = Shape::List { of: &Shape::Number { least: 0, most: 255 }, most: 64 };

const RULE: &[Key] = &[
    NODE_KEY,
    CHAIN,
    key("label", Shape::Text, "The name of the rule; `planted` where nothing is said."),
    key("in", INTERFACE, "Came in by this interface."),
    key("out", INTERFACE, "Leaves by this interface."),
    key("family", FAMILY, "The family of the packet."),
    key("from", NET, "The source."),
    key("to", NET, "The destination."),
    key("transport", Shape::Word(|| vec!["tcp", "udp"]), "The transport, whatever the port."),
    key(
        "protocol",
        Shape::Number { least: 0, most: 255 },
        "Another upper-layer protocol, by its number: 41 carries IPv6.",
    ),
    key(
        "port",
        Shape::Parsed { what: "a port such as `tcp/443`", check: port },
        "The destination port.",
    ),
    key("icmp", ICMP_TYPES, "Types of ICMP.").filled(),
    key("icmpv6", ICMP_TYPES, "Types of ICMPv6.").filled(),
    key(
        "longer-than",
        Shape::Number { least: 20, most: 65_535 },
        "Longer than this many octets, IP header included.",
    ),
    required(
        "then",
        Shape::Word(|| vec!["accept", "drop", "reject", "reset"]),
        "What happens to the packet.",
    ),
];

fn wrong_answers() -> Vec<&'static str> {
    vec![
        "nxdomain",
        "servfail",
        "refused",
        "notimp",
        "silence",
        "malformed",
        "no-soa",
        "mixed-case",
        "drops-edns",
        "late",
    ]
}

fn wrong_advertisements() -> Vec<&'static str> {
    vec![
        "silent",
        "not-on-link",
        "autonomous-inverted",
        "managed-inverted",
        "lifetime-zero",
        "no-farewell",
        "no-dns",
        "no-pref64",
        "other-pref64",
    ]
}

fn wrong_leases() -> Vec<&'static str> {
    vec![
        "silent",
        "no-dns",
        "no-search",
        "outside-prefix",
        "never-renews",
        "forgets-leases",
        "never-rebinds",
        "never-releases",
        "renews-for-less",
        "two-names",
    ]
}

fn wrong_syntheses() -> Vec<&'static str> {
    vec!["off", "other-prefix", "over-native", "other-discovery"]
}

fn wrong_fronts() -> Vec<&'static str> {
    vec!["no-entry", "other-site", "no-client"]
}

fn wrong_translations() -> Vec<&'static str> {
    vec![
        "stopped",
        "no-echo",
        "no-udp",
        "no-too-big",
        "no-fragments",
        "open",
        "no-log",
        "short-timers",
        "forgets-early",
        "logs-outside",
    ]
}

fn wrong_tunnels() -> Vec<&'static str> {
    vec![
        "open-selectors",
        "open-on-arrival",
        "no-errors",
        "class-of-ipv4-alone",
        "no-new-keys",
        "new-keys-for-ipv4-alone",
        "slow-for-ipv6",
        "bound-to-first",
        "lost-on-return",
        "clears-class",
        "takes-a-hop",
        "couples-ipv4-alone",
        "couples-ipv6-alone",
    ]
}

fn wrong_logs() -> Vec<&'static str> {
    vec![
        "no-client",
        "own-address",
        "split-at-colon",
        "column-of-15",
        "mapped",
        "upper-case",
        "zero-padded",
        "by-address",
        "by-ipv4-hosts",
        "as-its-own",
    ]
}

fn wrong_access() -> Vec<&'static str> {
    vec!["mapped", "upper-case", "zero-padded", "without-ipv6", "open-to-ipv6"]
}

fn wrong_locks() -> Vec<&'static str> {
    vec!["each-address", "everybody", "never"]
}

fn wrong_contents() -> Vec<&'static str> {
    vec![
        "stale",
        "other-body",
        "other-headers",
        "unavailable",
        "other-certificate",
        "other-host-key",
        "rejects-brackets",
        "turns-away",
        "lame",
        "ipv4-table",
        "no-starttls",
        "broken-starttls",
    ]
}

fn quirks() -> Vec<&'static str> {
    Quirk::ALL.into_iter().map(Quirk::word).collect()
}

fn port(text: &str) -> Result<(), String> {
    let read = super::flow::literal(text).map(drop);
    read.ok_or_else(|| format!("`{text}` is not a port; write `tcp/443` or `udp/53`"))
}

/// Only switches of the network namespace, and nothing that could leave `/proc/sys/net`.
fn sysctl(text: &str) -> Result<(), String> {
    let word = |word: &str| {
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        !word.is_empty() && word.chars().all(safe)
    };
    let safe = text.len() <= 100
        && ["net.ipv4.", "net.ipv6."].iter().any(|of| text.starts_with(of))
        && text.split('.').all(word);
    safe.then_some(()).ok_or_else(|| {
        format!(
            "`{text}` is no sysctl of a node: they are below `net.ipv4.` and `net.ipv6.`, such as \
             `net.ipv6.conf.eth0.accept_dad`"
        )
    })
}

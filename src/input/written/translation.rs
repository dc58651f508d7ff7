//! `[translation.NAME]`

use std::net::Ipv6Addr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::words::{NODE, NODES, PHASE, net, prefixes, segment_prefix};
use crate::{
    engine::{BUILT_IN, TranslatorEngine},
    input::{
        shape::{Key, Shape, key, required},
        table::{At, Entry},
    },
    model::{
        family::Family,
        name::{EngineName, NodeName, TranslationName},
        phase::Phase,
        translation::Pref64,
    },
};

/// The prefix where none is given: of the block for local use (RFC 8215). The Well-Known Prefix would not do for a lab, whose
/// IPv4 addresses are not global.
const USUAL_PREFIX: Ipv6Net =
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 96);
/// The network, the gateway, one for users, the last.
const LONGEST_POOL: u8 = 30;

pub(in crate::input) const KEYS: &[Key] = &[
    required("by", NODE, "The node that translates; it forwards packets."),
    key(
        "prefix",
        Shape::Parsed {
            what: "a translation prefix such as `2001:db8:64::/96`",
            check: |text| prefix(text).map(drop),
        },
        "The IPv6 addresses that IPv4 hosts get (RFC 6052); 64:ff9b:1::/96 (RFC 8215) otherwise.",
    ),
    required(
        "pool",
        Shape::Parsed {
            what: "an IPv4 prefix such as `192.0.2.64/29`",
            check: |text| pool(text).map(drop),
        },
        "The IPv4 addresses that users with IPv6 get; the gateway takes the first.",
    ),
    key(
        "engine",
        Shape::Word(|| {
            [BUILT_IN].into_iter().chain(TranslatorEngine::all().map(|e| e.name)).collect()
        }),
        "The program that translates, in the place of the NAT64 that is built in.",
    ),
    key("resolvers", NODES, "The nodes whose resolvers synthesize AAAA records (DNS64, RFC 6147)."),
    key(
        "phases",
        Shape::List { of: &PHASE, most: 4 },
        "The phases in which it translates; the IPv6-only one where nothing is said.",
    )
    .filled(),
];

/// A prefix that addresses can be embedded in.
fn prefix(text: &str) -> Result<Pref64, String> {
    match segment_prefix(text, Family::V6)? {
        IpNet::V6(net) => Pref64::try_from(net).map_err(|why| why.to_string()),
        IpNet::V4(_) => Err(format!("`{text}` is IPv4")),
    }
}

fn pool(text: &str) -> Result<Ipv4Net, String> {
    if let Ok(IpNet::V4(net)) = net(text)
        && net.prefix_len() > LONGEST_POOL
    {
        return Err(format!(
            "`{text}` has no address left for users: a pool has a length of at most {LONGEST_POOL}, not {}",
            net.prefix_len()
        ));
    }
    match segment_prefix(text, Family::V4)? {
        IpNet::V4(net) => Ok(net),
        IpNet::V6(_) => Err(format!("`{text}` is IPv6")),
    }
}

/// A translation as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Translation {
    pub name: At<TranslationName>,
    pub by: At<NodeName>,
    /// The translation prefix and the pool, where they can be used.
    pub prefixes: Vec<At<IpNet>>,
    /// The same where they cannot.
    pub misfits: Vec<At<IpNet>>,
    pub resolvers: Vec<At<NodeName>>,
    pub phases: Vec<At<Phase>>,
    pub engine: Option<At<EngineName>>,
}

impl Translation {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        let name: At<TranslationName> = entry.name()?;
        let keys = [("pool", Family::V4), ("prefix", Family::V6)];
        let fits = |text: &str, family| match family {
            Family::V4 => pool(text).map(IpNet::V4),
            Family::V6 => prefix(text).map(|prefix| IpNet::V6(prefix.net())),
        };
        let (mut prefixes, misfits) = prefixes(&table, &keys, fits);
        if table.entry("prefix").is_none() {
            prefixes.push(At { is: IpNet::V6(USUAL_PREFIX), at: name.at.clone() });
        }
        let mut phases = table.list("phases");
        if table.entry("phases").is_none() {
            phases = vec![At { is: Phase::Ipv6Only, at: name.at.clone() }];
        }
        Some(Self {
            by: entry.needed("by")?,
            engine: table.one("engine"),
            resolvers: table.references("resolvers"),
            name,
            prefixes,
            misfits,
            phases,
        })
    }

    /// The prefix of the IPv6 addresses that IPv4 hosts get.
    pub(in crate::input) fn prefix(&self) -> Option<At<Pref64>> {
        self.prefixes.iter().find_map(|prefix| match prefix.is {
            IpNet::V6(net) => Some(At { is: net.try_into().ok()?, at: prefix.at.clone() }),
            IpNet::V4(_) => None,
        })
    }

    /// The IPv4 addresses that users with IPv6 get.
    pub(in crate::input) fn pool(&self) -> Option<At<Ipv4Net>> {
        self.prefixes.iter().find_map(|prefix| match prefix.is {
            IpNet::V4(is) => Some(At { is, at: prefix.at.clone() }),
            IpNet::V6(_) => None,
        })
    }
}

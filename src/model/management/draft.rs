//! What an operator enters for one box, and what a product thinks of it.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::model::{family::Family, tunnel::Relation};

/// What an item of a configuration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// An address of an interface: `lan 2001:db8::1/64`.
    Address,
    /// The address of the box at the other end of a tunnel.
    Peer,
    /// A route: `2001:db8::/32 via 2001:db8::1`.
    Route,
    /// A resolver.
    Dns,
    /// A time server.
    Ntp,
    /// A directory of users.
    Ldap,
    /// A collector of logs.
    Syslog,
    /// What passes: `2001:db8:1::/64 to 2001:db8:2::/64`.
    Filter,
}

impl ItemKind {
    /// The word that people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Peer => "peer",
            Self::Route => "route",
            Self::Dns => "DNS server",
            Self::Ntp => "NTP server",
            Self::Ldap => "LDAP directory",
            Self::Syslog => "syslog collector",
            Self::Filter => "filter rule",
        }
    }
}

/// An item of a configuration as it was entered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Item {
    /// What it is.
    pub kind: ItemKind,
    /// Words and addresses, separated by blanks.
    pub value: String,
}

impl Item {
    /// The same with every address and prefix in its usual textual form (RFC 5952), for comparison.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let words: Vec<_> = self.value.split_whitespace().map(canonical).collect();
        Self { kind: self.kind, value: words.join(" ") }
    }

    /// The family of the addresses in it; `None` if there is none, or if some word only looks like one.
    pub fn family(&self) -> Option<Family> {
        self.value.split_whitespace().find_map(|word| family_of(word).ok().flatten())
    }

    /// Whether it is one of a kind and of a family.
    pub(super) fn is_of(&self, kind: ItemKind, family: Family) -> bool {
        self.kind == kind && self.family() == Some(family)
    }

    /// What is wrong with it, if anything.
    pub(super) fn complaint(&self) -> Option<String> {
        let wrong = self.value.split_whitespace().find_map(|word| family_of(word).err())?;
        Some(format!("{}: {wrong}", self.kind.word()))
    }
}

/// An address or prefix in its usual textual form; any other word as it is.
fn canonical(word: &str) -> String {
    let address = word.parse::<IpAddr>().map(|address| address.to_string());
    let prefix = || word.parse::<IpNet>().map(|prefix| prefix.to_string());
    address.or_else(|_| prefix()).unwrap_or_else(|_| word.to_owned())
}

/// The family of an address or prefix, `None` for a word that is neither. An error is a sentence.
fn family_of(word: &str) -> Result<Option<Family>, String> {
    if let Ok(address) = word.parse::<IpAddr>() {
        return Ok(Some(Family::of(address)));
    }
    if let Ok(prefix) = word.parse::<IpNet>() {
        return Ok(Some(Family::of_net(prefix)));
    }
    if word.contains([':', '/']) {
        return Err(format!("`{word}` is neither an address nor a prefix"));
    }
    Ok(None)
}

/// A pair of subnets as it was entered: the product decides whether it will have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pair {
    /// The subnet behind the box.
    pub local: String,
    /// The subnet behind the other box.
    pub remote: String,
}

impl Pair {
    /// What is wrong with it, if anything.
    pub(super) fn complaint(&self) -> Option<String> {
        let families = (family_of(&self.local), family_of(&self.remote));
        let (Ok(Some(local)), Ok(Some(remote))) = families else {
            return Some(format!("{} and {} are not two subnets", self.local, self.remote));
        };
        let unequal = || format!("{} is {local} and {} is {remote}", self.local, self.remote);
        (local != remote).then(unequal)
    }
}

/// The configuration of one box as an operator drafts it, and as a card carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// The addresses at which the box is managed.
    pub addresses: Vec<IpAddr>,
    /// The port at which it is managed.
    pub port: u16,
    /// What the product knows of the subnets behind the box and behind the other ends of its tunnels, for its proposals.
    #[serde(default)]
    pub known: Vec<Relation>,
    /// What was entered.
    #[serde(default)]
    pub items: Vec<Item>,
    /// What is coupled.
    #[serde(default)]
    pub couples: Vec<Pair>,
}

impl Draft {
    /// Its items with every address in its usual textual form, sorted.
    pub fn canonical_items(&self) -> Vec<Item> {
        let mut items: Vec<_> = self.items.iter().map(Item::canonical).collect();
        items.sort();
        items
    }

    /// What is wrong with it, if anything.
    pub(super) fn complaint(&self) -> Option<String> {
        let items = self.items.iter().find_map(Item::complaint);
        items.or_else(|| self.couples.iter().find_map(Pair::complaint))
    }
}

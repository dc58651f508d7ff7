//! A management product (S2 section 2.2.4) as far as it needs no network: the station on which configurations of VPN boxes
//! are drafted, and the cards that carry them to the boxes. Both are plain state that takes calls and gives replies; the
//! network between them is not here.
//!
//! A draft is what an operator enters for one box; a card is what the box was given of it, and comes back from as often as
//! the box starts.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::family::Family;

/// The most drafts that a station keeps, and cards that a box does: the oldest by name goes first.
const MOST_KEPT: usize = 256;
/// What the product calls itself.
pub const PRODUCT: &str = "sixwalk box manager";
/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// In what a product differs from one that treats both families alike: what the pilots met (S2 sections 2.3.1 to 2.4).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Quirk {
    /// The menu has one field for the management address of a box, for IPv4 or IPv6.
    OneAddress,
    /// An upload waits long for IPv6 before it goes on with IPv4, and says nothing of it.
    SilentFallback,
    /// A couple of unequal families is complained of when the draft is made final, and not before.
    MixedCouples,
    /// The subnet that is proposed for the other side is always IPv4.
    ProposesIpv4,
    /// What is no IPv6 address or prefix is complained of when the draft is made final, and not before.
    LateErrors,
    /// The software does not run on a host that has no IPv4 address.
    NeedsIpv4,
    /// The manual tells of two management addresses and of nothing else that IPv6 needs.
    OldManual,
    /// A box that starts again has lost its IPv6 time servers.
    LosesIpv6Time,
}

impl Quirk {
    /// Every quirk.
    pub const ALL: [Self; 8] = [
        Self::OneAddress,
        Self::SilentFallback,
        Self::MixedCouples,
        Self::ProposesIpv4,
        Self::LateErrors,
        Self::NeedsIpv4,
        Self::OldManual,
        Self::LosesIpv6Time,
    ];

    /// The word of the input files.
    pub fn word(self) -> &'static str {
        match self {
            Self::OneAddress => "one-address",
            Self::SilentFallback => "silent-fallback",
            Self::MixedCouples => "mixed-couples",
            Self::ProposesIpv4 => "proposes-ipv4",
            Self::LateErrors => "late-errors",
            Self::NeedsIpv4 => "needs-ipv4",
            Self::OldManual => "old-manual",
            Self::LosesIpv6Time => "loses-ipv6-time",
        }
    }

    /// Whether it is one of a box, not of the station.
    pub fn is_of_box(self) -> bool {
        self == Self::LosesIpv6Time
    }
}

/// What a manual can claim about IPv6, and a device can do or not.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// A box can be given management addresses of both families.
    TwoAddresses,
    /// Configurations are uploaded over IPv6.
    UploadsOverIpv6,
    /// A couple of unequal families is refused when it is entered.
    RefusesMixedCouples,
    /// The subnet that is proposed for the other side has the family of this side.
    ProposesSameFamily,
    /// What was entered is still there after the box has started again.
    KeepsIpv6Items,
    /// The software runs on a host that has no IPv4 address.
    RunsWithoutIpv4,
}

impl Feature {
    /// Every feature.
    pub const ALL: [Self; 6] = [
        Self::TwoAddresses,
        Self::UploadsOverIpv6,
        Self::RefusesMixedCouples,
        Self::ProposesSameFamily,
        Self::KeepsIpv6Items,
        Self::RunsWithoutIpv4,
    ];

    /// The word of the manual.
    pub fn word(self) -> &'static str {
        match self {
            Self::TwoAddresses => "two-addresses",
            Self::UploadsOverIpv6 => "uploads-over-ipv6",
            Self::RefusesMixedCouples => "refuses-mixed-couples",
            Self::ProposesSameFamily => "proposes-same-family",
            Self::KeepsIpv6Items => "keeps-ipv6-items",
            Self::RunsWithoutIpv4 => "runs-without-ipv4",
        }
    }
}

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Shows.
    Get,
    /// Puts in the place of what is there.
    Put,
    /// Adds, or has something done.
    Post,
}

impl Method {
    /// The word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
        }
    }
}

/// What comes back from a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The status code of HTTP.
    pub status: u16,
    /// JSON. Foreign text.
    pub body: String,
}

impl Reply {
    /// A reply that holds a value.
    pub fn of(status: u16, value: &impl Serialize) -> Self {
        let body = serde_json::to_string(value).unwrap_or_else(|error| error.to_string());
        Self { status, body }
    }

    /// A refusal.
    pub fn refusal(status: u16, complaint: impl Into<String>) -> Self {
        Self::of(status, &Complaint { complaint: complaint.into(), log: Vec::new() })
    }

    /// Whether what was asked for was done.
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The value in it, where it is one of the kind.
    pub fn value<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&self.body).ok()
    }

    /// Why it was refused, in the words of the product.
    pub fn complaint(&self) -> Option<String> {
        self.value::<Complaint>().map(|said| said.complaint)
    }
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// In one sentence.
    pub complaint: String,
    /// What was tried before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

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
    fn complaint(&self) -> Option<String> {
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
    /// The subnets that the product knows of, for its proposals.
    #[serde(default)]
    pub networks: Vec<IpNet>,
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
    fn complaint(&self) -> Option<String> {
        let items = self.items.iter().find_map(complaint_of_item);
        items.or_else(|| self.couples.iter().find_map(Pair::complaint))
    }
}

fn complaint_of_item(item: &Item) -> Option<String> {
    let wrong = item.value.split_whitespace().find_map(|word| family_of(word).err())?;
    Some(format!("{}: {wrong}", item.kind.word()))
}

/// The subnet of this side, to have one proposed for the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// The subnet.
    pub local: IpNet,
}

/// The subnet that the product proposes for the other side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The subnet.
    pub remote: IpNet,
}

/// How an upload went, in the words of the product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The address of the box that took it.
    pub address: IpAddr,
    /// What was noted on the way.
    pub log: Vec<String>,
}

/// What the product is and which version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub product: String,
    /// Its version.
    pub version: String,
}

/// What the manual says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manual {
    /// Its edition.
    pub edition: String,
    /// What it claims.
    pub claims: Vec<Feature>,
}

impl Manual {
    fn of(quirks: &[Quirk]) -> Self {
        let old = quirks.contains(&Quirk::OldManual);
        let claims = if old { vec![Feature::TwoAddresses] } else { Feature::ALL.to_vec() };
        Self { edition: if old { "first".to_owned() } else { VERSION.to_owned() }, claims }
    }
}

/// A call as the product takes it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'c> {
    /// The method.
    pub method: Method,
    /// The path.
    pub path: &'c str,
    /// JSON.
    pub body: &'c str,
}

impl Asked<'_> {
    fn value<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        serde_json::from_str(self.body).map_err(|error| Reply::refusal(400, error.to_string()))
    }
}

/// What a call comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// This goes back.
    Reply(Reply),
    /// A draft is to be written to the card of its box, over the network.
    Upload {
        /// The name of draft and card.
        name: String,
        /// What is written.
        draft: Draft,
    },
}

/// The station: drafts by name.
#[derive(Clone, Debug, Default)]
pub struct Station {
    drafts: BTreeMap<String, Draft>,
}

impl Station {
    /// Takes a call. `has_ipv4` is whether the host of the station has an IPv4 address.
    pub fn take(&mut self, asked: Asked<'_>, quirks: &[Quirk], has_ipv4: bool) -> Deed {
        if quirks.contains(&Quirk::NeedsIpv4) && !has_ipv4 {
            let complaint = "the license service cannot start: this host has no IPv4 address";
            return Deed::Reply(Reply::refusal(503, complaint));
        }
        let parts: Vec<_> = asked.path.trim_matches('/').split('/').collect();
        let done = match (asked.method, parts.as_slice()) {
            (Method::Get, [""]) => Ok(Reply::of(
                200,
                &About { product: PRODUCT.to_owned(), version: VERSION.to_owned() },
            )),
            (Method::Get, ["manual"]) => Ok(Reply::of(200, &Manual::of(quirks))),
            (Method::Put, ["drafts", name]) => self.import(name, asked, quirks),
            (method, ["drafts", name, rest @ ..]) => {
                if let (Method::Post, ["upload"]) = (method, rest)
                    && let Some(draft) = self.drafts.get(*name)
                {
                    return Deed::Upload { name: (*name).to_owned(), draft: draft.clone() };
                }
                self.within(name, rest, asked, quirks)
            }
            _ => Err(nothing_here()),
        };
        Deed::Reply(done.unwrap_or_else(|refusal| refusal))
    }

    /// A whole draft from a file. The file has room for every address, whatever the menu has.
    fn import(&mut self, name: &str, asked: Asked<'_>, quirks: &[Quirk]) -> Result<Reply, Reply> {
        let draft: Draft = asked.value()?;
        draft.items.iter().try_for_each(|item| entry_of_item(item, quirks))?;
        draft.couples.iter().try_for_each(|pair| entry_of_couple(pair, quirks))?;
        keep(&mut self.drafts, name, draft);
        Ok(done())
    }

    fn within(
        &mut self,
        name: &str,
        rest: &[&str],
        asked: Asked<'_>,
        quirks: &[Quirk],
    ) -> Result<Reply, Reply> {
        let draft = self.drafts.get_mut(name).ok_or_else(nothing_here)?;
        match (asked.method, rest) {
            (Method::Get, []) => Ok(Reply::of(200, draft)),
            (Method::Put, ["addresses"]) => {
                let addresses: Vec<IpAddr> = asked.value()?;
                if quirks.contains(&Quirk::OneAddress) && addresses.len() > 1 {
                    let complaint = "the field `management address` holds one IPv4 or IPv6 address";
                    return Err(Reply::refusal(422, complaint));
                }
                draft.addresses = addresses;
                Ok(done())
            }
            (Method::Post, ["items"]) => {
                let item: Item = asked.value()?;
                entry_of_item(&item, quirks)?;
                draft.items.push(item);
                Ok(done())
            }
            (Method::Post, ["couples"]) => {
                let pair: Pair = asked.value()?;
                entry_of_couple(&pair, quirks)?;
                draft.couples.push(pair);
                Ok(done())
            }
            (Method::Post, ["proposal"]) => {
                let Local { local } = asked.value()?;
                let always_v4 = quirks.contains(&Quirk::ProposesIpv4);
                let wanted = if always_v4 { Family::V4 } else { Family::of_net(local) };
                let fits = |net: &&IpNet| **net != local && Family::of_net(**net) == wanted;
                let remote = *draft.networks.iter().find(fits).ok_or_else(|| {
                    Reply::refusal(404, format!("no {wanted} subnet of another side is known"))
                })?;
                Ok(Reply::of(200, &Proposal { remote }))
            }
            (Method::Post, ["final"]) => match draft.complaint() {
                Some(complaint) => Err(Reply::refusal(422, complaint)),
                None => Ok(done()),
            },
            _ => Err(nothing_here()),
        }
    }
}

fn entry_of_item(item: &Item, quirks: &[Quirk]) -> Result<(), Reply> {
    match complaint_of_item(item) {
        Some(complaint) if !quirks.contains(&Quirk::LateErrors) => {
            Err(Reply::refusal(422, complaint))
        }
        _ => Ok(()),
    }
}

fn entry_of_couple(pair: &Pair, quirks: &[Quirk]) -> Result<(), Reply> {
    match pair.complaint() {
        Some(complaint) if !quirks.contains(&Quirk::MixedCouples) => {
            Err(Reply::refusal(422, complaint))
        }
        _ => Ok(()),
    }
}

/// The cards of a box by name.
#[derive(Clone, Debug, Default)]
pub struct Cards {
    cards: BTreeMap<String, Draft>,
}

impl Cards {
    /// Takes a call.
    pub fn take(&mut self, asked: Asked<'_>, quirks: &[Quirk]) -> Reply {
        let parts: Vec<_> = asked.path.trim_matches('/').split('/').collect();
        let taken = match (asked.method, parts.as_slice()) {
            (Method::Get, [""]) => Ok(Reply::of(
                200,
                &About { product: "sixwalk box".to_owned(), version: VERSION.to_owned() },
            )),
            (Method::Put, ["cards", name]) => asked.value().map(|card| {
                keep(&mut self.cards, name, card);
                done()
            }),
            (Method::Get, ["cards", name]) => {
                let card = self.cards.get(*name);
                card.map(|card| Reply::of(200, card)).ok_or_else(nothing_here)
            }
            (Method::Post, ["cards", name, "reload"]) => {
                self.cards.get_mut(*name).map(|card| reload(card, quirks)).ok_or_else(nothing_here)
            }
            _ => Err(nothing_here()),
        };
        taken.unwrap_or_else(|refusal| refusal)
    }
}

/// The box starts again with what its card holds.
fn reload(card: &mut Draft, quirks: &[Quirk]) -> Reply {
    if quirks.contains(&Quirk::LosesIpv6Time) {
        let lost = |item: &Item| item.kind == ItemKind::Ntp && item.family() == Some(Family::V6);
        card.items.retain(|item| !lost(item));
    }
    done()
}

fn keep(kept: &mut BTreeMap<String, Draft>, name: &str, draft: Draft) {
    if kept.len() >= MOST_KEPT && !kept.contains_key(name) {
        kept.pop_first();
    }
    kept.insert(name.to_owned(), draft);
}

fn done() -> Reply {
    Reply { status: 200, body: "{}".to_owned() }
}

fn nothing_here() -> Reply {
    Reply::refusal(404, "there is nothing of the kind here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(station: &mut Station, method: Method, path: &str, body: &str, q: &[Quirk]) -> Reply {
        match station.take(Asked { method, path, body }, q, true) {
            Deed::Reply(reply) => reply,
            Deed::Upload { .. } => panic!("nothing is uploaded here"),
        }
    }

    const EMPTY: &str = r#"{"addresses":[],"port":8081,"networks":["10.1.0.0/24","10.2.0.0/24",
        "2001:db8:a::/64","2001:db8:b::/64"]}"#;

    fn step(quirks: &[Quirk], path: &str, body: &str) -> (u16, u16) {
        let mut station = Station::default();
        assert!(call(&mut station, Method::Put, "/drafts/x", EMPTY, quirks).is_done());
        let entered = call(&mut station, Method::Post, &format!("/drafts/x/{path}"), body, quirks);
        let end = call(&mut station, Method::Post, "/drafts/x/final", "", quirks);
        (entered.status, end.status)
    }

    #[test]
    fn unequal_families_are_refused_at_entry_or_with_the_quirk_at_the_end() {
        let mixed = r#"{"local":"10.1.0.0/24","remote":"2001:db8:b::/64"}"#;
        assert_eq!(step(&[], "couples", mixed), (422, 200));
        assert_eq!(step(&[Quirk::MixedCouples], "couples", mixed), (200, 422));
        let equal = r#"{"local":"2001:db8:a::/64","remote":"2001:db8:b::/64"}"#;
        assert_eq!(step(&[], "couples", equal), (200, 200));
    }

    #[test]
    fn nonsense_is_refused_at_entry_or_with_the_quirk_at_the_end() {
        for value in ["2001:db8::g", "2001:db8::/129", "2001:db8::1::2"] {
            let item = format!(r#"{{"kind":"ntp","value":"{value}"}}"#);
            assert_eq!(step(&[], "items", &item), (422, 200), "{value}");
            assert_eq!(step(&[Quirk::LateErrors], "items", &item), (200, 422), "{value}");
        }
    }

    #[test]
    fn a_proposal_has_the_family_of_this_side_or_with_the_quirk_always_ipv4() {
        for (quirks, remote) in
            [(&[][..], "2001:db8:b::/64"), (&[Quirk::ProposesIpv4], "10.1.0.0/24")]
        {
            let mut station = Station::default();
            call(&mut station, Method::Put, "/drafts/x", EMPTY, quirks);
            let local = r#"{"local":"2001:db8:a::/64"}"#;
            let path = "/drafts/x/proposal";
            let said = call(&mut station, Method::Post, path, local, quirks);
            let proposal: Proposal = said.value().unwrap();
            assert_eq!(proposal.remote.to_string(), remote);
        }
    }

    #[test]
    fn items_are_compared_by_what_they_mean() {
        let item = |value: &str| Item { kind: ItemKind::Dns, value: value.to_owned() };
        let spelt = item("2001:0DB8:0:0:0:0:0:1");
        assert_eq!(spelt.canonical(), item("2001:db8::1"));
        assert_eq!(spelt.family(), Some(Family::V6));
        assert_eq!(item("lan").family(), None);
    }
}

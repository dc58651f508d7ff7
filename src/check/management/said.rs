//! What an operator says to a product.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::{Conversation, Product};
use crate::model::{
    family::Family,
    management::{Draft, Integration, Item, ItemKind, Local, Method, Pair},
};

/// What is no IPv6 address or prefix (RFC 4291 section 2.2): a digit that is none, a prefix that is too long, `::` twice.
pub(in crate::check) const NONSENSE: [&str; 3] =
    ["2001:db8::g", "2001:db8::/129", "2001:db8::1::2"];

const NOBODY: &str = "which nobody has";

/// How many addresses of a link are looked at for one that is free.
const MOST_HOSTS: usize = 1024;

/// Two addresses for an upload.
#[derive(Clone, Copy)]
pub(in crate::check) struct Try {
    /// The name of the call.
    pub(in crate::check) name: &'static str,
    /// The IPv4 address.
    pub(in crate::check) v4: IpAddr,
    /// The IPv6 address.
    pub(in crate::check) v6: IpAddr,
    /// Which of them answers first, or at all.
    pub(in crate::check) wanted: IpAddr,
    /// Why the other one does not; `None` where it does.
    pub(in crate::check) dead: Option<&'static str>,
}

impl Try {
    /// The address that is not wanted.
    pub(in crate::check) fn other(&self) -> IpAddr {
        if self.wanted == self.v6 { self.v4 } else { self.v6 }
    }
}

impl Product<'_> {
    /// The configuration of the box of this phase, from the menu to the box and back, and the same as a file.
    pub(in crate::check) fn configuration(&self) -> Conversation {
        let mut said = Conversation::of(self);
        let station = self.socket();
        // Two stations write to one box, each its own card.
        let name = format!("configuration-{}-{}", self.station.name, self.device.name);
        let draft = |rest: &str| format!("/drafts/{name}{rest}");
        let addresses = self.planned_addresses();
        said.say("new", station, Method::Put, draft(""), &self.empty());
        let one = &addresses[..addresses.len().min(1)];
        said.say("one address", station, Method::Put, draft("/addresses"), &one);
        said.say("addresses", station, Method::Put, draft("/addresses"), &addresses);
        said.say("draft", station, Method::Get, draft(""), &());
        let (items, couples) = (self.items(), self.couples());
        for (at, item) in items.iter().enumerate() {
            said.say(format!("item {at}"), station, Method::Post, draft("/items"), item);
        }
        for (at, pair) in couples.iter().enumerate() {
            said.say(format!("couple {at}"), station, Method::Post, draft("/couples"), pair);
        }
        said.say("final", station, Method::Post, draft("/final"), &());
        said.say("upload", station, Method::Post, draft("/upload"), &());
        let (device, card) = (self.device_socket(), format!("/cards/{name}"));
        said.say("card", device, Method::Get, card.clone(), &());
        said.say("reload", device, Method::Post, format!("{card}/reload"), &());
        said.say("card again", device, Method::Get, card, &());
        let whole = Draft { addresses, items, couples, ..self.empty() };
        let file = format!("/drafts/file-{}", self.device.name);
        said.say("file", station, Method::Put, file.clone(), &whole);
        said.say("file again", station, Method::Get, file, &());
        said
    }

    /// Couples, proposals and nonsense, and what the manual says of it all.
    pub(in crate::check) fn entries(&self) -> Conversation {
        let mut said = Conversation::of(self);
        let station = self.socket();
        let draft = |said: &mut Conversation, what: &str| {
            let path = format!("/drafts/entries-{what}");
            said.say(format!("new {what}"), station, Method::Put, path.clone(), &self.empty());
            path
        };
        let path = draft(&mut said, "couple");
        if let Some(pair) = self.unequal() {
            said.say("couple", station, Method::Post, format!("{path}/couples"), &pair);
            said.say("couple final", station, Method::Post, format!("{path}/final"), &());
        }
        for relation in self.relations() {
            let (local, name) = (Local { local: relation.here }, proposal(relation.here));
            said.say(name, station, Method::Post, format!("{path}/proposal"), &local);
        }
        for (at, value) in NONSENSE.into_iter().enumerate() {
            let path = draft(&mut said, &format!("nonsense-{at}"));
            let item = Item { kind: ItemKind::Dns, value: value.to_owned() };
            said.say(
                format!("{value} entered"),
                station,
                Method::Post,
                format!("{path}/items"),
                &item,
            );
            said.say(format!("{value} final"), station, Method::Post, format!("{path}/final"), &());
        }
        said.say("manual", station, Method::Get, "/manual".to_owned(), &());
        said.say("about", station, Method::Get, "/".to_owned(), &());
        said
    }

    /// An IPv4 subnet of this side and an IPv6 subnet of the other, where the plan couples both.
    pub(in crate::check) fn unequal(&self) -> Option<Pair> {
        let relations = self.relations();
        let of = |family| relations.iter().find(move |relation| relation.family() == family);
        let (local, remote) = (of(Family::V4)?.here, of(Family::V6)?.there);
        Some(Pair { local: local.to_string(), remote: remote.to_string() })
    }

    /// What uploads are tried with: the addresses of the box; an IPv6 address that nobody has, or at which nothing listens,
    /// beside the IPv4 address of the box; and the other way round, for a product that begins with IPv4. `None` where station
    /// or box lack a family.
    pub(in crate::check) fn tries(&self) -> Option<Vec<Try>> {
        let both = Family::ALL.into_iter().all(|family| {
            self.stage.listens(self.station, self.manager, family)
                && self.stage.listens(self.device, self.port, family)
        });
        let nobody = self.nobody(Family::V6).filter(|_| both)?;
        let [v4, v6] = Family::ALL.map(|family| self.at(self.device, self.port, family).ip());
        let closed = self.at(self.station, self.manager, Family::V6).ip();
        let without = |name, v6, why| Try { name, v4, v6, wanted: v4, dead: Some(why) };
        let mut tries = vec![
            Try { name: "both", v4, v6, wanted: v6, dead: None },
            without("nobody", nobody, NOBODY),
            without("closed", closed, "at which nothing listens"),
        ];
        tries.extend(self.nobody(Family::V4).map(|nobody| Try {
            name: "nobody else",
            v4: nobody,
            v6,
            wanted: v6,
            dead: Some(NOBODY),
        }));
        Some(tries)
    }

    /// Uploads to the box with all of them.
    pub(in crate::check) fn uploads(&self) -> Option<Conversation> {
        let mut said = Conversation::of(self);
        let to = self.socket();
        for Try { name, v4, v6, .. } in self.tries()? {
            let word = name.replace(' ', "-");
            let path = format!("/drafts/upload-{word}-{}-{}", self.station.name, self.device.name);
            let draft = Draft { addresses: vec![v4, v6], ..self.empty() };
            said.say(format!("new {name}"), to, Method::Put, path.clone(), &draft);
            said.say(name, to, Method::Post, format!("{path}/upload"), &());
        }
        Some(said)
    }

    /// An address on the link of station and box that no node has.
    fn nobody(&self, family: Family) -> Option<IpAddr> {
        let own = self.at(self.device, self.port, family).ip();
        let (_, interface) = self.stage.owner(own)?;
        let net = interface.addresses.iter().find(|address| address.ip() == own)?.net;
        let free = |ip: &IpAddr| net.contains(ip) && self.stage.owner(*ip).is_none();
        match net {
            IpNet::V4(net) => net.hosts().take(MOST_HOSTS).map(IpAddr::V4).filter(free).last(),
            IpNet::V6(net) => {
                let first = u128::from(net.network());
                let mut hosts = (0xdead..0xdf00_u128).map(|host| Ipv6Addr::from(first | host));
                hosts.find_map(|ip| Some(IpAddr::V6(ip)).filter(free))
            }
        }
    }

    /// The box is as it comes from the factory.
    pub(in crate::check) fn factory(&self) -> Conversation {
        let mut said = Conversation::of(self);
        said.say("factory", self.device_socket(), Method::Post, "/factory".to_owned(), &());
        said
    }

    /// The box is given an integration file so many times, and shows what it has made of it.
    pub(in crate::check) fn given(&self, file: &Integration, times: u8) -> Conversation {
        let mut said = Conversation::of(self);
        let (to, path) = (self.device_socket(), || "/integration".to_owned());
        said.say("about", to, Method::Get, "/".to_owned(), &());
        for _ in 0..times {
            said.say("file", to, Method::Put, path(), file);
        }
        said.say("taken", to, Method::Get, path(), &());
        said
    }

    /// Whether the software answers at all, asked over one family.
    pub(in crate::check) fn about(&self, family: Family) -> Conversation {
        let mut said = Conversation::of(self);
        let to = self.at(self.station, self.manager, family);
        said.say("about", to, Method::Get, "/".to_owned(), &());
        said
    }
}

/// The name of the call for a proposal.
pub(in crate::check) fn proposal(local: IpNet) -> String {
    format!("proposal for {local}")
}

//! The station: drafts by name, and what its menu does with them.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    About, Asked, Draft, Item, ItemKind, Manual, Method, PRODUCT, Pair, Quirk, Reply, VERSION, keep,
};
use crate::model::family::Family;

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
            _ => Err(Reply::nothing_here()),
        };
        Deed::Reply(done.unwrap_or_else(|refusal| refusal))
    }

    /// A whole draft from a file. The file has room for every address, whatever the menu has.
    fn import(&mut self, name: &str, asked: Asked<'_>, quirks: &[Quirk]) -> Result<Reply, Reply> {
        let draft: Draft = asked.value()?;
        draft.items.iter().try_for_each(|item| entry_of_item(item, quirks))?;
        draft.couples.iter().try_for_each(|pair| entry_of_couple(pair, quirks))?;
        keep(&mut self.drafts, name, draft);
        Ok(Reply::done())
    }

    fn within(
        &mut self,
        name: &str,
        rest: &[&str],
        asked: Asked<'_>,
        quirks: &[Quirk],
    ) -> Result<Reply, Reply> {
        let draft = self.drafts.get_mut(name).ok_or_else(Reply::nothing_here)?;
        match (asked.method, rest) {
            (Method::Get, []) => Ok(Reply::of(200, draft)),
            (Method::Put, ["addresses"]) => {
                let addresses: Vec<IpAddr> = asked.value()?;
                if quirks.contains(&Quirk::OneAddress) && addresses.len() > 1 {
                    let complaint = "the field `management address` holds one IPv4 or IPv6 address";
                    return Err(Reply::refusal(422, complaint));
                }
                draft.addresses = addresses;
                Ok(Reply::done())
            }
            (Method::Post, ["items"]) => {
                let item: Item = asked.value()?;
                entry_of_item(&item, quirks)?;
                draft.items.push(item);
                Ok(Reply::done())
            }
            (Method::Post, ["couples"]) => {
                let pair: Pair = asked.value()?;
                entry_of_couple(&pair, quirks)?;
                draft.couples.push(pair);
                Ok(Reply::done())
            }
            (Method::Post, ["proposal"]) => {
                let Local { local } = asked.value()?;
                let remote = proposal(draft, local, quirks)?;
                Ok(Reply::of(200, &Proposal { remote }))
            }
            (Method::Post, ["final"]) => match draft.complaint() {
                Some(complaint) => Err(Reply::refusal(422, complaint)),
                None => Ok(Reply::done()),
            },
            _ => Err(Reply::nothing_here()),
        }
    }
}

/// The subnet to propose for the other side: the one that this side is coupled with, or else any that is there.
fn proposal(draft: &Draft, local: IpNet, quirks: &[Quirk]) -> Result<IpNet, Reply> {
    if quirks.contains(&Quirk::ProposesOwnSide) {
        return Ok(local);
    }
    let always_v4 = quirks.contains(&Quirk::ProposesIpv4);
    let wanted = if always_v4 { Family::V4 } else { Family::of_net(local) };
    let none = quirks.contains(&Quirk::ProposesNoIpv6) && wanted == Family::V6;
    let mut fits = draft.known.iter().filter(|known| known.family() == wanted && !none);
    let coupled = fits.clone().find(|known| known.here == local);
    coupled
        .or_else(|| fits.next())
        .map(|known| known.there)
        .ok_or_else(|| Reply::refusal(404, format!("no {wanted} subnet of another side is known")))
}

fn entry_of_item(item: &Item, quirks: &[Quirk]) -> Result<(), Reply> {
    match item.complaint() {
        Some(complaint) if !quirks.contains(&Quirk::LateErrors) => {
            Err(Reply::refusal(422, complaint))
        }
        None if quirks.contains(&Quirk::NoIpv6Time) && item.is_of(ItemKind::Ntp, Family::V6) => {
            let complaint = "the field `NTP server` takes IPv4 addresses only";
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

#[cfg(test)]
mod tests {
    use super::*;

    fn call(station: &mut Station, method: Method, path: &str, body: &str, q: &[Quirk]) -> Reply {
        match station.take(Asked { method, path, body }, q, true) {
            Deed::Reply(reply) => reply,
            Deed::Upload { .. } => panic!("nothing is uploaded here"),
        }
    }

    const EMPTY: &str = r#"{"addresses":[],"port":8081,"known":[
        {"here":"10.1.0.0/24","there":"10.2.0.0/24"},{"here":"10.1.1.0/24","there":"10.2.0.0/24"},
        {"here":"2001:db8:c::/64","there":"2001:db8:d::/64"},
        {"here":"2001:db8:a::/64","there":"2001:db8:b::/64"}]}"#;

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
    fn an_ipv6_time_server_is_taken_or_with_the_quirk_refused_and_nothing_else_is() {
        let item = |kind, value| format!(r#"{{"kind":"{kind}","value":"{value}"}}"#);
        let v6 = item("ntp", "2001:db8::1");
        assert_eq!(step(&[], "items", &v6), (200, 200));
        assert_eq!(step(&[Quirk::NoIpv6Time], "items", &v6), (422, 200));
        for other in [item("ntp", "10.1.0.1"), item("dns", "2001:db8::1")] {
            assert_eq!(step(&[Quirk::NoIpv6Time], "items", &other), (200, 200), "{other}");
        }
    }

    #[test]
    fn a_proposal_is_of_the_other_side_and_of_the_family_of_this_one_but_for_the_quirks() {
        for (quirks, remote) in [
            (&[][..], "2001:db8:b::/64"),
            (&[Quirk::ProposesIpv4], "10.2.0.0/24"),
            (&[Quirk::ProposesOwnSide], "2001:db8:a::/64"),
        ] {
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
    fn no_subnet_is_proposed_for_ipv6_with_the_quirk_and_for_ipv4_all_the_same() {
        for (local, status) in [("2001:db8:a::/64", 404), ("10.1.0.0/24", 200)] {
            let mut station = Station::default();
            let quirks = &[Quirk::ProposesNoIpv6];
            call(&mut station, Method::Put, "/drafts/x", EMPTY, quirks);
            let local = format!(r#"{{"local":"{local}"}}"#);
            let said = call(&mut station, Method::Post, "/drafts/x/proposal", &local, quirks);
            assert_eq!(said.status, status, "{said:?}");
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

//! What a box keeps: the cards that carry drafts to it, and the integration file that it was given.

use std::collections::BTreeMap;

use super::{About, Asked, Draft, Integration, Item, Method, Quirk, Reply, VERSION, keep};
use crate::model::family::Family;

/// The cards of a box by name, and its integration file.
#[derive(Clone, Debug, Default)]
pub struct Cards {
    by_name: BTreeMap<String, Draft>,
    integration: Option<Integration>,
    /// How many integration files it was given since it came from the factory.
    uploads: u32,
}

/// What a call to a box comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// This goes back.
    Reply(Reply),
    /// Its tunnels end: it is as it comes from the factory.
    Blank,
    /// It makes its end of a tunnel of this.
    Integrate(Box<Integration>),
}

impl Cards {
    /// Takes a call.
    pub fn take(&mut self, asked: Asked<'_>, quirks: &[Quirk]) -> Setting {
        let parts: Vec<_> = asked.path.trim_matches('/').split('/').collect();
        let taken = match (asked.method, parts.as_slice()) {
            (Method::Post, ["factory"]) => {
                *self = Self::default();
                return Setting::Blank;
            }
            (Method::Put, ["integration"]) => match asked.value::<Integration>() {
                Ok(file) if quirks.contains(&Quirk::RefusesIpv6) && file.has(Family::V6) => {
                    let complaint = "the integration file holds an address that is not of IPv4";
                    Err(Reply::refusal(422, complaint))
                }
                Ok(file) => {
                    return Setting::Integrate(Box::new(self.integrate(file, quirks)));
                }
                Err(refusal) => Err(refusal),
            },
            (Method::Get, ["integration"]) => {
                let taken = self.integration.as_ref();
                taken.map(|file| Reply::of(200, file)).ok_or_else(Reply::nothing_here)
            }
            _ => self.card(asked, &parts, quirks),
        };
        Setting::Reply(taken.unwrap_or_else(|refusal| refusal))
    }

    fn integrate(&mut self, file: Integration, quirks: &[Quirk]) -> Integration {
        self.uploads = self.uploads.saturating_add(1);
        let taken = file.taken(self.uploads, quirks);
        self.integration = Some(taken.clone());
        taken
    }

    fn card(&mut self, asked: Asked<'_>, parts: &[&str], quirks: &[Quirk]) -> Result<Reply, Reply> {
        match (asked.method, parts) {
            (Method::Get, [""]) => Ok(Reply::of(
                200,
                &About { product: "sixwalk box".to_owned(), version: VERSION.to_owned() },
            )),
            (Method::Put, ["cards", name]) => asked.value().map(|card| {
                keep(&mut self.by_name, name, card);
                Reply::done()
            }),
            (Method::Get, ["cards", name]) => {
                let card = self.by_name.get(*name);
                card.map(|card| Reply::of(200, card)).ok_or_else(Reply::nothing_here)
            }
            (Method::Post, ["cards", name, "reload"]) => self
                .by_name
                .get_mut(*name)
                .map(|card| reload(card, quirks))
                .ok_or_else(Reply::nothing_here),
            _ => Err(Reply::nothing_here()),
        }
    }
}

/// The box starts again with what its card holds.
fn reload(card: &mut Draft, quirks: &[Quirk]) -> Reply {
    let lost = |item: &Item| {
        let of_kind = quirks.iter().any(|quirk| quirk.loses() == Some(item.kind));
        of_kind && item.family() == Some(Family::V6)
    };
    card.items.retain(|item| !lost(item));
    Reply::done()
}

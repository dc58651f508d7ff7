//! The cards of a box, which carry drafts to it.

use std::collections::BTreeMap;

use super::{About, Asked, Draft, Item, Method, Quirk, Reply, VERSION, keep};
use crate::model::family::Family;

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
                Reply::done()
            }),
            (Method::Get, ["cards", name]) => {
                let card = self.cards.get(*name);
                card.map(|card| Reply::of(200, card)).ok_or_else(Reply::nothing_here)
            }
            (Method::Post, ["cards", name, "reload"]) => self
                .cards
                .get_mut(*name)
                .map(|card| reload(card, quirks))
                .ok_or_else(Reply::nothing_here),
            _ => Err(Reply::nothing_here()),
        };
        taken.unwrap_or_else(|refusal| refusal)
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

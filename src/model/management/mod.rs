//! A management product (S2 section 2.2.4) as far as it needs no network: the station on which configurations of VPN boxes
//! are drafted, and the cards that carry them to the boxes. Both are plain state that takes calls and gives replies; the
//! network between them is not here.
//!
//! A draft is what an operator enters for one box; a card is what the box was given of it, and comes back from as often as
//! the box starts. An integration file has the data of both ends of a tunnel, and a box makes its end of it.

mod quirk;
mod manual;
mod call;
mod draft;
mod integration;
mod upload;
mod station;
mod card;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use call::{Asked, Complaint, Method, Reply};
pub use card::{Cards, Setting};
pub use draft::{Draft, Item, ItemKind, Pair};
pub use integration::{Integration, Site};
pub use manual::{Claim, Feature, Manual};
pub use quirk::Quirk;
pub use station::{Deed, Local, Proposal, Station};
pub use upload::{Manner, Uploaded};

/// The most drafts that a station keeps, and cards that a box does: the oldest by name goes first.
const MOST_KEPT: usize = 256;
/// What the product calls itself.
pub const PRODUCT: &str = "sixwalk box manager";
/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the product is and which version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its name.
    pub product: String,
    /// Its version.
    pub version: String,
}

/// Keeps a draft or a card; the oldest by name makes room.
fn keep(kept: &mut BTreeMap<String, Draft>, name: &str, draft: Draft) {
    if kept.len() >= MOST_KEPT && !kept.contains_key(name) {
        kept.pop_first();
    }
    kept.insert(name.to_owned(), draft);
}

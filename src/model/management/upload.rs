//! How a product writes a draft to the card of its box: by which address, and what it says of it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Draft, Quirk};
use crate::model::family::Family;

/// How an upload went, in the words of the product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// The address of the box that took it.
    pub address: IpAddr,
    /// What was noted on the way.
    pub log: Vec<String>,
}

/// How a product uploads.
#[derive(Clone, Copy, Debug)]
pub struct Manner<'q>(&'q [Quirk]);

impl<'q> Manner<'q> {
    /// That of a product with these quirks.
    pub fn of(quirks: &'q [Quirk]) -> Self {
        Self(quirks)
    }

    fn is(self, quirk: Quirk) -> bool {
        self.0.contains(&quirk)
    }

    /// The addresses that are tried, one after the other: IPv6 first.
    pub fn tries(self, draft: &Draft) -> Vec<IpAddr> {
        let first = if self.is(Quirk::Ipv4First) { Family::V4 } else { Family::V6 };
        let mut addresses = draft.addresses.clone();
        addresses.sort_by_key(|address| Family::of(*address) != first);
        if self.is(Quirk::NoFallback) {
            addresses.truncate(1);
        }
        addresses
    }

    /// Whether it waits long for an address behind which nobody is.
    pub fn waits(self) -> bool {
        self.is(Quirk::SilentFallback)
    }

    /// What it says of what it noted on the way.
    pub fn says(self, log: Vec<String>) -> Vec<String> {
        let silent = self.waits() || self.is(Quirk::UntoldFallback);
        if silent { vec!["written".to_owned()] } else { log }
    }
}

//! `[[claim]]`

use super::words::NODE;
use crate::{
    input::{
        shape::{Key, Shape, key, required},
        table::{At, Entry},
    },
    model::{management::Feature, name::NodeName},
};

const FEATURE: Shape = Shape::Word(|| Feature::ALL.into_iter().map(Feature::word).collect());
const FEATURES: Shape = Shape::List { of: &FEATURE, most: 16 };

pub(in crate::input) const KEYS: &[Key] = &[
    required("of", NODE, "The node whose management software is spoken of."),
    required("document", Shape::Text, "What says it, with edition or date."),
    key("place", Shape::Text, "Where in the document: a page or a section."),
    required("says", FEATURES, "What the software is said to do.").filled(),
];

/// A claim as written.
#[derive(Clone, Debug)]
pub(in crate::input) struct Claim {
    pub of: At<NodeName>,
    pub document: Option<At<String>>,
    pub place: Option<At<String>>,
    pub says: Vec<At<Feature>>,
}

impl Claim {
    pub(super) fn read(entry: &Entry<'_>) -> Option<Self> {
        let table = entry.table()?;
        Some(Self {
            of: entry.needed("of")?,
            document: table.one("document"),
            place: table.one("place"),
            says: table.list("says"),
        })
    }
}

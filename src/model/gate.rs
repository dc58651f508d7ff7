//! Gates: what must hold before a walk goes on from a phase.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::finding::Severity;

/// The gate at the end of a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Gate {
    /// The ids of the checks that must pass.
    pub require: Vec<String>,
    /// The worst finding that may stay open; `None` if none may.
    pub at_most: Option<Severity>,
}

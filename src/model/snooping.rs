//! Switches that snoop MLD (RFC 4541 section 3), so that frames to a group reach its listeners alone.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a switch snoops that is not planned to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Snooping {
    /// Frames to solicited-node groups go nowhere, whoever reports them.
    DropsSolicitedNode,
    /// Frames to solicited-node groups go where they were reported: as it should be, and no fault.
    ByReports,
}

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
    /// They go where they were reported, and nobody asks for reports: the switch has forgotten what it was told before.
    NoQuerier,
    /// They go where they were reported, and the switch itself asks for reports: as it should be, and no fault.
    ByReports,
}

//! Monitoring: the status page of a web service, and whom it asks.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{NodeName, ServiceName};

/// A management agent at one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Agent {
    /// Whose it is.
    pub node: NodeName,
    /// Where it is asked.
    pub at: SocketAddr,
}

/// What a status page is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Watch {
    /// The web service that shows the page.
    pub service: ServiceName,
    /// Every agent at every address that it has in the phase.
    pub agents: Vec<Agent>,
}

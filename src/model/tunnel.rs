//! Tunnels between sites as declared objects (S2 section 2.2): who ends them, over what, and what they couple.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    family::Family,
    name::{NodeName, TunnelName},
};

/// A pair of subnets that a tunnel couples: of one family, never of two (S2 section 2.3.2, RFC 4301 section 4.4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Relation {
    /// The subnet behind the first gateway.
    pub here: IpNet,
    /// The subnet behind the second gateway.
    pub there: IpNet,
}

/// A LAN-to-LAN tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tunnel {
    /// Its name in the file.
    pub name: TunnelName,
    /// The gateways that end it.
    pub between: [NodeName; 2],
    /// The families that may carry it, first choice first.
    pub outer: Vec<Family>,
    /// What it couples.
    pub relations: Vec<Relation>,
}

//! Fronts: services that pass connections on by the name that users ask for, so that users of one family reach sites that
//! have the other alone (RFC 7381 section 3.4; S4, the inbound proxy). Nothing is decrypted: TLS is told apart by its server
//! name (RFC 6066 section 3), HTTP by its Host header.

use std::net::{IpAddr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::{DomainName, NodeName, ServiceName};

/// How a front tells a site who the client is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyProtocol {
    /// PROXY protocol, version 1: a line of text.
    V1,
    /// PROXY protocol, version 2: octets.
    V2,
}

impl ProxyProtocol {
    /// Every version.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The word of the input files.
    pub fn word(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        }
    }
}

/// A service as the testbed means it, where it passes on what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Front {
    /// The nodes whose services of the same kind it stands before.
    pub sites: Vec<NodeName>,
    /// The published names of those services: a user of the front asks for one of them.
    pub names: Vec<DomainName>,
    /// How sites are told who the client is; `None` leaves them with the address of the front.
    pub tells: Option<ProxyProtocol>,
}

/// A site as a front is told of it in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// The node.
    pub node: NodeName,
    /// The names that lead there.
    pub names: Vec<DomainName>,
    /// Where it listens; tried in this order.
    pub at: Vec<SocketAddr>,
}

/// What a front is told in a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fronted {
    /// The sites that live.
    pub sites: Vec<Site>,
    /// How they are told who the client is.
    pub tells: Option<ProxyProtocol>,
}

impl Fronted {
    /// The site of a name.
    pub fn site(&self, name: &str) -> Option<&Site> {
        let is = |known: &DomainName| known.as_str().eq_ignore_ascii_case(name);
        self.sites.iter().find(|site| site.names.iter().any(is))
    }
}

/// What the services of a node have to do with fronts in a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fronts {
    /// What its own fronts pass on.
    pub passes: Vec<(ServiceName, Fronted)>,
    /// The fronts that tell its services who the client is: from no other address is that believed.
    pub believes: Vec<(ServiceName, Vec<IpAddr>)>,
}

impl Fronts {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.passes.is_empty() && self.believes.is_empty()
    }
}

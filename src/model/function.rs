//! What nodes do for the network beside offering services, and a real program can do in their place.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{name::NodeName, segment::Segment};

/// What a node does for the links that it is on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Function {
    /// Router Advertisements (RFC 4861 section 6.2).
    Advertisements,
    /// DHCPv6, as server or as relay (RFC 8415).
    Dhcpv6,
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 2] = [Self::Advertisements, Self::Dhcpv6];

    /// The word of the input files, for example `advertisements`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Advertisements => "advertisements",
            Self::Dhcpv6 => "dhcpv6",
        }
    }

    /// Whether a node is to do it on some of these segments.
    pub fn is_of<'s>(
        self,
        node: &NodeName,
        segments: impl IntoIterator<Item = &'s Segment>,
    ) -> bool {
        segments.into_iter().any(|segment| match self {
            Self::Advertisements => {
                segment.advertise.as_ref().is_some_and(|plan| plan.routers.contains(node))
            }
            Self::Dhcpv6 => segment
                .dhcp
                .as_ref()
                .is_some_and(|plan| plan.server == *node || plan.relay.as_ref() == Some(node)),
        })
    }
}

/// The word of the input files.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

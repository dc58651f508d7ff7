//! Flows: who may reach what. Rules of firewalls follow from them, and so do checks.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    name::{NodeName, SegmentName, SiteName},
    service::Port,
};

/// Where a flow begins or ends.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// One node.
    Node(NodeName),
    /// Every node on a segment.
    Segment(SegmentName),
    /// Every node of a site.
    Site(SiteName),
    /// Every node of the data plane: `everywhere` in the file.
    Everywhere,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => name.fmt(f),
            Self::Segment(name) => name.fmt(f),
            Self::Site(name) => name.fmt(f),
            Self::Everywhere => f.write_str("everywhere"),
        }
    }
}

/// What a flow carries.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Traffic {
    /// A port, under the word that the file used for it: a service's name, or `tcp/8443`.
    Port {
        /// The word in the file.
        word: String,
        /// What it stands for.
        port: Port,
    },
    /// ICMP or ICMPv6 echo.
    Ping,
    /// Anything at all: the word `any`.
    Any,
}

impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port { word, .. } => f.write_str(word),
            Self::Ping => f.write_str("ping"),
            Self::Any => f.write_str("any"),
        }
    }
}

/// Whether a flow is to pass.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Intent {
    /// It must pass, in every family that both ends have.
    Allow,
    /// It must not pass, in any family, in any phase.
    Deny,
}

/// Who may, or may not, reach what.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Flow {
    /// The name of rules and findings, for example `admin-lan->portal`.
    pub name: String,
    /// Where it begins.
    pub from: End,
    /// Where it ends.
    pub to: End,
    /// What it carries; one flow of the file may carry several.
    pub traffic: Vec<Traffic>,
    /// Whether it is to pass.
    pub intent: Intent,
}

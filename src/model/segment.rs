//! Segments: where nodes meet on one link. A LAN, a point-to-point link or the transit network between sites.

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    dhcp::DhcpPlan,
    family::{Families, Family},
    impairment::Impairment,
    name::{NodeName, SegmentName, SiteName},
    phase::PerPhase,
};

/// A site: an administration, a data centre (S2 figure 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Site {
    /// Its name in the file.
    pub name: SiteName,
    /// What people call it.
    pub title: String,
}

/// What kind of link a segment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentKind {
    /// A local network of a site: many nodes.
    #[default]
    Lan,
    /// Exactly two nodes.
    PointToPoint,
    /// The insecure network between sites.
    Transit,
    /// The inside of a tunnel: what its two gateways would see between them if it were a cable.
    Tunnel,
    /// Between a gateway and its translator: its IPv6 prefix is the translation prefix, its IPv4 prefix the pool.
    Translation,
}

impl SegmentKind {
    /// Whether a program of the lab reads and writes the far ends of its interfaces, and no link joins them.
    pub fn is_inside(self) -> bool {
        matches!(self, Self::Tunnel | Self::Translation)
    }
}

/// Data, or management of the nodes (S2 section 2.2.4). Nothing is ever forwarded between the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Plane {
    /// What users and services send.
    #[default]
    Data,
    /// How nodes are administered; outside the data plane.
    Management,
}

/// One link and the prefixes on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Segment {
    /// Its name in the file.
    pub name: SegmentName,
    /// The site that it belongs to; transit networks belong to none.
    pub site: Option<SiteName>,
    /// What kind of link.
    pub kind: SegmentKind,
    /// Data or management.
    pub plane: Plane,
    /// At most one prefix per family, IPv4 first.
    pub prefixes: Vec<IpNet>,
    /// MTU of the link in octets; at least 1280 where IPv6 is ever live (RFC 8200 section 5).
    pub mtu: u32,
    /// What its routers are to announce (RFC 4861 section 6), where they announce anything.
    pub advertise: Option<Advertisement>,
    /// Who serves DHCPv6 on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dhcp: Option<DhcpPlan>,
    /// What it does to frames beyond carrying them.
    #[serde(default, skip_serializing_if = "Impairment::is_none")]
    pub impairment: Impairment,
    /// Whether its switch is said to stop forged Router Advertisements at every port but those of its routers (RFC 6105).
    #[serde(default, skip_serializing_if = "is_not")]
    pub ra_guard: bool,
    /// The families that are live on it in each phase.
    pub families: PerPhase<Families>,
    /// Why it has IPv4 alone in every phase, where the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stays_ipv4: Option<String>,
}

impl Segment {
    /// Why it has IPv4 in a phase that permits none: what the proof that no IPv4 is left leaves out, by declaration.
    pub fn keeps_ipv4(&self) -> Option<&str> {
        match (&self.stays_ipv4, self.kind) {
            (Some(why), _) => Some(why),
            (None, SegmentKind::Translation) => Some("between a gateway and its translator"),
            (None, _) => None,
        }
    }

    /// Its prefix of a family.
    pub fn prefix(&self, family: Family) -> Option<IpNet> {
        self.prefixes.iter().copied().find(|net| Family::of_net(*net) == family)
    }
}

/// What is not said of a segment is not written down.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_not(said: &bool) -> bool {
    !said
}

/// The plan for the Router Advertisements of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Advertisement {
    /// The routers that may announce; the first is the default router.
    pub routers: Vec<NodeName>,
    /// Flag L of the Prefix Information Option: the prefix is on-link.
    pub on_link: bool,
    /// Flag A: hosts form addresses from the prefix (SLAAC, RFC 4862).
    pub autonomous: bool,
    /// Flag M: addresses by DHCPv6.
    pub managed: bool,
    /// Flag O: other configuration by DHCPv6.
    pub other: bool,
    /// Router lifetime in seconds, 0 to 9000 (RFC 4861 section 6.2.1).
    pub lifetime_s: u16,
    /// The nodes whose addresses are announced as recursive DNS servers (RFC 8106).
    pub dns: Vec<NodeName>,
}

//! Findings: what is wrong, who is to blame, in which phase it will bite, how to mend it, how to test it again.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    evidence::EvidenceId,
    family::Family,
    name::{DomainName, NodeName, SegmentName},
    phase::Phase,
    service::Port,
};

/// How bad a finding is (catalogue section 1.2).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Deviation from good practice.
    Notice,
    /// Degraded, or latent: will break in a later phase.
    Minor,
    /// One family of a declared service lost, or works only through fallback.
    Major,
    /// Data in clear, policy bypassed, or the declared service of the phase lost.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Self; 4] = [Self::Notice, Self::Minor, Self::Major, Self::Critical];

    /// The word of the JSON and of the tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Minor => "minor",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How sure a finding is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// One observation without repetition or local proof.
    Low,
    /// Repeated, or with a control.
    Medium,
    /// Repeated with a control, or read on the node itself.
    High,
}

/// Who is to blame: the node and the part of it.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct Culprit {
    /// The node; `None` where only the link is known.
    pub node: Option<NodeName>,
    /// The link, where the blame lies on a link or on a stranger on it.
    pub segment: Option<SegmentName>,
    /// The part, for example `listener https`, `forward rule visitor->portal`, `record AAAA portal.dc.test`.
    pub part: String,
}

impl Culprit {
    /// A part of a node.
    pub fn node(node: &NodeName, part: impl Into<String>) -> Self {
        Self { node: Some(node.clone()), segment: None, part: part.into() }
    }

    /// Something on a link.
    pub fn segment(segment: &SegmentName, part: impl Into<String>) -> Self {
        Self { node: None, segment: Some(segment.clone()), part: part.into() }
    }
}

/// `firewall-b (forward rule visitor->portal)`.
impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.node.as_ref().map(NodeName::as_str);
        let place = place.or(self.segment.as_ref().map(SegmentName::as_str)).unwrap_or("unknown");
        write!(f, "{place} ({})", self.part)
    }
}

/// How near to the root of the trouble the evidence is. The deeper one explains the shallower ones.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Depth {
    /// Something does not work from end to end.
    Symptom,
    /// The place was found from outside: hop limit, sender of an ICMP error, taps on both sides.
    Located,
    /// Read on the node itself: socket table, rule set, addresses, routes.
    Read,
    /// Deeper than anything read about services: the link, the address or the route itself is not as planned.
    Foundation,
    /// Deeper still, because addresses and routes follow from it: what a router announces, a link too small for IPv6.
    Announced,
}

/// What a trouble touches. A field that is `None` (or empty) means "any".
///
/// A deeper trouble explains a shallower one if everything that the deeper one fixes is fixed alike in the other
/// (`Scope::covers`): a missing listener for HTTPS over IPv6 on `portal` explains that the page cannot be fetched over
/// IPv6 from `visitor`, but not that it cannot be fetched over IPv4.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// The family that is touched.
    pub family: Option<Family>,
    /// The node that traffic goes to.
    pub to: Option<NodeName>,
    /// The address that traffic goes to.
    pub address: Option<IpAddr>,
    /// In a symptom: the address that traffic comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// In a cause: the prefix that traffic must go to, or answers, to be in trouble.
    #[schemars(with = "Option<String>")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<IpNet>,
    /// The port that traffic goes to.
    pub port: Option<Port>,
    /// The node that traffic comes from.
    pub from: Option<NodeName>,
    /// In a cause: the one node that traffic must touch to be in trouble. In a symptom: every node that its traffic
    /// touches, both ends included.
    pub nodes: Vec<NodeName>,
    /// In a cause: the one segment that traffic must touch. In a symptom: every segment that it touches.
    pub segments: Vec<SegmentName>,
    /// The published name by which it goes.
    pub name: Option<DomainName>,
    /// The kind of packets that are touched, where not all are.
    pub packets: Option<Packets>,
    /// In a symptom: what carries its traffic, where a tunnel does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<Box<Scope>>,
}

/// A kind of packets that can be in trouble by itself.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Packets {
    /// Packets that do not fit a link on the way.
    Large,
    /// ICMP or ICMPv6 echo.
    Echo,
    /// ICMP or ICMPv6 errors.
    IcmpErrors,
    /// Reports of packets that are too large: nobody sends one of a packet that has not come to them.
    TooBig,
    /// ICMP or ICMPv6 of every kind that is forwarded: errors and echo.
    Icmp,
    /// Router Advertisements and Solicitations, and what hosts derive from them.
    RouterDiscovery,
    /// Neighbour discovery or ARP.
    NeighbourDiscovery,
    /// DNS questions and answers about names (not the transport to the server).
    Names,
    /// What is written on packets, not whether they arrive: traffic classes.
    Marks,
    /// How long packets take, not whether they arrive.
    Pace,
    /// What a service says, not whether it is reached.
    Content,
    /// What passes and should not, not what is reached.
    Excess,
}

impl Packets {
    /// Whether trouble with packets of this kind explains trouble with packets of that kind: without ICMP errors, nobody
    /// learns that packets are too large (RFC 8201 section 1), and where large ones are lost, nobody says so; and what says
    /// something else may take longer to say it.
    fn explains(self, other: Self) -> bool {
        let explained: &[Self] = match self {
            Self::Icmp => &[Self::Echo, Self::IcmpErrors, Self::TooBig, Self::Large],
            Self::IcmpErrors => &[Self::TooBig, Self::Large],
            Self::TooBig => &[Self::Large],
            Self::Large => &[Self::TooBig],
            Self::Content => &[Self::Pace],
            _ => &[],
        };
        self == other || explained.contains(&other)
    }
}

impl Scope {
    /// Whether a trouble with this scope explains a trouble with that one: with its traffic, or with what carries it.
    pub fn covers(&self, other: &Self) -> bool {
        let carrier = || other.carried.as_deref();
        self.matches(other, other.packets)
            || carrier().is_some_and(|carrier| self.matches(carrier, other.packets))
    }

    /// Whether its traffic neither comes from a prefix nor goes there. Where it comes from or goes is not always known.
    fn is_outside(&self, net: IpNet) -> bool {
        let ends = [self.address, self.source];
        ends.into_iter().all(|end| end.is_some_and(|end| !net.contains(&end)))
    }

    fn matches(&self, other: &Self, packets: Option<Packets>) -> bool {
        fn fixes<T: PartialEq>(mine: Option<&T>, theirs: Option<&T>) -> bool {
            mine.is_none() || mine == theirs
        }
        fixes(self.family.as_ref(), other.family.as_ref())
            && fixes(self.to.as_ref(), other.to.as_ref())
            && fixes(self.address.as_ref(), other.address.as_ref())
            && fixes(self.port.as_ref(), other.port.as_ref())
            && fixes(self.from.as_ref(), other.from.as_ref())
            && fixes(self.name.as_ref(), other.name.as_ref())
            && self.packets.is_none_or(|mine| packets.is_some_and(|p| mine.explains(p)))
            // What arrives with other marks has arrived: only what writes marks explains it.
            && (packets != Some(Packets::Marks) || self.packets == Some(Packets::Marks))
            // What passes and should not has met no trouble: only what opens a way explains it.
            && (packets != Some(Packets::Excess) || self.packets == Some(Packets::Excess))
            && self.within.is_none_or(|net| !other.is_outside(net))
            && self.nodes.iter().all(|node| other.nodes.contains(node))
            && self.segments.iter().all(|segment| other.segments.contains(segment))
    }
}

/// What a check complains of: a finding in the making.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Complaint {
    /// Which of the check's cases it is, for its sentences.
    pub case: String,
    /// The values in the sentences. Foreign text may be among them.
    pub args: BTreeMap<String, String>,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Who is to blame.
    pub culprit: Culprit,
    /// The phases in which it will hurt, beginning with the present one if it hurts already.
    pub bites_in: Vec<Phase>,
    /// How near to the root.
    pub depth: Depth,
    /// What it touches.
    pub scope: Scope,
}

/// A judgement that a finding explains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Symptom {
    /// The phase of the judgement.
    pub phase: Phase,
    /// The check.
    pub check: String,
    /// Its subject.
    pub subject: String,
}

/// One root cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// `F-001`, numbered in the order of the report.
    pub id: String,
    /// The check that found it.
    pub check: String,
    /// Which of the check's cases it is.
    pub case: String,
    /// The values in the sentences.
    pub args: BTreeMap<String, String>,
    /// The subject of the judgement that found it.
    pub subject: String,
    /// The phases in which it was observed.
    pub phases: Vec<Phase>,
    /// The phases in which it will hurt.
    pub bites_in: Vec<Phase>,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// Who is to blame.
    pub culprit: Culprit,
    /// What it rests on.
    pub evidence: Vec<EvidenceId>,
    /// What else it explains.
    pub symptoms: Vec<Symptom>,
    /// The exact command that tests it again.
    pub retest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn https() -> Port {
        Port { transport: crate::model::service::Transport::Tcp, number: 443 }
    }

    #[test]
    fn a_way_too_many_explains_what_goes_there_or_comes_from_there() {
        let way = Scope { within: "2001:db8:7::/64".parse().ok(), ..Scope::default() };
        let traffic = |from: &str, to: &str| Scope {
            source: from.parse().ok(),
            address: to.parse().ok(),
            ..Scope::default()
        };
        assert!(way.covers(&traffic("2001:db8::1", "2001:db8:7::1")));
        assert!(way.covers(&traffic("2001:db8:7::1", "2001:db8::1")), "answers take it");
        assert!(!way.covers(&traffic("2001:db8::1", "2001:db8::2")));
        assert!(way.covers(&traffic("", "2001:db8::2")), "it may come from there");
    }

    #[test]
    fn what_passes_and_should_not_is_explained_by_what_opens_a_way_alone() {
        let excess = Scope { packets: Some(Packets::Excess), ..Scope::default() };
        assert!(!Scope::default().covers(&excess));
        assert!(excess.covers(&excess));
    }

    #[test]
    fn a_missing_listener_explains_its_family_and_no_other() {
        let portal: NodeName = "portal".parse().unwrap();
        let visitor: NodeName = "visitor".parse().unwrap();
        let listener = Scope {
            family: Some(Family::V6),
            to: Some(portal.clone()),
            port: Some(https()),
            ..Scope::default()
        };
        let mut page = Scope {
            family: Some(Family::V6),
            to: Some(portal.clone()),
            port: Some(https()),
            from: Some(visitor.clone()),
            nodes: vec![visitor, portal],
            ..Scope::default()
        };
        assert!(listener.covers(&page));
        page.family = Some(Family::V4);
        assert!(!listener.covers(&page));
    }

    #[test]
    fn a_small_link_explains_that_nobody_reports_what_is_too_large_and_no_other_error() {
        let of = |packets| Scope { packets: Some(packets), ..Scope::default() };
        let explains = |cause, other| of(cause).covers(&of(other));
        assert!(explains(Packets::Large, Packets::TooBig));
        assert!(explains(Packets::TooBig, Packets::Large));
        assert!(explains(Packets::IcmpErrors, Packets::TooBig));
        assert!(!explains(Packets::Large, Packets::IcmpErrors));
        assert!(!explains(Packets::TooBig, Packets::IcmpErrors));
    }

    #[test]
    fn a_filter_explains_only_what_passes_it() {
        let on = |name: &str| Scope { nodes: vec![name.parse().unwrap()], ..Scope::default() };
        let path = Scope {
            nodes: ["visitor", "firewall-b", "portal"].map(|n| n.parse().unwrap()).to_vec(),
            ..Scope::default()
        };
        assert!(on("firewall-b").covers(&path));
        assert!(!on("gateway-a").covers(&path));
    }
}

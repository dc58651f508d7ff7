//! Planted faults: named changes behind the program's back, for tests and for people who learn.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    access::{AccessFault, LockFault},
    automatic::AutomaticTunnel,
    dhcp::DhcpFault,
    family::Family,
    guard::GuardFault,
    impairment::Impairment,
    mac::Mac,
    management::Quirk,
    name::{DomainName, FaultName, InterfaceName, NodeName, SegmentName, ServiceName},
    phase::Phase,
    policy::{Hook, Rule},
    record::RecordData,
    snooping::Snooping,
};

/// A fault and when it is planted: after the phase is up, before the first question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name in the file.
    pub name: FaultName,
    /// The phases in which it is planted; it is gone when the phase is left.
    pub phases: Vec<Phase>,
    /// What is done.
    pub what: Sabotage,
}

/// How a name server answers wrongly.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum WrongAnswer {
    /// RCODE 3 although the name exists.
    Nxdomain,
    /// RCODE 2.
    Servfail,
    /// RCODE 5.
    Refused,
    /// RCODE 4.
    Notimp,
    /// No reply at all.
    Silence,
    /// Data of the wrong length: four octets in an AAAA record.
    Malformed,
    /// NOERROR without an answer and without SOA.
    NoSoa,
    /// The right reply, later than that about the other family: programs go on without it (RFC 8305 section 3).
    Late,
    /// RCODE 3 to whoever writes the name with capitals: names have no case (RFC 4343).
    MixedCase,
    /// No reply to questions with EDNS, as of old firewalls (RFC 6891 section 7 wants FORMERR of those who do not know it).
    DropsEdns,
}

/// What is done to the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sabotage {
    /// A service listens on one family only.
    ListenOnly {
        /// Where.
        node: NodeName,
        /// Which.
        service: ServiceName,
        /// The family that stays.
        only: Family,
    },
    /// A service stops altogether.
    StopService {
        /// Where.
        node: NodeName,
        /// Which.
        service: ServiceName,
    },
    /// Something listens that nobody planned: an echo service.
    ExtraListener {
        /// Where.
        node: NodeName,
        /// The families.
        families: Vec<Family>,
        /// TCP port.
        port: u16,
    },
    /// A rule is put before all others of a hook. A node without a filter gets one.
    AddRule {
        /// Where.
        node: NodeName,
        /// Which chain.
        hook: Hook,
        /// The rule.
        rule: Rule,
    },
    /// Every rule of a label is taken out, in one family or in both.
    RemoveRule {
        /// Where.
        node: NodeName,
        /// The label: a flow's name, or a name of the built-in rules such as `icmpv6-errors`.
        label: String,
        /// In this family only.
        family: Option<Family>,
    },
    /// A chain's policy becomes accept.
    OpenPolicy {
        /// Where.
        node: NodeName,
        /// Which chain.
        hook: Hook,
        /// Only for this family: a last rule accepts it.
        family: Option<Family>,
    },
    /// A record is put in the place of all records of its owner and type.
    SetRecord {
        /// The name server.
        node: NodeName,
        /// The owner.
        name: DomainName,
        /// The new data.
        data: RecordData,
    },
    /// The addresses of one family of a name are taken out of the zone.
    RemoveRecord {
        /// The name server.
        node: NodeName,
        /// The owner.
        name: DomainName,
        /// Which family's addresses; with `pointer`, of the reverse name.
        family: Family,
    },
    /// A name server answers questions of one type wrongly.
    AnswerWrongly {
        /// The name server or resolver.
        node: NodeName,
        /// Only for this name; every name otherwise.
        name: Option<DomainName>,
        /// Addresses of this family.
        family: Family,
        /// How.
        how: WrongAnswer,
    },
    /// A route is taken out.
    RemoveRoute {
        /// Where.
        node: NodeName,
        /// Where to.
        to: IpNet,
    },
    /// A route is added.
    AddRoute {
        /// Where.
        node: NodeName,
        /// Where to.
        to: IpNet,
        /// Next hop.
        via: IpAddr,
    },
    /// An address is added to an interface, planned or not, even one that another node has.
    AddAddress {
        /// Where.
        node: NodeName,
        /// On which interface.
        interface: InterfaceName,
        /// The address.
        net: IpNet,
    },
    /// An address is taken off.
    RemoveAddress {
        /// Where.
        node: NodeName,
        /// On which interface.
        interface: InterfaceName,
        /// The address.
        net: IpNet,
    },
    /// An interface gets another MTU.
    SetMtu {
        /// Where.
        node: NodeName,
        /// On which interface.
        interface: InterfaceName,
        /// Octets.
        mtu: u32,
    },
    /// A switch of the kernel is set, for example `net.ipv6.conf.eth0.accept_dad` to `0`.
    SetSwitch {
        /// Where.
        node: NodeName,
        /// The sysctl with dots; only below `net.ipv4.` and `net.ipv6.`.
        name: String,
        /// Its value.
        value: String,
    },
    /// A stranger on a segment announces itself as a router.
    RogueRouter {
        /// The link.
        segment: SegmentName,
        /// The stranger's link-layer address.
        mac: Mac,
        /// The prefix that it announces.
        prefix: IpNet,
        /// The router lifetime that it announces, in seconds.
        lifetime_s: u16,
    },
    /// A stranger on a link answers for DHCPv6.
    RogueDhcp {
        /// The link.
        segment: SegmentName,
        /// The stranger's link-layer address.
        mac: Mac,
        /// The resolver that it tells.
        dns: std::net::Ipv6Addr,
    },
    /// A server or relay of DHCPv6 does its duty wrongly.
    DhcpWrongly {
        /// Where.
        node: NodeName,
        /// How.
        how: DhcpFault,
    },
    /// A link treats frames worse than planned.
    Impair {
        /// The link.
        segment: SegmentName,
        /// Only frames of this family.
        family: Option<Family>,
        /// What it does to them.
        impairment: Impairment,
    },
    /// A switch guards worse against forged Router Advertisements than it is said to.
    GuardWrongly {
        /// The link.
        segment: SegmentName,
        /// How.
        how: GuardFault,
    },
    /// A switch snoops MLD that is not planned to.
    Snoop {
        /// The link.
        segment: SegmentName,
        /// How.
        how: Snooping,
    },
    /// A router of the plan announces something else than planned.
    AdvertiseWrongly {
        /// The router.
        node: NodeName,
        /// Its interface.
        interface: InterfaceName,
        /// What differs.
        change: AdvertisementFault,
    },
    /// A host asks the resolvers that Router Advertisements tell of (RFC 8106) before those that it was given.
    TakeResolvers {
        /// The host.
        node: NodeName,
    },
    /// A host makes a tunnel for itself that nobody planned.
    AutomaticTunnel {
        /// The host.
        node: NodeName,
        /// Which.
        kind: AutomaticTunnel,
    },
    /// A stranger sends IPv4 or ARP frames on a segment from time to time: a device that was forgotten.
    Talk {
        /// The node that sends.
        node: NodeName,
        /// By this interface.
        interface: InterfaceName,
        /// The family of the frames.
        family: Family,
        /// To whom.
        to: IpAddr,
    },
    /// A web service shows other content to users of one family.
    ServeDifferently {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// To users of this family.
        family: Family,
        /// How it differs.
        how: ContentFault,
    },
    /// A management product, or a box, does something worse than it should.
    Quirk {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// What.
        quirk: Quirk,
    },
    /// A service of one interface listens on every address of its node.
    ListenEverywhere {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
    },
    /// A name server shows those who ask from a prefix something else of a name: a view that was forgotten.
    ShowOtherwise {
        /// The name server.
        node: NodeName,
        /// The owner.
        name: DomainName,
        /// Whoever asks from here.
        to: IpNet,
        /// The addresses of this family are shown otherwise: not at all, or as `address`.
        family: Family,
        /// What they are shown instead.
        address: Option<IpAddr>,
    },
    /// The page of a web service refers to something else.
    Refer {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// How.
        how: Reference,
        /// To what: an absolute URL.
        to: String,
    },
    /// A resolver asks name servers over one family only.
    ResolveOnly {
        /// The resolver.
        node: NodeName,
        /// Over this one.
        only: Family,
    },
    /// A resolver synthesizes addresses otherwise than planned.
    SynthesizeWrongly {
        /// The resolver.
        node: NodeName,
        /// How.
        how: SynthesisFault,
    },
    /// A translator leaves something out.
    TranslateWrongly {
        /// The gateway.
        node: NodeName,
        /// What.
        how: TranslationFault,
    },
    /// An end of a tunnel does its work worse than it should.
    CarryWrongly {
        /// The gateway.
        node: NodeName,
        /// How.
        how: TunnelFault,
    },
    /// A service spoils the addresses that it writes down or shows: a web service in its access log and on the page of
    /// the last log-ins, a syslog sink in its table of them.
    LogWrongly {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// How.
        how: LogFault,
    },
    /// A service goes wrong about whom its access list lets in.
    AdmitWrongly {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// How.
        how: AccessFault,
    },
    /// A service goes wrong about locking log-ins over IPv6.
    LockWrongly {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// How.
        how: LockFault,
    },
    /// A front passes connections on otherwise than planned.
    FrontWrongly {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// Which site.
        site: NodeName,
        /// How.
        how: FrontFault,
    },
    /// Pages or replies of a service come later than they should, to users of one family.
    Delay {
        /// Where.
        node: NodeName,
        /// Which service.
        service: ServiceName,
        /// To users of this family.
        family: Family,
        /// How much later, in milliseconds.
        ms: u32,
    },
}

impl Sabotage {
    /// The node on which the fault is; `None` for one of a link, or of a stranger on it.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Self::AddRule { node, .. }
            | Self::RemoveRule { node, .. }
            | Self::OpenPolicy { node, .. }
            | Self::RemoveRoute { node, .. }
            | Self::AddRoute { node, .. }
            | Self::AddAddress { node, .. }
            | Self::RemoveAddress { node, .. }
            | Self::SetMtu { node, .. }
            | Self::SetSwitch { node, .. }
            | Self::AutomaticTunnel { node, .. }
            | Self::TakeResolvers { node }
            | Self::TranslateWrongly { node, .. }
            | Self::CarryWrongly { node, .. }
            | Self::Talk { node, .. } => Some(node),
            of_service_or_link => of_service_or_link.service_node(),
        }
    }

    /// The node whose services carry the fault out; `None` for a fault of the kernel or of a stranger on a link.
    pub fn service_node(&self) -> Option<&NodeName> {
        match self {
            Self::ListenOnly { node, .. }
            | Self::StopService { node, .. }
            | Self::ExtraListener { node, .. }
            | Self::SetRecord { node, .. }
            | Self::RemoveRecord { node, .. }
            | Self::AnswerWrongly { node, .. }
            | Self::ResolveOnly { node, .. }
            | Self::Refer { node, .. }
            | Self::ShowOtherwise { node, .. }
            | Self::SynthesizeWrongly { node, .. }
            | Self::AdvertiseWrongly { node, .. }
            | Self::DhcpWrongly { node, .. }
            | Self::ServeDifferently { node, .. }
            | Self::Quirk { node, .. }
            | Self::ListenEverywhere { node, .. }
            | Self::LogWrongly { node, .. }
            | Self::AdmitWrongly { node, .. }
            | Self::LockWrongly { node, .. }
            | Self::FrontWrongly { node, .. }
            | Self::Delay { node, .. } => Some(node),
            Self::AddRule { .. }
            | Self::RemoveRule { .. }
            | Self::OpenPolicy { .. }
            | Self::RemoveRoute { .. }
            | Self::AddRoute { .. }
            | Self::AddAddress { .. }
            | Self::RemoveAddress { .. }
            | Self::SetMtu { .. }
            | Self::SetSwitch { .. }
            | Self::AutomaticTunnel { .. }
            | Self::TakeResolvers { .. }
            | Self::RogueRouter { .. }
            | Self::TranslateWrongly { .. }
            | Self::CarryWrongly { .. }
            | Self::Impair { .. }
            | Self::GuardWrongly { .. }
            | Self::Snoop { .. }
            | Self::RogueDhcp { .. }
            | Self::Talk { .. } => None,
        }
    }
}

/// How an announcement differs from its plan.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AdvertisementFault {
    /// None at all.
    Silent,
    /// Flag L missing.
    NotOnLink,
    /// Flag A set although no host should form an address, or the other way round.
    AutonomousInverted,
    /// Flag M inverted.
    ManagedInverted,
    /// Router lifetime 0: not a default router.
    LifetimeZero,
    /// No last announcement with lifetime zero when it withdraws.
    NoFarewell,
    /// No recursive DNS server.
    NoDns,
    /// No translation prefix.
    NoPref64,
    /// Another translation prefix than the planned one.
    OtherPref64,
    /// An MTU that the link does not have.
    Mtu(u32),
    /// Another recursive DNS server, in place of those of the plan.
    Dns(std::net::Ipv6Addr),
}

/// How a page refers to something else.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// It loads it.
    Loads,
    /// It sends its readers on to it.
    Redirects,
    /// Its list of mirrors names it too.
    Lists,
    /// A directory sends on to it whoever asks for what it does not hold (RFC 4511 section 4.1.10).
    Refers,
}

/// How a resolver synthesizes wrongly (RFC 6147).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum SynthesisFault {
    /// Not at all.
    Off,
    /// With another prefix than the translator's.
    OtherPrefix,
    /// Also for names that have an IPv6 address of their own.
    OverNative,
    /// Only the prefix that `ipv4only.arpa` tells is another.
    OtherDiscovery,
}

/// How a front passes the connections for a site on wrongly.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FrontFault {
    /// It does not know the site.
    NoEntry,
    /// It passes them on to another one of its sites.
    OtherSite,
    /// It does not tell who the client is.
    NoClient,
}

/// What a translator leaves out.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TranslationFault {
    /// Everything.
    Stopped,
    /// Echo.
    NoEcho,
    /// UDP.
    NoUdp,
    /// Packet Too Big and Fragmentation Needed.
    NoTooBig,
    /// Fragments.
    NoFragments,
    /// What it is told to refuse: it translates to the management plane, too.
    Open,
    /// The log of who has which address of the pool.
    NoLog,
    /// Most of the time that it should keep UDP sessions.
    ShortTimers,
    /// The same, and it says that it keeps them as long as it should.
    ForgetsEarly,
    /// It tells of addresses for its users that are not of its pool.
    LogsOutside,
}

/// How an end of a tunnel works wrongly.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelFault {
    /// It couples everything with everything: whatever is routed into the tunnel goes out, and whatever comes is taken.
    OpenSelectors,
    /// It puts in only what it couples, and takes whatever comes.
    OpenOnArrival,
    /// It takes no ICMP errors out of the tunnel.
    NoErrors,
    /// It shows the traffic class outside for IPv4 alone.
    ClassOfIpv4Alone,
    /// It agrees on no new keys when it is told to.
    NoNewKeys,
    /// It takes its time with every packet of IPv6.
    SlowForIpv6,
    /// It knows the other end by one address, and never turns to a second family.
    BoundToFirst,
    /// Once its keys were renewed, it carries IPv4 alone.
    NewKeysForIpv4Alone,
    /// It puts nothing in any more once a family that had died outside is back.
    LostOnReturn,
    /// What comes out of it has no traffic class.
    ClearsClass,
    /// What comes out of it has lost a hop inside.
    TakesAHop,
    /// Its couples of IPv6 were never entered.
    CouplesIpv4Alone,
    /// Its couples of IPv4 were never entered.
    CouplesIpv6Alone,
}

/// What becomes of the address of a client in a log, or by what a sink files what it is sent.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum LogFault {
    /// None is written.
    NoClient,
    /// The address of the service itself stands there, as that of a proxy before it would.
    OwnAddress,
    /// What stands before the first colon.
    SplitAtColon,
    /// The first 15 characters: the longest of IPv4.
    #[serde(rename = "column-of-15")]
    ColumnOf15,
    /// IPv4 as IPv4-mapped IPv6 (RFC 4291 section 2.5.5.2), as a socket for both families shows it.
    Mapped,
    /// Upper case.
    UpperCase,
    /// Eight groups of four digits each.
    ZeroPadded,
    /// Messages are filed under the address that they came from, and not under the host that they name.
    ByAddress,
    /// They are filed by a list of hosts that has IPv4 addresses alone: what comes over IPv6, under its address.
    ByIpv4Hosts,
    /// They are filed under the sink itself, as those that come by a relay may be under the relay.
    AsItsOwn,
}

impl LogFault {
    /// Whether only a sink can have it: it is about whose messages they are.
    pub fn is_of_sinks(self) -> bool {
        matches!(self, Self::ByAddress | Self::ByIpv4Hosts | Self::AsItsOwn)
    }
}

/// How a page differs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum ContentFault {
    /// The stamp stands still: an old copy.
    Stale,
    /// Another body.
    OtherBody,
    /// Another language in its header.
    OtherHeaders,
    /// A 503.
    Unavailable,
    /// Another certificate.
    OtherCertificate,
    /// Another SSH host key: another machine answers.
    OtherHostKey,
    /// A 400 for a Host header with brackets; a 501 for an IPv6 literal in the greeting of a mail client.
    RejectsBrackets,
    /// No service at all, whatever it speaks: an access list that does not name these users.
    TurnsAway,
    /// A name server without its zone, or a resolver that does not resolve for these users: REFUSED.
    Lame,
    /// A management agent whose table of addresses has room for IPv4 alone (before RFC 4293).
    Ipv4Table,
    /// A mail server or a directory that does not offer to encrypt (RFC 3207, RFC 4511 section 4.14).
    NoStarttls,
    /// One that offers to encrypt and closes when it is taken at its word.
    BrokenStarttls,
}

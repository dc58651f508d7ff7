//! Steps: the changes that bring a node from one stage to the next, each a value with an inverse.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    dhcp::DhcpDuty,
    family::Family,
    front::Fronts,
    monitor::Watch,
    name::{DomainName, InterfaceName, NodeName, ServiceName, TranslationName, TunnelName},
    policy::Filter,
    record::Zone,
    segment::Advertisement,
    translation::{Pref64, Translator},
    tunnel::TunnelEnd,
};

/// A change on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// Switches a family of an interface on or off. IPv6: the sysctl `disable_ipv6`; IPv4 has no switch, it is off when
    /// no address is left.
    Switch {
        /// The interface; `lo` too, whose loopback address comes and goes with the switch.
        interface: String,
        /// The family.
        family: Family,
        /// On or off.
        on: bool,
    },
    /// Adds an address.
    AddAddress {
        /// The interface.
        interface: InterfaceName,
        /// Address and prefix length.
        net: IpNet,
    },
    /// Removes an address.
    RemoveAddress {
        /// The interface.
        interface: InterfaceName,
        /// Address and prefix length.
        net: IpNet,
    },
    /// Adds a route.
    AddRoute {
        /// Where to.
        to: IpNet,
        /// Next hop.
        via: IpAddr,
    },
    /// Removes a route.
    RemoveRoute {
        /// Where to.
        to: IpNet,
        /// Next hop.
        via: IpAddr,
    },
    /// Switches forwarding of a family.
    Forward {
        /// The family.
        family: Family,
        /// On or off.
        on: bool,
    },
    /// Lets an interface take addresses and default routes from Router Advertisements, or not (`accept_ra`).
    AcceptAdvertisements {
        /// The interface.
        interface: InterfaceName,
        /// On or off.
        on: bool,
        /// Whether addresses are formed from what is announced (`autoconf`), or given by DHCPv6.
        form: bool,
    },
    /// Does these duties of DHCPv6 from now on, in the place of all others.
    DoDhcp {
        /// As server and as relay.
        duties: Vec<DhcpDuty>,
    },
    /// Lets an interface get its addresses by DHCPv6, or gives them back.
    Lease {
        /// The interface.
        interface: InterfaceName,
        /// The length of the prefix of its link.
        prefix_length: u8,
        /// On or off.
        on: bool,
    },
    /// Puts a whole filter in the place of the present one, at once.
    ReplaceFilter {
        /// The new filter.
        filter: Filter,
    },
    /// Begins to announce as a router on an interface, or announces something else from now on.
    Advertise {
        /// The interface.
        interface: InterfaceName,
        /// The plan that is announced.
        plan: Advertisement,
        /// The prefix that is announced.
        prefix: IpNet,
        /// The MTU that is announced.
        mtu: u32,
        /// The DNS servers that are announced.
        dns: Vec<IpAddr>,
        /// The translation prefixes that are announced (RFC 8781).
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        pref64: Vec<Pref64>,
    },
    /// Ends announcing: the last advertisement has lifetime 0 (RFC 4861 section 6.2.5).
    StopAdvertising {
        /// The interface.
        interface: InterfaceName,
    },
    /// Opens this end of a tunnel, or opens it anew in another form.
    OpenTunnel {
        /// What the gateway is told.
        end: TunnelEnd,
    },
    /// Closes this end of a tunnel.
    CloseTunnel {
        /// Which.
        tunnel: TunnelName,
    },
    /// Opens a translator, or opens it anew in another form.
    OpenTranslator {
        /// What the gateway is told.
        told: Translator,
    },
    /// Closes a translator.
    CloseTranslator {
        /// Which.
        translation: TranslationName,
    },
    /// Lets a service of kind `resolver` synthesize addresses from now on (DNS64), or not.
    Synthesize {
        /// The service.
        service: ServiceName,
        /// The prefix; `None` for no synthesis.
        prefix: Option<Pref64>,
    },
    /// Serves these zones from now on.
    PublishZones {
        /// The service of kind `dns`.
        service: ServiceName,
        /// All zones with all records.
        zones: Vec<Zone>,
    },
    /// Lets a service of kind `resolver` ask these servers from now on, zone by zone.
    Delegate {
        /// The service.
        service: ServiceName,
        /// Origin of a zone and its servers.
        zones: Vec<(DomainName, Vec<IpAddr>)>,
    },
    /// Sends log-ins at web services of the node on to the first of these syslog sinks.
    LogTo {
        /// In the order tried.
        sinks: Vec<SocketAddr>,
    },
    /// Asks these agents whenever a status page of the node is looked at.
    Watch {
        /// By the service that shows the page.
        watches: Vec<Watch>,
    },
    /// Passes connections on from now on, and believes fronts, as is said here.
    Front {
        /// Both.
        fronts: Fronts,
    },
    /// Opens the listening sockets of a service on an address.
    Listen {
        /// The service.
        service: ServiceName,
        /// The address that it binds to; unspecified for every address of the family.
        address: IpAddr,
    },
    /// Closes them.
    StopListening {
        /// The service.
        service: ServiceName,
        /// The address that it was bound to.
        address: IpAddr,
    },
    /// Gives programs in the node, and journeys of users, these resolvers (`/etc/resolv.conf`).
    UseResolvers {
        /// In the order asked.
        servers: Vec<IpAddr>,
    },
    /// Forgets what was learned before: path MTUs, neighbours, connection tracking.
    ForgetResidue,
}

/// A step of a plan: a change on a node, what takes it back, and what it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where.
    pub node: NodeName,
    /// What is done.
    pub change: Change,
    /// What takes it back.
    pub undo: Change,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let on_off = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Switch { interface, family, on } => {
                write!(f, "switch {family} {} on {interface}", on_off(on))
            }
            Self::AddAddress { interface, net } => write!(f, "add {net} to {interface}"),
            Self::RemoveAddress { interface, net } => write!(f, "remove {net} from {interface}"),
            Self::AddRoute { to, via } => write!(f, "add the route to {to} via {via}"),
            Self::RemoveRoute { to, via } => write!(f, "remove the route to {to} via {via}"),
            Self::Forward { family, on } => {
                write!(f, "switch forwarding of {family} {}", on_off(on))
            }
            Self::AcceptAdvertisements { interface, on: true, .. } => {
                write!(f, "accept Router Advertisements on {interface}")
            }
            Self::AcceptAdvertisements { interface, on: false, .. } => {
                write!(f, "ignore Router Advertisements on {interface}")
            }
            Self::DoDhcp { duties } if duties.is_empty() => f.write_str("end DHCPv6"),
            Self::DoDhcp { duties } => {
                let list: Vec<_> = duties.iter().map(ToString::to_string).collect();
                write!(f, "DHCPv6: {}", list.join(", "))
            }
            Self::Lease { interface, on: true, .. } => {
                write!(f, "get addresses of {interface} by DHCPv6")
            }
            Self::Lease { interface, on: false, .. } => {
                write!(f, "give addresses of {interface} back")
            }
            Self::ReplaceFilter { filter } if filter.chains.is_empty() => {
                f.write_str("remove the filter")
            }
            Self::ReplaceFilter { filter } => {
                let rules: usize = filter.chains.iter().map(|chain| chain.rules.len()).sum();
                write!(f, "load a filter of {rules} rules in {} chains", filter.chains.len())
            }
            Self::Advertise { interface, prefix, .. } => {
                write!(f, "announce {prefix} as a router on {interface}")
            }
            Self::StopAdvertising { interface } => {
                write!(f, "stop announcing as a router on {interface}")
            }
            Self::OpenTunnel { end } => {
                write!(f, "open {} to ", end.tunnel)?;
                match end.remote.port() {
                    0 => write!(f, "{}", end.remote.ip())?,
                    _ => write!(f, "{}", end.remote)?,
                }
                write!(f, " over {}", end.outer())?;
                for relation in &end.relations {
                    write!(f, ", coupling {} with {}", relation.here, relation.there)?;
                }
                Ok(())
            }
            Self::CloseTunnel { tunnel } => write!(f, "close {tunnel}"),
            Self::OpenTranslator { told } => {
                let users = told.pool.len();
                write!(f, "open {}: {} on {users} addresses", told.translation, told.prefix)
            }
            Self::CloseTranslator { translation } => write!(f, "close {translation}"),
            Self::Synthesize { service, prefix: Some(prefix) } => {
                write!(f, "{service} synthesizes addresses of {prefix}")
            }
            Self::Synthesize { service, prefix: None } => {
                write!(f, "{service} synthesizes no addresses")
            }
            Self::PublishZones { service, zones } => {
                let records: usize = zones.iter().map(|zone| zone.extra.len()).sum();
                write!(f, "serve {} zones with {records} records by {service}", zones.len())
            }
            Self::Delegate { service, zones } => {
                write!(f, "{service} asks the servers of {} zones", zones.len())
            }
            Self::LogTo { sinks } => match sinks.first() {
                Some(sink) => write!(f, "send log-ins to {sink}"),
                None => f.write_str("send log-ins nowhere"),
            },
            Self::Watch { watches } => {
                let of = |watch: &Watch| {
                    format!("{} watches {} addresses of agents", watch.service, watch.agents.len())
                };
                let all: Vec<_> = watches.iter().map(of).collect();
                f.write_str(if all.is_empty() { "watch nobody" } else { "" })?;
                f.write_str(&all.join("; "))
            }
            Self::Front { fronts } if fronts.is_empty() => {
                f.write_str("pass nothing on, and believe no front")
            }
            Self::Front { fronts } => {
                let passes = fronts.passes.iter().map(|(service, fronted)| {
                    let sites: Vec<_> = fronted.sites.iter().map(|s| s.node.as_str()).collect();
                    format!("{service} passes on to {}", sites.join(", "))
                });
                let believes = fronts.believes.iter().map(|(service, fronts)| {
                    let fronts: Vec<_> = fronts.iter().map(ToString::to_string).collect();
                    format!("{service} believes {} of clients", fronts.join(", "))
                });
                f.write_str(&passes.chain(believes).collect::<Vec<_>>().join("; "))
            }
            Self::Listen { service, address } => write!(f, "{service} listens on {address}"),
            Self::StopListening { service, address } => {
                write!(f, "{service} stops listening on {address}")
            }
            Self::UseResolvers { servers } if servers.is_empty() => f.write_str("use no resolver"),
            Self::UseResolvers { servers } => {
                let list: Vec<_> = servers.iter().map(ToString::to_string).collect();
                write!(f, "resolve names by {}", list.join(", "))
            }
            Self::ForgetResidue => {
                f.write_str("forget learned path MTUs, neighbours and tracked connections")
            }
        }
    }
}

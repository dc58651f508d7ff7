//! What a node is told to serve, and what follows from it: sockets, behaviour, announcements. Pure: faults bend what is
//! derived and leave the orders themselves as they are, so that taking a fault back needs no memory of what was before.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use super::{
    announcement,
    behaviour::Behaviour,
    synthesis::Synthesis,
    zone::{Catalog, Delegation, wire_name},
};
use crate::{
    model::{
        dhcp::{DhcpDuty, DhcpFault},
        family::Family,
        fault::{AdvertisementFault, FrontFault, Sabotage},
        front::{Fronted, Fronts},
        monitor::Watch,
        name::{DomainName, InterfaceName, NodeName, ServiceName},
        node::Node,
        record::{Record, RecordData, Zone},
        service::{ServiceKind, Transport},
        translation::Pref64,
    },
    wire::ra::Announcement,
};

/// What a node is told.
#[derive(Clone, Default)]
pub(super) struct Orders {
    pub(super) listeners: BTreeSet<(ServiceName, IpAddr)>,
    pub(super) zones: BTreeMap<ServiceName, Vec<Zone>>,
    pub(super) delegations: BTreeMap<ServiceName, Vec<(DomainName, Vec<IpAddr>)>>,
    pub(super) synthesis: BTreeMap<ServiceName, Pref64>,
    pub(super) log_sinks: Vec<SocketAddr>,
    pub(super) watches: Vec<Watch>,
    pub(super) fronts: Fronts,
    pub(super) announcements: BTreeMap<InterfaceName, Announcement>,
    /// The interfaces on which the node does not announce itself for now.
    pub(super) withdrawn: BTreeSet<InterfaceName>,
    pub(super) duties: Vec<DhcpDuty>,
    pub(super) faults: Vec<Sabotage>,
}

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    pub(super) service: ServiceName,
    pub(super) kind: ServiceKind,
}

impl Orders {
    /// The sockets that are to be open.
    pub(super) fn places(&self, node: &Node) -> BTreeSet<Place> {
        let told = self.listeners.iter().filter(|(service, ip)| self.is_open(service, *ip));
        let places = told.flat_map(|(name, ip)| {
            let ip = self.bound(name, *ip);
            let service = node.service(name.as_str());
            service.into_iter().flat_map(move |service| {
                service.ports().map(move |port| Place {
                    transport: port.transport,
                    address: SocketAddr::new(ip, port.number),
                    service: name.clone(),
                    kind: service.kind,
                })
            })
        });
        places.chain(self.unplanned()).collect()
    }

    /// The addresses that a service is to be bound to.
    pub(super) fn listen(&self, service: &ServiceName) -> Vec<IpAddr> {
        let told =
            self.listeners.iter().filter(|(name, ip)| name == service && self.is_open(name, *ip));
        let bound: BTreeSet<_> = told.map(|(name, ip)| self.bound(name, *ip)).collect();
        bound.into_iter().collect()
    }

    /// The zones of a service as faults bend them.
    pub(super) fn zones_of(&self, service: &ServiceName) -> Vec<Zone> {
        self.bent_zones(self.zones.get(service).map_or(&[][..], Vec::as_slice))
    }

    /// How a service synthesizes addresses as faults bend it; nothing where it does not.
    pub(super) fn synthesis_of(&self, service: &ServiceName) -> Option<Synthesis> {
        let planned = Synthesis::planned(*self.synthesis.get(service)?);
        self.faults.iter().try_fold(planned, Synthesis::bent)
    }

    /// What a front passes on as faults bend it; nothing where the service is no front.
    pub(super) fn fronted(&self, service: &ServiceName) -> Option<Fronted> {
        let (_, planned) = self.fronts.passes.iter().find(|(name, _)| name == service)?;
        let mut fronted = planned.clone();
        for fault in &self.faults {
            if let Sabotage::FrontWrongly { service: bent, site, how, .. } = fault
                && bent == service
            {
                bend_front(&mut fronted, site, *how);
            }
        }
        Some(fronted)
    }

    fn is_open(&self, listener: &ServiceName, ip: IpAddr) -> bool {
        !self.faults.iter().any(|fault| match fault {
            Sabotage::StopService { service, .. } => service == listener,
            Sabotage::ListenOnly { service, only, .. } => {
                service == listener && Family::of(ip) != *only
            }
            _ => false,
        })
    }

    /// What a listener is bound to that is told an address.
    fn bound(&self, listener: &ServiceName, ip: IpAddr) -> IpAddr {
        if self.is_everywhere(listener) { Family::of(ip).unspecified() } else { ip }
    }

    fn is_everywhere(&self, listener: &ServiceName) -> bool {
        self.faults.iter().any(|fault| match fault {
            Sabotage::ListenEverywhere { service, .. } => service == listener,
            _ => false,
        })
    }

    fn unplanned(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for fault in &self.faults {
            let Sabotage::ExtraListener { families, port, .. } = fault else { continue };
            places.extend(families.iter().map(|family| Place {
                transport: Transport::Tcp,
                address: SocketAddr::new(family.unspecified(), *port),
                service: "unplanned".parse().expect("a constant that is a name"),
                kind: ServiceKind::Echo,
            }));
        }
        places
    }

    /// What the services do.
    pub(super) fn behaviour(&self) -> Behaviour {
        let catalog = |(service, zones): (&ServiceName, &Vec<Zone>)| {
            (service.clone(), Catalog::new(&self.bent_zones(zones)))
        };
        let delegations = |(service, zones): (&ServiceName, &Vec<(DomainName, Vec<IpAddr>)>)| {
            let of = |(origin, servers): &(DomainName, Vec<IpAddr>)| -> Delegation {
                (wire_name(origin), servers.clone())
            };
            (service.clone(), zones.iter().map(of).collect())
        };
        let synthesis =
            |service: &ServiceName| Some((service.clone(), self.synthesis_of(service)?));
        Behaviour {
            catalogs: self.zones.iter().map(catalog).collect(),
            delegations: self.delegations.iter().map(delegations).collect(),
            synthesis: self.synthesis.keys().filter_map(synthesis).collect(),
            log_sinks: self.log_sinks.clone(),
            watches: self.watches.clone(),
            fronts: self.fronted_services(),
            believes: self.fronts.believes.iter().cloned().collect(),
            faults: self.faults.clone(),
        }
    }

    fn fronted_services(&self) -> BTreeMap<ServiceName, Fronted> {
        let services = self.fronts.passes.iter().map(|(service, _)| service);
        services.filter_map(|service| Some((service.clone(), self.fronted(service)?))).collect()
    }

    /// Whether some zone has room for a name.
    pub(super) fn has_zone_for(&self, name: &DomainName) -> bool {
        self.zones.values().flatten().any(|zone| name.is_within(&zone.origin))
    }

    fn bent_zones(&self, zones: &[Zone]) -> Vec<Zone> {
        let mut zones = zones.to_vec();
        for fault in &self.faults {
            for zone in &mut zones {
                bend_zone(zone, fault);
            }
        }
        zones
    }

    /// What is done for DHCPv6.
    pub(super) fn dhcp(&self) -> Vec<DhcpDuty> {
        let mut duties = self.duties.clone();
        for fault in &self.faults {
            let Sabotage::DhcpWrongly { how, .. } = fault else { continue };
            if *how == DhcpFault::Silent {
                duties.clear();
            }
            for duty in &mut duties {
                bend_duty(duty, *how);
            }
        }
        duties
    }

    /// What is announced, interface by interface.
    pub(super) fn announced(&self) -> BTreeMap<InterfaceName, Announcement> {
        let mut announced = self.announcements.clone();
        announced.retain(|interface, _| !self.withdrawn.contains(interface));
        for fault in &self.faults {
            let Sabotage::AdvertiseWrongly { interface, change, .. } = fault else { continue };
            if *change == AdvertisementFault::Silent {
                announced.remove(interface);
            } else if let Some(announcement) = announced.get_mut(interface) {
                announcement::bend(announcement, *change);
            }
        }
        announced
    }

    /// Whether a router that ends on an interface says farewell: not if a fault has silenced it.
    pub(super) fn says_farewell(&self, interface: &InterfaceName) -> bool {
        let silences = |fault: &Sabotage| {
            matches!(fault, Sabotage::AdvertiseWrongly {
                interface: at,
                change: AdvertisementFault::Silent | AdvertisementFault::NoFarewell,
                ..
            } if at == interface)
        };
        !self.faults.iter().any(silences)
    }
}

fn bend_duty(duty: &mut DhcpDuty, how: DhcpFault) {
    let DhcpDuty::Serve(link) = duty else { return };
    match how {
        DhcpFault::Silent => {}
        DhcpFault::NoDns => link.dns.clear(),
        DhcpFault::NoSearch => link.search.clear(),
        DhcpFault::NeverRenews
        | DhcpFault::ForgetsLeases
        | DhcpFault::NeverRebinds
        | DhcpFault::NeverReleases
        | DhcpFault::RenewsForLess
        | DhcpFault::TwoNames => link.spoilt.push(how),
        DhcpFault::OutsidePrefix => {
            // The last bit before the interface identifier: the prefix next door.
            for (_, address) in &mut link.leases {
                *address = std::net::Ipv6Addr::from(u128::from(*address) ^ (1 << 64));
            }
        }
    }
}

fn bend_front(fronted: &mut Fronted, site: &NodeName, how: FrontFault) {
    match how {
        FrontFault::NoEntry => fronted.sites.retain(|known| known.node != *site),
        FrontFault::NoClient => fronted.tells = None,
        FrontFault::OtherSite => {
            let other = fronted.sites.iter().find(|other| other.node != *site);
            let Some(elsewhere) = other.map(|other| other.at.clone()) else { return };
            let bent = fronted.sites.iter_mut().filter(|known| known.node == *site);
            bent.for_each(|known| known.at.clone_from(&elsewhere));
        }
    }
}

fn bend_zone(zone: &mut Zone, fault: &Sabotage) {
    match fault {
        Sabotage::SetRecord { name, data, .. } if name.is_within(&zone.origin) => {
            let same = |record: &Record| record.name == *name && is_same_type(&record.data, data);
            zone.extra.retain(|record| !same(record));
            zone.extra.push(Record { name: name.clone(), data: data.clone() });
        }
        Sabotage::RemoveRecord { name, family, .. } => {
            zone.extra.retain(|record| record.name != *name || !is_of(record, *family));
        }
        _ => {}
    }
}

fn is_same_type(one: &RecordData, other: &RecordData) -> bool {
    match (one, other) {
        (RecordData::Address(one), RecordData::Address(other)) => one.is_ipv4() == other.is_ipv4(),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// Whether a record is an address of a family, or a pointer from one.
fn is_of(record: &Record, family: Family) -> bool {
    match &record.data {
        RecordData::Address(address) => address.is_ipv4() == (family == Family::V4),
        RecordData::Pointer(_) => record.name.as_str().ends_with(match family {
            Family::V4 => ".in-addr.arpa",
            Family::V6 => ".ip6.arpa",
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone() -> Zone {
        let address = |text: &str| Record {
            name: "portal.dc.test".parse().unwrap(),
            data: RecordData::Address(text.parse().unwrap()),
        };
        Zone {
            origin: "dc.test".parse().unwrap(),
            inside: None,
            servers: Vec::new(),
            extra: vec![address("192.0.2.1"), address("2001:db8::1")],
        }
    }

    fn addresses(fault: &Sabotage) -> Vec<String> {
        let mut zone = zone();
        bend_zone(&mut zone, fault);
        let text = |record: &Record| match &record.data {
            RecordData::Address(address) => address.to_string(),
            other => format!("{other:?}"),
        };
        zone.extra.iter().map(text).collect()
    }

    #[test]
    fn engines_are_told_to_listen_everywhere_too() {
        let service: ServiceName = "ssh".parse().unwrap();
        let at = |text: &str| (service.clone(), text.parse::<IpAddr>().unwrap());
        let node = "gw".parse().unwrap();
        let fault = Sabotage::ListenEverywhere { node, service: service.clone() };
        let listeners = ["10.9.0.1", "2001:db8:9::1", "2001:db8:9::2"].map(at).into();
        let orders = Orders { listeners, faults: vec![fault], ..Orders::default() };
        let any = ["0.0.0.0", "::"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(orders.listen(&service), any);
    }

    #[test]
    fn a_record_is_replaced_within_its_type() {
        let set = |text: &str| Sabotage::SetRecord {
            node: "ns".parse().unwrap(),
            name: "portal.dc.test".parse().unwrap(),
            data: RecordData::Address(text.parse().unwrap()),
        };
        assert_eq!(addresses(&set("2001:db8::dead")), ["192.0.2.1", "2001:db8::dead"]);
        assert_eq!(addresses(&set("::ffff:192.0.2.9")), ["192.0.2.1", "::ffff:192.0.2.9"]);
    }

    #[test]
    fn the_addresses_of_one_family_are_removed() {
        let remove = |family| Sabotage::RemoveRecord {
            node: "ns".parse().unwrap(),
            name: "portal.dc.test".parse().unwrap(),
            family,
        };
        assert_eq!(addresses(&remove(Family::V6)), ["192.0.2.1"]);
        assert_eq!(addresses(&remove(Family::V4)), ["2001:db8::1"]);
    }
}

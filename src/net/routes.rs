//! Routes: how they are made, removed and read, with the path MTUs that were learned.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
        RouteProtocol, RouteScope, RouteType,
    },
};
use rtnetlink::RouteMessageBuilder;

use super::{
    links::{self, address_family},
    netlink::{Netlink, NetlinkError, Request},
};
use crate::model::{answer::RouteState, family::Family};

/// Ticks of the kernel's clock in its answers, per second (`USER_HZ`).
const TICKS: u32 = 100;

/// Adds a route by a next hop, of origin `static`.
pub fn add(to: IpNet, via: IpAddr) -> Request {
    Request::create(RouteNetlinkMessage::NewRoute(route(to, via)))
}

/// Removes a route by a next hop.
pub fn remove(to: IpNet, via: IpAddr) -> Request {
    Request::change(RouteNetlinkMessage::DelRoute(route(to, via)))
}

/// Removes a route whoever made it: by its next hop, where it has one, and its interface.
pub fn remove_any(to: IpNet, via: Option<IpAddr>, index: u32) -> Request {
    let mut message = RouteMessage::default();
    message.header.address_family = address_family(Family::of_net(to));
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.scope = RouteScope::NoWhere;
    message.header.destination_prefix_length = to.prefix_len();
    message.attributes.push(RouteAttribute::Destination(to.trunc().addr().into()));
    message.attributes.extend(via.map(|via| RouteAttribute::Gateway(via.into())));
    message.attributes.push(RouteAttribute::Oif(index));
    Request::change(RouteNetlinkMessage::DelRoute(message))
}

fn route(to: IpNet, via: IpAddr) -> RouteMessage {
    let to = to.trunc();
    RouteMessageBuilder::<IpAddr>::new()
        .destination_prefix(to.addr(), to.prefix_len())
        .and_then(|route| route.gateway(via))
        .expect("a route and its next hop are of one family, and a prefix length is in range")
        .build()
}

/// Every unicast route of the main table, then the learned exceptions from them.
pub fn read(netlink: &Netlink) -> Result<Vec<RouteState>, NetlinkError> {
    let links = links::read(netlink)?;
    let names = links.into_iter().map(|(index, link)| (index, link.name)).collect();
    let mut routes = Vec::new();
    for message in dump(netlink, RouteFlags::empty())? {
        if message.header.kind == RouteType::Unicast && table(&message) == main_table() {
            routes.extend(route_state(&message, &names));
        }
    }
    for message in dump(netlink, RouteFlags::Cloned)? {
        routes.extend(route_state(&message, &names).filter(|route| route.learned_mtu.is_some()));
    }
    Ok(routes)
}

/// The requests that forget every learned exception of IPv6; those of IPv4 go with the switch `net.ipv4.route.flush`.
pub fn forget_exceptions(netlink: &Netlink) -> Result<Vec<Request>, NetlinkError> {
    let exceptions = dump(netlink, RouteFlags::Cloned)?;
    let v6 = exceptions.into_iter().filter(|m| m.header.address_family == AddressFamily::Inet6);
    let forget = |mut exception: RouteMessage| {
        let wanted = |a: &RouteAttribute| {
            matches!(a, RouteAttribute::Destination(_) | RouteAttribute::Oif(_))
        };
        exception.attributes.retain(wanted);
        Request::change(RouteNetlinkMessage::DelRoute(exception))
    };
    Ok(v6.map(forget).collect())
}

fn main_table() -> u32 {
    u32::from(RouteHeader::RT_TABLE_MAIN)
}

fn table(message: &RouteMessage) -> u32 {
    let given = message.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    given.unwrap_or(u32::from(message.header.table))
}

fn dump(netlink: &Netlink, flags: RouteFlags) -> Result<Vec<RouteMessage>, NetlinkError> {
    let mut found = Vec::new();
    for family in Family::ALL {
        let mut request = RouteMessage::default();
        request.header.address_family = address_family(family);
        request.header.flags = flags;
        for message in netlink.dump(&RouteNetlinkMessage::GetRoute(request))? {
            if let RouteNetlinkMessage::NewRoute(route) = message {
                found.push(route);
            }
        }
    }
    Ok(found)
}

fn route_state(message: &RouteMessage, names: &BTreeMap<u32, String>) -> Option<RouteState> {
    let family = match message.header.address_family {
        AddressFamily::Inet => Family::V4,
        AddressFamily::Inet6 => Family::V6,
        _ => return None,
    };
    let mut to = family.unspecified();
    let mut via = None;
    let mut interface = None;
    let mut mtu = None;
    let mut expires = 0;
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => to = ip(address)?,
            RouteAttribute::Gateway(address) => via = ip(address),
            RouteAttribute::Oif(index) => interface = names.get(index).cloned(),
            RouteAttribute::Metrics(metrics) => mtu = learned(metrics),
            RouteAttribute::CacheInfo(cache) => expires = cache.expires / TICKS,
            _ => {}
        }
    }
    let is_exception = message.header.flags.contains(RouteFlags::Cloned);
    Some(RouteState {
        to: IpNet::new(to, message.header.destination_prefix_length).ok()?,
        via,
        interface: interface.unwrap_or_default(),
        expires_s: (!is_exception && expires > 0).then_some(expires),
        origin: origin(message.header.protocol),
        learned_mtu: mtu.filter(|_| is_exception).map(|mtu| (mtu, expires)),
    })
}

fn learned(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) => Some(*mtu),
        _ => None,
    })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

/// The word that `ip route` shows after `proto`.
fn origin(protocol: RouteProtocol) -> String {
    match protocol {
        RouteProtocol::IcmpRedirect => "redirect".to_owned(),
        RouteProtocol::Other(number) => number.to_string(),
        other => format!("{other:?}").to_lowercase(),
    }
}

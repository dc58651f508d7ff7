//! The neighbour cache: read and emptied.

use std::net::IpAddr;

use netlink_packet_route::{
    RouteNetlinkMessage,
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage,
        NeighbourState as CacheState,
    },
};

use super::{
    links,
    netlink::{Netlink, NetlinkError, Request},
};
use crate::model::{answer::NeighbourState, mac::Mac};

/// Every entry that was learned, or that is being asked for.
pub fn read(netlink: &Netlink) -> Result<Vec<NeighbourState>, NetlinkError> {
    let links = links::read(netlink)?;
    let state = |message: &NeighbourMessage| {
        let interface = links.get(&message.header.ifindex)?.name.clone();
        Some(NeighbourState {
            address: address(message)?,
            mac: mac(message),
            interface,
            state: format!("{:?}", message.header.state).to_lowercase(),
            router: message.header.flags.contains(NeighbourFlags::Router),
        })
    };
    Ok(learned(netlink)?.iter().filter_map(state).collect())
}

/// The requests that remove every learned entry.
pub fn forget(netlink: &Netlink) -> Result<Vec<Request>, NetlinkError> {
    let forget = |entry: NeighbourMessage| {
        let mut message = NeighbourMessage::default();
        message.header.family = entry.header.family;
        message.header.ifindex = entry.header.ifindex;
        let is_target = |a: &NeighbourAttribute| matches!(a, NeighbourAttribute::Destination(_));
        message.attributes = entry.attributes.into_iter().filter(is_target).collect();
        Request::change(RouteNetlinkMessage::DelNeighbour(message))
    };
    Ok(learned(netlink)?.into_iter().map(forget).collect())
}

/// The entries of unicast neighbours; those that the kernel keeps for multicast and loopback are left out, and those
/// that someone has written (`permanent`).
fn learned(netlink: &Netlink) -> Result<Vec<NeighbourMessage>, NetlinkError> {
    let all = netlink.dump(&RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default()))?;
    Ok(all
        .into_iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(entry) => Some(entry),
            _ => None,
        })
        .filter(|entry| {
            !matches!(entry.header.state, CacheState::Noarp | CacheState::Permanent)
                && address(entry).is_some_and(|address| !address.is_multicast())
        })
        .collect())
}

fn address(message: &NeighbourMessage) -> Option<IpAddr> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some((*v4).into()),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some((*v6).into()),
        _ => None,
    })
}

fn mac(message: &NeighbourMessage) -> Option<Mac> {
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(octets) => {
            Some(Mac(octets.as_slice().try_into().ok()?))
        }
        _ => None,
    })
}

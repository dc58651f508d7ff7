//! Links and their addresses: how they are made, changed and read.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
};

use ipnet::IpNet;
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage, CacheInfo},
    link::{BridgeStpState, InfoBridge, InfoData, InfoVeth, LinkAttribute, LinkFlags, LinkMessage},
};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};
use socket2::{Domain, Socket, Type};

use super::{
    namespace::Namespace,
    netlink::{Netlink, NetlinkError, Request},
};
use crate::model::{
    answer::{AddressState, LinkState},
    family::Family,
    mac::Mac,
};

/// The index of the loopback interface in every namespace.
pub const LOOPBACK: u32 = 1;

/// The first index that is ours to choose, in every namespace. Those below are for the kernel: where a module of tunnels is
/// loaded, each new namespace is born with its fallback device (`sit0`, `tunl0`, `ip6tnl0`, `gre0`) at the next free index.
pub const FIRST: u32 = 1001;

/// One end of a virtual cable.
#[derive(Clone, Copy, Debug)]
pub struct End<'a> {
    /// Its name in its namespace.
    pub name: &'a str,
    /// Its index in its namespace, chosen by us so that nobody has to look it up.
    pub index: u32,
    /// Its link-layer address; the kernel's choice where none is given.
    pub mac: Option<Mac>,
}

/// Makes a bridge that forwards from the first moment and never sends a frame of its own: no spanning tree, no multicast
/// snooping and hence no queries.
pub fn add_bridge(name: &str, index: u32, mtu: u32) -> Request {
    let silent = InfoData::Bridge(vec![
        InfoBridge::ForwardDelay(0),
        InfoBridge::StpState(BridgeStpState::Disabled),
        InfoBridge::MulticastSnooping(false),
        InfoBridge::MulticastQuerier(false),
    ]);
    let bridge = LinkBridge::new(name).index(index).mtu(mtu).set_info_data(silent).build();
    Request::create(RouteNetlinkMessage::NewLink(bridge))
}

/// Makes a cable whose near end is here, up, as a port of a bridge where there is one, and whose far end stands in another
/// namespace, down.
pub fn add_cable(near: End, bridge: Option<u32>, far: End, other: &Namespace, mtu: u32) -> Request {
    let peer = named(LinkMessageBuilder::<LinkUnspec>::default(), far, mtu)
        .setns_by_fd(other.as_fd().as_raw_fd())
        .build();
    let cable = named(LinkVeth::new(near.name, far.name), near, mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .up();
    let cable = match bridge {
        Some(index) => cable.controller(index).build(),
        None => cable.build(),
    };
    Request::create(RouteNetlinkMessage::NewLink(cable))
}

fn named<T>(message: LinkMessageBuilder<T>, end: End, mtu: u32) -> LinkMessageBuilder<T> {
    let message = message.name(end.name).index(end.index).mtu(mtu);
    match end.mac {
        Some(mac) => message.address(mac.0.to_vec()),
        None => message,
    }
}

/// Takes a link away; the other end of a cable goes with it.
pub fn remove(index: u32) -> Request {
    let link = LinkUnspec::new_with_index(index).build();
    Request::change(RouteNetlinkMessage::DelLink(link))
}

/// Brings a link up.
pub fn bring_up(index: u32) -> Request {
    Request::change(RouteNetlinkMessage::SetLink(LinkUnspec::new_with_index(index).up().build()))
}

/// Gives a link another MTU.
pub fn set_mtu(index: u32, mtu: u32) -> Request {
    let link = LinkUnspec::new_with_index(index).mtu(mtu).build();
    Request::change(RouteNetlinkMessage::SetLink(link))
}

/// Adds an address. An IPv6 address goes through duplicate address detection (RFC 4862 section 5.4).
pub fn add_address(index: u32, net: IpNet) -> Request {
    Request::create(RouteNetlinkMessage::NewAddress(address(index, net)))
}

/// Adds an address with lifetimes in seconds. The prefix of its link is not on-link because of it: that is for routers to
/// say (RFC 5942 section 4).
pub fn add_leased(index: u32, net: IpNet, preferred_s: u32, valid_s: u32) -> Request {
    let mut message = address(index, net);
    let mut lifetimes = CacheInfo::default();
    lifetimes.ifa_preferred = preferred_s;
    lifetimes.ifa_valid = valid_s;
    message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    message.attributes.push(AddressAttribute::Flags(AddressFlags::Noprefixroute));
    Request::replace(RouteNetlinkMessage::NewAddress(message))
}

/// Removes an address.
pub fn remove_address(index: u32, net: IpNet) -> Request {
    Request::change(RouteNetlinkMessage::DelAddress(address(index, net)))
}

fn address(index: u32, net: IpNet) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(Family::of_net(net));
    message.header.prefix_len = net.prefix_len();
    message.header.index = index;
    message.attributes =
        vec![AddressAttribute::Local(net.addr()), AddressAttribute::Address(net.addr())];
    message
}

/// The kernel's number of a family.
pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// Every link by its index, with its addresses.
pub fn read(netlink: &Netlink) -> Result<BTreeMap<u32, LinkState>, NetlinkError> {
    let mut links = BTreeMap::new();
    for message in netlink.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))? {
        if let RouteNetlinkMessage::NewLink(link) = message {
            links.insert(link.header.index, link_state(&link));
        }
    }
    for (index, address) in read_addresses(netlink)? {
        if let Some(link) = links.get_mut(&index) {
            link.addresses.push(address);
        }
    }
    Ok(links)
}

/// Every address with the index of its link.
pub fn read_addresses(netlink: &Netlink) -> Result<Vec<(u32, AddressState)>, NetlinkError> {
    let all = netlink.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    Ok(all
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewAddress(m) => Some((m.header.index, address_state(m)?)),
            _ => None,
        })
        .collect())
}

fn link_state(link: &LinkMessage) -> LinkState {
    let mut state = LinkState {
        name: String::new(),
        mac: None,
        mtu: 0,
        up: link.header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        addresses: Vec::new(),
    };
    let loopback = link.header.flags.contains(LinkFlags::Loopback);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => state.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => state.mtu = *mtu,
            LinkAttribute::Address(octets) if !loopback => state.mac = mac(octets),
            _ => {}
        }
    }
    state
}

fn mac(octets: &[u8]) -> Option<Mac> {
    Some(Mac(octets.try_into().ok()?))
}

fn address_state(message: &AddressMessage) -> Option<AddressState> {
    let mut local = None;
    let mut remote = None;
    let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(address) => local = Some(*address),
            AddressAttribute::Address(address) => remote = Some(*address),
            AddressAttribute::Flags(all) => flags = *all,
            _ => {}
        }
    }
    let address = local.or(remote)?;
    Some(AddressState {
        net: IpNet::new(address, message.header.prefix_len).ok()?,
        tentative: flags.contains(AddressFlags::Tentative),
        dad_failed: flags.contains(AddressFlags::Dadfailed),
        dynamic: !flags.contains(AddressFlags::Permanent),
        // The bit of `IFA_F_SECONDARY` means temporary for IPv6 (RFC 8981).
        temporary: address.is_ipv6() && flags.contains(AddressFlags::Secondary),
        deprecated: flags.contains(AddressFlags::Deprecated),
    })
}

/// Whether an address is link-local of IPv6 (RFC 4291 section 2.5.6): the node makes and drops it by itself.
pub fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if Ipv6Addr::is_unicast_link_local(&v6))
}

/// Takes a link down.
pub fn take_down(index: u32) -> Request {
    Request::change(RouteNetlinkMessage::SetLink(LinkUnspec::new_with_index(index).down().build()))
}

/// Lets packets leave a link whole, with their checksum and no longer than the MTU, because a program will read them; or
/// again as it is fastest.
pub fn set_offloads(namespace: &Namespace, interface: &str, on: bool) -> io::Result<()> {
    namespace.run(|| offloads(&Socket::new(Domain::IPV4, Type::DGRAM, None)?, interface, on))
}

/// Lets packets come out of a device as they went in at its other end, and not merged into longer ones.
pub fn keep_apart(namespace: &Namespace, interface: &str) -> io::Result<()> {
    /// `ETHTOOL_SGRO`.
    const MERGING: u32 = 0x2c;
    namespace.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        offload(&socket, interface, MERGING, false)
    })
}

fn offloads(socket: &Socket, interface: &str, on: bool) -> io::Result<()> {
    /// `ETHTOOL_STXCSUM`, `ETHTOOL_STSO` and `ETHTOOL_SGSO` (linux/ethtool.h).
    const OFFLOADS: [u32; 3] = [0x17, 0x1f, 0x24];
    OFFLOADS.into_iter().try_for_each(|command| offload(socket, interface, command, on))
}

fn offload(socket: &Socket, interface: &str, command: u32, on: bool) -> io::Result<()> {
    // `struct ethtool_value`: the command, and whether it is on.
    let mut value = [command, u32::from(on)];
    ioctl(socket, interface, libc::SIOCETHTOOL, |request| {
        request.ifr_ifru.ifru_data = value.as_mut_ptr().cast();
    })
}

/// Makes a link that packets leave as they would leave a tunnel device: nobody there is asked for a link-layer address,
/// and what leaves is whole, with its checksum and no longer than the MTU, because a program will read it. Called before
/// the link is brought up.
pub fn as_tunnel(namespace: &Namespace, interface: &str) -> io::Result<()> {
    namespace.run(|| {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        offloads(&socket, interface, false)?;
        let flags = i16::try_from(libc::IFF_NOARP).map_err(io::Error::other)?;
        ioctl(&socket, interface, libc::SIOCSIFFLAGS, |request| {
            request.ifr_ifru.ifru_flags = flags;
        })
    })
}

fn ioctl(
    socket: &Socket,
    interface: &str,
    command: libc::Ioctl,
    fill: impl FnOnce(&mut libc::ifreq),
) -> io::Result<()> {
    // SAFETY: `ifreq` is a plain structure, and all zeros is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (place, octet) in request.ifr_name.iter_mut().take(room).zip(interface.bytes()) {
        *place = octet.cast_signed();
    }
    fill(&mut request);
    // SAFETY: the request is a whole `ifreq` with a terminated name; what it points to outlives the call.
    let said = unsafe { libc::ioctl(socket.as_raw_fd(), command, &raw mut request) };
    if said == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

//! A program that carries a tunnel, and the place where it runs: a namespace beside its gateway, as an appliance would stand
//! there. Its routes, its device and its addresses are none of the gateway's, whose interfaces are as with the tunnel that is
//! built in.
//!
//! ```text
//! Inside ── packet socket on the program's device │ program │ UDP socket, as the other end ── Ways ── the gateway's outside
//!                                                 loopback of the namespace
//! ```

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use ipnet::IpNet;
use tokio::net::UdpSocket;

use super::charon::Charon;
use crate::{
    engine::{Esp, TunnelEngine},
    model::{
        name::NodeName,
        policy::{Action, Chain, Filter, Hook, Match, Rule},
        tunnel::TunnelEnd,
    },
    net::{
        esp,
        links::{self, LOOPBACK},
        namespace::Namespace,
        netlink::{Netlink, Request},
        nftables,
        packet::{self, Ear, Layer},
    },
    serve::{daemon::Process, socket},
    wire::filter,
};

/// The port of IKE and of ESP in UDP (RFC 3948 section 4), and the one that stands for the other end.
pub(super) const PORT: u16 = 4500;
pub(super) const THEIR_PORT: u16 = 4501;
/// Room for packets that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 4 << 20;

/// The index of the device, where it is made here.
const DEVICE: u32 = links::FIRST;

/// A program at work.
pub(super) struct Appliance {
    pub(super) process: Process,
    pub(super) device: Ear,
    pub(super) relay: UdpSocket,
    pub(super) charon: Charon,
}

/// The place where a program is to run.
pub(super) struct Place {
    pub(super) namespace: Namespace,
    pub(super) relay: UdpSocket,
    netlink: Netlink,
    esp: Esp,
}

impl Place {
    /// Makes a namespace of its own for one.
    pub(super) fn prepare(engine: &TunnelEngine, esp: Esp, end: &TunnelEnd) -> io::Result<Self> {
        let namespace = Namespace::create()?;
        let netlink = Netlink::open(&namespace)?;
        settle_in(&namespace, &netlink, engine, end)?;
        if esp == Esp::Kernel {
            make(&netlink, &esp::interface(engine.device, DEVICE))?;
        }
        let relay = namespace.run(|| relay(end))?;
        Ok(Self { namespace, relay, netlink, esp })
    }

    /// Waits for the program that was started here, and tells it of the tunnel.
    pub(super) async fn ready(
        &self,
        engine: &TunnelEngine,
        work: &Path,
        node: &NodeName,
        end: &TunnelEnd,
        secret: &str,
    ) -> io::Result<(Ear, Charon)> {
        let mut charon = Charon::connect(&work.join(engine.control)).await;
        charon.tell(node, end, self.esp, secret).await?;
        let links = links::read(&self.netlink).map_err(io::Error::other)?;
        let device = links.iter().find(|(_, link)| link.name == engine.device);
        let (index, _) = device.ok_or_else(|| {
            io::Error::other(format!(
                "it has made no device {}: that takes the packages {} and a /dev/net/tun that may be opened",
                engine.device, engine.package
            ))
        })?;
        let device = self.namespace.run(|| {
            let socket = packet::open(Layer::Link, &filter::everything(), *index)?;
            socket.set_recv_buffer_size(WAITING_ROOM)?;
            Ok(socket)
        })?;
        Ok((Ear::new(device)?, charon))
    }
}

/// Gives the namespace the addresses of both ends outside, and one of everything that is coupled here: the program wants one
/// for each selector. They are on its loopback, and its kernel neither hears nor answers what comes out of the tunnel.
fn settle_in(
    namespace: &Namespace,
    netlink: &Netlink,
    engine: &TunnelEngine,
    end: &TunnelEnd,
) -> io::Result<()> {
    let outside = [end.local.ip(), end.remote.ip()];
    let addresses = outside.into_iter().chain(here(end).map(first_of));
    let requests: Vec<_> = std::iter::once(links::bring_up(LOOPBACK))
        .chain(addresses.map(|ip| links::add_address(LOOPBACK, IpNet::from(ip))))
        .collect();
    make(netlink, &requests)?;
    let name = || engine.device.parse().map_err(io::Error::other);
    let deaf = |hook, way: Match| Chain {
        hook,
        policy: Action::Accept,
        rules: vec![Rule {
            label: "the gateway alone".to_owned(),
            matches: vec![way],
            action: Action::Drop,
        }],
    };
    let chains = vec![
        deaf(Hook::Input, Match::InInterface(name()?)),
        deaf(Hook::Forward, Match::InInterface(name()?)),
        deaf(Hook::Output, Match::OutInterface(name()?)),
    ];
    nftables::replace(namespace, &Filter { chains }).map_err(io::Error::other)
}

fn make(netlink: &Netlink, requests: &[Request]) -> io::Result<()> {
    let outcomes = netlink.batch(requests).map_err(io::Error::other)?;
    let refused = outcomes.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |refusal| Err(io::Error::other(refusal.to_string())))
}

/// What stands behind this end, its gateway's own addresses inside with it: its ICMP errors come from them.
pub(super) fn here(end: &TunnelEnd) -> impl Iterator<Item = IpNet> + '_ {
    end.relations.iter().map(|r| r.here).chain(end.within.iter().copied())
}

/// What stands behind the other end, likewise.
pub(super) fn there(end: &TunnelEnd) -> impl Iterator<Item = IpNet> + '_ {
    end.relations.iter().map(|r| r.there).chain(end.beyond.iter().copied())
}

/// An address of a prefix.
fn first_of(net: IpNet) -> IpAddr {
    net.hosts().next().unwrap_or(net.addr())
}

/// The socket that is the other end to the program.
fn relay(end: &TunnelEnd) -> io::Result<UdpSocket> {
    let their = SocketAddr::new(end.remote.ip(), THEIR_PORT);
    let socket = socket::datagram_socket(their)?;
    socket.set_recv_buffer_size(WAITING_ROOM)?;
    socket.bind(&their.into())?;
    socket.connect(&SocketAddr::new(end.local.ip(), PORT).into())?;
    UdpSocket::from_std(socket.into())
}

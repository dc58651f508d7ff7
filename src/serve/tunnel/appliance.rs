//! Who carries a tunnel in the place of what is built in, a program or the kernel, and where: in a namespace beside the gateway,
//! as an appliance would stand there. Its routes, its device and its addresses are none of the gateway's, whose interfaces are as with the tunnel that is
//! built in.
//!
//! ```text
//! Inside ── packet socket on the agent's device │ agent │ UDP socket, as the other end ── Ways ── the gateway's outside
//!                                               loopback of the namespace
//! ```

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use ipnet::IpNet;
use tokio::net::UdpSocket;

use super::{
    agent::Agent,
    charon::Charon,
    sides::{PORT, first_of, here, theirs},
};
use crate::{
    engine::{Esp, TunnelEngine, TunnelProgram, TunnelWorker},
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
        packet::Ear,
        wireguard::{self, Device, Told},
    },
    serve::socket,
    wire::filter,
};

/// Room for packets that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 4 << 20;

/// The index of the device, where it is made here.
const DEVICE: u32 = links::FIRST;

/// An agent at work.
pub(super) struct Appliance {
    pub(super) agent: Agent,
    pub(super) device: Ear,
    pub(super) relay: UdpSocket,
    /// Where it works.
    pub(super) place: Namespace,
}

/// The place where an agent is to work.
pub(super) struct Place {
    pub(super) namespace: Namespace,
    engine: &'static TunnelEngine,
    netlink: Netlink,
}

impl Place {
    /// Makes a namespace of its own for one.
    pub(super) fn prepare(engine: &'static TunnelEngine, end: &TunnelEnd) -> io::Result<Self> {
        let namespace = Namespace::create()?;
        let netlink = Netlink::open(&namespace)?;
        settle_in(&namespace, &netlink, engine, end)?;
        Ok(Self { namespace, engine, netlink })
    }

    /// Has ESP of the kernel stand for the device that a program would make.
    pub(super) fn add_esp(&self) -> io::Result<()> {
        make(&self.netlink, &esp::interface(self.engine.device, DEVICE))
    }

    /// Makes a device of WireGuard, with the MTU of the inside: it fills up packets to multiples of 16 octets, but no further
    /// than its MTU. The error is a sentence.
    pub(super) fn add_wireguard(&self, mtu: u32, told: &Told) -> Result<Device, String> {
        let said = |error: &dyn std::fmt::Display| error.to_string();
        let name = self.engine.device;
        let made = self.netlink.ask(&wireguard::link(name, DEVICE, mtu));
        made.map_err(|error| {
            let remedy = self.engine.by.remedy();
            format!("has no device: the kernel makes none of WireGuard: {error}; {remedy}")
        })?;
        links::keep_apart(&self.namespace, name).map_err(|error| said(&error))?;
        let device = Device::tell(&self.namespace, DEVICE, told).map_err(|error| said(&error))?;
        make(&self.netlink, &[links::bring_up(DEVICE)]).map_err(|error| said(&error))?;
        Ok(device)
    }

    /// Waits for the program that was started here, and tells it of the tunnel.
    pub(super) async fn ready(
        &self,
        program: &TunnelProgram,
        work: &Path,
        (node, end): (&NodeName, &TunnelEnd),
        esp: Esp,
        secret: &str,
    ) -> io::Result<Charon> {
        let mut charon = Charon::connect(&work.join(program.control)).await;
        charon.tell(node, end, esp, secret).await?;
        Ok(charon)
    }

    /// The device as it is read and written here.
    pub(super) fn device(&self) -> io::Result<Ear> {
        let links = links::read(&self.netlink).map_err(io::Error::other)?;
        let device = links.iter().find(|(_, link)| link.name == self.engine.device);
        let (index, _) = device.ok_or_else(|| {
            let what = match &self.engine.by {
                TunnelWorker::Program(program) => format!(
                    "that takes the packages {} and a /dev/net/tun that may be opened",
                    program.package
                ),
                TunnelWorker::Kernel => "somebody has removed it".to_owned(),
            };
            io::Error::other(format!("it has made no device {}: {what}", self.engine.device))
        })?;
        Ear::at(&self.namespace, *index, &filter::everything())
    }

    /// The socket that is the other end to an agent that is heard at an address.
    pub(super) fn relay(&self, end: &TunnelEnd, agent: IpAddr) -> io::Result<UdpSocket> {
        self.namespace.run(|| relay(end, agent))
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
    let addresses = outside.into_iter().chain(here(end).into_iter().map(first_of));
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

fn relay(end: &TunnelEnd, agent: IpAddr) -> io::Result<UdpSocket> {
    let their = theirs(end);
    let socket = socket::datagram_socket(their)?;
    socket.set_recv_buffer_size(WAITING_ROOM)?;
    socket.bind(&their.into())?;
    socket.connect(&SocketAddr::new(agent, PORT).into())?;
    UdpSocket::from_std(socket.into())
}

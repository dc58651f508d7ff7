//! WireGuard of the kernel: whether there is one, and a device of it (generic netlink, family `wireguard`).

use std::{fmt, net::SocketAddr};

use ipnet::IpNet;
use netlink_packet_core::{Emitable, NetlinkSerializable};
use netlink_packet_generic::{
    GenlMessage,
    ctrl::{GenlCtrl, GenlCtrlCmd, nlas::GenlCtrlAttrs},
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardDeviceFlags, WireguardMessage, WireguardPeer, WireguardPeerAttribute,
    WireguardPeerFlags, WireguardTimeSpec,
};
use netlink_sys::protocols;
use rtnetlink::LinkWireguard;

use super::{
    links::FIRST,
    namespace::Namespace,
    netlink::{Netlink, NetlinkError, Request},
};
use crate::model::family::Family;

/// A key of Curve25519.
pub type Key = [u8; 32];

/// Tries to make a device, in a namespace that is gone afterwards. The error is the kernel's sentence.
pub fn offered() -> Result<(), String> {
    let namespace = Namespace::create().map_err(|error| error.to_string())?;
    let netlink = Netlink::open(&namespace).map_err(|error| error.to_string())?;
    netlink.ask(&link("trial", FIRST, 1420)).map_err(|error| error.to_string())
}

/// Makes a device, down. Its datagrams come and go in the namespace in which it is made.
pub fn link(name: &str, index: u32, mtu: u32) -> Request {
    let link = LinkWireguard::new(name).index(index).mtu(mtu).build();
    Request::create(RouteNetlinkMessage::NewLink(link))
}

/// What a device is told.
pub struct Told {
    /// Its secret key.
    pub secret: Key,
    /// The port at which it is heard.
    pub port: u16,
    /// The public key of the other end.
    pub peer: Key,
    /// Where the other end is heard.
    pub remote: SocketAddr,
    /// What is behind the other end: the sources of what comes, and the destinations of what goes.
    pub beyond: Vec<IpNet>,
}

/// When keys were last agreed on, by the clock of the machine: nothing more than a name of those keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Agreed(i64, i64);

/// Seconds and nanoseconds.
impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0, self.1)
    }
}

/// A device with one peer.
pub struct Device {
    netlink: Netlink,
    /// The kernel's number of the family.
    family: u16,
    index: u32,
    secret: Key,
    peer: Key,
}

impl Device {
    /// Tells a device that is there what it is to do.
    pub fn tell(namespace: &Namespace, index: u32, told: &Told) -> Result<Self, NetlinkError> {
        let netlink = namespace.run(|| Netlink::of_protocol(protocols::NETLINK_GENERIC))?;
        let family = number(&netlink)?;
        let device = Self { netlink, family, index, secret: told.secret, peer: told.peer };
        let peer = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(told.peer),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::ReplaceAllowedIps),
            WireguardPeerAttribute::Endpoint(told.remote),
            WireguardPeerAttribute::AllowedIps(told.beyond.iter().map(allowed).collect()),
        ]);
        device.set(vec![
            WireguardAttribute::PrivateKey(told.secret),
            WireguardAttribute::ListenPort(told.port),
            WireguardAttribute::Flags(WireguardDeviceFlags::ReplacePeers),
            WireguardAttribute::Peers(vec![peer]),
        ])?;
        Ok(device)
    }

    /// Has it agree on new keys at once, which it cannot be told in so many words. A device that gets another secret sends
    /// nothing under its old keys any more, but still takes in what comes under them; and one that is to say that it is
    /// alive needs new ones for that.
    pub fn renew(&self) -> Result<(), NetlinkError> {
        let mut other = self.secret;
        other[16] ^= 0xff;
        self.set(vec![WireguardAttribute::PrivateKey(other)])?;
        self.set(vec![WireguardAttribute::PrivateKey(self.secret)])?;
        // A sign of life is given when the interval is set, and none after that.
        self.keep_alive(u16::MAX)?;
        self.keep_alive(0)
    }

    fn keep_alive(&self, seconds: u16) -> Result<(), NetlinkError> {
        let peer = WireguardPeer(vec![
            WireguardPeerAttribute::PublicKey(self.peer),
            WireguardPeerAttribute::Flags(WireguardPeerFlags::UpdateOnly),
            WireguardPeerAttribute::PersistentKeepalive(seconds),
        ]);
        self.set(vec![WireguardAttribute::Peers(vec![peer])])
    }

    /// When it last agreed on keys, if ever.
    pub fn agreed(&self) -> Result<Option<Agreed>, NetlinkError> {
        let request = self.message(WireguardCmd::GetDevice, Vec::new());
        let said = self.netlink.dump(&request)?;
        let attributes = said.into_iter().flat_map(|message| message.payload.attributes);
        let peers = attributes.filter_map(|attribute| match attribute {
            WireguardAttribute::Peers(peers) => Some(peers),
            _ => None,
        });
        let mut of_peer = peers.flatten().flat_map(|WireguardPeer(peer)| peer);
        Ok(of_peer.find_map(|attribute| match attribute {
            WireguardPeerAttribute::LastHandshake(at) if at != WireguardTimeSpec::default() => {
                Some(Agreed(at.seconds, at.nano_seconds))
            }
            _ => None,
        }))
    }

    fn set(&self, attributes: Vec<WireguardAttribute>) -> Result<(), NetlinkError> {
        let message = self.message(WireguardCmd::SetDevice, attributes);
        let mut body = vec![0; Emitable::buffer_len(&message)];
        message.serialize(&mut body);
        self.netlink.ask_raw(self.family, 0, &body)
    }

    fn message(
        &self,
        cmd: WireguardCmd,
        attributes: Vec<WireguardAttribute>,
    ) -> GenlMessage<WireguardMessage> {
        let which = WireguardAttribute::IfIndex(self.index);
        let attributes = std::iter::once(which).chain(attributes).collect();
        let mut message = GenlMessage::from_payload(WireguardMessage { cmd, attributes });
        message.set_resolved_family_id(self.family);
        message
    }
}

/// The kernel's number of the family.
fn number(netlink: &Netlink) -> Result<u16, NetlinkError> {
    let all = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: Vec::new() };
    let families = netlink.dump(&GenlMessage::from_payload(all))?;
    let is_ours =
        |it: &GenlCtrlAttrs| matches!(it, GenlCtrlAttrs::FamilyName(n) if n == "wireguard");
    let ours = families.into_iter().find(|family| family.payload.nlas.iter().any(is_ours));
    let number = ours.and_then(|family| {
        family.payload.nlas.into_iter().find_map(|it| match it {
            GenlCtrlAttrs::FamilyId(number) => Some(number),
            _ => None,
        })
    });
    number.ok_or_else(|| {
        NetlinkError::Garbled(
            "it has devices of WireGuard, and no words to speak of them".to_owned(),
        )
    })
}

fn allowed(net: &IpNet) -> WireguardAllowedIp {
    let family = match Family::of_net(*net) {
        Family::V4 => WireguardAddressFamily::Ipv4,
        Family::V6 => WireguardAddressFamily::Ipv6,
    };
    WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(net.addr()),
        WireguardAllowedIpAttr::Cidr(net.prefix_len()),
    ])
}

//! Strangers: those who are on a link and in no plan. A router that nobody ordered, a device that was forgotten.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use nix::sys::socket::{MsgFlags, send};
use std::os::fd::AsRawFd;

use super::{
    node::Node,
    wire::{BRIDGE_INDEX, Wire},
};
use crate::{
    model::{answer::HeardPrefix, family::Family, mac::Mac},
    net::{
        links::{self, End},
        namespace::Namespace,
        netlink::{Netlink, NetlinkError},
        packet::{self, Layer},
        switch::Switches,
    },
    serve::Router,
    wire::{filter, frame, packet as datagram, ra::Announcement},
};

/// The index of the port of a stranger: above those of all planned ones.
const PORT: u32 = 5000;
/// How often a forgotten device says something.
const BETWEEN_WORDS: Duration = Duration::from_millis(250);
/// EtherType of ARP.
const ARP: u16 = 0x0806;

/// A machine on a link that announces itself as a router. Its cable goes with its namespace.
pub(super) struct Stranger {
    pub(super) mac: Mac,
    pub(super) prefix: IpNet,
    router: Router,
    _netlink: Netlink,
}

/// Why a stranger could not be put on a link.
#[derive(Debug, thiserror::Error)]
pub(super) enum StrangerError {
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    #[error(transparent)]
    Switch(#[from] crate::net::switch::SwitchError),
}

impl Stranger {
    /// Plugs a new machine in and lets it announce a prefix.
    pub(super) fn arrive(
        wire: &Wire,
        mtu: u32,
        number: u32,
        mac: Mac,
        prefix: IpNet,
        lifetime_s: u16,
    ) -> Result<Self, StrangerError> {
        let namespace = Namespace::create()?;
        let netlink = Netlink::open(&namespace)?;
        let near = format!("stranger{number}");
        let near = End { name: &near, index: PORT + number, mac: None };
        let far = End { name: "eth0", index: links::LOOPBACK + 1, mac: Some(mac) };
        let switches = Switches::open(&namespace)?;
        switches.set("net.ipv6.conf.default.accept_ra", "0")?;
        wire.netlink.ask(&links::add_cable(near, Some(BRIDGE_INDEX), far, &namespace, mtu))?;
        // Where this program carries the link, nobody else completes checksums.
        links::set_offloads(&namespace, far.name, false)?;
        netlink.ask(&links::bring_up(far.index))?;
        let announcement = Announcement {
            hop_limit: 64,
            managed: false,
            other: false,
            lifetime_s,
            mac,
            mtu: None,
            prefixes: vec![HeardPrefix {
                prefix: prefix.trunc(),
                on_link: true,
                autonomous: true,
                valid_s: 3600,
                preferred_s: 1800,
            }],
            dns: Vec::new(),
            dns_lifetime_s: 0,
        };
        let router = Router::start(&namespace, far.name, announcement)?;
        Ok(Self { mac, prefix: prefix.trunc(), router, _netlink: netlink })
    }

    /// Says farewell and leaves.
    pub(super) async fn leave(self) {
        self.router.stop().await;
    }
}

/// Sends frames of a family from an interface of a node for as long as the handle lives: what a device does that nobody has
/// told about the migration. For IPv4 it asks by ARP who has the target, and speaks to it.
pub(super) fn talk(
    node: &Arc<Node>,
    interface: &str,
    mac: Mac,
    family: Family,
    to: IpAddr,
) -> io::Result<tokio::task::AbortHandle> {
    let index = node.index(interface).ok_or(io::ErrorKind::NotFound)?;
    let socket = node.namespace.run(|| packet::open(Layer::Link, &filter::arp(), index))?;
    let words = words(mac, family, to).ok_or(io::ErrorKind::InvalidInput)?;
    let task = tokio::spawn(async move {
        let mut clock = tokio::time::interval(BETWEEN_WORDS);
        loop {
            clock.tick().await;
            for word in &words {
                // A link that is down carries nothing; it may come back.
                let _ = send(socket.as_raw_fd(), word, MsgFlags::MSG_DONTWAIT);
            }
        }
    });
    Ok(task.abort_handle())
}

fn words(mac: Mac, family: Family, to: IpAddr) -> Option<Vec<Vec<u8>>> {
    let everyone = Mac([0xff; 6]);
    let source: IpAddr = match family {
        Family::V4 => Ipv4Addr::new(169, 254, mac.0[4], mac.0[5].max(1)).into(),
        Family::V6 => mac.link_local().into(),
    };
    let mut frames = Vec::new();
    if let (IpAddr::V4(source), IpAddr::V4(target)) = (source, to) {
        let mut question = frame::ethernet(mac, everyone, ARP);
        question.extend([0, 1, 8, 0, 6, 4, 0, 1]); // Ethernet, IPv4, request (RFC 826)
        question.extend(mac.0);
        question.extend(source.octets());
        question.extend([0; 6]);
        question.extend(target.octets());
        frames.push(question);
    }
    // The discard port (RFC 863).
    let packet = datagram::udp(SocketAddr::new(source, 9), SocketAddr::new(to, 9), b"forgotten")?;
    let mut word = frame::ethernet(mac, everyone, family.ethertype());
    word.extend(packet);
    frames.push(word);
    Some(frames)
}

//! Strangers: those who are on a link and in no plan. A router that nobody ordered, a device that was forgotten.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use super::{
    node::Node,
    wire::{BRIDGE_INDEX, Wire},
};
use crate::{
    model::{
        answer::{AddressState, HeardPrefix},
        dhcp::{DhcpDuty, DhcpLink},
        family::Family,
        mac::Mac,
    },
    net::{
        links::{self, End},
        namespace::Namespace,
        netlink::{Netlink, NetlinkError},
        packet::{self, Layer},
        patience::{Deadline, until},
        switch::Switches,
    },
    serve::{Dhcp, Router},
    wire::{filter, frame, packet as datagram, ra::Announcement},
};

/// The index of the port of a stranger: above those of all planned ones.
const PORT: u32 = 5000;
/// The interface of a stranger.
const INTERFACE: &str = "eth0";
/// How often a forgotten device says something.
const BETWEEN_WORDS: Duration = Duration::from_millis(250);
/// How often it is looked whether a stranger has its address.
const BETWEEN: Duration = Duration::from_millis(20);
/// EtherType of ARP.
const ARP: u16 = 0x0806;

/// A machine on a link that does what nobody has ordered. Its cable goes with its namespace.
pub(super) struct Stranger {
    pub(super) mac: Mac,
    trade: Trade,
    netlink: Netlink,
}

/// What a stranger does.
enum Trade {
    /// Announces itself as a router, with this prefix.
    Router { prefix: IpNet, router: Router },
    /// Answers for DHCPv6.
    Dhcp(#[expect(dead_code, reason = "it works for as long as it lives")] Dhcp),
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
        let (namespace, netlink) = plug_in(wire, mtu, number, mac)?;
        let announcement = Announcement {
            hop_limit: 64,
            managed: false,
            other: false,
            lifetime_s,
            standby: false,
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
            pref64: Vec::new(),
        };
        let router = Router::start(&namespace, INTERFACE, announcement)?;
        let trade = Trade::Router { prefix: prefix.trunc(), router };
        Ok(Self { mac, trade, netlink })
    }

    /// Plugs a new machine in and lets it answer for DHCPv6, with no addresses to give and a resolver to tell.
    pub(super) fn serve_dhcp(
        wire: &Wire,
        mtu: u32,
        number: u32,
        mac: Mac,
        dns: Ipv6Addr,
    ) -> Result<Self, StrangerError> {
        let (namespace, netlink) = plug_in(wire, mtu, number, mac)?;
        let link = DhcpLink {
            segment: wire.segment.clone(),
            interface: INTERFACE.parse().ok(),
            prefix: IpNet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
            leases: Vec::new(),
            dns: vec![dns],
            search: Vec::new(),
            relayed_to: None,
            spoilt: Vec::new(),
        };
        let server = Dhcp::start(&namespace, mac, vec![DhcpDuty::Serve(link)])?;
        Ok(Self { mac, trade: Trade::Dhcp(server), netlink })
    }

    /// Waits until it has an address to answer from.
    pub(super) async fn is_ready(&self) -> Result<(), StrangerError> {
        let usable =
            |a: &AddressState| links::is_link_local(a.net.addr()) && !a.tentative && !a.dad_failed;
        let look = || match links::read_addresses(&self.netlink) {
            Ok(addresses) => addresses.iter().any(|(_, at)| usable(at)).then_some(Ok(())),
            Err(error) => Some(Err(error.into())),
        };
        let none = || io::Error::other("the stranger got no link-local address");
        let ready = until(Deadline::after(super::PATIENCE), BETWEEN, look).await;
        ready.unwrap_or_else(|_| Err(none().into()))
    }

    /// Says farewell and leaves; the prefix that it has announced is for its neighbours to forget.
    pub(super) async fn leave(self) -> Option<IpNet> {
        match self.trade {
            Trade::Router { prefix, router } => {
                router.stop().await;
                Some(prefix)
            }
            Trade::Dhcp(_) => None,
        }
    }
}

/// A new machine on a link: its namespace and a way into it.
fn plug_in(
    wire: &Wire,
    mtu: u32,
    number: u32,
    mac: Mac,
) -> Result<(Namespace, Netlink), StrangerError> {
    let namespace = Namespace::create()?;
    let netlink = Netlink::open(&namespace)?;
    let near = format!("stranger{number}");
    let near = End { name: &near, index: PORT + number, mac: None };
    let far = End { name: INTERFACE, index: links::FIRST, mac: Some(mac) };
    let switches = Switches::open(&namespace)?;
    switches.set("net.ipv6.conf.default.accept_ra", "0")?;
    wire.netlink.ask(&links::add_cable(near, Some(BRIDGE_INDEX), far, &namespace, mtu))?;
    // Where this program carries the link, nobody else completes checksums.
    links::set_offloads(&namespace, far.name, false)?;
    netlink.ask(&links::bring_up(far.index))?;
    Ok((namespace, netlink))
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
                let _ = packet::send_now(&socket, word);
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

//! Leases: hosts that get their addresses by DHCPv6 (RFC 8415 section 18.2). A host asks until a server gives it an address,
//! hands that to the kernel, and keeps it for as long as it is told to.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv6Addr, SocketAddrV6},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::UdpSocket,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::node::Node;
use crate::{
    model::{mac::Mac, name::InterfaceName, step::Change},
    net::{interface::Interface, links},
    wire::dhcpv6::{
        ALL_SERVERS, Association, CLIENT_PORT, Kind, Leased, Message, SERVER_PORT, WANTED, duid,
    },
};

/// The first wait for an answer; each further one is twice as long, up to the longest (RFC 8415 section 15).
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How often a link-local address is looked for while there is none that may be used.
const LOOK: Duration = Duration::from_millis(50);

/// The leases of a node.
pub(super) struct Leases {
    node: Arc<Node>,
    held: Mutex<BTreeMap<InterfaceName, Tenant>>,
}

/// A host on one interface. Dropping it leaves its address to the kernel.
struct Tenant {
    socket: Arc<UdpSocket>,
    index: u32,
    mac: Mac,
    again: Arc<Notify>,
    held: Arc<Mutex<Option<Held>>>,
    task: JoinHandle<()>,
}

/// An address, and what its server said when it gave it.
struct Held {
    net: IpNet,
    given: Message,
}

impl Drop for Tenant {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Leases {
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node, held: Mutex::default() }
    }

    /// Begins to ask on an interface, or gives back what was given.
    pub(super) fn apply(&self, change: &Change) -> io::Result<()> {
        let Change::Lease { interface, prefix_length, on } = change else { return Ok(()) };
        let before = self.held().remove(interface);
        if let Some(tenant) = before {
            tenant.move_out(&self.node);
        }
        if *on {
            let tenant = Tenant::move_in(&self.node, interface, *prefix_length)?;
            self.held().insert(interface.clone(), tenant);
        }
        Ok(())
    }

    /// Asks anew on every interface: what was given may have been lost.
    pub(super) fn renew(&self) {
        self.held().values().for_each(|tenant| tenant.again.notify_one());
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<InterfaceName, Tenant>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant {
    fn move_in(node: &Arc<Node>, interface: &InterfaceName, prefix_length: u8) -> io::Result<Self> {
        let (socket, index, mac) = node.namespace.run(|| open(interface.as_str()))?;
        let (socket, again) = (Arc::new(socket), Arc::new(Notify::new()));
        let held = Arc::new(Mutex::new(None));
        let client = Client {
            node: Arc::clone(node),
            socket: Arc::clone(&socket),
            index,
            mac,
            prefix_length,
            turn: 0,
            held: Arc::clone(&held),
        };
        let task = tokio::spawn(client.run(Arc::clone(&again)));
        Ok(Self { socket, index, mac, again, held, task })
    }

    /// Uses the address no longer, and gives it back (RFC 8415 section 18.2.7). That is said once and not waited for: who
    /// goes with its family may find that the server has gone with it.
    fn move_out(&self, node: &Node) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Held { net, given }) = held else { return };
        // With its family, the address may have gone already.
        let _ = node.netlink.ask(&links::remove_address(self.index, net));
        let release = Message {
            client: duid(self.mac),
            server: given.server,
            association: given.association,
            ..Message::new(Kind::Release, given.transaction.wrapping_add(1))
        };
        let to = SocketAddrV6::new(ALL_SERVERS, SERVER_PORT, 0, self.index);
        let _ = self.socket.try_send_to(&release.encode(), to.into());
    }
}

/// Opens the socket of an interface in the namespace of this thread.
fn open(name: &str) -> io::Result<(UdpSocket, u32, Mac)> {
    let interface = Interface::read(name)?;
    let mac = interface.mac.ok_or_else(|| io::Error::other("it has no link-layer address"))?;
    let socket = Socket::new(Domain::IPV6, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.bind_device(Some(name.as_bytes()))?;
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, CLIENT_PORT, 0, 0).into())?;
    Ok((UdpSocket::from_std(socket.into())?, interface.index, mac))
}

struct Client {
    node: Arc<Node>,
    socket: Arc<UdpSocket>,
    index: u32,
    mac: Mac,
    prefix_length: u8,
    turn: u32,
    held: Arc<Mutex<Option<Held>>>,
}

impl Client {
    async fn run(mut self, again: Arc<Notify>) {
        loop {
            let mut given = self.lease().await;
            while let Some((leased, renew_s)) = leased(&given) {
                self.take(&leased, &given);
                let renewal = sleep(Duration::from_secs(u64::from(renew_s.max(60))));
                tokio::select! {
                    () = renewal => {}
                    () = again.notified() => break,
                }
                let Some(renewed) = self.renew(&given).await else { break };
                given = renewed;
            }
        }
    }

    /// Asks who gave the address, then everybody (RFC 8415 sections 18.2.4 and 18.2.5): if neither lets it be kept, the host
    /// begins anew.
    async fn renew(&mut self, given: &Message) -> Option<Message> {
        for (kind, server) in [(Kind::Renew, given.server.clone()), (Kind::Rebind, Vec::new())] {
            let held = given.association.clone();
            let said = self.exchange(kind, server, Kind::Reply, held).await;
            if let Some(said) = said.filter(|said| leased(said).is_some()) {
                return Some(said);
            }
        }
        None
    }

    /// Asks until an address is given: four messages (RFC 8415 section 1.2).
    async fn lease(&mut self) -> Message {
        loop {
            let offer = self.exchange(Kind::Solicit, Vec::new(), Kind::Advertise, None).await;
            let Some(offer) = offer.filter(|offer| leased(offer).is_some()) else { continue };
            let wanted = offer.association.clone();
            let given = self.exchange(Kind::Request, offer.server, Kind::Reply, wanted).await;
            if let Some(given) = given.filter(|given| leased(given).is_some()) {
                return given;
            }
        }
    }

    /// Sends a question until it is answered, or, where it is for one server, a few times.
    async fn exchange(
        &mut self,
        kind: Kind,
        server: Vec<u8>,
        expected: Kind,
        association: Option<Association>,
    ) -> Option<Message> {
        self.turn += 1;
        let question = Message {
            client: duid(self.mac),
            server,
            association: Some(
                association.unwrap_or(Association { id: 1, ..Association::default() }),
            ),
            wanted: WANTED.to_vec(),
            ..Message::new(kind, u32::from(self.mac.0[5]) << 16 | (self.turn & 0xffff))
        };
        let to = SocketAddrV6::new(ALL_SERVERS, SERVER_PORT, 0, self.index);
        let mut wait = FIRST_WAIT;
        loop {
            // Duplicate address detection holds the link-local address back at first.
            while self.socket.send_to(&question.encode(), to).await.is_err() {
                sleep(LOOK).await;
            }
            if let Some(answer) = self.hear(&question, expected, Instant::now() + wait).await {
                return Some(answer);
            }
            if kind != Kind::Solicit && wait >= 4 * FIRST_WAIT {
                return None;
            }
            wait = LONGEST_WAIT.min(2 * wait);
        }
    }

    async fn hear(&self, question: &Message, expected: Kind, until: Instant) -> Option<Message> {
        let mut buffer = [0; 1500];
        loop {
            let heard = timeout_at(until, self.socket.recv(&mut buffer)).await.ok()?;
            let Ok(length) = heard else { continue };
            let Ok(message) = Message::decode(&buffer[..length]) else { continue };
            let ours = message.kind == expected
                && message.transaction == question.transaction
                && message.client == question.client;
            // An offer without an address is passed over for one with (RFC 8415 section 18.2.9).
            if ours && (expected == Kind::Reply || leased(&message).is_some()) {
                return Some(message);
            }
        }
    }

    fn take(&self, leased: &Leased, given: &Message) {
        let Ok(net) = IpNet::new(IpAddr::V6(leased.address), self.prefix_length) else { return };
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let before = held.replace(Held { net, given: given.clone() }).map(|old| old.net);
        if let Some(old) = before.filter(|old| *old != net) {
            // It may have expired.
            let _ = self.node.netlink.ask(&links::remove_address(self.index, old));
        }
        let add = links::add_leased(self.index, net, leased.preferred_s, leased.valid_s);
        // Where IPv6 is off the kernel refuses, and the next renewal tries again.
        let _ = self.node.netlink.ask(&add);
    }
}

/// The first address that a server gives, and when it is to be renewed.
fn leased(message: &Message) -> Option<(Leased, u32)> {
    let association = message.association.as_ref()?;
    let first = association.addresses.first()?;
    (message.refusal().is_none() && first.valid_s > 0).then_some((*first, association.renew_s))
}

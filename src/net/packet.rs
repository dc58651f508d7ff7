//! Packet sockets (packet(7)): whole frames as they enter a link, or packets as they enter a node.

use std::{
    io, mem,
    ops::Deref,
    os::fd::{AsRawFd, RawFd},
};

use nix::sys::socket::LinkAddr;
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};
use tokio::{
    io::{Interest, unix::AsyncFd},
    runtime::Handle,
};

use super::{namespace::Namespace, socket};
use crate::wire::filter::Instruction;

/// `ETH_P_ALL` in network order.
const EVERY_PROTOCOL: u16 = 3u16.to_be();

/// Room for packets that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 4 << 20;

/// From which header on packets are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// With the Ethernet header.
    Link,
    /// From the network header on.
    Network,
}

/// A packet socket. Within a runtime it is closed on another thread: the kernel holds whoever closes one until no
/// processor can be using it any more (`synchronize_net`). That takes ten milliseconds, and a thousand of them in turn
/// would hold up every question that is under way.
#[derive(Debug)]
pub struct PacketSocket(Option<Socket>);

impl Deref for PacketSocket {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        self.0.as_ref().expect("taken only when it is dropped")
    }
}

impl AsRawFd for PacketSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.deref().as_raw_fd()
    }
}

impl Drop for PacketSocket {
    fn drop(&mut self) {
        let socket = self.0.take();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn_blocking(move || drop(socket));
        }
    }
}

/// Opens a packet socket in the namespace of this thread. The filter stands before the first frame can arrive, and
/// what the namespace sends itself is left out. `interface` is an index; 0 listens on all.
pub fn open(layer: Layer, program: &[Instruction], interface: u32) -> io::Result<PacketSocket> {
    opened(layer, program, interface, true)
}

/// The same, with what the namespace sends itself.
pub fn open_both_ways(
    layer: Layer,
    program: &[Instruction],
    interface: u32,
) -> io::Result<PacketSocket> {
    opened(layer, program, interface, false)
}

fn opened(
    layer: Layer,
    program: &[Instruction],
    interface: u32,
    comes_in: bool,
) -> io::Result<PacketSocket> {
    let kind = match layer {
        Layer::Link => Type::RAW,
        Layer::Network => Type::DGRAM,
    };
    // Protocol 0 hears nothing until it is bound.
    let socket = Socket::new(Domain::PACKET, kind, None)?;
    socket.set_nonblocking(true)?;
    socket::attach(&socket, program)?;
    socket::set_number(
        &socket,
        libc::SOL_PACKET,
        libc::PACKET_IGNORE_OUTGOING,
        i32::from(comes_in),
    )?;
    socket.bind(&link_address(EVERY_PROTOCOL, interface)?)?;
    Ok(PacketSocket(Some(socket)))
}

/// Opens a packet socket in the namespace of this thread that only sends: with protocol 0 no frame is ever shown to it.
pub fn sender(interface: u32) -> io::Result<PacketSocket> {
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&link_address(0, interface)?)?;
    Ok(PacketSocket(Some(socket)))
}

/// How many frames passed the filter and how many of them were lost for lack of room, since the last time asked.
pub fn statistics(socket: &Socket) -> io::Result<(u64, u64)> {
    let mut counts = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
    let mut length =
        libc::socklen_t::try_from(mem::size_of_val(&counts)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` octets to `counts`, which is a plain structure of that size.
    let said = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut counts).cast(),
            &raw mut length,
        )
    };
    if said != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((u64::from(counts.tp_packets), u64::from(counts.tp_drops)))
}

/// A packet socket on the runtime.
#[derive(Debug)]
pub struct Ear {
    io: AsyncFd<PacketSocket>,
}

impl Ear {
    /// Hands a socket to the runtime.
    pub fn new(socket: PacketSocket) -> io::Result<Self> {
        // SAFETY: a `PacketSocket` owns its descriptor, always returns the same one, and closes it only when it is dropped.
        let io = unsafe { AsyncFd::register(socket) }?;
        Ok(Self { io })
    }

    /// What enters a node of a namespace by an interface, whole and with room for packets that wait to be read: for programs
    /// that carry packets on.
    pub fn at(namespace: &Namespace, interface: u32, program: &[Instruction]) -> io::Result<Self> {
        let socket = namespace.run(|| {
            let socket = open(Layer::Link, program, interface)?;
            socket.set_recv_buffer_size(WAITING_ROOM)?;
            Ok(socket)
        })?;
        Self::new(socket)
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        self.io.get_ref()
    }

    /// Waits for the next frame.
    pub async fn hear(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let receive = |socket: &PacketSocket| hear_now(socket, buffer);
        self.io.async_io(Interest::READABLE, receive).await
    }

    /// Waits for the next frame, and says by which interface it came, by its index.
    pub async fn hear_from(&self, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
        let receive = |socket: &PacketSocket| hear_from_now(socket, buffer);
        self.io.async_io(Interest::READABLE, receive).await
    }
}

/// The next frame and the index of the interface that it came in by, without waiting.
fn hear_from_now(socket: &Socket, buffer: &mut [u8]) -> io::Result<(usize, u32)> {
    let (length, from) = nix::sys::socket::recvfrom::<LinkAddr>(socket.as_raw_fd(), buffer)?;
    let from = from.and_then(|from| u32::try_from(from.ifindex()).ok());
    Ok((length, from.unwrap_or_default()))
}

/// Sends a frame or a packet, without waiting: what the kernel has no room for is an error.
pub fn send_now(socket: &Socket, frame: &[u8]) -> io::Result<()> {
    nix::sys::socket::send(socket.as_raw_fd(), frame, nix::sys::socket::MsgFlags::MSG_DONTWAIT)?;
    Ok(())
}

/// Sends a packet by an interface without a link-layer header, without waiting: only the address says of which protocol it is.
pub fn send_as(socket: &Socket, packet: &[u8], ethertype: u16, interface: u32) -> io::Result<()> {
    let to = link_address(ethertype.to_be(), interface)?;
    socket.send_to_with_flags(packet, &to, libc::MSG_DONTWAIT)?;
    Ok(())
}

/// The next frame, without waiting.
pub fn hear_now(socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::sys::socket::recv(
        socket.as_raw_fd(),
        buffer,
        nix::sys::socket::MsgFlags::MSG_DONTWAIT,
    )?)
}

fn link_address(protocol: u16, interface: u32) -> io::Result<SockAddr> {
    let index = i32::try_from(interface).map_err(io::Error::other)?;
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: `sockaddr_ll` is one of the address structures that the storage has room for, and all zeros is a value.
    let address = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = protocol;
    address.sll_ifindex = index;
    let length = libc::socklen_t::try_from(mem::size_of::<libc::sockaddr_ll>());
    // SAFETY: the family is AF_PACKET and the length is that of its structure, which has just been filled in.
    Ok(unsafe { SockAddr::new(storage, length.map_err(io::Error::other)?) })
}

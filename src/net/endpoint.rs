//! A socket of the runtime that hears both what peers send and what the kernel says about what was sent: ICMP errors
//! with type, code and sender, from the error queue (`MSG_ERRQUEUE`, ip(7)).

use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use nix::{
    cmsg_space,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg},
};
use socket2::Socket;
use tokio::io::{Interest, unix::AsyncFd};

use super::socket;
use crate::model::{answer::IcmpError, family::Family};

/// Origins of a queued error (linux/errqueue.h).
const FROM_ICMP: u8 = 2;
const FROM_ICMP6: u8 = 3;

/// An error that the kernel has queued for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its error number.
    pub errno: i32,
    /// The ICMP error behind it, where it is not the kernel's own.
    pub icmp: Option<IcmpError>,
    /// Octets of the packet that it is about, put into the buffer.
    pub quoted: usize,
}

/// What a socket has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Something that a peer sent.
    Data {
        /// Octets in the buffer.
        length: usize,
        /// Who sent it, where the kernel says.
        from: Option<SocketAddr>,
        /// Its hop limit, where the kernel says.
        hop_limit: Option<u8>,
        /// Its traffic class, where the kernel was asked to say: for IPv6 alone, since raw sockets of IPv4 hand over the
        /// whole header.
        class: Option<u8>,
        /// When it came, by the clock of the machine, where the kernel was asked to say (`SO_TIMESTAMPNS`): a busy program
        /// that reads late does not change that.
        came: Option<Duration>,
    },
    /// An error about something that was sent.
    Error(Queued),
}

/// A socket with its error queue, on the runtime.
#[derive(Debug)]
pub struct Endpoint {
    io: AsyncFd<Socket>,
}

impl Endpoint {
    /// Hands a socket to the runtime.
    pub fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self { io: socket::register(socket)? })
    }

    /// The socket itself.
    pub fn socket(&self) -> &Socket {
        self.io.get_ref()
    }

    /// Sends to the connected peer.
    pub fn send(&self, message: &[u8]) -> io::Result<usize> {
        self.socket().send(message)
    }

    /// Octets of what was sent that have not left the node yet: of packets that wait for the link-layer address of the next
    /// hop, for one (`SIOCOUTQ`, udp(7)).
    pub fn unsent(&self) -> io::Result<usize> {
        let mut waiting: libc::c_int = 0;
        // SAFETY: the request writes one `int`, which outlives the call.
        let said =
            unsafe { libc::ioctl(self.socket().as_raw_fd(), libc::TIOCOUTQ, &raw mut waiting) };
        if said == 0 {
            Ok(waiting.try_into().unwrap_or(0))
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Waits for the next thing heard. Errors come first: they are about what was sent before.
    pub async fn hear(&self, buffer: &mut [u8]) -> io::Result<Heard> {
        loop {
            let mut ready = self.io.ready(Interest::READABLE | Interest::ERROR).await?;
            match hear_now(self.socket(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                said => return said,
            }
        }
    }
}

/// The next thing heard, without waiting.
pub fn hear_now(socket: &Socket, buffer: &mut [u8]) -> io::Result<Heard> {
    if let Some(error) = next_error(socket, buffer)? {
        return Ok(Heard::Error(error));
    }
    let mut control = cmsg_space!([u8; 128]);
    let mut slices = [IoSliceMut::new(buffer)];
    let fd = socket.as_raw_fd();
    let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), MSG_NOW)?;
    let hop_limit = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => {
            u8::try_from(hops).ok()
        }
        _ => None,
    });
    let class = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv6TClass(class) => u8::try_from(class).ok(),
        _ => None,
    });
    let came = message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
        _ => None,
    });
    let from = message.address.as_ref().and_then(socket_address);
    Ok(Heard::Data { length: message.bytes, from, hop_limit, class, came })
}

/// Takes the next error from the queue, and what it quotes of the packet into the buffer.
pub fn next_error(socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<Queued>> {
    match read_queue(socket.as_raw_fd(), buffer) {
        Err(nix::errno::Errno::EAGAIN) => Ok(None),
        said => Ok(said?),
    }
}

const MSG_NOW: MsgFlags = MsgFlags::MSG_DONTWAIT;

fn read_queue(fd: RawFd, buffer: &mut [u8]) -> nix::Result<Option<Queued>> {
    let mut control = cmsg_space!([u8; 128]);
    let mut slices = [IoSliceMut::new(buffer)];
    let flags = MsgFlags::MSG_ERRQUEUE | MSG_NOW;
    let message = recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), flags)?;
    let quoted = message.bytes;
    Ok(message.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4RecvErr(error, sender) => {
            let sender = sender.map(|s| IpAddr::from(s.sin_addr.s_addr.to_ne_bytes()));
            Some(queued(&error, sender, quoted))
        }
        ControlMessageOwned::Ipv6RecvErr(error, sender) => {
            let sender = sender.map(|s| IpAddr::from(s.sin6_addr.s6_addr).to_canonical());
            Some(queued(&error, sender, quoted))
        }
        _ => None,
    }))
}

fn queued(error: &libc::sock_extended_err, sender: Option<IpAddr>, quoted: usize) -> Queued {
    let family = match error.ee_origin {
        FROM_ICMP => Some(Family::V4),
        FROM_ICMP6 => Some(Family::V6),
        _ => None,
    };
    let icmp = family.zip(sender).map(|(family, sender)| IcmpError {
        family,
        kind: error.ee_type,
        code: error.ee_code,
        sender,
        mtu: crate::wire::icmp::is_too_big(family, error.ee_type, error.ee_code)
            .then_some(error.ee_info),
    });
    Queued { errno: i32::try_from(error.ee_errno).unwrap_or(0), icmp, quoted }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4((*v4).into()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6((*v6).into())))
}

//! Sockets of a wanted family, opened inside a node's namespace, with the settings that make their answers evidence:
//! ICMP errors are queued with their sender (`IP_RECVERR`), and the hop limit of what arrives is handed over.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::io::unix::AsyncFd;

use crate::{
    model::family::Family,
    wire::{filter::Instruction, icmp},
};

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// TCP.
    Stream,
    /// UDP.
    Datagram,
    /// ICMP or ICMPv6 by the family, raw.
    Icmp,
    /// Another protocol over IP, raw.
    Protocol(u8),
}

/// Opens a socket that does not block, towards an address. An IPv6 socket never speaks IPv4, unless the address is
/// IPv4-mapped: then that is just what is asked for.
pub fn open(speech: Speech, towards: IpAddr) -> io::Result<Socket> {
    let (kind, protocol) = match speech {
        Speech::Stream => (Type::STREAM, None),
        Speech::Datagram => (Type::DGRAM, None),
        Speech::Icmp => (Type::RAW, Some(icmp::protocol(Family::of(towards)))),
        Speech::Protocol(number) => (Type::RAW, Some(number)),
    };
    let protocol = protocol.map(|number| Protocol::from(i32::from(number)));
    let socket = Socket::new(domain(towards), kind, protocol)?;
    socket.set_nonblocking(true)?;
    if let IpAddr::V6(address) = towards {
        // A raw socket speaks its own family only, and does not know the option.
        if kind != Type::RAW {
            socket.set_only_v6(address.to_ipv4_mapped().is_none())?;
        }
        set_number(&socket, libc::SOL_IPV6, libc::IPV6_RECVERR, 1)?;
        socket.set_recv_hoplimit_v6(true)?;
    }
    if Family::of(towards) == Family::V4 {
        set_number(&socket, libc::SOL_IP, libc::IP_RECVERR, 1)?;
        set_number(&socket, libc::SOL_IP, libc::IP_RECVTTL, 1)?;
    }
    Ok(socket)
}

/// Binds to a source address; the kernel chooses the port when the connection is made.
pub fn bind(socket: &Socket, source: IpAddr, scope: u32) -> io::Result<()> {
    // A raw socket has no port to choose, and an IPv6 one does not know the option.
    if socket.r#type()? != Type::RAW {
        set_number(socket, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)?;
    }
    socket.bind(&scoped(SocketAddr::new(source, 0), scope).into())
}

/// Sets the hop limit of what is sent.
pub fn set_hop_limit(socket: &Socket, family: Family, hops: u8) -> io::Result<()> {
    match family {
        Family::V4 => socket.set_ttl_v4(u32::from(hops)),
        Family::V6 => socket.set_unicast_hops_v6(u32::from(hops)),
    }
}

/// Sets the traffic class of what is sent, and has that of what arrives handed over.
pub fn set_class(socket: &Socket, family: Family, class: u8) -> io::Result<()> {
    match family {
        Family::V4 => set_number(socket, libc::SOL_IP, libc::IP_TOS, i32::from(class)),
        Family::V6 => {
            set_number(socket, libc::SOL_IPV6, libc::IPV6_TCLASS, i32::from(class))?;
            set_number(socket, libc::SOL_IPV6, libc::IPV6_RECVTCLASS, 1)
        }
    }
}

/// Has the kernel say of everything that arrives when it did (socket(7)).
pub fn tell_arrival(socket: &Socket) -> io::Result<()> {
    set_number(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Lets nothing be fragmented, and leaves aside what the kernel has learned about the path MTU (RFC 4821 section 5.4):
/// only the link's own MTU limits what is sent.
pub fn probe_mtu(socket: &Socket, family: Family) -> io::Result<()> {
    match family {
        Family::V4 => {
            let probe = libc::IP_PMTUDISC_PROBE;
            set_number(socket, libc::SOL_IP, libc::IP_MTU_DISCOVER, probe)
        }
        Family::V6 => {
            let probe = libc::IPV6_PMTUDISC_PROBE;
            set_number(socket, libc::SOL_IPV6, libc::IPV6_MTU_DISCOVER, probe)?;
            set_number(socket, libc::SOL_IPV6, libc::IPV6_DONTFRAG, 1)
        }
    }
}

/// Attaches a classic BPF program.
pub fn attach(socket: &Socket, program: &[Instruction]) -> io::Result<()> {
    let program: Vec<_> = program
        .iter()
        .map(|i| socket2::SockFilter::new(i.code, i.jump_true, i.jump_false, i.operand))
        .collect();
    socket.attach_filter(&program)
}

/// Begins to connect; what the kernel says at once is the result, also if it is not ready yet.
pub fn begin_connect(socket: &Socket, to: SocketAddr) -> io::Result<()> {
    match socket.connect(&SockAddr::from(to)) {
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(()),
        said => said,
    }
}

/// The local end, where the kernel has chosen one.
pub fn local(socket: &Socket) -> Option<SocketAddr> {
    socket.local_addr().ok()?.as_socket().filter(|local| !local.ip().is_unspecified())
}

/// The address with the index of an interface as scope, where it is link-local and has none (RFC 4007 section 11).
pub fn scoped(address: SocketAddr, scope: u32) -> SocketAddr {
    match address {
        SocketAddr::V6(mut v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            v6.set_scope_id(scope);
            v6.into()
        }
        other => other,
    }
}

/// Sets an option whose value is a number.
pub fn set_number(socket: &Socket, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_octets(socket, level, name, &value.to_ne_bytes())
}

/// Sets an option whose value is a structure of the kernel's.
pub fn set_octets(socket: &Socket, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `length` octets from `value`, which lives until the call returns.
    let said =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    if said == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Hands a socket to the runtime, which must be the current one.
pub fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: `Socket` owns its descriptor, always returns the same one, and closes it only when it is dropped.
    unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
}

fn domain(address: IpAddr) -> Domain {
    match address {
        IpAddr::V4(_) => Domain::IPV4,
        IpAddr::V6(_) => Domain::IPV6,
    }
}

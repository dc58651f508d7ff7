//! A router that announces itself on a link (RFC 4861 section 6.2): unasked from time to time, and to whoever solicits.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    fs::File,
    hash::{BuildHasher, Hasher},
    io::{self, IoSlice, IoSliceMut, Read, Seek},
    mem,
    net::{Ipv6Addr, SocketAddrV6},
    ops::RangeInclusive,
    os::fd::{AsRawFd, RawFd},
    time::Duration,
};

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt,
    sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::Interest,
    net::UdpSocket,
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    net::namespace::Namespace,
    wire::ra::{ALL_ROUTERS, Announcement, HOP_LIMIT, ROUTER_SOLICITATION, decode_solicitation},
};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// `MinRtrAdvInterval` and `MaxRtrAdvInterval`: short, because somebody waits, and the former no more than three quarters
/// of the latter (RFC 4861 section 6.2.1).
const INTERVAL: RangeInclusive<Duration> = Duration::from_secs(9)..=Duration::from_secs(13);
/// `MIN_DELAY_BETWEEN_RAS` (RFC 4861 section 10), and the interval of the first three.
const LEAST_DELAY: Duration = Duration::from_secs(3);
/// `MAX_INITIAL_RTR_ADVERTISEMENTS` (RFC 4861 section 10).
const INITIAL: u32 = 3;
/// A solicitation is answered after a random time of at most this. RFC 4861 section 6.2.6 allows up to 500 ms, so that
/// routers of one link do not answer together; few routers need less.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// How often the link-local address is looked for while there is none that may be used.
const LOOK: Duration = Duration::from_millis(50);

/// What a router is told.
#[derive(Clone)]
struct Said {
    announcement: Announcement,
    /// It is to say farewell and end.
    is_last: bool,
}

/// A router on one link. Dropping it silences it; [`Router::stop`] says farewell first.
pub struct Router {
    said: watch::Sender<Said>,
    task: Option<JoinHandle<()>>,
}

impl Router {
    /// Begins to announce. The first advertisement is sent as soon as the interface has a link-local address that
    /// duplicate address detection has let through.
    pub fn start(
        namespace: &Namespace,
        interface: &str,
        announcement: Announcement,
    ) -> io::Result<Self> {
        let link = namespace.run(|| Link::open(interface))?;
        let (said, heard) = watch::channel(Said { announcement, is_last: false });
        Ok(Self { said, task: Some(tokio::spawn(announce(link, heard))) })
    }

    /// Announces something else from now on.
    pub fn announce(&self, announcement: Announcement) {
        self.said.send_replace(Said { announcement, is_last: false });
    }

    /// Says that it is no default router any more (RFC 4861 section 6.2.5), and ends.
    pub async fn stop(mut self) {
        let Some(task) = self.task.take() else { return };
        self.said.send_modify(|said| said.is_last = true);
        // It ends after its farewell, and cannot fail.
        let _ = task.await;
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn announce(link: Link, mut said: watch::Receiver<Said>) {
    let mut schedule = Schedule::begin(Instant::now());
    loop {
        tokio::select! {
            changed = said.changed() => {
                // Who is dropped says nothing more.
                let Ok(()) = changed else { return };
                let Said { announcement, is_last } = said.borrow().clone();
                if is_last {
                    return farewell(&link, announcement).await;
                }
                schedule.begin_anew(Instant::now());
            }
            () = sleep_until(schedule.next) => {
                let announcement = said.borrow().announcement.clone();
                let sent = link.send(&announcement, ALL_NODES).await.is_ok();
                schedule.note(Instant::now(), sent);
            }
            () = sleep_until(schedule.reply), if !schedule.asked.is_empty() => {
                let announcement = said.borrow().announcement.clone();
                for host in mem::take(&mut schedule.asked) {
                    // A host that cannot be answered will ask again (RFC 4861 section 6.3.7).
                    let _ = link.send(&announcement, host).await;
                }
            }
            host = link.solicited() => match host {
                Ok(host) => schedule.take(Instant::now(), host),
                Err(_) => sleep(LOOK).await,
            }
        }
    }
}

/// Says that this is no default router any more. Without an address there is nobody who could have heard of it.
async fn farewell(link: &Link, announcement: Announcement) {
    let last = Announcement { lifetime_s: 0, ..announcement };
    let _ = link.send(&last, ALL_NODES).await;
}

/// When something is to be sent, and to whom.
struct Schedule {
    /// Advertisements to all nodes since the announcement last changed.
    sent: u32,
    /// When the last of them was sent.
    last: Option<Instant>,
    /// When the next one is due.
    next: Instant,
    /// Hosts that have solicited and wait for their answer.
    asked: BTreeSet<Ipv6Addr>,
    /// When they get it.
    reply: Instant,
}

impl Schedule {
    fn begin(now: Instant) -> Self {
        Self { sent: 0, last: None, next: now, asked: BTreeSet::new(), reply: now }
    }

    fn begin_anew(&mut self, now: Instant) {
        self.sent = 0;
        self.next = self.earliest(now);
    }

    /// When the next advertisement to all nodes may be sent.
    fn earliest(&self, now: Instant) -> Instant {
        self.last.map_or(now, |last| now.max(last + LEAST_DELAY))
    }

    /// An advertisement was due, and was sent or could not be.
    fn note(&mut self, now: Instant, sent: bool) {
        if sent {
            self.sent += 1;
            self.last = Some(now);
            self.next = now + interval(self.sent);
        } else {
            self.next = now + LOOK;
        }
    }

    /// A host has solicited. One without an address can only be answered together with all others.
    fn take(&mut self, now: Instant, host: Ipv6Addr) {
        if host.is_unspecified() {
            self.next = self.next.min(self.earliest(now));
            return;
        }
        if self.asked.is_empty() {
            self.reply = now + random_up_to(LONGEST_PAUSE);
        }
        self.asked.insert(host);
    }
}

fn interval(sent: u32) -> Duration {
    let spread = INTERVAL.end().saturating_sub(*INTERVAL.start());
    if sent < INITIAL { LEAST_DELAY } else { *INTERVAL.start() + random_up_to(spread) }
}

/// Keyed anew for each use by the standard library, from the kernel's random numbers.
fn random_up_to(most: Duration) -> Duration {
    let share = RandomState::new().build_hasher().finish() >> 32;
    most.mul_f64(f64::from(u32::try_from(share).unwrap_or(u32::MAX)) / f64::from(u32::MAX))
}

/// A raw ICMPv6 socket on one link.
struct Link {
    /// A raw socket in the clothes of a UDP one: the runtime polls both alike and does nothing else with it.
    socket: UdpSocket,
    interface: String,
    index: u32,
    /// `if_inet6` of the namespace, which shows addresses with their flags.
    addresses: File,
}

impl Link {
    /// Opens the socket in the namespace of this thread.
    fn open(interface: &str) -> io::Result<Self> {
        let index = nix::net::if_::if_nametoindex(interface)?;
        let kind = Type::RAW.nonblocking();
        let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::ICMPV6))?;
        take_only(socket.as_raw_fd(), ROUTER_SOLICITATION)?;
        socket.bind_device(Some(interface.as_bytes()))?;
        socket.set_multicast_if_v6(index)?;
        socket.set_multicast_loop_v6(false)?;
        socket.set_multicast_hops_v6(HOP_LIMIT.into())?;
        socket.set_unicast_hops_v6(HOP_LIMIT.into())?;
        socket.join_multicast_v6(&ALL_ROUTERS, index)?;
        setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
        Ok(Self {
            socket: UdpSocket::from_std(socket.into())?,
            interface: interface.to_owned(),
            index,
            addresses: File::open("/proc/thread-self/net/if_inet6")?,
        })
    }

    /// Sends an announcement from the link-local address; an error where there is none.
    async fn send(&self, announcement: &Announcement, to: Ipv6Addr) -> io::Result<()> {
        let source = self.link_local()?.ok_or(io::ErrorKind::AddrNotAvailable)?;
        let octets = announcement.encode();
        let target = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, self.index));
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: self.index,
        };
        let send = || {
            let parts = [IoSlice::new(&octets)];
            let control = [ControlMessage::Ipv6PacketInfo(&info)];
            let fd = self.socket.as_raw_fd();
            sendmsg(fd, &parts, &control, MsgFlags::empty(), Some(&target))?;
            Ok(())
        };
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// Waits for a valid solicitation (RFC 4861 section 6.1.1) and says who sent it.
    async fn solicited(&self) -> io::Result<Ipv6Addr> {
        loop {
            let receive = || receive(self.socket.as_raw_fd());
            let (octets, from, hop_limit) =
                self.socket.async_io(Interest::READABLE, receive).await?;
            if hop_limit == Some(HOP_LIMIT.into()) && decode_solicitation(&octets).is_ok() {
                return Ok(from);
            }
        }
    }

    fn link_local(&self) -> io::Result<Option<Ipv6Addr>> {
        let mut text = String::new();
        let mut file = &self.addresses;
        file.rewind()?;
        file.read_to_string(&mut text)?;
        Ok(usable_link_local(&text, &self.interface))
    }
}

/// The link-local address of an interface that may be used, from `if_inet6`: address, index, prefix length, scope and
/// flags in hexadecimal, then the interface.
fn usable_link_local(text: &str, interface: &str) -> Option<Ipv6Addr> {
    const UNUSABLE: u32 = libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED;
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
        let address = Ipv6Addr::from(address);
        let usable =
            words.next()? == interface && address.is_unicast_link_local() && flags & UNUSABLE == 0;
        usable.then_some(address)
    })
}

type Heard = (Vec<u8>, Ipv6Addr, Option<i32>);

fn receive(fd: RawFd) -> io::Result<Heard> {
    let mut buffer = [0; 1500];
    let mut control = nix::cmsg_space!(libc::c_int);
    let (length, from, hop_limit) = {
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let message =
            recvmsg::<SockaddrIn6>(fd, &mut parts, Some(&mut control), MsgFlags::empty())?;
        let hop_limit = message.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv6HopLimit(limit) => Some(limit),
            _ => None,
        });
        (message.bytes, message.address.map(|address| address.ip()), hop_limit)
    };
    Ok((buffer[..length].to_vec(), from.unwrap_or(Ipv6Addr::UNSPECIFIED), hop_limit))
}

/// Lets the kernel hand over one type only (RFC 3542 section 3.2): a router would otherwise wake up for every ping that
/// it gets.
fn take_only(fd: RawFd, kind: u8) -> io::Result<()> {
    /// `ICMP6_FILTER` of `linux/icmpv6.h`.
    const FILTER: libc::c_int = 1;
    let mut blocked = [u32::MAX; 8];
    blocked[usize::from(kind / 32)] &= !(1 << (kind % 32));
    let length = libc::socklen_t::try_from(size_of_val(&blocked)).expect("32 octets");
    // SAFETY: the kernel reads `length` octets from `blocked`, which lives until the call is over.
    let done = unsafe {
        libc::setsockopt(fd, libc::IPPROTO_ICMPV6, FILTER, blocked.as_ptr().cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_link_local_address_that_is_not_tentative_may_be_used() {
        let text = "fe800000000000000000000000000001 02 40 20 c0    eth0\n\
                    20010db8000000000000000000000001 03 40 00 80    eth1\n\
                    fe800000000000000000000000000002 03 40 20 80    eth1\n";
        assert_eq!(usable_link_local(text, "eth0"), None);
        assert_eq!(usable_link_local(text, "eth1"), Some("fe80::2".parse().unwrap()));
        assert_eq!(usable_link_local(text, "eth2"), None);
    }

    #[test]
    fn all_nodes_are_told_no_more_than_every_three_seconds() {
        let began = Instant::now();
        let mut schedule = Schedule::begin(began);
        schedule.note(began, false);
        assert_eq!(schedule.next, began + LOOK, "not yet possible: soon again");
        schedule.note(began, true);
        schedule.take(began, Ipv6Addr::UNSPECIFIED);
        assert_eq!(schedule.next, began + LEAST_DELAY);
        schedule.begin_anew(began + LOOK);
        assert_eq!(schedule.next, began + LEAST_DELAY);
        for host in 1..=1_000_u128 {
            schedule.take(began, Ipv6Addr::from(host));
        }
        assert!(schedule.reply <= began + LONGEST_PAUSE, "hosts together wait no longer than one");
        assert_eq!(schedule.asked.len(), 1_000);
    }

    #[test]
    fn intervals_are_those_of_the_rfc() {
        assert_eq!(interval(1), LEAST_DELAY);
        for _ in 0..100 {
            let interval = interval(INITIAL);
            assert!(INTERVAL.contains(&interval), "{interval:?}");
        }
    }
}

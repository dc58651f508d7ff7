//! Many questions of one kind at once from one node: echoes from one socket, and TCP connections with their evidence.
//! Both run on the calling thread without a runtime, several thousand times as fast as one by one, and end by
//! themselves: every attempt has an outcome.

use std::{
    collections::VecDeque,
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd as _, AsRawFd as _},
    time::{Duration, Instant},
};

use nix::{
    cmsg_space,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, sendmmsg,
    },
};
use socket2::Socket;

use super::{attempt::Course, call::fresh_short, ping::reply_id};
use crate::{
    model::{
        answer::{Attempt, Outcome},
        family::Family,
        service::Transport,
    },
    net::{
        endpoint::{self, Queued},
        namespace::Namespace,
        socket::{self, Speech},
    },
    wire::{
        filter,
        icmp::{self, EchoId},
    },
};

/// How many packets go through the kernel in one call.
const BATCH: usize = 64;
/// How many echoes may be unanswered at a time: what the receive buffer that every process may have can hold.
const IN_FLIGHT: usize = 192;
/// How many connections are under way at a time.
const CONNECTING: usize = 256;
/// Sequence numbers of one identifier.
const SEQUENCES: usize = 1 << 16;
/// Octets of payload of an echo: what fping sends.
const SIZE: usize = 56;

/// Pings many destinations of one family, each once, and waits `patience` for each.
pub fn pings(
    from: &Namespace,
    family: Family,
    to: &[IpAddr],
    patience: Duration,
) -> io::Result<Vec<Attempt>> {
    let mut attempts = Vec::with_capacity(to.len());
    for part in to.chunks(SEQUENCES) {
        let mut volley = Volley::open(from, family, part, patience)?;
        volley.run()?;
        attempts.extend(volley.attempts());
    }
    Ok(attempts)
}

/// Connects to many destinations over TCP, each once, waits `patience` for each, and closes at once.
pub fn connects(
    from: &Namespace,
    to: &[SocketAddr],
    patience: Duration,
) -> io::Result<Vec<Attempt>> {
    from.run(|| {
        let mut rush = Rush { patience, open: Vec::new(), done: Vec::new() };
        rush.done.resize_with(to.len(), || None);
        let mut next = 0;
        while next < to.len() || !rush.open.is_empty() {
            while next < to.len() && rush.open.len() < CONNECTING {
                rush.begin(next, to[next]);
                next += 1;
            }
            rush.harvest()?;
        }
        Ok(rush.done.into_iter().flatten().collect())
    })
}

/// Echoes of one identifier, told apart by sequence number.
struct Volley {
    socket: Socket,
    family: Family,
    identifier: u16,
    patience: Duration,
    to: Vec<IpAddr>,
    /// What is noted of each, once it has been sent.
    courses: Vec<Option<Course>>,
    ended: Vec<Option<Attempt>>,
    /// Those sent, oldest first, with the moment at which they are given up; answered ones stay until they are oldest.
    waiting: VecDeque<(usize, Instant)>,
    in_flight: usize,
}

impl Volley {
    fn open(
        from: &Namespace,
        family: Family,
        to: &[IpAddr],
        patience: Duration,
    ) -> io::Result<Self> {
        let identifier = fresh_short();
        let socket = from.run(|| {
            let socket = socket::open(Speech::Icmp, family.unspecified())?;
            socket::attach(&socket, &filter::echo_replies(family, identifier))?;
            if family == Family::V6 {
                socket::set_number(&socket, libc::SOL_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
            }
            socket.set_recv_buffer_size(1 << 20)?;
            Ok(socket)
        })?;
        Ok(Self {
            socket,
            family,
            identifier,
            patience,
            to: to.to_vec(),
            courses: vec![None; to.len()],
            ended: vec![None; to.len()],
            waiting: VecDeque::new(),
            in_flight: 0,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut buffers = vec![[0; 256]; BATCH];
        let mut headers = MultiHeaders::preallocate(BATCH, Some(cmsg_space!([u8; 96])));
        let mut next = 0;
        loop {
            let room = (IN_FLIGHT - self.in_flight).min(self.to.len() - next).min(BATCH);
            // Half a batch at least, so that answers and requests do not take turns one by one.
            if room > 0 && (room >= BATCH / 2 || next + room == self.to.len()) {
                next += self.send(next, room)?;
            }
            self.give_up_late_ones();
            if next == self.to.len() && self.in_flight == 0 {
                return Ok(());
            }
            let heard = self.receive(&mut buffers, &mut headers)?;
            let full = self.in_flight + BATCH / 2 > IN_FLIGHT;
            if !heard && (full || next == self.to.len()) {
                self.wait()?;
            }
        }
    }

    /// Sends some requests in one call. What cannot be sent has its outcome at once.
    fn send(&mut self, first: usize, count: usize) -> io::Result<usize> {
        let requests: Vec<Vec<u8>> = (first..first + count)
            .map(|index| icmp::echo_request(self.family, self.id(index), SIZE))
            .collect();
        let slices: Vec<[IoSlice<'_>; 1]> =
            requests.iter().map(|request| [IoSlice::new(request)]).collect();
        let addresses: Vec<Option<SockaddrStorage>> = self.to[first..first + count]
            .iter()
            .map(|to| Some(SockaddrStorage::from(SocketAddr::new(*to, 0))))
            .collect();
        let mut headers = MultiHeaders::preallocate(count, None);
        let fd = self.socket.as_raw_fd();
        for index in first..first + count {
            self.courses[index] = Some(Course::start(SocketAddr::new(self.to[index], 0)));
        }
        let flags = MsgFlags::MSG_DONTWAIT;
        let sent = sendmmsg(fd, &mut headers, &slices, &addresses, [], flags).map(Iterator::count);
        match sent {
            Ok(sent) => {
                let until = Instant::now() + self.patience;
                self.waiting.extend((first..first + sent).map(|index| (index, until)));
                self.in_flight += sent;
                Ok(sent)
            }
            Err(nix::errno::Errno::EAGAIN) => Ok(0),
            Err(errno) => {
                // About the first of the batch; or an earlier one's error, which the queue tells in full.
                if !self.read_errors()? {
                    let course = self.courses[first];
                    self.ended[first] = course.map(|course| course.unsent(&errno.into()));
                    return Ok(1);
                }
                Ok(0)
            }
        }
    }

    fn id(&self, index: usize) -> EchoId {
        let sequence = u16::try_from(index).expect("a volley has at most 65,536 echoes");
        EchoId { identifier: self.identifier, sequence }
    }

    /// Takes what has come; whether there was something.
    fn receive(
        &mut self,
        buffers: &mut [[u8; 256]],
        headers: &mut MultiHeaders<SockaddrStorage>,
    ) -> io::Result<bool> {
        let mut replies = Vec::with_capacity(BATCH);
        {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                buffers.iter_mut().map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            match recvmmsg(fd, headers, slices.iter_mut(), flags, None) {
                Ok(messages) => replies.extend(messages.map(|message| self.read(&message))),
                Err(nix::errno::Errno::EAGAIN) => {}
                // An error about an earlier request: the queue tells which.
                Err(_) => return self.read_errors(),
            }
        }
        let any = !replies.is_empty();
        for reply in replies.into_iter().flatten() {
            self.answer(&reply);
        }
        Ok(any)
    }

    fn read(&self, message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<Reply> {
        let octets = message.iovs().next()?;
        let id = reply_id(self.family, octets).filter(|id| id.identifier == self.identifier)?;
        let mut reply = Reply { index: usize::from(id.sequence), source: None, hop_limit: None };
        if self.family == Family::V4 {
            reply.hop_limit = octets.get(8).copied();
            let to: Option<[u8; 4]> = octets.get(16..20).and_then(|to| to.try_into().ok());
            reply.source = to.map(IpAddr::from);
            return Some(reply);
        }
        for control in message.cmsgs().ok()? {
            match control {
                ControlMessageOwned::Ipv6HopLimit(hops) => {
                    reply.hop_limit = u8::try_from(hops).ok();
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    reply.source = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                }
                _ => {}
            }
        }
        Some(reply)
    }

    fn answer(&mut self, reply: &Reply) {
        let Some(Some(mut course)) = self.courses.get(reply.index).copied() else { return };
        if self.ended[reply.index].is_none() {
            course.answered();
            course.source = reply.source.map(|source| SocketAddr::new(source, 0));
            course.hop_limit = reply.hop_limit;
            self.ended[reply.index] = Some(course.end(Outcome::Answered));
            self.in_flight -= 1;
        }
    }

    /// Takes ICMP errors from the queue; whether there were any.
    fn read_errors(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 256];
        let mut any = false;
        while let Some(queued) = endpoint::next_error(&self.socket, &mut buffer)? {
            any = true;
            let id = icmp::read_echo_request(self.family, &buffer[..queued.quoted]);
            if let Some(id) = id.filter(|id| id.identifier == self.identifier) {
                self.fail(usize::from(id.sequence), &queued);
            }
        }
        Ok(any)
    }

    fn fail(&mut self, index: usize, queued: &Queued) {
        let Some(Some(course)) = self.courses.get(index).copied() else { return };
        if self.ended[index].is_none() {
            let error = io::Error::from_raw_os_error(queued.errno);
            self.ended[index] = Some(course.failed(Transport::Udp, &error, queued.icmp));
            self.in_flight -= 1;
        }
    }

    fn give_up_late_ones(&mut self) {
        let now = Instant::now();
        while let Some((index, until)) = self.waiting.front().copied() {
            if self.ended[index].is_none() {
                if until > now {
                    return;
                }
                let course = self.courses[index];
                self.ended[index] = course.map(|course| course.end(Outcome::TimedOut));
                self.in_flight -= 1;
            }
            self.waiting.pop_front();
        }
    }

    /// Waits for an answer, or until the oldest is given up.
    fn wait(&mut self) -> io::Result<()> {
        let Some((_, until)) = self.waiting.front() else { return Ok(()) };
        let left = until.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, timeout(left))?;
        let has_error = fds[0].revents().is_some_and(|said| said.contains(PollFlags::POLLERR));
        if has_error {
            self.read_errors()?;
        }
        Ok(())
    }

    fn attempts(self) -> impl Iterator<Item = Attempt> {
        self.ended.into_iter().flatten()
    }
}

struct Reply {
    index: usize,
    source: Option<IpAddr>,
    hop_limit: Option<u8>,
}

/// Connections that are under way.
struct Rush {
    patience: Duration,
    open: Vec<Connecting>,
    done: Vec<Option<Attempt>>,
}

struct Connecting {
    index: usize,
    socket: Socket,
    course: Course,
    until: Instant,
}

impl Rush {
    fn begin(&mut self, index: usize, to: SocketAddr) {
        let mut course = Course::start(to);
        let socket = match open(to) {
            Ok(socket) => socket,
            Err(error) => return self.done[index] = Some(course.unprepared(&error)),
        };
        if let Err(error) = socket::begin_connect(&socket, to) {
            return self.done[index] = Some(course.unsent(&error));
        }
        course.source = socket::local(&socket);
        let until = Instant::now() + self.patience;
        self.open.push(Connecting { index, socket, course, until });
    }

    /// Waits until some connection has ended, and notes all that have.
    fn harvest(&mut self) -> io::Result<()> {
        let Some(first) = self.open.iter().map(|connecting| connecting.until).min() else {
            return Ok(());
        };
        let left = first.saturating_duration_since(Instant::now());
        let mut fds: Vec<PollFd<'_>> = self
            .open
            .iter()
            .map(|connecting| PollFd::new(connecting.socket.as_fd(), PollFlags::POLLOUT))
            .collect();
        poll(&mut fds, timeout(left))?;
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        drop(fds);
        let now = Instant::now();
        let mut ready = ready.into_iter();
        let (ended, open): (Vec<_>, Vec<_>) = std::mem::take(&mut self.open)
            .into_iter()
            .map(|connecting| (ready.next().unwrap_or(false), connecting))
            .partition(|(ready, connecting)| *ready || connecting.until <= now);
        self.open = open.into_iter().map(|(_, connecting)| connecting).collect();
        for (ready, connecting) in ended {
            let index = connecting.index;
            self.done[index] = Some(connecting.end(ready));
        }
        Ok(())
    }
}

impl Connecting {
    fn end(mut self, ready: bool) -> Attempt {
        if !ready {
            return self.course.end(Outcome::TimedOut);
        }
        match self.socket.take_error() {
            Ok(None) => {
                self.course.answered();
                self.course.end(Outcome::Answered)
            }
            Ok(Some(error)) | Err(error) => {
                let queued = endpoint::next_error(&self.socket, &mut [0; 256]).ok().flatten();
                let icmp = queued.and_then(|queued| queued.icmp);
                self.course.failed(Transport::Tcp, &error, icmp)
            }
        }
    }
}

/// A socket that leaves nothing behind when it is closed: no connection in TIME-WAIT holds its port.
fn open(to: SocketAddr) -> io::Result<Socket> {
    let socket = socket::open(Speech::Stream, to.ip())?;
    socket.set_linger(Some(Duration::ZERO))?;
    Ok(socket)
}

/// Rounded up, so that a wait does not end just before its time and spin.
fn timeout(left: Duration) -> PollTimeout {
    PollTimeout::try_from(left.as_micros().div_ceil(1_000)).unwrap_or(PollTimeout::MAX)
}

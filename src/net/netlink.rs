//! A netlink socket of a namespace: requests in batches, dumps, and the kernel's own words when it refuses.
//!
//! The kernel carries out a request within the `send` that brings it, so nothing is won by waiting for answers
//! asynchronously: a batch is one `send`, and only its last message asks for an acknowledgement. Errors are always
//! answered, in order, so the failing message is known.

use std::{
    fmt, io,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, protocols};
use nix::errno::Errno;

use super::namespace::Namespace;

/// The longest that the kernel may keep an answer back. It answers at once; this bound is there so that a defect is an
/// error and not a standstill.
const PATIENCE: Duration = Duration::from_secs(10);
/// Room for answers in the socket. A batch asks for one acknowledgement, but each of its messages may fail.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Octets of one `send`: well below the usual send buffer of 208 KiB.
const BATCH_OCTETS: usize = 64 << 10;
/// Octets of a netlink message header.
const HEADER: usize = 16;
/// Flag of an acknowledgement that attributes follow (`NLM_F_ACK_TLVS`).
const ACK_ATTRIBUTES: u16 = 0x200;
/// The attribute of an acknowledgement that holds the kernel's sentence (`NLMSGERR_ATTR_MSG`).
const ACK_MESSAGE: u16 = 1;

/// What the kernel answers when it does not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The error number.
    pub errno: Errno,
    /// The kernel's sentence, where it gives one (extended acknowledgement).
    pub said: Option<String>,
}

/// The kernel's sentence with the name of the error number: `Nexthop has invalid gateway (ENETUNREACH)`.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.said {
            Some(said) => write!(f, "{} ({:?})", said.trim_end_matches('.'), self.errno),
            None => write!(f, "{} ({:?})", self.errno.desc(), self.errno),
        }
    }
}

/// Why a conversation with the kernel failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The socket failed.
    #[error("the netlink socket failed: {0}")]
    Socket(#[from] io::Error),
    /// No answer came in time.
    #[error("the kernel did not answer a netlink request within {} s", PATIENCE.as_secs())]
    Silent,
    /// The kernel said no.
    #[error("{0}")]
    Refused(Refusal),
    /// An answer could not be read.
    #[error("the kernel's netlink answer could not be read: {0}")]
    Garbled(String),
}

/// A request that changes something.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    message: RouteNetlinkMessage,
    flags: u16,
}

impl Request {
    /// Makes something that must not be there yet.
    pub fn create(message: RouteNetlinkMessage) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_EXCL }
    }

    /// Makes something, or puts it in the place of what is there.
    pub fn replace(message: RouteNetlinkMessage) -> Self {
        Self { message, flags: NLM_F_CREATE | NLM_F_REPLACE }
    }

    /// Changes or removes something that is there.
    pub fn change(message: RouteNetlinkMessage) -> Self {
        Self { message, flags: 0 }
    }
}

/// What a part of the kernel is asked, and answers.
pub trait Message: NetlinkSerializable + NetlinkDeserializable<Error: fmt::Display> {}

impl<M: NetlinkSerializable + NetlinkDeserializable<Error: fmt::Display>> Message for M {}

/// A netlink socket. It belongs to its namespace for ever and may be used from any thread; a conversation holds it
/// until it is over.
#[derive(Debug)]
pub struct Netlink {
    conversation: Mutex<Conversation>,
}

#[derive(Debug)]
struct Conversation {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// A socket in a namespace.
    pub fn open(namespace: &Namespace) -> io::Result<Self> {
        namespace.run(Self::open_here)
    }

    /// A socket in the namespace of this thread.
    pub fn open_here() -> io::Result<Self> {
        Self::of_protocol(protocols::NETLINK_ROUTE)
    }

    /// A socket in the namespace of this thread for the packet filter's part of the kernel.
    pub(super) fn of_netfilter() -> io::Result<Self> {
        Self::of_protocol(protocols::NETLINK_NETFILTER)
    }

    /// A socket in the namespace of this thread for a part of the kernel.
    pub(super) fn of_protocol(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.set_ext_ack(true)?;
        socket.set_cap_ack(true)?;
        socket.set_rx_buf_sz(u32::try_from(RECEIVE_BUFFER).expect("fits"))?;
        if protocol == protocols::NETLINK_ROUTE {
            socket.set_netlink_get_strict_chk(true)?;
        }
        socket2::SockRef::from(&socket).set_read_timeout(Some(PATIENCE))?;
        Ok(Self { conversation: Mutex::new(Conversation { socket, sequence: 0 }) })
    }

    /// Sends one request.
    pub fn ask(&self, request: &Request) -> Result<(), NetlinkError> {
        let mut outcomes = self.batch(std::slice::from_ref(request))?;
        outcomes.pop().expect("one outcome for one request").map_err(NetlinkError::Refused)
    }

    /// Sends requests together; the kernel carries each of them out in order, also after one that failed. Says how each
    /// ended.
    pub fn batch(&self, requests: &[Request]) -> Result<Vec<Result<(), Refusal>>, NetlinkError> {
        let mut outcomes = vec![Ok(()); requests.len()];
        let mut conversation = self.lock();
        let mut done = 0;
        while done < requests.len() {
            let sent = conversation.send_some(&requests[done..])?;
            conversation.read_outcomes(&mut outcomes[done..done + sent])?;
            done += sent;
        }
        Ok(outcomes)
    }

    /// Sends a message that is already octets, its header included, and waits for its acknowledgement.
    pub(super) fn ask_raw(&self, kind: u16, flags: u16, body: &[u8]) -> Result<(), NetlinkError> {
        let mut conversation = self.lock();
        let first = conversation.sequence;
        let mut octets = vec![0; HEADER + body.len()];
        octets[HEADER..].copy_from_slice(body);
        write_header(&mut octets, kind, flags | NLM_F_REQUEST | NLM_F_ACK, first);
        conversation.sequence = first.wrapping_add(1);
        conversation.send(&octets)?;
        let mut outcome = [Ok(())];
        conversation.read_outcomes(&mut outcome)?;
        let [outcome] = outcome;
        outcome.map_err(NetlinkError::Refused)
    }

    /// Asks for everything of a kind.
    pub fn dump<M: Message>(&self, request: &M) -> Result<Vec<M>, NetlinkError> {
        let mut conversation = self.lock();
        // Another change while the kernel was writing makes a dump inconsistent (`NLM_F_DUMP_INTR`); it is asked again.
        for _ in 0..16 {
            if let Some(messages) = conversation.dump_once(request)? {
                return Ok(messages);
            }
        }
        Err(NetlinkError::Garbled("it changed each time while it was being read".to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Conversation {
    /// Sends as many requests as fit, the last of them asking for an acknowledgement.
    fn send_some(&mut self, requests: &[Request]) -> Result<usize, NetlinkError> {
        let mut octets = Vec::with_capacity(4096);
        let mut last = 0;
        let mut count = 0;
        for request in requests {
            let length = HEADER + request.message.buffer_len();
            if count > 0 && octets.len() + length > BATCH_OCTETS {
                break;
            }
            last = octets.len();
            octets.resize(last + length.next_multiple_of(4), 0);
            let message = &mut octets[last..last + length];
            request.message.serialize(&mut message[HEADER..]);
            let kind = request.message.message_type();
            write_header(message, kind, request.flags | NLM_F_REQUEST, self.sequence);
            self.sequence = self.sequence.wrapping_add(1);
            count += 1;
        }
        octets[last + 6] |= NLM_F_ACK.to_ne_bytes()[0];
        self.send(&octets)?;
        Ok(count)
    }

    fn send(&self, octets: &[u8]) -> Result<(), NetlinkError> {
        let sent = retry(|| self.socket.send(octets, 0))?;
        if sent == octets.len() {
            return Ok(());
        }
        Err(NetlinkError::Socket(io::Error::new(io::ErrorKind::WriteZero, "a batch was cut short")))
    }

    /// Reads answers until the last request of the batch is answered.
    fn read_outcomes(&self, outcomes: &mut [Result<(), Refusal>]) -> Result<(), NetlinkError> {
        let count = u32::try_from(outcomes.len()).expect("a batch is small");
        let first = self.sequence.wrapping_sub(count);
        let mut buffer = Vec::with_capacity(4096);
        loop {
            self.receive(&mut buffer)?;
            for (header, body) in messages(&buffer) {
                let index = header.sequence_number.wrapping_sub(first);
                if header.message_type != NLMSG_ERROR || index >= count {
                    continue; // of a conversation that was given up
                }
                outcomes[index as usize] = outcome(&header, body)?;
                if index == count - 1 {
                    return Ok(());
                }
            }
        }
    }

    /// `None` where the kernel says that the dump is inconsistent.
    fn dump_once<M: Message>(&mut self, request: &M) -> Result<Option<Vec<M>>, NetlinkError> {
        const INCONSISTENT: u16 = 0x10;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        let mut octets = vec![0; HEADER + request.buffer_len()];
        request.serialize(&mut octets[HEADER..]);
        write_header(&mut octets, request.message_type(), NLM_F_REQUEST | NLM_F_DUMP, sequence);
        self.send(&octets)?;
        let mut found = Vec::new();
        let mut consistent = true;
        let mut buffer = Vec::with_capacity(64 << 10);
        loop {
            self.receive(&mut buffer)?;
            for (header, body) in messages(&buffer) {
                if header.sequence_number != sequence {
                    continue;
                }
                consistent &= header.flags & INCONSISTENT == 0;
                match header.message_type {
                    NLMSG_DONE | NLMSG_ERROR => {
                        outcome(&header, body)?.map_err(NetlinkError::Refused)?;
                        return Ok(consistent.then_some(found));
                    }
                    _ => found.push(
                        M::deserialize(&header, body)
                            .map_err(|error| NetlinkError::Garbled(error.to_string()))?,
                    ),
                }
            }
        }
    }

    fn receive(&self, buffer: &mut Vec<u8>) -> Result<(), NetlinkError> {
        buffer.clear();
        match retry(|| self.socket.recv(buffer, 0)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(NetlinkError::Silent),
            Err(error) => Err(error.into()),
        }
    }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn write_header(message: &mut [u8], kind: u16, flags: u16, sequence: u32) {
    let length = u32::try_from(message.len()).expect("a netlink message is small");
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&kind.to_ne_bytes());
    message[6..8].copy_from_slice(&flags.to_ne_bytes());
    message[8..12].copy_from_slice(&sequence.to_ne_bytes());
    message[12..16].fill(0);
}

/// The messages of a datagram, each with its body. Stops at the first that does not fit.
fn messages(mut octets: &[u8]) -> impl Iterator<Item = (NetlinkHeader, &[u8])> {
    std::iter::from_fn(move || {
        let head = octets.get(..HEADER)?;
        let word =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([head[at], head[at + 1]]);
        let mut header = NetlinkHeader::default();
        header.length = word(0);
        header.message_type = half(4);
        header.flags = half(6);
        header.sequence_number = word(8);
        let body = octets.get(HEADER..header.length as usize)?;
        octets = octets.get((header.length as usize).next_multiple_of(4)..).unwrap_or_default();
        Some((header, body))
    })
}

/// What an acknowledgement, or the end of a dump, says.
fn outcome(header: &NetlinkHeader, body: &[u8]) -> Result<Result<(), Refusal>, NetlinkError> {
    let Some(code) = body.first_chunk::<4>() else {
        return Err(NetlinkError::Garbled("an acknowledgement without a code".to_owned()));
    };
    let code = i32::from_ne_bytes(*code);
    if code >= 0 {
        return Ok(Ok(()));
    }
    // An acknowledgement repeats the header of the request; the end of a dump does not.
    let before = if header.message_type == NLMSG_ERROR { 4 + HEADER } else { 4 };
    let attributes = body.get(before..).filter(|_| header.flags & ACK_ATTRIBUTES != 0);
    Ok(Err(Refusal {
        errno: Errno::from_raw(code.saturating_neg()),
        said: attributes.and_then(sentence),
    }))
}

fn sentence(attributes: &[u8]) -> Option<String> {
    let found = NlasIterator::new(attributes).flatten().find(|nla| nla.kind() == ACK_MESSAGE)?;
    let text = String::from_utf8_lossy(found.value()).trim_end_matches('\0').trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_cut_short_are_no_messages() {
        let mut octets = vec![0; 20];
        write_header(&mut octets, NLMSG_ERROR, 0, 7);
        assert_eq!(messages(&octets).count(), 1);
        for length in 0..20 {
            assert_eq!(messages(&octets[..length]).count(), 0, "{length} octets of 20");
        }
        octets[0] = 3; // a length below the header's own
        assert_eq!(messages(&octets).count(), 0);
    }

    #[test]
    fn the_kernels_sentence_is_found_behind_the_repeated_header() {
        let mut body = (-101_i32).to_ne_bytes().to_vec();
        body.extend([0; HEADER]);
        body.extend(12_u16.to_ne_bytes());
        body.extend(ACK_MESSAGE.to_ne_bytes());
        body.extend(b"no way.\0");
        let mut header = NetlinkHeader::default();
        header.message_type = NLMSG_ERROR;
        header.flags = ACK_ATTRIBUTES;
        let refusal = outcome(&header, &body).unwrap().unwrap_err();
        assert_eq!(refusal.to_string(), "no way (ENETUNREACH)");
        header.flags = 0;
        let refusal = outcome(&header, &body).unwrap().unwrap_err();
        assert_eq!(refusal.to_string(), "Network is unreachable (ENETUNREACH)");
    }
}

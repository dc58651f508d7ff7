//! A message to a peer over UDP or raw IP, and what comes back: an answer, or an ICMP error with its sender.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use socket2::Socket;

use super::{Deadline, Vantage, attempt::Course, within};
use crate::{
    model::{
        answer::{Attempt, Outcome},
        service::Transport,
    },
    net::{
        endpoint::{Endpoint, Heard, Queued},
        socket::{self, Speech},
    },
};

/// Time between looks whether something has left.
const LOOK: Duration = Duration::from_millis(1);

/// A socket that is connected to the peer, and what is noted of it.
pub(super) struct Call {
    /// The socket.
    pub(super) endpoint: Endpoint,
    /// What is noted.
    pub(super) course: Course,
}

impl Call {
    /// Opens a socket within the node and connects it, so that only this peer's messages arrive. `prepare` sets what
    /// else is needed, before anything can be received.
    pub(super) fn open(
        at: &Vantage,
        speech: Speech,
        to: SocketAddr,
        source: Option<IpAddr>,
        prepare: impl FnOnce(&Socket) -> io::Result<()> + Send,
    ) -> Result<Self, Box<Attempt>> {
        let course = Course::start(to);
        let opened = at.namespace.run(move || {
            let scope = at.scope(source);
            let socket = socket::open(speech, to.ip())?;
            prepare(&socket)?;
            if let Some(source) = source {
                socket::bind(&socket, source, scope)?;
            }
            let said = socket::begin_connect(&socket, socket::scoped(to, scope));
            Ok((socket, said))
        });
        let (socket, said) = opened.map_err(|error| course.unprepared(&error))?;
        said.map_err(|error| course.unsent(&error))?;
        let mut course = Course::start(to);
        course.source = socket::local(&socket);
        if !matches!(speech, Speech::Stream | Speech::Datagram) {
            // The kernel shows the protocol in the place of the port, which there is none of.
            course.source.iter_mut().for_each(|source| source.set_port(0));
        }
        let endpoint = Endpoint::new(socket).map_err(|error| course.unprepared(&error))?;
        Ok(Self { endpoint, course })
    }

    /// Sends a message. A raw socket is told of errors about what others sent to the same host too, and whatever it does next
    /// fails by them: only what fails twice has failed by itself.
    pub(super) fn send(&self, message: &[u8]) -> Result<(), Box<Attempt>> {
        let sent = self.endpoint.send(message).or_else(|_| self.endpoint.send(message));
        sent.map(drop).map_err(|error| Box::new(self.course.unsent(&error)))
    }

    /// The end of what nobody answers, once it has left the node: a packet that still waits for the link-layer address of the
    /// next hop is on no wire yet, and taps would be closed before it comes. What never finds its next hop is given up by the
    /// kernel after three seconds (RFC 4861 section 7.3.3).
    pub(super) async fn leave(self) -> Attempt {
        while self.endpoint.unsent().is_ok_and(|octets| octets > 0) {
            tokio::time::sleep(LOOK).await;
        }
        self.course.end(Outcome::Answered)
    }

    /// Waits for something that `is_answer` accepts, until the deadline. `is_about` says of an ICMP error's quote
    /// whether it is about what was sent here.
    pub(super) async fn wait<T>(
        &mut self,
        deadline: Deadline,
        mut is_answer: impl FnMut(&[u8]) -> Option<T>,
        is_about: impl Fn(&[u8]) -> bool,
    ) -> Result<T, Box<Attempt>> {
        // The longest that UDP can carry.
        let mut buffer = vec![0; 65_535];
        loop {
            match within(deadline, self.endpoint.hear(&mut buffer)).await {
                Err(_) => return Err(Box::new(self.course.end(Outcome::TimedOut))),
                Ok(Err(error)) => return Err(Box::new(self.failed(&error, None))),
                Ok(Ok(Heard::Error(queued))) if is_about(&buffer[..queued.quoted]) => {
                    let error = io::Error::from_raw_os_error(queued.errno);
                    return Err(Box::new(self.failed(&error, Some(queued))));
                }
                Ok(Ok(Heard::Error(_))) => {}
                Ok(Ok(Heard::Data { length, hop_limit, .. })) => {
                    if let Some(answer) = is_answer(&buffer[..length]) {
                        self.course.hop_limit = hop_limit;
                        self.course.answered();
                        return Ok(answer);
                    }
                }
            }
        }
    }

    fn failed(&self, error: &io::Error, queued: Option<Queued>) -> Attempt {
        self.course.failed(Transport::Udp, error, queued.and_then(|queued| queued.icmp))
    }
}

/// Every ICMP error on a UDP socket of one's own is about what was sent from it.
pub(super) fn always(_quote: &[u8]) -> bool {
    true
}

/// A number that nobody else in this process uses, for ids and nonces.
pub(super) fn fresh() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The same in 32 bits.
pub(super) fn fresh_word() -> u32 {
    u32::try_from(fresh() & 0xffff_ffff).expect("masked to 32 bits")
}

/// The same in 16 bits, for fields that hold no more. Runs through all values before one repeats.
pub(super) fn fresh_short() -> u16 {
    u16::try_from(fresh() & 0xffff).expect("masked to 16 bits")
}

//! How an attempt is noted down: clocks and addresses while it runs, and the words for how it ended.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::errno::Errno;

use crate::{
    model::{
        answer::{Attempt, IcmpError, Outcome},
        family::Family,
        service::Transport,
    },
    wire::icmp,
};

/// An attempt that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    started: Instant,
    answered: Option<Duration>,
    /// Source really used, once known.
    pub(super) source: Option<SocketAddr>,
    destination: SocketAddr,
    /// Hop limit of the first answer, once known.
    pub(super) hop_limit: Option<u8>,
}

impl Course {
    /// Starts the clock.
    pub(super) fn start(destination: SocketAddr) -> Self {
        Self { started: Instant::now(), answered: None, source: None, destination, hop_limit: None }
    }

    /// Notes the moment of the connection or of the first answer.
    pub(super) fn answered(&mut self) {
        self.answered.get_or_insert(self.started.elapsed());
    }

    /// Stops the clock.
    pub(super) fn end(self, outcome: Outcome) -> Attempt {
        let total = self.started.elapsed();
        Attempt {
            source: self.source,
            destination: self.destination,
            family: Family::of(self.destination.ip()),
            outcome,
            errno: None,
            icmp: None,
            hop_limit: self.hop_limit,
            connect_us: micros(self.answered.unwrap_or(total)),
            total_us: micros(total),
        }
    }

    /// The end because of an error that the network caused, with the ICMP error behind it, where there was one.
    pub(super) fn failed(
        self,
        transport: Transport,
        error: &io::Error,
        icmp: Option<IcmpError>,
    ) -> Attempt {
        let outcome = match (icmp, error.raw_os_error()) {
            (Some(icmp), _) => blame(transport, &icmp),
            (None, Some(libc::ECONNREFUSED)) => Outcome::Refused,
            (None, Some(libc::ETIMEDOUT)) => Outcome::TimedOut,
            (None, _) => Outcome::Rejected,
        };
        Attempt { errno: errno(error), icmp, ..self.end(outcome) }
    }

    /// The end because the kernel sent nothing: no route, no source address, or a rule of the node's own.
    pub(super) fn unsent(self, error: &io::Error) -> Attempt {
        let is_ipv6 = Family::of(self.destination.ip()) == Family::V6;
        let outcome = match error.raw_os_error() {
            Some(
                libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::ENETDOWN
                | libc::EACCES
                | libc::EPERM,
            ) => Outcome::NoRoute,
            // IPv6: no usable source address; IPv4: no free port, which says nothing about the network.
            Some(libc::EADDRNOTAVAIL) if is_ipv6 => Outcome::NoRoute,
            _ => Outcome::NotAsked {
                reason: format!("cannot send to {}: {error}", self.destination),
            },
        };
        Attempt { errno: errno(error), ..self.end(outcome) }
    }

    /// The end because the question could not even be prepared.
    pub(super) fn unprepared(self, error: &io::Error) -> Attempt {
        let reason = format!("cannot open a socket towards {}: {error}", self.destination);
        Attempt { errno: errno(error), ..self.end(Outcome::NotAsked { reason }) }
    }
}

/// What an ICMP error means for an attempt: a closed UDP port is refused as a closed TCP port is by its reset; to TCP a
/// port unreachable comes from a firewall.
fn blame(transport: Transport, error: &IcmpError) -> Outcome {
    let closed = icmp::is_port_unreachable(error.family, error.kind, error.code);
    if closed && transport == Transport::Udp { Outcome::Refused } else { Outcome::Rejected }
}

/// The name of an error number, for example `ECONNREFUSED`.
pub(super) fn errno(error: &io::Error) -> Option<String> {
    error.raw_os_error().map(|number| format!("{:?}", Errno::from_raw(number)))
}

/// Microseconds, for the record.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

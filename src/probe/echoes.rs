//! Many echo requests from one socket, told apart by their sequence numbers: replies and ICMP errors as they come.

use std::{io, net::IpAddr};

use super::{
    Deadline, Vantage,
    call::{Call, fresh_short},
    ping, within,
};
use crate::{
    model::{
        answer::{Attempt, IcmpError},
        family::Family,
    },
    net::{endpoint::Heard, socket},
    wire::icmp::{self, EchoId},
};

/// A socket for many echo requests to one destination.
pub(super) struct Echoes {
    call: Call,
    family: Family,
    identifier: u16,
    buffer: Vec<u8>,
}

/// What came back for the request of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// A reply.
    Reply(u16),
    /// An ICMP error.
    Error(u16, IcmpError),
}

impl Echoes {
    /// Opens the socket.
    pub(super) fn open(at: &Vantage, to: IpAddr) -> Result<Self, Box<Attempt>> {
        let identifier = fresh_short();
        let call = ping::open(at, to, None, identifier, None)?;
        Ok(Self { call, family: Family::of(to), identifier, buffer: vec![0; 65_535] })
    }

    /// The source that the kernel has chosen.
    pub(super) fn source(&self) -> Option<IpAddr> {
        self.call.course.source.map(|source| source.ip())
    }

    /// Lets nothing be fragmented.
    pub(super) fn probe_mtu(&self) -> io::Result<()> {
        socket::probe_mtu(self.call.endpoint.socket(), self.family)
    }

    /// Sets the hop limit of the requests that follow.
    pub(super) fn set_hop_limit(&self, hops: u8) -> io::Result<()> {
        socket::set_hop_limit(self.call.endpoint.socket(), self.family, hops)
    }

    /// Sends a request. An error that an earlier request has met is reported by the next sending, once; it is in the
    /// queue too, and this request has not been sent.
    pub(super) fn send(&self, sequence: u16, size: usize) -> io::Result<()> {
        let id = EchoId { identifier: self.identifier, sequence };
        let request = icmp::echo_request(self.family, id, size);
        let endpoint = &self.call.endpoint;
        endpoint.send(&request).or_else(|_| endpoint.send(&request)).map(drop)
    }

    /// The next thing that comes back, or nothing by the deadline.
    pub(super) async fn hear(&mut self, deadline: Deadline) -> Option<Echo> {
        loop {
            let heard = self.call.endpoint.hear(&mut self.buffer);
            match within(deadline, heard).await.ok()? {
                Ok(Heard::Data { length, .. }) => {
                    let id = ping::reply_id(self.family, &self.buffer[..length]);
                    if let Some(id) = id.filter(|id| id.identifier == self.identifier) {
                        return Some(Echo::Reply(id.sequence));
                    }
                }
                Ok(Heard::Error(queued)) => {
                    let quote = &self.buffer[..queued.quoted];
                    let id = icmp::read_echo_request(self.family, quote);
                    let ours = id.filter(|id| id.identifier == self.identifier);
                    if let (Some(id), Some(icmp)) = (ours, queued.icmp) {
                        return Some(Echo::Error(id.sequence, icmp));
                    }
                }
                // Reported once and then gone; what it was about is in the queue.
                Err(_) => {}
            }
        }
    }
}

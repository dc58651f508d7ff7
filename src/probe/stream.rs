//! `Question::Stream`: many echo requests with a traffic class, and how their replies come back.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use super::{
    Deadline, Vantage,
    attempt::micros,
    call::{Call, fresh_short},
    ping, within,
};
use crate::{
    model::{
        answer::{Answer, Outcome},
        family::Family,
    },
    net::{
        endpoint::Heard,
        socket::{self, Speech},
    },
    wire::{
        filter,
        icmp::{self, EchoId},
    },
};

/// How long nothing may come until the rest counts as lost: longer than the slowest link of a testbed takes.
const QUIET: Duration = Duration::from_millis(1_500);
/// How long the far end is knocked at until it answers: as long as the search for a next hop takes (RFC 4861 section 10), and how
/// often meanwhile.
const OPENING: Duration = Duration::from_secs(3);
const KNOCK: Duration = Duration::from_millis(250);
/// Room for replies that wait to be read, in octets; the kernel grants what its limit allows.
const WAITING_ROOM: usize = 4 << 20;

/// The requests of a stream.
#[derive(Clone, Copy)]
pub(super) struct Requests {
    pub(super) packets: u16,
    /// Octets of payload.
    pub(super) size: u16,
    pub(super) class: u8,
}

pub(super) async fn ask(
    at: &Vantage,
    to: IpAddr,
    Requests { packets, size, class }: Requests,
    opened: bool,
    deadline: Deadline,
) -> Answer {
    let family = Family::of(to);
    let identifier = fresh_short();
    let target = SocketAddr::new(to.to_canonical(), 0);
    let call = Call::open(at, Speech::Icmp, target, None, |socket| {
        socket::attach(socket, &filter::echo_replies(family, identifier))?;
        socket.set_recv_buffer_size(WAITING_ROOM)?;
        socket::tell_arrival(socket)?;
        socket::set_class(socket, family, class)
    });
    let call = match call {
        Ok(call) => call,
        Err(attempt) => return without_socket(&attempt.outcome),
    };
    let mut replies = Replies { family, identifier, packets, ..Replies::default() };
    let mut buffer = vec![0; 65_535];
    if opened && let Err(knocks) = knock(&call, &replies, deadline, &mut buffer).await {
        return unanswered(call.course.source.map(|source| source.ip()), knocks);
    }
    let send = |sequence| {
        let id = EchoId { identifier, sequence };
        let left = now();
        let message = icmp::echo_request(family, id, usize::from(size));
        call.endpoint.send(&message).is_ok().then_some((sequence, left))
    };
    let left: BTreeMap<_, _> = (0..packets).filter_map(send).collect();
    let sent = left.len();
    let (mut fastest, mut took) = (None::<Duration>, None::<Duration>);
    let mut until = deadline.or_after(QUIET);
    while replies.answered.len() < sent {
        let Ok(Ok(heard)) = within(until, call.endpoint.hear(&mut buffer)).await else { break };
        if let Heard::Data { length, class, came, .. } = heard
            && let Some(sequence) = replies.note(&buffer[..length], class)
        {
            let since = |left: &Duration| came.map(|came| came.saturating_sub(*left));
            let there_and_back = left.get(&sequence).and_then(since);
            fastest = fastest.into_iter().chain(there_and_back).min();
            took = took.into_iter().chain(left.values().next().and_then(since)).max();
            until = deadline.or_after(QUIET);
        }
    }
    Answer::Stream {
        source: call.course.source.map(|source| source.ip()),
        sent: u16::try_from(sent).unwrap_or(packets),
        answered: u16::try_from(replies.answered.len()).unwrap_or(packets),
        duplicates: replies.duplicates,
        late: replies.late,
        classes: replies.classes,
        fastest_us: fastest.map(micros),
        took_us: took.map(micros),
    }
}

/// Sends echo requests until the first reply: what is lost before the next hops of the way are found, no link has lost. An error
/// is how many were not answered.
async fn knock(
    call: &Call,
    replies: &Replies,
    deadline: Deadline,
    buffer: &mut [u8],
) -> Result<(), u16> {
    let until = deadline.or_after(OPENING);
    let mut knocks = 0;
    while !until.has_passed() {
        let id = EchoId { identifier: replies.identifier, sequence: u16::MAX - knocks };
        if call.endpoint.send(&icmp::echo_request(replies.family, id, 0)).is_err() {
            break;
        }
        knocks += 1;
        let wait = until.or_after(KNOCK);
        loop {
            match within(wait, call.endpoint.hear(buffer)).await {
                Ok(Ok(Heard::Data { length, .. }))
                    if replies.answered_by(&buffer[..length]).is_some() =>
                {
                    return Ok(());
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) => break wait.passed().await,
                Err(_) => break,
            }
        }
    }
    Err(knocks)
}

/// By the clock that the kernel notes arrivals with. Whoever sets it meanwhile spoils a figure and no more.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// No way is an answer; a socket that cannot be opened is not.
fn without_socket(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::NotAsked { reason } => Answer::NotAsked { reason: reason.clone() },
        _ => unanswered(None, 0),
    }
}

fn unanswered(source: Option<IpAddr>, sent: u16) -> Answer {
    Answer::Stream {
        source,
        sent,
        answered: 0,
        duplicates: 0,
        late: 0,
        classes: BTreeSet::new(),
        fastest_us: None,
        took_us: None,
    }
}

/// What has come back so far.
struct Replies {
    family: Family,
    identifier: u16,
    /// Requests of the stream: sequence numbers from here on are those of knocks.
    packets: u16,
    answered: BTreeSet<u16>,
    duplicates: u16,
    late: u16,
    classes: BTreeSet<u8>,
}

impl Default for Replies {
    fn default() -> Self {
        Self {
            family: Family::V6,
            identifier: 0,
            packets: 0,
            answered: BTreeSet::new(),
            duplicates: 0,
            late: 0,
            classes: BTreeSet::new(),
        }
    }
}

impl Replies {
    /// What a message replies to, if it replies to us.
    fn answered_by(&self, message: &[u8]) -> Option<EchoId> {
        ping::reply_id(self.family, message).filter(|id| id.identifier == self.identifier)
    }

    /// Notes a message: which request it is a reply to, if it is one.
    fn note(&mut self, message: &[u8], class: Option<u8>) -> Option<u16> {
        let id = self.answered_by(message).filter(|id| id.sequence < self.packets)?;
        let class = match self.family {
            Family::V4 => message.get(1).copied(),
            Family::V6 => class,
        };
        self.classes.extend(class);
        if self.answered.last().is_some_and(|last| *last > id.sequence) {
            self.late += u16::from(!self.answered.contains(&id.sequence));
        }
        self.duplicates += u16::from(!self.answered.insert(id.sequence));
        Some(id.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(identifier: u16, sequence: u16) -> Vec<u8> {
        let id = EchoId { identifier, sequence };
        let mut message = icmp::echo_request(Family::V6, id, 8);
        message[0] = icmp::echo_reply_type(Family::V6);
        message
    }

    #[test]
    fn replies_are_counted_once_and_what_is_overtaken_is_late() {
        let mut replies = Replies { identifier: 7, packets: 4, ..Replies::default() };
        for sequence in [0, 2, 1, 2, 3] {
            assert_eq!(replies.note(&reply(7, sequence), Some(0xb8)), Some(sequence));
        }
        assert_eq!(replies.note(&reply(8, 3), Some(0)), None, "another's");
        assert_eq!(replies.note(&reply(7, u16::MAX), Some(0)), None, "of a knock");
        assert_eq!((replies.answered.len(), replies.duplicates, replies.late), (4, 1, 1));
        assert_eq!(replies.classes, BTreeSet::from([0xb8]));
    }
}

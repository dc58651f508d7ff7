//! `Question::Trace`: the routers on the way. All hop limits are sent at once, since each router answers only one of
//! them; what stays silent is asked again after longer than routers hold errors back.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    Deadline, Vantage,
    echoes::{Echo, Echoes},
};
use crate::model::{
    answer::{Answer, Outcome},
    family::Family,
};

/// How long a round waits. Above the second for which Linux holds back IPv4 errors.
const ROUND: Duration = Duration::from_millis(1_100);
const ROUNDS: u16 = 3;
/// Octets of payload.
const SIZE: usize = 32;

pub(super) async fn ask(at: &Vantage, to: IpAddr, most: u8, deadline: Deadline) -> Answer {
    let mut echoes = match Echoes::open(at, to) {
        Ok(echoes) => echoes,
        Err(attempt) => return without_socket(&attempt.outcome),
    };
    let mut way = Way { family: Family::of(to), routers: BTreeMap::new(), end: None };
    for round in 0..ROUNDS {
        for hop in way.missing(most) {
            // A request that cannot be sent is a hop that stays silent.
            let _ = echoes
                .set_hop_limit(hop)
                .and_then(|()| echoes.send(round * 256 + u16::from(hop), SIZE));
        }
        let until = deadline.or_after(ROUND);
        while !way.is_complete() {
            let Some(echo) = echoes.hear(until).await else { break };
            way.note(echo);
        }
        if way.is_complete() {
            break;
        }
    }
    way.answer()
}

/// No way is an answer; a socket that cannot be opened is not.
fn without_socket(outcome: &Outcome) -> Answer {
    match outcome {
        Outcome::NotAsked { reason } => Answer::NotAsked { reason: reason.clone() },
        _ => Answer::Trace { hops: Vec::new(), reached: false },
    }
}

/// What is known of the way.
struct Way {
    family: Family,
    routers: BTreeMap<u8, IpAddr>,
    /// The first hop at which the destination answered.
    end: Option<u8>,
}

impl Way {
    /// The hop limits to send with: those below the end that have stayed silent.
    fn missing(&self, most: u8) -> Vec<u8> {
        let last = self.end.map_or(most, |end| end - 1);
        (1..=last).filter(|hop| !self.routers.contains_key(hop)).collect()
    }

    fn is_complete(&self) -> bool {
        self.end.is_some_and(|end| (1..end).all(|hop| self.routers.contains_key(&hop)))
    }

    fn note(&mut self, echo: Echo) {
        let hop = |sequence: u16| u8::try_from(sequence % 256).unwrap_or(u8::MAX);
        match echo {
            Echo::Reply(sequence) => {
                let hop = hop(sequence).max(1);
                self.end = Some(self.end.map_or(hop, |end| end.min(hop)));
            }
            Echo::Error(sequence, error) => {
                let expired = match self.family {
                    Family::V4 => 11,
                    Family::V6 => 3,
                };
                // Another error ends the way at this router: only its first mention is a hop.
                let known = self.routers.values().any(|router| *router == error.sender);
                if error.kind == expired || !known {
                    self.routers.entry(hop(sequence)).or_insert(error.sender);
                }
            }
        }
    }

    /// The routers up to the destination, or up to the last that answered.
    fn answer(&self) -> Answer {
        let last = match self.end {
            Some(end) => end - 1,
            None => self.routers.keys().next_back().copied().unwrap_or(0),
        };
        let hops = (1..=last).map(|hop| self.routers.get(&hop).copied()).collect();
        Answer::Trace { hops, reached: self.end.is_some() }
    }
}

//! `Question::Journey`: what a user of the node gets. Resolves as a stub resolver does, connects as Happy Eyeballs does
//! (RFC 8305) or in one family only, and fetches the page.

use std::{
    collections::VecDeque,
    future::pending,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};

use super::{
    Asker, Deadline, Vantage,
    attempt::{Course, micros},
    dial::{Line, dial},
    fetch, lookup, order,
    source_for::sources,
    within,
};
use crate::model::{
    answer::{Answer, Attempt, Outcome},
    family::Family,
    name::DomainName,
    record::RecordType,
    service::Transport,
};

/// How long the AAAA answer is waited for once the A answer is there (RFC 8305 section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// How long an attempt has before the next is begun beside it (RFC 8305 section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// How long a resolver is waited for before the next is asked.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(2);
/// How long an attempt lives at most: long enough to tell a dead host from a filter.
const ATTEMPT_PATIENCE: Duration = Duration::from_secs(4);

/// What the user wants.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) name: &'a DomainName,
    pub(super) port: u16,
    pub(super) tls: bool,
    pub(super) path: &'a str,
    pub(super) pinned: Option<Family>,
}

pub(super) async fn ask(
    asker: &Asker,
    at: &Vantage,
    errand: Errand<'_>,
    deadline: Deadline,
) -> Answer {
    let begun = Instant::now();
    let mut trip = Trip::new(at, errand.port, deadline);
    let won = trip.race(errand, begun).await;
    let (page, failure) = match won {
        None => (None, Some(trip.why_not())),
        Some(line) => match within(deadline, errand.fetch(asker, line)).await {
            Ok(Ok(page)) => (Some(page), None),
            Ok(Err(error)) => (None, Some(error.to_string())),
            Err(_) => {
                trip.stall();
                (None, Some("the page did not come to its end".to_owned()))
            }
        },
    };
    Answer::Journey {
        resolve_us: micros(trip.resolve_time.unwrap_or_else(|| begun.elapsed())),
        attempts: trip.attempts(),
        resolved: trip.resolved,
        page,
        total_us: micros(begun.elapsed()),
        failure,
    }
}

impl Errand<'_> {
    async fn fetch(
        &self,
        asker: &Asker,
        line: Line,
    ) -> std::io::Result<crate::model::answer::Page> {
        let usual = if self.tls { 443 } else { 80 };
        let host = match self.port {
            port if port == usual => self.name.to_string(),
            port => format!("{}:{port}", self.name),
        };
        let tls = self.tls.then(|| self.name.as_str());
        fetch::get(&asker.roots, line.stream, tls, &host, self.path).await
    }
}

/// What a resolver said, or why none did.
type Resolved = Result<Vec<IpAddr>, String>;
/// An attempt that has ended: its place in the order, and how.
type Ended = (usize, Result<Line, Box<Attempt>>);

struct Trip<'a> {
    at: &'a Vantage,
    port: u16,
    deadline: Deadline,
    resolved: Vec<IpAddr>,
    resolve_time: Option<Duration>,
    /// Addresses still to be tried.
    waiting: VecDeque<IpAddr>,
    /// Every attempt begun, with its end where it has come.
    begun: Vec<(Course, Option<Attempt>)>,
    running: JoinSet<Ended>,
    /// What went wrong with the names.
    complaints: Vec<String>,
}

impl<'a> Trip<'a> {
    fn new(at: &'a Vantage, port: u16, deadline: Deadline) -> Self {
        Self {
            at,
            port,
            deadline,
            resolved: Vec::new(),
            resolve_time: None,
            waiting: VecDeque::new(),
            begun: Vec::new(),
            running: JoinSet::new(),
            complaints: Vec::new(),
        }
    }

    /// Resolves and connects at the same time; the first connection that stands wins.
    async fn race(&mut self, errand: Errand<'_>, started: Instant) -> Option<Line> {
        let asked = |family| errand.pinned.is_none_or(|pinned| pinned == family);
        let mut names = [asked(Family::V4), asked(Family::V6)];
        let (at, deadline) = (self.at, self.deadline);
        let mut v4 = pin!(resolve(at, errand.name, Family::V4, deadline));
        let mut v6 = pin!(resolve(at, errand.name, Family::V6, deadline));
        // When the next attempt may begin: as soon as the AAAA answer is there, or a little after the A answer.
        let mut start: Option<Deadline> = None;
        loop {
            let nothing_open = self.running.is_empty() && self.waiting.is_empty();
            if nothing_open && names == [false; 2] {
                return None;
            }
            let next = start.filter(|_| !self.waiting.is_empty());
            tokio::select! {
                said = &mut v4, if names[0] => {
                    names[0] = false;
                    self.learn(said, started);
                    let delay = if names[1] { RESOLUTION_DELAY } else { Duration::ZERO };
                    start.get_or_insert_with(|| Deadline::after(delay));
                }
                said = &mut v6, if names[1] => {
                    names[1] = false;
                    self.learn(said, started);
                    if self.begun.is_empty() {
                        start = Some(Deadline::after(Duration::ZERO));
                    }
                }
                () = wait_until(next) => {
                    self.begin();
                    start = Some(Deadline::after(ATTEMPT_DELAY));
                }
                Some(Ok((index, ended))) = self.running.join_next() => match ended {
                    Ok(line) => {
                        self.begun[index].1 = Some(line.course.end(Outcome::Answered));
                        return Some(line);
                    }
                    Err(attempt) => {
                        self.begun[index].1 = Some(*attempt);
                        // A failure lets the next begin at once.
                        start = Some(Deadline::after(Duration::ZERO));
                    }
                },
                () = deadline.passed() => return None,
            }
        }
    }

    /// Puts addresses into the order; those already tried stay tried.
    fn learn(&mut self, said: Resolved, started: Instant) {
        match said {
            Ok(addresses) if addresses.is_empty() => {}
            Ok(addresses) => {
                self.resolve_time.get_or_insert_with(|| started.elapsed());
                let known: Vec<IpAddr> = self.waiting.drain(..).chain(addresses).collect();
                let sources = sources(self.at, &known).unwrap_or_else(|_| vec![None; known.len()]);
                let order = order::tried(known.into_iter().zip(sources).collect());
                self.resolved.truncate(self.begun.len());
                self.resolved.extend(&order);
                self.waiting = order.into();
            }
            Err(complaint) => self.complaints.push(complaint),
        }
    }

    fn begin(&mut self) {
        let Some(ip) = self.waiting.pop_front() else { return };
        let to = SocketAddr::new(ip, self.port);
        let index = self.begun.len();
        self.begun.push((Course::start(to), None));
        let at = self.at.clone();
        let deadline = self.deadline.or_after(ATTEMPT_PATIENCE);
        self.running.spawn(async move { (index, dial(&at, to, None, false, deadline).await) });
    }

    /// What stood has brought no page.
    fn stall(&mut self) {
        let ends = self.begun.iter_mut().filter_map(|(_, end)| end.as_mut());
        for won in ends.filter(|end| end.outcome == Outcome::Answered) {
            won.outcome = Outcome::Stalled;
        }
    }

    /// Every attempt in the order begun. One that lost the race has had no answer within the time that it was given.
    fn attempts(&self) -> Vec<Attempt> {
        let end = |(course, end): &(Course, Option<Attempt>)| {
            end.clone().unwrap_or_else(|| course.end(Outcome::TimedOut))
        };
        self.begun.iter().map(end).collect()
    }

    fn why_not(&self) -> String {
        if !self.begun.is_empty() {
            "no address could be connected".to_owned()
        } else if self.complaints.is_empty() {
            "the name has no address".to_owned()
        } else {
            self.complaints.join("; ")
        }
    }
}

async fn wait_until(moment: Option<Deadline>) {
    match moment {
        Some(moment) => moment.passed().await,
        None => pending().await,
    }
}

/// Asks the node's resolvers in order for the addresses of a family, as a stub does: the next one if one is silent,
/// unreachable or fails; over TCP if the answer is truncated.
async fn resolve(at: &Vantage, name: &DomainName, family: Family, deadline: Deadline) -> Resolved {
    let rtype = RecordType::of(family);
    let mut complaint = format!("node `{}` has no resolver", at.node);
    for resolver in &at.resolvers {
        let server = SocketAddr::new(*resolver, 53);
        let until = deadline.or_after(RESOLVER_PATIENCE);
        let query = lookup::query(name, rtype, None, true, false);
        let mut answer = lookup::ask(at, server, Transport::Udp, &query, until).await;
        if matches!(&answer, Answer::Dns { reply: Some(reply), .. } if reply.truncated) {
            answer = lookup::ask(at, server, Transport::Tcp, &query, until).await;
        }
        let Answer::Dns { attempt, reply } = answer else { continue };
        match reply {
            Some(reply) if reply.rcode == "NoError" => {
                let of_family = |ip: &IpAddr| ip.is_ipv4() == (family == Family::V4);
                return Ok(reply.addresses().filter(of_family).collect());
            }
            Some(reply) if reply.rcode == "NXDomain" => {
                return Err(format!("{name} does not exist, says {resolver}"));
            }
            Some(reply) => {
                complaint =
                    format!("{resolver} answers {} for {}", reply.rcode, family.record_type());
            }
            None => {
                complaint = format!(
                    "{resolver} gives no {} answer: {:?}",
                    family.record_type(),
                    attempt.outcome
                );
            }
        }
    }
    Err(complaint)
}

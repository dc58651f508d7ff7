//! Who stands behind which address of the pool, and for how long (RFC 6146 sections 3.1 to 3.5).
//!
//! Mapping is endpoint-independent: a user's port is shown as the same port to everybody. Filtering is address-dependent: only
//! hosts that a user has sent something to may answer (RFC 6146 section 3, second bullet).

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use crate::model::translation::{Mapping, Timers, Translated};

/// A user, by address and port.
pub(super) type User = (Ipv6Addr, u16);
/// What IPv4 hosts see of a user.
pub(super) type Shown = (Ipv4Addr, u16);

/// How many ports one user may hold at the same time, so that none takes the pool from the others (RFC 6146 section 5.3).
const MOST_OF_ONE: usize = 4096;
/// Ports that are given: the lower ones are for servers.
const LEAST_PORT: u16 = 1024;
/// Flags of TCP.
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;

/// The bindings of a translator.
#[derive(Debug)]
pub(super) struct Bindings {
    pool: Vec<Ipv4Addr>,
    pub(super) timers: Timers,
    by_user: BTreeMap<(Translated, User), Binding>,
    by_shown: BTreeMap<(Translated, Shown), User>,
    next_sweep: Duration,
}

#[derive(Debug)]
struct Binding {
    shown: Shown,
    since: Duration,
    sessions: BTreeMap<Ipv4Addr, Session>,
}

/// What a user has going on with a host.
#[derive(Debug)]
struct Session {
    until: Duration,
    /// Connections, by the port of the host. The others need no more than the host.
    connections: BTreeMap<u16, Connection>,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    state: Tcp,
    until: Duration,
}

/// How far a connection has come (RFC 6146 section 3.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tcp {
    Opening,
    Established,
    UserEnds,
    HostEnds,
    Ended,
    Transitory,
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    User,
    Host,
}

impl Tcp {
    fn after(self, side: Side, flags: u8) -> Self {
        let (opens, ends, resets) = (flags & SYN != 0, flags & FIN != 0, flags & RST != 0);
        match (self, side) {
            (Self::Opening, Side::Host) if opens => Self::Established,
            (Self::Opening | Self::Ended, _) => self,
            (Self::Transitory, _) if resets => self,
            (_, _) if resets => Self::Transitory,
            (Self::Established | Self::Transitory, Side::User) if ends => Self::UserEnds,
            (Self::Established | Self::Transitory, Side::Host) if ends => Self::HostEnds,
            (Self::UserEnds, Side::Host) | (Self::HostEnds, Side::User) if ends => Self::Ended,
            (Self::Transitory, _) => Self::Established,
            (state, _) => state,
        }
    }

    fn lifetime(self, timers: &Timers) -> Duration {
        Duration::from_secs(match self {
            Self::Opening | Self::Ended | Self::Transitory => timers.tcp_transitory_s,
            Self::Established | Self::UserEnds | Self::HostEnds => timers.tcp_established_s,
        })
    }
}

impl Bindings {
    pub(super) fn new(pool: Vec<Ipv4Addr>, timers: Timers) -> Self {
        Self {
            pool,
            timers,
            by_user: BTreeMap::new(),
            by_shown: BTreeMap::new(),
            next_sweep: Duration::ZERO,
        }
    }

    /// What a user is shown as to a host, from now on if not before. `None` where the pool is used up, and for a TCP segment
    /// that belongs to no connection and begins none.
    pub(super) fn leave(
        &mut self,
        what: Translated,
        user: User,
        host: (Ipv4Addr, u16),
        flags: u8,
        now: Duration,
    ) -> Option<Shown> {
        self.sweep(now);
        if what == Translated::Tcp && flags & SYN == 0 {
            let session = self.by_user.get(&(what, user))?.sessions.get(&host.0)?;
            session.connections.get(&host.1).filter(|connection| connection.until > now)?;
        }
        if !self.by_user.contains_key(&(what, user)) {
            let shown = self.choose(what, user)?;
            self.by_shown.insert((what, shown), user);
            let binding = Binding { shown, since: now, sessions: BTreeMap::new() };
            self.by_user.insert((what, user), binding);
        }
        let timers = self.timers;
        let binding = self.by_user.get_mut(&(what, user))?;
        binding.pass(what, Side::User, host, flags, now, &timers);
        Some(binding.shown)
    }

    /// The user that a host's packet is for, where the user has sent that host something.
    pub(super) fn arrive(
        &mut self,
        what: Translated,
        shown: Shown,
        host: (Ipv4Addr, u16),
        flags: u8,
        now: Duration,
    ) -> Option<User> {
        self.sweep(now);
        let user = *self.by_shown.get(&(what, shown))?;
        let timers = self.timers;
        let binding = self.by_user.get_mut(&(what, user))?;
        binding.expects(what, host, now).then_some(())?;
        binding.pass(what, Side::Host, host, flags, now, &timers);
        Some(user)
    }

    /// What a user is shown as now; nothing is made and nothing kept alive by asking.
    pub(super) fn shown(&self, what: Translated, user: User) -> Option<Shown> {
        self.by_user.get(&(what, user)).map(|binding| binding.shown)
    }

    /// Who is shown so now, to this host.
    pub(super) fn user(&self, what: Translated, shown: Shown, host: Ipv4Addr) -> Option<User> {
        let user = *self.by_shown.get(&(what, shown))?;
        let binding = self.by_user.get(&(what, user))?;
        binding.sessions.contains_key(&host).then_some(user)
    }

    /// Every binding that is not over.
    pub(super) fn mappings(&self, now: Duration) -> Vec<Mapping> {
        let lives = |binding: &&Binding| binding.sessions.values().any(|s| s.until > now);
        let all = self.by_user.iter().filter(|(_, binding)| lives(binding));
        all.map(|((what, user), binding)| Mapping {
            what: Some(*what),
            user: *user,
            shown: binding.shown,
            since_ms: u64::try_from(binding.since.as_millis()).unwrap_or(u64::MAX),
        })
        .collect()
    }

    /// An address of the pool by the user's own, always the same (RFC 4787 section 4.1), and the user's port where it is free
    /// there; else one of the same parity (RFC 4787 section 4.2.2).
    fn choose(&self, what: Translated, (address, port): User) -> Option<Shown> {
        let of_user = self.by_user.range((what, (address, 0))..=(what, (address, u16::MAX)));
        if of_user.count() >= MOST_OF_ONE {
            return None;
        }
        let sum = address
            .segments()
            .into_iter()
            .fold(0_usize, |sum, word| sum.wrapping_mul(31).wrapping_add(usize::from(word)));
        let shown = *self.pool.get(sum % self.pool.len().max(1))?;
        let is_echo = what == Translated::Echo;
        let (least, step) = if is_echo { (0, 1) } else { (LEAST_PORT, 2) };
        let parity = if is_echo { 0 } else { port & 1 };
        let first = port.max(least | parity);
        let after = (first..=u16::MAX).step_by(step);
        let before = (least | parity..first).step_by(step);
        let free = |port: &u16| !self.by_shown.contains_key(&(what, (shown, *port)));
        after.chain(before).find(free).map(|port| (shown, port))
    }

    /// Forgets what is over, once a second at most.
    fn sweep(&mut self, now: Duration) {
        if now < self.next_sweep {
            return;
        }
        self.next_sweep = now + Duration::from_secs(1);
        let by_shown = &mut self.by_shown;
        self.by_user.retain(|(what, _), binding| {
            binding.sessions.retain(|_, session| session.until > now);
            if binding.sessions.is_empty() {
                by_shown.remove(&(*what, binding.shown));
            }
            !binding.sessions.is_empty()
        });
    }
}

impl Binding {
    /// Whether a host may answer.
    fn expects(&self, what: Translated, host: (Ipv4Addr, u16), now: Duration) -> bool {
        let Some(session) = self.sessions.get(&host.0).filter(|s| s.until > now) else {
            return false;
        };
        what != Translated::Tcp || session.connections.get(&host.1).is_some_and(|c| c.until > now)
    }

    fn pass(
        &mut self,
        what: Translated,
        side: Side,
        host: (Ipv4Addr, u16),
        flags: u8,
        now: Duration,
        timers: &Timers,
    ) {
        let session = self
            .sessions
            .entry(host.0)
            .or_insert_with(|| Session { until: now, connections: BTreeMap::new() });
        match what {
            Translated::Udp => session.until = now + Duration::from_secs(timers.udp_s),
            Translated::Echo => session.until = now + Duration::from_secs(timers.icmp_s),
            Translated::Tcp => session.connect(side, host.1, flags, now, timers),
        }
    }
}

impl Session {
    fn connect(&mut self, side: Side, port: u16, flags: u8, now: Duration, timers: &Timers) {
        self.connections.retain(|_, connection| connection.until > now);
        let opening =
            Connection { state: Tcp::Opening, until: now + Tcp::Opening.lifetime(timers) };
        let connection = self.connections.entry(port).or_insert(opening);
        let over = matches!(connection.state, Tcp::Ended | Tcp::Transitory);
        if over && side == Side::User && flags & SYN != 0 {
            // The same ports once more.
            *connection = opening;
        }
        let before = connection.state;
        connection.state = before.after(side, flags);
        // What is over is not kept alive.
        if connection.state != before || !matches!(before, Tcp::Ended | Tcp::Transitory) {
            connection.until = now + connection.state.lifetime(timers);
        }
        self.until = self.connections.values().map(|c| c.until).max().unwrap_or(now);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USER: User = (Ipv6Addr::new(0x2001, 0xdb8, 0xa, 1, 0, 0, 0, 0x10), 40_000);
    const HOST: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 10), 443);
    const ACK: u8 = 16;

    fn bindings() -> Bindings {
        Bindings::new(vec![Ipv4Addr::new(192, 0, 2, 66)], Timers::default())
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_port_is_shown_alike_to_everybody_and_only_who_was_sent_to_may_answer() {
        let mut bindings = bindings();
        let shown = bindings.leave(Translated::Udp, USER, HOST, 0, at(0)).unwrap();
        assert_eq!(shown.1, USER.1, "the user's own port is free");
        let other = (Ipv4Addr::new(203, 0, 113, 11), 53);
        assert_eq!(bindings.arrive(Translated::Udp, shown, other, 0, at(1)), None);
        assert_eq!(bindings.leave(Translated::Udp, USER, other, 0, at(1)), Some(shown));
        assert_eq!(bindings.arrive(Translated::Udp, shown, other, 0, at(1)), Some(USER));
        let elsewhere = (HOST.0, 9);
        assert_eq!(bindings.arrive(Translated::Udp, shown, elsewhere, 0, at(1)), Some(USER));
        assert_eq!(bindings.arrive(Translated::Tcp, shown, HOST, SYN, at(1)), None);
    }

    #[test]
    fn two_users_with_one_port_are_told_apart() {
        let mut bindings = bindings();
        let neighbour = (Ipv6Addr::new(0x2001, 0xdb8, 0xa, 1, 0, 0, 0, 0x11), USER.1);
        let one = bindings.leave(Translated::Udp, USER, HOST, 0, at(0)).unwrap();
        let other = bindings.leave(Translated::Udp, neighbour, HOST, 0, at(0)).unwrap();
        assert_ne!(one, other);
        assert_eq!(other.1 % 2, USER.1 % 2, "of the same parity");
        assert_eq!(bindings.arrive(Translated::Udp, other, HOST, 0, at(0)), Some(neighbour));
    }

    #[test]
    fn udp_lives_for_five_minutes_after_its_last_packet() {
        let mut bindings = bindings();
        let shown = bindings.leave(Translated::Udp, USER, HOST, 0, at(0)).unwrap();
        assert_eq!(bindings.arrive(Translated::Udp, shown, HOST, 0, at(299)), Some(USER));
        assert_eq!(bindings.arrive(Translated::Udp, shown, HOST, 0, at(598)), Some(USER));
        assert_eq!(bindings.arrive(Translated::Udp, shown, HOST, 0, at(898)), None);
        assert_eq!(bindings.mappings(at(898)), []);
    }

    #[test]
    fn a_connection_begins_with_syn_and_lives_as_long_as_its_state() {
        let mut bindings = bindings();
        assert_eq!(bindings.leave(Translated::Tcp, USER, HOST, ACK, at(0)), None);
        let shown = bindings.leave(Translated::Tcp, USER, HOST, SYN, at(0)).unwrap();
        assert_eq!(bindings.arrive(Translated::Tcp, shown, HOST, SYN | ACK, at(239)), Some(USER));
        assert_eq!(bindings.leave(Translated::Tcp, USER, HOST, ACK, at(7000)), Some(shown));
        assert_eq!(bindings.leave(Translated::Tcp, USER, HOST, FIN | ACK, at(7001)), Some(shown));
        assert_eq!(bindings.arrive(Translated::Tcp, shown, HOST, FIN | ACK, at(7002)), Some(USER));
        assert_eq!(bindings.leave(Translated::Tcp, USER, HOST, ACK, at(7003)), Some(shown));
        assert_eq!(bindings.arrive(Translated::Tcp, shown, HOST, ACK, at(7243)), None);
    }

    #[test]
    fn nobody_who_never_answered_is_kept_for_hours() {
        let mut bindings = bindings();
        let shown = bindings.leave(Translated::Tcp, USER, HOST, SYN, at(0)).unwrap();
        assert_eq!(bindings.arrive(Translated::Tcp, shown, HOST, SYN | ACK, at(240)), None);
    }

    proptest! {
        /// What is shown leads back to the user it was made for, and never to another.
        #[test]
        fn the_two_ways_agree(users in prop::collection::btree_set((0..9_u16, 0..5_u16), 1..40)) {
            let mut bindings = bindings();
            let mut seen = BTreeMap::new();
            for (host, port) in users {
                let user = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host), port);
                for what in [Translated::Udp, Translated::Echo] {
                    let shown = bindings.leave(what, user, HOST, 0, at(0)).unwrap();
                    prop_assert_eq!(seen.insert((what, shown), user), None);
                }
            }
            for ((what, shown), user) in seen {
                prop_assert_eq!(bindings.arrive(what, shown, HOST, 0, at(1)), Some(user));
                prop_assert_eq!(bindings.shown(what, user), Some(shown));
            }
        }
    }
}

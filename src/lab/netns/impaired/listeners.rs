//! Listeners behind the ports of a switch that snoops MLD (RFC 4541 section 3): frames to solicited-node groups go to them
//! alone. Other groups are flooded: few of them carry much, and what a switch does not know it must not stop.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::{
    model::{mac::Mac, snooping::Snooping},
    wire::{frame, mld, neighbour::group_mac},
};

/// The switch itself, where it asks for listeners.
const SWITCH: Mac = Mac([2, 0, 0x5e, 0xcc, 0xcc, 0xcc]);
/// How soon listeners are to answer, in milliseconds.
const WITHIN_MS: u16 = 100;
/// How often it asks, and how long it remembers what it was told: the defaults of RFC 3810, sections 9.2 and 9.4.
const ASKS_EVERY: Duration = Duration::from_secs(125);
const REMEMBERS: Duration = Duration::from_secs(260);
/// How long a switch that has just come up floods what it may stop later: until the slowest has answered.
const LEARNING: Duration = Duration::from_secs(2);
/// What frames to solicited-node groups begin with (RFC 4291 section 2.7.1, RFC 2464 section 7).
const SOLICITED_NODE: [u8; 3] = [0x33, 0x33, 0xff];

/// Who listens to what.
pub(super) struct Listeners {
    how: Snooping,
    since: Instant,
    ports: HashMap<Mac, HashMap<u32, Instant>>,
}

impl Listeners {
    pub(super) fn new(how: Snooping) -> Self {
        Self { how, since: Instant::now(), ports: HashMap::new() }
    }

    /// What asks everybody for its groups, where the switch is the querier, and how long until it asks again.
    pub(super) fn question(&self) -> Option<(Vec<u8>, Duration)> {
        let asks = self.how != Snooping::NoQuerier;
        let question = asks.then(|| mld::general_query(SWITCH, SWITCH.link_local(), WITHIN_MS))?;
        Some((question?, ASKS_EVERY))
    }

    /// Notes the groups that a frame reports.
    pub(super) fn learn(&mut self, frame: &[u8], port: u32) {
        for group in frame::icmpv6_message(frame).and_then(mld::groups).unwrap_or_default() {
            self.ports.entry(group_mac(group)).or_default().insert(port, Instant::now());
        }
    }

    /// Whether a frame to an address may leave by a port.
    pub(super) fn may_leave(&self, to: Mac, port: u32) -> bool {
        let reported = || self.ports.get(&to).and_then(|ports| ports.get(&port));
        let is_asked_for = || reported().is_some_and(|at| at.elapsed() < REMEMBERS);
        let is_learning = || self.since.elapsed() < LEARNING;
        !to.0.starts_with(&SOLICITED_NODE)
            || match self.how {
                Snooping::DropsSolicitedNode => false,
                // It came up long ago: what it was told then, it has forgotten.
                Snooping::NoQuerier => is_asked_for(),
                Snooping::ByReports => is_asked_for() || is_learning(),
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_go_where_their_group_was_reported_and_other_groups_everywhere() {
        let group = "ff02::1:ff00:10".parse().unwrap();
        let mut by_reports = Listeners::new(Snooping::ByReports);
        assert!(by_reports.may_leave(group_mac(group), 4), "who listens is not known yet");
        by_reports.since -= LEARNING;
        let may = |listeners: &Listeners, port| listeners.may_leave(group_mac(group), port);
        by_reports.ports.entry(group_mac(group)).or_default().insert(3, Instant::now());
        assert!(may(&by_reports, 3) && !may(&by_reports, 4) && by_reports.question().is_some());
        let mut unasked = Listeners::new(Snooping::NoQuerier);
        assert!(
            !may(&unasked, 3) && unasked.question().is_none(),
            "it has forgotten, and never asks"
        );
        unasked.ports.clone_from(&by_reports.ports);
        assert!(may(&unasked, 3) && !may(&unasked, 4));
        let long_ago = Instant::now().checked_sub(REMEMBERS).unwrap();
        unasked.ports.entry(group_mac(group)).or_default().insert(3, long_ago);
        assert!(!may(&unasked, 3), "nobody has reported it for too long");
        let drops = Listeners { how: Snooping::DropsSolicitedNode, ..by_reports };
        assert!(!may(&drops, 3));
        let all_nodes = group_mac("ff02::1".parse().unwrap());
        assert!(drops.may_leave(all_nodes, 4) && drops.may_leave(SWITCH, 4));
    }
}

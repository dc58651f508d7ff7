//! The processes of an engine: everybody in the mount namespace that was made for it, also those that have left its process
//! group.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// What tells the processes of an engine from all others: its mount namespace. It is held open, because the number of one
/// that is gone is given to the next.
#[derive(Debug)]
pub(super) struct Household {
    number: u64,
    _held: File,
}

/// Memory, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::serve) struct Memory {
    /// With what is shared divided by those who share it.
    pub(in crate::serve) pss_kib: u64,
    /// With what is shared counted in full.
    pub(in crate::serve) rss_kib: u64,
}

impl Memory {
    /// The more of each, of two moments.
    pub(in crate::serve) fn most(self, other: Self) -> Self {
        Self { pss_kib: self.pss_kib.max(other.pss_kib), rss_kib: self.rss_kib.max(other.rss_kib) }
    }
}

/// Tells of a program whether it still does something, also to those who do not hold it.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Vitals(pub(super) Option<Arc<Household>>);

impl Vitals {
    /// Whether somebody has stopped it.
    pub(in crate::serve) fn are_stopped(&self) -> bool {
        self.0.as_ref().is_some_and(|household| household.is_stopped())
    }
}

/// The state of a process; its name before that may hold anything.
fn state(stat: &str) -> Option<char> {
    stat.rsplit_once(')')?.1.trim_start().chars().next()
}

impl Household {
    /// That of a process, if it has one that is not ours.
    pub(super) fn of(pid: Pid) -> Option<Self> {
        let held = File::open(format!("/proc/{pid}/ns/mnt")).ok()?;
        let own = fs::metadata("/proc/self/ns/mnt").ok()?.ino();
        let number = held.metadata().ok()?.ino();
        (own != number).then_some(Self { number, _held: held })
    }

    fn pids(&self) -> Vec<Pid> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let here = |pid: &i32| {
            fs::metadata(format!("/proc/{pid}/ns/mnt")).is_ok_and(|ns| ns.ino() == self.number)
        };
        pids.filter(here).map(Pid::from_raw).collect()
    }

    /// Whether somebody of it has been stopped (`T` in /proc/PID/stat): it is there, and does nothing.
    fn is_stopped(&self) -> bool {
        let stat = |pid: &Pid| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        self.pids().iter().any(|pid| state(&stat(pid)) == Some('T'))
    }

    /// Kills whoever is left; true if nobody was.
    pub(super) fn clear(&self) -> bool {
        let left = self.pids();
        for pid in &left {
            let _ = kill(*pid, Signal::SIGKILL); // gone in the meantime: well
        }
        left.is_empty()
    }

    /// The memory of all of them.
    pub(super) fn memory(&self) -> Memory {
        self.pids().into_iter().fold(Memory::default(), |sum, pid| {
            let path = PathBuf::from(format!("/proc/{pid}/smaps_rollup"));
            let text = fs::read_to_string(path).unwrap_or_default();
            let kib = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            };
            Memory {
                pss_kib: sum.pss_kib + kib("Pss:").unwrap_or(0),
                rss_kib: sum.rss_kib + kib("Rss:").unwrap_or(0),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_process_stands_behind_its_name() {
        assert_eq!(state("7 (tayga) T 1 7 7 0"), Some('T'));
        assert_eq!(state("7 (a) T (b) S 1 7 7 0"), Some('S'));
        assert_eq!(state(""), None);
    }
}

//! Whether the machine's tables of neighbours overflow while a lab stands.
//!
//! The kernel keeps one table for IPv4 and one for IPv6, and all network namespaces share them
//! (`net.ipv6.neigh.default.gc_thresh3` entries, 1024 by default). When one is full, packets to neighbours that are not in
//! it are lost, and every lab on the machine looks broken in places that change from minute to minute.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    sync::{Arc, Mutex, PoisonError},
};

use crate::model::family::Family;

/// The counters of both tables, opened where they can be seen: in the machine's own network namespace alone.
#[derive(Clone, Debug, Default)]
pub struct Crowding(Arc<Vec<Table>>);

#[derive(Debug)]
struct Table {
    family: Family,
    counter: Mutex<Counter>,
}

#[derive(Debug)]
struct Counter {
    file: File,
    last: u64,
}

impl Crowding {
    /// Opens the counters as they stand. Where the machine does not show them, as within a container's own network
    /// namespace, nothing is ever seen.
    pub fn watch() -> Self {
        let tables = Family::ALL.into_iter().filter_map(|family| {
            let mut file = File::open(file_of(family)).ok()?;
            let last = read(&mut file).ok()?;
            Some(Table { family, counter: Mutex::new(Counter { file, last }) })
        });
        Self(Arc::new(tables.collect()))
    }

    /// The tables that have turned neighbours away since they were last looked at, and how often.
    pub fn since(&self) -> Vec<(Family, u64)> {
        let turned_away = |table: &Table| {
            let mut counter = table.counter.lock().unwrap_or_else(PoisonError::into_inner);
            let now = read(&mut counter.file).ok()?;
            let more = now.saturating_sub(std::mem::replace(&mut counter.last, now));
            (more > 0).then_some((table.family, more))
        };
        self.0.iter().filter_map(turned_away).collect()
    }
}

/// The switch that says how many neighbours a table holds.
pub fn switch(family: Family) -> String {
    format!("net.{}.neigh.default.gc_thresh3", family.word())
}

fn file_of(family: Family) -> &'static str {
    match family {
        Family::V4 => "/proc/net/stat/arp_cache",
        Family::V6 => "/proc/net/stat/ndisc_cache",
    }
}

fn read(file: &mut File) -> io::Result<u64> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    Ok(table_fulls(&text))
}

/// The sum over all processors of the column of that name. Its place differs between kernels, so it is looked up.
fn table_fulls(text: &str) -> u64 {
    let mut lines = text.lines().map(str::split_whitespace);
    let place = lines.next().and_then(|mut names| names.position(|name| name == "table_fulls"));
    let Some(place) = place else { return 0 };
    let of_processor =
        |mut line: std::str::SplitWhitespace<'_>| u64::from_str_radix(line.nth(place)?, 16).ok();
    lines.filter_map(of_processor).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_column_is_summed_over_processors_in_hexadecimal() {
        let text =
            "entries  allocs table_fulls\n00000003 0004f661 00001ad1\n00000003 0004fd0b 0000000f\n";
        assert_eq!(table_fulls(text), 0x1ad1 + 0xf);
    }

    #[test]
    fn a_kernel_without_the_column_has_nothing_to_say() {
        assert_eq!(table_fulls("entries  allocs\n00000003 0004f661\n"), 0);
        assert_eq!(table_fulls(""), 0);
    }

    #[test]
    fn both_switches_are_named_as_the_kernel_names_them() {
        assert_eq!(
            Family::ALL.map(switch),
            ["net.ipv4.neigh.default.gc_thresh3", "net.ipv6.neigh.default.gc_thresh3"]
        );
    }
}

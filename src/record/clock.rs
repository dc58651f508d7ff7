//! The clock of a run: one origin for evidence, taps and journal.

use std::time::Instant;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// When the run began, on both clocks: the wall's for people, the monotonic one for everything that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    started: OffsetDateTime,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self { origin: Instant::now(), started: OffsetDateTime::now_utc() }
    }

    /// The monotonic origin.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// Microseconds since the run began.
    pub fn us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// When the run began, in UTC, for example `2026-11-20T09:10:00Z` (RFC 3339).
    pub fn started(&self) -> String {
        let whole = self.started.replace_nanosecond(0).unwrap_or(self.started);
        whole.format(&Rfc3339).unwrap_or_else(|_| whole.unix_timestamp().to_string())
    }

    /// The same in the form of a directory name: `20261120T091000Z`.
    pub fn stamp(&self) -> String {
        self.started().chars().filter(|c| !matches!(c, '-' | ':')).collect()
    }
}

//! A run on disk: evidence and journal as they come, the rest written whole.

mod clock;
mod directory;
mod journal;

pub use clock::Clock;
pub use directory::{RecordError, RunDirectory, StoredRun};
pub use journal::{Entry, Journal};

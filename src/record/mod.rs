//! A run on disk: evidence and journal as they come, the rest written whole.

mod clock;
mod digest;
mod directory;
mod journal;

pub use clock::Clock;
pub use digest::sha256;
pub use directory::{RecordError, RunDirectory, StoredRun, write_whole};
pub use journal::{Entry, Journal};

//! Translation between the families: packets (RFC 7915) and who stands behind which address (RFC 6146). Pure: a packet and
//! the time go in, packets come out.
//!
//! ```text
//! packet ─> datagram ─> reassembly ─┬─> transport (TCP, UDP, echo) ─> bindings ─┬─> datagram ─> packets
//!                                   └─> error (quotes a datagram) ──────────────┘
//! ```
//!
//! Hop limits are not touched and no Packet Too Big is made here: the gateway's kernel forwards every packet before and
//! after it is translated, and does both.

mod datagram;
mod reassembly;
mod transport;
mod error;
mod bindings;
mod translator;

pub use datagram::{Datagram, Unreadable};
pub use error::prohibited;
pub use translator::{Dropped, Translator};

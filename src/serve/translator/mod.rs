//! The built-in translator (NAT64), in user space, or a program on the same seam:
//!
//! ```text
//! gateway's interface ── wire ── Tube ── wire::translate
//! ```
//!
//! What the gateway's kernel routes to the translation prefix or to the pool leaves by one interface, whose far end is read here.
//! What comes of it is put back there in the other family, and the kernel forwards it: routes, filters, hop limits and
//! Packet Too Big are the kernel's.

mod carrier;
mod engine;
mod host;

pub use host::{TranslatorError, TranslatorHost};

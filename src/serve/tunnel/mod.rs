//! The built-in tunnels: WireGuard in user space, several gateways in one process; and plain ones, programs and the kernel on
//! the same seam.
//!
//! ```text
//! gateway's interface ── wire (the inside) ── Tube ── Selectors ── WireGuard ── UDP socket of the gateway (the outside)
//! ```
//!
//! The inside is a cable like any other of the lab, and its far end is read and written by a packet socket. That needs no
//! TUN device, whose file is often closed to ordinary users, and what enters the tunnel can be tapped as on any link.

mod selectors;
mod inside;
mod more;
mod wireguard;
mod plain;
mod sides;
mod children;
mod news;
mod charon;
mod agent;
mod appliance;
mod carrier;
mod beside;
mod byway;
mod host;
mod keys;
mod faults;
mod ways;
mod counters;

pub use host::{TunnelError, TunnelHost};
pub use keys::Keys;

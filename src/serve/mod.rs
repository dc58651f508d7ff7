//! The built-in services of the nodes: one kind, one file. What a node serves is said by `Change`s and bent by
//! `Sabotage`s; [`ServiceHost`] brings its sockets in line with both. All of them run on the one runtime of the program,
//! on sockets that were opened inside the node's namespace, and a node that serves nothing costs nothing.
//!
//! ```text
//! Change ──┐
//!          ├─> orders ─┬─> places ──────> listener ─> conversation ─> http, dns, ssh …
//! Sabotage ┘           ├─> behaviour ───────────────────────┘ (asked anew for each request)
//!                      └─> announced ───> router
//! ```

mod authority;
mod shared;
mod socket;
mod zone;
mod announcement;
mod question;
mod resolver;
mod synthesis;
mod behaviour;
mod orders;
mod doors;
mod syslog;
mod kept;
mod lockout;
mod premises;
mod access;
mod speaker;
mod log_ins;
mod host_header;
mod monitor;
mod http;
mod https;
mod application;
mod front;
mod dns;
mod ssh;
mod manager;
mod ntp;
pub(crate) mod ldap;
mod snmp;
mod radius;
mod smtp;
mod echo;
mod conversation;
mod listener;
mod router;
mod dhcp;
mod error;
pub mod daemon;
mod service_host;
mod fault_fit;
mod employ;
pub mod tube;
pub mod tunnel;
pub mod translator;

pub use authority::CertificateError;
pub use dhcp::Dhcp;
pub use error::ServeError;
pub use router::Router;
pub use service_host::ServiceHost;
pub use shared::Shared;

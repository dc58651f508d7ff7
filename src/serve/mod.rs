//! The built-in services of the nodes: one kind, one file. What a node serves is said by `Change`s and bent by
//! `Sabotage`s; [`ServiceHost`] brings its sockets in line with both. All of them run on the one runtime of the program,
//! on sockets that were opened inside the node's namespace, and a node that serves nothing costs nothing.

mod shared;
mod authority;
mod orders;
mod behaviour;
mod premises;
mod socket;
mod host_header;
mod http;
mod https;
mod zone;
mod question;
mod dns;
mod resolver;
mod ssh;
mod ntp;
mod echo;
mod syslog;
mod speaker;
mod listener;
mod router;
mod service_host;

pub use router::Router;
pub use service_host::{ServeError, ServiceHost};
pub use shared::Shared;

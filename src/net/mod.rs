//! What the kernel offers: namespaces, netlink, packet filters, packet sockets. No knowledge of phases or checks.

pub mod namespace;
pub mod socket;
pub mod endpoint;
pub mod packet;
pub mod interface;
pub mod dump;

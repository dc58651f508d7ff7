//! What the kernel offers: namespaces, netlink, packet filters, packet sockets. No knowledge of phases or checks.

pub mod namespace;
pub mod sandbox;
pub mod orphans;
pub mod netlink;
pub mod links;
pub mod routes;
pub mod neighbours;
pub mod crowding;
pub mod conntrack;
pub mod switch;
pub mod nftables;
pub mod socket;
pub mod endpoint;
pub mod packet;
pub mod interface;
pub mod dump;
pub mod esp;
pub mod wireguard;
pub mod trial;
pub mod patience;
pub mod request;

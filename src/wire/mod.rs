//! The wire: pure codecs. Octets in, a value or an error out; nothing here panics on hostile input.

pub mod checksum;
pub mod icmp;
pub mod packet;
pub mod frame;
pub mod filter;
pub mod neighbour;
pub mod ra;
pub mod page;
pub mod dns;
pub mod sntp;
pub mod sock_diag;
pub mod pcapng;

//! Codecs of what goes over the wire and into the kernel: octets in, a value or an error out. Pure, and without a
//! panic on hostile input.

pub mod checksum;
pub mod icmp;
pub mod packet;
pub mod frame;
pub mod filter;
pub mod neighbour;
pub mod dns;
pub mod sntp;
pub mod sock_diag;
pub mod pcapng;

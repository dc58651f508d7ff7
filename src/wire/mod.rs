//! Bytes: pure codecs of what goes over sockets. Bytes in, a value or an error out; hostile input never panics.

pub mod nftables;
pub mod ra;
pub mod page;

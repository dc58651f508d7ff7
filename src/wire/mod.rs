//! The wire: pure codecs. Octets in, a value or an error out; nothing here panics on hostile input.

pub mod ra;
pub mod page;

//! Bytes: pure codecs of what goes over sockets. Bytes in, a value or an error out; hostile input never panics.

pub mod nftables;
pub mod checksum;
pub mod icmp;
pub mod packet;
pub mod translate;
pub mod frame;
pub mod encapsulation;
pub mod filter;
pub mod neighbour;
pub mod stable;
pub mod mld;
pub mod ra;
pub mod dhcpv6;
pub mod page;
pub mod dns;
pub mod sntp;
pub mod ber;
pub mod ldap;
pub mod snmp;
pub mod radius;
pub mod vici;
pub mod log_in;
pub mod proxy_header;
pub mod sock_diag;
pub mod pcapng;
pub mod hexadecimal;

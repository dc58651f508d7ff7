//! Any bytes as ICMP messages and as netlink's answers about sockets: read or not, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sixwalk::{
    model::family::Family,
    wire::{icmp, ra, sntp, sock_diag},
};

fuzz_target!(|bytes: &[u8]| {
    for family in Family::ALL {
        let _ = icmp::read_echo_reply(family, bytes);
        let _ = icmp::read_echo_request(family, bytes);
    }
    let _ = icmp::after_ipv4_header(bytes);
    let _ = ra::decode(bytes, Family::V6.unspecified(), None, 255);
    let _ = sntp::read_stratum(bytes, 1);
    let _ = sock_diag::read(bytes);
});

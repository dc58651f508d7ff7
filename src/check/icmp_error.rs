//! ICMP errors in words, and what they say.

use crate::{
    model::{answer::IcmpError, family::Family},
    wire::icmp,
};

/// An ICMP error in words: `ICMPv6 Time Exceeded (type 3 code 0)`. Types mean something else in each family.
pub fn words(icmp: &IcmpError) -> String {
    let protocol = match icmp.family {
        Family::V4 => "ICMP",
        Family::V6 => "ICMPv6",
    };
    let (name, IcmpError { kind, code, .. }) = (name(icmp.family, icmp.kind), icmp);
    format!("{protocol} {} (type {kind} code {code})", name.trim_start_matches("ICMP "))
}

/// Whether a router gave a packet up because its hop limit was used up.
pub fn is_time_exceeded(icmp: &IcmpError) -> bool {
    icmp.code == 0 && icmp.kind == icmp::time_exceeded_type(icmp.family)
}

/// The name of an ICMP error (RFC 792, RFC 4443).
pub fn name(family: Family, kind: u8) -> &'static str {
    match (family, kind) {
        (Family::V6, 1) | (Family::V4, 3) => "Destination Unreachable",
        (Family::V6, 2) => "Packet Too Big",
        (Family::V6, 3) | (Family::V4, 11) => "Time Exceeded",
        (Family::V6, 4) | (Family::V4, 12) => "Parameter Problem",
        _ => "ICMP error",
    }
}

//! Any bytes as a frame of a tap: decoded or not, never a panic; and what is asked of it may be anything.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use sixwalk::{
    model::{family::Family, tap::Watch},
    wire::{frame, neighbour, packet},
};

fuzz_target!(|bytes: &[u8]| {
    let _ = (frame::canary_number(bytes), frame::icmpv6_message(bytes));
    let _ = packet::hop_limit_of_segment(bytes, 80);
    for target in ["192.0.2.1", "2001:db8::1"] {
        let target: IpAddr = target.parse().expect("a literal");
        let _ = neighbour::answer(bytes, target);
    }
    let Some(note) = frame::decode(bytes, 0) else { return };
    for family in Family::ALL {
        let watches = [
            Watch::Ethertypes(vec![family.ethertype()]),
            Watch::Icmp { family, types: vec![128] },
            Watch::Payload { family, token: "token".to_owned() },
            Watch::Packets { family, source: note.source, destination: None, port: None },
        ];
        for watch in watches {
            let _ = frame::counts(&watch, &note, bytes);
        }
    }
});

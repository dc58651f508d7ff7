//! What is done with hostile input, a function for each target. The targets of libFuzzer call them with whatever it finds;
//! `tests/fuzzed.rs` calls them with damaged real input, so that every run of the tests goes a part of the way.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
};

use sixwalk::{
    input,
    model::{family::Family, phase::Phase, record::RecordType, tap::Watch, testbed::Testbed},
    stage::Stage,
    wire::{
        dhcpv6,
        dns::Query,
        frame, icmp, neighbour,
        nftables::{Batch, Ruleset, canonical, replies},
        packet, page, ra, sntp, sock_diag,
    },
};

static REFERENCE: LazyLock<Testbed> = LazyLock::new(|| {
    input::testbed("fokus.toml", include_str!("../../testbed/fokus.toml")).expect("it is shipped")
});

/// Any text as a testbed: read or refused with diagnostics that can be drawn, never a panic. What was read has a stage in
/// every phase.
pub fn input_testbed(text: &str) {
    let (testbed, found) = input::examine("fuzz.toml", text);
    let _ = (found.to_string(), found.styled(), found.to_json());
    let Some(testbed) = testbed.map(Arc::new) else {
        assert!(!found.is_empty(), "a refusal says why");
        return;
    };
    for phase in Phase::ALL {
        let _ = Stage::new(&testbed, phase).exchanges();
    }
}

/// Any text as a phase file: read or refused with diagnostics that can be drawn, never a panic.
pub fn input_phase(text: &str) {
    if let Err(found) = input::phase_file("fuzz.toml", text, &["meta.settled"]) {
        assert!(!found.to_string().is_empty(), "a refusal says why");
    }
}

/// Any text as a fault file of the reference testbed: read or refused with diagnostics that can be drawn, never a panic.
pub fn input_faults(text: &str) {
    if let Err(found) = input::faults("fuzz.toml", text, &REFERENCE) {
        assert!(!found.to_string().is_empty(), "a refusal says why");
    }
}

/// Any bytes as messages of nf_tables: read or refused, never a panic. What was read as our own table can be
/// written again, unless its labels or rules are longer than ours may be, and then comes back the same.
pub fn nftables_decode(bytes: &[u8]) {
    let _ = replies(bytes);
    let mut ruleset = Ruleset::default();
    let _ = ruleset.take(bytes);
    let _ = (ruleset.all(), ruleset.counters(), ruleset.missing());
    let (filter, _) = ruleset.own();
    let Ok(batch) = Batch::replacing(&filter) else { return };
    let mut again = Ruleset::default();
    again.take(&batch.bytes).expect("our own bytes");
    assert_eq!(again.own(), (canonical(&filter), Vec::new()));
}

/// Any bytes as a frame of a tap: decoded or not, never a panic; and what is asked of it may be anything.
pub fn frame_decode(bytes: &[u8]) {
    let _ = (frame::canary_of(bytes), frame::icmpv6_message(bytes));
    let _ = packet::hop_limit_of_segment(bytes, 80);
    for target in ["192.0.2.1", "2001:db8::1"] {
        let target: IpAddr = target.parse().expect("a literal");
        let _ = neighbour::answer(bytes, target);
    }
    let Some(note) = frame::decode(bytes, 0) else { return };
    for family in Family::ALL {
        let watches = [
            Watch::Ethertypes(vec![family.ethertype()]),
            Watch::icmp(family, &[128]),
            Watch::Payload { family: Some(family), token: "token".to_owned() },
            Watch::Packets { family, source: note.source, destination: None, port: None },
        ];
        for watch in watches {
            let _ = frame::counts(&watch, &note, bytes);
        }
    }
}

/// Any bytes as ICMP messages, time, pages, and netlink's answers about sockets: read or not, never a panic.
pub fn icmp_decode(bytes: &[u8]) {
    for family in Family::ALL {
        let _ = icmp::read_echo_reply(family, bytes);
        let _ = icmp::read_echo_request(family, bytes);
    }
    let _ = icmp::after_ipv4_header(bytes);
    let _ = ra::decode(bytes, Family::V6.unspecified(), None, 255);
    let _ = sntp::read_stratum(bytes, 1);
    let _ = dhcpv6::Message::decode(bytes);
    let _ = dhcpv6::Relayed::decode(bytes);
    let _ = sock_diag::read(bytes);
    let _ = page::without_mark(bytes);
}

/// The query that the replies of [`dns_reply`] answer.
pub fn dns_query() -> Query {
    Query {
        id: 0x1234,
        name: "portal.dc.test".parse().expect("a name"),
        rtype: RecordType::Aaaa,
        edns: None,
        recurse: true,
        mixed_case: false,
    }
}

/// Any bytes as a reply to a DNS query, also such as come from broken servers: read or refused, never a panic.
pub fn dns_reply(bytes: &[u8]) {
    let query = dns_query();
    // A reply to this very query with any sections, so that the reader goes deeper than the id and the question.
    let mut reply = query.encode();
    reply[2] |= 0x80;
    if let Some((counts, records)) = bytes.split_at_checked(6) {
        reply[6..12].copy_from_slice(counts);
        reply.extend(records);
    }
    let _ = query.read(&reply);
    let _ = query.read(bytes);
}

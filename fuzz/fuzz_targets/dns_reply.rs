//! Any bytes as a reply to a DNS query, also such as come from broken servers: read or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sixwalk::{model::record::RecordType, wire::dns::Query};

fuzz_target!(|bytes: &[u8]| {
    let query = Query {
        id: 0x1234,
        name: "portal.dc.test".parse().expect("a name"),
        rtype: RecordType::Aaaa,
        edns: None,
        recurse: true,
    };
    // A reply to this very query with any sections, so that the reader goes deeper than the id and the question.
    let mut reply = query.encode();
    reply[2] |= 0x80;
    if let Some((counts, records)) = bytes.split_at_checked(6) {
        reply[6..12].copy_from_slice(counts);
        reply.extend(records);
    }
    let _ = query.read(&reply);
    let _ = query.read(bytes);
});

//! Any bytes as messages of nf_tables: read or refused, never a panic. What was read as our own table can be
//! written again, unless its labels or rules are longer than ours may be, and then comes back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sixwalk::wire::nftables::{Batch, Ruleset, canonical, replies};

fuzz_target!(|bytes: &[u8]| {
    let _ = replies(bytes);
    let mut ruleset = Ruleset::default();
    let _ = ruleset.take(bytes);
    let _ = (ruleset.all(), ruleset.counters(), ruleset.missing());
    let (filter, _) = ruleset.own();
    let Ok(batch) = Batch::replacing(&filter) else { return };
    let mut again = Ruleset::default();
    again.take(&batch.bytes).expect("our own bytes");
    assert_eq!(again.own(), (canonical(&filter), Vec::new()));
});

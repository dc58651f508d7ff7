//! Any text as a testbed: read or refused with diagnostics that can be drawn, never a panic. What was read has a stage in
//! every phase.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sixwalk::{input, model::phase::Phase, stage::Stage};

fuzz_target!(|text: &str| {
    let (testbed, found) = input::examine("fuzz.toml", text);
    let _ = (found.to_string(), found.styled(), found.to_json());
    let Some(testbed) = testbed.map(Arc::new) else {
        assert!(!found.is_empty(), "a refusal says why");
        return;
    };
    for phase in Phase::ALL {
        let _ = Stage::new(&testbed, phase).exchanges();
    }
});

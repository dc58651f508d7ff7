//! Any text as a phase file: read or refused with diagnostics that can be drawn, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sixwalk::input;

fuzz_target!(|text: &str| {
    if let Err(found) = input::phase_file("fuzz.toml", text, &["meta.settled"]) {
        assert!(!found.to_string().is_empty(), "a refusal says why");
    }
});

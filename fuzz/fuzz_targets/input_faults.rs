//! Any text as a fault file of the reference testbed: read or refused with diagnostics that can be drawn, never a panic.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sixwalk::{input, model::testbed::Testbed};

static TESTBED: LazyLock<Testbed> = LazyLock::new(|| {
    input::testbed("fokus.toml", include_str!("../../testbed/fokus.toml")).expect("it is shipped")
});

fuzz_target!(|text: &str| {
    if let Err(found) = input::faults("fuzz.toml", text, &TESTBED) {
        assert!(!found.to_string().is_empty(), "a refusal says why");
    }
});

#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| sixwalk_fuzz::input_faults(text));

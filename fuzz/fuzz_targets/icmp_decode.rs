#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sixwalk_fuzz::icmp_decode(bytes));

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sixwalk_fuzz::nftables_decode(bytes));

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| coscribe_fuzz::bytes::hocuspocus(data));

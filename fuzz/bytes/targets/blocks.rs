#![no_main]

use coscribe_fuzz::bytes::{blocks, oracle};

libfuzzer_sys::fuzz_target!(init: oracle::serve_if_asked(), |data: &[u8]| blocks(data));

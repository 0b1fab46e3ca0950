#![no_main]
use libfuzzer_sys::fuzz_target;
use mixel_core::events::header::Encoding;

fuzz_target!(|data: &[u8]| mixel_fuzz::decoder(Encoding::Edvs, data));

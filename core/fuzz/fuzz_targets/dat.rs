#![no_main]
use libfuzzer_sys::fuzz_target;
use mixel_core::events::dat::Layout;
use mixel_core::events::header::Encoding;

fuzz_target!(|data: &[u8]| {
    mixel_fuzz::decoder(Encoding::Dat(Layout::V1), data);
    mixel_fuzz::decoder(Encoding::Dat(Layout::V2), data);
    mixel_fuzz::decoder(Encoding::Dat(Layout::Trigger), data);
});

//! The large memory of the board.

use core::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    static mut _bulk_start: u8;
    static mut _bulk_end: u8;
}

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The 16 MB of external memory, for plan, job and arena; aligned to 16 and given out once.
pub fn bulk() -> Option<&'static mut [u8]> {
    let taken = cortex_m::interrupt::free(|_| {
        let taken = TAKEN.load(Ordering::Relaxed);
        TAKEN.store(true, Ordering::Relaxed);
        taken
    });
    if taken {
        return None;
    }
    let (start, end) = (&raw mut _bulk_start, &raw mut _bulk_end);
    // SAFETY: the linker's memory map names this region, no section is placed in it, and QEMU fills it
    // with zeros at start, so it holds initialised bytes that nobody else refers to. The flag above
    // lets only one caller come here.
    Some(unsafe { core::slice::from_raw_parts_mut(start, end as usize - start as usize) })
}

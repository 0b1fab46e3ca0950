//! Memory to zero.

use core::hint::black_box;

/// Sets all bytes to 0. What the compiler calls for a fill stores word by word on a microcontroller.
#[inline]
#[allow(unsafe_code)]
pub fn clear(bytes: &mut [u8]) {
    #[cfg(mixel_dsp)]
    if bytes.as_ptr().cast::<u32>().is_aligned() {
        // SAFETY: the place is at a whole word, and all bytes are there.
        return unsafe { super::armv7em::clear(bytes.as_mut_ptr().cast(), bytes.len()) };
    }
    // The compiler would see a fill here too if it knew what is stored.
    let zero = black_box(0u32).to_ne_bytes();
    let (sixteens, rest) = bytes.as_chunks_mut::<16>();
    for sixteen in sixteens {
        sixteen.as_chunks_mut().0.fill(zero);
    }
    if !rest.is_empty() {
        rest.fill(0);
    }
}

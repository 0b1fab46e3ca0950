//! Words of sparse EVT3.0 streams, for Cortex-M cores that check two bounds in one instruction.

use crate::events::Event;

/// What a loop over words needs to know.
#[derive(Clone, Copy)]
pub struct Run {
    /// Pixels in a row and in a column, neither more than 11 bits hold.
    pub width: u32,
    /// See `width`.
    pub height: u32,
    /// The TIME_HIGH that changes nothing; more than any word if none.
    pub high_word: u32,
    /// The last microsecond of this TIME_HIGH.
    pub latest: u32,
    /// How far the low time may still rise, at most 12 bits.
    pub rest: u32,
}

/// Takes events which come as \[TIME_HIGH\]... \[TIME_LOW\] ADDR_Y ADDR_X, and words to be skipped, which it adds to the counts of their
/// kinds, as far as this machine has a loop for that. Gives the number of events and that of words, and sets `rest`.
#[inline]
#[cfg_attr(not(mixel_dsp), expect(unused_variables, reason = "no loop"))]
pub fn events(words: &[[u8; 2]], free: &mut [Event], run: &mut Run, counts: &mut [u32; 16]) -> (usize, usize) {
    #[cfg(mixel_dsp)]
    return dsp(words, free, run, counts);
    #[cfg(not(mixel_dsp))]
    (0, 0)
}

#[cfg(mixel_dsp)]
#[inline]
#[allow(unsafe_code)]
fn dsp(words: &[[u8; 2]], free: &mut [Event], run: &mut Run, counts: &mut [u32; 16]) -> (usize, usize) {
    // No event has fewer than two words, and four are looked at together.
    let words = words.get(..2 * free.len()).unwrap_or(words);
    if words.len() < 4 || run.width == 0 || run.height == 0 {
        return (0, 0);
    }
    let (first, slots) = (words.as_ptr(), free.as_mut_ptr());
    let mut taken = super::armv7em::Sparse {
        at: first,
        last: first.wrapping_add(words.len() - 4),
        slot: slots,
        largest: (run.height - 1) | (run.width - 1) << 16,
        high_word: run.high_word,
        latest: run.latest,
        rest: run.rest,
        end: first.wrapping_add(words.len() - 1),
        counts,
    };
    // SAFETY: the pointers are those of the words, and there is a slot for every second one.
    unsafe { super::armv7em::sparse(&mut taken) };
    run.rest = taken.rest;
    let events = (taken.slot.addr() - slots.addr()) / size_of::<Event>();
    (events, (taken.at.addr() - first.addr()) / size_of::<[u8; 2]>())
}

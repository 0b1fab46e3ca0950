//! Words of sparse EVT3.0 streams, for machines without branch prediction to speak of.

use crate::events::Event;

/// What a loop over words needs to know.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// Pixels of a row, at most what 11 bits can tell.
    pub width: u32,
    /// Rows, at most as many.
    pub height: u32,
    /// The TIME_HIGH that changes nothing; more than any word if none.
    pub high_word: u32,
    /// The last microsecond of this TIME_HIGH.
    pub latest: u32,
    /// How far the low time may still rise, at most 12 bits: what it says of a word is one subtraction and one comparison.
    pub rest: u32,
}

/// Takes events which come as \[TIME_HIGH\]... \[TIME_LOW\] ADDR_Y ADDR_X, and words to be skipped, which it adds to the numbers of their
/// kinds, up to the first word that needs more or event without a slot. Gives the number of events and that of words, and sets `rest`.
#[inline]
pub fn events(
    words: &[[u8; 2]],
    free: &mut [Event],
    run: &mut Bounds,
    counts: &mut [u32; 16],
) -> (usize, usize) {
    #[cfg(mixel_dsp)]
    return dsp(words, free, run, counts);
    #[cfg(not(mixel_dsp))]
    portable(words, free, run, counts)
}

/// Slots from which on another round of words is worth it.
#[cfg(mixel_dsp)]
const ROUND: usize = 24;

/// With the DSP extension, which checks row and column in one instruction.
#[cfg(mixel_dsp)]
#[inline]
#[allow(unsafe_code)]
fn dsp(words: &[[u8; 2]], free: &mut [Event], run: &mut Bounds, counts: &mut [u32; 16]) -> (usize, usize) {
    let (Some(right), Some(bottom)) = (run.width.checked_sub(1), run.height.checked_sub(1)) else {
        return (0, 0);
    };
    let (first, slots) = (words.as_ptr(), free.as_mut_ptr());
    let mut taken = super::armv7em::Sparse {
        at: first,
        last: 0,
        slot: slots,
        largest: bottom | right << 16,
        high_word: run.high_word,
        latest: run.latest,
        rest: run.rest,
        end: first,
        counts,
        messages: 0,
    };
    let (mut events, mut n) = (0, 0);
    loop {
        // No event has fewer than two words, so that slots need not be counted.
        let (left, most) = (words.len() - n, 2 * (free.len() - events));
        let len = left.min(most);
        if len == 0 {
            break;
        }
        taken.end = taken.at.wrapping_add(len - 1);
        taken.last = taken.end.addr().saturating_sub(3 * size_of::<[u8; 2]>());
        // SAFETY: `len` words and half as many slots are left; no words lie at address 0, where `last` may be.
        unsafe { super::armv7em::sparse(&mut taken) };
        events = (taken.slot.addr() - slots.addr()) / size_of::<Event>();
        n = (taken.at.addr() - first.addr()) / size_of::<[u8; 2]>();
        // Most events have more, so that slots are left. Where few are, the batch is as good as full.
        if left <= most || taken.at < taken.end || free.len() - events < ROUND {
            break;
        }
    }
    run.rest = taken.rest;
    if taken.messages > 0 {
        for (kind, words) in [(0x7, 1), (0xE, 1), (0xF, 2)] {
            counts[kind] = counts[kind].saturating_add(words * taken.messages);
        }
    }
    (events, n)
}

/// The same with what every machine has. By itself, so that all it needs is in registers.
#[cfg(not(mixel_dsp))]
#[inline(never)]
fn portable(
    words: &[[u8; 2]],
    free: &mut [Event],
    run: &mut Bounds,
    counts: &mut [u32; 16],
) -> (usize, usize) {
    let Bounds { width, height, high_word, latest, mut rest } = *run;
    let all = free.len();
    let mut slots = free.iter_mut();
    let mut left = words;
    let word = |bytes: [u8; 2]| u32::from(u16::from_le_bytes(bytes));
    let is_other = |w: u32| w >= 0xD000 || w >> 12 == 7;
    while let Some(&[first, _, _, _]) = left.first_chunk() {
        let mut a = word(first);
        if a == high_word {
            left = left.get(1..).unwrap_or_default();
            let Some(&[next, _, _]) = left.first_chunk() else { break };
            a = word(next);
        }
        let value = 0x6FFFu32.wrapping_sub(a);
        if value <= rest {
            rest = value;
            left = left.get(1..).unwrap_or_default();
            let Some(&[next, _]) = left.first_chunk() else { break };
            a = word(next);
        }
        let y = a & 0xF7FF;
        if y < height {
            let Some(&[_, c]) = left.first_chunk() else { break };
            let c = word(c);
            let x = (c & 0xF7FF).wrapping_sub(0x2000);
            if x >= width {
                break;
            }
            let Some(slot) = slots.next() else { break };
            *slot = Event::packed(latest - rest, y << 17 | x | (c & 0x800) << 5);
            left = left.get(2..).unwrap_or_default();
        } else if is_other(a) {
            while let Some((&a, behind)) = left.split_first()
                && is_other(word(a))
            {
                if let Some(n) = counts.get_mut(word(a) as usize >> 12) {
                    *n = n.saturating_add(1);
                }
                left = behind;
            }
        } else if a != high_word {
            break;
        }
    }
    run.rest = rest;
    (all - slots.len(), words.len() - left.len())
}

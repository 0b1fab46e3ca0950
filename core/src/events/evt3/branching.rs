//! The loops for machines without branch prediction to speak of, where the fewest instructions are best.

use core::slice::{Iter, IterMut};

use super::run::{Run, VECTOR, count_other, is_other};
use crate::arch::evt3;
use crate::events::{Counts, Event};

impl Run {
    /// Singles in a loop of their own, whole vectors, and words that change little. Gives the number of events, and the first word
    /// that needs more; none at the end of the words or of `free`.
    #[inline(never)]
    pub(super) fn branching(
        &mut self,
        words: &mut Iter<'_, [u8; 2]>,
        free: &mut [Event],
        counts: &mut Counts,
    ) -> (usize, Option<u32>) {
        let all = free.len();
        let mut slots = free.iter_mut();
        let odd = loop {
            if words.as_slice().first().is_some_and(|&word| is_single(u16::from_le_bytes(word))) {
                self.singles(words, &mut slots);
            }
            // The next word comes again when there is room for a vector.
            if slots.len() < VECTOR {
                break None;
            }
            let Some(word) = words.next() else { break None };
            let w = u32::from(u16::from_le_bytes(*word));
            if let Some(mut mask) = self.triple(w, words) {
                let (t, first) = (self.t, self.row | (w & 0x800) << 5 | w & 0x7FF);
                while mask != 0 {
                    let Some(slot) = slots.next() else { break };
                    *slot = Event::packed(t, first + mask.trailing_zeros());
                    mask &= mask - 1;
                }
            } else if !self.small(w, counts) {
                break Some(w);
            }
        };
        (all - slots.len(), odd)
    }

    /// Takes events and rows, up to the first other word or event that has no place.
    #[inline(always)]
    fn singles(&mut self, words: &mut Iter<'_, [u8; 2]>, slots: &mut IterMut<'_, Event>) {
        // Copies, which the compiler keeps in registers.
        let Self { t, width, height, mut row, .. } = *self;
        let mut places = core::mem::take(slots);
        let mut single = |word: &[u8; 2]| {
            let w = u32::from(u16::from_le_bytes(*word));
            // Kind and place in one number, without polarity and origin.
            let place = w & 0xF7FF;
            let x = place.wrapping_sub(0x2000);
            if x < width {
                let Some(slot) = places.next() else { return false };
                *slot = Event::packed(t, row | x | (w & 0x800) << 5);
                return true;
            }
            if place < height {
                row = place << 17;
            }
            place < height
        };
        let mut left = words.as_slice();
        while let Some((word, rest)) = left.split_first()
            && single(word)
        {
            left = rest;
        }
        self.row = row;
        (*words, *slots) = (left.iter(), places);
    }

    /// A sparse stream: \[TIME_HIGH\] \[TIME_LOW\] ADDR_Y ADDR_X and words to be skipped in between, which `branching` would take one by
    /// one. Gives the number of events. By itself, so that all it needs is in registers.
    #[inline(never)]
    pub(super) fn sparse(
        &mut self,
        words: &mut Iter<'_, [u8; 2]>,
        free: &mut [Event],
        counts: &mut Counts,
    ) -> usize {
        let all = free.len();
        let mut slots = free.iter_mut();
        if self.low > 0xFFF {
            return 0;
        }
        let Self { low, width, height, high_word, clock_base, mut row, .. } = *self;
        // How far the low time may still rise: what it says of a word is one subtraction and one comparison.
        let mut rest = 0xFFF - low;
        let latest = clock_base | 0xFFF;
        let mut left = words.as_slice();
        let word = |bytes: [u8; 2]| u32::from(u16::from_le_bytes(bytes));
        // An event of the row that ended the last bytes.
        if let Some((&first, behind)) = left.split_first()
            && (word(first) & 0xF7FF).wrapping_sub(0x2000) < width
            && let Some(slot) = slots.next()
        {
            *slot = Event::packed(latest - rest, row | word(first) & 0x7FF | (word(first) & 0x800) << 5);
            left = behind;
        }
        let mut fast = evt3::Run { width, height, high_word, latest, rest };
        let places = slots.into_slice();
        let (events, n) = evt3::events(left, places, &mut fast, &mut counts.other_words);
        let (taken, free) = places.split_at_mut_checked(events).unwrap_or_default();
        row = taken.last().map_or(row, |event| event.row());
        rest = fast.rest;
        (left, slots) = (left.get(n..).unwrap_or_default(), free.iter_mut());
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
                row = y << 17;
                *slot = Event::packed(latest - rest, row | x | (c & 0x800) << 5);
                left = left.get(2..).unwrap_or_default();
            } else if is_other(a) {
                while let Some((&a, behind)) = left.split_first()
                    && is_other(word(a))
                {
                    count_other(word(a), counts);
                    left = behind;
                }
            } else if a != high_word {
                break;
            }
        }
        self.low = 0xFFF - rest;
        (self.t, self.row) = (clock_base | self.low, row);
        *words = left.iter();
        all - slots.len()
    }
}

/// Whether a word is a row or an event.
#[inline(always)]
fn is_single(w: u16) -> bool {
    w & 0xD000 == 0
}

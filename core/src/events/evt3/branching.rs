//! The loops for machines without branch prediction to speak of, where the fewest instructions are best.

use core::slice::{Iter, IterMut};

use super::run::{Run, VECTOR};
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

    /// A sparse stream: \[TIME_HIGH\]... \[TIME_LOW\] ADDR_Y ADDR_X and words to be skipped in between, which `branching` would take one
    /// by one. Gives the number of events.
    #[inline]
    pub(super) fn sparse(
        &mut self,
        words: &mut Iter<'_, [u8; 2]>,
        free: &mut [Event],
        counts: &mut Counts,
    ) -> usize {
        if self.low > 0xFFF {
            return 0;
        }
        let (mut left, mut first) = (words.as_slice(), 0);
        // An event of the row that ended the last bytes.
        if let Some((&word, behind)) = left.split_first()
            && let w = u32::from(u16::from_le_bytes(word))
            && (w & 0xF7FF).wrapping_sub(0x2000) < self.width
            && let Some(slot) = free.first_mut()
        {
            *slot = Event::packed(self.t, self.row | w & 0x7FF | (w & 0x800) << 5);
            (left, first) = (behind, 1);
        }
        let Self { width, height, high_word, clock_base, low, .. } = *self;
        let mut run =
            evt3::Bounds { width, height, high_word, latest: clock_base | 0xFFF, rest: 0xFFF - low };
        let slots = free.get_mut(first..).unwrap_or_default();
        let (events, n) = evt3::events(left, slots, &mut run, &mut counts.other_words);
        if let Some(last) = slots.get(..events).and_then(<[_]>::last) {
            self.row = last.row();
        }
        self.low = 0xFFF - run.rest;
        self.t = clock_base | self.low;
        *words = left.get(n..).unwrap_or_default().iter();
        first + events
    }
}

/// Whether a word is a row or an event.
#[inline(always)]
fn is_single(w: u16) -> bool {
    w & 0xD000 == 0
}

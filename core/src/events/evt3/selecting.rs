//! The loops for machines that run ahead of their branches.

use core::hint::select_unpredictable;
use core::slice::Iter;

use super::block::BLOCK;
use super::run::{Run, VECTOR};
use crate::events::{Counts, Event};

/// Timed events in a row after which the stream is taken to be sparse.
const STREAK: u32 = 2;

impl Run {
    /// Events and rows follow each other in no order that a branch could be predicted
    /// from: both take the same way, on which the word is written as if it were an event and kept if it was one, and the row is
    /// selected. Gives the number of events, and the first word that needs more; none at the end of the words or of `free`.
    #[inline]
    pub(super) fn selecting(
        &mut self,
        words: &mut Iter<'_, [u8; 2]>,
        free: &mut [Event],
        counts: &mut Counts,
    ) -> (usize, Option<u32>) {
        let (mut t, width, height, mut row) = (self.t, self.width, self.height, self.row);
        let mut end = 0;
        let odd = loop {
            let Some(slots) = free.get_mut(end..end + VECTOR) else { break None };
            let from = words.as_slice();
            let Some(word) = words.next() else { break None };
            let w = u32::from(u16::from_le_bytes(*word));
            // Kinds 0 and 2 differ in this bit; without it, polarity and origin, they are the place alone.
            let is_event = w & 0x2000 != 0;
            if w & 0xD7FF < select_unpredictable(is_event, width, height) {
                slots[0] = Event::packed(t, row | w & 0x7FF | (w & 0x800) << 5);
                end += usize::from(is_event);
                row = select_unpredictable(is_event, row, (w & 0x7FF) << 17);
            } else if let Some(mut mask) = self.triple(w, words) {
                let first = row | (w & 0x800) << 5 | w & 0x7FF;
                end += mask.count_ones() as usize;
                for slot in slots {
                    if mask == 0 {
                        break;
                    }
                    *slot = Event::packed(t, first + mask.trailing_zeros());
                    mask &= mask - 1;
                }
            } else {
                self.row = row;
                *words = from.iter();
                let n = self.timed(words, free.get_mut(end..).unwrap_or_default(), counts);
                (t, row, end) = (self.t, self.row, end + n);
                if words.len() == from.len() {
                    words.next();
                    if !self.small(w, counts) {
                        break Some(w);
                    }
                    t = self.t;
                }
            }
        };
        self.row = row;
        (end, odd)
    }

    /// A sparse stream: each event comes with its row and its time, often with a repeated TIME_HIGH. Looks at four words at once and
    /// takes \[TIME_HIGH\] \[TIME_LOW\] ADDR_Y ADDR_X without a branch on what is missing; after some in a row, blocks of words. Gives
    /// the number of events.
    #[inline]
    fn timed(&mut self, words: &mut Iter<'_, [u8; 2]>, free: &mut [Event], counts: &mut Counts) -> usize {
        let (mut end, mut streak) = (0, 0);
        let mut run = *self;
        let mut left = words.as_slice();
        while let (Some(slot), Some(four)) = (free.get_mut(end), left.first_chunk::<4>()) {
            let [[a, b], [c, d], [e, f], [g, h]] = *four;
            let four = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            let high = four as u32 & 0xFFFF == run.high_word;
            let low = (four >> 12 & 0xF == 6) | high & (four >> 28 & 0xF == 6);
            let taken = usize::from(high) + usize::from(low);
            let value = (four >> (16 * u32::from(high))) as u32 & 0xFFF;
            let pair = (four >> (16 * taken)) as u32;
            let (y, x) = (pair & 0xF7FF, (pair >> 16 & 0xF7FF).wrapping_sub(0x2000));
            let later = select_unpredictable(low, value, run.low);
            if (y < run.height) & (x < run.width) & (later >= run.low) {
                run.low = later;
                run.t = select_unpredictable(low, run.clock_base | value, run.t);
                run.row = y << 17;
                *slot = Event::packed(run.t, run.row | x | pair >> 11 & 0x1_0000);
                end += 1;
                left = left.get(taken + 2..).unwrap_or_default();
                streak += 1;
                while streak > STREAK
                    && let Some(block) = left.first_chunk()
                {
                    let (events, n) = run.block(block, free.get_mut(end..).unwrap_or_default(), counts);
                    end += events;
                    left = left.get(n..).unwrap_or_default();
                    if n < BLOCK {
                        streak = 0;
                    }
                }
                continue;
            }
            if high {
                // Repeated more often than four words have room for.
                left = left.get(1..).unwrap_or_default();
                continue;
            }
            let from = left.len();
            while let Some((word, rest)) = left.split_first()
                && run.small(u16::from_le_bytes(*word).into(), counts)
            {
                left = rest;
            }
            if left.len() == from {
                break;
            }
        }
        *self = run;
        *words = left.iter();
        end
    }
}

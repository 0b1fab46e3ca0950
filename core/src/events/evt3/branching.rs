//! The loops for machines without branch prediction to speak of, where the fewest instructions are best.

use core::slice::{Iter, IterMut};

use super::run::{Run, VECTOR};
use crate::arch::count;
use crate::arch::evt3::{self, Counter};
use crate::events::accumulator::{Tallied, Tally};
use crate::events::clock::Clock;
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
        if let Some((event, behind)) = self.single(left)
            && let Some(slot) = free.first_mut()
        {
            *slot = event;
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

    /// The same words, with their events counted until the end of the tally instead of written down; and a TIME_HIGH
    /// that moves on. `None`, and nothing is taken, where the tally has no places for the sensor.
    #[inline(never)]
    pub(super) fn count(
        &mut self,
        words: &mut Iter<'_, [u8; 2]>,
        tally: &mut Tally<'_>,
        clock: &mut Clock<12, 12>,
        counts: &mut Counts,
    ) -> Option<Tallied> {
        let Self { width, height, t: first, .. } = *self;
        let mut counter = Counter::new(&mut tally.places, &mut counts.other_words, (width, height))?;
        let single = self.single(words.as_slice());
        let mut left = single.map_or(words.as_slice(), |(_, behind)| behind);
        // The last words with an event, and the time in front of them.
        let (mut last, mut events) = (None, 0);
        loop {
            let Self { high_word, clock_base, low, t, .. } = *self;
            let rest = tally.until.wrapping_sub(t).min(0xFFF - low);
            let latest = clock_base | (low + rest);
            let mut run = evt3::Bounds { width, height, high_word, latest, rest };
            let n = counter.take(left, &mut run);
            let Some((taken, behind)) = left.split_at_checked(n) else { break };
            left = behind;
            if counter.events() != events {
                (last, events) = (Some((taken, clock_base, t)), counter.events());
            }
            self.low = low + rest - run.rest;
            self.t = clock_base | self.low;
            let Some(behind) = self.next_high(left, tally.until, clock) else { break };
            left = behind;
        }
        let (events, outside) = counter.finish();
        let mut tallied = Tallied { events, outside, last: first };
        // The order of counts is all the same.
        if let Some((event, _)) = single {
            tallied.events += 1;
            tallied.outside += count::count(&[event], &mut tally.places);
        }
        if let Some((taken, clock_base, t)) = last {
            // Only rows of events were taken; a low time may have come behind the last of them.
            let mut back = taken.iter().rev().map(|&bytes| word(bytes));
            self.row = (back.find(|w| w >> 12 == 0).unwrap_or(0) & 0x7FF) << 17;
            tallied.last = back.find(|w| w >> 12 == 6).map_or(t, |w| clock_base | w & 0xFFF);
        }
        // A row that ends the words.
        if let &[last] = left
            && let row = word(last) & 0xF7FF
            && row < self.height
        {
            self.row = row << 17;
            left = &[];
        }
        *words = left.iter();
        Some(tallied)
    }

    /// Takes the TIME_HIGH after the last one and its TIME_LOW, if there is nothing to say of them and time is not
    /// behind `until`. Gives the words behind.
    #[inline(always)]
    fn next_high<'w>(
        &mut self,
        words: &'w [[u8; 2]],
        until: u32,
        clock: &mut Clock<12, 12>,
    ) -> Option<&'w [[u8; 2]]> {
        let (&high, mut left) = words.split_first()?;
        let high_word = word(high);
        if high_word >> 12 != 8 {
            return None;
        }
        let low = loop {
            let (&next, behind) = left.split_first()?;
            left = behind;
            if next != high {
                break word(next);
            }
        };
        // Not into other upper bits.
        let clock_base = self.clock_base.checked_add(0x1000)?;
        let t = clock_base | low & 0xFFF;
        if low >> 12 != 6 || until.wrapping_sub(t) >> 31 != 0 || !clock.next(high_word & 0xFFF) {
            return None;
        }
        *self = Self { high_word, low: low & 0xFFF, clock_base, t, ..*self };
        Some(left)
    }

    /// An event of the row that ended the words before, and what is behind it.
    #[inline(always)]
    fn single<'w>(&self, words: &'w [[u8; 2]]) -> Option<(Event, &'w [[u8; 2]])> {
        let (&first, behind) = words.split_first()?;
        let w = word(first);
        let event = Event::packed(self.t, self.row | w & 0x7FF | (w & 0x800) << 5);
        ((w & 0xF7FF).wrapping_sub(0x2000) < self.width).then_some((event, behind))
    }

    /// Takes a low time that does not fall, if one comes next.
    #[inline(always)]
    pub(super) fn later(&mut self, words: &mut Iter<'_, [u8; 2]>) -> bool {
        let Some((&next, behind)) = words.as_slice().split_first() else { return false };
        let (kind, low) = (word(next) >> 12, word(next) & 0xFFF);
        let later = kind == 6 && low >= self.low;
        if later {
            (self.low, self.t) = (low, self.clock_base | low);
            *words = behind.iter();
        }
        later
    }
}

#[inline(always)]
fn word(bytes: [u8; 2]) -> u32 {
    u16::from_le_bytes(bytes).into()
}

/// Whether a word is a row or an event.
#[inline(always)]
fn is_single(w: u16) -> bool {
    w & 0xD000 == 0
}

//! Prophesee EVT3.0: 16-bit little-endian words; time, row and vector base are state, 24-bit clock.
//!
//! ```text
//! 15..12  11..0
//! 0       [11] master / slave, [10:0] y          ADDR_Y: the row of what follows
//! 2       [11] polarity, [10:0] x                ADDR_X: one event
//! 3       [11] polarity, [10:0] x                VECT_BASE_X
//! 4, 5    mask of 12, of 8                       VECT_12, VECT_8: event at base + bit; base += 12, 8
//! 6, 8    t[11:0], t[23:12]                      TIME_LOW, TIME_HIGH
//! A       [11:8] id, [0] value                   trigger
//! 7, D, E, F  CONTINUED_4, IMU, OTHERS, CONTINUED_12: skipped by type
//! ```

mod block;

use core::hint::select_unpredictable;
use core::slice::{Iter, IterMut};

use self::block::BLOCK;
use super::clock::{Clock, Step};
use super::{Counts, Decoder, Event, Format, GapCause, Geometry, Out, PREDICTS, Sink, Trigger};

/// EVT3.0 decoder.
pub type Evt3 = Decoder<Words>;

/// Most events of a vector base.
const VECTOR: usize = 32;

/// Timed events in a row after which the stream is taken to be sparse.
const STREAK: u32 = 2;

/// More than any word.
const NONE: u32 = 0x1_0000;

/// State between the words of EVT3.0.
#[derive(Clone, Debug)]
pub struct Words {
    clock: Clock<12, 12>,
    /// Time of the next event.
    t: u64,
    low: u32,
    /// Time of an event, kept when the time was to go back.
    floor: u64,
    synced: bool,
    seen_time: bool,
    /// A changed TIME_HIGH was seen and no TIME_LOW since, so that the low bits are 0: the events given until then.
    unsettled: Option<u64>,
    /// A row was seen; it is in `run`.
    row_known: bool,
    /// Columns from here on are dropped: the width, or 0 where nothing may pass (no time, no row, row off the sensor).
    limit: u32,
    /// The last bytes were those of a sparse stream: more than two words an event.
    sparse: bool,
    run: Run,
}

impl Evt3 {
    /// A decoder for a sensor of this geometry, which waits for the first TIME_HIGH and the first row.
    pub const fn new(geometry: Geometry) -> Self {
        Self::with(
            Words {
                clock: Clock::new(),
                t: 0,
                low: 0,
                floor: 0,
                synced: false,
                seen_time: false,
                unsettled: None,
                row_known: false,
                limit: 0,
                sparse: false,
                run: Run::CLOSED,
            },
            geometry,
        )
    }

    /// Believes a TIME_HIGH that rises by more than `us` only when the next one agrees with it. A live sensor sends TIME_HIGH
    /// every 16 us, so that a limit of 12,288 us (3 words) rides out flipped bits; files may have true pauses (the default, no
    /// limit).
    pub fn with_max_step(mut self, us: u32) -> Self {
        self.format.clock.set_max_step(us);
        self
    }

    /// Tells the time from elsewhere. After a sleep of over 8 s the 24-bit clock may have wrapped unseen: the next TIME_HIGH is
    /// read as the time nearest to `us`.
    pub fn expect_time(&mut self, us: u64) {
        self.resync(0);
        self.format.clock.expect(us.max(self.format.t));
    }
}

impl Words {
    fn set_limit(&mut self, geometry: Geometry) {
        let passes = self.synced && self.row_known && self.run.row >> 17 < u32::from(geometry.height);
        self.limit = if passes { geometry.width.into() } else { 0 };
    }

    /// Counts `n` events that were dropped because of time, row or base, or because they lie off the sensor.
    fn drop_events<S: Sink + ?Sized>(&self, n: u32, known: bool, out: &mut Out<'_, S>) {
        let counter = if known && self.synced && self.row_known {
            &mut out.counts.off_sensor
        } else {
            &mut out.counts.before_sync
        };
        *counter = counter.saturating_add(n);
    }

    /// Takes over the time that the loops have come to.
    fn take_time(&mut self) {
        if self.run.t != self.t as u32 {
            self.low = self.run.low;
            self.t = self.clock.base() | u64::from(self.low);
        }
    }

    /// Tells the loops what they may take.
    fn open_run(&mut self, geometry: Geometry) {
        let base = self.clock.base();
        // At most what 11 bits hold, so that no other kind of word passes the comparisons in the loops.
        self.run.width = self.limit.min(0x800);
        self.run.height = if self.limit > 0 { u32::from(geometry.height).min(0x800) } else { 0 };
        // No word is as large, and no low time.
        self.run.high_word = self.clock.settled().map_or(NONE, |high| 0x8000 | high);
        self.run.low = NONE;
        if self.synced && self.unsettled.is_none() {
            self.run.low = self.t.saturating_sub(base).min(NONE.into()) as u32;
        }
        self.run.clock_base = base as u32;
        self.run.t = self.t as u32;
    }

    /// Any word, in any state.
    fn word<S: Sink + ?Sized>(&mut self, w: u32, out: &mut Out<'_, S>) {
        match w >> 12 {
            0x0 => {
                self.run.row = (w & 0x7FF) << 17;
                self.row_known = true;
                self.set_limit(out.geometry);
            }
            0x2 if w & 0x7FF < self.limit => {
                out.push(Event::packed(self.t as u32, self.run.row | w & 0x7FF | (w & 0x800) << 5));
            }
            0x2 => self.drop_events(1, true, out),
            0x3 => self.run.base = Some((w & 0x7FF, w >> 11 & 1)),
            kind @ 0x4..=0x5 => {
                let (mask, width) = if kind == 4 { (w & 0xFFF, 12) } else { (w & 0xFF, 8) };
                match self.run.base {
                    Some((x, on)) if self.limit > 0 => {
                        out.push_mask(self.t as u32, x, on << 16 | self.run.row, mask, self.limit);
                    }
                    base => self.drop_events(mask.count_ones(), base.is_some(), out),
                }
                if let Some((x, _)) = &mut self.run.base {
                    // 2047 plus any number of vectors stays off the sensor.
                    *x = (*x + width).min(0xFFFF);
                }
            }
            0x6 => self.time_low(w & 0xFFF, out),
            0x8 => self.time_high(w & 0xFFF, out),
            0xA => {
                if self.synced {
                    let t = self.clock.base() as u32 | self.low;
                    out.trigger(Trigger { t, id: (w >> 8 & 0xF) as u8, value: w & 1 != 0 });
                }
            }
            _ => {
                count_other(w, out.counts);
                if !is_other(w) {
                    out.counts.reserved = out.counts.reserved.saturating_add(1);
                }
            }
        }
    }

    fn time_low<S: Sink + ?Sized>(&mut self, low: u32, out: &mut Out<'_, S>) {
        if !self.synced {
            return;
        }
        self.low = low;
        if let Some(events) = self.unsettled.take() {
            out.counts.unsettled = out.counts.unsettled.saturating_add((out.events() - events) as u32);
        }
        let t = self.clock.base() + u64::from(low);
        if t < self.t {
            out.counts.time_low_back = out.counts.time_low_back.saturating_add(1);
        }
        self.set_time(t, out);
    }

    /// Takes `t` for the events that follow, or the time of the last event if that is later. A sensor may send a TIME_LOW that is
    /// too late and correct it before an event uses it.
    fn set_time<S: Sink + ?Sized>(&mut self, t: u64, out: &Out<'_, S>) {
        if t < self.t {
            let since = out.last_time().map_or(u64::MAX, |last| (self.t as u32).wrapping_sub(last).into());
            self.floor = self.floor.max(self.t.saturating_sub(since));
        }
        self.t = t.max(self.floor);
    }

    fn time_high<S: Sink + ?Sized>(&mut self, raw: u32, out: &mut Out<'_, S>) {
        let before = self.t;
        let step = self.clock.word(raw, out.counts);
        if step == Step::Held {
            return;
        }
        if step != Step::Same || !self.synced {
            // Until the next TIME_LOW the old low bits would point up to 4095 us ahead.
            self.low = 0;
            self.unsettled.get_or_insert(out.events());
            self.set_time(self.clock.base(), out);
            if step == Step::Jump {
                out.gap(GapCause::ClockJump, 0, before, self.t);
            }
            self.synced = true;
            self.seen_time = true;
            self.set_limit(out.geometry);
            out.time_moved(self.t);
        }
    }
}

/// What the loops over words know, in 32 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    /// Bounds of single events and of rows; 0 while events do not pass.
    width: u32,
    height: u32,
    /// The time word that changes nothing.
    high_word: u32,
    /// The least low time that may be taken here: that of `t`. More than any if none may.
    low: u32,
    clock_base: u32,
    t: u32,
    /// The row, ready to be or-ed into an event.
    row: u32,
    /// Next column of a vector and its polarity; `None` until a base is known.
    base: Option<(u32, u32)>,
}

impl Run {
    /// Nothing may pass.
    const CLOSED: Self =
        Self { width: 0, height: 0, high_word: NONE, low: NONE, clock_base: 0, t: 0, row: 0, base: None };

    /// For machines that run ahead of their branches. Events and rows follow each other in no order that a branch could be predicted
    /// from: both take the same way, on which the word is written as if it were an event and kept if it was one, and the row is
    /// selected. Gives the number of events, and the first word that needs more; none at the end of the words or of `free`.
    #[inline]
    fn selecting(
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

    /// For machines without branch prediction to speak of, where the fewest instructions are best.
    #[inline(never)]
    fn branching(
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
    fn sparse(&mut self, words: &mut Iter<'_, [u8; 2]>, free: &mut [Event], counts: &mut Counts) -> usize {
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

    /// A low time that moves on, a repeated time word, a word to be skipped; false for others.
    #[inline(always)]
    fn small(&mut self, w: u32, counts: &mut Counts) -> bool {
        if w >> 12 == 6 && w & 0xFFF >= self.low {
            self.low = w & 0xFFF;
            self.t = self.clock_base | self.low;
            true
        } else if is_other(w) {
            count_other(w, counts);
            true
        } else {
            w == self.high_word
        }
    }

    /// If `w` is a base and the 32 pixels that sensors send together come after it (VECT_12, VECT_12, VECT_8), takes them: their
    /// events as a mask.
    #[inline(always)]
    fn triple(&mut self, w: u32, words: &mut Iter<'_, [u8; 2]>) -> Option<u32> {
        let x = w & 0x7FF;
        if w >> 12 != 3 || x + VECTOR as u32 > self.width {
            return None;
        }
        let (&[a, b, c], rest) = words.as_slice().split_first_chunk()?;
        let [a, b, c] = [a, b, c].map(|word| u32::from(u16::from_le_bytes(word)));
        if (a | b << 16) & 0xF000_F000 != 0x4000_4000 || c >> 12 != 5 {
            return None;
        }
        *words = rest.iter();
        self.base = Some((x + VECTOR as u32, w >> 11 & 1));
        Some(a & 0xFFF | (b & 0xFFF) << 12 | c << 24)
    }
}

/// Whether a word is a row or an event.
#[inline(always)]
fn is_single(w: u16) -> bool {
    w & 0xD000 == 0
}

/// Whether a word is skipped but not reserved: CONTINUED_4, IMU, OTHERS, CONTINUED_12.
#[inline(always)]
fn is_other(w: u32) -> bool {
    w >= 0xD000 || w >> 12 == 7
}

fn count_other(w: u32, counts: &mut Counts) {
    if let Some(n) = counts.other_words.get_mut(w as usize >> 12) {
        *n = n.saturating_add(1);
    }
}

impl Format for Words {
    const WORD: usize = 2;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        let mut words = bytes.as_chunks::<2>().0.iter();
        while !words.as_slice().is_empty() {
            out.reserve(VECTOR);
            let (free, counts) = out.free();
            // What comes often in loops that keep their state in registers, the rest one by one.
            let (events, odd) = if PREDICTS {
                self.run.selecting(&mut words, free, counts)
            } else {
                let (all, mut events) = (words.len(), 0);
                // Vectors, and whatever else it does not know, the other loop takes.
                if self.sparse {
                    events = self.run.sparse(&mut words, free, counts);
                }
                let free = free.get_mut(events..).unwrap_or_default();
                let (more, odd) = self.run.branching(&mut words, free, counts);
                events += more;
                match odd.map(|w| w >> 12) {
                    None => self.sparse = all - words.len() > 2 * events,
                    // Vectors, each of which ends the loop for sparse streams.
                    Some(3..=5) => self.sparse = false,
                    Some(_) => {}
                }
                (events, odd)
            };
            out.commit(events);
            if let Some(w) = odd {
                self.take_time();
                self.word(w, out);
                self.open_run(out.geometry);
            }
        }
    }

    fn desync(&mut self) {
        self.take_time();
        self.synced = false;
        self.row_known = false;
        self.limit = 0;
        self.run = Run { t: self.run.t, ..Run::CLOSED };
    }

    fn now(&self) -> Option<u64> {
        self.seen_time.then_some(self.floor.max(self.clock.base()))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// All that a loop makes of words: its events, the first odd word, what is left, and what it knows then. The branching one with
    /// that for sparse streams in front of it, now and then.
    fn run_through(
        mut run: Run,
        block: &[[u8; 2]],
        selecting: bool,
    ) -> (Vec<Event>, Option<u32>, usize, Counts, Run) {
        let (mut events, mut counts, mut words) = (Vec::new(), Counts::default(), block.iter());
        loop {
            let mut free = [Event::default(); 2 * VECTOR];
            let (n, odd) = if selecting {
                run.selecting(&mut words, &mut free, &mut counts)
            } else {
                let sparse = if !block.len().is_multiple_of(3) && words.len() > 2 {
                    run.sparse(&mut words, &mut free[..VECTOR], &mut counts)
                } else {
                    0
                };
                let (more, odd) = run.branching(&mut words, &mut free[sparse..], &mut counts);
                (sparse + more, odd)
            };
            events.extend_from_slice(&free[..n]);
            if odd.is_some() || words.len() == 0 {
                return (events, odd, words.len(), counts, run);
            }
            assert!(n > 0, "with so much room a loop comes forward");
        }
    }

    fn numbers() -> impl FnMut(u64) -> u64 {
        let mut state = 1u64;
        move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        }
    }

    /// Only one of the two loops runs on a machine; both must read the same.
    #[test]
    fn both_loops_agree() {
        let mut random = numbers();
        let mut vectors = 0;
        for round in 0..20_000 {
            let width = if round % 5 == 0 { 0 } else { 1 + random(0x800) as u32 };
            let run = Run {
                width,
                height: if width > 0 { 700 } else { 0 },
                high_word: 0x8123,
                low: 100,
                clock_base: 0x12_3000,
                t: 0x12_3064,
                row: 5 << 17,
                base: None,
            };
            let mut block = Vec::new();
            for _ in 0..random(130) {
                let any = random(1 << 16) as u16;
                let word = match random(40) {
                    0 => any,
                    1 => 0x8123,
                    2 => 0x6000 | any & 0x7F,
                    3 => 0x7000 | any & 0xFFF,
                    4 => 0x4000 | any & 0xFFF,
                    5..=8 => {
                        let more = [random(1 << 12), random(1 << 12), random(1 << 12)].map(|n| n as u16);
                        let [a, b, c] = more;
                        block.extend([0x3000 | any & 0xCFF, 0x4000 | a, 0x4000 | b].map(u16::to_le_bytes));
                        0x5000 | c
                    }
                    9..=20 => any & 0x3FF,
                    _ => 0x2000 | any & 0xBFF,
                };
                block.push(word.to_le_bytes());
            }
            let [branching, selecting] = [false, true].map(|selecting| run_through(run, &block, selecting));
            vectors += u32::from(selecting.4.base.is_some());
            assert_eq!(branching, selecting);
        }
        assert!(vectors > 1000, "{vectors}");
    }

    /// Blocks of words, with whatever may end one or hide in it, beside the loop that knows no blocks.
    #[test]
    fn both_loops_agree_on_sparse_streams() {
        let mut random = numbers();
        let mut events = 0;
        for round in 0..10_000 {
            let width = if round % 3 == 0 { 0x800 } else { 640 };
            let run = Run {
                width,
                height: if round % 4 == 0 { 0x800 } else { 480 },
                high_word: if round % 7 == 0 { NONE } else { 0x8123 },
                low: if round % 11 == 0 { NONE } else { 100 },
                clock_base: 0x12_3000,
                t: 0x12_3064,
                row: 5 << 17,
                base: None,
            };
            let (mut low, mut words) = (100, Vec::new());
            let odd = random(2) * random(400);
            for _ in 0..random(120) {
                let any = random(1 << 16) as u16;
                words.extend([0x8123; 5].iter().take(random(6).saturating_sub(2) as usize));
                if random(5) > 0 {
                    low = (low + random(9)).min(0xFFF);
                    words.push(0x6000 | low as u16);
                }
                match random(1 + odd) {
                    1 => words.push(any),
                    2 => words.push(0x6000 | (low as u16 - any % 3)),
                    3 => words.extend([0xE014, 0xF000 | any & 0xFFF, 0xF123, 0x7000 | any & 0xFFF, 0xD000]),
                    4 => words.extend([0x6000 | low as u16; 3]),
                    _ => {}
                }
                words.push(any & 0x800 | random(480) as u16);
                words.extend(
                    [0x2000 | any & 0x800 | random(640) as u16; 4]
                        .iter()
                        .take(1 + (random(20) / 17) as usize),
                );
            }
            let block: Vec<_> = words.iter().map(|word| word.to_le_bytes()).collect();
            let [branching, selecting] = [false, true].map(|selecting| run_through(run, &block, selecting));
            events += selecting.0.len();
            assert_eq!(branching, selecting);
        }
        assert!(events > 300_000, "{events}");
    }
}

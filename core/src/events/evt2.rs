//! Prophesee EVT2.0: 32-bit little-endian words, one event a word, 34-bit time.
//!
//! ```text
//! 31..28  27..22   21..11  10..0
//! 0 / 1   t[5:0]   x       y       event, darker / brighter
//! 8       t[33:6] in 27..0         TIME_HIGH
//! A       t[5:0]   12..8 id, 0 value   trigger
//! E, F, D OTHERS, CONTINUED, IMU: skipped by type
//! ```

use super::clock::{Clock, Step};
use super::{Decoder, Event, Format, GapCause, Geometry, Out, PREDICTS, Sink, Trigger};
use crate::arch::evt2::{self, Run};

/// EVT2.0 decoder.
pub type Evt2 = Decoder<Words>;

/// Bits that [`limits`] sets in a place off the sensor: of the row, of the column.
const OFF: u32 = 1 << 31 | 1 << 15;

/// Added to a place, sets bit 15 if the column is off the sensor, bit 31 if the row is.
fn limits(Geometry { width, height }: Geometry) -> u32 {
    (0x4000 - u32::from(height.min(0x4000))) << 17 | (0x8000 - u32::from(width.min(0x8000)))
}

/// State between the words of EVT2.0.
#[derive(Clone, Debug)]
pub struct Words {
    clock: Clock<28, 6>,
    /// False until a time word was seen, and again after lost data.
    synced: bool,
    seen_time: bool,
    /// Time of the last event or time word.
    t: u64,
}

impl Evt2 {
    /// A decoder for a sensor of this geometry, which waits for the first TIME_HIGH.
    pub const fn new(geometry: Geometry) -> Self {
        Self::with(Words { clock: Clock::new(), synced: false, seen_time: false, t: 0 }, geometry)
    }

    /// Believes a TIME_HIGH that rises by more than `us` only when the next one agrees with it. A live sensor sends TIME_HIGH
    /// every 16 us, so that a limit of 200 us (3 words) rides out flipped bits; files may have true pauses (the default, no limit).
    pub fn with_max_step(mut self, us: u32) -> Self {
        self.format.clock.set_max_step(us);
        self
    }

    /// Tells the time from elsewhere, for instance after a sleep: the next TIME_HIGH is read as the time nearest to it.
    pub fn expect_time(&mut self, us: u64) {
        self.resync(0);
        self.format.clock.expect(us.max(self.format.t));
    }
}

impl Words {
    /// For machines that run ahead of their branches: puts as many words as are events on the sensor in time order into `free`, block by
    /// block, and counts them.
    fn blocks(&mut self, words: &[[u8; 4]], free: &mut [Event], geometry: Geometry) -> usize {
        let run = Run { base: self.clock.base() as u32, limits: limits(geometry), t: self.t as u32 };
        let (events, t) = evt2::events(words, free, run);
        self.t = self.t & !0xFFFF_FFFF | u64::from(t);
        events
    }

    /// For machines without branch prediction to speak of, where the fewest instructions are best: puts as many words as are events on
    /// the sensor in time order into `free`, and counts them.
    #[inline(never)]
    fn branching(&mut self, words: &[[u8; 4]], free: &mut [Event], geometry: Geometry) -> usize {
        let (base, limits) = (self.clock.base() as u32, limits(geometry));
        let mut t = self.t as u32;
        let all = words.len().min(free.len());
        let mut left = all;
        for (slot, word) in free.iter_mut().zip(words) {
            let w = u32::from_le_bytes(*word);
            let place = (w & 0x7FF) << 17 | w >> 11 & 0x7FF;
            let next = base | w >> 22 & 0x3F;
            let fell = (next.wrapping_sub(t) as i32) < 0;
            // Types 0 and 1 are the smallest.
            if w >> 29 != 0 || place.wrapping_add(limits) & OFF != 0 || fell {
                break;
            }
            t = next;
            *slot = Event::packed(t, place | (w & 1 << 28) >> 12);
            left -= 1;
        }
        self.t = self.t & !0xFFFF_FFFF | u64::from(t);
        all - left
    }

    fn word<S: Sink + ?Sized>(&mut self, w: u32, out: &mut Out<'_, S>) {
        match w >> 28 {
            kind @ 0..=1 => {
                if !self.synced {
                    out.counts.before_sync = out.counts.before_sync.saturating_add(1);
                    return;
                }
                let (x, y) = (w >> 11 & 0x7FF, w & 0x7FF);
                if x >= u32::from(out.geometry.width) || y >= u32::from(out.geometry.height) {
                    out.counts.off_sensor = out.counts.off_sensor.saturating_add(1);
                    return;
                }
                let t = self.low(w >> 22, out);
                out.push(Event::packed(t, y << 17 | kind << 16 | x));
            }
            0x8 => self.time_high(w, out),
            _ => self.other(w, out),
        }
    }

    #[inline(never)]
    fn other<S: Sink + ?Sized>(&mut self, w: u32, out: &mut Out<'_, S>) {
        let kind = w >> 28;
        if kind == 0xA {
            if self.synced {
                // Triggers come from another source than the events and may lie a little behind them.
                let t = self.clock.base() as u32 | w >> 22 & 0x3F;
                out.trigger(Trigger { t, id: (w >> 8 & 0x1F) as u8, value: w & 1 != 0 });
            }
            return;
        }
        if let Some(n) = out.counts.other_words.get_mut(kind as usize) {
            *n = n.saturating_add(1);
        }
        if !matches!(kind, 0xD..=0xF) {
            out.counts.reserved = out.counts.reserved.saturating_add(1);
        }
    }

    #[inline]
    fn low<S: Sink + ?Sized>(&mut self, low: u32, out: &mut Out<'_, S>) -> u32 {
        let t = self.clock.base() | u64::from(low & 0x3F);
        if t < self.t {
            out.counts.time_low_back = out.counts.time_low_back.saturating_add(1);
        } else {
            self.t = t;
        }
        self.t as u32
    }

    #[inline(never)]
    fn time_high<S: Sink + ?Sized>(&mut self, raw: u32, out: &mut Out<'_, S>) {
        let before = self.t;
        let step = self.clock.word(raw, out.counts);
        if step == Step::Held {
            return;
        }
        self.t = self.t.max(self.clock.base());
        if step == Step::Jump {
            out.gap(GapCause::ClockJump, 0, before, self.t);
        }
        if step != Step::Same || !self.synced {
            self.synced = true;
            self.seen_time = true;
            out.time_moved(self.t);
        }
    }
}

impl Words {
    /// All words, by either way; see [`PREDICTS`].
    #[inline]
    fn read<const PREDICTS: bool, S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        let mut words = bytes.as_chunks::<4>().0;
        while !PREDICTS && let Some((&word, rest)) = words.split_first() {
            let w = u32::from_le_bytes(word);
            // In a quiet scene most words are no events.
            if w >> 29 == 0 && self.synced {
                out.reserve(1);
                let geometry = out.geometry;
                let events = self.branching(words, out.free().0, geometry);
                out.commit(events);
                if events > 0 {
                    words = words.get(events..).unwrap_or_default();
                    continue;
                }
            }
            self.word(w, out);
            words = rest;
        }
        while !words.is_empty() {
            if self.synced {
                out.reserve(Run::BLOCK);
                let geometry = out.geometry;
                let events = self.blocks(words, out.free().0, geometry);
                out.commit(events);
                words = words.get(events..).unwrap_or_default();
            }
            // What comes of no block, or does not fill one.
            if let Some((&word, rest)) = words.split_first() {
                self.word(u32::from_le_bytes(word), out);
                words = rest;
            }
        }
    }
}

impl Format for Words {
    const WORD: usize = 4;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        self.read::<PREDICTS, S>(bytes, out);
    }

    fn desync(&mut self) {
        self.synced = false;
    }

    fn now(&self) -> Option<u64> {
        self.seen_time.then_some(self.t)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    /// The way of the other kind of machine.
    #[derive(Clone)]
    struct Other(Words);

    impl Format for Other {
        const WORD: usize = 4;

        fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
            if PREDICTS { self.0.read::<false, S>(bytes, out) } else { self.0.read::<true, S>(bytes, out) }
        }

        fn desync(&mut self) {
            self.0.desync();
        }

        fn now(&self) -> Option<u64> {
            self.0.now()
        }
    }

    /// Only one of the two ways is taken on a machine; both must read the same.
    #[test]
    fn both_ways_agree() {
        let mut state = 1u64;
        let mut random = |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        };
        let mut all = 0;
        for round in 0..2_000 {
            let geometry = if round % 3 == 0 { Geometry::ANY } else { Geometry::new(640, 480) };
            let (mut high, mut low, mut bytes) = (1000, 0, Vec::new());
            let odd = [10, 100, 1000][round % 3];
            for _ in 0..random(900) {
                low = (low + u64::from(random(4) == 0)) % 64;
                let event = random(2) << 28 | low << 22 | random(640) << 11 | random(480);
                high += u64::from(low == 63);
                let word = match random(odd) {
                    0 => random(1 << 32),
                    1 => 8 << 28 | random(2000),
                    2 => event & !(0x3F << 22) | random(64) << 22,
                    3 => 0xA << 28 | event & 0xFFF_FFFF,
                    4 => event | 0x7FF,
                    _ if low == 63 || random(20) == 0 => 8 << 28 | high,
                    _ => event,
                };
                bytes.extend((word as u32).to_le_bytes());
            }
            let (mut one, mut other) =
                (Evt2::new(geometry), Decoder::with(Other(Evt2::new(geometry).format), geometry));
            let [mut ones, mut others] = [Vec::new(), Vec::new()];
            for chunk in bytes.chunks(1 + random(3000) as usize) {
                one.decode(chunk, &mut |events: &[Event]| ones.extend_from_slice(events));
                other.decode(chunk, &mut |events: &[Event]| others.extend_from_slice(events));
            }
            assert!(ones == others && one.counts() == other.counts() && one.now() == other.now());
            all += ones.len();
        }
        assert!(all > 100_000, "{all}");
    }
}

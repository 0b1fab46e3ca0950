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
use super::{Decoder, Event, Format, GapCause, Geometry, Out, Sink, Trigger};

/// EVT2.0 decoder.
pub type Evt2 = Decoder<Words>;

/// Words that are checked and converted together.
const BLOCK: usize = 16;

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
    /// Up to `BLOCK` words at once: as many as are events on the sensor in time order are put into the batch, and counted.
    ///
    /// What may not be shows in the sign of a number for each word, so that the loop has no branch and vectorises.
    #[inline]
    fn block<S: Sink + ?Sized>(&mut self, block: &[[u8; 4]; BLOCK], out: &mut Out<'_, S>) -> usize {
        let Geometry { width, height } = out.geometry;
        // Added to a place, sets bit 15 if the column is off the sensor, bit 31 if the row is.
        let limits = (0x4000 - u32::from(height.min(0x4000))) << 17 | (0x8000 - u32::from(width.min(0x8000)));
        let base = self.clock.base() as u32;
        let Some(room) = out.room::<BLOCK>() else { return 0 };
        let mut violations = [0; BLOCK];
        let mut before = self.t as u32;
        for ((slot, word), violation) in room.iter_mut().zip(block).zip(&mut violations) {
            let w = u32::from_le_bytes(*word);
            let (x, y) = (w >> 11 & 0x7FF, w & 0x7FF);
            let t = base | w >> 22 & 0x3F;
            // Types 0 and 1 leave bits 29..31 clear.
            let kind = w | w << 1 | w << 2;
            let place = y << 17 | x;
            let off = place.wrapping_add(limits);
            *violation = (kind | off | off << 16 | t.wrapping_sub(before)) as i32;
            before = t;
            *slot = Event::packed(t, place | (w & 1 << 28) >> 12);
        }
        let mut events = BLOCK;
        if violations.iter().fold(0, |all, one| all | one) < 0 {
            events = violations.iter().position(|&violation| violation < 0).unwrap_or(BLOCK);
        }
        if let Some(last) = events.checked_sub(1).and_then(|last| room.get(last)) {
            self.t = self.t & !0xFFFF_FFFF | u64::from(last.t);
        }
        out.commit(events);
        events
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

impl Format for Words {
    const WORD: usize = 4;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        let mut words = bytes.as_chunks::<4>().0;
        while let Some(block) = words.first_chunk() {
            let events = if self.synced { self.block(block, out) } else { 0 };
            words = words.get(events..).unwrap_or_default();
            if events < BLOCK
                && let Some((word, rest)) = words.split_first()
            {
                self.word(u32::from_le_bytes(*word), out);
                words = rest;
            }
        }
        for word in words {
            self.word(u32::from_le_bytes(*word), out);
        }
    }

    fn desync(&mut self) {
        self.synced = false;
    }

    fn now(&self) -> Option<u64> {
        self.seen_time.then_some(self.t)
    }
}

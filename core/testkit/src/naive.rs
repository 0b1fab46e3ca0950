//! Naive decoders of event streams: a loop over words that checks nothing. The yardstick of the decoders' speed, and what they
//! must agree with on clean streams.

use mixel_core::events::{Event, Sink};

/// Counts and sums of events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
    /// Events.
    pub n: u64,
    /// Columns.
    pub x: u64,
    /// Rows.
    pub y: u64,
    /// Events that got brighter.
    pub on: u64,
    /// Times in microseconds, of 64 bits for the naive loops; for decoders modulo 2^32 each.
    pub t: u64,
}

impl Sums {
    /// Adds one event.
    #[inline]
    pub fn add(&mut self, x: u32, y: u32, on: u32, t: u64) {
        self.n += 1;
        self.x += u64::from(x);
        self.y += u64::from(y);
        self.on += u64::from(on);
        self.t += t;
    }
}

impl Sink for Sums {
    #[inline]
    fn events(&mut self, events: &[Event]) {
        let (mut x, mut y, mut on, mut dt) = (0, 0, 0, 0u32);
        let Some(&Event { t: first, .. }) = events.first() else { return };
        for e in events {
            x += u32::from(e.x());
            y += u32::from(e.y());
            on += u32::from(e.on());
            dt += e.t.wrapping_sub(first);
        }
        self.n += events.len() as u64;
        self.t += events.len() as u64 * u64::from(first) + u64::from(dt);
        self.x += u64::from(x);
        self.y += u64::from(y);
        self.on += u64::from(on);
    }
}

/// State between the words of EVT2.0: the upper bits of the time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evt2 {
    high: u64,
}

impl Evt2 {
    /// Gives column, row, polarity and time of every event in whole words to `event`.
    #[inline]
    pub fn read(&mut self, bytes: &[u8], mut event: impl FnMut(u32, u32, u32, u64)) {
        let Self { mut high } = *self;
        for word in bytes.as_chunks::<4>().0 {
            let w = u32::from_le_bytes(*word);
            match w >> 28 {
                kind @ 0..=1 => event(w >> 11 & 0x7FF, w & 0x7FF, kind, high | u64::from(w >> 22 & 0x3F)),
                8 => high = u64::from(w & 0xFFF_FFFF) << 6,
                _ => {}
            }
        }
        *self = Self { high };
    }
}

/// State between the words of EVT3.0: upper and lower bits of the time, the row, column and polarity of vectors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Evt3 {
    high: u64,
    low: u64,
    y: u32,
    base: u32,
    on: u32,
}

impl Evt3 {
    /// Gives column, row, polarity and time of every event in whole words to `event`.
    #[inline]
    pub fn read(&mut self, bytes: &[u8], mut event: impl FnMut(u32, u32, u32, u64)) {
        let Self { mut high, mut low, mut y, mut base, mut on } = *self;
        for word in bytes.as_chunks::<2>().0 {
            let w = u32::from(u16::from_le_bytes(*word));
            match w >> 12 {
                0 => y = w & 0x7FF,
                2 => event(w & 0x7FF, y, w >> 11 & 1, high | low),
                3 => (base, on) = (w & 0x7FF, w >> 11 & 1),
                kind @ 4..=5 => {
                    let width = if kind == 4 { 12 } else { 8 };
                    for i in 0..width {
                        if w >> i & 1 != 0 {
                            event(base + i, y, on, high | low);
                        }
                    }
                    base += width;
                }
                6 => low = u64::from(w & 0xFFF),
                8 => high = u64::from(w & 0xFFF) << 12,
                _ => {}
            }
        }
        *self = Self { high, low, y, base, on };
    }
}

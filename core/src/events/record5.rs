//! 5-byte records: N-MNIST and N-Caltech101 `.bin`, and `.bs2`.
//!
//! ```text
//! byte 0  byte 1  byte 2          bytes 3, 4
//! x       y       [7] polarity, [6:0] t[22:16]   t[15:0], big-endian
//! ```
//!
//! In `.bin` a record with y = 240 is no event: it adds 2^13 us to every later time. The 23-bit time (8.39 s) wraps by the half-range
//! rule.

use super::{Decoder, Event, Format, Geometry, Out, Sink};

/// Decoder of 5-byte records.
pub type Record5 = Decoder<Words>;

const RANGE: u64 = 1 << 23;
const OVERFLOW_Y: u8 = 240;
const OVERFLOW_US: u64 = 1 << 13;

/// State between 5-byte records.
#[derive(Clone, Debug)]
pub struct Words {
    markers: bool,
    /// Time of the wraps and markers.
    base: u64,
    raw: u64,
    t: Option<u64>,
}

impl Record5 {
    /// For `.bin`: y = 240 marks an overflow.
    pub const fn bin(geometry: Geometry) -> Self {
        Self::with(Words { markers: true, base: 0, raw: 0, t: None }, geometry)
    }

    /// For `.bs2`: no markers.
    pub const fn bs2(geometry: Geometry) -> Self {
        Self::with(Words { markers: false, base: 0, raw: 0, t: None }, geometry)
    }
}

impl Format for Words {
    const WORD: usize = 5;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        for &[x, y, b2, b3, b4] in bytes.as_chunks::<5>().0 {
            if self.markers && y == OVERFLOW_Y {
                self.base += OVERFLOW_US;
                continue;
            }
            let raw = u64::from(b2 & 0x7F) << 16 | u64::from(b3) << 8 | u64::from(b4);
            if raw + RANGE / 2 <= self.raw {
                self.base += RANGE;
                out.counts.wraps = out.counts.wraps.saturating_add(1);
            }
            self.raw = raw;
            let t = match (self.base + raw, self.t) {
                (t, Some(before)) if t < before => {
                    out.counts.time_high_back = out.counts.time_high_back.saturating_add(1);
                    before
                }
                (t, _) => t,
            };
            if self.t.is_none_or(|before| before != t) {
                self.t = Some(t);
                out.time_moved(t);
            }
            if u16::from(x) >= out.geometry.width || u16::from(y) >= out.geometry.height {
                out.counts.off_sensor = out.counts.off_sensor.saturating_add(1);
                continue;
            }
            out.push(Event::new(t as u32, x.into(), y.into(), b2 & 0x80 != 0));
        }
    }

    fn desync(&mut self) {}

    fn now(&self) -> Option<u64> {
        self.t
    }
}

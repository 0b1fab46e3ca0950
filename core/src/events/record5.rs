//! 5-byte records: N-MNIST and N-Caltech101 `.bin`, and `.bs2`.
//!
//! ```text
//! byte 0  byte 1  byte 2          bytes 3, 4
//! x       y       [7] polarity, [6:0] t[22:16]   t[15:0], big-endian
//! ```
//!
//! In `.bin` a record with y = 240 is no event: it adds 2^13 us to every later time. The 23-bit time (8.39 s) wraps by the half-range
//! rule.
//!
//! Nothing in the bytes says where a record begins. A decoder with a limit on time steps doubts records that are off the sensor or
//! whose time does not follow, and after two of them looks for the beginning byte by byte.

use super::{Decoder, Event, Format, GapCause, Geometry, Out, Sink};

/// Decoder of 5-byte records.
pub type Record5 = Decoder<Words>;

const RANGE: u64 = 1 << 23;
const OVERFLOW_Y: u8 = 240;
const OVERFLOW_US: u64 = 1 << 13;

/// Records in a row that must agree on a time that does not follow: with bytes missing, pixels of one row look like records too.
const SURE: u8 = 8;

/// State between 5-byte records.
#[derive(Clone, Debug)]
pub struct Words {
    markers: bool,
    /// Time of the wraps and markers.
    base: u64,
    raw: u64,
    t: Option<u64>,
    /// Largest rise of the time that is believed at once; none believes everything.
    limit: Option<u64>,
    /// Time of the last record, if it was doubted, and how many in a row agree on it.
    doubted: Option<u64>,
    agreed: u8,
    /// Bytes left out since the last record that was believed.
    skipped: u32,
    /// The bytes of the unfinished record, where records may begin anywhere.
    held: [u8; 5],
    len: usize,
}

impl Record5 {
    /// For `.bin`: y = 240 marks an overflow.
    pub const fn bin(geometry: Geometry) -> Self {
        Self::with(Words::new(true), geometry)
    }

    /// For `.bs2`: no markers.
    pub const fn bs2(geometry: Geometry) -> Self {
        Self::with(Words::new(false), geometry)
    }

    /// For streams that may be damaged: leaves out a record that is off the sensor or whose time falls or rises by more than `us`,
    /// and believes such a time only when the next eight records agree. Finds the beginning of the records again after lost bytes. The
    /// limit should be a little more than the usual time between two events.
    pub fn with_max_step(mut self, us: u32) -> Self {
        self.format.limit = Some(u64::from(us).min(RANGE / 2 - 1));
        self
    }
}

fn off_sensor(&[x, y, ..]: &[u8; 5], geometry: Geometry) -> bool {
    u16::from(x) >= geometry.width || u16::from(y) >= geometry.height
}

fn time(&[_, _, b2, b3, b4]: &[u8; 5]) -> u64 {
    u64::from(b2 & 0x7F) << 16 | u64::from(b3) << 8 | u64::from(b4)
}

/// From one time to another, modulo the range.
fn rise(from: u64, to: u64) -> u64 {
    to.wrapping_sub(from) % RANGE
}

impl Words {
    const fn new(markers: bool) -> Self {
        Self {
            markers,
            base: 0,
            raw: 0,
            t: None,
            limit: None,
            doubted: None,
            agreed: 0,
            skipped: 0,
            held: [0; 5],
            len: 0,
        }
    }

    fn is_marker(&self, &[_, y, ..]: &[u8; 5]) -> bool {
        self.markers && y == OVERFLOW_Y
    }

    /// Takes a record as it stands.
    fn record<S: Sink + ?Sized>(&mut self, record: &[u8; 5], out: &mut Out<'_, S>) {
        if self.is_marker(record) {
            self.base = self.base.wrapping_add(OVERFLOW_US);
            return;
        }
        let t = self.advance(time(record), out);
        if off_sensor(record, out.geometry) {
            out.counts.off_sensor = out.counts.off_sensor.saturating_add(1);
            return;
        }
        let &[x, y, b2, ..] = record;
        out.push(Event::new(t as u32, x.into(), y.into(), b2 & 0x80 != 0));
    }

    /// Moves the time to `raw`; what it is then.
    fn advance<S: Sink + ?Sized>(&mut self, raw: u64, out: &mut Out<'_, S>) -> u64 {
        if raw + RANGE / 2 <= self.raw {
            self.base = self.base.wrapping_add(RANGE);
            out.counts.wraps = out.counts.wraps.saturating_add(1);
        }
        self.raw = raw;
        let t = match (self.base.wrapping_add(raw), self.t) {
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
        t
    }

    /// Takes a record that may be damaged; false if there is none here, and the next byte may begin one.
    fn try_record<S: Sink + ?Sized>(&mut self, record: &[u8; 5], limit: u64, out: &mut Out<'_, S>) -> bool {
        let (marker, raw) = (self.is_marker(record), time(record));
        let off = !marker && off_sensor(record, out.geometry);
        let follows = marker || self.t.is_none() || rise(self.raw, raw) <= limit;
        let agrees = self.doubted.is_some_and(|doubted| rise(doubted, raw) <= limit);
        self.agreed = if agrees && !off { self.agreed.saturating_add(1) } else { 0 };
        if !off && (follows || self.agreed >= SURE) {
            let before = self.t.unwrap_or(0);
            if !follows {
                if rise(self.raw, raw) >= RANGE / 2 {
                    // The clock was set back: time goes on from where it stood.
                    (self.base, self.raw) = (before.wrapping_sub(raw), raw);
                }
                let after = self.advance(raw, out);
                out.gap(GapCause::ClockJump, 0, before, after);
            }
            if self.skipped > 0 {
                out.gap(GapCause::Framing, self.skipped, before, self.t.unwrap_or(before));
            }
            (self.doubted, self.agreed, self.skipped) = (None, 0, 0);
            self.record(record, out);
            return true;
        }
        // The first of a row was damaged where it stands; more of them off the sensor say that records begin elsewhere.
        if off && self.doubted.is_some() {
            self.skipped = self.skipped.saturating_add(1);
            return false;
        }
        let count = if off { &mut out.counts.off_sensor } else { &mut out.counts.reserved };
        *count = count.saturating_add(1);
        self.doubted = Some(raw);
        true
    }
}

impl Format for Words {
    const WORD: usize = 5;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        let Some(limit) = self.limit else {
            bytes.as_chunks().0.iter().for_each(|record| self.record(record, out));
            return;
        };
        for &byte in bytes {
            if let Some(slot) = self.held.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
            if self.len == 5 {
                let record = self.held;
                let [_, b1, b2, b3, b4] = record;
                self.len = if self.try_record(&record, limit, out) { 0 } else { 4 };
                self.held = [b1, b2, b3, b4, 0];
            }
        }
    }

    fn desync(&mut self) {
        (self.len, self.doubted, self.agreed) = (0, None, 0);
    }

    fn now(&self) -> Option<u64> {
        self.t
    }
}

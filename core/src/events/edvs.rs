//! eDVS over UART, time format `!E2`: 4 bytes an event, 128 x 128 pixels.
//!
//! ```text
//! byte 0    byte 1    bytes 2, 3
//! 1yyyyyyy  pxxxxxxx  t in us, big-endian; p = 1 is OFF
//! ```
//!
//! The 16-bit clock wraps every 65.5 ms, so that any fall is a wrap and pauses longer than that are seen modulo 65.5 ms. A byte below
//! 0x80 at the start of an event is out of step: bytes are skipped until one can be a start.

use super::{Decoder, Event, Format, GapCause, Geometry, Out, Sink};

/// eDVS decoder.
pub type Edvs = Decoder<Words>;

/// State between the bytes of an eDVS.
#[derive(Clone, Debug)]
pub struct Words {
    /// The bytes of the unfinished event.
    held: [u8; 4],
    len: usize,
    /// Bytes skipped since the last event in step.
    skipped: u32,
    t: Option<u64>,
}

impl Edvs {
    /// A decoder for the 128 x 128 sensor.
    pub const fn new() -> Self {
        Self::with(Words { held: [0; 4], len: 0, skipped: 0, t: None }, Geometry::new(128, 128))
    }
}

impl Default for Edvs {
    fn default() -> Self {
        Self::new()
    }
}

impl Format for Words {
    const WORD: usize = 1;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        for &byte in bytes {
            if self.len == 0 && byte < 0x80 {
                self.skipped = self.skipped.saturating_add(1);
                continue;
            }
            if let Some(slot) = self.held.get_mut(self.len) {
                *slot = byte;
                self.len += 1;
            }
            if self.len < 4 {
                continue;
            }
            self.len = 0;
            let [y, x, high, low] = self.held;
            let raw = u16::from_be_bytes([high, low]);
            let before = self.t.unwrap_or(0);
            let t = if self.t.is_some() {
                before + u64::from(raw.wrapping_sub(before as u16))
            } else {
                u64::from(raw)
            };
            out.counts.wraps = out.counts.wraps.saturating_add(u32::from(t >> 16 != before >> 16));
            self.t = Some(t);
            if self.skipped > 0 {
                out.counts.reserved = out.counts.reserved.saturating_add(self.skipped);
                out.gap(GapCause::Framing, self.skipped, before, t);
                self.skipped = 0;
            }
            out.time_moved(t);
            out.push(Event::new(t as u32, (x & 0x7F).into(), (y & 0x7F).into(), x < 0x80));
        }
    }

    fn desync(&mut self) {
        self.len = 0;
    }

    fn now(&self) -> Option<u64> {
        self.t
    }
}

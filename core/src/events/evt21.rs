//! Prophesee EVT2.1: 64-bit words, 32 pixels of a row a word.
//!
//! ```text
//! 63..60  59..54  53..43  42..32  31..0
//! 0 / 1   t[5:0]  base x  y       mask: bit i = event at (x + i, y), darker / brighter
//! 8       t[33:6] in 59..32       TIME_HIGH
//! A       t[5:0]  44..40 id, 32 value  trigger
//! E, F    OTHERS, CONTINUED: skipped by type
//! ```
//!
//! A base x that is no multiple of 32 is taken as it is.

use super::clock::{Clock, Step};
use super::{Decoder, Format, GapCause, Geometry, Out, Sink, Trigger};

/// EVT2.1 decoder.
pub type Evt21 = Decoder<Words>;

/// How the 64-bit words lie in the byte stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum WordOrder {
    /// One little-endian 64-bit number (GENX320; header key `endianness=little`).
    #[default]
    Little,
    /// Two little-endian 32-bit halves, the upper (control) half first (IMX636, Gen4.1; `endianness=legacy`).
    Legacy,
}

/// State between the words of EVT2.1.
#[derive(Clone, Debug)]
pub struct Words {
    clock: Clock<28, 6>,
    order: WordOrder,
    synced: bool,
    seen_time: bool,
    t: u64,
}

impl Evt21 {
    /// A decoder for a sensor of this geometry, which waits for the first TIME_HIGH.
    pub const fn new(geometry: Geometry, order: WordOrder) -> Self {
        Self::with(Words { clock: Clock::new(), order, synced: false, seen_time: false, t: 0 }, geometry)
    }

    /// As [`Evt2::with_max_step`](super::evt2::Evt2::with_max_step).
    pub fn with_max_step(mut self, us: u32) -> Self {
        self.format.clock.set_max_step(us);
        self
    }

    /// As [`Evt2::expect_time`](super::evt2::Evt2::expect_time).
    pub fn expect_time(&mut self, us: u64) {
        self.resync(0);
        self.format.clock.expect(us.max(self.format.t));
    }
}

impl Words {
    fn word<S: Sink + ?Sized>(&mut self, control: u32, data: u32, out: &mut Out<'_, S>) {
        match control >> 28 {
            kind @ 0..=1 => {
                if !self.synced {
                    out.counts.before_sync = out.counts.before_sync.saturating_add(data.count_ones());
                    return;
                }
                let (x, y) = (control >> 11 & 0x7FF, control & 0x7FF);
                let t = self.clock.base() | u64::from(control >> 22 & 0x3F);
                if t < self.t {
                    out.counts.time_low_back = out.counts.time_low_back.saturating_add(1);
                } else {
                    self.t = t;
                }
                let limit =
                    if y < u32::from(out.geometry.height) { u32::from(out.geometry.width) } else { 0 };
                out.push_mask(self.t as u32, x, y << 17 | kind << 16, data, limit);
            }
            0x8 => {
                let before = self.t;
                let step = self.clock.word(control, out.counts);
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
            0xA => {
                if self.synced {
                    let t = self.clock.base() as u32 | control >> 22 & 0x3F;
                    out.trigger(Trigger { t, id: (control >> 8 & 0x1F) as u8, value: control & 1 != 0 });
                }
            }
            kind => {
                if let Some(n) = out.counts.other_words.get_mut(kind as usize) {
                    *n = n.saturating_add(1);
                }
                if !matches!(kind, 0xE..=0xF) {
                    out.counts.reserved = out.counts.reserved.saturating_add(1);
                }
            }
        }
    }
}

impl Format for Words {
    const WORD: usize = 8;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        for word in bytes.as_chunks::<8>().0 {
            let w = u64::from_le_bytes(*word);
            let w = match self.order {
                WordOrder::Little => w,
                WordOrder::Legacy => w.rotate_left(32),
            };
            self.word((w >> 32) as u32, w as u32, out);
        }
    }

    fn desync(&mut self) {
        self.synced = false;
    }

    fn now(&self) -> Option<u64> {
        self.seen_time.then_some(self.t)
    }
}

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
mod branching;
mod run;
mod selecting;

use self::run::{NONE, Run, VECTOR, count_other, is_other};
use super::clock::{Clock, Step};
use super::{Decoder, Event, Format, GapCause, Geometry, Out, PREDICTS, Sink, Trigger};

/// EVT3.0 decoder.
pub type Evt3 = Decoder<Words>;

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
                let all = words.len();
                // Vectors, and whatever else it does not know, the other loop takes.
                let mut events = if self.sparse { self.run.sparse(&mut words, free, counts) } else { 0 };
                let mut odd = None;
                if !words.as_slice().is_empty() {
                    let free = free.get_mut(events..).unwrap_or_default();
                    let (more, word) = self.run.branching(&mut words, free, counts);
                    (events, odd) = (events + more, word);
                }
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

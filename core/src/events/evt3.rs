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

use core::slice::Iter;

use self::run::{NONE, Run, VECTOR, count_other, is_other};
use super::clock::{Clock, Step};
use super::{Decoder, Event, Format, GapCause, Geometry, Out, PREDICTS, Sink, Trigger};

/// Events that are written down where counting ends with a window; then the next one is open.
const FEW: usize = 6;

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

impl Words {
    /// Takes words until one needs more, which is given; none at the end of the words or of the batch.
    fn selecting<S: Sink + ?Sized>(
        &mut self,
        words: &mut Iter<'_, [u8; 2]>,
        out: &mut Out<'_, S>,
    ) -> Option<u32> {
        out.reserve(VECTOR);
        let (free, counts) = out.free();
        let (events, odd) = self.run.selecting(words, free, counts);
        out.commit(events);
        odd
    }

    /// The same without running ahead, and, as far as the sink only counts, without events.
    fn branching<S: Sink + ?Sized>(
        &mut self,
        words: &mut Iter<'_, [u8; 2]>,
        out: &mut Out<'_, S>,
    ) -> Option<u32> {
        let all = words.len();
        // Whether the loop for sparse streams may know the next word.
        let (mut counted, mut known) = (0, self.sparse);
        while known
            && self.run.low <= 0xFFF
            && let Some((mut tally, counts)) = out.tally(self.run.t)
        {
            let Some(tallied) = self.run.count(words, &mut tally, &mut self.clock, counts) else { break };
            if tallied.events > 0 {
                out.tallied(tallied);
            }
            counted += tallied.events as usize;
            // Behind the end of a bin; other words neither of the loops knows.
            known = self.run.later(words);
            // Nor does the loop for all others.
            if let Some((&word, behind)) = words.as_slice().split_first()
                && let w = u32::from(u16::from_le_bytes(word))
                && matches!(w >> 12, 0x8..=0xC)
                && !known
            {
                *words = behind.iter();
                return Some(w);
            }
        }
        let mut odd = None;
        if !words.as_slice().is_empty() {
            out.reserve(VECTOR);
            let (free, counts) = out.free();
            let mut events = 0;
            if known {
                let most = if counted > 0 { FEW.min(free.len()) } else { free.len() };
                events = self.run.sparse(words, free.get_mut(..most).unwrap_or_default(), counts);
            }
            // Vectors, and whatever else it does not know, the other loop takes.
            if !words.as_slice().is_empty() && (events == 0 || counted == 0) {
                let free = free.get_mut(events..).unwrap_or_default();
                let (more, word) = self.run.branching(words, free, counts);
                (events, odd) = (events + more, word);
            }
            out.commit(events);
            counted += events;
        }
        match odd.map(|w| w >> 12) {
            None => self.sparse = all - words.len() > 2 * counted,
            // Vectors, each of which ends the loop for sparse streams.
            Some(3..=5) => self.sparse = false,
            Some(_) => {}
        }
        odd
    }

    /// Words in the one way or the other, whatever this machine is.
    #[inline(always)]
    fn read<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>, predicts: bool) {
        let mut words = bytes.as_chunks::<2>().0.iter();
        while !words.as_slice().is_empty() {
            // What comes often in loops that keep their state in registers, the rest one by one.
            let odd =
                if predicts { self.selecting(&mut words, out) } else { self.branching(&mut words, out) };
            if let Some(w) = odd {
                self.take_time();
                self.word(w, out);
                // The low time that belongs to a changed TIME_HIGH.
                if self.unsettled.is_some()
                    && let Some((&low, behind)) = words.as_slice().split_first()
                    && let low = u32::from(u16::from_le_bytes(low))
                    && low >> 12 == 6
                {
                    self.word(low, out);
                    words = behind.iter();
                }
                self.open_run(out.geometry);
            }
        }
    }
}

impl Format for Words {
    const WORD: usize = 2;

    fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
        self.read(bytes, out, PREDICTS);
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
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::events::accumulator::{Accumulator, Tallied, Tally};
    use crate::events::histogram::{Histogram, HistogramConfig, HistogramMemory};
    use crate::events::patch::Grid;
    use crate::events::window::{Cut, Windows};
    use crate::events::{Counts, Gap};

    /// Read as a microcontroller does.
    struct Branching(Words);

    impl Format for Branching {
        const WORD: usize = 2;

        fn words<S: Sink + ?Sized>(&mut self, bytes: &[u8], out: &mut Out<'_, S>) {
            self.0.read(bytes, out, false);
        }

        fn desync(&mut self) {
            self.0.desync();
        }

        fn now(&self) -> Option<u64> {
            self.0.now()
        }
    }

    /// Windows and what comes between their events, in order.
    struct Log<'m> {
        accumulator: Accumulator<'m>,
        /// Lets the decoder count.
        offers: bool,
        events: u64,
        counted: u64,
        last: Option<u32>,
        lines: Vec<[u64; 4]>,
    }

    impl Log<'_> {
        fn moved(&mut self, events: usize, first: u32, last: u32) {
            assert!(self.last.is_none_or(|before| (first.wrapping_sub(before) as i32) >= 0), "time fell");
            self.events += events as u64;
            self.last = Some(last);
        }

        fn emit(&mut self) {
            let mut digest = 0u64;
            let emitted = self.accumulator.histogram.emit(|token| {
                digest = digest.wrapping_mul(31).wrapping_add(token.patch.into());
                token.values.iter().for_each(|&n| digest = digest.wrapping_mul(31).wrapping_add(n.into()));
            });
            self.lines.push([1, emitted.tokens as u64, emitted.outside.into(), digest]);
        }
    }

    impl Sink for Log<'_> {
        fn events(&mut self, mut events: &[Event]) {
            for pair in events.windows(2) {
                assert!((pair[1].t.wrapping_sub(pair[0].t) as i32) >= 0, "time fell");
            }
            self.moved(events.len(), events[0].t, events[events.len() - 1].t);
            while let Some(window) = self.accumulator.next(&mut events) {
                self.lines.push([0, window.end.into(), window.events.into(), window.skipped.into()]);
                self.emit();
            }
        }

        fn tallies(&self) -> bool {
            self.offers
        }

        fn tally(&mut self, t: u32) -> Option<Tally<'_>> {
            if self.offers { self.accumulator.tally(t) } else { None }
        }

        fn tallied(&mut self, tallied: Tallied) {
            assert!(tallied.events > 0 && tallied.outside <= tallied.events);
            self.moved(tallied.events as usize, tallied.last, tallied.last);
            self.counted += u64::from(tallied.events);
            self.accumulator.tallied(tallied);
        }

        fn trigger(&mut self, trigger: Trigger) {
            self.lines.push([2, self.events, trigger.t.into(), trigger.id.into()]);
        }

        fn gap(&mut self, gap: Gap) {
            self.lines.push([3, self.events, gap.before.into(), gap.after.into()]);
        }

        fn epoch(&mut self, high: u32) {
            self.lines.push([4, self.events, high.into(), 0]);
        }
    }

    fn numbers(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |n: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % n
        }
    }

    /// A sparse stream that goes through some windows, with now and then a word of every kind.
    fn stream(random: &mut impl FnMut(u64) -> u64, odd: u64) -> Vec<u8> {
        let (mut t, mut words) = (0xFF_0000 + random(0x1_0000), vec![]);
        let step = [3, 40, 1500][random(3) as usize];
        for _ in 0..500 {
            t += random(step);
            let (high, low) = (0x8000 | (t >> 12 & 0xFFF) as u16, 0x6000 | (t & 0xFFF) as u16);
            let any = random(1 << 16) as u16;
            words.extend(std::iter::repeat_n(high, random(5).saturating_sub(1) as usize));
            if words.is_empty() || random(5) > 0 || t & 0xFFF < step {
                words.extend([high, low]);
            }
            match random(odd) {
                0 => words.push(any),
                1 => words.push(low - 1),
                2 => words.extend([low, low]),
                3 => words.extend([0xA000 | any & 0xF01]),
                4 => words.extend([0xE000, 0xF000, any & 0x3FF]),
                5 => words.extend([any & 0x1FF, 0x3000 | any & 0x1FF, 0x4000 | any & 0xFFF, 0x5000]),
                _ => {}
            }
            if random(8) == 0 {
                words.extend([0xE014, 0xF123, 0xF000 | any & 0xFFF, 0x7001].repeat(1 + random(3) as usize));
                words.extend([0xE000].iter().take(random(2) as usize));
            }
            words.push(any & 0x800 | random(110) as u16);
            let pixels = 1 + random(20) / 19;
            (0..pixels).for_each(|_| words.push(0x2000 | (random(2) as u16) << 11 | random(165) as u16));
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// What comes of a stream in chunks, one of which is lost.
    fn run<F: Format>(
        mut decoder: Decoder<F>,
        setting: &(HistogramConfig, Cut),
        bytes: &[u8],
        mut chunk: impl FnMut() -> usize,
        offers: bool,
    ) -> (Vec<[u64; 4]>, Counts, Option<u64>, u64) {
        let (config, cut) = *setting;
        let mut lookup = vec![0; Grid::lookup_len(config.geometry)];
        let mut patches = vec![0; config.grid.patches()];
        let mut counts = vec![0; config.counts_len()];
        let memory = HistogramMemory { lookup: &mut lookup, patches: &mut patches, counts: &mut counts };
        let accumulator = Accumulator {
            windows: Windows::new(cut, config.bins).unwrap(),
            histogram: Histogram::new(config, memory).unwrap(),
        };
        let mut log = Log { accumulator, offers, events: 0, counted: 0, last: None, lines: vec![] };
        for (part, third) in bytes.chunks(bytes.len().div_ceil(3)).enumerate() {
            let mut left = third;
            while !left.is_empty() {
                let (now, behind) = left.split_at(chunk().min(left.len()));
                decoder.decode(now, &mut log);
                left = behind;
            }
            if part == 1 {
                decoder.resync(7);
            }
        }
        log.emit();
        let window = log
            .accumulator
            .windows
            .finish()
            .map_or([5; 4], |window| [window.end.into(), window.events.into(), window.skipped.into(), 5]);
        log.lines.push(window);
        assert_eq!(decoder.counts().events, log.events);
        (log.lines, *decoder.counts(), decoder.now(), log.counted)
    }

    /// Counted by the decoder or handed over, by whatever loop, in whatever chunks: the same windows, numbers and
    /// order.
    #[test]
    fn counting_is_the_same_as_handing_over() {
        let (mut counted, mut of, mut outside) = (0, 0, 0);
        for seed in 0..if cfg!(miri) { 2 } else { 900 } {
            let mut random = numbers(seed);
            let bytes = stream(&mut random, if seed % 3 == 0 { 25 } else { 2_000 });
            let geometry = Geometry::new(160 + random(10) as u16, 100 + random(20) as u16);
            let grid = match random(3) {
                0 => Grid { left: -1, top: -1, shift: 3, patch: 4, columns: 6, rows: 5 },
                1 => Grid { left: 16, top: 8, shift: 2, patch: 3, columns: 9, rows: 6 },
                _ => Grid { left: 0, top: 0, shift: 4, patch: 5, columns: 1, rows: 2 },
            };
            // A table smaller than the sensor, which is possible if hardly wanted.
            let tables = if random(8) == 0 { Geometry::new(150, 90) } else { geometry };
            let bins = 1 + random(3) as u8;
            let config = HistogramConfig { geometry: tables, grid, bins, least_pixels: 1, max_tokens: 200 };
            let period = u32::from(bins) * [10, 100, 4_000][random(3) as usize];
            let events = 1 + random(200) as u32;
            let cut = match random(6) {
                0 => Cut::Count { events },
                1 => Cut::Either { period, events },
                _ => Cut::Time { period },
            };
            let mut decoder = Evt3::new(geometry);
            if random(3) == 0 {
                decoder = decoder.with_max_step(12_288);
            }
            if random(3) == 0 {
                decoder.expect_time(0xFFFF_F000);
            }
            let words = decoder.format;
            let decoder = || Decoder::with(Branching(words.clone()), geometry);
            let setting = (config, cut);
            let whole = run(Decoder::with(words.clone(), geometry), &setting, &bytes, || 1 << 20, false);
            assert_eq!(run(decoder(), &setting, &bytes, || 1000, false), whole, "{seed}");
            let longest = [9, 200, 3_000][random(3) as usize];
            let chunk = || 1 + random(longest) as usize;
            let (lines, counts, now, n) = run(decoder(), &setting, &bytes, chunk, true);
            assert_eq!(lines, whole.0, "{seed}");
            assert_eq!((counts, now), (whole.1, whole.2), "{seed}");
            assert!(matches!(cut, Cut::Time { .. }) || n == 0);
            (counted, of) = (counted + n, of + counts.events);
            outside += lines.iter().filter(|line| line[0] == 1).map(|line| line[2]).sum::<u64>();
        }
        assert!(cfg!(miri) || counted > of / 6 && outside > of / 10, "{counted} of {of}, {outside} outside");
    }
}

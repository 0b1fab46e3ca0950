//! Cases of event decoders: streams in one piece, which go through the loops made for this machine, and word by word, which do not.

use mixel_core::events::accumulator::{Accumulator, Tallied, Tally};
use mixel_core::events::evt2::Evt2;
use mixel_core::events::evt3::Evt3;
use mixel_core::events::histogram::{Histogram, HistogramConfig, HistogramMemory};
use mixel_core::events::patch::Grid;
use mixel_core::events::window::{Cut, Windows};
use mixel_core::events::{Counts, Decoder, Event, Format, Gap, Geometry, Sink, Trigger};

use crate::naive;
use crate::{Bench, Failure, Pool, Random};

/// Bytes of a stream: more than a batch of events.
const STREAM: usize = 4096;

/// Not a power of two, and less than words can say.
const SENSOR: Geometry = Geometry::new(640, 480);

/// Streams of a case.
const SEEDS: u32 = 24;

/// Patches of all pixels and of some, in windows of which a stream has several.
const GRIDS: [Grid; 2] = [
    Grid { left: 0, top: 0, shift: 4, patch: 4, columns: 10, rows: 8 },
    Grid { left: 16, top: 8, shift: 4, patch: 4, columns: 8, rows: 6 },
];
const PERIOD: u32 = 2_000;

/// All that a decoder gave, in its order, and how much that was.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
struct Seen {
    digest: u32,
    events: u64,
}

impl Seen {
    fn add(&mut self, word: u32) {
        self.digest = (self.digest ^ word).wrapping_mul(0x0100_0193).rotate_left(7);
    }

    fn event(&mut self, t: u32, x: u32, y: u32, on: bool) {
        self.events += 1;
        self.add(t);
        self.add(y << 16 | x << 1 | u32::from(on));
    }
}

impl Sink for Seen {
    fn events(&mut self, events: &[Event]) {
        events.iter().for_each(|e| self.event(e.t, e.x().into(), e.y().into(), e.on()));
    }

    fn trigger(&mut self, trigger: Trigger) {
        self.add(trigger.t ^ u32::from(trigger.id) << 24 ^ u32::from(trigger.value) << 31);
    }

    fn gap(&mut self, gap: Gap) {
        for word in [gap.lost_bytes, gap.before, gap.after, gap.cause as u32] {
            self.add(word);
        }
    }
}

/// Windows and their patches, counted by the decoder where it can or from its events.
struct Counted<'m> {
    accumulator: Accumulator<'m>,
    offers: bool,
    seen: Seen,
    counted: u32,
}

impl Counted<'_> {
    fn emit(&mut self) {
        let seen = &mut self.seen;
        let emitted = self.accumulator.histogram.emit(|token| {
            seen.add(token.patch.into());
            token.values.iter().for_each(|&n| seen.add(n.into()));
        });
        self.seen.add(emitted.outside);
    }
}

impl Sink for Counted<'_> {
    fn events(&mut self, mut events: &[Event]) {
        self.seen.events += events.len() as u64;
        while let Some(window) = self.accumulator.next(&mut events) {
            for word in [window.end, window.events, window.skipped] {
                self.seen.add(word);
            }
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
        self.seen.events += u64::from(tallied.events);
        self.counted += tallied.events;
        self.accumulator.tallied(tallied);
    }

    fn trigger(&mut self, trigger: Trigger) {
        self.seen.trigger(trigger);
    }

    fn gap(&mut self, gap: Gap) {
        self.seen.gap(gap);
    }
}

/// Counted in the one way and in the other, in the same memory after each other.
fn check_counts(content: Content, grid: Grid, mut pool: Pool<'_>) -> Result<(), Failure> {
    let config = HistogramConfig { geometry: SENSOR, grid, bins: 2, least_pixels: 1, max_tokens: 80 };
    let stream = pool.take::<u8>(STREAM)?;
    let lookup = pool.take::<u32>(Grid::lookup_len(SENSOR))?;
    let patches = pool.take::<u16>(grid.patches())?;
    let counts = pool.take::<u8>(config.counts_len())?;
    for seed in 0..SEEDS {
        evt3(content, &mut Random::new(seed), stream);
        let [plain, counted] = [false, true].map(|offers| {
            let memory =
                HistogramMemory { lookup: &mut *lookup, patches: &mut *patches, counts: &mut *counts };
            let windows = Windows::new(Cut::Time { period: PERIOD }, config.bins).ok()?;
            let accumulator = Accumulator { windows, histogram: Histogram::new(config, memory).ok()? };
            let mut sink = Counted { accumulator, offers, seen: Seen::default(), counted: 0 };
            let counts = decode(Evt3::new(SENSOR), stream, 511, &mut sink);
            sink.emit();
            let window = sink.accumulator.windows.finish();
            sink.seen.add(window.map_or(0, |window| window.events));
            Some((sink.seen, counts, sink.counted))
        });
        let (Some(plain), Some(counted)) = (plain, counted) else { return Err(Failure::Memory) };
        // Machines that run ahead of their branches hand over.
        let own = cfg!(target_pointer_width = "32") && content == Content::Sparse;
        let enough = !own || u64::from(counted.2) > counted.0.events / 2;
        if (plain.0, plain.1) != (counted.0, counted.1) || !enough {
            return Err(Failure::Stream { events: u64::from(counted.2), expected: plain.0.events });
        }
    }
    Ok(())
}

fn decode<F: Format>(mut decoder: Decoder<F>, stream: &[u8], chunk: usize, sink: &mut impl Sink) -> Counts {
    stream.chunks(chunk).for_each(|bytes| decoder.decode(bytes, sink));
    *decoder.counts()
}

/// Decodes in one piece, in chunks that end anywhere, and word by word. What was seen.
fn agree<F: Format + Clone>(decoder: &Decoder<F>, stream: &[u8], word: usize) -> Result<Seen, Failure> {
    let mut expected = Seen::default();
    let counts = decode(decoder.clone(), stream, word, &mut expected);
    for chunk in [STREAM, 511] {
        let mut seen = Seen::default();
        let counted = decode(decoder.clone(), stream, chunk, &mut seen);
        if (seen, counted) != (expected, counts) {
            return Err(Failure::Stream { events: seen.events, expected: expected.events });
        }
    }
    Ok(expected)
}

/// What streams hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Content {
    /// Events and rows.
    Dense,
    /// Events that come with their rows and times, and messages in between.
    Sparse,
    /// Vectors, in runs of 32 pixels and others.
    Vectors,
    /// Any of these, with words that were changed.
    Damaged,
}

/// A stream of EVT3.0 words for a sensor of [`SENSOR`]'s size.
fn evt3(content: Content, random: &mut Random, stream: &mut [u8]) {
    let (mut high, mut low) = (0x123, 0);
    let mut words = stream.as_chunks_mut::<2>().0.iter_mut();
    let mut put = |word: u32| words.next().map(|slot| *slot = (word as u16).to_le_bytes());
    put(0x8000 | high);
    put(0x6000);
    put(100);
    loop {
        let kind = match content {
            Content::Damaged => random.size(0, 2),
            Content::Dense => 0,
            Content::Sparse => 1,
            Content::Vectors => 2,
        };
        let [polarity, x, y] = [random.bits() & 0x800, random.bits() % 640, random.bits() % 480];
        let step = random.bits() % 40;
        match (low + step < 0x1000, random.size(0, 9)) {
            (false, _) => {
                (high, low) = ((high + 1) & 0xFFF, 0);
                put(0x8000 | high);
                put(0x6000);
            }
            (true, 0..=7) if kind == 0 => {}
            (true, _) => {
                low += step;
                (0..random.size(0, 3)).for_each(|_| _ = put(0x8000 | high));
                put(0x6000 | low);
            }
        }
        let put_last = match kind {
            0 => {
                put(y);
                (0..random.size(0, 4)).for_each(|_| _ = put(0x2000 | polarity | x));
                put(0x2000 | polarity | (random.bits() % 640))
            }
            1 => {
                if random.size(0, 5) == 0 {
                    for _ in 0..random.size(1, 3) {
                        let message =
                            [0xE014, 0xF123, 0xF456, if random.size(0, 3) > 0 { 0x7001 } else { 0xF001 }];
                        for word in message {
                            put(word);
                        }
                    }
                }
                put(polarity | y);
                put(0x2000 | polarity | x)
            }
            _ => {
                put(y);
                put(0x3000 | polarity | x.min(640 - 44));
                put(0x4000 | random.bits() & 0xFFF);
                put(0x4000 | random.bits() & random.bits() & 0xFFF);
                if random.size(0, 3) == 0 {
                    put(0x4000 | random.bits() & 0xFFF);
                }
                put(0x5000 | random.bits() & 0xFF)
            }
        };
        if put_last.is_none() {
            break;
        }
    }
    if content == Content::Damaged {
        damage(random, stream);
    }
}

/// A stream of EVT2.0 words for a sensor of [`SENSOR`]'s size.
fn evt2(content: Content, random: &mut Random, stream: &mut [u8]) {
    let mut high = 1000;
    for (index, word) in stream.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        let [x, y, polarity] = [640, 480, 2].map(|below| random.bits() % below);
        // The time rises within a time word by its place.
        let low = index as u32 % 16 * 4;
        *word = if low == 0 {
            high += 1 + random.bits() % 3;
            0x8000_0000 | high
        } else {
            polarity << 28 | low << 22 | x << 11 | y
        }
        .to_le_bytes();
    }
    if content == Content::Damaged {
        damage(random, stream);
    }
}

/// Changes some bits.
fn damage(random: &mut Random, stream: &mut [u8]) {
    for _ in 0..random.size(1, 40) {
        let at = random.size(0, stream.len() - 1);
        stream[at] ^= 1 << random.size(0, 7);
    }
}

/// As the decoder read it so did the naive loop; a clean stream has events.
fn same(seen: Seen, naive: Seen, content: Content) -> Result<(), Failure> {
    if content == Content::Damaged || (seen == naive && seen.events > 0) {
        Ok(())
    } else {
        Err(Failure::Stream { events: seen.events, expected: naive.events })
    }
}

fn check_evt3(content: Content, mut pool: Pool<'_>) -> Result<(), Failure> {
    let stream = pool.take::<u8>(STREAM)?;
    for seed in 0..SEEDS {
        evt3(content, &mut Random::new(seed), stream);
        let seen = agree(&Evt3::new(SENSOR), stream, 2)?;
        let mut expected = Seen::default();
        naive::Evt3::default().read(stream, |x, y, on, t| expected.event(t as u32, x, y, on > 0));
        same(seen, expected, content)?;
    }
    Ok(())
}

fn check_evt2(content: Content, mut pool: Pool<'_>) -> Result<(), Failure> {
    let stream = pool.take::<u8>(STREAM)?;
    for seed in 0..SEEDS {
        evt2(content, &mut Random::new(seed), stream);
        let seen = agree(&Evt2::new(SENSOR), stream, 4)?;
        let mut expected = Seen::default();
        naive::Evt2::default().read(stream, |x, y, on, t| expected.event(t as u32, x, y, on > 0));
        same(seen, expected, content)?;
    }
    Ok(())
}

/// Both formats that sensors send, clean and damaged, and what is counted without events.
pub fn run(bench: &mut Bench<'_, '_>) {
    for content in [Content::Dense, Content::Damaged] {
        bench.once(format_args!("Evt2 {content:?}"), |pool| check_evt2(content, pool));
    }
    for content in [Content::Dense, Content::Sparse, Content::Vectors, Content::Damaged] {
        bench.once(format_args!("Evt3 {content:?}"), |pool| check_evt3(content, pool));
    }
    for content in [Content::Sparse, Content::Damaged] {
        for (grid, of) in GRIDS.into_iter().zip(["all", "some"]) {
            bench.once(format_args!("Evt3 {content:?}, counts of {of}"), |pool| {
                check_counts(content, grid, pool)
            });
        }
    }
}

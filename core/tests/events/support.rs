//! What the tests of events share: a sink that keeps everything, chunks of random length, generated streams, the recordings.
use std::path::PathBuf;

use mixel_core::events::any::AnyDecoder;
use mixel_core::events::encode::Encoder;
use mixel_core::events::header::Encoding;
use mixel_core::events::{Counts, Event, Gap, Geometry, Sink, Trigger};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// Everything that a decoder said, with 64-bit times.
#[derive(Default, PartialEq, Debug, Clone)]
pub struct Log {
    pub epoch: u32,
    pub events: Vec<(u64, Event)>,
    pub triggers: Vec<Trigger>,
    pub gaps: Vec<Gap>,
}

impl Sink for Log {
    fn events(&mut self, events: &[Event]) {
        assert!(!events.is_empty());
        let high = u64::from(self.epoch) << 32;
        self.events.extend(events.iter().map(|&e| (high | u64::from(e.t), e)));
    }

    fn trigger(&mut self, trigger: Trigger) {
        self.triggers.push(trigger);
    }

    fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    fn epoch(&mut self, high: u32) {
        self.epoch = high;
    }
}

impl Log {
    pub fn plain(&self) -> Vec<Event> {
        self.events.iter().map(|e| e.1).collect()
    }

    /// No event off the sensor, no time that falls.
    pub fn check(&self, geometry: Geometry) {
        assert!(self.events.iter().all(|(_, e)| e.x() < geometry.width && e.y() < geometry.height));
        assert!(self.events.is_sorted_by_key(|e| e.0), "time went back");
    }
}

pub fn decode(encoding: Encoding, geometry: Geometry, bytes: &[u8]) -> (Log, Counts) {
    let (mut log, mut decoder) = (Log::default(), AnyDecoder::new(encoding, geometry).unwrap());
    decoder.decode(bytes, &mut log);
    log.check(geometry);
    (log, *decoder.counts())
}

/// As `decode`, in chunks of 0 to `most` bytes.
pub fn decode_in_chunks(
    encoding: Encoding,
    geometry: Geometry,
    bytes: &[u8],
    most: u64,
    seed: u64,
) -> (Log, Counts) {
    let (mut log, mut decoder, mut random) =
        (Log::default(), AnyDecoder::new(encoding, geometry).unwrap(), Random(seed));
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at((random.below(most + 1) as usize).min(rest.len()));
        decoder.decode(chunk, &mut log);
        rest = after;
    }
    (log, *decoder.counts())
}

pub fn encode(mut encoder: impl Encoder, events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |b: &[u8]| bytes.extend_from_slice(b);
    for &event in events {
        encoder.event(event, &mut put).unwrap();
    }
    encoder.finish(&mut put);
    bytes
}

/// A stream with bursts of rows, single events, repeated times and pauses up to `pause` us.
pub fn stream(seed: u64, n: usize, geometry: Geometry, start: u32, pause: u64) -> Vec<Event> {
    let mut random = Random(seed);
    let mut events = Vec::with_capacity(n);
    let mut t = start;
    while events.len() < n {
        let (width, height) = (u64::from(geometry.width), u64::from(geometry.height));
        let y = random.below(height) as u16;
        match random.below(8) {
            0 => {
                let (from, on) = (random.below(width), random.below(2) == 1);
                let mask = random.next() & random.next();
                let columns = (0..40).filter(|i| mask >> i & 1 != 0).map(|i| from + i).filter(|&x| x < width);
                events.extend(columns.map(|x| Event::new(t, x as u16, y, on)));
            }
            1 => t = t.wrapping_add(random.below(pause + 1) as u32),
            2 => t = t.wrapping_add(random.below(100) as u32),
            _ => events.push(Event::new(t, random.below(width) as u16, y, random.below(2) == 1)),
        }
    }
    events.truncate(n);
    events
}

/// A file of the data folder; `None`, said aloud, if it is not there.
pub fn data(path: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("MIXEL_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join(path);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!(
            "SKIPPED: {} needs data: missing {}",
            std::thread::current().name().unwrap_or("?"),
            path.display()
        );
    }
    bytes
}

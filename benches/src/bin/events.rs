//! Decoding speed of EVT2 and EVT3 beside naive loops that check nothing, in one run on one input.
//!
//! `cargo run --release -p mixel-benches --bin events`
//!
//! Both add up columns, rows, polarities and times of all events; the sums must agree. The decoders check every word (time,
//! geometry, type), keep their state for the next chunk and hand over batches. Inputs: generated streams, and the recordings
//! when `MIXEL_DATA` (default `../shared/data`) has them. Medians of alternating runs.
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use mixel_core::events::encode::{Encoder, Evt2Encoder, Evt3Encoder};
use mixel_core::events::evt2::Evt2;
use mixel_core::events::evt3::Evt3;
use mixel_core::events::header::{self, Encoding, Header};
use mixel_core::events::{Decoder, Event, Format, Geometry, Sink};

const RUNS: usize = 101;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sums {
    n: u64,
    x: u64,
    y: u64,
    on: u64,
    t: u64,
}

impl Sums {
    #[inline]
    fn add(&mut self, x: u32, y: u32, on: u32, t: u64) {
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

fn naive_evt2(bytes: &[u8]) -> Sums {
    let mut sums = Sums::default();
    let mut high = 0;
    for word in bytes.chunks_exact(4) {
        let w = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        match w >> 28 {
            kind @ 0..=1 => sums.add(w >> 11 & 0x7FF, w & 0x7FF, kind, high | u64::from(w >> 22 & 0x3F)),
            8 => high = u64::from(w & 0xFFF_FFFF) << 6,
            _ => {}
        }
    }
    sums
}

fn naive_evt3(bytes: &[u8]) -> Sums {
    let mut sums = Sums::default();
    let (mut high, mut low, mut y, mut base, mut base_on) = (0, 0, 0, 0, 0);
    for word in bytes.chunks_exact(2) {
        let w = u32::from(u16::from_le_bytes([word[0], word[1]]));
        match w >> 12 {
            0 => y = w & 0x7FF,
            2 => sums.add(w & 0x7FF, y, w >> 11 & 1, high | low),
            3 => (base, base_on) = (w & 0x7FF, w >> 11 & 1),
            kind @ 4..=5 => {
                let width = if kind == 4 { 12 } else { 8 };
                for i in 0..width {
                    if w >> i & 1 != 0 {
                        sums.add(base + i, y, base_on, high | low);
                    }
                }
                base += width;
            }
            6 => low = u64::from(w & 0xFFF),
            8 => high = u64::from(w & 0xFFF) << 12,
            _ => {}
        }
    }
    sums
}

/// Median seconds of two functions whose runs alternate, so that other load falls on both.
fn medians(mut f: impl FnMut() -> Sums, mut g: impl FnMut() -> Sums) -> ([f64; 2], [Sums; 2]) {
    let sums = [f(), g()];
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        let start = Instant::now();
        black_box(f());
        times[0].push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        black_box(g());
        times[1].push(start.elapsed().as_secs_f64());
    }
    let median = |mut t: Vec<f64>| {
        t.sort_by(f64::total_cmp);
        t[t.len() / 2]
    };
    (times.map(median), sums)
}

/// A file of the data folder.
fn data(file: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("MIXEL_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data"), PathBuf::from);
    let path = root.join("events").join(file);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        println!("SKIPPED: missing {}", path.display());
    }
    bytes
}

/// Half a million events in rows and alone, at some 20 a microsecond.
fn generated(encoder: impl Encoder, geometry: Geometry) -> Vec<u8> {
    let (mut encoder, mut bytes, mut state) = (encoder, Vec::new(), 1u64);
    let mut random = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut put = |b: &[u8]| bytes.extend_from_slice(b);
    let (mut n, mut t) = (0, 0);
    while n < 500_000 {
        t += u32::from(random(6) == 0);
        let (y, mut x) = (random(geometry.height.into()) as u16, random(geometry.width.into()) as u16);
        for _ in 0..=random(6) {
            let event = Event::new(t, x % geometry.width, y, random(2) == 1);
            encoder.event(event, &mut put).expect("times rise and places fit");
            x += 1 + random(40) as u16;
            n += 1;
        }
    }
    encoder.finish(&mut put);
    bytes
}

fn main() {
    println!("{:24} {:>10} {:>9} {:>9} {:>6}", "input", "events", "naive", "mixel", "ratio");
    println!("{:24} {:>10} {:>9} {:>9}", "", "", "M/s", "M/s");
    let mut inputs = vec![
        (
            "generated EVT2".to_owned(),
            Encoding::Evt2,
            Geometry::new(640, 480),
            generated(Evt2Encoder::default(), Geometry::new(640, 480)),
        ),
        (
            "generated EVT3".to_owned(),
            Encoding::Evt3,
            Geometry::new(1280, 720),
            generated(Evt3Encoder::default(), Geometry::new(1280, 720)),
        ),
    ];
    for file in
        ["evt2.raw", "evt2_sample.raw", "evt3_sample.raw", "ros_codecs_trigger.evt3", "ros_py_events_1.evt3"]
    {
        let Some(bytes) = data(file) else { continue };
        let found = header::detect(&bytes[..4096.min(bytes.len())], bytes.len() as u64);
        if let Ok(Header { len, encoding: Some(encoding), geometry }) = found {
            let geometry = geometry.unwrap_or(Geometry::new(1280, 720));
            inputs.push((file.to_owned(), encoding, geometry, bytes[len..].to_vec()));
        }
    }
    for (name, encoding, geometry, bytes) in inputs {
        let (seconds, sums) = if encoding == Encoding::Evt2 {
            medians(|| naive_evt2(black_box(&bytes)), || checked(Evt2::new(geometry), black_box(&bytes)))
        } else {
            medians(|| naive_evt3(black_box(&bytes)), || checked(Evt3::new(geometry), black_box(&bytes)))
        };
        assert_eq!(sums[0], sums[1], "both saw the same events");
        let [naive, ours] = seconds.map(|s| sums[0].n as f64 / s / 1e6);
        println!("{name:24} {:>10} {naive:>9.0} {ours:>9.0} {:>6.2}", sums[0].n, ours / naive);
    }
}

fn checked<F: Format>(mut decoder: Decoder<F>, bytes: &[u8]) -> Sums {
    let mut sums = Sums::default();
    decoder.decode(bytes, &mut sums);
    assert_eq!(decoder.counts().off_sensor, 0);
    sums
}

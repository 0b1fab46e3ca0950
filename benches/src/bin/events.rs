//! Decoding speed of EVT2 and EVT3 beside naive loops that check nothing, in one run on one input.
//!
//! `cargo run --release -p mixel-benches --bin events`
//!
//! Both add up columns, rows, polarities and times of all events; the sums must agree. The decoders check every word (time,
//! geometry, type), keep their state for the next chunk and hand over batches. Inputs: generated streams, and the recordings
//! when `MIXEL_DATA` (default `../shared/data`) has them.
//!
//! Both read the input in the same pieces, in turns, piece by piece; the time of an input is the sum of the medians of its pieces. A
//! piece takes some tenths of a millisecond, so that other load on the machine falls on few of them and not on the medians.
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use mixel_core::events::encode::{Encoder, Evt2Encoder, Evt3Encoder};
use mixel_core::events::evt2::Evt2;
use mixel_core::events::evt3::Evt3;
use mixel_core::events::header::{self, Encoding, Header};
use mixel_core::events::{Decoder, Event, Format, Geometry};
use mixel_testkit::naive::{self, Sums};

const RUNS: usize = 101;

/// Bytes of a piece.
const PIECE: usize = 1 << 16;

/// Seconds of two readers over the pieces of `bytes`, each made afresh for a run, and what they added up.
fn medians<F: FnMut(&[u8], &mut Sums), G: FnMut(&[u8], &mut Sums)>(
    bytes: &[u8],
    f: impl Fn() -> F,
    g: impl Fn() -> G,
) -> ([f64; 2], [Sums; 2]) {
    let mut times = vec![[const { Vec::new() }; 2]; bytes.len().div_ceil(PIECE)];
    let mut sums = [Sums::default(); 2];
    for _ in 0..RUNS {
        let (mut f, mut g) = (f(), g());
        sums = [Sums::default(); 2];
        for (piece, times) in bytes.chunks(PIECE).zip(&mut times) {
            let start = Instant::now();
            f(black_box(piece), &mut sums[0]);
            times[0].push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            g(black_box(piece), &mut sums[1]);
            times[1].push(start.elapsed().as_secs_f64());
        }
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let seconds = [0, 1].map(|reader| times.iter_mut().map(|times| median(&mut times[reader])).sum());
    (seconds, sums)
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
            let naive = || {
                let mut naive = naive::Evt2::default();
                move |piece: &[u8], sums: &mut Sums| naive.read(piece, |x, y, on, t| sums.add(x, y, on, t))
            };
            medians(&bytes, naive, || checked(Evt2::new(geometry)))
        } else {
            let naive = || {
                let mut naive = naive::Evt3::default();
                move |piece: &[u8], sums: &mut Sums| naive.read(piece, |x, y, on, t| sums.add(x, y, on, t))
            };
            medians(&bytes, naive, || checked(Evt3::new(geometry)))
        };
        assert_eq!(sums[0], sums[1], "both saw the same events");
        let [naive, ours] = seconds.map(|s| sums[0].n as f64 / s / 1e6);
        println!("{name:24} {:>10} {naive:>9.0} {ours:>9.0} {:>6.2}", sums[0].n, ours / naive);
    }
}

fn checked<F: Format>(mut decoder: Decoder<F>) -> impl FnMut(&[u8], &mut Sums) {
    move |piece, sums| {
        decoder.decode(piece, sums);
        assert_eq!(decoder.counts().off_sensor, 0);
    }
}

//! Decoders on emulated boards: recordings and generated streams against their published sums, and the instructions of an event
//! against golden values.
//!
//! `cargo test -p mixel --test decoding -- --nocapture` prints the table; with `MIXEL_GOLDEN=renew` it writes the values down.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mixel::device::{Board, board, doctor, run_program};
use mixel_core::events::encode::{Encoder, Evt2Encoder, Evt3Encoder, header};
use mixel_core::events::evt3::Evt3;
use mixel_core::events::header::Encoding;
use mixel_core::events::{Event, Geometry};
use serde_json::{Value, json};
use support::data;

const BOARDS: [&str; 2] = ["mps2-an386", "mps3-an547"];
const RECORDINGS: [&str; 5] =
    ["evt3_sample.raw", "ros_codecs_trigger.evt3", "ros_py_events_1.evt3", "evt2.raw", "evt2_sample.raw"];

/// What the program `mixel-decoding` makes of a stream.
type Figures = BTreeMap<String, u64>;

/// Kept as golden values.
const INSTRUCTIONS: [&str; 3] = ["decode", "accumulate", "naive"];

/// Told by `checks.json` too.
const CHECKED: [&str; 6] = ["cd_events", "triggers", "sum_x", "sum_y", "sum_p", "sum_t_us"];

fn figures(board: &Board, recording: &[u8]) -> Figures {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("recording"), recording).unwrap();
    let ran = run_program(board, "mixel-decoding", folder.path(), Duration::from_secs(600)).unwrap();
    assert_eq!(ran.exit, Some(0), "{}:\n{}", board.name, ran.log.join("\n"));
    let text = std::fs::read_to_string(folder.path().join("figures")).unwrap();
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    text.lines().map(|text| line(text).unwrap_or_else(|| panic!("{text}"))).collect()
}

/// Rows of neighbours, single events and pauses, and their sums.
fn generated(encoding: Encoding, mut encoder: impl Encoder) -> (Vec<u8>, Figures) {
    let geometry = Geometry::new(640, 480);
    let mut text = String::new();
    header(encoding, geometry, &mut text).unwrap();
    let mut bytes = text.into_bytes();
    let mut random = fastrand::Rng::with_seed(3);
    let mut sums = [0; CHECKED.len()];
    let (mut t, mut put) = (5_000, |b: &[u8]| bytes.extend_from_slice(b));
    for _ in 0..4_000 {
        t += if random.u8(..20) == 0 { random.u32(..3_000) } else { random.u32(..3) };
        let (y, on, mut x) = (random.u16(..480), random.bool(), random.u16(..600));
        for _ in 0..random.u8(1..8) {
            encoder.event(Event::new(t, x, y, on), &mut put).unwrap();
            let event: [u64; 6] = [1, 0, x.into(), y.into(), on.into(), t.into()];
            sums.iter_mut().zip(event).for_each(|(sum, value)| *sum += value);
            x += random.u16(1..4);
        }
    }
    encoder.finish(&mut put);
    (bytes, CHECKED.map(str::to_owned).into_iter().zip(sums).collect())
}

/// A sparse stream with all that may come between its words. Its sums are what this machine makes of it, by other loops than boards.
fn sparse() -> (Vec<u8>, Figures) {
    let geometry = Geometry::new(640, 480);
    let mut text = String::new();
    header(Encoding::Evt3, geometry, &mut text).unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let (mut t, mut words) = (5_000u32, vec![0x8001, 0x6000]);
    for _ in 0..10_000 {
        t += random.u32(..10);
        let (high, low) = (0x8000 | (t >> 12) as u16, 0x6000 | (t & 0xFFF) as u16);
        words.extend(std::iter::repeat_n(high, random.usize(..4)));
        if random.u8(..5) > 0 {
            words.push(low);
        }
        match random.u8(..40) {
            0..=3 => words.extend([0xE014, 0xF123, 0xF456, 0x7001].repeat(random.usize(1..4))),
            4 => words.push(0xE000),
            5 => words.extend([0xF001, 0x7002, 0xD003, 0xE004, 0xF005, 0x7006]),
            // A time twice, one that falls, a trigger, a reserved word, a row without events.
            6 => words.extend([low, low]),
            7 => words.push(low.saturating_sub(1).max(0x6000)),
            8 => words.push(0xA001),
            9 => words.push(0x9000),
            10 => words.push(random.u16(..480)),
            _ => {}
        }
        words.push(random.u16(..2) << 11 | random.u16(..480));
        for _ in 0..=random.u8(..20) / 19 {
            words.push(0x2000 | random.u16(..2) << 11 | random.u16(..640));
        }
    }
    let bytes: Vec<u8> = words.iter().flat_map(|word: &u16| word.to_le_bytes()).collect();
    let mut sums = [0; CHECKED.len()];
    let mut decoder = Evt3::new(geometry);
    decoder.decode(&bytes, &mut |events: &[Event]| {
        for event in events {
            let values = [1, 0, event.x().into(), event.y().into(), event.on().into(), event.t.into()];
            sums.iter_mut().zip(values).for_each(|(sum, value): (&mut u64, u64)| *sum += value);
        }
    });
    sums[1] = decoder.counts().triggers.into();
    ([text.into_bytes(), bytes].concat(), CHECKED.map(str::to_owned).into_iter().zip(sums).collect())
}

/// A recording with its published sums; none where the data are missing.
fn recorded(file: &str) -> Option<(Vec<u8>, Figures)> {
    let (path, checks) = (data(&format!("events/{file}"))?, data("events/checks.json")?);
    let checks: Value = serde_json::from_slice(&std::fs::read(checks).unwrap()).unwrap();
    // Numbers, or text where they may need more than 64 bits.
    let number = |value: &Value| value.to_string().trim_matches('"').parse().unwrap();
    let sums = CHECKED.map(|name| (name.to_owned(), number(&checks["files"][file][name])));
    Some((std::fs::read(path).unwrap(), sums.into()))
}

/// The file with the golden values, and what is in it.
fn golden() -> (PathBuf, Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/golden/decoding.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".into());
    (path, serde_json::from_str(&text).unwrap())
}

fn rustc() -> String {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn boards_decode_as_published_and_at_the_golden_cost() {
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: decoding on emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    let mut streams = vec![
        ("generated EVT3", generated(Encoding::Evt3, Evt3Encoder::default())),
        ("sparse EVT3", sparse()),
        ("generated EVT2", generated(Encoding::Evt2, Evt2Encoder::default())),
    ];
    streams.extend(RECORDINGS.iter().filter_map(|&file| Some((file, recorded(file)?))));
    println!(
        "{:12} {:24} {:>8} {:>18} {:>7}",
        "instructions", "an event", "decode", "decode + patches", "naive"
    );
    let mut measured: BTreeMap<String, Figures> = BTreeMap::new();
    for name in BOARDS {
        for (stream, (bytes, sums)) in &streams {
            let mut figures = figures(board(name).unwrap(), bytes);
            for (figure, sum) in sums {
                assert_eq!(figures[figure], *sum, "{name} {stream}: {figure}");
            }
            assert_eq!(figures["in_histogram"], sums["cd_events"], "the naive loop saw the same events");
            figures.retain(|figure, _| INSTRUCTIONS.contains(&figure.as_str()));
            let [decode, accumulate, naive] =
                INSTRUCTIONS.map(|figure| figures[figure] as f64 / sums["cd_events"] as f64);
            println!("{name:12} {stream:24} {decode:>8.2} {accumulate:>18.2} {naive:>7.2}");
            if name == "mps2-an386" && RECORDINGS[..3].contains(stream) {
                assert!(
                    accumulate <= 45.0,
                    "{stream}: a Cortex-M4 decodes and counts EVT3 in 45 instructions"
                );
            }
            measured.insert(format!("{name} {stream}"), figures);
        }
    }
    let (path, golden) = golden();
    if std::env::var_os("MIXEL_GOLDEN").is_some_and(|what| what == "renew") {
        assert_eq!(
            streams.len(),
            3 + RECORDINGS.len(),
            "golden values are renewed only when all of them can be measured"
        );
        let text = serde_json::to_string_pretty(&json!({ "rustc": rustc(), "values": measured })).unwrap();
        return std::fs::write(path, text + "\n").unwrap();
    }
    if golden["rustc"] != json!(rustc()) {
        println!("SKIPPED: golden values were measured with {}, this is {}", golden["rustc"], rustc());
        return;
    }
    for (name, figures) in &measured {
        assert_eq!(
            golden["values"][name],
            json!(figures),
            "{name}; if this is wanted, set MIXEL_GOLDEN=renew"
        );
    }
}

//! The event-camera application on emulated boards: its answers are those of this machine, and what it loses it tells.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mixel::compile::{CalibrationData, CompileOptions, Prepared, Target, prepare};
use mixel::device::{Board, board, doctor, run_program};
use mixel::events::{Answered, Recording, answers};
use mixel::run::open;
use mixel_core::events::Event;
use mixel_core::events::encode::{self, Encoder, Evt2Encoder, Evt3Encoder};
use mixel_core::events::header::Encoding;
use support::recordings::{SENSOR, nmnist};

const PROGRAM: &str = "mixel-event-camera";

/// Boards, and the targets that plans for them are compiled for; a loud word where there is no emulator.
fn emulated() -> Vec<(&'static Board, Target)> {
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return Vec::new();
    }
    [("mps2-an386", Target::CortexM4), ("mps3-an547", Target::CortexM55)]
        .map(|(name, target)| (board(name).unwrap(), target))
        .to_vec()
}

/// A ring that wanders over the sensor in three saccades, as the recordings of N-MNIST are made, with some noise.
fn ring(seed: u64) -> Vec<Event> {
    let mut random = fastrand::Rng::with_seed(seed);
    let (radius, turn) = (5.0 + 4.0 * random.f32(), 0.5 + random.f32());
    let mut events = Vec::new();
    for t in (0..300_000u32).step_by(150) {
        let along = t as f32 / 100_000.0;
        let (dx, dy) = [(1.0, 2.0), (1.0, -2.0), (-2.0, 0.0)][(t / 100_000) as usize];
        let angle = random.f32() * std::f32::consts::TAU;
        let shift = 2.0 * along.fract() - 1.0;
        let x = 17.0 + radius * turn * angle.cos() + dx * shift;
        let y = 17.0 + radius * angle.sin() + dy * shift;
        let on = angle.cos() * dx + angle.sin() * dy > 0.0;
        events.push(Event::new(t, x.clamp(0.0, 33.0) as u16, y.clamp(0.0, 33.0) as u16, on));
        if random.u8(..20) == 0 {
            events.push(Event::new(t + 50, random.u16(..34), random.u16(..34), random.bool()));
        }
    }
    events
}

/// A whole file: header and words.
fn file(encoding: Encoding, mut encoder: impl Encoder, events: &[Event]) -> Vec<u8> {
    let mut header = String::new();
    encode::header(encoding, SENSOR, &mut header).unwrap();
    let mut bytes = header.into_bytes();
    for &event in events {
        encoder.event(event, &mut |more| bytes.extend_from_slice(more)).unwrap();
    }
    encoder.finish(&mut |more| bytes.extend_from_slice(more));
    bytes
}

fn model(recordings: &[Vec<u8>]) -> Prepared {
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<PathBuf> = recordings
        .iter()
        .enumerate()
        .map(|(index, recording)| {
            let path = folder.path().join(format!("{index:03}"));
            std::fs::write(&path, recording).unwrap();
            path
        })
        .collect();
    let zoo = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/evt-nmnist.onnx"));
    let calibration = CalibrationData::Recordings(paths);
    prepare(zoo, &CompileOptions { calibration, ..CompileOptions::default() }).unwrap()
}

/// What the application logs for an answer.
fn line(answered: &Answered) -> String {
    let Answered { window, emitted, outputs } = answered;
    let output: Vec<String> = outputs[0].iter().map(u8::to_string).collect();
    format!(
        "info: answer to {} us: {} events, {} empty windows before, {} tokens, {} left out, {} events outside, output [{}]",
        window.end,
        window.events,
        window.skipped,
        emitted.tokens,
        emitted.dropped_tokens,
        emitted.outside,
        output.join(", ")
    )
}

/// The log of the application on `board`; with a pace, of a sensor that does not wait.
fn watch(board: &Board, plan: &[u8], recording: &[u8], pace: Option<u32>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    write("plan.mxl", plan);
    write("recording", recording);
    if let Some(pace) = pace {
        write("pace", pace.to_string().as_bytes());
    }
    let ran = run_program(board, PROGRAM, folder.path(), Duration::from_secs(120)).unwrap();
    assert_eq!(ran.exit, Some(0), "{}: {:#?}", board.name, ran.log);
    ran.log
}

/// The number behind `words` in the only line of `log` that has them.
fn number(log: &[String], words: &str) -> u64 {
    let found: Vec<&str> = log.iter().filter_map(|line| Some(line.split_once(words)?.1)).collect();
    let [found] = found[..] else { panic!("{words:?} is {} times in {log:#?}", found.len()) };
    let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn starting<'l>(log: &'l [String], start: &str) -> Vec<&'l String> {
    log.iter().filter(|line| line.starts_with(start)).collect()
}

/// The board says the same as this machine, line by line.
fn assert_same(board: &Board, prepared: &Prepared, target: Target, recording: &[u8]) -> Vec<String> {
    let plan = prepared.compile(target).unwrap().plan;
    let decoded = Recording::decode(recording, Some(SENSOR)).unwrap();
    let (expected, seen) = answers(open(&plan, "").unwrap(), [&decoded.plain()[..]]).unwrap();
    assert!(expected.len() > 1);
    let log = watch(board, &plan, recording, None);
    let expected: Vec<String> = expected.iter().map(line).collect();
    assert_eq!(starting(&log, "info: answer"), expected.iter().collect::<Vec<_>>(), "{}", board.name);
    assert_eq!(number(&log, "windows: "), u64::from(seen.windows));
    assert_eq!(number(&log, " chunks, "), decoded.counts.events);
    assert_eq!(number(&log, "lost: "), 0);
    log
}

#[test]
fn recordings_of_our_own_are_answered_as_here() {
    let training: Vec<Vec<u8>> =
        (0..4).map(|seed| file(Encoding::Evt2, Evt2Encoder::default(), &ring(seed))).collect();
    let prepared = model(&training);
    let tests = [
        file(Encoding::Evt2, Evt2Encoder::default(), &ring(10)),
        file(Encoding::Evt3, Evt3Encoder::default(), &ring(11)),
    ];
    for (board, target) in emulated() {
        for recording in &tests {
            let log = assert_same(board, &prepared, target, recording);
            println!("{}:\n  {}", board.name, log.join("\n  "));
            // An answer takes thousands of instructions at least, and every stage some.
            for stage in ["Decode: ", "Accumulate: ", "Tokens: ", "Network: "] {
                assert!(number(&log, stage) > 1000, "{stage}");
            }
        }
    }
}

#[test]
fn recordings_of_n_mnist_are_answered_as_here() {
    let (Some(train), Some(test)) = (nmnist("train"), nmnist("test")) else { return };
    let training: Vec<Vec<u8>> = train.into_iter().take(20).map(|digit| digit.bytes).collect();
    let prepared = model(&training);
    for (board, target) in emulated() {
        for digit in test.iter().step_by(10) {
            assert_same(board, &prepared, target, &digit.bytes);
        }
    }
}

#[test]
fn a_sensor_that_is_too_fast_is_cut_and_the_loss_told() {
    let recording = file(Encoding::Evt2, Evt2Encoder::default(), &ring(20));
    let prepared = model(std::slice::from_ref(&recording));
    for (board, target) in emulated() {
        let plan = prepared.compile(target).unwrap().plan;
        // A thousand bytes in ten seconds: the interrupt path alone loses nothing.
        let decoded = Recording::decode(&recording, Some(SENSOR)).unwrap();
        let (expected, _) = answers(open(&plan, "").unwrap(), [&decoded.plain()[..]]).unwrap();
        let slow = watch(board, &plan, &recording, Some(1 << 24));
        let lines: Vec<String> = expected.iter().map(line).collect();
        assert_eq!(starting(&slow, "info: answer"), lines.iter().collect::<Vec<_>>());
        assert_eq!(number(&slow, "lost: "), 0);

        // A thousand bytes while some 156,000 instructions run: several come while a window is worked on.
        let pace = 1_000_000;
        let fast = watch(board, &plan, &recording, Some(pace));
        println!("{}:\n  {}", board.name, fast.join("\n  "));
        let (losses, lost) = (number(&fast, "lost: "), number(&fast, " times, "));
        let stream = decoded.file_bytes - decoded.header_bytes;
        assert!(losses > 1 && lost >= 1000 * losses, "{losses} losses, {lost} bytes");
        assert_eq!(number(&fast, "stream: ") + lost, stream as u64, "every byte is accounted for");
        let gaps: Vec<(u64, u64, u64)> = starting(&fast, "warn: gap: Lost, ")
            .into_iter()
            .map(|line| {
                let one = std::slice::from_ref(line);
                (number(one, "Lost, "), number(one, "from "), number(one, " to "))
            })
            .collect();
        assert_eq!(gaps.len() as u64, number(&fast, " bytes, "));
        assert!(gaps.iter().all(|(bytes, before, after)| *bytes > 0 && before < after));
        // A loss behind the last chunk has no time after it.
        let told: u64 = gaps.iter().map(|(bytes, ..)| bytes).sum();
        assert!(told == lost || losses == gaps.len() as u64 + 1);
        // Interrupts come by instructions, so all of it happens again; only the counter's rounding may be another.
        let again = watch(board, &plan, &recording, Some(pace));
        for start in ["info: answer", "warn: gap", "info: stream", "info: lost", "info: windows"] {
            assert_eq!(starting(&again, start), starting(&fast, start), "{}", board.name);
        }
    }
}

#[test]
fn what_cannot_be_watched_is_refused_with_a_reason() {
    let Some((board, target)) = emulated().pop() else { return };
    let recording = file(Encoding::Evt2, Evt2Encoder::default(), &ring(30));
    let plan = model(std::slice::from_ref(&recording)).compile(target).unwrap().plan;
    for (name, bytes, reason) in [
        ("recording", &b"no events at all"[..], "Recording"),
        ("plan.mxl", &plan[..100], "Plan"),
        ("pace", b"fast", "Pace"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.mxl"), &plan[..]).unwrap();
        std::fs::write(folder.path().join("recording"), &recording).unwrap();
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let ran = run_program(board, PROGRAM, folder.path(), Duration::from_secs(60)).unwrap();
        assert_eq!(ran.exit, Some(10), "{:#?}", ran.log);
        assert!(ran.log.iter().any(|line| line.contains(&format!("refused: {reason}"))), "{:#?}", ran.log);
    }
}

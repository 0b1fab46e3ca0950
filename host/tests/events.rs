//! Recordings of event cameras through the model of the zoo: on this machine, and bit for bit on boards.

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mixel::compile::{CalibrationData, CompileOptions, Prepared, Target, prepare};
use mixel::device::{board, doctor, run_events};
use mixel::events::{Answered, Recording, answers};
use mixel::run::open;
use mixel_core::event_session::Stage;
use mixel_core::events::Event;
use mixel_core::events::record5::Record5;
use support::recordings::{SENSOR, nmnist, written};

fn zoo() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/evt-nmnist.onnx")).to_owned()
}

/// The model, calibrated on some training recordings; none where the data are missing.
fn model() -> Option<Prepared> {
    let train = nmnist("train")?;
    let folder = tempfile::tempdir().unwrap();
    let shown = train.iter().take(20).map(|digit| &digit.bytes[..]);
    let calibration = CalibrationData::Recordings(written(folder.path(), shown));
    Some(prepare(&zoo(), &CompileOptions { calibration, ..CompileOptions::default() }).unwrap())
}

fn on_host(prepared: &Prepared, target: Target, recording: &[u8]) -> Vec<Answered> {
    let compiled = prepared.compile(target).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    let events = Recording::decode(recording, Some(SENSOR)).unwrap().plain();
    let (whole, seen) = answers(plan, [&events[..]]).unwrap();
    // However the stream is divided, the answers are the same.
    let (parts, again) = answers(plan, events.chunks(37)).unwrap();
    assert_eq!((&whole, seen), (&parts, again));
    whole
}

#[test]
fn every_window_of_every_recording_is_the_same_on_boards() {
    let (Some(prepared), Some(test)) = (model(), nmnist("test")) else { return };
    let recordings: Vec<Vec<u8>> = test.into_iter().map(|digit| digit.bytes).collect();
    assert_eq!(recordings.len(), 100);
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    for (name, target) in [("mps2-an386", Target::CortexM4), ("mps3-an547", Target::CortexM55)] {
        let compiled = prepared.compile(target).unwrap();
        let limit = Duration::from_secs(1200);
        let runs = run_events(board(name).unwrap(), &compiled.plan, &recordings, limit).unwrap();
        let (mut windows, mut events, mut stages) = (0, 0, [0; Stage::ALL.len()]);
        for (index, (run, recording)) in runs.iter().zip(&recordings).enumerate() {
            let expected = on_host(&prepared, target, recording);
            assert!(!expected.is_empty());
            assert_eq!(run.answers, expected, "{name}: recording {index}");
            windows += run.answers.len() as u64;
            events += u64::from(run.events);
            stages.iter_mut().zip(run.stages).for_each(|(sum, stage)| *sum += stage);
        }
        assert_eq!(runs.len(), recordings.len());
        println!("{name}: {windows} windows, {events} events, arena {} bytes", runs[0].arena_bytes);
        for (stage, sum) in Stage::ALL.iter().zip(stages).take(4) {
            println!("  {stage:?}: {} instructions a window, {} an event", sum / windows, sum / events);
        }
    }
}

#[test]
fn a_damaged_stream_is_survived_and_counted() {
    let (Some(prepared), Some(test)) = (model(), nmnist("test")) else { return };
    let compiled = prepared.compile(Target::Generic).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    let mut random = fastrand::Rng::with_seed(5);
    let mut counted = 0;
    for digit in test.iter().take(20) {
        let recording = &digit.bytes;
        let flipped: Vec<u8> = recording
            .iter()
            .map(|&byte| if random.u8(..100) == 0 { byte ^ 1 << random.u8(..8) } else { byte })
            .collect();
        let lost: Vec<u8> = recording.iter().copied().filter(|_| random.u8(..100) != 0).collect();
        for damaged in [flipped, lost] {
            let mut decoder = Record5::bin(SENSOR);
            let mut log = Vec::new();
            decoder.decode(&damaged, &mut |events: &[Event]| log.extend_from_slice(events));
            assert!(log.iter().all(|event| event.x() < 34 && event.y() < 34));
            counted += decoder.counts().violations();
            let (answered, seen) = answers(plan, [&log[..]]).unwrap();
            assert_eq!(answered.len(), seen.windows as usize);
        }
    }
    println!("{counted} violations counted");
    assert!(counted > 0);
}

//! `mixel run --events` takes recordings of every format: the answers follow the events, not the file.

use mixel::arrays::write_npz;
use mixel::device::doctor;
use mixel::events::aedat4::Compression;
use mixel::events::{Format, encode};
use mixel_core::events::Geometry;

use crate::errors::{bad, says};
use crate::streams::{self, generated};
use crate::{good, json};

const ZOO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/evt-nmnist.onnx");

#[test]
fn answers_do_not_depend_on_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    good(folder, &["compile", ZOO, "-o", "m.mxl", "--calib", "random"]);
    let recording = generated(21, 2000, Geometry::new(34, 34), 12_345, 9000);
    std::fs::write(folder.join("a.bin"), encode(&recording, Format::Bin).unwrap()).unwrap();
    std::fs::write(folder.join("a.evt3"), encode(&recording, Format::Evt3).unwrap()).unwrap();
    std::fs::write(folder.join("a.aedat4"), streams::aedat4(&recording, Compression::Lz4, true)).unwrap();
    write_npz(&folder.join("a.npz"), &recording.arrays().unwrap()).unwrap();
    let windows = |arguments: &[&str]| {
        let answer = json(folder, &[&["run", "m.mxl", "--events"], arguments].concat());
        answer["recordings"][0]["windows"].clone()
    };
    let expected = windows(&["a.bin"]);
    assert!(expected.as_array().is_some_and(|windows| windows.len() > 5), "{expected}");
    for file in ["a.evt3", "a.aedat4", "a.npz"] {
        assert_eq!(windows(&[file]), expected, "{file}");
    }
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    // A board has no decoder for containers: it gets the same events as DAT. Time since 1970 needs more than 32 bits.
    let mut late = recording;
    late.events.iter_mut().for_each(|event| event.t += 5 << 32);
    late.triggers.iter_mut().for_each(|edge| edge.t += 5 << 32);
    std::fs::write(folder.join("late.aedat4"), streams::aedat4(&late, Compression::None, true)).unwrap();
    for file in ["a.bin", "a.npz", "late.aedat4"] {
        assert_eq!(windows(&[file, "--board", "mps2-an386"]), expected, "{file}");
    }
}

/// A byte of 97 has a bit flipped, behind `head` bytes.
fn flipped(mut bytes: Vec<u8>, head: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(7);
    for byte in bytes.iter_mut().skip(head).step_by(97) {
        *byte ^= 1 << rng.u8(..8);
    }
    bytes
}

#[test]
fn damaged_recordings_are_read_when_it_is_said_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    good(folder, &["compile", ZOO, "-o", "m.mxl", "--calib", "random"]);
    let recording = generated(21, 2000, Geometry::new(34, 34), 12_345, 500);
    let whole = encode(&recording, Format::Bin).unwrap();
    std::fs::write(folder.join("flipped.bin"), flipped(whole.clone(), 0)).unwrap();
    std::fs::write(folder.join("half.bin"), &whole[..whole.len() / 2 + 3]).unwrap();
    for file in ["flipped.bin", "half.bin"] {
        let error = bad(folder, 1, &["run", "m.mxl", "--events", file]);
        says(&error, &[file, "is no recording of events", "--format"]);
    }
    let read = |arguments: &[&str]| {
        json(folder, &[&["run", "m.mxl", "--events"], arguments].concat())["recordings"][0].clone()
    };
    let half = read(&["half.bin", "--format", "bin"]);
    assert_eq!(half["events"], whole.len() / 2 / 5);
    // Without a limit one flipped bit moves the rest of the recording by seconds.
    let limit = ["--format", "bin", "--max-step", "2000"];
    let seen = read(&[&["flipped.bin"], &limit[..]].concat());
    assert!(seen["events"].as_u64().unwrap() > 1800 && seen["violations"].as_u64().unwrap() > 10, "{seen}");
    assert!(seen["windows"].as_array().unwrap().len() < 25, "{seen}");
    let words = flipped(encode(&recording, Format::Evt2).unwrap(), 100);
    std::fs::write(folder.join("flipped.evt2"), words).unwrap();
    let loose = read(&["flipped.evt2"]);
    let held = read(&["flipped.evt2", "--max-step", "2000"]);
    assert!(held["skipped_windows"].as_u64() < loose["skipped_windows"].as_u64(), "{held} {loose}");
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    let board = read(&[&["flipped.bin", "--board", "mps2-an386"], &limit[..]].concat());
    assert_eq!(board["windows"], seen["windows"]);
}

#[test]
fn folders_and_arguments() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir(folder.join("clips")).unwrap();
    says(&bad(folder, 1, &["compile", ZOO, "-o", "m.mxl", "--calib", "clips"]), &["clips", "empty folder"]);
    std::fs::write(folder.join("clips/labels.csv"), "file,label\na.bin,3\n").unwrap();
    says(
        &bad(folder, 1, &["compile", ZOO, "-o", "m.mxl", "--calib", "clips"]),
        &["clips", "holds no recordings"],
    );
    let recording = generated(21, 2000, Geometry::new(34, 34), 12_345, 9000);
    std::fs::write(folder.join("clips/a.bin"), encode(&recording, Format::Bin).unwrap()).unwrap();
    let error = bad(folder, 1, &["compile", ZOO, "-o", "m.mxl", "--calib", "clips/a.bin"]);
    says(&error, &["a.bin", "cannot be read as text", "a folder of them"]);
    good(folder, &["compile", ZOO, "-o", "m.mxl", "--calib", "clips"]);
    let answer = json(folder, &["run", "m.mxl", "--events", "clips"]);
    assert_eq!(answer["recordings"].as_array().map(Vec::len), Some(1), "labels are no recording: {answer}");
    std::fs::create_dir(folder.join("none")).unwrap();
    says(&bad(folder, 1, &["run", "m.mxl", "--events", "none"]), &["none", "holds no recordings"]);
    let call =
        |arguments: &[&str]| bad(folder, 2, &[&["run", "m.mxl", "--events", "clips"], arguments].concat());
    says(&call(&["--output", "o.npz"]), &["--output", "windows", "--json"]);
    says(&call(&["--raw"]), &["--raw", "windows", "--json"]);
    assert!(!folder.join("o.npz").exists());
}

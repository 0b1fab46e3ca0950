//! `mixel run --events` takes recordings of every format: the answers follow the events, not the file.

use mixel::arrays::write_npz;
use mixel::device::doctor;
use mixel::events::aedat4::Compression;
use mixel::events::{Format, encode};
use mixel_core::events::Geometry;

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

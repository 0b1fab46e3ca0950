//! Files that are no recordings: each gives one paragraph that says what to do, and an exit code that is not 0.

use std::path::Path;

use mixel::events::aedat4::Compression;
use mixel::events::{Format, encode};
use mixel_core::events::Geometry;

use crate::mixel;
use crate::streams::{self, generated};

/// Standard error of a call that fails with `code`.
pub fn bad(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = mixel(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "errors go to standard error only");
    error
}

/// One paragraph with a hint that has all of `words`.
pub fn says(error: &str, words: &[&str]) {
    assert!(error.starts_with("error: ") && error.contains("\n  hint: "), "{error}");
    assert!(!error.trim_end().contains("\n\n"), "one paragraph: {error}");
    for word in words {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
}

/// Each of the three commands fails alike.
fn all(folder: &Path, file: &str, words: &[&str]) {
    says(&bad(folder, 1, &["events", "info", file]), words);
    says(&bad(folder, 1, &["events", "convert", file, "out.evt3"]), words);
    says(&bad(folder, 1, &["events", "render", file, "out.png"]), words);
    assert!(!folder.join("out.evt3").exists() && !folder.join("out.png").exists(), "nothing is written");
}

#[test]
fn what_is_no_recording() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    all(folder, "none.raw", &["none.raw", "cannot be read", "check the path"]);
    std::fs::create_dir(folder.join("some.raw")).unwrap();
    all(folder, "some.raw", &["some.raw", "is a folder", "give one recording"]);
    std::fs::write(folder.join("empty.raw"), b"").unwrap();
    all(folder, "empty.raw", &["empty.raw", "is empty", "docs/events.md"]);
    let text = "A text about event cameras, of which none is in it.\n".repeat(100);
    std::fs::write(folder.join("text.raw"), text).unwrap();
    all(folder, "text.raw", &["text.raw", "is no recording of events", "docs/events.md"]);
    std::fs::write(folder.join("header.raw"), b"% evt 3.0\n% geom").unwrap();
    all(folder, "header.raw", &["header.raw", "header does not end"]);
    std::fs::write(folder.join("odd.dat"), b"% Data file containing CD events\n% Version 2\n\x0c\x10")
        .unwrap();
    all(folder, "odd.dat", &["odd.dat", "DAT records of type 12 and 16 bytes"]);
    std::fs::write(folder.join("broken.npz"), b"PK\x03\x04 and no archive behind it").unwrap();
    all(folder, "broken.npz", &["broken.npz", "not a readable .npz"]);
}

#[test]
fn a_truncated_aedat4() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let recording = generated(1, 1000, Geometry::new(64, 64), 0, 100);
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let bytes = streams::aedat4(&recording, compression, true);
        std::fs::write(folder.join("cut.aedat4"), &bytes[..bytes.len() / 2]).unwrap();
        all(folder, "cut.aedat4", &["cut.aedat4", "cut off", "copy it again"]);
    }
}

#[test]
fn a_wrong_geometry() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let recording = generated(1, 1000, Geometry::new(64, 64), 0, 100);
    std::fs::write(folder.join("a.evt2"), encode(&recording, Format::Evt2).unwrap()).unwrap();
    let error = bad(folder, 2, &["events", "info", "a.evt2", "--geometry", "320x240"]);
    says(&error, &["a.evt2", "--geometry is 320x240", "the recording says 64x64"]);
    for wrong in ["64", "0x64", "64x", "64x64x2", "axb", "40000x2"] {
        let error = bad(folder, 2, &["events", "info", "a.evt2", "--geometry", wrong]);
        assert!(error.contains("expected WIDTHxHEIGHT"), "{error}");
    }
    // One in which no event lies leaves nothing to paint.
    let mut far = recording;
    far.events.retain(|e| e.event.x() > 8);
    std::fs::write(folder.join("far.bin"), encode(&far, Format::Bin).unwrap()).unwrap();
    let error = bad(folder, 1, &["events", "render", "far.bin", "out.png", "--geometry", "4x4"]);
    says(&error, &["far.bin", &format!("all {} events lie off the sensor", far.events.len()), "--geometry"]);
}

#[test]
fn a_header_of_a_format_that_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("new.raw"), [&b"% evt 4.0\n% geometry 9x9\n% end\n"[..], &[0; 100]].concat())
        .unwrap();
    all(folder, "new.raw", &["new.raw", "names a format that is not read", "docs/events.md"]);
}

#[test]
fn arguments_that_contradict_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let recording = generated(3, 100, Geometry::new(34, 34), 0, 900);
    std::fs::write(folder.join("a.evt2"), encode(&recording, Format::Evt2).unwrap()).unwrap();
    std::fs::write(folder.join("a.dat"), encode(&recording, Format::Dat).unwrap()).unwrap();
    std::fs::write(folder.join("a.npz"), encode(&recording, Format::Npz).unwrap()).unwrap();
    std::fs::write(folder.join("a.aedat4"), streams::aedat4(&recording, Compression::Lz4, true)).unwrap();
    let refused = |arguments: &[&str], words: &[&str]| {
        says(&bad(folder, 2, &[&["events", "info"], arguments].concat()), words);
    };
    refused(&["a.evt2", "--format", "evt3"], &["--format", "the recording says EVT2.0", "leave"]);
    refused(&["a.dat", "--max-step", "100"], &["--max-step", "DAT version 2 has no such limit"]);
    refused(&["a.npz", "--format", "bin"], &["--format", "npz"]);
    refused(&["a.aedat4", "--format", "bin"], &["--format", "AEDAT4"]);
    refused(&["a.aedat4", "--max-step", "9"], &["--max-step", "AEDAT4 is read whole or refused"]);
}

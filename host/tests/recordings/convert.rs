//! `mixel events convert`: round trips through every format, and what a format cannot hold.

use std::path::Path;

use mixel::arrays::{ArrayData, read_npz, write_npz};
use mixel::events::aedat4::Compression;
use mixel::events::{Recording, TimedEvent};
use mixel_core::events::{Event, Geometry};
use serde_json::json;

use crate::errors::{bad, says};
use crate::streams::{self, generated};
use crate::support::data;
use crate::{good, json};

const VGA: Geometry = Geometry::new(640, 480);
const SMALL: Geometry = Geometry::new(240, 180);

fn save(folder: &Path, file: &str, recording: &Recording) {
    write_npz(&folder.join(file), &recording.arrays().unwrap()).unwrap();
}

fn read(folder: &Path, file: &str, geometry: Option<Geometry>) -> Recording {
    Recording::read(&folder.join(file), geometry).unwrap()
}

#[test]
fn every_format_gives_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // (format, sensor, latest start, longest pause): the clock of each wraps during the recording.
    let cases = [
        ("evt2", VGA, (1 << 32) - 100_000, 700_000_000),
        ("evt21", VGA, (1 << 32) - 100_000, 700_000_000),
        ("evt21-legacy", VGA, (1 << 32) - 100_000, 700_000_000),
        ("evt3", VGA, (1 << 24) - 100_000, 10_000_000),
        ("dat", VGA, (1 << 32) - 100_000, 700_000_000),
        ("aedat2", VGA, (1 << 32) - 100_000, 700_000_000),
        ("aedat2", Geometry::new(346, 260), (1 << 32) - 100_000, 700_000_000),
        ("aedat2", SMALL, (1 << 32) - 100_000, 700_000_000),
        ("aedat2", Geometry::new(128, 128), (1 << 32) - 100_000, 700_000_000),
        ("aedat3", VGA, (1 << 32) - 100_000, 700_000_000),
        ("aedat3", SMALL, (1 << 31) - 100_000, 700_000_000),
        ("bin", SMALL, (1 << 23) - 100_000, 1_300_000),
        ("npz", VGA, 1 << 50, 1 << 40),
    ];
    for (format, sensor, start, pause) in cases {
        for (seed, start, pause) in [(1, 0, 0), (2, start, 300), (3, start, pause), (4, 17, pause)] {
            let mut written = generated(seed, 4000, sensor, start, pause);
            save(folder, "in.npz", &written);
            let out = format!("out.{format}");
            let (_, notes) = good(folder, &["events", "convert", "in.npz", &out]);
            let read = read(folder, &out, Some(sensor));
            let kept = |id: u8| match format {
                "dat" | "aedat2" | "bin" => false,
                "aedat3" => id == 0,
                _ => true,
            };
            let before = written.triggers.len();
            written.triggers.retain(|edge| kept(edge.trigger.id));
            let left_out = before - written.triggers.len();
            assert_eq!(notes.contains(&format!("{left_out} triggers are left out")), left_out > 0, "{notes}");
            assert!(read.events == written.events, "{format}, {seed}");
            assert_eq!(read.triggers, written.triggers, "{format}, {seed}");
            assert_eq!((read.geometry, read.counts.violations()), (Some(sensor), 0), "{format}, {seed}");
            // And back again, without --geometry where the file says it.
            let mut arguments = vec!["events", "convert", &out, "back.npz"];
            if format == "bin" {
                arguments.extend(["--geometry", "240x180"]);
                assert!(notes.contains("read it with --geometry 240x180"), "{notes}");
            }
            good(folder, &arguments);
            assert_eq!(read_npz(&folder.join("back.npz")).unwrap(), written.arrays().unwrap(), "{format}");
        }
    }
}

#[test]
fn aedat4_to_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let written = generated(9, 3000, SMALL, 1_605_537_493_718_345, 500);
    std::fs::write(folder.join("in.aedat4"), streams::aedat4(&written, Compression::Lz4, true)).unwrap();
    let start = written.start().unwrap();
    for format in ["evt2", "evt21", "evt21-legacy", "evt3", "dat", "aedat2", "aedat3", "bin"] {
        let out = format!("out.{format}");
        says(
            &bad(folder, 1, &["events", "convert", "in.aedat4", &out]),
            &["in.aedat4", "starts at 1605537493718345 us", "--from-zero"],
        );
        assert!(!folder.join(&out).exists());
        let answer = json(folder, &["events", "convert", "in.aedat4", &out, "--from-zero"]);
        assert_eq!((&answer["cd_events"], &answer["moved_back_us"]), (&json!(3000), &json!(start)));
        let read = read(folder, &out, Some(SMALL));
        let moved = |e: &TimedEvent| {
            let t = e.t - start;
            TimedEvent { t, event: Event::new(t as u32, e.event.x(), e.event.y(), e.event.on()) }
        };
        assert!(read.events.iter().copied().eq(written.events.iter().map(moved)), "{format}");
        let triggers = if matches!(format, "dat" | "aedat2" | "bin") { 0 } else { written.triggers.len() };
        assert_eq!((read.triggers.len(), &answer["triggers"]), (triggers, &json!(triggers)));
    }
    // Arrays hold the times as they are.
    good(folder, &["events", "convert", "in.aedat4", "out.npz"]);
    assert_eq!(read(folder, "out.npz", None).events, written.events);
}

#[test]
fn real_recordings_survive_every_format_that_can_hold_them() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (file, size) in [
        ("evt2_sample.raw", None),
        ("evt3_sample.raw", None),
        ("ros_py_events_1.evt3", Some("640x480")),
        ("sample.aedat4", None),
        ("sample_ncars.dat", Some("304x240")),
        ("sample_nmnist.bin", Some("34x34")),
    ] {
        let Some(path) = data(&format!("events/{file}")) else { continue };
        let path = path.to_str().unwrap();
        let sensor = size.map(|size| ["--geometry", size]);
        let sensor: &[&str] = sensor.as_ref().map_or(&[], |arguments| arguments);
        let original = [&["events", "convert", path, "in.npz", "--from-zero"], sensor].concat();
        good(folder, &original);
        let original = read(folder, "in.npz", None);
        for format in ["evt2", "evt21", "evt21-legacy", "evt3", "dat", "aedat2", "aedat3"] {
            let out = format!("out.{format}");
            if format == "aedat2" && original.geometry == Some(Geometry::new(1280, 720)) {
                let error = bad(folder, 1, &["events", "convert", "in.npz", &out]);
                says(&error, &["does not fit", "columns to 639"]);
                continue;
            }
            good(folder, &["events", "convert", "in.npz", &out]);
            let read = read(folder, &out, None);
            assert!(read.events == original.events, "{file} as {format}");
            if !matches!(format, "aedat2" | "aedat3") {
                assert_eq!(read.geometry, original.geometry, "{file} as {format}");
            }
            let mut triggers = original.triggers.clone();
            match format {
                "dat" | "aedat2" => triggers.clear(),
                "aedat3" => triggers.retain(|edge| edge.trigger.id == 0),
                _ => {}
            }
            assert_eq!(read.triggers, triggers, "{file} as {format}");
        }
        println!("{file}: {} events, {} triggers", original.events.len(), original.triggers.len());
    }
}

#[test]
fn aedat_names_a_sensor_and_a_note_says_where_it_is_another() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // (own, that of AEDAT2, that of AEDAT3.1)
    for (own, aedat2, aedat3) in [
        ((34, 34), (128, 128), None),
        ((128, 128), (128, 128), Some((128, 128))),
        ((180, 240), (346, 260), None),
        ((640, 480), (640, 480), Some((640, 480))),
    ] {
        let geometry = |(width, height)| Geometry::new(width, height);
        let written = generated(7, 500, geometry(own), 0, 100);
        save(folder, "in.npz", &written);
        for (out, said) in [("out.aedat2", Some(aedat2)), ("out.aedat3", aedat3)] {
            let (_, notes) = good(folder, &["events", "convert", "in.npz", out]);
            let read = read(folder, out, None);
            assert!(read.events == written.events, "{out}: rows are where they were");
            assert_eq!(read.geometry, said.map(geometry));
            let (own_size, note) = (format!("{}x{}", own.0, own.1), |text: &str| notes.contains(text));
            assert_eq!(note(&format!("read it with --geometry {own_size}")), said.is_none(), "{notes}");
            let other = said.filter(|&said| said != own);
            assert_eq!(
                note(&format!("has no sensor of {own_size} pixels: one of ")),
                other.is_some(),
                "{notes}"
            );
        }
    }
}

#[test]
fn records_of_an_edvs_are_read_when_it_is_said_what_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let written = generated(8, 4000, Geometry::new(128, 128), 60_000, 10_000);
    save(folder, "in.npz", &written);
    let (_, notes) = good(folder, &["events", "convert", "in.npz", "out.edvs"]);
    for words in ["triggers are left out", "--geometry 128x128", "--format edvs"] {
        assert!(notes.contains(words), "{notes}");
    }
    let read = ["--format", "edvs", "--geometry", "128x128"];
    good(folder, &[&["events", "convert", "out.edvs", "back.npz"][..], &read].concat());
    let back = Recording::read(&folder.join("back.npz"), None).unwrap();
    assert!(back.events == written.events && back.geometry == written.geometry);
}

#[test]
fn what_a_format_cannot_hold_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let place = |x: u16, y: u16| {
        let event = TimedEvent { t: 5, event: Event::new(5, x, y, true) };
        save(folder, "in.npz", &Recording { events: vec![event], ..Recording::default() });
    };
    for (format, x, y) in [
        ("evt2", 2048, 0),
        ("evt21", 0, 2048),
        ("evt3", 2048, 0),
        ("dat", 16384, 0),
        ("aedat2", 640, 0),
        ("aedat2", 0, 480),
        ("bin", 256, 0),
        ("bin", 0, 240),
        ("edvs", 128, 0),
        ("edvs", 0, 128),
    ] {
        place(x, y);
        let error = bad(folder, 1, &["events", "convert", "in.npz", "out", "--to", format]);
        says(&error, &[&format!("event at ({x}, {y}), 5 us"), "does not fit", "npz holds everything"]);
        assert!(!folder.join("out").exists(), "nothing is written");
        let most = if format == "edvs" { 127 } else { 239 };
        let (x, y) = (x.min(most), y.min(most));
        place(x, y);
        let (_, notes) = good(folder, &["events", "convert", "in.npz", "out", "--to", format]);
        let extent = match (format, x) {
            ("aedat2", 0) => "346x260".to_owned(),
            ("aedat2", _) => "240x180".to_owned(),
            _ => format!("{}x{}", x + 1, y + 1),
        };
        let said = !matches!(format, "bin" | "edvs");
        assert_eq!(notes.contains(&extent), said, "the sensor is not known: {notes}");
        std::fs::remove_file(folder.join("out")).unwrap();
    }
    let times = |times: &[u64]| {
        let event = |&t: &u64| TimedEvent { t, event: Event::new(t as u32, 1, 1, true) };
        save(
            folder,
            "in.npz",
            &Recording { events: times.iter().map(event).collect(), ..Recording::default() },
        );
    };
    for (format, limit) in [
        ("evt2", 1 << 32),
        ("evt21", 1 << 32),
        ("evt21-legacy", 1 << 32),
        ("dat", 1 << 32),
        ("aedat2", 1 << 32),
        ("aedat3", 1 << 32),
        ("evt3", 1 << 24),
        ("bin", 1 << 23),
        ("edvs", 1 << 16),
    ] {
        times(&[limit]);
        let error = bad(folder, 1, &["events", "convert", "in.npz", "out", "--to", format]);
        says(&error, &[&format!("before {limit} us"), "--from-zero"]);
        times(&[limit - 1]);
        good(folder, &["events", "convert", "in.npz", "out", "--to", format]);
        times(&[0, if format == "bin" { 5_000_000 + (1 << 23) } else { 1 << 31 }]);
        let error = bad(folder, 1, &["events", "convert", "in.npz", "out", "--to", format]);
        says(&error, &["pause", "npz holds everything"]);
    }
    let mut recording = generated(5, 1000, SMALL, 0, 10);
    recording.triggers[0].trigger.id = 16;
    save(folder, "in.npz", &recording);
    let error = bad(folder, 1, &["events", "convert", "in.npz", "out.evt3"]);
    says(&error, &["trigger of channel 16", "channels to 15"]);
    good(folder, &["events", "convert", "in.npz", "out.evt2"]);
}

#[test]
fn arrays_that_are_no_recording_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let recording = generated(5, 50, SMALL, 0, 10);
    let with = |name: &str, data: ArrayData| {
        let mut arrays = recording.arrays().unwrap();
        arrays.iter_mut().filter(|(own, _)| own == name).for_each(|(_, array)| array.data = data.clone());
        write_npz(&folder.join("in.npz"), &arrays).unwrap();
        bad(folder, 1, &["events", "info", "in.npz"])
    };
    says(&with("x", ArrayData::F32(vec![0.5; 50])), &["in.npz", "`x` is no list of whole numbers"]);
    says(&with("t", ArrayData::I64((0..50).rev().collect())), &["time goes back"]);
    says(&with("t", ArrayData::I64(vec![-3; 50])), &["event 0 is at -3 us"]);
    says(&with("y", ArrayData::U16(vec![180; 50])), &["outside of 240x180 pixels"]);
    says(&with("p", ArrayData::U8(vec![2; 50])), &["event 0 has the polarity 2"]);
    says(&with("geometry", ArrayData::U16(vec![0, 9])), &["`geometry` is [0, 9]"]);
    let mut arrays = recording.arrays().unwrap();
    arrays.remove(0);
    write_npz(&folder.join("in.npz"), &arrays).unwrap();
    says(&bad(folder, 1, &["events", "info", "in.npz"]), &["there is no array `t`"]);
}

#[test]
fn a_format_must_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save(folder, "in.npz", &generated(5, 50, SMALL, 0, 10));
    // `.aedat` may be any of three.
    for out in ["out.raw", "out.aedat"] {
        let error = bad(folder, 2, &["events", "convert", "in.npz", out]);
        says(&error, &[out, "does not say a format", "--to"]);
    }
    good(folder, &["events", "convert", "in.npz", "out.raw", "--to", "evt21"]);
    assert_eq!(json(folder, &["events", "info", "out.raw"])["format"], "EVT2.1");
    let error = bad(folder, 1, &["events", "convert", "in.npz", "none/out.evt2"]);
    says(&error, &["none/out.evt2", "cannot be written"]);
}

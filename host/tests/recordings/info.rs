//! `mixel events info` against the published figures of real recordings, and of a generated one.

use mixel::events::aedat4::{self, Compression};
use mixel_core::events::Geometry;
use serde_json::{Value, json};

use crate::streams::{InParts, generated};
use crate::support::data;
use crate::{good, json, streams};

#[test]
fn every_recording_of_the_data_folder_is_as_published() {
    let Some(checks) = data("events/checks.json") else { return };
    let checks: Value = serde_json::from_slice(&std::fs::read(&checks).unwrap()).unwrap();
    let files = checks["files"].as_object().unwrap();
    for (file, check) in files {
        let Some(path) = data(&format!("events/{file}")) else { continue };
        let mut arguments = vec!["events", "info", path.to_str().unwrap()];
        let size = check["width"].as_u64().map(|width| format!("{width}x{}", check["height"]));
        // Recordings with a header say it themselves.
        let said = check["header_bytes"] != 0 || file.ends_with(".aedat4");
        if let Some(size) = size.as_deref().filter(|_| !said) {
            arguments.extend(["--geometry", size]);
        }
        let info = json(path.parent().unwrap(), &arguments);
        let fields = check.as_object().unwrap().iter().filter(|(key, _)| *key != "note");
        for (key, wanted) in fields {
            assert_eq!(&info[key], wanted, "{file}: {key}");
        }
        assert_eq!(
            (&info["off_sensor"], &info["reserved"], &info["gaps"]),
            (&json!(0), &json!(0), &json!(0))
        );
        println!("{file}: {} events as published", info["cd_events"]);
    }
    assert_eq!(files.len(), 8);
}

#[test]
fn the_real_aedat4_is_the_same_in_any_parts() {
    let Some(path) = data("events/sample.aedat4") else { return };
    let bytes = std::fs::read(path).unwrap();
    let whole = aedat4::read(&bytes[..], None).unwrap();
    assert_eq!(whole.events.len(), 111_954);
    for (seed, most) in [(1, 1), (2, 97), (3, 5000)] {
        let random = fastrand::Rng::with_seed(seed);
        let parts = aedat4::read(InParts { bytes: &bytes, most, random }, None).unwrap();
        assert_eq!((&parts.events, parts.geometry), (&whole.events, whole.geometry));
    }
}

#[test]
fn a_generated_recording_has_these_fields_and_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let recording = generated(3, 5000, Geometry::new(100, 80), 1_600_000_000_000_000, 2000);
    let bytes = streams::aedat4(&recording, Compression::Zstd, true);
    std::fs::write(folder.path().join("a.aedat4"), &bytes).unwrap();
    let info = json(folder.path(), &["events", "info", "a.aedat4"]);
    let times: Vec<u128> = recording.events.iter().map(|e| e.t.into()).collect();
    let on = recording.events.iter().filter(|e| e.event.on()).count();
    let wanted = json!({
        "format": "AEDAT4",
        "width": 100,
        "height": 80,
        "file_bytes": bytes.len(),
        "header_bytes": 0,
        "cd_events": 5000,
        "sum_x": recording.events.iter().map(|e| u64::from(e.event.x())).sum::<u64>(),
        "sum_y": recording.events.iter().map(|e| u64::from(e.event.y())).sum::<u64>(),
        "sum_p": on,
        "sum_t_us": times.iter().sum::<u128>().to_string(),
        "sum_dt_us": times.iter().map(|t| t - times[0]).sum::<u128>() as u64,
        "first_t_us": times[0] as u64,
        "last_t_us": times[4999] as u64,
        "t_back_steps": 0,
        "triggers": recording.triggers.len(),
        "trigger_ids": [0],
        "compression": "zstd",
        "size": [100, 80],
        "packets": { "EVTS": 50, "IMUS": 50, "TRIG": 1 },
        "trigger_records": recording.triggers.len(),
        "reserved": 0,
    });
    for (key, wanted) in wanted.as_object().unwrap() {
        assert_eq!(&info[key], wanted, "{key}");
    }
    assert_eq!(info["sha256"].as_str().map(str::len), Some(64));
    let (text, notes) = good(folder.path(), &["events", "info", "a.aedat4"]);
    for words in ["format", "AEDAT4", "100x80", "5,000", "EVTS 50", "compression zstd", "channels 0"] {
        assert!(text.contains(words), "{words} is not in:\n{text}");
    }
    assert_eq!(notes, "");
}

#[test]
fn what_is_off_the_sensor_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let recording = generated(4, 500, Geometry::new(34, 34), 0, 100);
    let bytes = mixel::events::encode(&recording, mixel::events::Format::Bin).unwrap();
    std::fs::write(folder.path().join("a.bin"), bytes).unwrap();
    let info = json(folder.path(), &["events", "info", "a.bin", "--geometry", "20x34"]);
    let inside = recording.events.iter().filter(|e| e.event.x() < 20).count();
    assert_eq!((&info["cd_events"], &info["off_sensor"]), (&json!(inside), &json!(500 - inside)));
    let (_, notes) = good(folder.path(), &["events", "info", "a.bin", "--geometry", "20x34"]);
    assert!(notes.contains(&format!("note: a.bin: {} events off the sensor", 500 - inside)), "{notes}");
    // The sensor is not known without it, and that is said.
    assert_eq!(json(folder.path(), &["events", "info", "a.bin"])["width"], Value::Null);
}

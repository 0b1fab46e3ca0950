//! The recordings of the data folder against their published counts and sums.
use mixel_core::events::header::{self, Encoding};
use mixel_core::events::{Counts, Geometry};

use crate::support::{Log, data, decode, decode_in_chunks};

/// Reader for one record of `checks.json`, whose records are flat but for two lists.
struct Check {
    text: String,
}

impl Check {
    fn of(checks: &str, file: &str) -> Self {
        let start = checks.find(&format!("\"{file}\": {{")).unwrap();
        let end = checks[start..].find("\n  }").unwrap() + start;
        Self { text: checks[start..end].to_owned() }
    }

    fn text(&self, key: &str) -> Option<&str> {
        let start = self.text.find(&format!("\"{key}\":"))? + key.len() + 3;
        let value = &self.text[start..];
        Some(value[..value.find('\n').unwrap_or(value.len())].trim().trim_end_matches(','))
    }

    /// `None` for a key that the record does not have, and for null.
    fn number(&self, key: &str) -> Option<u128> {
        self.text(key)?.trim_matches('"').parse().ok()
    }
}

fn compare(check: &Check, log: &Log, counts: &Counts, header_len: usize) {
    let events = &log.events;
    let sum = |f: &dyn Fn(&(u64, mixel_core::events::Event)) -> u64| {
        events.iter().map(|e| u128::from(f(e))).sum::<u128>()
    };
    let first = events.first().unwrap().0;
    let figures: [(&str, u128); 19] = [
        ("header_bytes", header_len as u128),
        ("cd_events", events.len() as u128),
        ("cd_events", counts.events.into()),
        ("sum_x", sum(&|e| e.1.x().into())),
        ("sum_y", sum(&|e| e.1.y().into())),
        ("sum_p", sum(&|e| e.1.on().into())),
        ("sum_t_us", sum(&|e| e.0)),
        ("sum_dt_us", sum(&|e| e.0 - first)),
        ("first_t_us", first.into()),
        ("last_t_us", events.last().unwrap().0.into()),
        ("max_x", events.iter().map(|e| e.1.x()).max().unwrap().into()),
        ("max_y", events.iter().map(|e| e.1.y()).max().unwrap().into()),
        ("t_back_steps", events.windows(2).filter(|w| w[1].0 < w[0].0).count() as u128),
        ("triggers", counts.triggers.into()),
        ("sum_t_triggers", log.triggers.iter().map(|t| u128::from(t.t)).sum()),
        ("before_first_time_high", counts.before_sync.into()),
        ("events_between_time_high_and_time_low", counts.unsettled.into()),
        ("time_low_back_steps_without_time_high", counts.time_low_back.into()),
        ("time_high_back_steps", counts.time_high_back.into()),
    ];
    for (key, value) in figures {
        if let Some(wanted) = check.number(key) {
            assert_eq!(value, wanted, "{key}");
        }
    }
    assert_eq!((counts.off_sensor, counts.reserved, counts.gaps), (0, 0, 0));
    if check.text("other_word_types").is_some() {
        for (kind, &n) in counts.other_words.iter().enumerate() {
            let wanted = check.number(&format!("0x{kind:x}")).unwrap_or(0);
            assert_eq!(u128::from(n), wanted, "words of type {kind:x}");
        }
    }
    let ids: std::collections::BTreeSet<u8> = log.triggers.iter().map(|t| t.id).collect();
    if let Some(list) = check.text.find("\"trigger_ids\": [").map(|at| &check.text[at + 16..]) {
        let wanted =
            list[..list.find(']').unwrap()].split(',').filter_map(|id| id.trim().parse().ok()).collect();
        assert_eq!(ids, wanted);
    }
}

fn recording(file: &str, encoding: Encoding, geometry: Geometry) {
    let (Some(bytes), Some(checks)) = (data(&format!("events/{file}")), data("events/checks.json")) else {
        return;
    };
    let check = Check::of(std::str::from_utf8(&checks).unwrap(), file);
    assert_eq!(check.number("file_bytes"), Some(bytes.len() as u128));
    let start = &bytes[..bytes.len().min(4096)];
    let header = header::detect(start, bytes.len() as u64).unwrap();
    assert_eq!(header.encoding, Some(encoding), "the format is known by its content");
    if header.geometry.is_some() {
        assert_eq!(header.geometry, Some(geometry));
    }
    let words = &bytes[header.len..];
    let (whole, counts) = decode(encoding, geometry, words);
    // The published length of a DAT header is that of its text.
    let text = header.len - if matches!(encoding, Encoding::Dat(_)) { 2 } else { 0 };
    compare(&check, &whole, &counts, text);
    for (most, seed) in [(1, 1), (7, 2), (97, 3), (4096, 4)] {
        let (parts, parts_counts) = decode_in_chunks(encoding, geometry, words, most, seed);
        assert!(parts == whole);
        assert_eq!(parts_counts, counts);
    }
    println!("{file}: {} events as published, in one piece and in chunks", counts.events);
}

#[test]
fn evt2() {
    recording("evt2.raw", Encoding::Evt2, Geometry::new(640, 480));
}

#[test]
fn evt2_sample() {
    recording("evt2_sample.raw", Encoding::Evt2, Geometry::new(640, 480));
}

#[test]
fn evt3_sample() {
    recording("evt3_sample.raw", Encoding::Evt3, Geometry::new(1280, 720));
}

#[test]
fn evt3_without_header_and_with_counters() {
    recording("ros_codecs_trigger.evt3", Encoding::Evt3, Geometry::new(1280, 720));
}

#[test]
fn evt3_with_many_triggers() {
    recording("ros_py_events_1.evt3", Encoding::Evt3, Geometry::new(640, 480));
}

#[test]
fn dat() {
    recording("sample_ncars.dat", Encoding::Dat(mixel_core::events::dat::Layout::V2), Geometry::new(78, 42));
}

#[test]
fn bin() {
    recording("sample_nmnist.bin", Encoding::Bin, Geometry::new(34, 34));
}

#[test]
fn aedat4_is_recognised() {
    let Some(bytes) = data("events/sample.aedat4") else { return };
    assert_eq!(header::parse(&bytes[..64]).unwrap().encoding, Some(Encoding::Aedat4));
}

#[test]
fn gesture_clips() {
    let Some(table) = data("dvs-gesture/labels.csv") else { return };
    for line in String::from_utf8(table).unwrap().lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let Some(bytes) = data(&format!("dvs-gesture/{}", fields[0])) else { return };
        let (log, counts) = decode(Encoding::Bs2, Geometry::new(128, 128), &bytes);
        let sums = [
            counts.events,
            log.events.iter().map(|e| u64::from(e.1.x())).sum(),
            log.events.iter().map(|e| u64::from(e.1.y())).sum(),
            log.events.iter().map(|e| u64::from(e.1.on())).sum(),
            log.events.iter().map(|e| e.0).sum(),
        ];
        assert_eq!(sums.map(|n| n.to_string()), [3, 4, 5, 6, 7].map(|i| fields[i].to_owned()), "{line}");
        assert_eq!(counts.violations(), 0);
    }
}

//! `mixel events render`: pictures that show where and when events were, read back with the decoders of their formats.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use mixel::arrays::write_npz;
use mixel::events::{Recording, TimedEvent};
use mixel_core::events::{Event, Geometry};
use serde_json::json;

use crate::errors::{bad, says};
use crate::streams::generated;
use crate::{good, json};

type Rgb = [u8; 3];

/// Frames of a picture file, as colours.
struct Frames {
    width: usize,
    height: usize,
    frames: Vec<Vec<Rgb>>,
    /// Of each frame, in hundredths of a second.
    delays: Vec<u16>,
}

impl Frames {
    /// A PNG or an animated one.
    fn png(path: &Path) -> Self {
        let mut decoder = png::Decoder::new(BufReader::new(File::open(path).unwrap()));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let (width, height) = (reader.info().width as usize, reader.info().height as usize);
        let count = reader.info().animation_control().map_or(1, |control| control.num_frames);
        let (mut frames, mut delays) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            reader.next_frame(&mut pixels).unwrap();
            if let Some(control) = reader.info().frame_control() {
                assert_eq!(control.delay_den, 100);
                delays.push(control.delay_num);
            }
            frames.push(pixels.as_chunks::<3>().0.to_vec());
        }
        Self { width, height, frames, delays }
    }

    fn gif(path: &Path) -> Self {
        let mut options = gif::DecodeOptions::new();
        options.set_color_output(gif::ColorOutput::RGBA);
        let mut reader = options.read_info(File::open(path).unwrap()).unwrap();
        let (width, height) = (usize::from(reader.width()), usize::from(reader.height()));
        let (mut frames, mut delays) = (Vec::new(), Vec::new());
        while let Some(frame) = reader.read_next_frame().unwrap() {
            frames.push(frame.buffer.as_chunks::<4>().0.iter().map(|&[r, g, b, _]| [r, g, b]).collect());
            delays.push(frame.delay);
        }
        Self { width, height, frames, delays }
    }

    fn of(path: &Path) -> Self {
        if path.extension().unwrap() == "gif" { Self::gif(path) } else { Self::png(path) }
    }

    fn at(&self, frame: usize, x: usize, y: usize) -> Rgb {
        self.frames[frame][y * self.width + x]
    }
}

fn ground([r, g, b]: Rgb) -> bool {
    r < 30 && g < 30 && b < 30
}

fn orange([r, g, b]: Rgb) -> bool {
    r > g && g > b && r > 80
}

fn blue([r, g, b]: Rgb) -> bool {
    b > g && g > r && b > 80
}

fn save(folder: &Path, geometry: Geometry, events: &[(u64, u16, u16, bool)]) {
    let timed =
        |&(t, x, y, on): &(u64, u16, u16, bool)| TimedEvent { t, event: Event::new(t as u32, x, y, on) };
    let recording = Recording {
        geometry: Some(geometry),
        events: events.iter().map(timed).collect(),
        ..Recording::default()
    };
    write_npz(&folder.join("in.npz"), &recording.arrays().unwrap()).unwrap();
}

#[test]
fn a_picture_shows_where_it_got_brighter_and_darker() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut events = vec![(1000, 3, 5, true), (2000, 30, 20, false)];
    events.extend((0..50).map(|i| (3000 + i, 10, 10, true)));
    events.extend((0..50).map(|i| (4000 + i, 11, 10, i % 2 == 0)));
    save(folder, Geometry::new(34, 34), &events);
    let answer = json(folder, &["events", "render", "in.npz", "out.png"]);
    assert_eq!(
        (&answer["width"], &answer["height"], &answer["cd_events"]),
        (&json!(680), &json!(680), &json!(102))
    );
    let picture = Frames::of(&folder.join("out.png"));
    assert_eq!((picture.width, picture.height, picture.frames.len()), (680, 680, 1));
    // 20 pixels for each of the sensor.
    for (dx, dy) in [(0, 0), (19, 19), (9, 3)] {
        let at = |x: usize, y: usize| picture.at(0, 20 * x + dx, 20 * y + dy);
        assert!(orange(at(3, 5)), "{:?}", at(3, 5));
        assert!(blue(at(30, 20)), "{:?}", at(30, 20));
        assert!(orange(at(10, 10)) && at(10, 10)[0] > at(3, 5)[0], "more events are brighter");
        let both = at(11, 10);
        assert!(both.iter().all(|&part| part > 150), "both polarities: {both:?}");
    }
    let empty = (0..34).flat_map(|y| (0..34).map(move |x| (x, y)));
    let dark = empty.filter(|&(x, y)| ground(picture.at(0, 20 * x + 5, 20 * y + 5))).count();
    assert_eq!(dark, 34 * 34 - 4);
}

#[test]
fn a_stretch_of_time_shows_what_lies_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save(folder, Geometry::new(640, 480), &[(5000, 1, 1, true), (15_000, 2, 2, true), (25_000, 3, 3, false)]);
    let shown = |arguments: &[&str]| {
        let answer = json(folder, &[&["events", "render", "in.npz", "out.png"], arguments].concat());
        let picture = Frames::of(&folder.join("out.png"));
        assert_eq!((picture.width, picture.height), (640, 480));
        let seen: Vec<bool> = (1..4).map(|i| !ground(picture.at(0, i, i))).collect();
        assert_eq!(seen.iter().filter(|&&seen| seen).count() as u64, answer["cd_events"].as_u64().unwrap());
        seen
    };
    assert_eq!(shown(&[]), [true, true, true]);
    assert_eq!(shown(&["--at", "10"]), [false, true, true]);
    assert_eq!(shown(&["--at", "10", "--window", "10"]), [false, true, false]);
    assert_eq!(shown(&["--window", "10.001"]), [true, true, false]);
    assert_eq!(shown(&["--at", "1", "--window", "2"]), [false, false, false]);
    let error = bad(folder, 1, &["events", "render", "in.npz", "out.png", "--at", "20.001"]);
    says(&error, &["in.npz", "--at 20.001 ms is behind its last event at 20 ms"]);
    says(
        &bad(folder, 1, &["events", "render", "in.npz", "out.png", "--window", "0"]),
        &["--window is empty"],
    );
    assert!(bad(folder, 2, &["events", "render", "in.npz", "out.png", "--at=-1"]).contains("milliseconds"));
    says(&bad(folder, 2, &["events", "render", "in.npz", "out.jpg"]), &["out.jpg", ".png", ".gif"]);
    says(
        &bad(folder, 1, &["events", "render", "in.npz", "none/out.gif"]),
        &["none/out.gif", "cannot be written"],
    );
}

#[test]
fn frames_follow_the_windows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // One event a window of 50 ms, moving right, and none in the third.
    let events = [(0, 0, 0, true), (60_000, 1, 0, false), (160_000, 3, 0, true), (249_999, 4, 0, true)];
    save(folder, Geometry::new(5, 2), &events);
    for (file, style) in [("c.gif", "counts"), ("c.apng", "counts"), ("d.gif", "decay"), ("d.apng", "decay")]
    {
        let arguments = ["events", "render", "in.npz", file, "--window", "50", "--style", style];
        let answer = json(folder, &arguments);
        assert_eq!((&answer["frames"], &answer["window_us"]), (&json!(5), &json!(50_000)), "{answer}");
        let moving = Frames::of(&folder.join(file));
        assert_eq!((moving.width, moving.height, moving.frames.len()), (700, 280, 5));
        assert_eq!(moving.delays, [5; 5]);
        let red = |frame: usize, x: usize| moving.at(frame, 140 * x + 70, 70);
        assert!(orange(red(0, 0)) && ground(red(0, 1)), "{file}");
        assert!(blue(red(1, 1)) && ground(red(1, 3)), "{file}");
        assert!(orange(red(3, 3)) && orange(red(4, 4)), "{file}");
        if style == "counts" {
            assert!(ground(red(1, 0)) && ground(red(2, 1)), "{file}: a window shows its own events only");
        } else {
            // What is past fades: 1/e a window.
            let fading: Vec<u8> = (0..5).map(|frame| red(frame, 0)[0]).collect();
            assert!(fading.is_sorted_by(|a, b| a > b || ground([*b; 3])), "{fading:?}");
            assert!(orange(red(1, 0)) || red(1, 0)[0] > 40, "{fading:?}");
        }
    }
}

#[test]
fn short_recordings_move_slowly_and_long_ones_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    save(folder, Geometry::new(64, 64), &[(0, 1, 1, true), (4799, 2, 2, false)]);
    let answer = json(folder, &["events", "render", "in.npz", "out.gif"]);
    assert_eq!((&answer["frames"], &answer["window_us"]), (&json!(24), &json!(200)));
    assert_eq!(answer["frame_shown_us"], 40_000);
    save(folder, Geometry::new(64, 64), &[(0, 1, 1, true), (3_600_000_000, 2, 2, false)]);
    let (text, notes) =
        good(folder, &["events", "render", "in.npz", "out.gif", "--window", "1000", "--frames", "7"]);
    assert!(text.contains("7 frames of 1000 ms"), "{text}");
    assert!(notes.contains("3594 windows more are not shown"), "{notes}");
}

#[test]
fn pictures_of_any_sensor_have_a_size_to_look_at() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (sensor, size) in [
        ((1, 1), (700, 700)),
        ((34, 34), (680, 680)),
        ((128, 128), (640, 640)),
        ((320, 240), (640, 480)),
        ((346, 260), (692, 520)),
        ((1280, 720), (1280, 720)),
        ((2049, 3), (1025, 2)),
        ((32768, 32768), (2048, 2048)),
    ] {
        let geometry = Geometry::new(sensor.0, sensor.1);
        save(folder, geometry, &[(7, sensor.0 - 1, sensor.1 - 1, true)]);
        let answer = json(folder, &["events", "render", "in.npz", "out.png"]);
        assert_eq!((&answer["width"], &answer["height"]), (&json!(size.0), &json!(size.1)), "{sensor:?}");
        let picture = Frames::of(&folder.join("out.png"));
        assert!(orange(picture.at(0, picture.width - 1, picture.height - 1)), "{sensor:?}");
    }
    // A recording that does not say its sensor is as large as its events reach.
    let mut recording = generated(1, 100, Geometry::new(50, 40), 0, 10);
    recording.geometry = None;
    recording.events.push(TimedEvent { t: 1 << 40, event: Event::new(0, 49, 39, true) });
    write_npz(&folder.join("in.npz"), &recording.arrays().unwrap()).unwrap();
    let answer = json(folder, &["events", "render", "in.npz", "out.png"]);
    assert_eq!((&answer["width"], &answer["height"]), (&json!(700), &json!(560)));
}

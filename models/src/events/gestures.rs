//! Gestures of a drawn person in front of a simulated sensor, after the classes of DVS128 Gesture.
//!
//! The person is seen from the front: a torso, a head, two arms of two segments each, and hands. A gesture is a path of the two
//! hands over time; elbows follow from the lengths of the segments. Size, place, speed, extent, light and clothes are drawn
//! for every recording. The subject's right hand is on the left of the picture.
//!
//! Nothing here was fitted to real recordings.

use std::f32::consts::TAU;
use std::path::Path;

use mixel_core::events::Geometry;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::simulator::Sensor;
use super::zoo::Corpus;
use super::{Recording, files};
use crate::data::{DataError, DataErrorKind, read_bytes};

/// Names of the classes, in the order of DVS128 Gesture.
pub const LABELS: [&str; 10] = [
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
];

/// The sensor of DVS128 Gesture, with plausible noise.
pub const SENSOR: Sensor = Sensor {
    geometry: Geometry::new(128, 128),
    threshold: 0.25,
    mismatch: 0.15,
    refractory_us: 1_000,
    noise_hz: 0.1,
};

/// Time between pictures of the scene.
const STEP_US: u32 = 4_000;

type Point = (f32, f32);

/// What is drawn once a recording.
struct Person {
    /// Middle between the shoulders, in pixels.
    chest: Point,
    /// Half the distance of the shoulders.
    shoulders: f32,
    /// Length of the upper arm, and of the lower arm.
    segments: Point,
    /// Half the width of an arm.
    thickness: f32,
    /// Light of background, torso, sleeves, skin.
    light: [f32; 4],
    /// Stripes on the clothes: strength, and radians a pixel.
    stripes: (f32, f32),
    /// Sway of the body in pixels, and its frequency.
    sway: (f32, f32),
}

/// The movement drawn once a recording.
struct Motion {
    class: usize,
    /// Turns a second.
    speed: f32,
    /// Where the movement starts, radians.
    phase: f32,
    /// Size of the movement, 1 is usual.
    extent: f32,
    /// Where its middle is moved to, in units of the shoulders.
    offset: Point,
    /// Width of circles over their height.
    flatness: f32,
}

/// A recording of `duration_us` of the gesture `class`.
///
/// # Panics
/// If there is no such class.
pub fn record(class: usize, duration_us: u32, rng: &mut impl Rng) -> Recording {
    assert!(class < LABELS.len(), "a class of gestures");
    let (person, motion) = (Person::draw(rng), Motion::draw(class, rng));
    let sensor = Sensor {
        threshold: SENSOR.threshold * rng.random_range(0.8..1.3),
        noise_hz: SENSOR.noise_hz * rng.random_range(0.0..3.0),
        ..SENSOR
    };
    let events = sensor.record(duration_us, STEP_US, |t, picture| person.paint(&motion, t, picture), rng);
    Recording { events, label: class }
}

/// `count` recordings, the classes in turn.
pub fn recordings(count: usize, duration_us: u32, rng: &mut impl Rng) -> Vec<Recording> {
    (0..count).map(|index| record(index % LABELS.len(), duration_us, rng)).collect()
}

/// Simulated recordings of 0.6 s for training, choices and report, and the real clips in `dvs-gesture/` of the folder as foreign ones
/// (none, and a line that says so, if they are missing).
///
/// # Errors
/// A clip is there but cannot be read.
pub fn corpus(folder: &Path) -> Result<Corpus, DataError> {
    const DURATION_US: u32 = 600_000;
    let mut rng = StdRng::seed_from_u64(0);
    let [train, dev, test] = [1_400, 200, 400].map(|count| recordings(count, DURATION_US, &mut rng));
    let mut sources = vec!["simulated".to_string()];
    let mut foreign = Vec::new();
    for label in 0..LABELS.len() {
        match read_bytes(folder, &format!("dvs-gesture/{}.bs2", label + 1)) {
            Ok((bytes, source)) => {
                foreign.push(Recording { events: files::records(&bytes, SENSOR.geometry), label });
                sources.push(source);
            }
            Err(error) if matches!(error.kind, DataErrorKind::Missing) => eprintln!("SKIPPED: {error}"),
            Err(error) => return Err(error),
        }
    }
    let labels = LABELS.map(String::from).to_vec();
    Ok(Corpus { labels, train, dev, test, foreign, sources })
}

impl Motion {
    fn draw(class: usize, rng: &mut impl Rng) -> Self {
        Self {
            class,
            speed: rng.random_range(0.9..2.4),
            phase: rng.random_range(0.0..TAU),
            extent: rng.random_range(0.7..1.25),
            offset: (rng.random_range(-0.25..0.25), rng.random_range(-0.25..0.25)),
            flatness: rng.random_range(0.7..1.2),
        }
    }

    /// Right and left hand at `t` seconds, in units of the shoulders from the chest, x to the right of the picture and y down.
    fn hands(&self, t: f32) -> [Point; 2] {
        let angle = TAU * self.speed * t + self.phase;
        let (sin, cos) = angle.sin_cos();
        let (dx, dy) = self.offset;
        let extent = self.extent;
        let rest = [(-1.2, 2.6), (1.2, 2.6)];
        let mirrored = |(x, y): Point| (-x, y);
        // Positive turns go clockwise in the picture, whose y runs down.
        let circle = |side: f32, turn: f32| {
            let (sin, cos) = (turn * angle).sin_cos();
            let place = (side * 1.9 + dx + extent * self.flatness * cos, 0.3 + dy + extent * sin);
            if side < 0.0 { [place, rest[1]] } else { [rest[0], place] }
        };
        let wave = (-1.5 + dx + 0.8 * extent * sin, -1.0 + dy + 0.25 * extent * cos * cos);
        match self.class {
            0 => {
                let apart = 0.12 + 0.55 * extent * (1.0 + cos);
                [(dx - apart, 0.7 + dy), (dx + apart, 0.7 + dy)]
            }
            1 => [wave, rest[1]],
            2 => [rest[0], mirrored(wave)],
            // As the subject sees it, clockwise of the right arm is counter-clockwise in the picture.
            3 => circle(-1.0, -1.0),
            4 => circle(-1.0, 1.0),
            5 => circle(1.0, -1.0),
            6 => circle(1.0, 1.0),
            7 => {
                let (x, y) = (0.35 * extent * cos, 0.55 * extent * sin);
                [(dx - 0.3 + x, 0.9 + dy + y), (dx + 0.3 - x, 0.9 + dy - y)]
            }
            8 => [(-1.1 + dx, 1.0 + dy + 0.6 * extent * sin), (1.1 + dx, 1.0 + dy - 0.6 * extent * sin)],
            _ => [
                (-0.3 + dx + 0.35 * extent * sin, 1.6 + dy + 0.6 * extent * sin),
                (1.8 + dx, 0.4 + dy + 0.08 * extent * cos),
            ],
        }
    }
}

impl Person {
    fn draw(rng: &mut impl Rng) -> Self {
        let shoulders = rng.random_range(13.0..20.0);
        let bright =
            |rng: &mut dyn rand::RngCore| (0.2 + 0.8 * (rng.next_u32() as f32 / u32::MAX as f32)).powi(2);
        let background = bright(rng);
        let mut contrasting = |least: f32| {
            loop {
                let light = bright(rng);
                if (light / background).ln().abs() > least {
                    break light;
                }
            }
        };
        let light = [background, contrasting(0.3), contrasting(0.5), contrasting(0.5)];
        Self {
            chest: (rng.random_range(54.0..74.0), rng.random_range(44.0..66.0)),
            shoulders,
            segments: (shoulders * rng.random_range(1.3..1.6), shoulders * rng.random_range(1.3..1.6)),
            thickness: shoulders * rng.random_range(0.18..0.3),
            light,
            stripes: (rng.random_range(0.0..0.3), rng.random_range(0.4..1.5)),
            sway: (rng.random_range(0.0..1.0), rng.random_range(0.2..0.8)),
        }
    }

    /// Paints the person at `t` microseconds.
    fn paint(&self, motion: &Motion, t: u32, picture: &mut [f32]) {
        let t = t as f32 * 1e-6;
        let [background, torso, sleeve, skin] = self.light;
        picture.fill(background);
        let sway = self.sway.0 * (TAU * self.sway.1 * t).sin();
        let chest = (self.chest.0 + sway, self.chest.1);
        let unit = self.shoulders;
        let at = |x: f32, y: f32| (chest.0 + x * unit, chest.1 + y * unit);
        self.limb(picture, [at(0.0, 0.5), at(0.0, 3.0)], 0.9 * unit, torso);
        self.limb(picture, [at(0.0, -1.1), at(0.0, -0.9)], 0.55 * unit, skin);
        for (side, (x, y)) in [-1.0, 1.0].into_iter().zip(motion.hands(t)) {
            let (shoulder, hand) = (at(side, 0.0), at(x, y));
            let (elbow, hand) = self.reach(shoulder, hand, side);
            self.limb(picture, [shoulder, elbow], self.thickness, sleeve);
            self.limb(picture, [elbow, hand], 0.85 * self.thickness, sleeve);
            self.limb(picture, [hand, hand], 1.15 * self.thickness, skin);
        }
    }

    /// Elbow and hand of an arm that reaches for `hand`, the elbow to the outside and below.
    fn reach(&self, shoulder: Point, hand: Point, side: f32) -> (Point, Point) {
        let (upper, lower) = self.segments;
        let (dx, dy) = (hand.0 - shoulder.0, hand.1 - shoulder.1);
        let distance = dx.hypot(dy).max(1e-3);
        let reached = distance.clamp((upper - lower).abs() + 0.1, 0.98 * (upper + lower));
        // Law of cosines: the angle at the shoulder.
        let cos = (upper * upper + reached * reached - lower * lower) / (2.0 * upper * reached);
        let angle = dy.atan2(dx) + side * cos.clamp(-1.0, 1.0).acos();
        let elbow = (shoulder.0 + upper * angle.cos(), shoulder.1 + upper * angle.sin());
        let scale = reached / distance;
        (elbow, (shoulder.0 + scale * dx, shoulder.1 + scale * dy))
    }

    /// A line with round ends, `radius` on each side, with soft borders of a pixel and stripes across.
    fn limb(&self, picture: &mut [f32], [from, to]: [Point; 2], radius: f32, light: f32) {
        let width = usize::from(SENSOR.geometry.width);
        let height = usize::from(SENSOR.geometry.height);
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let squared = (dx * dx + dy * dy).max(1e-6);
        let span = |a: f32, b: f32, end: usize| {
            let first = (a.min(b) - radius - 1.0).max(0.0) as usize;
            first..((a.max(b) + radius + 2.0).max(0.0) as usize).min(end)
        };
        let (columns, rows) = (span(from.0, to.0, width), span(from.1, to.1, height));
        for y in rows {
            for x in columns.clone() {
                let (px, py) = (x as f32 - from.0, y as f32 - from.1);
                let along = ((px * dx + py * dy) / squared).clamp(0.0, 1.0);
                let distance = (px - along * dx).hypot(py - along * dy);
                let cover = (radius + 0.5 - distance).clamp(0.0, 1.0);
                if cover > 0.0 {
                    let stripe = 1.0 + self.stripes.0 * (self.stripes.1 * along * squared.sqrt()).sin();
                    let pixel = &mut picture[y * width + x];
                    *pixel += cover * (light * stripe - *pixel);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::PI;

    use super::*;

    fn motion(class: usize) -> Motion {
        Motion { class, speed: 1.0, phase: 0.4, extent: 1.0, offset: (0.0, 0.0), flatness: 1.0 }
    }

    /// Area that a hand goes around in a second, positive clockwise in the picture.
    fn area(class: usize, hand: usize) -> f32 {
        let points: Vec<Point> = (0..=100).map(|i| motion(class).hands(i as f32 / 100.0)[hand]).collect();
        points.windows(2).map(|pair| 0.5 * (pair[0].0 * pair[1].1 - pair[1].0 * pair[0].1)).sum()
    }

    /// How far a hand goes in a second.
    fn path(class: usize, hand: usize) -> f32 {
        let points: Vec<Point> = (0..=100).map(|i| motion(class).hands(i as f32 / 100.0)[hand]).collect();
        points.windows(2).map(|pair| (pair[0].0 - pair[1].0).hypot(pair[0].1 - pair[1].1)).sum()
    }

    #[test]
    fn the_hands_that_a_gesture_names_move() {
        for (class, moving) in [[true, true], [true, false], [false, true], [true, false], [true, false]]
            .into_iter()
            .chain([[false, true], [false, true], [true, true], [true, true], [true, true]])
            .enumerate()
        {
            for (hand, moves) in moving.into_iter().enumerate() {
                let path = path(class, hand);
                assert_eq!(path > 0.1, moves, "{}: hand {hand} goes {path}", LABELS[class]);
            }
        }
    }

    #[test]
    fn circles_have_the_sense_of_the_subject() {
        for (class, hand, sign) in [(3, 0, -1.0), (4, 0, 1.0), (5, 1, -1.0), (6, 1, 1.0)] {
            assert!((area(class, hand) - sign * PI).abs() < 0.05, "{}", LABELS[class]);
        }
    }

    #[test]
    fn arms_keep_their_lengths() {
        let mut rng = StdRng::seed_from_u64(3);
        for class in 0..LABELS.len() {
            let (person, motion) = (Person::draw(&mut rng), Motion::draw(class, &mut rng));
            for step in 0..50 {
                for (side, (x, y)) in [-1.0, 1.0].into_iter().zip(motion.hands(step as f32 / 50.0)) {
                    let shoulder = (60.0 + side * person.shoulders, 50.0);
                    let target = (60.0 + x * person.shoulders, 50.0 + y * person.shoulders);
                    let (elbow, hand) = person.reach(shoulder, target, side);
                    let length = |a: Point, b: Point| (a.0 - b.0).hypot(a.1 - b.1);
                    assert!((length(shoulder, elbow) - person.segments.0).abs() < 0.01);
                    assert!((length(elbow, hand) - person.segments.1).abs() < 0.01);
                }
            }
        }
    }

    #[test]
    fn light_is_positive_and_recordings_are_plausible() {
        let mut rng = StdRng::seed_from_u64(5);
        for (class, label) in LABELS.iter().enumerate() {
            let recording = record(class, 250_000, &mut rng);
            assert_eq!(recording.label, class);
            assert!(recording.events.is_sorted_by_key(|event| event.t));
            // Real clips of 1.45 s have 63,000 to 182,000 events.
            let rate = recording.events.len() as f32 / 0.25;
            assert!((5_000.0..600_000.0).contains(&rate), "{label}: {rate} events a second");
            let (person, motion) = (Person::draw(&mut rng), Motion::draw(class, &mut rng));
            let mut picture = vec![0.0; 128 * 128];
            person.paint(&motion, 123_456, &mut picture);
            assert!(picture.iter().all(|&light| light > 0.0 && light < 2.0));
        }
    }
}

//! The Event Transformers of models/zoo in integers: accuracy of every seed beside its float model, memory, and what is left of it when
//! the stream is damaged.
//!
//! Baselines (nearest images, ridge, a small CNN) come from models/zoo/README.md.

mod support;

use std::path::{Path, PathBuf};

use mixel::compile::{CalibrationData, CompileOptions, Compiled, Target, prepare};
use mixel::events::FloatModel;
use mixel::run::open;
use mixel_core::Plan;
use mixel_core::events::any::AnyDecoder;
use mixel_core::events::encode::{Encoder, Evt2Encoder, Evt3Encoder};
use mixel_core::events::evt2::Evt2;
use mixel_core::events::evt3::Evt3;
use mixel_core::events::record5::Record5;
use mixel_core::events::{Counts, Event};
use support::recordings::{Digit, SENSOR, float_class, integer_class, nmnist, written};

/// Training recordings that show a model's ranges.
const CALIBRATION: usize = 100;

fn seeds() -> [PathBuf; 3] {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo/seeds");
    [0, 1, 2].map(|seed| zoo.join(format!("evt-nmnist-{seed}.onnx")))
}

/// Calibrated on training recordings, evenly spread.
fn quantized(model: &Path, train: &[Digit], target: Target) -> Compiled {
    let folder = tempfile::tempdir().unwrap();
    let step = train.len() / CALIBRATION;
    let shown = train.iter().step_by(step).map(|digit| &digit.bytes[..]);
    let calibration = CalibrationData::Recordings(written(folder.path(), shown));
    let options = CompileOptions { calibration, ..CompileOptions::default() };
    prepare(model, &options).unwrap().compile(target).unwrap()
}

fn percent(count: usize, all: usize) -> f64 {
    100.0 * count as f64 / all as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[test]
fn digits_in_integers_answer_as_the_float_model() {
    let (Some(train), Some(test)) = (nmnist("train"), nmnist("test")) else { return };
    assert_eq!((train.len(), test.len()), (1000, 100));
    let (mut float, mut int8) = (Vec::new(), Vec::new());
    println!("evt-nmnist, 100 test recordings, one is 1 point");
    println!("| seed | float | int8 | answers that agree | plan | arena |\n|---|---|---|---|---|---|");
    for (seed, model) in seeds().iter().enumerate() {
        let compiled = quantized(model, &train, Target::Generic);
        let plan = open(&compiled.plan, "").unwrap();
        let reference = FloatModel::load(model).unwrap();
        let (mut right, mut equal) = ([0; 2], 0);
        for digit in &test {
            let events = digit.events();
            let classes = [float_class(&reference, &events).unwrap(), integer_class(plan, &events).unwrap()];
            right
                .iter_mut()
                .zip(classes)
                .for_each(|(right, class)| *right += usize::from(class == digit.label));
            equal += usize::from(classes[0] == classes[1]);
        }
        let [a, b] = right.map(|right| percent(right, test.len()));
        let (bytes, arena) = (compiled.plan.len(), plan.arena_bytes());
        println!("| {seed} | {a:.0} | {b:.0} | {equal} | {bytes} bytes | {arena} bytes |");
        assert!(bytes <= 64_000, "{bytes} bytes of plan");
        float.push(a);
        int8.push(b);
    }
    let (float, int8) = (mean(&float), mean(&int8));
    println!("| mean | {float:.2} | {int8:.2} | | | |");
    assert!(int8 >= 90.0, "{int8}; the five nearest images have 86");
    assert!((int8 - float).abs() <= 1.0, "{int8} against {float}");
}

/// What happens to a stream on its way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    None,
    /// A bit of one byte of a hundred is the other one.
    Flipped,
    /// One byte of a hundred is missing, and nothing tells.
    Lost,
    /// One packet of a hundred is missing; the receiver counts them.
    LostPackets,
}

/// Bytes of a packet: whole words of every format.
const PACKET: usize = 60;

/// Steps of time that are believed at once, in microseconds: a little more than between most events.
const MAX_STEP: u32 = 2_000;

fn decode(
    mut decoder: AnyDecoder,
    bytes: &[u8],
    damage: Damage,
    random: &mut fastrand::Rng,
) -> (Vec<Event>, Counts) {
    let mut all = Vec::new();
    let mut sink = |events: &[Event]| all.extend_from_slice(events);
    let mut hit = || random.u8(..100) == 0;
    match damage {
        Damage::None => decoder.decode(bytes, &mut sink),
        Damage::Flipped => {
            let hits: Vec<bool> = bytes.iter().map(|_| hit()).collect();
            let flip = |(&byte, hit): (&u8, bool)| if hit { byte ^ 1 << random.u8(..8) } else { byte };
            let bytes: Vec<u8> = bytes.iter().zip(hits).map(flip).collect();
            decoder.decode(&bytes, &mut sink);
        }
        Damage::Lost => {
            let bytes: Vec<u8> = bytes.iter().copied().filter(|_| !hit()).collect();
            decoder.decode(&bytes, &mut sink);
        }
        Damage::LostPackets => {
            for packet in bytes.chunks(PACKET) {
                match hit() {
                    true => decoder.resync(packet.len() as u32),
                    false => decoder.decode(packet, &mut sink),
                }
            }
        }
    }
    (all, *decoder.counts())
}

fn encoded(mut encoder: impl Encoder, events: &[Event]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut put = |word: &[u8]| bytes.extend_from_slice(word);
    events.iter().for_each(|&event| encoder.event(event, &mut put).unwrap());
    encoder.finish(&mut put);
    bytes
}

/// Accuracy, share of events that come through, violations and gaps counted.
struct Outcome {
    right: f64,
    events: f64,
    violations: u64,
    gaps: u64,
}

fn damaged(plan: Plan<'_>, test: &[Digit], format: &str, damage: Damage) -> Outcome {
    let mut random = fastrand::Rng::with_seed(5);
    let (mut right, mut sent, mut seen, mut violations, mut gaps) = (0, 0, 0, 0, 0);
    for digit in test {
        let events = digit.events();
        let (decoder, bytes) = match format {
            "5-byte" => {
                let decoder = Record5::bs2(SENSOR).with_max_step(MAX_STEP);
                (AnyDecoder::Record5(decoder), digit.bytes.clone())
            }
            "EVT2" => {
                let decoder = Evt2::new(SENSOR).with_max_step(MAX_STEP);
                (AnyDecoder::Evt2(decoder), encoded(Evt2Encoder::default(), &events))
            }
            _ => {
                let decoder = Evt3::new(SENSOR).with_max_step(MAX_STEP);
                (AnyDecoder::Evt3(decoder), encoded(Evt3Encoder::default(), &events))
            }
        };
        let (got, counts) = decode(decoder, &bytes, damage, &mut random);
        assert!(got.iter().all(|event| event.x() < 34 && event.y() < 34), "{format}, {damage:?}");
        right += usize::from(integer_class(plan, &got) == Some(digit.label));
        sent += events.len();
        seen += got.len();
        violations += counts.violations();
        gaps += u64::from(counts.gaps);
    }
    Outcome { right: percent(right, test.len()), events: percent(seen, sent), violations, gaps }
}

#[test]
fn answers_degrade_with_the_stream() {
    let (Some(train), Some(test)) = (nmnist("train"), nmnist("test")) else { return };
    let compiled = quantized(&seeds()[2], &train, Target::Generic);
    let plan = open(&compiled.plan, "").unwrap();
    println!("evt-nmnist in int8, seed 2, 100 test recordings");
    println!("| format | damage | accuracy | events | violations | gaps |\n|---|---|---|---|---|---|");
    for format in ["5-byte", "EVT2", "EVT3"] {
        for damage in [Damage::None, Damage::Flipped, Damage::Lost, Damage::LostPackets] {
            let Outcome { right, events, violations, gaps } = damaged(plan, &test, format, damage);
            println!("| {format} | {damage:?} | {right:.0} | {events:.1} % | {violations} | {gaps} |");
            // Bytes that are missing without notice put everything out of step until a decoder finds it again.
            let least = if damage == Damage::Lost { 75.0 } else { 90.0 };
            assert!(right >= least, "{format}, {damage:?}: {right}");
            let counted = if damage == Damage::LostPackets { gaps } else { violations };
            assert!(damage == Damage::None || counted > 100, "{format}, {damage:?}: {counted} counted");
        }
    }
}

//! The Event Transformer's path on generated recordings: learn, export, run the ONNX file in tract.

use mixel_core::events::Event;
use mixel_models::event_transformer::{Architecture, Size};
use mixel_models::events::Recording;
use mixel_models::events::front_end::{Frame, FrontEnd};
use mixel_models::events::noise::Noise;
use mixel_models::events::tokens::logs;
use mixel_models::events::train::{self, Recipe};
use mixel_models::onnx::event_transformer as onnx;
use mixel_models::weights::Weight;
use prost::Message;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tract_onnx::pb::{ModelProto, tensor_shape_proto::dimension::Value as Dim};
use tract_onnx::prelude::*;

/// Small and odd, so that no two sizes can be confused.
const SIZE: Size = Size { width: 12, projection: 10, bands: 2, latents: 5, heads: 3, own: 1 };
const LABELS: [&str; 3] = ["right", "down", "still"];

fn architecture() -> Architecture {
    Architecture { size: SIZE, token: 64, grid: (9, 9), classes: LABELS.len() }
}

fn front_end() -> FrontEnd {
    FrontEnd { window_us: 30_000, ..FrontEnd::NMNIST }
}

/// A bar that moves right or down, or flickers where it is, over 100 ms.
fn bar(label: usize, rng: &mut impl Rng) -> Recording {
    let (from, across) = (rng.random_range(4..10_u16), rng.random_range(3..12_u16));
    let mut events = Vec::new();
    for step in 0..40_u16 {
        for along in 0..14 {
            let place = from + if label == 2 { 0 } else { step / 3 };
            let (x, y) = if label == 1 { (across + along, place) } else { (place, across + along) };
            let t = u32::from(step) * 2_500 + rng.random_range(0..2_000);
            events.push(Event::new(t, x, y, step % 2 == 0));
        }
    }
    events.sort_by_key(|event| event.t);
    Recording { events, label }
}

fn bars(count: usize, seed: u64) -> Vec<Recording> {
    let mut rng = StdRng::seed_from_u64(seed);
    (0..count).map(|index| bar(index % LABELS.len(), &mut rng)).collect()
}

/// Recordings of 100 that each file of the zoo gets right.
const NMNIST: [(&str, usize); 4] = [
    ("evt-nmnist.onnx", 96),
    ("seeds/evt-nmnist-0.onnx", 94),
    ("seeds/evt-nmnist-1.onnx", 98),
    ("seeds/evt-nmnist-2.onnx", 96),
];

const QUIET: Noise =
    Noise { shift: 0.0, turn: 0.0, scale: 0.0, slant: 0.0, stretch: 0.0, dropout: 0.0, late: 0.0 };

fn recipe(epochs: usize) -> Recipe {
    let noise = Noise { shift: 1.0, dropout: 0.1, ..QUIET };
    Recipe { epochs, batch: 10, learning_rate: 1e-2, weight_decay: 0.0, smoothing: 0.0, early: 0.3, noise }
}

fn fit(epochs: usize, seed: u64) -> (Vec<Weight>, Vec<f32>) {
    let mut losses = Vec::new();
    let report = |_, loss, _: &[Weight]| losses.push(loss);
    let weights = train::train(&architecture(), &front_end(), &bars(60, 1), &recipe(epochs), seed, report);
    (weights, losses)
}

fn frames(recordings: &[Recording]) -> Vec<Vec<Frame>> {
    recordings.iter().map(|recording| front_end().frames(&recording.events, 0)).collect()
}

#[test]
fn it_learns_to_tell_moving_bars_apart() {
    let (weights, losses) = fit(25, 0);
    assert!(losses[24] < 0.5 * losses[0], "{losses:?}");
    let held_out = bars(60, 2);
    let predicted = train::predict(&architecture(), &weights, &frames(&held_out));
    let right = predicted.iter().zip(&held_out).filter(|(class, recording)| **class == recording.label);
    let right = right.count();
    assert!(right >= 45, "{right} of 60; by chance 20");
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    assert_eq!(fit(1, 7).0, fit(1, 7).0);
    assert_ne!(fit(1, 7).0, fit(1, 8).0);
}

#[test]
fn an_answer_depends_on_nothing_but_its_own_recording_so_far() {
    let weights = fit(1, 3).0;
    let all = frames(&bars(7, 4));
    let together = train::logits(&architecture(), &weights, &all);
    for (frames, expected) in all.iter().zip(&together) {
        let alone = train::logits(&architecture(), &weights, &[frames[..2].to_vec()]);
        for (a, b) in alone[0].iter().flatten().zip(expected.iter().flatten()) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
        assert_eq!(expected.len(), frames.len());
    }
}

/// A file in tract: logits after each window of a recording, the memory carried from run to run.
fn in_tract(file: &[u8]) -> impl Fn(&[Frame]) -> Vec<Vec<f32>> + use<> {
    let mut proto = ModelProto::decode(file).unwrap();
    // tract takes an input that has a default value for a constant.
    let graph = proto.graph.as_mut().unwrap();
    let at = graph.initializer.iter().position(|tensor| tensor.name == onnx::MEMORY).unwrap();
    let latents = graph.initializer.remove(at);
    let shape: Vec<usize> = latents.dims.iter().map(|&length| length as usize).collect();
    let (values, _) = latents.raw_data.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
    let latents = Tensor::from_shape(&shape, &values).unwrap();
    let model = tract_onnx::onnx()
        .model_for_proto_model(&proto)
        .and_then(|model| model.into_optimized()?.into_runnable())
        .unwrap();
    let logs = logs();
    move |frames| {
        let mut memory = latents.clone();
        let mut answers = Vec::new();
        for frame in frames {
            let tokens: Vec<f32> = frame.counts.iter().map(|&count| logs[usize::from(count)]).collect();
            let patches: Vec<i64> = frame.patches.iter().map(|&patch| i64::from(patch)).collect();
            let tokens = Tensor::from_shape(&[patches.len(), 64], &tokens).unwrap();
            let patches = Tensor::from_shape(&[patches.len()], &patches).unwrap();
            let mut outputs = model.run(tvec![tokens.into(), patches.into(), memory.into()]).unwrap();
            memory = outputs.remove(1).into_tensor();
            answers.push(outputs[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect());
        }
        answers
    }
}

#[test]
fn tract_agrees_with_the_training_library() {
    let weights = fit(2, 5).0;
    let labels = LABELS.map(String::from);
    let file = onnx::export("bars", &architecture(), &front_end(), &weights, &labels);
    let mut recordings = frames(&bars(3, 6));
    // Windows of no, of one and of every patch.
    let one = Frame { patches: vec![80], counts: vec![3; 64], dropped: 0 };
    let counts = (0..81 * 64).map(|index| (index * 7 % 256) as u8).collect();
    let all = Frame { patches: (0..81).collect(), counts, dropped: 0 };
    recordings.push(vec![one, Frame::default(), all, Frame::default()]);
    let expected = train::logits(&architecture(), &weights, &recordings);
    let tract = in_tract(&file);
    for (frames, expected) in recordings.iter().zip(expected) {
        for (ours, expected) in tract(frames).iter().flatten().zip(expected.iter().flatten()) {
            assert!((ours - expected).abs() < 1e-4, "{ours} for {expected}");
        }
    }
}

/// The files of the zoo on the recordings of their cards.
#[test]
fn the_zoo_has_the_accuracy_on_its_card() {
    use mixel_models::data::{DataError, DataErrorKind, folder};
    use mixel_models::events::zoo::Model;

    let corpus = match Model::EvtNmnist.corpus(&folder()) {
        Ok(corpus) => corpus,
        Err(DataError { path, kind: DataErrorKind::Missing }) => {
            eprintln!("SKIPPED: evt-nmnist.onnx: missing {}", path.display());
            return;
        }
        Err(error) => panic!("{error}"),
    };
    let zoo = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("zoo");
    for (name, expected) in NMNIST {
        let tract = in_tract(&std::fs::read(zoo.join(name)).unwrap());
        let right = corpus.test.iter().filter(|recording| {
            let answers = tract(&Model::EvtNmnist.front_end().frames(&recording.events, 0));
            mixel_models::train::argmax(answers.last().unwrap()) == recording.label
        });
        assert_eq!(right.count(), expected, "{name}");
    }
}

#[test]
fn the_file_says_how_events_become_tokens() {
    let weights = fit(1, 0).0;
    let labels = LABELS.map(String::from);
    let file = onnx::export("bars", &architecture(), &front_end(), &weights, &labels);
    let proto = ModelProto::decode(file.as_slice()).unwrap();
    let entries: Vec<(&str, &str)> =
        proto.metadata_props.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect();
    assert_eq!(
        entries,
        [
            ("mixel.front_end", "events"),
            ("mixel.events.representation", "histogram"),
            ("mixel.events.sensor", "34x34"),
            ("mixel.events.grid", "-1,-1,0,4,9,9"),
            ("mixel.events.bins", "2"),
            ("mixel.events.window_us", "30000"),
            ("mixel.events.least_pixels", "2"),
            ("mixel.events.max_tokens", "64"),
            ("mixel.state", "memory=memory_out"),
            ("mixel.labels", r#"["right","down","still"]"#),
        ]
    );
    let graph = proto.graph.unwrap();
    let shape = |info: &tract_onnx::pb::ValueInfoProto| -> Vec<String> {
        let Some(tract_onnx::pb::type_proto::Value::TensorType(tensor)) =
            info.r#type.as_ref().unwrap().value.clone()
        else {
            panic!("{} is no tensor", info.name)
        };
        let dims = tensor.shape.unwrap().dim.into_iter();
        dims.map(|dim| match dim.value {
            Some(Dim::DimParam(symbol)) => symbol,
            Some(Dim::DimValue(length)) => length.to_string(),
            None => "?".into(),
        })
        .collect()
    };
    let of = |infos: &[tract_onnx::pb::ValueInfoProto]| -> Vec<(String, Vec<String>)> {
        infos.iter().map(|info| (info.name.clone(), shape(info))).collect()
    };
    let named =
        |name: &str, dims: &[&str]| (name.to_string(), dims.iter().map(ToString::to_string).collect());
    assert_eq!(
        of(&graph.input),
        [named("tokens", &["tokens", "64"]), named("patches", &["tokens"]), named("memory", &["5", "12"])]
    );
    assert_eq!(of(&graph.output), [named("logits", &["1", "3"]), named("memory_out", &["5", "12"])]);
}

#[test]
fn noise_moves_events_and_keeps_their_order() {
    let geometry = front_end().histogram.geometry;
    let recording = bar(0, &mut StdRng::seed_from_u64(1));
    let mut rng = StdRng::seed_from_u64(2);
    assert_eq!(QUIET.apply(&recording.events, geometry, &mut rng), recording.events);
    let noise =
        Noise { shift: 3.0, turn: 0.3, scale: 0.2, slant: 0.2, stretch: 0.2, dropout: 0.3, late: 0.3 };
    for _ in 0..50 {
        let events = noise.apply(&recording.events, geometry, &mut rng);
        assert!(events.len() <= recording.events.len() && events.len() > recording.events.len() / 3);
        assert!(events.is_sorted_by_key(|event| event.t));
        assert!(events.iter().all(|event| event.x() < 34 && event.y() < 34));
    }
    let dropping = Noise { dropout: 0.5, ..QUIET };
    let kept: usize = (0..200).map(|_| dropping.apply(&recording.events, geometry, &mut rng).len()).sum();
    let share = kept as f32 / (200 * recording.events.len()) as f32;
    assert!((share - 0.75).abs() < 0.03, "the mean of shares from 0 to 0.5 is 0.25: {share} kept");
}

//! The whole path on the project's own 40 sentences: read, train a few steps, export, run the ONNX file elsewhere.

use std::path::{Path, PathBuf};

use mixel_models::augment::Noise;
use mixel_models::batch::Sentence;
use mixel_models::data::{Example, tsv};
use mixel_models::onnx;
use mixel_models::pnlp_mixer::{Architecture, Head, Size};
use mixel_models::train::{self, Encoded, Recipe};
use mixel_models::weights::Weight;
use rand::{SeedableRng, rngs::StdRng};
use tract_onnx::prelude::*;

struct Case {
    architecture: Architecture,
    labels: Vec<String>,
    examples: Vec<Example>,
}

fn case(target: tsv::Target) -> Case {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/intents.tsv");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines = tsv::parse(&path, &text).unwrap();
    let labels = tsv::labels(&lines, target);
    let examples = tsv::examples(&path, &lines, target, &labels).unwrap();
    let head = match target {
        tsv::Target::Intent => Head::Sequence,
        tsv::Target::Tags => Head::Tokens,
    };
    // Small and odd, so that no two sizes can be confused.
    let size = Size { n: 5, m: 96, window: 1, length: 11, width: 12, hidden: 20, layers: 2 };
    Case { architecture: Architecture { size, head, classes: labels.len() }, labels, examples }
}

fn recipe(epochs: usize) -> Recipe {
    Recipe {
        epochs,
        batch: 8,
        learning_rate: 1e-2,
        weight_decay: 0.0,
        smoothing: 0.0,
        noise: Noise { hash_dropout: 0.1, word_dropout: 0.05, span_swap: 0.3, shift: 0.2 },
    }
}

/// Trained weights and the mean loss of every epoch.
fn fit(case: &Case, epochs: usize, seed: u64) -> (Vec<Weight>, Vec<f32>) {
    let data = Encoded::new(&case.architecture, &case.examples).unwrap();
    let mut losses = Vec::new();
    let weights =
        train::train(&case.architecture, &case.labels, &data, &recipe(epochs), seed, |_, loss, _| {
            losses.push(loss);
        });
    (weights, losses)
}

#[test]
fn forty_sentences_of_three_intents() {
    let case = case(tsv::Target::Intent);
    assert_eq!((case.examples.len(), case.labels.len()), (40, 3));
}

#[test]
fn loss_falls_for_both_heads() {
    for target in [tsv::Target::Intent, tsv::Target::Tags] {
        let case = case(target);
        let (_, losses) = fit(&case, 30, 0);
        let (first, last) = (losses[0], losses[29]);
        assert!(last < 0.5 * first, "{target:?}: {first} -> {last}");
    }
}

#[test]
fn the_same_seed_gives_the_same_weights() {
    let case = case(tsv::Target::Tags);
    assert_eq!(fit(&case, 2, 7).0, fit(&case, 2, 7).0);
    assert_ne!(fit(&case, 2, 7).0, fit(&case, 2, 8).0);
}

#[test]
fn the_papers_sizes_run() {
    for size in [Size::X_SMALL, Size::BASE, Size::X_LARGE, Size::NANO] {
        for head in [Head::Sequence, Head::Tokens] {
            let architecture = Architecture { size, head, classes: 9 };
            let weights = architecture.start(&mut StdRng::seed_from_u64(0));
            let example = Example { text: "is there snow in zürich".into(), target: vec![0] };
            let data = Encoded::new(&architecture, &[example]).unwrap();
            let logits = train::logits(&architecture, &weights, &data).concat();
            let rows = if head == Head::Tokens { usize::from(size.length) } else { 1 };
            assert_eq!(logits.len(), rows * 9, "{size:?} {head:?}");
            assert!(logits.iter().all(|logit| logit.is_finite() && *logit != 0.0), "{size:?} {head:?}");
        }
    }
}

/// Dense features of texts, `[texts][L][(2w+1) * m]`.
fn features(case: &Case, texts: &[&str]) -> Vec<f32> {
    let front_end = case.architecture.size.front_end().unwrap();
    let mut all = Vec::new();
    for text in texts {
        let mut bins = vec![0; front_end.bins_len()];
        let words = front_end.encode(text.as_bytes(), &mut bins).unwrap();
        let mut features = vec![0.0; front_end.features_len()];
        front_end.features(&bins, words.present, &mut features).unwrap();
        all.extend(features);
    }
    all
}

const TEXTS: [&str; 5] = [
    "turn on the lamp in the kitchen",
    "",
    "one",
    "a sentence of more words than the eleven that this small network has places for",
    "is there snow in zürich",
];

/// The training library's own logits of the same texts.
fn expected(case: &Case, weights: &[Weight]) -> Vec<f32> {
    let examples: Vec<Example> =
        TEXTS.iter().map(|text| Example { text: (*text).into(), target: vec![0] }).collect();
    let data = Encoded::new(&case.architecture, &examples).unwrap();
    train::logits(&case.architecture, weights, &data).concat()
}

fn assert_close(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-4, "{what}: {got} for {expected}");
    }
}

#[test]
fn tract_agrees_with_the_training_library() {
    for target in [tsv::Target::Intent, tsv::Target::Tags] {
        let case = case(target);
        let weights = fit(&case, 3, 1).0;
        let file = onnx::pnlp_mixer::export("fixture", &case.architecture, &weights, &case.labels);
        let model = tract_onnx::onnx()
            .model_for_read(&mut file.as_slice())
            .and_then(|model| model.into_optimized()?.into_runnable())
            .unwrap();
        let size = case.architecture.size;
        let shape = [TEXTS.len(), usize::from(size.length), size.features()];
        let input = Tensor::from_shape(&shape, &features(&case, &TEXTS)).unwrap();
        let output = model.run(tvec![input.into()]).unwrap();
        let output: Vec<f32> = output[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect();
        assert_close(&output, &expected(&case, &weights), &format!("{target:?}"));
    }
}

/// `python3` with onnx and onnxruntime, if it is there.
fn python() -> bool {
    std::process::Command::new("python3")
        .args(["-c", "import onnx, onnxruntime, numpy"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[test]
fn onnx_runtime_agrees_with_the_training_library() {
    if !python() {
        eprintln!("SKIPPED: ONNX Runtime check: missing python3 with onnx, onnxruntime and numpy");
        return;
    }
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    for target in [tsv::Target::Intent, tsv::Target::Tags] {
        let case = case(target);
        let weights = fit(&case, 3, 1).0;
        let name = |end: &str| folder.join(format!("fixture-{target:?}.{end}"));
        std::fs::write(
            name("onnx"),
            onnx::pnlp_mixer::export("fixture", &case.architecture, &weights, &case.labels),
        )
        .unwrap();
        let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|v| v.to_le_bytes()).collect() };
        std::fs::write(name("in"), bytes(&features(&case, &TEXTS))).unwrap();
        let status = std::process::Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_runtime.py"))
            .args([name("onnx"), name("in"), name("out")])
            .status()
            .unwrap();
        assert!(status.success(), "the ONNX checker or ONNX Runtime refused the file");
        let output: Vec<f32> = std::fs::read(name("out"))
            .unwrap()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        assert_close(&output, &expected(&case, &weights), &format!("{target:?}"));
    }
}

#[test]
fn the_front_end_is_in_the_metadata() {
    use prost::Message;
    let case = case(tsv::Target::Intent);
    let weights = fit(&case, 1, 0).0;
    let file = onnx::pnlp_mixer::export("fixture", &case.architecture, &weights, &case.labels);
    let model = tract_onnx::pb::ModelProto::decode(file.as_slice()).unwrap();
    let entry =
        model.metadata_props.iter().find(|entry| entry.key == onnx::pnlp_mixer::FRONT_END_KEY).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&entry.value).unwrap(),
        serde_json::json!({
            "kind": "text", "hash": "fnv1a-fmix", "units": "byte3", "n": 5, "m": 96, "window": 1, "length": 11,
            "labels": ["Light", "Timer", "Weather"], "head": "sequence",
        })
    );
    assert_eq!(Sentence::new(&case.architecture.size.front_end().unwrap(), "two words").bins.len(), 2 * 5);
}

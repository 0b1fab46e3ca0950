//! The pNLP-Mixer models of models/zoo in integers: accuracy of every seed beside its float model and the baselines,
//! memory, and the same answers on emulated boards for every test sentence.
//!
//! Baselines (naive Bayes, linear on the same hash, most frequent tag) come from models/zoo/README.md.

mod support;

use std::path::{Path, PathBuf};

use mixel::compile::{CalibrationData, CompileOptions, Compiled, Prepared, Target, prepare};
use mixel::device::Sample;
use mixel::import::ImportOptions;
use mixel::quantize::{Options, WeightForm, WeightRule};
use mixel::reference::Reference;
use mixel::run::{on_host, open};
use mixel::samples::{Case, reference_inputs};
use mixel::validate::on_board;
use mixel_core::plan::RawPlan;
use support::data;

/// A sentence and what is expected: one label, or one for every word.
struct Example {
    text: String,
    labels: Vec<String>,
}

fn snips(file: &str, slots: bool) -> Option<Vec<Example>> {
    let text = std::fs::read_to_string(data(&format!("snips/{file}.tsv"))?).unwrap();
    let example = |line: &str| {
        let mut fields = line.split('\t');
        let (intent, text, tags) = (fields.next()?, fields.next()?, fields.next()?);
        let labels =
            if slots { tags.split(' ').map(str::to_owned).collect() } else { vec![intent.to_owned()] };
        Some(Example { text: text.to_owned(), labels })
    };
    Some(text.lines().filter_map(example).collect())
}

fn clinc(part: &str) -> Option<Vec<Example>> {
    let text = std::fs::read_to_string(data("clinc150/data_small.json")?).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pairs = file[part].as_array().unwrap();
    let field = |pair: &serde_json::Value, at: usize| pair[at].as_str().unwrap().to_owned();
    Some(pairs.iter().map(|pair| Example { text: field(pair, 0), labels: vec![field(pair, 1)] }).collect())
}

/// The three seeds of a model.
fn seeds(name: &str) -> [PathBuf; 3] {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo/seeds");
    [0, 1, 2].map(|seed| zoo.join(format!("{name}-{seed}.onnx")))
}

/// Calibrated on 1,000 training sentences, evenly spread.
fn quantized(model: &Path, train: &[Example]) -> Prepared {
    quantized_in(model, train, WeightForm::Int8)
}

/// The same with weights in `form`.
fn quantized_in(model: &Path, train: &[Example], form: WeightForm) -> Prepared {
    let step = (train.len() / 1000).max(1);
    let texts = train.iter().step_by(step).take(1000).map(|example| example.text.clone()).collect();
    let calibration = CalibrationData::Texts(texts);
    let weights = vec![WeightRule { form, layers: None }];
    let quantize = Options { weights, ..Options::default() };
    prepare(model, &CompileOptions { calibration, quantize, ..CompileOptions::default() }).unwrap()
}

/// The class of every row of `scores`, by the plan's labels.
fn classes<T: PartialOrd + Copy>(plan: &RawPlan<'_>, scores: &[T]) -> Vec<String> {
    let labels: Vec<&str> = plan.labels().collect();
    let best = |row: &[T]| (0..row.len()).reduce(|best, at| if row[at] > row[best] { at } else { best });
    scores.chunks_exact(labels.len()).filter_map(|row| Some(labels[best(row)?].to_owned())).collect()
}

/// What the integer model answers, on this machine.
fn integer_answers(compiled: &Compiled, examples: &[Example]) -> Vec<Vec<String>> {
    let plan = open(&compiled.plan, "").unwrap();
    let samples: Vec<Sample> = examples.iter().map(|example| Sample::Text(example.text.clone())).collect();
    let outputs = on_host(plan, &samples, &mut |_, _, _| {}).unwrap();
    let signed = |bytes: &[u8]| bytes.iter().map(|&byte| byte as i8).collect::<Vec<i8>>();
    outputs.iter().map(|outputs| classes(&plan, &signed(&outputs[0]))).collect()
}

/// What the float model answers, by tract.
fn float_answers(model: &Path, compiled: &Compiled, examples: &[Example]) -> Vec<Vec<String>> {
    let plan = open(&compiled.plan, "").unwrap();
    let reference = Reference::load(model, &ImportOptions::default()).unwrap();
    let answer = |example: &Example| {
        let inputs = reference_inputs(&plan, &Case::Text(example.text.clone())).unwrap();
        classes(&plan, &reference.run(&inputs).unwrap()[0].data.to_f32())
    };
    examples.iter().map(answer).collect()
}

/// Percent of sentences with the right class.
fn accuracy(answers: &[Vec<String>], examples: &[Example]) -> f64 {
    let right =
        answers.iter().zip(examples).filter(|(answer, example)| answer[0] == example.labels[0]).count();
    100.0 * right as f64 / examples.len() as f64
}

/// Spans (type, first, end) of BIO tags; an I that does not continue its type begins a span, as in CoNLL-2000.
fn spans(tags: &[String]) -> Vec<(&str, usize, usize)> {
    let mut spans: Vec<(&str, usize, usize)> = Vec::new();
    let mut open: Option<&str> = None;
    for (at, tag) in tags.iter().enumerate() {
        let continued = open.filter(|kind| tag.strip_prefix("I-") == Some(*kind));
        match (continued, tag.split_once('-')) {
            (Some(_), _) => spans.last_mut().unwrap().2 = at + 1,
            (None, Some((_, kind))) => {
                spans.push((kind, at, at + 1));
                open = Some(kind);
            }
            (None, None) => open = None,
        }
    }
    spans
}

/// F1 over whole spans, in percent. Words beyond the model's length count as outside.
fn span_f1(answers: &[Vec<String>], examples: &[Example]) -> f64 {
    let (mut right, mut found, mut wanted) = (0, 0, 0);
    for (answer, example) in answers.iter().zip(examples) {
        let words = example.labels.len();
        let mut tags: Vec<String> = answer.iter().take(words).cloned().collect();
        tags.resize(words, "O".into());
        let (ours, theirs) = (spans(&tags), spans(&example.labels));
        right += ours.iter().filter(|span| theirs.contains(span)).count();
        found += ours.len();
        wanted += theirs.len();
    }
    200.0 * right as f64 / (found + wanted) as f64
}

/// Integer and float score of each seed, printed; their means.
fn scores(
    name: &str,
    train: &[Example],
    test: &[Example],
    score: fn(&[Vec<String>], &[Example]) -> f64,
) -> (f64, f64) {
    let (mut int8, mut float) = (Vec::new(), Vec::new());
    for model in seeds(name) {
        let compiled = quantized(&model, train).compile(Target::Generic).unwrap();
        int8.push(score(&integer_answers(&compiled, test), test));
        float.push(score(&float_answers(&model, &compiled, test), test));
    }
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    println!("{name}: int8 {int8:.2?} mean {:.2}, float {float:.2?} mean {:.2}", mean(&int8), mean(&float));
    (mean(&int8), mean(&float))
}

#[test]
fn intents_in_integers_answer_as_the_float_model() {
    let (Some(train), Some(test)) = (snips("train", false), snips("test", false)) else { return };
    let (int8, float) = scores("pnlp-intent", &train, &test, accuracy);
    assert!(int8 >= 95.5, "{int8}");
    assert!((int8 - float).abs() <= 0.7, "{int8} against {float}");
}

/// Accuracy and size of three seeds with weights of eight and of four bits.
#[test]
fn intents_in_four_bits_lose_little() {
    let (Some(train), Some(test)) = (snips("train", false), snips("test", false)) else { return };
    let mut means = Vec::new();
    for form in [WeightForm::Int8, WeightForm::Int4] {
        let compiled = seeds("pnlp-intent")
            .map(|model| quantized_in(&model, &train, form).compile(Target::Generic).unwrap());
        let scores = compiled.each_ref().map(|compiled| accuracy(&integer_answers(compiled, &test), &test));
        let mean = scores.iter().sum::<f64>() / 3.0;
        println!(
            "pnlp-intent, {form:?} weights: {scores:.2?} mean {mean:.2}, plan {} bytes",
            compiled[0].plan.len()
        );
        means.push(mean);
    }
    assert!(means[0] - means[1] <= 0.7, "{means:?}");
}

#[test]
fn slots_in_integers_are_far_above_the_most_frequent_tag() {
    let (Some(train), Some(test)) = (snips("train", true), snips("test", true)) else { return };
    let (int8, _) = scores("pnlp-slots", &train, &test, span_f1);
    assert!(int8 >= 75.0, "{int8}; the most frequent tag of each word has 49.8");
}

#[test]
fn clinc_in_integers_is_above_a_linear_model_of_the_same_bytes() {
    let (Some(train), Some(test)) = (clinc("train"), clinc("test")) else { return };
    let (int8, _) = scores("pnlp-clinc", &train, &test, accuracy);
    assert!(int8 > 85.7, "{int8}");
}

#[test]
fn boards_answer_every_test_sentence_as_this_machine() {
    let (Some(train), Some(test)) = (snips("train", false), snips("test", false)) else { return };
    let prepared = quantized(&seeds("pnlp-intent")[2], &train);
    for target in [Target::Generic, Target::CortexM4, Target::CortexM55, Target::Aarch64] {
        let plan = prepared.compile(target).unwrap().plan;
        let arena = open(&plan, "").unwrap().arena_bytes();
        println!("pnlp-intent for {target:?}: plan {} bytes, arena {arena} bytes", plan.len());
        assert!(plan.len() <= 52_000 && arena <= 6 * 1024, "{target:?}: {}, {arena}", plan.len());
    }
    let cases: Vec<Case> = test.iter().map(|example| Case::Text(example.text.clone())).collect();
    for name in ["mps2-an386", "mps3-an547"] {
        let board = mixel::device::boards().iter().find(|board| board.name == name).unwrap();
        let result = on_board(&prepared, board, &cases).unwrap();
        println!("{name}: {} sentences, bit-equal: {}", cases.len(), result.bit_equal);
        assert!(result.bit_equal, "{name}");
    }
}

#[test]
fn spans_follow_the_conll_rules() {
    let tags = ["O", "B-a", "I-a", "B-a", "O", "I-b", "I-c", "I-c"].map(str::to_owned);
    assert_eq!(spans(&tags), [("a", 1, 3), ("a", 3, 4), ("b", 5, 6), ("c", 6, 8)]);
}

//! Whole models: a plan for any target gives the same bytes on this machine, so a plan for a board can be checked
//! without the board. That boards themselves give these bytes is checked in `mlperf.rs`, `pnlp.rs` and `events.rs`.

mod support;

use std::path::{Path, PathBuf};

use mixel::aligned::Aligned;
use mixel::arrays::read_npz;
use mixel::compile::{CalibrationData, CompileOptions, Target, prepare, read_lines};
use mixel::device::Sample;
use mixel::run::{feed, open, session};
use mixel::samples::{Case, cases, input_names, sample};
use mixel_core::arch::Backend;
use mixel_core::plan::DType;
use support::{command::good, data};

const TARGETS: [(Target, &str); 7] = [
    (Target::Generic, "generic"),
    (Target::CortexM4, "cortex-m4"),
    (Target::CortexM33, "cortex-m33"),
    (Target::CortexM7, "cortex-m7"),
    (Target::CortexM55, "cortex-m55"),
    (Target::X86_64, "x86-64"),
    (Target::Aarch64, "aarch64"),
];

fn of_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Outputs of all samples on `backend`, states kept.
fn outputs(plan: &[u8], backend: Backend, samples: &[Sample]) -> Vec<Vec<u8>> {
    let plan = open(plan, "").unwrap();
    let mut arena = Aligned::zeroed(plan.arena_bytes());
    let mut session = session(plan, &mut arena).unwrap();
    session.set_backend(backend).unwrap();
    let mut all = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        feed(&mut session, index, sample).unwrap();
        session.run();
        all.extend((0..session.plan().outputs().count()).map(|output| session.output(output).to_vec()));
    }
    all
}

/// Compiles `model` for all targets and runs what `samples` makes for the plan on every backend.
fn check(model: &Path, calibration: CalibrationData, samples: impl Fn(&[u8]) -> Vec<Sample>) {
    let options = CompileOptions { calibration, ..CompileOptions::default() };
    let prepared = prepare(model, &options).unwrap();
    let generic = prepared.compile(Target::Generic).unwrap().plan;
    let samples = samples(&generic);
    assert!(!samples.is_empty());
    let wanted = outputs(&generic, Backend::Portable, &samples);
    for (target, name) in TARGETS {
        let plan = prepared.compile(target).unwrap().plan;
        for &backend in Backend::ALL.iter().filter(|backend| backend.available()) {
            let equal = outputs(&plan, backend, &samples) == wanted;
            assert!(equal, "{} for {name} with {backend}", model.display());
        }
    }
    println!("{}: {} samples, the same bytes from every target's plan", model.display(), samples.len());
}

#[test]
fn models_of_mlperf_tiny() {
    for name in ["kws", "ic", "vww", "ad", "sww"] {
        let (Some(model), Some(golden)) = (
            data(&format!("mlperf-tiny/{name}_qdq.onnx")),
            data(&format!("mlperf-tiny/{name}_litert_golden.npz")),
        ) else {
            continue;
        };
        let arrays = read_npz(&golden).unwrap();
        check(&model, CalibrationData::None, |plan| {
            let plan = open(plan, "").unwrap();
            let all = cases(&input_names(&plan), &arrays).unwrap();
            // One of noise, one smooth; see the data's README.
            all.iter().step_by(17).map(|case| sample(&plan, case).unwrap()).collect()
        });
    }
}

#[test]
fn models_over_text() {
    let sentences = read_lines(&of_repository("host/xtask/demo/sentences.txt")).unwrap();
    for name in ["pnlp-intent", "pnlp-slots", "pnlp-clinc"] {
        let model = of_repository(&format!("models/zoo/{name}.onnx"));
        check(&model, CalibrationData::Texts(sentences.clone()), |plan| {
            let plan = open(plan, "").unwrap();
            let asked = sentences.iter().step_by(9).cloned();
            asked.map(|sentence| sample(&plan, &Case::Text(sentence)).unwrap()).collect()
        });
    }
}

/// Windows of noise with different numbers of tokens; the memory goes from one to the next.
#[test]
fn models_over_events() {
    for name in ["evt-nmnist", "evt-gesture"] {
        let model = of_repository(&format!("models/zoo/{name}.onnx"));
        check(&model, CalibrationData::Random, |plan| {
            let plan = open(plan, "").unwrap();
            let mut random = fastrand::Rng::with_seed(1);
            let window = |rows: usize| {
                let inputs = plan.inputs().map(|port| {
                    let tensor = plan.tensor(port.tensor).unwrap();
                    let patches = tensor.dtype == DType::U16;
                    let mut element = || if patches { [random.u8(..25), 0] } else { [random.u8(..); 2] };
                    let size = tensor.dtype.size();
                    (0..tensor.elements()).flat_map(|_| element().into_iter().take(size)).collect()
                });
                Sample::Tensors { rows: Some(rows as u32), inputs: inputs.collect() }
            };
            [1, plan.max_rows() / 2, plan.max_rows(), 3].map(window).into()
        });
    }
}

/// As a person does it: `mixel run` takes a plan for any board on this machine.
#[test]
fn the_command_runs_plans_for_boards() {
    let folder = tempfile::tempdir().unwrap();
    let model = of_repository("models/zoo/pnlp-intent.onnx").display().to_string();
    let sentences = of_repository("host/xtask/demo/sentences.txt").display().to_string();
    let answers = TARGETS.map(|(_, target)| {
        good(folder.path(), &["compile", &model, "-o", "p.mxl", "--target", target, "--calib", &sentences]);
        good(folder.path(), &["run", "p.mxl", "--text-file", &sentences, "--output", "y.npz"]);
        let answers = read_npz(&folder.path().join("y.npz")).unwrap();
        (target, answers)
    });
    for (target, found) in &answers[1..] {
        assert_eq!(*found, answers[0].1, "{target}");
    }
}

//! Random graphs: every target's plan on every backend of this machine and on every emulated board gives the same
//! bytes, and every operator the nearest integer to its real result.
//!
//! `MIXEL_GRAPHS=1000` tries more graphs, `MIXEL_GRAPHS=17..18` those of some seeds. A failing graph is cut down to
//! the fewest steps that still fail, and printed.

mod generator;
mod nearest;
#[path = "../support/mod.rs"]
mod support;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use generator::{Generator, ROWS, STEPS};
use mixel::ErrorKind;
use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Prepared, Strips, Target, prepare};
use mixel::device::{Options, Runner, Sample, boards, doctor};
use mixel::import::ImportOptions;
use mixel::quantize::{self, Activations};
use mixel::run::{feed, open, session};
use mixel::samples::output_arrays;
use mixel::validate::target_of;
use mixel_core::arch::Backend;
use mixel_core::plan::{Plan, Port};
use support::onnx::noise;

/// Graphs of a test that is not told how many.
const GRAPHS: u64 = 150;
/// Graphs of them that run on boards.
const ON_BOARDS: u64 = 40;
/// Samples that a graph is calibrated with.
const CALIBRATION: usize = 4;
/// Samples that it answers, states kept.
const SAMPLES: usize = 4;
const TARGETS: [Target; 7] = [
    Target::Generic,
    Target::CortexM4,
    Target::CortexM33,
    Target::CortexM7,
    Target::CortexM55,
    Target::X86_64,
    Target::Aarch64,
];

/// The seeds to try.
fn seeds(most: u64) -> Range<u64> {
    let Ok(asked) = std::env::var("MIXEL_GRAPHS") else { return 0..most };
    let number = |text: &str| text.parse().expect("MIXEL_GRAPHS is a number or a range FIRST..END");
    match asked.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&asked),
    }
}

/// A random graph with integers.
struct Case {
    generator: Generator,
    prepared: Prepared,
}

impl Case {
    /// The graph of `seed` up to `steps` steps; none when the quantizer refuses it, as it does where sums of products
    /// could exceed their integers.
    fn new(seed: u64, steps: usize) -> Option<Self> {
        let generator = Generator::new(seed, steps);
        let arrays = generator.inputs.iter().map(|(name, dims)| {
            let mut dims = dims.clone();
            dims[0] = CALIBRATION;
            let data = noise(dims.iter().product(), seed as u32);
            (name.clone(), Array::new(&dims, ArrayData::F32(data)).unwrap())
        });
        let options = CompileOptions {
            import: ImportOptions {
                max: generator.bound.map(|bound| (ROWS.to_owned(), bound)).into_iter().collect(),
                ..ImportOptions::default()
            },
            quantize: quantize::Options {
                activations: match seed % 8 {
                    0 => Activations::Int16,
                    1 => Activations::Auto,
                    _ => Activations::Int8,
                },
                equalize: seed.is_multiple_of(5),
                weights: match seed % 7 {
                    3 => vec!["int4".parse().unwrap()],
                    5 => vec!["sparse".parse().unwrap()],
                    _ => Vec::new(),
                },
                ..quantize::Options::default()
            },
            calibration: CalibrationData::Arrays(arrays.collect()),
            strips: if seed.is_multiple_of(2) { Strips::Most } else { Strips::Auto },
            ..CompileOptions::default()
        };
        match generator.model.with_file(|path| prepare(path, &options)) {
            Ok(prepared) => Some(Self { generator, prepared }),
            Err(error) if error.kind == ErrorKind::Quantization => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Random integers for the inputs of `plan`, their ends among them, with a number of rows each.
    fn samples(&self, seed: u64, plan: &Plan<'_>) -> Vec<Sample> {
        let mut random = fastrand::Rng::with_seed(seed);
        let sample = |index: usize| {
            let rows = self.generator.bound.map(|bound| match index {
                0 => bound as u32,
                1 => 1,
                _ => random.u32(0..=bound as u32),
            });
            let mut byte = || match random.u8(..4) {
                0 => 0x7F,
                1 => 0x80,
                _ => random.u8(..),
            };
            let mut bytes =
                |port: Port<'_>| (0..plan.tensor(port.tensor).unwrap().bytes()).map(|_| byte()).collect();
            let inputs = plan.inputs().map(&mut bytes);
            Sample::Tensors { rows, inputs: inputs.collect() }
        };
        (0..SAMPLES).map(sample).collect()
    }
}

/// The outputs of one sample after the other, states kept.
fn on_host(plan: &[u8], backend: Backend, samples: &[Sample]) -> Vec<Vec<Vec<u8>>> {
    let plan = open(plan, "").unwrap();
    // What an operator forgets to write must not look like a result.
    let mut arena = mixel::aligned::Aligned::from(&vec![0xA5; plan.arena_bytes()][..]);
    let mut session = session(plan, &mut arena).unwrap();
    session.set_backend(backend).unwrap();
    let run = |(index, sample)| {
        feed(&mut session, index, sample).unwrap();
        session.run();
        (0..session.plan().outputs().count()).map(|output| session.output(output).to_vec()).collect()
    };
    samples.iter().enumerate().map(run).collect()
}

/// Outputs as arrays in which only the rows present count.
fn seen(plan: &[u8], samples: &[Sample], outputs: &[Vec<Vec<u8>>]) -> Vec<(String, Array)> {
    let rows = samples.iter().map(|sample| match sample {
        Sample::Tensors { rows, .. } => rows.map(|rows| rows as usize),
        Sample::Text(_) => None,
    });
    output_arrays(&open(plan, "").unwrap(), outputs, &rows.collect::<Vec<_>>(), true).unwrap()
}

/// What `found` and `wanted` differ in first.
fn compare(what: &str, found: &[(String, Array)], wanted: &[(String, Array)]) -> Result<(), String> {
    for ((name, found), (_, wanted)) in found.iter().zip(wanted) {
        if found != wanted {
            let (found, wanted) = (found.data.to_f32(), wanted.data.to_f32());
            let at = found.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
            let at = at.unwrap_or(found.len().min(wanted.len()));
            let pair = (found.get(at), wanted.get(at));
            return Err(format!(
                "{what}: {name}[{at}] is {:?}, the portable generic plan says {:?}",
                pair.0, pair.1
            ));
        }
    }
    Ok(())
}

/// Every target's plan on every backend of this machine against the generic plan on portable lanes.
fn hosts_agree(seed: u64, case: &Case) -> Result<(), String> {
    let generic = case.prepared.compile_whole(Target::Generic).map_err(|error| error.to_string())?.plan;
    let samples = case.samples(seed, &open(&generic, "").unwrap());
    let wanted = seen(&generic, &samples, &on_host(&generic, Backend::Portable, &samples));
    for target in TARGETS {
        let plan = case.prepared.compile(target).map_err(|error| format!("{target:?}: {error}"))?.plan;
        for &backend in Backend::ALL.iter().filter(|backend| backend.available()) {
            let found = seen(&plan, &samples, &on_host(&plan, backend, &samples));
            compare(&format!("{target:?} with {backend}"), &found, &wanted)?;
        }
    }
    Ok(())
}

/// The plan of a board's own target there against the generic plan here.
fn board_agrees(seed: u64, case: &Case, target: Target, runner: &Runner<'_>) -> Result<(), String> {
    let generic = case.prepared.compile_whole(Target::Generic).map_err(|error| error.to_string())?.plan;
    let samples = case.samples(seed, &open(&generic, "").unwrap());
    let wanted = seen(&generic, &samples, &on_host(&generic, Backend::Portable, &samples));
    let plan = case.prepared.compile(target).map_err(|error| error.to_string())?.plan;
    let options = Options { keep_state: true, ..Options::default() };
    let outputs = runner.run(&plan, &samples, &options).map_err(|error| error.to_string())?.outputs;
    compare(&format!("{target:?}"), &seen(&plan, &samples, &outputs), &wanted)
}

/// Applies `check` to the graphs of `seeds`; the first that fails is cut down and shown. Panics count as failures.
fn for_graphs(seeds: Range<u64>, check: impl Fn(u64, &Case) -> Result<(), String>) {
    let attempt = |seed: u64, steps: usize| -> Result<bool, String> {
        let run = AssertUnwindSafe(|| Case::new(seed, steps).map(|case| check(seed, &case)));
        match catch_unwind(run) {
            Ok(None) => Ok(false),
            Ok(Some(result)) => result.map(|()| true),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                Err(text
                    .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                    .unwrap_or_default())
            }
        }
    };
    let (mut passed, mut refused) = (0, 0);
    for seed in seeds {
        match attempt(seed, STEPS) {
            Ok(true) => passed += 1,
            Ok(false) => refused += 1,
            Err(reason) => {
                let fewest = (0..STEPS).find_map(|steps| Some((steps, attempt(seed, steps).err()?)));
                let (steps, reason) = fewest.unwrap_or((STEPS, reason));
                let graph = Generator::new(seed, steps).description;
                panic!("seed {seed}, cut to {steps} steps: {reason}\n{graph}");
            }
        }
    }
    println!("{passed} graphs agree, {refused} were refused by the quantizer");
    assert!(refused * 10 <= passed, "{refused} of {} graphs were refused", passed + refused);
}

#[test]
fn every_target_and_backend_gives_the_same_bytes() {
    for backend in Backend::ALL.iter().filter(|backend| !backend.available()) {
        println!("SKIPPED: backend {backend}: this machine does not have it");
    }
    for_graphs(seeds(GRAPHS), hosts_agree);
}

#[test]
fn every_operator_gives_the_nearest_integer() {
    for_graphs(seeds(GRAPHS), |seed, case| nearest::check(seed, case.prepared.quantized()));
}

#[test]
fn every_board_gives_the_bytes_of_this_machine() {
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: random graphs on emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    for board in boards().iter().filter(|board| board.is_emulated()) {
        let runner = Runner::build(board).unwrap();
        let target = target_of(board).unwrap();
        print!("{}: ", board.name);
        for_graphs(seeds(ON_BOARDS), |seed, case| board_agrees(seed, case, target, &runner));
    }
}

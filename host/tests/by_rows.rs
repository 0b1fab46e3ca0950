//! Images row by row: the bytes of the whole image, statistics over all of it included, in memory for a few rows.

mod support;

use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Compiled, Prepared, Target, prepare};
use mixel::device::{self, Sample, boards, doctor};
use mixel::run::{on_host, open};
use mixel_core::plan::Plan;
use support::mdta::{self, Norm};
use support::onnx::{Int, Ints, Onnx, Text, noise};

const WIDTH: i64 = 12;

/// Twice as many pixels a side: a convolution, channel attention with a residual, a gate, and two ways up that are added.
fn super_resolution(height: i64) -> Onnx {
    let mut model = Onnx::new(17);
    let pads = [("pads", Ints(&[1, 1, 1, 1]))];
    model.input("x", &[1, 3, height, WIDTH]);
    model.random("first", &[mdta::C, 3, 3, 3]).node("Conv", &["x", "first"], "shallow", &pads);
    mdta::attention(&mut model, ("shallow", "mixed_in"), [height, WIDTH], Norm::Lp);
    model.random("wide", &[2 * mdta::C, mdta::C, 1, 1]).node("Conv", &["mixed_in", "wide"], "both", &[]);
    model.ints("halves", &[mdta::C, mdta::C]);
    model.node_of("Split", &["both", "halves"], &["left", "right"], &[("axis", Int(1))]);
    model.node("Sigmoid", &["left"], "gate", &[]).node("Mul", &["gate", "right"], "gated", &[]);
    model.node("Concat", &["gated", "shallow"], "joined", &[("axis", Int(1))]);
    model.random("deep_w", &[mdta::C, 2 * mdta::C, 3, 3]).node("Conv", &["joined", "deep_w"], "deep", &pads);
    for (from, to) in [("deep", "deep_up"), ("shallow", "shallow_up")] {
        model.node("DepthToSpace", &[from], to, &[("blocksize", Int(2)), ("mode", Text("CRD"))]);
    }
    model.random("a_w", &[3, 2, 3, 3]).node("Conv", &["deep_up", "a_w"], "a", &pads);
    model.random("b_w", &[3, 2, 3, 3]).node("Conv", &["shallow_up", "b_w"], "b", &pads);
    model.node("Add", &["a", "b"], "y", &[]).output("y");
    model
}

fn prepared(
    model: &Onnx,
    height: i64,
    rows: bool,
    max_arena: Option<usize>,
) -> Result<Prepared, mixel::Error> {
    let dims = [3, 3, height as usize, WIDTH as usize];
    let image = Array::new(&dims, ArrayData::F32(noise(dims.iter().product(), 5))).unwrap();
    let calibration = CalibrationData::Arrays(vec![("x".into(), image)]);
    let options = CompileOptions { calibration, rows, max_arena, ..CompileOptions::default() };
    model.with_file(|path| prepare(path, &options))
}

/// An image of noise, with channels first as the whole plan takes it and with channels last as rows come.
fn image(height: i64) -> [Vec<u8>; 2] {
    let (pixels, channels) = ((height * WIDTH) as usize, 3);
    let first: Vec<u8> = noise(pixels * channels, 9).into_iter().map(|x| (x * 127.0) as i8 as u8).collect();
    let last = (0..pixels * channels).map(|at| first[at % channels * pixels + at / channels]).collect();
    [first, last]
}

/// The output with channels last, from a plan that has it with channels first.
fn turned(output: &[u8]) -> Vec<u8> {
    let pixels = output.len() / 3;
    (0..output.len()).map(|at| output[at % 3 * pixels + at / 3]).collect()
}

fn tensors(input: Vec<u8>) -> Vec<Sample> {
    vec![Sample::Tensors { rows: None, inputs: vec![input] }]
}

fn output(compiled: &Compiled, input: Vec<u8>) -> Vec<u8> {
    let plan = open(&compiled.plan, "").unwrap();
    on_host(plan, &tensors(input), &mut |_, _, _| {}).unwrap()[0][0].clone()
}

#[test]
fn rows_give_the_bytes_of_the_whole_image() {
    for height in [1, 2, 7, 40] {
        let model = super_resolution(height);
        let [first, last] = image(height);
        for target in [Target::Generic, Target::CortexM4, Target::CortexM55, Target::X86_64] {
            let whole = prepared(&model, height, false, None).unwrap().compile(target).unwrap();
            let whole = turned(&output(&whole, first.clone()));
            // The highest strips, and the lowest.
            for limit in [None, Some(1)] {
                let rows = prepared(&model, height, true, None).unwrap();
                let rows = match limit {
                    None => rows.compile(target).unwrap(),
                    Some(_) => {
                        let least = rows.compile(target).unwrap().placement.arena();
                        let tight = prepared(&model, height, true, Some(least)).unwrap();
                        tight.compile(target).unwrap()
                    }
                };
                assert_eq!(output(&rows, last.clone()), whole, "{height} rows, {target:?}");
            }
        }
    }
}

#[test]
fn memory_does_not_grow_with_the_height() {
    let arena = |height: i64, rows: bool| {
        let prepared = prepared(&super_resolution(height), height, rows, None).unwrap();
        prepared.compile(Target::Generic).unwrap().placement.arena()
    };
    assert_eq!(arena(40, true), arena(160, true));
    assert!(arena(160, true) * 4 < arena(160, false), "{} {}", arena(160, true), arena(160, false));
}

#[test]
fn boards_agree() {
    let lacking = doctor::checks().into_iter().find(|check| !check.optional && !check.ok());
    if let Some(lack) = lacking {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    let height = 9;
    let model = super_resolution(height);
    let [first, last] = image(height);
    let whole = prepared(&model, height, false, None).unwrap().compile(Target::Generic).unwrap();
    let whole = turned(&output(&whole, first));
    let rows = prepared(&model, height, true, None).unwrap();
    for (name, target) in [("mps2-an386", Target::CortexM4), ("mps3-an547", Target::CortexM55)] {
        let board = boards().iter().find(|board| board.name == name).unwrap();
        let plan = rows.compile(target).unwrap().plan;
        let options = device::Options { runs: 1, ..device::Options::default() };
        let run = device::run(board, &plan, &tensors(last.clone()), &options).unwrap();
        assert_eq!(run.outputs[0][0], whole, "{name}");
    }
}

#[test]
fn what_needs_its_whole_input_is_refused_by_name() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 3, 8, WIDTH]).node("GlobalAveragePool", &["x"], "pooled", &[]).output("pooled");
    let error =
        prepared(&model, 8, true, None).unwrap().compile(Target::Generic).err().expect("refused").to_string();
    assert!(error.contains("pooled") && error.contains("--by-rows"), "{error}");
}

#[test]
fn a_stream_that_goes_nowhere_is_refused() {
    let rows = prepared(&super_resolution(7), 7, true, None).unwrap().compile(Target::Generic).unwrap();
    let mut program = rows.program.clone();
    program.ports.retain(|port| port.direction == mixel_core::plan::Direction::Input);
    let plan = mixel::emit::encode(&program, &rows.placement.offsets, rows.placement.memory, false).unwrap();
    assert!(Plan::new_checked(&plan).is_err());
}

#[test]
fn a_damaged_group_is_refused_or_harmless() {
    let rows = prepared(&super_resolution(7), 7, true, None).unwrap().compile(Target::Generic).unwrap();
    let section = open(&rows.plan, "").unwrap().section(mixel_core::plan::format::Section::Strips);
    let (start, length) = (section.as_ptr() as usize - rows.plan.as_ptr() as usize, section.len());
    let [_, last] = image(7);
    let mut refused = 0;
    for (at, value) in
        (start..start + length).flat_map(|at| [0u8, 1, 2, 6, 8, 200, 255].map(|value| (at, value)))
    {
        let mut damaged = rows.plan.clone();
        damaged[at] = value;
        mixel_core::plan::write::seal(&mut damaged);
        match Plan::new_checked(&damaged) {
            Err(_) => refused += 1,
            // Another strip height, or an image of another height: it runs within its memory, or does not take the input.
            Ok(plan) => drop(on_host(plan, &tensors(last.clone()), &mut |_, _, _| {})),
        }
    }
    assert!(refused > length, "{refused}");
}

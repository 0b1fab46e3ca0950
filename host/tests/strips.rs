//! Operators in strips of rows: the same bytes as whole tensors, in less memory.

mod support;

use mixel::aligned::Aligned;
use mixel::arrays::{Array, ArrayData};
use mixel::compile::{
    CalibrationData, CompileOptions, Compiled, Prepared, SetFor, Strips, Target, operator_set, prepare,
};
use mixel::device::{self, Sample, boards, doctor};
use mixel::quantize::{Options, WeightForm, WeightRule};
use mixel::run::{on_host, open};
use mixel_core::Session;
use mixel_core::kernels::{OpKind, OpSet};
use mixel_core::plan::strips::Room;
use mixel_core::plan::{Plan, PlanError};
use support::onnx::{Int, Ints, Onnx, noise};

const TARGETS: [Target; 5] =
    [Target::Generic, Target::CortexM4, Target::CortexM55, Target::X86_64, Target::Aarch64];

/// A stem with stride 2, two residual blocks with a depthwise layer, one of them widening, a pool: the widest tensors are
/// in between.
fn image_model() -> Onnx {
    let mut model = Onnx::new(13);
    let square = |kernel: i64, stride: i64, pad: i64, group: i64| {
        [
            ("kernel_shape", [kernel; 2].to_vec()),
            ("strides", [stride; 2].to_vec()),
            ("pads", [pad; 4].to_vec()),
        ]
        .map(|(name, values)| (name, values))
        .into_iter()
        .map(|(name, values)| (name.to_owned(), values))
        .chain([("group".to_owned(), vec![group])])
        .collect::<Vec<_>>()
    };
    let mut layer = |op: &str, inputs: &[&str], output: &str, geometry: Vec<(String, Vec<i64>)>| {
        let attributes: Vec<_> = geometry
            .iter()
            .filter(|(name, _)| op == "Conv" || name != "group")
            .map(|(name, values)| {
                (name.as_str(), if name == "group" { Int(values[0]) } else { Ints(values) })
            })
            .collect();
        model.node(op, inputs, output, &attributes);
    };
    layer("Conv", &["x", "stem"], "a0", square(3, 2, 1, 1));
    layer("Conv", &["a0r", "wide"], "b0", square(1, 1, 0, 1));
    layer("Conv", &["b0r", "deep"], "b1", square(3, 1, 1, 24));
    layer("Conv", &["b1r", "thin"], "b2", square(1, 1, 0, 1));
    layer("MaxPool", &["c0"], "c1", square(2, 2, 0, 1));
    layer("Conv", &["c1", "last"], "d0", square(5, 2, 2, 1));
    model.node("Relu", &["a0"], "a0r", &[]).node("Relu", &["b0"], "b0r", &[]);
    model.node("HardSwish", &["b1"], "b1r", &[]).node("Add", &["b2", "a0r"], "c0", &[]);
    model.node("GlobalAveragePool", &["d0"], "y", &[]);
    model.input("x", &[1, 3, 33, 20]).output("y");
    model.random("stem", &[6, 3, 3, 3]).random("wide", &[24, 6, 1, 1]);
    model.random("deep", &[24, 1, 3, 3]).random("thin", &[6, 24, 1, 1]).random("last", &[8, 6, 5, 5]);
    sorted(model)
}

/// With the nodes in an order in which they can run.
fn sorted(mut model: Onnx) -> Onnx {
    let graph = model.graph();
    let mut known: Vec<String> = graph.input.iter().map(|input| input.name.clone()).collect();
    known.extend(graph.initializer.iter().map(|tensor| tensor.name.clone()));
    let mut rest = std::mem::take(&mut graph.node);
    while !rest.is_empty() {
        let next = rest.iter().position(|node| node.input.iter().all(|input| known.contains(input)));
        let node = rest.remove(next.expect("a graph without circles"));
        known.extend(node.output.iter().cloned());
        graph.node.push(node);
    }
    model
}

fn prepared(model: &Onnx, strips: Strips, max_arena: Option<usize>) -> Prepared {
    prepared_in(WeightForm::Int8, model, strips, max_arena)
}

fn prepared_in(form: WeightForm, model: &Onnx, strips: Strips, max_arena: Option<usize>) -> Prepared {
    let calibration = CalibrationData::Arrays(vec![("x".into(), image(4, 1))]);
    let weights = vec![WeightRule { form, layers: None }];
    let quantize = Options { weights, ..Options::default() };
    let options = CompileOptions { calibration, strips, max_arena, quantize, ..CompileOptions::default() };
    model.with_file(|path| prepare(path, &options)).unwrap()
}

/// `count` images of noise.
fn image(count: usize, seed: u32) -> Array {
    Array::new(&[count, 3, 33, 20], ArrayData::F32(noise(count * 3 * 33 * 20, seed))).unwrap()
}

fn bytes(seed: u32, len: usize) -> Vec<u8> {
    noise(len, seed).into_iter().map(|x| (x * 127.0) as i8 as u8).collect()
}

fn samples(compiled: &Compiled) -> Vec<Sample> {
    let plan = open(&compiled.plan, "").unwrap();
    let input = plan.inputs().next().unwrap();
    let len = plan.tensor(input.tensor).unwrap().bytes();
    (0..3).map(|seed| Sample::Tensors { rows: None, inputs: vec![bytes(seed, len)] }).collect()
}

fn outputs(compiled: &Compiled) -> Vec<Vec<Vec<u8>>> {
    on_host(open(&compiled.plan, "").unwrap(), &samples(compiled), &mut |_, _, _| {}).unwrap()
}

#[test]
fn strips_give_the_same_bytes_in_less_memory() {
    let model = image_model();
    for form in [WeightForm::Int8, WeightForm::Int4] {
        let [whole, strips] =
            [Strips::Off, Strips::Most].map(|strips| prepared_in(form, &model, strips, None));
        for target in TARGETS {
            let (whole, strips) = (whole.compile(target).unwrap(), strips.compile(target).unwrap());
            assert!(whole.gains.is_empty() && !strips.gains.is_empty(), "{target:?} {form:?}");
            assert!(strips.placement.arena() * 10 <= whole.placement.arena() * 9, "{target:?} {form:?}");
            assert_eq!(outputs(&strips), outputs(&whole), "{target:?} {form:?}");
        }
    }
}

/// A stem, and two blocks that add their input, a 1x1 branch and a depthwise branch.
fn mixing_model() -> Onnx {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 3, 33, 20]).output("y").random("stem", &[12, 3, 3, 3]);
    model.node("Conv", &["x", "stem"], "b0", &[("pads", Ints(&[1; 4]))]);
    for block in 0..2 {
        let name = |what: &str| format!("{what}{block}");
        let (x, y) = (name("b"), format!("b{}", block + 1));
        model.random(&name("mix"), &[12, 12, 1, 1]).random(&name("deep"), &[12, 1, 3, 3]);
        model.node("Conv", &[&x, &name("mix")], &name("s"), &[]);
        let depthwise = [("pads", Ints(&[1; 4])), ("group", Int(12))];
        model.node("Conv", &[&x, &name("deep")], &name("d"), &depthwise);
        model.node("Add", &[&x, &name("s")], &name("t"), &[]);
        model.node("Add", &[&name("t"), &name("d")], &y, &[]);
    }
    model.node("GlobalAveragePool", &["b2"], "y", &[]);
    model
}

#[test]
fn sums_of_three_go_by_rows() {
    let model = mixing_model();
    let [whole, strips] = [Strips::Off, Strips::Most].map(|strips| prepared(&model, strips, None));
    for target in TARGETS {
        let (whole, strips) = (whole.compile(target).unwrap(), strips.compile(target).unwrap());
        let plan = open(&strips.plan, "").unwrap();
        let inside = plan.groups().flat_map(|group| group.operators());
        let sums = inside.filter(|&index| plan.operator(index).unwrap().kind == OpKind::Sum3).count();
        assert_eq!(sums, 2, "{target:?}");
        assert!(strips.placement.arena() < whole.placement.arena(), "{target:?}");
        assert_eq!(outputs(&strips), outputs(&whole), "{target:?}");
    }
}

#[test]
fn boards_agree() {
    let lacking = doctor::checks().into_iter().find(|check| !check.optional && !check.ok());
    if let Some(lack) = lacking {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    let strips = prepared(&image_model(), Strips::Most, None);
    for (name, target) in [("mps2-an386", Target::CortexM4), ("mps3-an547", Target::CortexM55)] {
        let board = boards().iter().find(|board| board.name == name).unwrap();
        let compiled = strips.compile(target).unwrap();
        let got =
            device::run(board, &compiled.plan, &samples(&compiled), &device::Options::default()).unwrap();
        assert_eq!(got.outputs, outputs(&compiled), "{name}");
    }
}

#[test]
fn a_limit_of_the_arena_is_kept_or_refused() {
    let model = image_model();
    let whole = prepared(&model, Strips::Off, None).compile(Target::Generic).unwrap().placement.arena();
    let limited = prepared(&model, Strips::Auto, Some(whole - 1)).compile(Target::Generic).unwrap();
    assert!(limited.placement.arena() < whole);
    let error = prepared(&model, Strips::Auto, Some(100)).compile(Target::Generic).err().unwrap().to_string();
    assert!(error.contains("100 are allowed"), "{error}");
}

/// The wide tensors of the gated feed-forward never exist: 96 KiB, as SCET's page asks for, and the bytes of whole tensors; in strips as
/// cheap as the limit allows, with constants as short as in the plan that has no limit.
#[test]
fn super_resolution_fits_the_memory_that_it_is_given() {
    const LIMIT: usize = 96 << 10;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/scet-x2.onnx");
    let prepared = |strips, max_arena| {
        let image = Array::new(&[2, 3, 32, 32], ArrayData::F32(noise(2 * 3 * 32 * 32, 3))).unwrap();
        let calibration = CalibrationData::Arrays(vec![("image".into(), image)]);
        let options = CompileOptions { calibration, strips, max_arena, ..CompileOptions::default() };
        prepare(file.as_ref(), &options).unwrap()
    };
    let whole = prepared(Strips::Off, None);
    let [limited, least] = [Some(LIMIT), Some(85_000)].map(|limit| prepared(Strips::Auto, limit));
    for target in [Target::Generic, Target::CortexM4, Target::CortexM55] {
        let [whole, limited, least] = [&whole, &limited, &least].map(|each| each.compile(target).unwrap());
        assert!(whole.placement.arena() > LIMIT && limited.placement.arena() <= LIMIT, "{target:?}");
        assert_eq!(outputs(&limited), outputs(&whole), "{target:?}");
        assert!(least.placement.arena() < limited.placement.arena(), "{target:?}");
        let calls = |compiled: &Compiled| compiled.gains.iter().map(|gain| gain.extra_calls).sum::<usize>();
        assert!(calls(&limited) < calls(&least), "{target:?}");
        // Only what runs in strips has its constants as they are.
        assert!(limited.plan.len() < whole.plan.len() + 2000, "{target:?}");
    }
}

/// By default the gated feed-forward goes by rows: its wide tensors, 32 channels, never stand whole, and constants are as short as in
/// whole tensors.
#[test]
fn super_resolution_has_no_wide_tensor_by_default() {
    const WIDE: usize = 32 * 32 * 32;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/zoo/scet-x2.onnx");
    let prepared = |strips| {
        let image = Array::new(&[2, 3, 32, 32], ArrayData::F32(noise(2 * 3 * 32 * 32, 3))).unwrap();
        let calibration = CalibrationData::Arrays(vec![("image".into(), image)]);
        let options = CompileOptions { calibration, strips, ..CompileOptions::default() };
        prepare(file.as_ref(), &options).unwrap()
    };
    let [whole, usual] = [Strips::Off, Strips::default()].map(prepared);
    for target in [Target::CortexM4, Target::CortexM55] {
        let (whole, usual) = (whole.compile(target).unwrap(), usual.compile(target).unwrap());
        println!("{target:?}: {} of {} bytes", usual.placement.arena(), whole.placement.arena());
        assert!(usual.placement.arena() * 100 <= whole.placement.arena() * 88, "{target:?}");
        assert!(usual.plan.len() <= whole.plan.len() + 100, "{target:?}");
        let instructions: usize = usual.gains.iter().map(|gain| gain.extra_instructions).sum();
        assert!(instructions < 200_000, "{target:?}: {instructions}");
        let plan = open(&usual.plan, "").unwrap();
        let wide: Vec<usize> = plan
            .operators()
            .filter_map(|operator| operator.output(0).ok())
            .filter(|tensor| tensor.row_elements() == WIDE / 32 && tensor.inner() == 32)
            .map(|tensor| tensor.bytes())
            .collect();
        assert!(wide.len() >= 6 && wide.iter().all(|&bytes| bytes < WIDE / 2), "{target:?}: {wide:?}");
        assert_eq!(outputs(&usual), outputs(&whole), "{target:?}");
    }
}

mixel_core::op_set! {
    /// What the image model needs, with room for its longest group.
    struct Enough: Conv, Depthwise, Linear, Lut, Add, MaxPool, AveragePool, Reduce, Move, Shuffle;
    strips: 6;
}

mixel_core::op_set! {
    /// The same with room for less.
    struct TooLittle: Conv, Depthwise, Linear, Lut, Add, MaxPool, AveragePool, Reduce, Move, Shuffle;
    strips: 5;
}

mixel_core::op_set! {
    /// The same for one plan.
    struct TooLittleForOne: Conv;
    strips: 5;
    verified: unsafe 0;
}

#[test]
fn sets_have_room_for_their_plans_and_refuse_longer_groups() {
    let compiled = prepared(&image_model(), Strips::Most, None).compile(Target::Generic).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    let longest = plan.groups().map(|group| group.count).max().unwrap();
    for set_for in [SetFor::ThisPlan, SetFor::AnyPlan] {
        let source = operator_set(&plan, set_for);
        assert!(source.contains(&format!("    strips: {longest};\n")), "{source}");
    }
    assert_eq!(longest, <Enough as OpSet>::Strips::OPERATORS, "the plan of this test is another one now");
    let sample = bytes(1, plan.tensor(plan.inputs().next().unwrap().tensor).unwrap().bytes());
    let output = run(Plan::<Enough>::with_ops(&compiled.plan).unwrap(), &sample);
    assert_eq!(output, run(Plan::new_checked(&compiled.plan).unwrap(), &sample));
    let refused = PlanError::StripsTooLong(longest as u16);
    assert_eq!(Plan::<TooLittle>::with_ops(&compiled.plan).err(), Some(refused));
    assert_eq!(Plan::<TooLittleForOne>::with_ops(&compiled.plan).err(), Some(refused));
    assert!(refused.to_string().contains(&format!("`strips: {longest};`")), "{refused}");
}

/// The first output for one input.
fn run<O: OpSet>(plan: Plan<'_, O>, input: &[u8]) -> Vec<u8> {
    let mut arena = Aligned::zeroed(plan.arena_bytes());
    let mut session = Session::new(plan, &mut arena).unwrap();
    session.input(0).copy_from_slice(input);
    session.run();
    session.output(0).to_vec()
}

#[test]
fn a_damaged_group_is_refused_or_harmless() {
    let compiled = prepared(&image_model(), Strips::Most, None).compile(Target::Generic).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    let section = plan.section(mixel_core::plan::format::Section::Strips);
    let start = section.as_ptr() as usize - plan.bytes().as_ptr() as usize;
    let mut refused = 0;
    for at in start..start + section.len() {
        for value in [0u8, 1, 2, 3, 7, 31, 200, 255] {
            let mut damaged = compiled.plan.clone();
            damaged[at] = value;
            mixel_core::plan::write::seal(&mut damaged);
            match Plan::new_checked(&damaged) {
                Err(PlanError::Operator(..) | PlanError::Section(_) | PlanError::Tensor(..)) => refused += 1,
                Err(other) => panic!("byte {at} as {value}: {other:?}"),
                // Another strip height, say: it runs within its memory.
                Ok(plan) => {
                    let input = samples(&compiled);
                    on_host(plan, &input[..1], &mut |_, _, _| {}).unwrap();
                }
            }
        }
    }
    assert!(refused > section.len(), "{refused}");
}

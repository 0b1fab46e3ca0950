//! Attention as one operator: the bytes of a product, a softmax and a product, without their scores in memory.

mod support;

use mixel::aligned::Aligned;
use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Compiled, Prepared, Target, prepare};
use mixel::device::{self, Sample, boards, doctor};
use mixel::inspect::inspect;
use mixel::program::Program;
use mixel::quantize::{Activations, Options};
use mixel::reference::Reference;
use mixel::run::{on_host, open};
use mixel::{emit, lower, plan, samples, validate};
use mixel_core::kernels::OpKind;
use support::onnx::{Int, Ints, Onnx, noise};

const TARGETS: [Target; 5] =
    [Target::Generic, Target::CortexM4, Target::CortexM55, Target::X86_64, Target::Aarch64];

/// Tokens and their width.
const SIZES: [usize; 2] = [60, 33];

/// Two blocks of attention.
fn model(heads: i64) -> Onnx {
    let ([tokens, width], inner) = (SIZES.map(|size| size as i64), 24);
    let mut model = Onnx::new(13);
    model.input("b0", &[1, tokens, width]).output("y");
    model.ints("split", &[1, tokens, heads, inner / heads]).ints("joined", &[1, tokens, inner]);
    for block in 0..2 {
        let name = |what: &str| format!("{what}{block}");
        let (x, y) = (name("b"), if block == 1 { "y".to_owned() } else { "b1".to_owned() });
        for part in ["q", "k", "v"] {
            let weights = name(&format!("w{part}"));
            model.random(&weights, &[width, inner]);
            model.node("MatMul", &[&x, &weights], &name(part), &[]);
            let turn: &[i64] = if part == "k" { &[0, 2, 3, 1] } else { &[0, 2, 1, 3] };
            let (parts, turned) = (name(&format!("{part}p")), name(&format!("{part}t")));
            model.node("Reshape", &[&name(part), "split"], &parts, &[]);
            model.node("Transpose", &[&parts], &turned, &[("perm", Ints(turn))]);
        }
        model.node("MatMul", &[&name("qt"), &name("kt")], &name("scores"), &[]);
        model.node("Softmax", &[&name("scores")], &name("shares"), &[("axis", Int(-1))]);
        model.node("MatMul", &[&name("shares"), &name("vt")], &name("sums"), &[]);
        model.node("Transpose", &[&name("sums")], &name("back"), &[("perm", Ints(&[0, 2, 1, 3]))]);
        model.node("Reshape", &[&name("back"), "joined"], &name("all"), &[]);
        model.random(&name("wo"), &[inner, width]).node(
            "MatMul",
            &[&name("all"), &name("wo")],
            &name("o"),
            &[],
        );
        model.node("Add", &[&name("o"), &x], &y, &[]);
    }
    model
}

fn options(quantize: Options) -> CompileOptions {
    let [tokens, width] = SIZES;
    let data = ArrayData::F32(noise(4 * tokens * width, 1));
    let arrays = vec![("b0".into(), Array::new(&[4, tokens, width], data).unwrap())];
    CompileOptions { calibration: CalibrationData::Arrays(arrays), quantize, ..CompileOptions::default() }
}

fn prepared(model: &Onnx) -> Prepared {
    model.with_file(|path| prepare(path, &options(Options::default()))).unwrap()
}

fn count(program: &Program, kind: OpKind) -> usize {
    program.operators.iter().filter(|operator| operator.kind == kind).count()
}

/// The plan with three operators, and its arena.
fn in_three(prepared: &Prepared, target: Target) -> (Aligned, usize) {
    let program = lower::lower(prepared.quantized(), target.layout()).unwrap();
    let attention = [OpKind::MatMul, OpKind::Softmax, OpKind::Attention].map(|kind| count(&program, kind));
    assert_eq!(attention, [4, 2, 0]);
    let placement = plan::place(&program).unwrap();
    (emit::emit(&program, &placement, true).unwrap(), placement.arena())
}

fn inputs() -> Vec<Sample> {
    let bytes =
        |seed| noise(SIZES[0] * SIZES[1], seed).into_iter().map(|x| (x * 127.0) as i8 as u8).collect();
    (3..6).map(|seed| Sample::Tensors { rows: None, inputs: vec![bytes(seed)] }).collect()
}

fn outputs(plan: &Aligned) -> Vec<Vec<Vec<u8>>> {
    on_host(open(plan, "").unwrap(), &inputs(), &mut |_, _, _| {}).unwrap()
}

#[test]
fn one_operator_gives_the_bytes_of_three_in_less_memory() {
    for heads in [1, 4] {
        let prepared = prepared(&model(heads));
        for target in TARGETS {
            let one = prepared.compile(target).unwrap();
            let (three, arena) = in_three(&prepared, target);
            let found =
                [OpKind::MatMul, OpKind::Softmax, OpKind::Attention].map(|kind| count(&one.program, kind));
            assert_eq!(found, [0, 0, 2], "{target:?}, {heads} heads");
            let expected = outputs(&three);
            assert!(expected.iter().flatten().flatten().any(|&byte| byte != expected[0][0][0]));
            assert_eq!(outputs(&one.plan), expected, "{target:?}, {heads} heads");
            println!("{target:?}, {heads} heads: {} bytes, {arena} of three", one.placement.arena());
            let boards = !matches!(target, Target::X86_64 | Target::Aarch64);
            let most = if boards { arena * 9 / 10 } else { arena };
            assert!(one.placement.arena() <= most, "{target:?}, {heads} heads: {arena}");
            let plan = open(&one.plan, "").unwrap();
            let scores = (heads as usize * SIZES[0]).pow(2) / heads as usize;
            assert!((0..plan.tensor_count()).all(|at| plan.tensor(at as u16).unwrap().elements() != scores));
            assert!(
                inspect(&plan)
                    .ops
                    .iter()
                    .all(|op| !op.name.contains("scores") && !op.name.contains("shares"))
            );
        }
    }
}

/// Scores that somebody wants, masks, other axes and 16 bits keep their operators.
#[test]
fn what_is_more_than_attention_stays() {
    let kinds =
        |compiled: &Compiled| [OpKind::Attention, OpKind::Softmax].map(|kind| count(&compiled.program, kind));
    let compiled = |model: &Onnx| prepared(model).compile(Target::CortexM4).unwrap();
    let mut seen = model(1);
    seen.output("scores0");
    assert_eq!(kinds(&compiled(&seen)), [1, 1]);
    let mut read = model(2);
    read.node("Relu", &["shares1"], "z", &[]).output("z");
    assert_eq!(kinds(&compiled(&read)), [1, 1]);
    let mut along = model(1);
    let softmax = along.graph().node.iter_mut().find(|node| node.op_type == "Softmax").unwrap();
    softmax.attribute[0].i = 2;
    assert_eq!(kinds(&compiled(&along)), [1, 1]);
    let wide = Options { activations: Activations::Int16, ..Options::default() };
    let wide = model(1).with_file(|path| prepare(path, &options(wide))).unwrap();
    let wide = wide.compile(Target::CortexM4).unwrap();
    assert_eq!(count(&wide.program, OpKind::Attention), 0);
}

#[test]
fn attention_is_compared_with_the_float_model() {
    model(4).with_file(|path| {
        let prepared = prepare(path, &options(Options::default())).unwrap();
        let compiled = prepared.compile(Target::Generic).unwrap();
        let reference = Reference::load(path, &Default::default()).unwrap();
        let [tokens, width] = SIZES;
        let arrays = Array::new(&[2, tokens, width], ArrayData::F32(noise(2 * tokens * width, 5))).unwrap();
        let cases = samples::cases(&["b0".to_owned()], &[("b0".to_owned(), arrays)]).unwrap();
        let fidelity = validate::fidelity(&prepared, &compiled, &reference, &cases).unwrap();
        let layers: Vec<_> = fidelity.layers.iter().filter(|layer| layer.op == "Attention").collect();
        assert_eq!(layers.len(), 2);
        // The second sees the noise of the first.
        let db = layers.iter().map(|layer| layer.sqnr_db.unwrap());
        assert!(db.zip([20.0, 8.0]).all(|(db, least)| db > least), "{layers:?}");
    });
}

#[test]
fn boards_agree() {
    let lacking = doctor::checks().into_iter().find(|check| !check.optional && !check.ok());
    if let Some(lack) = lacking {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    let prepared = prepared(&model(2));
    for (name, target) in [("mps2-an386", Target::CortexM4), ("mps3-an547", Target::CortexM55)] {
        let board = boards().iter().find(|board| board.name == name).unwrap();
        let compiled = prepared.compile(target).unwrap();
        let got = device::run(board, &compiled.plan, &inputs(), &device::Options::default()).unwrap();
        assert_eq!(got.outputs, outputs(&compiled.plan), "{name}");
    }
}

/// Values that are made behind the softmax would keep queries and keys until then: three operators, where these are more than the scores.
#[test]
fn the_arena_does_not_grow() {
    for (tokens, width) in [(8, 64), (16, 64), (4, 128)] {
        let mut model = Onnx::new(13);
        model.input("b0", &[1, tokens, width]).output("y");
        for part in ["q", "k", "v", "o"] {
            model.random(&format!("w{part}"), &[width, width]);
        }
        model.node("MatMul", &["b0", "wq"], "q", &[]).node("MatMul", &["b0", "wk"], "k", &[]);
        model.node("Transpose", &["k"], "kt", &[("perm", Ints(&[0, 2, 1]))]);
        model.node("MatMul", &["q", "kt"], "scores", &[]);
        model.node("Softmax", &["scores"], "shares", &[("axis", Int(-1))]);
        model.node("MatMul", &["b0", "wv"], "v", &[]).node("MatMul", &["shares", "v"], "sums", &[]);
        model.node("MatMul", &["sums", "wo"], "o", &[]).node("Add", &["o", "b0"], "y", &[]);
        let shape = [4, tokens, width].map(|size| size as usize);
        let data = ArrayData::F32(noise(shape.iter().product(), 1));
        let arrays = vec![("b0".into(), Array::new(&shape, data).unwrap())];
        let calibration = CalibrationData::Arrays(arrays);
        let options = CompileOptions { calibration, ..CompileOptions::default() };
        let prepared = model.with_file(|path| prepare(path, &options)).unwrap();
        for target in TARGETS {
            let compiled = prepared.compile(target).unwrap();
            let program = lower::lower(prepared.quantized(), target.layout()).unwrap();
            let arena = plan::place(&program).unwrap().arena();
            assert!(compiled.placement.arena() <= arena, "{target:?}: {tokens} of {width}: {arena}");
        }
    }
}

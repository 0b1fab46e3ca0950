//! Layers that mix tokens: transposes of what they read and make are gone, and the bytes are the same.

mod support;

use mixel::aligned::Aligned;
use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Compiled, Prepared, Strips, Target, prepare};
use mixel::quantize::{Activations, Options, WeightForm, WeightRule};
use mixel::reference::Reference;
use mixel::run::open;
use mixel::{emit, lower, plan, samples, validate};
use mixel_core::Session;
use mixel_core::arch::Backend;
use mixel_core::kernels::OpKind;
use support::onnx::{Ints, Onnx, noise};

const TARGETS: [Target; 5] =
    [Target::Generic, Target::CortexM4, Target::CortexM55, Target::X86_64, Target::Aarch64];

/// Tokens and channels of [`mixer`].
const SIZES: [usize; 2] = [18, 20];

/// A block that mixes `heads` times so many tokens behind a layer: a norm, a transpose, two layers with a function
/// between them, a transpose back, a gain of every channel, the block's input on top. The layer behind it needs the
/// most memory.
fn mixer(heads: usize) -> Onnx {
    let [tokens, channels] = SIZES.map(|size| size as i64);
    let batch = heads as i64;
    let mut model = Onnx::new(17);
    model.input("x", &[1, batch, tokens, channels]).output("y");
    model.random("stem", &[channels, channels]).random("gain", &[channels]);
    model.random("scale", &[channels]).random("shift", &[channels]);
    model.random("first", &[tokens, tokens / 2]).random("second", &[tokens / 2, tokens]);
    model.random("bias", &[tokens / 2]).random("last", &[channels, 5 * channels]);
    model.node("MatMul", &["x", "stem"], "t", &[]);
    model.node("LayerNormalization", &["t", "scale", "shift"], "n", &[]);
    model.node("Transpose", &["n"], "columns", &[("perm", Ints(&[0, 1, 3, 2]))]);
    model.node("MatMul", &["columns", "first"], "a", &[]);
    model.node("Add", &["a", "bias"], "b", &[]);
    model.node("HardSwish", &["b"], "c", &[]);
    model.node("MatMul", &["c", "second"], "d", &[]);
    model.node("Transpose", &["d"], "back", &[("perm", Ints(&[0, 1, 3, 2]))]);
    model.node("Mul", &["back", "gain"], "e", &[]);
    model.node("Add", &["t", "e"], "f", &[]);
    model.node("MatMul", &["f", "last"], "y", &[]);
    model
}

fn prepared_with(model: &Onnx, heads: usize, quantize: Options) -> Prepared {
    let [tokens, channels] = SIZES;
    let data = ArrayData::F32(noise(4 * heads * tokens * channels, 1));
    let arrays = vec![("x".into(), Array::new(&[4, heads, tokens, channels], data).unwrap())];
    let calibration = CalibrationData::Arrays(arrays);
    let strips = Strips::Off;
    let options = CompileOptions { calibration, quantize, strips, strip: true, ..CompileOptions::default() };
    model.with_file(|path| prepare(path, &options)).unwrap()
}

fn prepared(model: &Onnx) -> Prepared {
    prepared_with(model, 1, Options::default())
}

/// How many operators of `kind` a plan has.
fn count(compiled: &Compiled, kind: OpKind) -> usize {
    compiled.program.operators.iter().filter(|operator| operator.kind == kind).count()
}

/// Transposes and layers that turn something.
fn turned(compiled: &Compiled) -> (usize, usize) {
    (count(compiled, OpKind::Move), count(compiled, OpKind::LinearTurned))
}

/// The same with `moves` transposes in memory: bytes of the arena, and the plan.
fn transposed(prepared: &Prepared, target: Target, moves: usize) -> (usize, Aligned) {
    let program = lower::lower(prepared.quantized(), target.layout()).unwrap();
    let of = |kind| program.operators.iter().filter(|operator| operator.kind == kind).count();
    assert_eq!((of(OpKind::Move), of(OpKind::LinearTurned)), (moves, 0));
    let placement = plan::place(&program).unwrap();
    (placement.arena(), emit::emit(&program, &placement, true).unwrap())
}

/// What `plan` makes of some inputs with `backend`.
fn outputs(plan: &Aligned, backend: Backend) -> Vec<Vec<u8>> {
    let plan = open(plan, "").unwrap();
    let sample = |seed| {
        let mut arena = Aligned::zeroed(plan.arena_bytes());
        let mut session = Session::new(plan, &mut arena).unwrap();
        session.set_backend(backend).unwrap();
        let input = session.input(0);
        let values = noise(input.len(), seed);
        input.iter_mut().zip(values).for_each(|(to, x)| *to = (x * 127.0) as i8 as u8);
        session.run();
        session.output(0).to_vec()
    };
    (3..8).map(sample).collect()
}

/// Whether `compiled` makes the bytes that the plan with `moves` transposes makes, on all this machine has.
fn same_bytes(prepared: &Prepared, compiled: &Compiled, target: Target, moves: usize) {
    let (arena, plan) = transposed(prepared, target, moves);
    let expected = outputs(&plan, Backend::Portable);
    assert!(expected.iter().flatten().any(|&byte| byte != expected[0][0]), "{target:?}");
    for &backend in Backend::ALL.iter().filter(|backend| backend.available()) {
        assert_eq!(outputs(&plan, backend), expected, "{target:?} {backend}");
        assert_eq!(outputs(&compiled.plan, backend), expected, "{target:?} {backend}");
    }
    assert!(compiled.placement.arena() <= arena, "{target:?}");
}

#[test]
fn tokens_are_mixed_without_transposes() {
    for heads in [1, 3] {
        let prepared = prepared_with(&mixer(heads), heads, Options::default());
        for target in TARGETS {
            let compiled = prepared.compile(target).unwrap();
            // In the generic layout a gain stays between the layer and its transpose.
            let stay = usize::from(target == Target::Generic);
            assert_eq!(turned(&compiled), (stay, 2 - stay), "{heads} {target:?}");
            same_bytes(&prepared, &compiled, target, 2);
        }
    }
}

/// One layer between two transposes reads columns and writes them.
#[test]
fn a_layer_alone_turns_both_sides() {
    let [tokens, channels] = SIZES.map(|size| size as i64);
    let mut model = Onnx::new(17);
    model.input("x", &[1, 1, tokens, channels]).output("y");
    model.random("stem", &[channels, channels]).random("mix", &[tokens, tokens + 3]);
    model.random("scale", &[channels]).random("shift", &[channels]).random("last", &[channels, 4 * channels]);
    model.node("MatMul", &["x", "stem"], "a", &[]);
    model.node("LayerNormalization", &["a", "scale", "shift"], "n", &[]);
    model.node("Transpose", &["n"], "b", &[("perm", Ints(&[0, 1, 3, 2]))]);
    model.node("MatMul", &["b", "mix"], "c", &[]);
    model.node("Transpose", &["c"], "d", &[("perm", Ints(&[0, 1, 3, 2]))]);
    model.node("MatMul", &["d", "last"], "y", &[]);
    let prepared = prepared(&model);
    for target in TARGETS {
        let compiled = prepared.compile(target).unwrap();
        assert_eq!((turned(&compiled), count(&compiled, OpKind::Linear)), ((0, 1), 2), "{target:?}");
        same_bytes(&prepared, &compiled, target, 2);
    }
}

#[test]
fn results_are_those_of_the_float_model() {
    let model = mixer(1);
    let prepared = prepared(&model);
    let compiled = prepared.compile(Target::CortexM4).unwrap();
    let data = ArrayData::F32(noise(SIZES.iter().product(), 5));
    let arrays = [("x".to_owned(), Array::new(&[1, 1, SIZES[0], SIZES[1]], data).unwrap())];
    let cases = samples::cases(&["x".to_owned()], &arrays).unwrap();
    let fidelity = model.with_file(|path| {
        let reference = Reference::load(path, &Default::default()).unwrap();
        validate::fidelity(&prepared, &compiled, &reference, &cases).unwrap()
    });
    let worst = fidelity.layers.iter().filter_map(|layer| layer.sqnr_db).fold(f64::MAX, f64::min);
    assert!(worst > 20.0, "{:?}", fidelity.layers);
    let layers = fidelity.layers.iter().filter(|layer| layer.op == "LinearTurned");
    assert_eq!(layers.count(), 2);
}

/// Transposes that something else needs as well.
#[test]
fn transposes_that_are_needed_otherwise_stay() {
    let (mut read, tokens) = (mixer(1), SIZES[0] as i64);
    read.random("other", &[tokens, 3]).node("MatMul", &["columns", "other"], "z", &[]).output("z");
    let mut output = mixer(1);
    output.output("columns").output("d");
    for (what, model, moves) in [("read twice", read, 1), ("outputs", output, 2)] {
        let compiled = prepared(&model).compile(Target::CortexM4).unwrap();
        assert_eq!(turned(&compiled), (moves, 2 - moves), "{what}");
    }
}

#[test]
fn other_weights_and_widths_are_transposed() {
    let model = mixer(1);
    let weights = |form| Options { weights: vec![WeightRule { form, layers: None }], ..Options::default() };
    let wide = Options { activations: Activations::Int16, ..Options::default() };
    for options in [weights(WeightForm::Int4), wide] {
        let what = format!("{options:?}");
        let compiled = prepared_with(&model, 1, options).compile(Target::Generic).unwrap();
        assert_eq!(turned(&compiled), (2, 0), "{what:?}");
    }
}

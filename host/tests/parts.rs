//! Concatenations of convolutions and pixel shuffles of them: the parts are made where they belong, byte for byte what a copy of
//! them would be.

mod support;

use mixel::aligned::Aligned;
use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Compiled, Prepared, Strips, Target, prepare};
use mixel::device::Sample;
use mixel::quantize::{Activations, Options, WeightForm, WeightRule};
use mixel::reference::Reference;
use mixel::run::{on_host, open};
use mixel::{emit, lower, plan, samples, validate};
use mixel_core::kernels::OpKind;
use support::onnx::{Float, Int, Ints, Onnx, Text, noise};

const TARGETS: [Target; 5] =
    [Target::Generic, Target::CortexM4, Target::CortexM55, Target::X86_64, Target::Aarch64];

/// Branches of 1x1, 3x3 and 5x5 convolutions of the output of a stem, with `activation` behind each, and a layer behind the
/// concatenation.
fn branches(activation: Option<&str>) -> Onnx {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 3, 24, 20]).output("y");
    model.random("stem", &[8, 3, 3, 3]).random("last", &[5, 15, 1, 1]);
    model.node("Conv", &["x", "stem"], "s", &[("pads", Ints(&[1; 4]))]);
    for (name, outputs, kernel) in [("a", 4, 1), ("b", 8, 3), ("c", 3, 5)] {
        let (weights, made) = (format!("w{name}"), format!("{name}1"));
        // Sums of about one size.
        let count = (outputs * 8 * kernel * kernel) as usize;
        let data: Vec<f32> = noise(count, kernel as u32).iter().map(|x| x / kernel as f32).collect();
        model.floats(&weights, &[outputs, 8, kernel, kernel], &data);
        let part = if activation.is_some() { &made } else { name };
        model.node("Conv", &["s", &weights], part, &[("pads", Ints(&[kernel / 2; 4]))]);
        if let Some(activation) = activation {
            model.node(activation, &[part], name, &[]);
        }
    }
    model.node("Concat", &["a", "b", "c"], "j", &[("axis", Int(1))]);
    model.node("Conv", &["j", "last"], "y", &[]);
    model
}

fn prepared_with(model: &Onnx, quantize: Options) -> Prepared {
    let dims = [4, 3, 24, 20];
    let data = ArrayData::F32(noise(dims.iter().product(), 1));
    let calibration = CalibrationData::Arrays(vec![("x".into(), Array::new(&dims, data).unwrap())]);
    let strips = Strips::Off;
    let options = CompileOptions { calibration, quantize, strips, strip: true, ..CompileOptions::default() };
    model.with_file(|path| prepare(path, &options)).unwrap()
}

fn prepared(model: &Onnx) -> Prepared {
    prepared_with(model, Options::default())
}

/// How many operators of `kind` a plan has.
fn count(compiled: &Compiled, kind: OpKind) -> usize {
    compiled.program.operators.iter().filter(|operator| operator.kind == kind).count()
}

/// How many operators make parts.
fn parts(compiled: &Compiled) -> usize {
    count(compiled, OpKind::ConvPart) + count(compiled, OpKind::LinearPart)
}

/// The same with the parts copied: bytes of the arena, and the plan.
fn copied(prepared: &Prepared, target: Target) -> (usize, Aligned) {
    let program = lower::lower(prepared.quantized(), target.layout()).unwrap();
    let copies = |kind| matches!(kind, OpKind::Join | OpKind::Shuffle);
    assert!(program.operators.iter().any(|operator| copies(operator.kind)));
    let placement = plan::place(&program).unwrap();
    (placement.arena(), emit::emit(&program, &placement, true).unwrap())
}

fn outputs(plan: &Aligned) -> Vec<Vec<Vec<u8>>> {
    let plan = open(plan, "").unwrap();
    let port = plan.inputs().next().unwrap();
    let bytes = plan.tensor(port.tensor).unwrap().bytes();
    let sample = |seed| {
        let input = noise(bytes, seed).into_iter().map(|x| (x * 127.0) as i8 as u8).collect();
        Sample::Tensors { rows: None, inputs: vec![input] }
    };
    on_host(plan, &[sample(3), sample(4)], &mut |_, _, _| {}).unwrap()
}

#[test]
fn branches_make_their_channels_of_the_whole() {
    for (activation, tables) in [(None, 0), (Some("Relu"), 0), (Some("HardSwish"), 1)] {
        let prepared = prepared(&branches(activation));
        for target in TARGETS {
            let compiled = prepared.compile(target).unwrap();
            let what = format!("{activation:?} {target:?}");
            assert_eq!((count(&compiled, OpKind::Join), parts(&compiled)), (0, 3), "{what}");
            assert_eq!(count(&compiled, OpKind::Lut), tables, "{what}");
            let (arena, plan) = copied(&prepared, target);
            assert_eq!(outputs(&compiled.plan), outputs(&plan), "{what}");
            assert!(compiled.placement.arena() < arena, "{what}");
            assert!(compiled.plan.len() < plan.len(), "{what}");
        }
    }
}

/// The end of a network for super-resolution: a convolution whose outputs become blocks of pixels, `joined` with blocks of what
/// came first, and one at that size.
fn shuffled(block: i64, mode: &str, joined: bool) -> Onnx {
    let (area, attributes) = (block * block, [("blocksize", Int(block)), ("mode", Text(mode))]);
    let mut model = Onnx::new(13);
    model.input("x", &[1, 3, 24, 20]).output("y");
    model.random("stem", &[2 * area, 3, 3, 3]).random("up", &[4 * area, 2 * area, 3, 3]);
    model.random("last", &[3, if joined { 6 } else { 4 }, 3, 3]);
    model.node("Conv", &["x", "stem"], "f", &[("pads", Ints(&[1; 4]))]);
    model.node("Conv", &["f", "up"], "u", &[("pads", Ints(&[1; 4]))]);
    model.node("DepthToSpace", &["u"], "d", &attributes);
    if joined {
        model.node("DepthToSpace", &["f"], "e", &attributes);
        model.node("Concat", &["d", "e"], "j", &[("axis", Int(1))]);
    }
    let input = if joined { "j" } else { "d" };
    model.node("Conv", &[input, "last"], "y", &[("pads", Ints(&[1; 4]))]);
    model
}

/// No tensor stands between a convolution and the pixels that its outputs become.
#[test]
fn convolutions_store_pixel_shuffles() {
    for (block, mode, joined) in
        [(2, "CRD", false), (2, "DCR", false), (3, "CRD", false), (2, "CRD", true), (3, "DCR", true)]
    {
        let prepared = prepared(&shuffled(block, mode, joined));
        for target in TARGETS {
            let compiled = prepared.compile(target).unwrap();
            let what = format!("{block} {mode} {joined} {target:?}");
            let found = [OpKind::ConvPart, OpKind::Shuffle, OpKind::Join].map(|kind| count(&compiled, kind));
            // What came first is read as it is, too.
            assert_eq!(found, [1, usize::from(joined), 0], "{what}");
            let (arena, plan) = copied(&prepared, target);
            assert_eq!(outputs(&compiled.plan), outputs(&plan), "{what}");
            assert!(compiled.placement.arena() <= arena, "{what}");
        }
    }
}

/// Strips may end with what stores a pixel shuffle, whose rows become several.
#[test]
fn strips_end_with_pixel_shuffles() {
    let mut model = shuffled(2, "CRD", false);
    let graph = model.graph();
    graph.initializer.retain(|tensor| tensor.name == "stem");
    graph.node.retain(|node| node.output[0] != "y");
    graph.node[1].input[0] = "w".into();
    // All pixels are asked for at once, and there is no room for them twice.
    model.random("wide", &[64, 8, 1, 1]).random("up", &[128, 64, 3, 3]);
    model.node("Conv", &["f", "wide"], "w", &[]);
    model.node("GlobalAveragePool", &["d"], "y", &[]);
    model.graph().node.swap(1, 3);
    model.graph().node.swap(2, 3);
    let dims = [4, 3, 24, 20];
    let data = ArrayData::F32(noise(dims.iter().product(), 1));
    let calibration = CalibrationData::Arrays(vec![("x".into(), Array::new(&dims, data).unwrap())]);
    let options = CompileOptions { calibration, strips: Strips::Most, ..CompileOptions::default() };
    let prepared = model.with_file(|path| prepare(path, &options)).unwrap();
    let mut kinds = Vec::new();
    for target in TARGETS {
        let compiled = prepared.compile(target).unwrap();
        let [gain] = &compiled.gains[..] else { panic!("{target:?}: {:?}", compiled.gains) };
        let last = compiled.program.operators[gain.operators.1].kind;
        kinds.push(last);
        let (arena, plan) = copied(&prepared, target);
        assert_eq!(outputs(&compiled.plan), outputs(&plan), "{target:?}");
        assert!(compiled.placement.arena() < arena, "{target:?}: {gain:?}");
    }
    // Whether the convolution does or a Shuffle is a matter of what that takes on the target.
    let stores = kinds.iter().filter(|&&kind| kind == OpKind::ConvPart).count();
    assert!(
        stores >= 2 && kinds.iter().all(|kind| matches!(kind, OpKind::ConvPart | OpKind::Shuffle)),
        "{kinds:?}"
    );
}

/// What a part leaves unwritten is not compared with anything.
#[test]
fn results_are_those_of_the_float_model() {
    for activation in [None, Some("HardSwish")] {
        let model = branches(activation);
        let prepared = prepared(&model);
        let compiled = prepared.compile(Target::Generic).unwrap();
        let data = ArrayData::F32(noise(3 * 24 * 20, 1));
        let arrays = [("x".to_owned(), Array::new(&[1, 3, 24, 20], data).unwrap())];
        let cases = samples::cases(&["x".to_owned()], &arrays).unwrap();
        let fidelity = model.with_file(|path| {
            let reference = Reference::load(path, &Default::default()).unwrap();
            validate::fidelity(&prepared, &compiled, &reference, &cases).unwrap()
        });
        let worst = fidelity.layers.iter().filter_map(|layer| layer.sqnr_db).fold(f64::MAX, f64::min);
        assert!(worst > 30.0, "{activation:?}: {:?}", fidelity.layers);
        // Of three parts the last one has a figure.
        let parts = fidelity.layers.iter().filter(|layer| layer.op.ends_with("Part"));
        let known = usize::from(activation.is_none());
        assert_eq!(parts.filter(|layer| layer.sqnr_db.is_some()).count(), known, "{activation:?}");
    }
}

/// Models whose concatenation has to copy, and why.
#[test]
fn parts_that_are_needed_otherwise_are_copied() {
    let wider = |factor: f32| {
        let mut model = branches(None);
        let weights = model.graph().initializer.iter_mut().find(|tensor| tensor.name == "wb").unwrap();
        let (floats, _) = weights.raw_data.as_chunks::<4>();
        weights.raw_data =
            floats.iter().flat_map(|x| (f32::from_le_bytes(*x) * factor).to_le_bytes()).collect();
        model
    };
    let mut twice = branches(None);
    twice.random("again", &[5, 8, 1, 1]).node("Conv", &["b", "again"], "z", &[]).output("z");
    let mut output = branches(None);
    output.output("b");
    let mut repeated = branches(None);
    repeated.graph().node.iter_mut().filter(|node| node.op_type == "Concat").for_each(|node| {
        node.input = vec!["a".into(), "b".into(), "c".into(), "c".into(), "c".into()];
    });
    repeated.graph().initializer.retain(|tensor| tensor.name != "last");
    repeated.random("last", &[5, 21, 1, 1]);
    let mut pooled = branches(None);
    let pool = [("kernel_shape", Ints(&[3, 3])), ("pads", Ints(&[1; 4])), ("strides", Ints(&[1, 1]))];
    pooled.node("MaxPool", &["s"], "p", &pool);
    pooled.graph().node.rotate_right(1);
    pooled.graph().node.swap(0, 1);
    pooled.graph().node.iter_mut().filter(|node| node.op_type == "Concat").for_each(|node| {
        node.input[2] = "p".into();
    });
    pooled.graph().node.retain(|node| node.output[0] != "c");
    pooled.graph().initializer.retain(|tensor| tensor.name != "last");
    pooled.random("last", &[5, 20, 1, 1]);
    let mut depthwise = branches(None);
    depthwise.graph().initializer.retain(|tensor| tensor.name != "wb");
    depthwise.random("wb", &[8, 1, 3, 3]);
    depthwise.graph().node.iter_mut().filter(|node| node.output[0] == "b").for_each(|node| {
        let mut group = node.attribute[0].clone();
        (group.name, group.r#type, group.i) = ("group".into(), 2, 8);
        group.ints.clear();
        node.attribute.push(group);
    });
    let models = [
        ("read twice", twice),
        ("an output", output),
        ("there twice", repeated),
        ("pooled", pooled),
        ("depthwise", depthwise),
        ("of another range", wider(400.0)),
    ];
    for (what, model) in models {
        let compiled = prepared(&model).compile(Target::CortexM4).unwrap();
        assert_eq!((count(&compiled, OpKind::Join), parts(&compiled)), (1, 0), "{what}");
    }
}

#[test]
fn other_weights_and_widths_are_copied() {
    let model = branches(None);
    let weights = |form| Options { weights: vec![WeightRule { form, layers: None }], ..Options::default() };
    let wide = Options { activations: Activations::Int16, ..Options::default() };
    for options in [weights(WeightForm::Int4), wide] {
        let compiled = prepared_with(&model, options).compile(Target::Generic).unwrap();
        assert_eq!((count(&compiled, OpKind::Join), parts(&compiled)), (1, 0));
    }
}

/// Functions whose inputs differ much keep their own tables: one of a common range would cost the smaller one.
#[test]
fn functions_of_other_ranges_stay_in_front() {
    for (offset, tables) in [(0.0, 1), (30.0, 3)] {
        let mut model = branches(Some("HardSwish"));
        model.floats("bias", &[8], &[offset; 8]);
        model.graph().node.iter_mut().filter(|node| node.output[0] == "b1").for_each(|node| {
            node.input.push("bias".into());
        });
        let compiled = prepared(&model).compile(Target::Generic).unwrap();
        assert_eq!(count(&compiled, OpKind::Lut), tables, "{offset}");
        assert_eq!(count(&compiled, OpKind::Join), usize::from(offset > 0.0));
    }
}

/// A model that states its quantization: one for both convolutions and what follows, or two.
#[test]
fn stated_quantizations_are_kept() {
    for (other, joins) in [(0.1, 0), (0.2, 1)] {
        for leaky in [false, true] {
            let mut model = Onnx::new(13);
            model.input("x", &[1, 4, 6, 5]).output("y").floats("s", &[], &[0.05]).bytes("z", &[], &[-3]);
            model.floats("sa", &[], &[0.1]).floats("sb", &[], &[other]).floats("sw", &[], &[0.01]);
            model.node("QuantizeLinear", &["x", "s", "z"], "xq", &[]);
            model.node("DequantizeLinear", &["xq", "s", "z"], "xd", &[]);
            for (part, scale) in [("a", "sa"), ("b", "sb")] {
                let name = |what: &str| format!("{part}{what}");
                let weights: Vec<i8> = noise(8 * 4 * 9, u32::from(part.as_bytes()[0]))
                    .iter()
                    .map(|x| (x * 127.0) as i8)
                    .collect();
                model.bytes(&name("w"), &[8, 4, 3, 3], &weights).bytes(&name("zw"), &[], &[0]);
                model.node("DequantizeLinear", &[&name("w"), "sw", &name("zw")], &name("f"), &[]);
                model.node("Conv", &["xd", &name("f")], &name("c"), &[("pads", Ints(&[1; 4]))]);
                model.node("QuantizeLinear", &[&name("c"), scale, "z"], &name("q"), &[]);
                model.node("DequantizeLinear", &[&name("q"), scale, "z"], &name("d"), &[]);
                if leaky {
                    model.node("LeakyRelu", &[&name("d")], &name("l"), &[("alpha", Float(0.1))]);
                    model.node("QuantizeLinear", &[&name("l"), "sa", "z"], &name("lq"), &[]);
                    model.node("DequantizeLinear", &[&name("lq"), "sa", "z"], &name("ld"), &[]);
                }
            }
            let joined = if leaky { ["ald", "bld"] } else { ["ad", "bd"] };
            model.node("Concat", &joined, "j", &[("axis", Int(1))]);
            model.node("QuantizeLinear", &["j", "sa", "z"], "jq", &[]);
            model.node("DequantizeLinear", &["jq", "sa", "z"], "jd", &[]);
            model.random("last", &[3, 16, 1, 1]).node("Conv", &["jd", "last"], "l", &[]);
            model.node("QuantizeLinear", &["l", "sa", "z"], "yq", &[]);
            model.node("DequantizeLinear", &["yq", "sa", "z"], "y", &[]);
            let prepared = model.with_file(|path| prepare(path, &CompileOptions::default())).unwrap();
            let compiled = prepared.compile(Target::CortexM55).unwrap();
            let what = format!("{other} {leaky}");
            let found = (count(&compiled, OpKind::Join), parts(&compiled));
            assert_eq!(found, (joins, 2 * (1 - joins)), "{what}");
            // The same function of the same integers is one of the whole. (Of others one part is rescaled.)
            assert_eq!(count(&compiled, OpKind::Lut), usize::from(leaky) + joins, "{what}");
            let (_, plan) = copied(&prepared, Target::CortexM55);
            assert_eq!(outputs(&compiled.plan), outputs(&plan), "{what}");
        }
    }
}

/// Each part of a tensor whose rows vary is a Move.
#[test]
fn rows_that_vary_are_moved() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 4, -2]).output("y").random("aw", &[6, 4, 3]).random("bw", &[5, 4, 3]);
    for (part, weights) in [("a", "aw"), ("b", "bw")] {
        model.node("Conv", &["x", weights], part, &[("pads", Ints(&[1; 2]))]);
    }
    model.node("Concat", &["a", "b"], "y", &[("axis", Int(1))]);
    let data = ArrayData::F32(noise(4 * 9, 1));
    let calibration = CalibrationData::Arrays(vec![("x".into(), Array::new(&[1, 4, 9], data).unwrap())]);
    let mut options = CompileOptions { calibration, ..CompileOptions::default() };
    options.import.max = vec![("T".into(), 9)];
    let prepared = model.with_file(|path| prepare(path, &options)).unwrap();
    let compiled = prepared.compile(Target::Generic).unwrap();
    assert_eq!((count(&compiled, OpKind::Conv), parts(&compiled)), (2, 0));
}

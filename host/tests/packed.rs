//! Weights of four bits and sparse ones: the same bytes come out as of a byte a weight with the same integers, on this machine
//! and on emulated boards; plans are as small as predicted; what cannot be is refused.

mod support;

use std::path::Path;

use mixel::aligned::Aligned;
use mixel::compile::{CalibrationData, CompileOptions, prepare};
use mixel::device::{self, Board, Sample, boards, doctor};
use mixel::graph::Graph;
use mixel::inspect::{WeightFacts, inspect};
use mixel::lower::{Sizes, lower, stored_bytes};
use mixel::quantize::{Options, Quantized, WeightForm, WeightRule, quantize};
use mixel::run::{on_host, open};
use mixel::{Error, ErrorKind};
use mixel_core::pack::{Depth, Layout};
use mixel_core::plan::format::Section;
use support::onnx::{Int, Ints, Onnx};

/// Integer weights with a share of zeros, in -limit..=limit.
fn integers(count: usize, limit: i32, zeros: f32, seed: u64) -> Vec<i8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut weight = || if random.f32() < zeros { 0 } else { random.i32(-limit..=limit) as i8 };
    (0..count).map(|_| weight()).collect()
}

/// A 3x3 convolution, a 1x1 one, a depthwise one and a fully connected layer, all quantized by the model itself; odd numbers of
/// channels. Weights lie within -limit..=limit.
fn stated(limit: i32, zeros: f32) -> Onnx {
    let mut model = Onnx::new(21);
    model.input_of("x", 3, &[1, 3, 9, 7]).output("y");
    model.floats("s", &[], &[0.05]).bytes("z", &[], &[-3]);
    model.node("DequantizeLinear", &["x", "s", "z"], "x0", &[]);
    let layers = [
        ("a", [13, 3, 3, 3], 1),
        ("b", [10, 13, 1, 1], 1),
        ("c", [10, 1, 3, 3], 10),
        ("d", [5, 630, 1, 1], 1),
    ];
    let mut from = "x0".to_owned();
    for (index, (name, dims, group)) in layers.into_iter().enumerate() {
        let count: i64 = dims.iter().product();
        let weights = integers(count as usize, limit, zeros, index as u64);
        let fully = name == "d";
        let dims = if fully { &dims[..2] } else { &dims[..] };
        let [w, q, f, sum, out, real] =
            ["w", "q", "f", "sum", "out", "real"].map(|part| format!("{name}_{part}"));
        model.bytes(&w, dims, &weights).floats(&q, &[], &[0.02]);
        model.node("DequantizeLinear", &[&w, &q], &f, &[]);
        if fully {
            let flat = format!("{from}_flat");
            model.node("Flatten", &[&from], &flat, &[]);
            model.node("Gemm", &[&flat, &f], &sum, &[("transB", Int(1))]);
        } else {
            let pads = [if dims[2] == 3 { 1 } else { 0 }; 4];
            model.node("Conv", &[&from, &f], &sum, &[("pads", Ints(&pads)), ("group", Int(group))]);
        }
        let out = if fully { "y".to_owned() } else { out };
        model.node("QuantizeLinear", &[&sum, "s", "z"], &out, &[]);
        if !fully {
            model.node("DequantizeLinear", &[&out, "s", "z"], &real, &[]);
        }
        from = real;
    }
    model
}

fn in_form(form: WeightForm) -> Options {
    Options { weights: vec![WeightRule { form, layers: None }], ..Options::default() }
}

fn compiled(quantized: &Quantized, layout: Layout) -> Aligned {
    let program = lower(quantized, layout).unwrap();
    let placement = mixel::plan::place(&program).unwrap();
    mixel::emit::emit(&program, &placement, false).unwrap()
}

fn forms(plan: &[u8]) -> Vec<WeightFacts> {
    inspect(&open(plan, "").unwrap()).ops.iter().filter_map(|op| op.weights).collect()
}

fn form_names(plan: &[u8]) -> Vec<&'static str> {
    forms(plan).iter().map(|facts| facts.form).collect()
}

fn noise(plan: &[u8], count: usize) -> Vec<Sample> {
    let plan = open(plan, "").unwrap();
    let tensor = plan.tensor(plan.inputs().next().unwrap().tensor).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let inputs = |_| Sample::Tensors {
        rows: None,
        inputs: vec![(0..tensor.bytes()).map(|_| random.u8(..)).collect()],
    };
    (0..count).map(inputs).collect()
}

fn outputs(plan: &[u8], samples: &[Sample]) -> Vec<Vec<Vec<u8>>> {
    on_host(open(plan, "").unwrap(), samples, &mut |_, _, _| {}).unwrap()
}

/// The emulated boards, or a loud word that they are missing.
fn emulated() -> Vec<&'static Board> {
    if let Some(lack) = doctor::checks().into_iter().find(|check| !check.optional && !check.ok()) {
        println!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return Vec::new();
    }
    boards().iter().filter(|board| board.is_emulated()).collect()
}

fn layout_of(board: &Board) -> Layout {
    mixel::validate::target_of(board).unwrap().layout()
}

/// Runs the plan of `quantized` for every board there and compares with `expected`.
fn boards_agree(quantized: &Quantized, samples: &[Sample], expected: &[Vec<Vec<u8>>]) {
    for board in emulated() {
        let plan = compiled(quantized, layout_of(board));
        let ran = device::run(board, &plan, samples, &device::Options::default()).unwrap();
        println!("{}: {:?}", board.name, form_names(&plan));
        assert_eq!(ran.outputs, expected, "{}", board.name);
    }
}

fn quantized(graph: &Graph, form: WeightForm) -> Quantized {
    quantize(graph.clone(), None, &in_form(form)).unwrap()
}

/// Plans of `graph` in `form` give the bytes of those with a byte a weight, in every layout and on every board.
fn same_as_int8(graph: &Graph, form: WeightForm, expected_forms: &[&str]) {
    let (dense, packed) = (quantized(graph, WeightForm::Int8), quantized(graph, form));
    let samples = noise(&compiled(&dense, Layout::Generic), 8);
    let expected = outputs(&compiled(&dense, Layout::Generic), &samples);
    assert!(expected.windows(2).any(|pair| pair[0] != pair[1]), "the outputs say something");
    for layout in Layout::ALL {
        let (dense, packed) = (compiled(&dense, layout), compiled(&packed, layout));
        assert_eq!(form_names(&packed), expected_forms, "{layout:?}");
        assert!(packed.len() < dense.len(), "{layout:?}: {} bytes of {}", packed.len(), dense.len());
        assert_eq!(outputs(&packed, &samples), expected, "{layout:?}");
    }
    boards_agree(&packed, &samples, &expected);
}

#[test]
fn sparse_plans_give_the_bytes_of_dense_ones() {
    let graph = stated(127, 0.8).load().unwrap();
    same_as_int8(&graph, WeightForm::Sparse, &["sparse", "sparse", "int8", "sparse"]);
}

#[test]
fn int4_plans_give_the_bytes_of_int8_plans() {
    let graph = stated(7, 0.0).load().unwrap();
    same_as_int8(&graph, WeightForm::Auto, &["int4", "int4", "int8", "int4"]);
}

#[test]
fn auto_takes_the_smallest_form_that_loses_nothing() {
    let names = |limit, zeros, form| {
        form_names(&compiled(&quantized(&stated(limit, zeros).load().unwrap(), form), Layout::Generic))
    };
    assert_eq!(names(127, 0.0, WeightForm::Auto), ["int8"; 4]);
    assert_eq!(names(127, 0.0, WeightForm::Sparse), ["int8"; 4]);
    assert_eq!(names(127, 0.8, WeightForm::Auto), ["sparse", "sparse", "int8", "sparse"]);
    assert_eq!(names(7, 0.9, WeightForm::Auto)[3], "sparse");
}

/// Bytes of layers' weights as predicted from sizes and zeros alone, beside those in the plan; and the data section, which is
/// those and what no form changes, each at its alignment.
#[test]
fn plans_are_as_large_as_predicted() {
    for (limit, zeros) in [(127, 0.0), (127, 0.5), (127, 0.97), (7, 0.3), (0, 1.0)] {
        let graph = stated(limit, zeros).load().unwrap();
        for layout in Layout::ALL {
            let mut rest = Vec::new();
            for form in [WeightForm::Int8, WeightForm::Int4, WeightForm::Sparse, WeightForm::Auto] {
                let plan = compiled(&quantized(&graph, form), layout);
                let found = forms(&plan);
                let predicted = predicted(layout, limit, zeros, &found);
                let bytes: Vec<usize> = found.iter().map(|facts| facts.bytes).collect();
                assert_eq!(bytes, predicted, "{layout:?} {form:?}");
                let aligned = |bytes: &usize| bytes.next_multiple_of(layout.align());
                let data = aligned(&open(&plan, "").unwrap().section(Section::Data).len());
                rest.push(data - predicted.iter().map(aligned).sum::<usize>());
            }
            // Equal matrices (all zeros) are stored once.
            assert!(limit == 0 || rest.iter().all(|&bytes| bytes == rest[0]), "{layout:?} {rest:?}");
        }
    }
}

fn predicted(layout: Layout, limit: i32, zeros: f32, found: &[WeightFacts]) -> Vec<usize> {
    let sizes = [
        (13, Depth::window([3, 3], 3, true)),
        (10, Depth::whole(13)),
        (10, Depth::whole(9)),
        (5, Depth::whole(630)),
    ];
    let layer = |(index, ((outputs, depth), facts)): (usize, ((usize, Depth), &WeightFacts))| {
        let weights = integers(outputs * depth.total(), limit, zeros, index as u64);
        let nonzero = weights.iter().filter(|weight| **weight != 0).count();
        let form = match facts.form {
            "int4" => WeightForm::Int4,
            "sparse" => WeightForm::Sparse,
            // Depthwise weights have orders of their own.
            _ if index == 2 => return layout.depthwise([3, 3]).len(9, 10).unwrap(),
            _ => WeightForm::Int8,
        };
        stored_bytes(form, layout, Sizes { groups: 1, outputs, depth }, nonzero).unwrap()
    };
    sizes.into_iter().zip(found).enumerate().map(layer).collect()
}

/// Weights of ONNX's own four-bit types, two in a byte.
#[test]
fn four_bit_types_of_onnx_are_read() {
    let with = |kind: i32, raw: Vec<u8>, zero: u8| {
        let mut model = Onnx::new(21);
        model.input_of("x", 3, &[1, 3]).output("y").floats("s", &[], &[0.5]).bytes("z", &[], &[0]);
        model.node("DequantizeLinear", &["x", "s", "z"], "r", &[]);
        model.raw("w", kind, &[3, 3], raw).raw("wz", kind, &[], vec![zero]);
        model.node("DequantizeLinear", &["w", "s", "wz"], "f", &[]);
        model.node("MatMul", &["r", "f"], "p", &[]).node("QuantizeLinear", &["p", "s", "z"], "y", &[]);
        model
    };
    let wanted = [1, -2, 3, 0, 7, -8, -1, 2, 5];
    let pack = |offset: i32| -> Vec<u8> {
        let nibble = |weight: &i32| (weight + offset) as u8 & 15;
        wanted.chunks(2).map(|pair| nibble(&pair[0]) | pair.get(1).map_or(0, nibble) << 4).collect()
    };
    for model in [with(22, pack(0), 0), with(21, pack(8), 8)] {
        let plan = compiled(&quantized(&model.load().unwrap(), WeightForm::Auto), Layout::Generic);
        assert_eq!(form_names(&plan), ["int4"]);
        let rows = [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
            .map(|x: [u8; 3]| Sample::Tensors { rows: None, inputs: vec![x.to_vec()] });
        let found: Vec<i32> = outputs(&plan, &rows)
            .iter()
            .flat_map(|outputs| outputs[0].iter().map(|&y| y as i8 as i32))
            .collect();
        // 2 * 0.5 times w * 0.5, in steps of 0.5.
        assert_eq!(found, wanted);
    }
    let error = with(22, vec![0; 4], 0).load().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Format, "{error}");
    assert!(error.to_string().contains("4 bytes for 9 weights of four bits"), "{error}");
}

#[test]
fn float_weights_lose_little_in_four_bits() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 64]).output("y");
    // Many small weights and a few large ones, which a range up to the largest would drown, and a channel of zeros.
    let mut random = fastrand::Rng::with_seed(3);
    let mut weight = |index: usize| match index / 64 {
        0 => 0.0,
        _ if random.u8(..64) == 0 => 0.9,
        _ => (0..6).map(|_| random.f32() - 0.5).sum::<f32>() * 0.2,
    };
    let weights: Vec<f32> = (0..64 * 8).map(&mut weight).collect();
    model.floats("w", &[8, 64], &weights).node("Gemm", &["x", "w"], "y", &[("transB", Int(1))]);
    model.with_file(|path| {
        let options = |form| CompileOptions {
            quantize: in_form(form),
            calibration: CalibrationData::Random,
            ..CompileOptions::default()
        };
        let prepared = prepare(path, &options(WeightForm::Int4)).unwrap();
        let chosen = prepared.quantized().weights.values().next().unwrap();
        let error = |row: usize, scale: f32, integers: &[i8]| -> f64 {
            let pairs = weights[row * 64..][..64].iter().zip(integers);
            pairs.map(|(w, q)| f64::from(w - scale * f32::from(*q)).powi(2)).sum()
        };
        for row in 0..8 {
            let found = error(row, chosen.scales[row], &chosen.data[row * 64..][..64]);
            let largest = weights[row * 64..][..64].iter().fold(0f32, |max, w| max.max(w.abs()));
            let plain: Vec<i8> =
                weights[row * 64..][..64].iter().map(|w| (w / (largest / 7.0)).round() as i8).collect();
            let naive = error(row, largest / 7.0, &plain);
            assert!(found <= naive, "channel {row}: {found} against {naive}");
            assert!(row > 0 || (found == 0.0 && chosen.scales[0].is_normal()), "a channel of zeros");
        }
        // The dense plan with the same integers gives the same bytes.
        let mut dense = prepared.quantized().clone();
        dense.weights.values_mut().for_each(|weights| weights.form = WeightForm::Int8);
        for layout in Layout::ALL {
            let (dense, packed) = (compiled(&dense, layout), compiled(prepared.quantized(), layout));
            assert_eq!((form_names(&dense), form_names(&packed)), (vec!["int8"], vec!["int4"]));
            let samples = noise(&dense, 4);
            assert_eq!(outputs(&dense, &samples), outputs(&packed, &samples));
        }
    });
}

#[test]
fn forms_that_cannot_be_are_refused_or_noted() {
    let graph = stated(127, 0.5).load().unwrap();
    let convs: Vec<String> =
        graph.nodes.iter().filter(|node| node.op.name() == "Conv").map(|node| node.name.clone()).collect();
    let (first, depthwise) = (&convs[0], &convs[2]);
    let refused = |rules: &[&str]| -> Error {
        let weights = rules.iter().map(|rule| rule.parse().unwrap()).collect();
        quantize(graph.clone(), None, &Options { weights, ..Options::default() }).unwrap_err()
    };
    let error = refused(&["int4:nobody"]);
    assert_eq!(error.kind, ErrorKind::Usage);
    assert!(error.to_string().contains("nobody"), "{error}");
    let error = refused(&[&format!("int4:{first}")]);
    assert!(error.to_string().contains("do not fit in four bits"), "{error}");
    let error = refused(&[&format!("sparse:{depthwise}")]);
    assert!(error.to_string().contains("no sparse weights"), "{error}");
    // For all layers, what cannot be is said, and the rest done.
    let quantized = quantized(&graph, WeightForm::Int4);
    assert_eq!(quantized.notes.len(), 4, "{:?}", quantized.notes);
    assert_eq!(form_names(&compiled(&quantized, Layout::Generic)), ["int8"; 4]);
    // The last rule counts.
    let weights = vec!["sparse".parse().unwrap(), format!("int8:{first}").parse().unwrap()];
    let quantized = quantize(graph.clone(), None, &Options { weights, ..Options::default() }).unwrap();
    assert_eq!(form_names(&compiled(&quantized, Layout::Generic)), ["int8", "sparse", "int8", "sparse"]);
}

/// A model of the zoo with weights of four bits, the projection among them, answers on boards as here.
#[test]
fn a_text_model_in_four_bits_is_the_same_on_boards() {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo/pnlp-intent.onnx");
    let sentences =
        ["play some jazz", "what is the weather in paris", "book a table for two", "rate this book five", ""];
    let calibration = CalibrationData::Texts(sentences.map(str::to_owned)[..4].to_vec());
    let options =
        CompileOptions { quantize: in_form(WeightForm::Int4), calibration, ..CompileOptions::default() };
    let prepared = prepare(&zoo, &options).unwrap();
    let samples: Vec<Sample> = sentences.iter().map(|text| Sample::Text((*text).to_owned())).collect();
    let mut dense = prepared.quantized().clone();
    dense.weights.values_mut().for_each(|weights| weights.form = WeightForm::Int8);
    let (dense, packed) =
        (compiled(&dense, Layout::Generic), compiled(prepared.quantized(), Layout::Generic));
    println!("pnlp-intent: {} bytes with a byte a weight, {} with four bits", dense.len(), packed.len());
    let expected = outputs(&dense, &samples);
    assert_eq!(outputs(&packed, &samples), expected);
    assert!(forms(&packed).iter().filter(|facts| facts.form == "int4").count() > 5, "{:?}", forms(&packed));
    boards_agree(prepared.quantized(), &samples, &expected);
}

/// One layer: a fully connected one of a single row, or a 1x1 convolution over 64 pixels.
fn layer(fully: bool, limit: i32, zeros: f32) -> Onnx {
    let mut model = Onnx::new(13);
    let (input, dims, depth): (&[i64], &[i64], usize) =
        if fully { (&[1, 256], &[64, 256], 256) } else { (&[1, 64, 8, 8], &[64, 64, 1, 1], 64) };
    model.input_of("x", 3, input).output("y").floats("s", &[], &[0.05]).bytes("z", &[], &[0]);
    model.bytes("w", dims, &integers(64 * depth, limit, zeros, 1)).floats("q", &[], &[0.02]);
    model.node("DequantizeLinear", &["x", "s", "z"], "r", &[]).node(
        "DequantizeLinear",
        &["w", "q"],
        "f",
        &[],
    );
    match fully {
        true => model.node("Gemm", &["r", "f"], "p", &[("transB", Int(1))]),
        false => model.node("Conv", &["r", "f"], "p", &[]),
    };
    model.node("QuantizeLinear", &["p", "s", "z"], "y", &[]);
    model
}

/// Instructions for each multiply-accumulate of the dense layer, by form and share of zeros: the table of docs/performance.md.
#[test]
fn what_packed_layers_cost_on_boards() {
    let cases = [
        ("int8", WeightForm::Int8, 127, 0.0),
        ("int4", WeightForm::Int4, 7, 0.0),
        ("sparse, 50 % zeros", WeightForm::Sparse, 127, 0.5),
        ("sparse, 75 % zeros", WeightForm::Sparse, 127, 0.75),
        ("sparse, 90 % zeros", WeightForm::Sparse, 127, 0.9),
    ];
    for fully in [true, false] {
        let mut table: Vec<String> = Vec::new();
        for (name, form, limit, zeros) in cases {
            let quantized = quantized(&layer(fully, limit, zeros).load().unwrap(), form);
            let mut row = format!("{name:20}");
            for board in emulated() {
                let plan = compiled(&quantized, layout_of(board));
                let facts = inspect(&open(&plan, "").unwrap());
                let at = facts.ops.iter().position(|op| op.weights.is_some()).unwrap();
                let options = device::Options { runs: 1, ..device::Options::default() };
                let ran = device::run(board, &plan, &noise(&plan, 1), &options).unwrap();
                let instructions = ran.profile.unwrap().ops[at].median as f64 / facts.ops[at].macs as f64;
                row += &format!(" {instructions:9.2}");
                if board.name == emulated()[0].name {
                    row.insert_str(20, &format!("{:6}", facts.ops[at].weights.unwrap().bytes));
                }
                // Scalar code that unpacks takes 8.
                assert!(instructions < 12.0, "{name} on {}: {instructions}", board.name);
            }
            table.push(row);
        }
        println!("{}", if fully { "1 x 256 -> 64" } else { "64 x 64 -> 64" });
        let names: String = emulated().iter().map(|board| format!(" {:>9}", &board.core[7..])).collect();
        println!("{:20} bytes{names}\n{}", "", table.join("\n"));
    }
}

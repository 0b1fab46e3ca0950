//! What models say about quantization, varying rows, and text front ends.

mod support;

use mixel::graph::{Graph, Op, ValueId};
use mixel::import::ImportOptions;
use mixel_core::plan::{DType, TextHead};
use support::onnx::{Int, Ints, Onnx};

fn given(graph: &Graph, id: ValueId) -> Option<(f32, i32)> {
    graph.value(id).given.map(|given| {
        assert_eq!(given.dtype, DType::I8);
        (given.scale, given.zero_point)
    })
}

/// DequantizeLinear, Conv with per-channel weights and int32 bias, Relu, QuantizeLinear; int8 in and out.
fn quantized_conv() -> Onnx {
    let mut model = Onnx::new(13);
    model.input_of("x", 3, &[-1, 2, 4, 4]).output("y");
    model.floats("sx", &[], &[0.5]).bytes("zx", &[], &[3]).floats("sy", &[], &[0.25]).bytes(
        "zy",
        &[],
        &[-128],
    );
    model.bytes("w", &[3, 2, 1, 1], &[1, 2, 3, 4, 5, -6]).floats("sw", &[3], &[0.1, 0.2, 0.4]);
    model.words("b", &[3], &[10, 20, -30]).floats("sb", &[3], &[0.05, 0.1, 0.2]);
    model.node("DequantizeLinear", &["x", "sx", "zx"], "xf", &[]);
    model.node("DequantizeLinear", &["w", "sw"], "wf", &[("axis", Int(0))]);
    model.node("DequantizeLinear", &["b", "sb"], "bf", &[("axis", Int(0))]);
    model.node("Conv", &["xf", "wf", "bf"], "c", &[]).node("Relu", &["c"], "r", &[]);
    model.node("QuantizeLinear", &["r", "sy", "zy"], "y", &[]);
    model
}

#[test]
fn quantization_is_taken_as_given() {
    let graph = quantized_conv().load().unwrap();
    let (input, output) = (graph.inputs[0], graph.outputs[0]);
    assert_eq!((graph.value(input).name.as_str(), given(&graph, input)), ("x", Some((0.5, 3))));
    assert_eq!((graph.value(output).name.as_str(), given(&graph, output)), ("y", Some((0.25, -128))));
    assert_eq!(graph.value(output).origin.as_ref().unwrap().tensor, "r");
    let conv = graph.nodes.iter().find(|node| matches!(node.op, Op::Conv { .. })).unwrap();
    let Op::Conv { clip, .. } = conv.op else { panic!("it is a Conv") };
    assert_eq!((clip.min, clip.max), (0.0, f32::INFINITY));
    let weights = graph.value(conv.inputs[1]).constant.as_ref().unwrap().integers.as_ref().unwrap();
    assert_eq!((weights.data.as_slice(), weights.axis), (&[1, 2, 3, 4, 5, -6][..], 0));
    assert_eq!(weights.scales, [0.1, 0.2, 0.4]);
    let bias = graph.value(conv.inputs[2]).constant.as_ref().unwrap().integers.as_ref().unwrap();
    assert_eq!((bias.data.as_slice(), bias.bits), (&[10, 20, -30][..], 32));
}

/// A stated quantization between operators keeps them apart, also where a transposition stood between.
#[test]
fn quantization_inside_is_kept() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 3, 4, 4]).random("w", &[3, 3, 1, 1]).floats("s", &[], &[0.1]).bytes("z", &[], &[7]);
    model.node("Conv", &["x", "w"], "c", &[]).node("QuantizeLinear", &["c", "s", "z"], "q", &[]);
    model.node("DequantizeLinear", &["q", "s", "z"], "d", &[]).node("Relu", &["d"], "r", &[]);
    model.node("Conv", &["r", "w"], "e", &[]).node("Add", &["d", "e"], "y", &[]).output("y");
    let graph = model.load().unwrap();
    let first = graph.nodes.iter().find(|node| matches!(node.op, Op::Conv { .. })).unwrap();
    assert_eq!(given(&graph, first.output), Some((0.1, 7)));
    let ops: Vec<_> = graph.nodes.iter().map(|node| node.op.name()).collect();
    assert_eq!(ops, ["Transpose", "Conv", "Unary", "Conv", "Add", "Transpose"]);
}

/// A sum whose quantization the model states is computed and rounded as it says, also where another one follows.
#[test]
fn a_quantized_sum_stays_a_sum_of_two() {
    let sums = |stated: bool| {
        let mut model = Onnx::new(13);
        model.input("x", &[1, 4, 8]).floats("s", &[], &[0.05]).bytes("z", &[], &[-3]).output("y");
        model.node("Exp", &["x"], "a", &[]).node("Tanh", &["x"], "b", &[]).node("Add", &["x", "a"], "t", &[]);
        if stated {
            model.node("QuantizeLinear", &["t", "s", "z"], "q", &[]);
            model.node("DequantizeLinear", &["q", "s", "z"], "d", &[]);
        }
        model.node("Add", &[if stated { "d" } else { "t" }, "b"], "y", &[]);
        let graph = model.load().unwrap();
        let names = graph.nodes.iter().map(|node| node.op.name());
        names.filter(|name| matches!(*name, "Add" | "Sum3")).collect::<Vec<_>>()
    };
    assert_eq!(sums(true), ["Add", "Add"]);
    assert_eq!(sums(false), ["Sum3"]);
}

#[test]
fn unsigned_integers_are_shifted() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 4]).floats("s", &[], &[0.5]).unsigned("z", &[], &[130]).output("y");
    model.node("QuantizeLinear", &["x", "s", "z"], "q", &[]).node(
        "DequantizeLinear",
        &["q", "s", "z"],
        "d",
        &[],
    );
    model.unsigned("w", &[4, 2], &[0, 128, 255, 1, 2, 3, 4, 5]).unsigned("zw", &[], &[128]);
    model.node("DequantizeLinear", &["w", "s", "zw"], "wf", &[]).node("MatMul", &["d", "wf"], "y", &[]);
    let graph = model.load().unwrap();
    assert_eq!(given(&graph, graph.inputs[0]), Some((0.5, 2)));
    let weights = graph.value(graph.nodes[0].inputs[1]).constant.as_ref().unwrap().integers.clone().unwrap();
    assert_eq!(weights.data, [-128, 127, -126, -124, 0, -127, -125, -123]);
    assert_eq!(weights.zero_points, [0]);
}

/// DequantizeLinear then QuantizeLinear with other parameters, and integers that are moved before they are read.
#[test]
fn another_quantization_is_an_identity() {
    let mut model = Onnx::new(13);
    model.input_of("x", 3, &[1, 2, 3]).floats("s", &[], &[0.5]).bytes("z", &[], &[3]).floats(
        "t",
        &[],
        &[0.25],
    );
    model.node("Transpose", &["x"], "m", &[("perm", Ints(&[0, 2, 1]))]);
    model.node("DequantizeLinear", &["m", "s", "z"], "d", &[]).node(
        "QuantizeLinear",
        &["d", "t", "z"],
        "y",
        &[],
    );
    let graph = model.output("y").load().unwrap();
    assert_eq!(given(&graph, graph.inputs[0]), Some((0.5, 3)));
    assert_eq!(given(&graph, graph.outputs[0]), Some((0.25, 3)));
    let ops: Vec<_> = graph.nodes.iter().map(|node| node.op.name()).collect();
    assert_eq!(ops, ["Identity", "Transpose"]);
    let mut wrong = Onnx::new(13);
    wrong
        .input("x", &[1, 4])
        .floats("s", &[], &[0.5])
        .bytes("z", &[], &[3])
        .floats("t", &[], &[0.25])
        .output("y");
    wrong.node("QuantizeLinear", &["x", "s", "z"], "q", &[]).node(
        "DequantizeLinear",
        &["q", "t", "z"],
        "y",
        &[],
    );
    assert!(wrong.load().unwrap_err().message.contains("scale 0.25"));
}

/// A sentence of varying length through attention: rows follow, and constants are cut to the rows present.
#[test]
fn rows_are_followed() {
    let mut model = Onnx::new(13);
    model
        .input("x", &[-1, -2, 4])
        .random("p", &[1, 16, 4])
        .ints("zero", &[0])
        .ints("one", &[1])
        .ints("two", &[2]);
    model.node("Shape", &["x"], "shape", &[]).node("Slice", &["shape", "one", "two"], "length", &[]);
    model.node("Slice", &["p", "zero", "length", "one"], "here", &[]).node("Add", &["x", "here"], "a", &[]);
    model.node("Transpose", &["a"], "t", &[("perm", Ints(&[0, 2, 1]))]).node("MatMul", &["a", "t"], "s", &[]);
    model.node("Softmax", &["s"], "w", &[]).node("MatMul", &["w", "a"], "o", &[]);
    model.node("ReduceMean", &["o"], "y", &[("axes", Ints(&[1])), ("keepdims", Int(0))]).output("y");
    let options = ImportOptions { max: vec![("T".into(), 6)], ..ImportOptions::default() };
    let graph = model.check_with("rows", &options, 1.0);
    let rows = graph.rows.clone().unwrap();
    assert_eq!((rows.name.as_str(), rows.max), ("T", 6));
    let shapes: Vec<_> = graph.nodes.iter().map(|node| graph.value(node.output).shape.to_string()).collect();
    assert_eq!(shapes, ["1x<=6x4", "1x<=6x<=6", "1x<=6x<=6", "1x<=6x4", "1x4"]);
    let constant = graph.nodes[0].inputs.iter().find(|id| graph.value(**id).constant.is_some()).unwrap();
    assert_eq!(graph.value(*constant).shape.to_string(), "1x<=6x4");
}

#[test]
fn a_text_model_begins_with_a_projection() {
    let mut model = Onnx::new(13);
    model.metadata(
        "mixel.frontend",
        r#"{"kind":"text","hash":"fnv1a-fmix","units":"byte3","n":4,"m":8,"window":1,"length":5,
            "labels":["a","b"],"head":"sequence"}"#,
    );
    model.input("features", &[-1, 5, 24]).random("w", &[24, 3]).random("b", &[3]).output("y");
    model.node("MatMul", &["features", "w"], "p", &[]).node("Add", &["p", "b"], "h", &[]);
    model.node("Relu", &["h"], "y", &[]);
    let graph = model.load().unwrap();
    let spec = graph.front_end.text.unwrap();
    assert_eq!((spec.text.n(), spec.text.slots(), spec.head), (4, 3, TextHead::Sequence));
    assert_eq!(graph.front_end.labels, ["a", "b"]);
    assert_eq!(graph.value(graph.inputs[0]).shape.dims, [1, 5, 4]);
    let projection = &graph.nodes[0];
    assert_eq!(projection.op, Op::Projection);
    assert_eq!(graph.value(projection.inputs[1]).shape.dims, [3, 8, 3]);
    // Row slot * m + bin of the exported matrix.
    let weights = &graph.value(projection.inputs[1]).constant.as_ref().unwrap().data;
    let exported: Vec<f32> = model.proto.graph.as_ref().unwrap().initializer[0]
        .raw_data
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    assert_eq!(*weights, exported);
    assert_eq!(graph.value(projection.output).origin.as_ref().unwrap().tensor, "h");
}

//! Every ONNX operator that is handled, against the oracle: as imported, after all passes, and at every origin.

mod support;

use mixel::graph::{Clip, Function, Graph, Op, ShuffleMode};
use support::onnx::{Attr, Float, Int, Ints, Onnx, Text};

/// A model of one node `op` over `x` of `dims` and random weights `w0`, `w1`, ...
fn one(opset: i64, op: &str, dims: &[i64], weights: &[&[i64]], attributes: &[(&str, Attr)]) -> Onnx {
    let mut model = Onnx::new(opset);
    model.input("x", dims);
    let names: Vec<String> = (0..weights.len()).map(|index| format!("w{index}")).collect();
    for (name, dims) in names.iter().zip(weights) {
        model.random(name, dims);
    }
    let inputs: Vec<&str> = std::iter::once("x").chain(names.iter().map(String::as_str)).collect();
    model.node(op, &inputs, "y", attributes).output("y");
    model
}

fn names(graph: &Graph) -> Vec<&'static str> {
    graph.nodes.iter().map(|node| node.op.name()).collect()
}

#[test]
fn conv() {
    let check = |what: &str, dims: &[i64], weights: &[&[i64]], attributes: &[(&str, Attr)]| {
        one(13, "Conv", dims, weights, attributes).check(what);
    };
    check("plain", &[-1, 3, 7, 6], &[&[4, 3, 3, 3], &[4]], &[]);
    check("no bias, stride", &[1, 3, 8, 9], &[&[4, 3, 3, 2]], &[("strides", Ints(&[2, 3]))]);
    check("asymmetric pads", &[1, 2, 5, 5], &[&[3, 2, 3, 3], &[3]], &[("pads", Ints(&[0, 1, 2, 3]))]);
    check("dilation", &[1, 2, 9, 9], &[&[3, 2, 3, 3], &[3]], &[("dilations", Ints(&[2, 3]))]);
    check("groups", &[1, 4, 5, 5], &[&[6, 2, 3, 3], &[6]], &[("group", Int(2))]);
    check(
        "depthwise",
        &[1, 4, 5, 5],
        &[&[4, 1, 3, 3], &[4]],
        &[("group", Int(4)), ("pads", Ints(&[1, 1, 1, 1]))],
    );
    check("multiplier", &[1, 3, 5, 5], &[&[6, 1, 3, 3], &[6]], &[("group", Int(3))]);
    for auto in ["SAME_UPPER", "SAME_LOWER", "VALID"] {
        let attributes = [("auto_pad", Text(auto)), ("strides", Ints(&[2, 2]))];
        check(auto, &[1, 2, 6, 7], &[&[3, 2, 4, 3], &[3]], &attributes);
    }
    check("1-D", &[1, 3, 9], &[&[4, 3, 3], &[4]], &[("pads", Ints(&[2, 1])), ("strides", Ints(&[2]))]);
    check(
        "1-D causal dilated",
        &[1, 3, 9],
        &[&[4, 3, 2]],
        &[("pads", Ints(&[4, 0])), ("dilations", Ints(&[4]))],
    );
}

#[test]
fn conv_transpose() {
    let check = |what: &str, dims: &[i64], weights: &[&[i64]], attributes: &[(&str, Attr)]| {
        one(13, "ConvTranspose", dims, weights, attributes).check(what);
    };
    check("plain", &[1, 3, 4, 5], &[&[3, 2, 3, 3], &[2]], &[]);
    check(
        "stride and pads",
        &[1, 3, 4, 5],
        &[&[3, 2, 4, 4]],
        &[("strides", Ints(&[2, 2])), ("pads", Ints(&[1, 1, 1, 1]))],
    );
    check(
        "output padding",
        &[1, 3, 4, 5],
        &[&[3, 2, 3, 3]],
        &[("strides", Ints(&[2, 2])), ("pads", Ints(&[1, 1, 1, 1])), ("output_padding", Ints(&[1, 1]))],
    );
    check("groups", &[1, 4, 4, 3], &[&[4, 3, 2, 2], &[6]], &[("group", Int(2)), ("strides", Ints(&[2, 2]))]);
    check("1-D", &[1, 3, 5], &[&[3, 2, 4], &[2]], &[("strides", Ints(&[2]))]);
}

#[test]
fn products() {
    one(13, "MatMul", &[1, 4, 6], &[&[6, 5]], &[]).check("rows");
    one(13, "MatMul", &[1, 6], &[&[6]], &[]).check("vector");
    one(13, "Gemm", &[-1, 6], &[&[6, 5], &[5]], &[]).check("Gemm");
    one(
        13,
        "Gemm",
        &[1, 6],
        &[&[5, 6], &[1, 5]],
        &[("transB", Int(1)), ("alpha", Float(0.5)), ("beta", Float(2.0))],
    )
    .check("Gemm, scaled");
    one(13, "Gemm", &[1, 6], &[&[5, 6], &[1]], &[("transB", Int(1))]).check("Gemm, one addend");
    one(13, "Gemm", &[6, 3], &[&[5, 6], &[3, 5]], &[("transA", Int(1)), ("transB", Int(1))])
        .check("Gemm, matrix addend");
    let mut left = Onnx::new(13);
    left.input("x", &[1, 4, 6]).random("w", &[3, 4]).node("MatMul", &["w", "x"], "y", &[]).output("y");
    left.check("weights on the left");
    let mut both = Onnx::new(13);
    both.input("a", &[1, 2, 4, 6]).input("b", &[1, 2, 5, 6]);
    both.floats("scale", &[], &[0.3]);
    both.node("Transpose", &["b"], "t", &[("perm", Ints(&[0, 1, 3, 2]))]);
    both.node("MatMul", &["a", "t"], "p", &[]).node("Mul", &["p", "scale"], "y", &[]).output("y");
    let graph = both.check("attention scores");
    assert!(matches!(
        graph.nodes[..],
        [mixel::graph::Node { op: Op::MatMul { transpose_b: true, scale: 0.3 }, .. }]
    ));
}

#[test]
fn arithmetic() {
    for op in ["Add", "Sub", "Mul", "Div"] {
        one(13, op, &[1, 3, 4, 5], &[&[3, 1, 1]], &[]).check(op);
        one(13, op, &[1, 3, 4, 5], &[&[]], &[]).check(op);
        one(13, op, &[1, 5], &[&[1, 5]], &[]).check(op);
        let mut swapped = Onnx::new(13);
        swapped.input("x", &[1, 3]).floats("c", &[], &[1.5]);
        swapped.node("Abs", &["x"], "a", &[]).node("Exp", &["a"], "e", &[]);
        swapped.node(op, &["c", "e"], "y", &[]).output("y");
        swapped.check(op);
        let mut two = Onnx::new(13);
        two.input("a", &[1, 3, 4]).input("b", &[1, 3, 1]).node("Exp", &["b"], "e", &[]);
        two.node(op, &["a", "e"], "y", &[]).output("y");
        two.check(op);
    }
    let mut wider = Onnx::new(13);
    wider.input("x", &[1, 1]).random("w", &[1, 4]).node("Add", &["x", "w"], "y", &[]).output("y");
    wider.check("a constant that broadcasts the tensor");
    let mut limits = Onnx::new(13);
    limits.input("x", &[1, 9]).floats("low", &[], &[-0.2]).floats("high", &[1], &[0.4]);
    limits.node("Max", &["x", "low"], "a", &[]).node("Min", &["high", "a"], "y", &[]).output("y");
    assert_eq!(limits.check("Max and Min").nodes.len(), 1);
}

#[test]
fn functions() {
    let alpha = |x| ("alpha", Float(x));
    for op in [
        "Abs",
        "Elu",
        "Erf",
        "Exp",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Neg",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Tanh",
    ] {
        one(14, op, &[1, 3, 4], &[], &[]).check_with(op, &Default::default(), 4.0);
    }
    one(14, "Elu", &[1, 9], &[], &[alpha(0.7)]).check("Elu");
    one(14, "LeakyRelu", &[1, 9], &[], &[alpha(0.3)]).check("LeakyRelu");
    one(14, "HardSigmoid", &[1, 9], &[], &[alpha(0.3), ("beta", Float(0.4))]).check("HardSigmoid");
    one(20, "Gelu", &[1, 9], &[], &[]).check("Gelu");
    one(20, "Gelu", &[1, 9], &[], &[("approximate", Text("tanh"))]).check("Gelu tanh");
    one(13, "PRelu", &[1, 3, 4, 5], &[&[1]], &[]).check("PRelu, one slope");
    one(13, "PRelu", &[1, 3, 4, 5], &[&[3, 1, 1]], &[]).check("PRelu, a slope a channel");
    for op in ["Log", "Sqrt", "Reciprocal"] {
        let mut positive = Onnx::new(13);
        positive.input("x", &[1, 9]).node("Exp", &["x"], "e", &[]).node(op, &["e"], "y", &[]).output("y");
        positive.check(op);
    }
    for exponent in [2.0, 3.0, 0.5] {
        let mut power = Onnx::new(13);
        power.input("x", &[1, 9]).floats("p", &[], &[exponent]).node("Exp", &["x"], "e", &[]);
        power.node("Pow", &["e", "p"], "y", &[]).output("y");
        power.check("Pow");
    }
    let mut clip = Onnx::new(13);
    clip.input("x", &[1, 9]).floats("low", &[], &[-0.1]).floats("high", &[], &[0.6]);
    clip.node("Clip", &["x", "low"], "a", &[]).node("Clip", &["a", "", "high"], "y", &[]).output("y");
    clip.check("Clip");
}

#[test]
fn normalisation() {
    for (opset, axis) in [(11, 1), (11, 2), (13, 1), (13, -1)] {
        one(opset, "Softmax", &[1, 3, 4], &[], &[("axis", Int(axis))]).check("Softmax");
    }
    one(17, "LayerNormalization", &[1, 4, 6], &[&[6], &[6]], &[("epsilon", Float(1e-3))])
        .check("LayerNormalization");
    one(17, "LayerNormalization", &[1, 4, 6], &[&[6]], &[]).check("LayerNormalization without bias");
    one(17, "LayerNormalization", &[1, 4, 6], &[&[4, 6], &[4, 6]], &[("axis", Int(1))])
        .check("over two axes");
    one(18, "GroupNormalization", &[1, 6, 3, 4], &[&[3], &[3]], &[("num_groups", Int(3))])
        .check("groups, opset 18");
    one(21, "GroupNormalization", &[1, 6, 3, 4], &[&[6], &[6]], &[("num_groups", Int(3))])
        .check("groups, opset 21");
    one(13, "InstanceNormalization", &[1, 3, 4, 5], &[&[3], &[3]], &[]).check("InstanceNormalization");
    one(13, "InstanceNormalization", &[1, 3, 7], &[&[3], &[3]], &[]).check("InstanceNormalization 1-D");
    one(13, "LpNormalization", &[1, 3, 4], &[], &[("axis", Int(1))]).check("LpNormalization");
    for dims in [&[1, 3, 4, 5][..], &[1, 3, 6], &[1, 3]] {
        let mut model = Onnx::new(15);
        model.input("x", dims).random("s", &[3]).random("b", &[3]).random("m", &[3]);
        model.floats("v", &[3], &[0.5, 1.0, 2.0]);
        model.node("BatchNormalization", &["x", "s", "b", "m", "v"], "y", &[]).output("y");
        model.check("BatchNormalization");
    }
}

#[test]
fn pooling() {
    let check = |op: &str, dims: &[i64], attributes: &[(&str, Attr)]| {
        one(13, op, dims, &[], attributes).check(&format!("{op} {dims:?}"));
    };
    for op in ["MaxPool", "AveragePool"] {
        check(op, &[1, 2, 6, 7], &[("kernel_shape", Ints(&[2, 3])), ("strides", Ints(&[2, 2]))]);
        check(op, &[1, 2, 6, 7], &[("kernel_shape", Ints(&[3, 3])), ("pads", Ints(&[1, 0, 1, 2]))]);
        check(
            op,
            &[1, 2, 6, 7],
            &[("kernel_shape", Ints(&[3, 3])), ("strides", Ints(&[2, 2])), ("ceil_mode", Int(1))],
        );
        check(
            op,
            &[1, 2, 6, 7],
            &[("kernel_shape", Ints(&[3, 3])), ("strides", Ints(&[2, 2])), ("auto_pad", Text("SAME_UPPER"))],
        );
        check(op, &[1, 2, 9], &[("kernel_shape", Ints(&[3])), ("strides", Ints(&[2]))]);
    }
    check("MaxPool", &[1, 2, 7, 7], &[("kernel_shape", Ints(&[2, 2])), ("dilations", Ints(&[2, 2]))]);
    check(
        "AveragePool",
        &[1, 2, 6, 7],
        &[("kernel_shape", Ints(&[3, 3])), ("pads", Ints(&[1, 1, 1, 1])), ("count_include_pad", Int(1))],
    );
    for op in ["GlobalMaxPool", "GlobalAveragePool"] {
        check(op, &[1, 3, 4, 5], &[]);
        check(op, &[1, 3, 6], &[]);
    }
    for op in ["ReduceMean", "ReduceMax", "ReduceL2"] {
        check(op, &[1, 3, 4, 5], &[("axes", Ints(&[2, 3])), ("keepdims", Int(0))]);
        check(op, &[1, 3, 4, 5], &[("axes", Ints(&[-1]))]);
    }
    let mut sum = Onnx::new(13);
    sum.input("x", &[1, 3, 4]).ints("axes", &[1]).node(
        "ReduceSum",
        &["x", "axes"],
        "y",
        &[("keepdims", Int(0))],
    );
    sum.output("y").check("ReduceSum");
    let mut mean = Onnx::new(18);
    mean.input("x", &[1, 3, 4]).ints("axes", &[1, 2]).node("ReduceMean", &["x", "axes"], "y", &[]);
    mean.output("y").check("ReduceMean, opset 18");
}

#[test]
fn moving() {
    let with = |op: &str, dims: &[i64], lists: &[&[i64]], attributes: &[(&str, Attr)]| {
        let mut model = Onnx::new(13);
        model.input("x", dims);
        let names: Vec<String> = (0..lists.len()).map(|index| format!("c{index}")).collect();
        for (name, list) in names.iter().zip(lists) {
            model.ints(name, list);
        }
        let inputs: Vec<&str> = std::iter::once("x").chain(names.iter().map(String::as_str)).collect();
        model.node(op, &inputs, "m", attributes).node("Tanh", &["m"], "y", &[]).output("y");
        model.check(op)
    };
    with("Reshape", &[1, 3, 4], &[&[0, -1]], &[]);
    with("Flatten", &[1, 3, 4], &[], &[]);
    with("Squeeze", &[1, 3, 1, 4], &[&[2]], &[]);
    with("Unsqueeze", &[1, 3, 4], &[&[0, 2]], &[]);
    with("Transpose", &[1, 3, 4], &[], &[("perm", Ints(&[2, 0, 1]))]);
    with("Transpose", &[1, 3, 4], &[], &[]);
    with("Expand", &[1, 3, 1], &[&[2, 1, 4]], &[]);
    with("Expand", &[3, 1], &[&[1, 1, 4]], &[]);
    with("Slice", &[1, 8, 9], &[&[1, -7], &[100, -1], &[1, 2], &[2, 3]], &[]);
    with("Slice", &[1, 8], &[&[-1], &[-100], &[1], &[-2]], &[]);
    with("Gather", &[1, 8, 3], &[&[5, 1, 6]], &[("axis", Int(1))]);
    with("Gather", &[1, 8, 3], &[&[1, 3, 5]], &[("axis", Int(1))]);
    let mut model = Onnx::new(13);
    model.input("x", &[1, 8, 3]).ints("i", &[-1]).ints("none", &[]);
    model
        .node("Reshape", &["i", "none"], "s", &[])
        .node("Gather", &["x", "s"], "y", &[("axis", Int(1))])
        .output("y");
    model.check("Gather of one row");
    let mut pad = Onnx::new(13);
    pad.input("x", &[1, 3, 4]).ints("p", &[0, 1, 0, 0, 0, 2]).floats("v", &[], &[0.5]);
    pad.node("Pad", &["x", "p", "v"], "y", &[]).output("y").check("Pad");
    let mut concat = Onnx::new(13);
    concat.input("a", &[1, 2, 4]).input("b", &[1, 3, 4]).random("c", &[1, 1, 4]);
    concat.node("Concat", &["a", "b", "c"], "y", &[("axis", Int(1))]).output("y").check("Concat");
    let mut split = Onnx::new(13);
    split.input("x", &[1, 7, 2]).ints("sizes", &[3, 4]);
    split.node_of("Split", &["x", "sizes"], &["a", "b"], &[("axis", Int(1))]);
    split.node("Identity", &["a"], "i", &[]).node("Relu", &["i"], "r", &[]);
    split.output("r").output("b").check("Split");
    let mut cast = Onnx::new(13);
    cast.input("x", &[1, 4])
        .node("Cast", &["x"], "c", &[("to", Int(1))])
        .node("Dropout", &["c"], "y", &[])
        .output("y");
    cast.check("Cast and Dropout");
}

#[test]
fn resampling() {
    for mode in ["DCR", "CRD"] {
        one(13, "DepthToSpace", &[1, 12, 2, 3], &[], &[("blocksize", Int(2)), ("mode", Text(mode))])
            .check(mode);
    }
    one(13, "SpaceToDepth", &[1, 3, 4, 6], &[], &[("blocksize", Int(2))]).check("SpaceToDepth");
    let check = |scales: &[f32], attributes: &[(&str, Attr)], what: &str| {
        let mut model = Onnx::new(13);
        model.input("x", &[1, 2, 4, 5]).floats("scales", &[4], scales);
        model.node("Resize", &["x", "", "scales"], "y", attributes).output("y").check(what);
    };
    for coordinates in ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"] {
        for scales in [[1.0, 1.0, 2.0, 3.0], [1.0, 1.0, 0.5, 0.6]] {
            let mode = |mode| [("mode", Text(mode)), ("coordinate_transformation_mode", Text(coordinates))];
            check(&scales, &mode("linear"), coordinates);
            check(&scales, &mode("nearest"), coordinates);
        }
    }
    for nearest in ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"] {
        let attributes =
            [("coordinate_transformation_mode", Text("asymmetric")), ("nearest_mode", Text(nearest))];
        check(&[1.0, 1.0, 2.0, 1.6], &attributes, nearest);
    }
    let mut sizes = Onnx::new(13);
    sizes.input("x", &[1, 2, 4, 5]).ints("sizes", &[1, 2, 8, 7]);
    sizes
        .node("Resize", &["x", "", "", "sizes"], "y", &[("mode", Text("linear"))])
        .output("y")
        .check("sizes");
}

#[test]
fn half_precision_weights() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 4]).halves("w", &[4, 3], &support::onnx::noise(12, 5));
    model.node("Cast", &["w"], "f", &[("to", Int(1))]).node("MatMul", &["x", "f"], "y", &[]).output("y");
    assert_eq!(names(&model.check("float16")), ["Linear"]);
}

/// Layer normalisation as PyTorch writes it out before opset 17.
fn written_out_norm(model: &mut Onnx, axis: i64) {
    let axes = [axis];
    let mean = || [("axes", Ints(&axes)), ("keepdims", Int(1))];
    model.floats("two", &[], &[2.0]).floats("eps", &[], &[1e-5]);
    model.node("ReduceMean", &["x"], "m", &mean()).node("Sub", &["x", "m"], "d", &[]);
    model.node("Pow", &["d", "two"], "q", &[]).node("ReduceMean", &["q"], "v", &mean());
    model.node("Add", &["v", "eps"], "e", &[]).node("Sqrt", &["e"], "r", &[]).node(
        "Div",
        &["d", "r"],
        "n",
        &[],
    );
}

#[test]
fn written_out_functions_are_recognised() {
    let mut norm = Onnx::new(13);
    norm.input("x", &[1, 4, 6]).random("g", &[6]).random("b", &[6]);
    written_out_norm(&mut norm, -1);
    norm.node("Mul", &["n", "g"], "s", &[]).node("Add", &["s", "b"], "y", &[]).output("y");
    assert_eq!(names(&norm.check("LayerNorm")), ["LayerNorm"]);

    let unary = |model: &Onnx, what: &str| {
        let graph = model.check_with(what, &Default::default(), 4.0);
        match &graph.nodes[..] {
            [node] => match &node.op {
                Op::Unary(functions) => functions.clone(),
                other => panic!("{what}: {other:?}"),
            },
            nodes => panic!("{what}: {nodes:?}"),
        }
    };
    let mut gelu = Onnx::new(13);
    gelu.input("x", &[1, 9]).floats("root", &[], &[std::f32::consts::SQRT_2]).floats("one", &[], &[1.0]);
    gelu.floats("half", &[], &[0.5]).node("Div", &["x", "root"], "a", &[]).node("Erf", &["a"], "e", &[]);
    gelu.node("Add", &["e", "one"], "b", &[]).node("Mul", &["x", "b"], "c", &[]);
    gelu.node("Mul", &["c", "half"], "y", &[]).output("y");
    assert_eq!(unary(&gelu, "GELU"), [Function::Gelu]);

    let mut tanh = Onnx::new(13);
    tanh.input("x", &[1, 9]).floats("three", &[], &[3.0]).floats("c", &[], &[0.044715]).floats(
        "one",
        &[],
        &[1.0],
    );
    tanh.floats("k", &[], &[0.797_884_6]).floats("half", &[], &[0.5]);
    tanh.node("Pow", &["x", "three"], "p", &[]).node("Mul", &["p", "c"], "q", &[]).node(
        "Add",
        &["x", "q"],
        "i",
        &[],
    );
    tanh.node("Mul", &["i", "k"], "j", &[]).node("Tanh", &["j"], "t", &[]).node(
        "Add",
        &["t", "one"],
        "u",
        &[],
    );
    tanh.node("Mul", &["x", "half"], "h", &[]).node("Mul", &["h", "u"], "y", &[]).output("y");
    assert_eq!(unary(&tanh, "tanh GELU"), [Function::GeluTanh]);

    let mut silu = Onnx::new(13);
    silu.input("x", &[1, 9]).node("Sigmoid", &["x"], "s", &[]).node("Mul", &["x", "s"], "y", &[]).output("y");
    assert_eq!(unary(&silu, "SiLU"), [Function::Silu]);

    let mut hard = Onnx::new(13);
    hard.input("x", &[1, 9]).floats("three", &[], &[3.0]).floats("six", &[], &[6.0]).floats(
        "zero",
        &[],
        &[0.0],
    );
    hard.node("Add", &["x", "three"], "a", &[]).node("Clip", &["a", "zero", "six"], "b", &[]);
    hard.node("Mul", &["x", "b"], "c", &[]).node("Div", &["c", "six"], "y", &[]).output("y");
    assert_eq!(unary(&hard, "HardSwish"), [Function::HardSwish]);

    let mut l2 = Onnx::new(13);
    l2.input("x", &[1, 4, 6]).floats("eps", &[], &[1e-12]).ints("shape", &[1, 4, 6]);
    l2.node("ReduceL2", &["x"], "n", &[("axes", Ints(&[-1])), ("keepdims", Int(1))]);
    l2.node("Clip", &["n", "eps"], "c", &[]).node("Expand", &["c", "shape"], "e", &[]);
    l2.node("Div", &["x", "e"], "y", &[]).output("y");
    assert_eq!(names(&l2.check("L2 norm")), ["L2Norm"]);
}

/// Conv, BatchNormalization, Relu, residual, pooling, flatten, Gemm: channels first as PyTorch exports it.
#[test]
fn a_pytorch_network_keeps_only_the_transposition_of_its_input() {
    let mut model = Onnx::new(13);
    model.input("x", &[-1, 3, 8, 8]);
    let same = || [("pads", Ints(&[1, 1, 1, 1]))];
    model.random("w0", &[4, 3, 3, 3]).node("Conv", &["x", "w0"], "c0", &same());
    model.random("s", &[4]).random("b", &[4]).random("m", &[4]).floats("v", &[4], &[0.5, 1.0, 2.0, 1.5]);
    model.node("BatchNormalization", &["c0", "s", "b", "m", "v"], "n0", &[]).node("Relu", &["n0"], "r0", &[]);
    model.random("w1", &[4, 1, 3, 3]).random("b1", &[4]);
    let depthwise = [("pads", Ints(&[1, 1, 1, 1])), ("group", Int(4))];
    model.node("Conv", &["r0", "w1", "b1"], "c1", &depthwise).node("Add", &["c1", "r0"], "a", &[]);
    model.node("Relu", &["a"], "r1", &[]);
    model.node("MaxPool", &["r1"], "p", &[("kernel_shape", Ints(&[2, 2])), ("strides", Ints(&[2, 2]))]);
    model.node("Flatten", &["p"], "f", &[]).random("w2", &[5, 64]).random("b2", &[5]);
    model.node("Gemm", &["f", "w2", "b2"], "y", &[("transB", Int(1))]).output("y");
    let graph = model.check("PyTorch");
    assert_eq!(names(&graph), ["Transpose", "Conv", "Conv", "Add", "MaxPool", "Reshape", "Linear"]);
}

/// A squeeze-and-excite block and a 1-D network with a normalisation over channels.
#[test]
fn transpositions_pass_gates_and_one_dimensional_networks() {
    let mut gate = Onnx::new(13);
    gate.input("x", &[1, 4, 4, 4]).random("w", &[4, 4, 1, 1]).random("w2", &[4, 4, 1, 1]);
    gate.node("Conv", &["x", "w"], "c", &[]).node("GlobalAveragePool", &["c"], "g", &[]);
    gate.node("Conv", &["g", "w2"], "e", &[]).node("Sigmoid", &["e"], "s", &[]).node(
        "Mul",
        &["c", "s"],
        "m",
        &[],
    );
    gate.node("GlobalAveragePool", &["m"], "p", &[]).node("Flatten", &["p"], "y", &[]).output("y");
    assert_eq!(names(&gate.check("gate")).iter().filter(|&&name| name == "Transpose").count(), 1);

    let mut line = Onnx::new(13);
    line.input("x", &[1, 3, 10]).random("w", &[4, 3, 3]).random("b", &[4]).random("w2", &[4, 4, 3]);
    line.random("s", &[4]).random("o", &[4]).random("m", &[4]).floats("v", &[4], &[0.5, 1.0, 2.0, 1.5]);
    line.node("Conv", &["x", "w", "b"], "c", &[]).node(
        "BatchNormalization",
        &["c", "s", "o", "m", "v"],
        "n",
        &[],
    );
    line.node("Relu", &["n"], "r", &[]).node("Conv", &["r", "w2"], "d", &[]);
    line.node("ReduceMean", &["d"], "y", &[("axes", Ints(&[2])), ("keepdims", Int(0))]).output("y");
    let graph = line.check("1-D");
    assert_eq!(names(&graph), ["Reshape", "Transpose", "Conv", "Conv", "Reshape", "Reduce"]);
}

/// Attention with heads, as written by PyTorch.
#[test]
fn attention() {
    let mut model = Onnx::new(17);
    model.input("x", &[1, 6, 8]).ints("heads", &[1, 6, 2, 4]).ints("joined", &[1, 6, 8]);
    for name in ["q", "k", "v"] {
        model.random(&format!("w{name}"), &[8, 8]).random(&format!("b{name}"), &[8]);
        model.node("MatMul", &["x", &format!("w{name}")], &format!("{name}0"), &[]);
        model.node("Add", &[&format!("b{name}"), &format!("{name}0")], &format!("{name}1"), &[]);
        model.node("Reshape", &[&format!("{name}1"), "heads"], &format!("{name}2"), &[]);
        let perm: &[i64] = if name == "k" { &[0, 2, 3, 1] } else { &[0, 2, 1, 3] };
        model.node("Transpose", &[&format!("{name}2")], &format!("{name}3"), &[("perm", Ints(perm))]);
    }
    model.floats("d", &[], &[2.0]).node("MatMul", &["q3", "k3"], "s", &[]).node("Div", &["s", "d"], "t", &[]);
    model.node("Softmax", &["t"], "a", &[("axis", Int(-1))]).node("MatMul", &["a", "v3"], "o", &[]);
    model.node("Transpose", &["o"], "o1", &[("perm", Ints(&[0, 2, 1, 3]))]);
    model.node("Reshape", &["o1", "joined"], "o2", &[]).random("wo", &[8, 8]);
    model.node("MatMul", &["o2", "wo"], "o3", &[]).node("Add", &["x", "o3"], "h", &[]);
    model
        .random("g", &[8])
        .random("b", &[8])
        .node("LayerNormalization", &["h", "g", "b"], "y", &[])
        .output("y");
    let graph = model.check("attention");
    let scores = graph.nodes.iter().find(|node| matches!(node.op, Op::MatMul { .. })).unwrap();
    assert_eq!(scores.op, Op::MatMul { transpose_b: true, scale: 0.5 });
}

/// Token and channel mixing as `mixel-models` exports it: normalise, mix columns, mix rows, pool by attention.
#[test]
fn a_mixer() {
    let mut model = Onnx::new(20);
    model.input("x", &[-1, 6, 8]).random("g", &[8]).random("b", &[8]);
    model.node("LayerNormalization", &["x", "g", "b"], "n", &[]);
    model
        .node("Transpose", &["n"], "t", &[("perm", Ints(&[0, 2, 1]))])
        .random("wt", &[6, 6])
        .random("bt", &[6]);
    model.node("MatMul", &["t", "wt"], "m", &[]).node("Add", &["m", "bt"], "m1", &[]).node(
        "Gelu",
        &["m1"],
        "m2",
        &[],
    );
    model.node("Transpose", &["m2"], "r", &[("perm", Ints(&[0, 2, 1]))]).node("Add", &["x", "r"], "h", &[]);
    model.random("ws", &[8, 1]).node("MatMul", &["h", "ws"], "s", &[]);
    model
        .node("Softmax", &["s"], "a", &[("axis", Int(1))])
        .node("Mul", &["a", "h"], "w", &[])
        .ints("axes", &[1]);
    model.node("ReduceSum", &["w", "axes"], "p", &[("keepdims", Int(0))]).random("wo", &[8, 3]);
    model.node("MatMul", &["p", "wo"], "y", &[]).output("y");
    let graph = model.check("mixer");
    assert_eq!(names(&graph).iter().filter(|&&name| name == "Transpose").count(), 2, "{:?}", names(&graph));
}

/// Skip connections over channels, upsampling, explicit padding, a gate, pixel shuffle: all channels first.
#[test]
fn an_image_to_image_network_keeps_the_transpositions_of_its_ends() {
    let mut model = Onnx::new(14);
    model.input("x", &[1, 3, 6, 6]).ints("p", &[0, 0, 1, 1, 0, 0, 1, 1]).random("w0", &[4, 3, 3, 3]);
    model.node("Pad", &["x", "p"], "padded", &[]).node("Conv", &["padded", "w0"], "c0", &[]);
    model.node("HardSwish", &["c0"], "h", &[]);
    model.node("AveragePool", &["h"], "down", &[("kernel_shape", Ints(&[2, 2])), ("strides", Ints(&[2, 2]))]);
    model.floats("scales", &[4], &[1.0, 1.0, 2.0, 2.0]);
    model.node("Resize", &["down", "", "scales"], "up", &[("mode", Text("linear"))]);
    model.node("Concat", &["h", "up"], "both", &[("axis", Int(1))]).random("w1", &[12, 8, 1, 1]);
    model.node("Conv", &["both", "w1"], "c1", &[]).ints("halves", &[6, 6]);
    model.node_of("Split", &["c1", "halves"], &["left", "right"], &[("axis", Int(1))]);
    model.node("Sigmoid", &["right"], "gate", &[]).node("Mul", &["left", "gate"], "gated", &[]);
    model.random("w2", &[12, 6, 1, 1]).random("scale", &[12, 1, 1]).node("Conv", &["gated", "w2"], "c2", &[]);
    model.node("Mul", &["c2", "scale"], "scaled", &[]);
    model.node("DepthToSpace", &["scaled"], "y", &[("blocksize", Int(2)), ("mode", Text("CRD"))]).output("y");
    let graph = model.check("image to image");
    let names = names(&graph);
    assert_eq!(names.iter().filter(|&&name| name == "Transpose").count(), 2, "{names:?}");
    assert!(!names.contains(&"Pad"), "{names:?}");
}

/// The layer in front gives its channels in the order in which the shuffle stores runs of them, functions of single values between or
/// not; where something else reads them, they stay.
#[test]
fn pixel_shuffles_move_runs_of_what_a_layer_makes() {
    for (kernel, elsewhere) in [(3, false), (1, false), (3, true)] {
        let mut model = Onnx::new(14);
        model.input("x", &[1, 3, 4, 5]).random("w", &[12, 3, kernel, kernel]).random("b", &[12]);
        model.node("Conv", &["x", "w", "b"], "c", &[("auto_pad", Text("SAME_UPPER"))]);
        model.node("LeakyRelu", &["c"], "r", &[]);
        model.node("DepthToSpace", &["r"], "y", &[("blocksize", Int(2)), ("mode", Text("CRD"))]).output("y");
        if elsewhere {
            model.node("Sigmoid", &["r"], "s", &[]).output("s");
        }
        let graph = model.check("shuffle");
        let modes = graph.nodes.iter().filter_map(|node| match node.op {
            Op::DepthToSpace { mode, .. } => Some(mode),
            _ => None,
        });
        let wanted = if elsewhere { ShuffleMode::Crd } else { ShuffleMode::Dcr };
        assert!(modes.eq([wanted]), "kernel {kernel}");
    }
}

/// A patch embedding: convolution, flattened positions, tokens; a class token and positions.
#[test]
fn patches_become_tokens_without_a_transposition() {
    let mut model = Onnx::new(17);
    model.input("image", &[1, 8, 8, 3]).node("Transpose", &["image"], "x", &[("perm", Ints(&[0, 3, 1, 2]))]);
    model.random("w", &[5, 3, 4, 4]).random("b", &[5]).ints("flat", &[0, 0, -1]).random("class", &[1, 1, 5]);
    model.node("Conv", &["x", "w", "b"], "c", &[("strides", Ints(&[4, 4]))]).node(
        "Reshape",
        &["c", "flat"],
        "f",
        &[],
    );
    model.node("Transpose", &["f"], "t", &[("perm", Ints(&[0, 2, 1]))]).random("pos", &[1, 5, 5]);
    model.node("Concat", &["class", "t"], "all", &[("axis", Int(1))]).node("Add", &["all", "pos"], "h", &[]);
    model.ints("zero", &[0]).ints("scalar", &[]).node("Reshape", &["zero", "scalar"], "first", &[]);
    model.node("Gather", &["h", "first"], "y", &[("axis", Int(1))]).output("y");
    let names = names(&model.check("patches"));
    assert!(!names.contains(&"Transpose"), "{names:?}");
}

/// Normalisation of the input in front of a convolution without padding goes into its weights, a channels-first layer
/// norm is one over the last axis.
#[test]
fn steps_around_a_convolution_are_folded() {
    let mut model = Onnx::new(13);
    model.input("image", &[1, 6, 6, 3]).random("mean", &[3]).floats("std", &[3], &[0.5, 0.25, 2.0]);
    model.node("Sub", &["image", "mean"], "i0", &[]).node("Div", &["i0", "std"], "i1", &[]);
    model.node("Transpose", &["i1"], "x0", &[("perm", Ints(&[0, 3, 1, 2]))]).random("w", &[4, 3, 2, 2]);
    model
        .node("Conv", &["x0", "w"], "x", &[("strides", Ints(&[2, 2]))])
        .random("g", &[4, 1, 1])
        .random("b", &[4, 1, 1]);
    written_out_norm(&mut model, 1);
    model.node("Mul", &["n", "g"], "s", &[]).node("Add", &["s", "b"], "a", &[]);
    model.node("Transpose", &["a"], "y", &[("perm", Ints(&[0, 2, 3, 1]))]).output("y");
    assert_eq!(names(&model.check("folded")), ["Conv", "LayerNorm"]);
}

/// Each operand could be turned for the other's sake, for ever.
#[test]
fn a_sum_of_two_tensors_of_one_dimension_settles() {
    let mut model = Onnx::new(17);
    model.input("x", &[1, 5, 4, 4]).input("z", &[1, 5, 1, 1]).output("y");
    model.node("GlobalAveragePool", &["x"], "mean", &[]).node("Add", &["z", "mean"], "y", &[]);
    model.check("small sum");
}

/// `(x + s) + d` of a block's input and its two branches: three activations of one shape, at whose end a range may be fused.
#[test]
fn a_sum_of_a_sum_is_one_of_three() {
    // What a block adds up last, and whether the model shows the first sum.
    let block = |nodes: &[(&str, [&str; 2], &str)], shown: bool| {
        let mut model = Onnx::new(17);
        model.input("x", &[1, 6, 8]).node("Exp", &["x"], "s", &[]).node("Tanh", &["x"], "d", &[]);
        model.random("row", &[8]).random("whole", &[1, 6, 8]);
        model.node("ReduceMean", &["x"], "mean", &[("axes", Ints(&[1])), ("keepdims", Int(1))]);
        for (op, inputs, output) in nodes {
            let inputs = &inputs[..if inputs[1].is_empty() { 1 } else { 2 }];
            model.node(op, inputs, output, &[]);
        }
        model.output("y");
        if shown {
            model.output("t");
        }
        let graph = model.check(&format!("{nodes:?}"));
        let sums = graph.nodes.iter().filter(|node| matches!(node.op.name(), "Add" | "Sum3"));
        sums.map(|node| (node.op.name(), node.op.clone())).collect::<Vec<_>>()
    };
    let plain = Op::Sum3 { clip: Clip::NONE };
    for outer in [["t", "d"], ["d", "t"]] {
        let sums = block(&[("Add", ["x", "s"], "t"), ("Add", outer, "y")], false);
        assert_eq!(sums, [("Sum3", plain.clone())], "{outer:?}");
    }
    let sums = block(&[("Add", ["x", "s"], "t"), ("Add", ["t", "d"], "u"), ("Relu", ["u", ""], "y")], false);
    assert_eq!(sums, [("Sum3", Op::Sum3 { clip: Clip { min: 0.0, max: f32::INFINITY } })]);
    let sums = block(&[("Add", ["x", "s"], "t"), ("Add", ["t", "x"], "y")], false);
    assert_eq!(sums, [("Sum3", plain.clone())], "an operand twice");
    let four = block(&[("Add", ["x", "s"], "t"), ("Add", ["t", "d"], "u"), ("Add", ["u", "s"], "y")], false);
    assert_eq!(four.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["Sum3", "Add"]);
    // What keeps the first sum: its own readers, its limits, operands that are no activations of the shape, both operands.
    let kept = |what: &str, nodes: &[(&str, [&str; 2], &str)], shown: bool, count: usize| {
        let sums = block(nodes, shown);
        assert!(sums.iter().all(|(name, _)| *name == "Add") && sums.len() == count, "{what}: {sums:?}");
    };
    let inner = ("Add", ["x", "s"], "t");
    kept("an output", &[inner, ("Add", ["t", "d"], "y")], true, 2);
    kept("another reader", &[inner, ("Add", ["t", "d"], "u"), ("Mul", ["u", "t"], "y")], false, 2);
    kept("limits", &[inner, ("Relu", ["t", ""], "r"), ("Add", ["r", "d"], "y")], false, 2);
    kept("a constant row", &[inner, ("Add", ["t", "row"], "y")], false, 2);
    kept("a constant", &[("Add", ["x", "whole"], "t"), ("Add", ["t", "d"], "y")], false, 2);
    kept("a mean that repeats", &[("Add", ["x", "mean"], "t"), ("Add", ["t", "d"], "y")], false, 2);
    kept("twice itself", &[inner, ("Add", ["t", "t"], "y")], false, 2);
    kept("a difference", &[("Sub", ["x", "s"], "t"), ("Add", ["t", "d"], "y")], false, 1);
}

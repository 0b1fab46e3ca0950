//! Models that are refused: one paragraph that says what is wrong, where, and what to do.

mod support;

use mixel::import::{self, ImportOptions};
use mixel::{Error, ErrorKind};
use support::onnx::{Float, Int, Ints, Onnx, Text};

fn relu() -> Onnx {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 8]).node("Relu", &["x"], "y", &[]).output("y");
    model
}

fn load_bytes(bytes: &[u8]) -> Result<(), Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    import::load(&path, &ImportOptions::default()).map(|_| ())
}

/// The error of `model`, which names `path` and says `part`, and has a hint.
fn refused(model: &Onnx, kind: ErrorKind, path: &str, part: &str) {
    let error = model.load().expect_err("must be refused");
    assert_eq!(error.kind, kind, "{error}");
    assert_eq!(error.path, path, "{error}");
    assert!(error.message.contains(part), "{error}");
    assert!(!error.hint.is_empty(), "{error}");
}

#[test]
fn a_file_that_is_missing_broken_or_no_model() {
    let missing =
        import::load(std::path::Path::new("/nowhere/m.onnx"), &ImportOptions::default()).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Io);
    assert_eq!(load_bytes(b"").unwrap_err().kind, ErrorKind::Format);
    assert_eq!(load_bytes(b"PK\x03\x04 some other file").unwrap_err().kind, ErrorKind::Format);
    let bytes = relu().encoded();
    assert!(load_bytes(&bytes).is_ok());
    for end in 0..bytes.len() {
        let error = load_bytes(&bytes[..end]).expect_err("a part of a model");
        assert_eq!(error.kind, ErrorKind::Format, "cut at {end}: {error}");
        assert!(error.to_string().contains("cut off"), "{error}");
    }
}

#[test]
fn an_operator_that_is_not_handled() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 8]).node("Relu", &["x"], "r", &[]).node("Det", &["r"], "y", &[]).output("y");
    refused(&model, ErrorKind::Unsupported, "node_y", "Det");
    let mut model = relu();
    model.graph().node[0].domain = "com.example".into();
    refused(&model, ErrorKind::Unsupported, "node_y", "com.example");
    let mut model = relu();
    model.proto.opset_import[0].version = 9;
    assert_eq!(model.load().unwrap_err().kind, ErrorKind::Unsupported);
    assert!(model.load().unwrap_err().to_string().contains("11 to 22"));
}

#[test]
fn forms_that_are_not_handled() {
    let mut mode = Onnx::new(13);
    mode.input("x", &[1, 4]).ints("p", &[0, 1, 0, 1]).node(
        "Pad",
        &["x", "p"],
        "y",
        &[("mode", Text("reflect"))],
    );
    refused(mode.output("y"), ErrorKind::Unsupported, "node_y", "reflect");
    let mut weights = Onnx::new(13);
    weights.input("x", &[1, 2, 4, 4]).input("w", &[3, 2, 1, 1]).node("Conv", &["x", "w"], "y", &[]);
    refused(weights.output("y"), ErrorKind::Unsupported, "node_y", "weights");
    let mut indices = Onnx::new(13);
    indices.input("x", &[1, 4]).node("MaxPool", &["x"], "y", &[]).output("y");
    assert_eq!(indices.load().unwrap_err().kind, ErrorKind::Shape);
    let mut training = Onnx::new(15);
    training.input("x", &[1, 2]).random("s", &[2]).random("b", &[2]).random("m", &[2]).floats(
        "v",
        &[2],
        &[1.0, 1.0],
    );
    training.node("BatchNormalization", &["x", "s", "b", "m", "v"], "y", &[("training_mode", Int(1))]);
    assert!(training.output("y").load().is_err());
}

#[test]
fn a_dimension_without_a_bound() {
    let mut model = Onnx::new(13);
    model.input("x", &[-1, -2, 4]).random("w", &[4, 3]).node("MatMul", &["x", "w"], "y", &[]).output("y");
    refused(&model, ErrorKind::Shape, "x", "`T`");
    assert!(model.load().unwrap_err().hint.contains("--max T=N"));
    let bounds = |list: &[(&str, usize)]| ImportOptions {
        max: list.iter().map(|&(name, max)| (name.to_owned(), max)).collect(),
        ..ImportOptions::default()
    };
    let graph = model.load_with(&bounds(&[("T", 6)])).unwrap();
    assert_eq!(graph.value(graph.outputs[0]).shape.to_string(), "1x<=6x3");
    assert_eq!(model.load_with(&bounds(&[("T", 6), ("U", 2)])).unwrap_err().kind, ErrorKind::Usage);
    assert_eq!(model.load_with(&bounds(&[("T", 0)])).unwrap_err().kind, ErrorKind::Usage);
}

#[test]
fn weights_in_a_file_that_is_not_there() {
    let mut model = Onnx::new(13);
    model.input("x", &[1, 4]).random("w", &[4, 3]).node("MatMul", &["x", "w"], "y", &[]).output("y");
    let weight = &mut model.graph().initializer[0];
    weight.raw_data.clear();
    weight.data_location = Some(1);
    let location = tract_onnx::pb::StringStringEntryProto { key: "location".into(), value: "w.bin".into() };
    weight.external_data.push(location);
    refused(&model, ErrorKind::Io, "w", "w.bin");
}

#[test]
fn tensors_that_are_made_twice_or_never() {
    let mut never = Onnx::new(13);
    never.input("x", &[1, 8]).node("Add", &["x", "nowhere"], "y", &[]).output("y");
    refused(&never, ErrorKind::Format, "node_y", "`nowhere`");
    let mut cycle = Onnx::new(13);
    cycle.input("x", &[1, 8]).node("Add", &["x", "b"], "a", &[]).node("Relu", &["a"], "b", &[]).output("b");
    refused(&cycle, ErrorKind::Format, "node_a", "`b`");
    let mut twice = relu();
    twice.node("Tanh", &["x"], "y", &[]);
    refused(&twice, ErrorKind::Format, "node_y", "`y`");
    refused(relu().input("x", &[1, 8]), ErrorKind::Format, "x", "two inputs");
    refused(relu().random("w", &[2]).random("w", &[2]), ErrorKind::Format, "w", "two weights");
    refused(relu().output("y"), ErrorKind::Format, "y", "two outputs");
    refused(relu().output("z"), ErrorKind::Format, "z", "made by no node");
    let mut empty = relu();
    empty.graph().node.clear();
    refused(&empty, ErrorKind::Format, "y", "made by no node");
    let mut dropped = relu();
    dropped.graph().node[0].output.clear();
    refused(&dropped, ErrorKind::Format, "y", "made by no node");
}

#[test]
fn sizes_beyond_reason() {
    let model = |dims: &[i64]| {
        let mut model = Onnx::new(13);
        model.input("x", dims).node("Relu", &["x"], "y", &[]).output("y");
        model
    };
    refused(&model(&[1, 1 << 40]), ErrorKind::Shape, "x", "more than");
    refused(&model(&[1, 1 << 62, 1 << 62]), ErrorKind::Shape, "x", "more than");
    refused(&model(&[1, 1, 1, 1, 1, 1, 1, 4]), ErrorKind::Shape, "x", "8 dimensions");
    let bounds = ImportOptions { max: vec![("T".to_owned(), 1 << 50)], ..ImportOptions::default() };
    let error = model(&[-1, -2, 4]).load_with(&bounds).unwrap_err();
    assert_eq!((error.kind, error.path.as_str()), (ErrorKind::Shape, "x"), "{error}");
    let mut weight = Onnx::new(13);
    weight.input("x", &[1, 4]).random("w", &[4, 3]).node("MatMul", &["x", "w"], "y", &[]).output("y");
    weight.graph().initializer[0].dims = vec![1 << 40, 1 << 30];
    refused(&weight, ErrorKind::Shape, "w", "more than");
    // A window that is larger than its input leaves nothing.
    let mut nothing = Onnx::new(13);
    nothing.input("x", &[1, 2, 4, 4]).random("w", &[2, 2, 9, 9]).node("Conv", &["x", "w"], "y", &[]);
    refused(nothing.output("y"), ErrorKind::Shape, "y", "no element");
    let mut padded = Onnx::new(13);
    padded.input("x", &[1, 1, 4, 4]).random("w", &[1, 1, 3, 3]);
    padded.node("Conv", &["x", "w"], "y", &[("pads", Ints(&[100_000; 4]))]);
    refused(padded.output("y"), ErrorKind::Shape, "y", "more than");
}

#[test]
fn numbers_that_are_none() {
    let model = |value: f32| {
        let mut model = Onnx::new(13);
        model.input("x", &[1, 2]).floats("w", &[2, 2], &[1.0, value, 0.5, 0.25]);
        model.node("MatMul", &["x", "w"], "y", &[]).output("y");
        model
    };
    refused(&model(f32::NAN), ErrorKind::Format, "w", "NaN");
    refused(&model(f32::INFINITY), ErrorKind::Unsupported, "node_y", "not finite");
    let mut halves = Onnx::new(13);
    halves.input_of("x", 10, &[1, 2]).halves("w", &[2, 2], &[1.0, f32::NAN, 0.5, 0.25]);
    refused(halves.node("MatMul", &["x", "w"], "y", &[]).output("y"), ErrorKind::Format, "w", "NaN");
    let mut slope = Onnx::new(13);
    slope.input("x", &[1, 2]).node("LeakyRelu", &["x"], "y", &[("alpha", Float(f32::NAN))]).output("y");
    refused(&slope, ErrorKind::Format, "node_y", "alpha");
    // A bound that is no bound is what exporters write.
    let mut clip = Onnx::new(13);
    clip.input("x", &[1, 2]).floats("low", &[], &[0.0]).floats("high", &[], &[f32::INFINITY]);
    clip.node("Clip", &["x", "low", "high"], "y", &[]).output("y");
    assert!(clip.load().is_ok());
}

#[test]
fn attributes_out_of_their_range() {
    for (op, attribute) in [
        ("Conv", ("strides", Ints(&[0, 0]))),
        ("Conv", ("dilations", Ints(&[1, 0]))),
        ("Conv", ("group", Int(0))),
        ("MaxPool", ("kernel_shape", Ints(&[0, 2]))),
        ("DepthToSpace", ("blocksize", Int(0))),
        ("Transpose", ("perm", Ints(&[0, 1, 1, 1]))),
        ("Transpose", ("perm", Ints(&[0, 1, 2, 9]))),
    ] {
        let name = attribute.0;
        let mut model = Onnx::new(13);
        model.input("x", &[1, 4, 4, 4]).random("w", &[4, 4, 3, 3]);
        let inputs = if op == "Conv" { &["x", "w"][..] } else { &["x"] };
        model.node(op, inputs, "y", &[attribute]).output("y");
        refused(&model, ErrorKind::Format, "node_y", name);
    }
}

#[test]
fn attributes_that_the_shape_analysis_panics_on() {
    let mut flatten = Onnx::new(13);
    flatten.input("x", &[1, 2, 4, 4]).node("Flatten", &["x"], "y", &[("axis", Int(77))]).output("y");
    refused(&flatten, ErrorKind::Shape, "", "tract gave up");
    let mut pads = Onnx::new(13);
    pads.input("x", &[1, 2, 4, 4]).random("w", &[2, 2, 3, 3]);
    pads.node("Conv", &["x", "w"], "y", &[("pads", Ints(&[1, 1]))]);
    assert_eq!(pads.output("y").load().unwrap_err().kind, ErrorKind::Shape);
}

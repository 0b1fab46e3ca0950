//! Models that are refused: one paragraph that says what is wrong, where, and what to do.

mod support;

use mixel::import::{self, ImportOptions};
use mixel::{Error, ErrorKind};
use support::onnx::{Int, Onnx, Text};

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

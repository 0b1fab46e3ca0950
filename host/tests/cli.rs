//! The command as its users see it: a small float model from compile to run, and the fixed fields of the JSON answers.

mod support;

use std::path::Path;

use mixel::arrays::{Array, ArrayData, read_npz, write_npz};
use serde_json::Value;
use support::command::{good, json, mixel};
use support::onnx::{Ints, Onnx, noise};

/// conv 3x3 - relu - mean - fully connected, channels first, with three labels; `m.onnx`, and `c.npz` with its inputs.
fn write_model(folder: &Path) {
    let mut model = Onnx::new(17);
    model.input("image", &[1, 2, 6, 5]).random("w", &[4, 2, 3, 3]).random("b", &[4]).random("v", &[4, 3]);
    model.metadata("mixel.frontend", r#"{"kind": "none", "labels": ["low", "middle", "high"]}"#);
    model.node("Conv", &["image", "w", "b"], "conv", &[("pads", Ints(&[1, 1, 1, 1]))]);
    model.node("Relu", &["conv"], "relu", &[]).node("GlobalAveragePool", &["relu"], "mean", &[]);
    model
        .node("Flatten", &["mean"], "flat", &[])
        .node("MatMul", &["flat", "v"], "scores", &[])
        .output("scores");
    std::fs::write(folder.join("m.onnx"), model.encoded()).unwrap();
    let inputs = Array::new(&[8, 2, 6, 5], ArrayData::F32(noise(8 * 60, 5))).unwrap();
    write_npz(&folder.join("c.npz"), &[("image".into(), inputs)]).unwrap();
}

#[test]
fn a_float_model_from_onnx_to_answers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(folder);
    let compiled =
        json(folder, &["compile", "m.onnx", "-o", "m.mxl", "--calib", "c.npz", "--ops-rs", "ops.rs"]);
    assert_eq!(compiled["arena_bytes_lower_bound"].as_u64().map(|bytes| bytes > 0), Some(true));
    let operators = std::fs::read_to_string(folder.join("ops.rs")).unwrap();
    assert!(operators.contains("pub struct Ops:") && operators.contains("Conv"), "{operators}");
    let plan = std::fs::read(folder.join("m.mxl")).unwrap();
    let checksum = u32::from_le_bytes(plan[12..16].try_into().unwrap());
    assert!(operators.contains(&format!("verified: unsafe {checksum:#010X};")), "{operators}");
    json(
        folder,
        &["compile", "m.onnx", "-o", "any.mxl", "--calib", "c.npz", "--ops-rs", "any.rs", "--any-plan"],
    );
    let any = std::fs::read_to_string(folder.join("any.rs")).unwrap();
    assert!(any.contains("pub struct Ops:") && !any.contains("verified"), "{any}");

    let facts = json(folder, &["inspect", "m.mxl"]);
    for field in ["arena_bytes", "weights_bytes", "plan_bytes", "macs"] {
        assert!(facts[field].as_u64().is_some_and(|value| value > 0), "{field}: {facts}");
    }
    assert_eq!(facts["plan_bytes"], std::fs::metadata(folder.join("m.mxl")).unwrap().len());
    assert_eq!(facts["macs"], 6 * 5 * 4 * 2 * 9 + 4 * 3);
    assert_eq!(
        (&facts["inputs"][0]["name"], &facts["inputs"][0]["interface"]),
        (&"image".into(), &"float32".into())
    );
    assert_eq!(facts["labels"][2], "high");
    assert_eq!(json(folder, &["inspect", "m.onnx", "--calib", "c.npz"])["arena_bytes"], facts["arena_bytes"]);

    let run = json(folder, &["run", "m.mxl", "--input", "c.npz", "--output", "o.npz"]);
    assert_eq!(run["samples"], 8);
    let label = run["answers"][0]["rows"][0]["best"][0]["label"].as_str().unwrap();
    assert!(["low", "middle", "high"].contains(&label));
    let (name, scores) = read_npz(&folder.join("o.npz")).unwrap().remove(0);
    assert_eq!(
        (name.as_str(), &scores.dims[..], scores.data.type_name()),
        ("scores", &[8, 3][..], "float32")
    );
    // The model runs as its plan does, and `--raw` gives the integers behind the same answer.
    good(folder, &["run", "m.onnx", "--calib", "c.npz", "--input", "c.npz", "--output", "p.npz"]);
    assert_eq!(read_npz(&folder.join("p.npz")).unwrap()[0].1, scores);
    good(folder, &["run", "m.mxl", "--input", "c.npz", "--output", "r.npz", "--raw"]);
    let raw = read_npz(&folder.join("r.npz")).unwrap().remove(0).1;
    let output = &facts["outputs"][0];
    let (scale, zero) =
        (output["scale"].as_f64().unwrap() as f32, output["zero_point"].as_i64().unwrap() as f32);
    let real: Vec<f32> = raw.data.to_f32().iter().map(|q| scale * (q - zero)).collect();
    support::assert_close("scores", &real, &scores.data.to_f32(), 1e-6);
}

#[test]
fn validation_says_its_verdict_by_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_model(folder);
    let verdict = json(folder, &["validate", "m.onnx", "--calib", "c.npz"]);
    assert_eq!((&verdict["verdict"], &verdict["boards"]), (&"pass".into(), &Value::Array(vec![])));
    assert!(verdict["sqnr_db"].as_f64().unwrap() > 20.0, "{verdict}");
    assert!((0.0..=1.0).contains(&verdict["top1_agreement"].as_f64().unwrap()));
    let output = mixel(folder, &["validate", "m.onnx", "--calib", "c.npz", "--min-sqnr", "150", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(verdict["verdict"], "fail");
    assert!(verdict["first_below"].is_string());
}

#[test]
fn random_calibration_warns() {
    let folder = tempfile::tempdir().unwrap();
    write_model(folder.path());
    let output = mixel(folder.path(), &["compile", "m.onnx", "-o", "m.mxl", "--calib", "random"]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("warning: calibrated on random inputs"));
}

#[test]
fn all_boards_are_listed() {
    let boards = json(Path::new("."), &["boards"]);
    let names: Vec<&str> =
        boards.as_array().unwrap().iter().filter_map(|board| board["board"].as_str()).collect();
    assert!(names.contains(&"mps2-an386") && names.contains(&"mps3-an547"), "{names:?}");
}

//! Wrong files and arguments: each gives one paragraph that says what to do, and an exit code that is not 0.

mod support;

use std::path::Path;

use mixel::arrays::{Array, ArrayData, write_npz};
use mixel_core::plan::format::header;
use mixel_core::plan::write::seal;
use support::command::{good, mixel};
use support::onnx::{Onnx, noise};

/// Standard error of a call that fails with `code`.
fn bad(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let output = mixel(folder, arguments);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "errors go to standard error only");
    error
}

/// One paragraph with a hint that has all of `words`.
fn says(error: &str, words: &[&str]) {
    assert!(error.starts_with("error: ") && error.contains("\n  hint: "), "{error}");
    assert!(!error.trim_end().contains("\n\n"), "one paragraph: {error}");
    for word in words {
        assert!(error.contains(word), "{word} is not in: {error}");
    }
}

fn perceptron() -> Onnx {
    let mut model = Onnx::new(17);
    model.input("x", &[1, 6]).random("w", &[6, 3]);
    model.node("MatMul", &["x", "w"], "y", &[]).output("y");
    model
}

/// A folder with `m.onnx`, its inputs `x.npz` and its plan `m.mxl`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("m.onnx"), perceptron().encoded()).unwrap();
    arrays(path, "x.npz", "x", &[4, 6], ArrayData::F32(noise(24, 1)));
    good(path, &["compile", "m.onnx", "-o", "m.mxl", "--calib", "x.npz"]);
    folder
}

fn arrays(folder: &Path, file: &str, name: &str, dims: &[usize], data: ArrayData) {
    write_npz(&folder.join(file), &[(name.into(), Array::new(dims, data).unwrap())]).unwrap();
}

#[test]
fn a_truncated_model() {
    let folder = folder();
    let bytes = perceptron().encoded();
    std::fs::write(folder.path().join("t.onnx"), &bytes[..bytes.len() / 2]).unwrap();
    says(
        &bad(folder.path(), 1, &["compile", "t.onnx", "-o", "t.mxl"]),
        &["t.onnx", "cut off", "export it again"],
    );
}

#[test]
fn a_file_that_is_not_there() {
    let folder = folder();
    says(&bad(folder.path(), 1, &["inspect", "none.onnx"]), &["none.onnx", "check the path"]);
}

#[test]
fn an_unknown_operator() {
    let folder = folder();
    let mut model = perceptron();
    model.node("NonMaxSuppression", &["y"], "z", &[]).output("z");
    std::fs::write(folder.path().join("u.onnx"), model.encoded()).unwrap();
    let error = bad(folder.path(), 1, &["compile", "u.onnx", "-o", "u.mxl"]);
    says(&error, &["node_z", "NonMaxSuppression"]);
}

#[test]
fn a_float_model_without_calibration() {
    let folder = folder();
    says(&bad(folder.path(), 1, &["compile", "m.onnx", "-o", "n.mxl"]), &["calibration", "--calib"]);
}

#[test]
fn calibration_inputs_of_another_name() {
    let folder = folder();
    arrays(folder.path(), "c.npz", "other", &[4, 6], ArrayData::F32(noise(24, 1)));
    let error = bad(folder.path(), 1, &["compile", "m.onnx", "-o", "n.mxl", "--calib", "c.npz"]);
    says(&error, &["`x`", "`other`"]);
}

/// The plan with the u16 at `position` of its header replaced, sealed again.
fn edited(folder: &Path, position: usize, value: u16) {
    let mut plan = std::fs::read(folder.join("m.mxl")).unwrap();
    plan[position..position + 2].copy_from_slice(&value.to_le_bytes());
    seal(&mut plan);
    std::fs::write(folder.join("e.mxl"), plan).unwrap();
}

#[test]
fn a_plan_of_another_version() {
    let folder = folder();
    edited(folder.path(), header::VERSION, 99);
    says(&bad(folder.path(), 1, &["inspect", "e.mxl"]), &["e.mxl", "version 99", "compile the model again"]);
}

#[test]
fn a_plan_of_an_unknown_layout() {
    let folder = folder();
    edited(folder.path(), header::LAYOUT, 99);
    let error = bad(folder.path(), 1, &["run", "e.mxl", "--input", "x.npz"]);
    says(&error, &["layout 99", "--target"]);
}

#[test]
fn a_damaged_plan_and_one_that_is_none() {
    let folder = folder();
    let mut plan = std::fs::read(folder.path().join("m.mxl")).unwrap();
    std::fs::write(folder.path().join("s.mxl"), &plan[..plan.len() - 5]).unwrap();
    says(&bad(folder.path(), 1, &["inspect", "s.mxl"]), &["cut off", "damaged"]);
    *plan.last_mut().unwrap() ^= 1;
    std::fs::write(folder.path().join("d.mxl"), &plan).unwrap();
    says(&bad(folder.path(), 1, &["inspect", "d.mxl"]), &["checksum", "damaged"]);
    std::fs::write(folder.path().join("o.mxl"), b"something else").unwrap();
    says(&bad(folder.path(), 1, &["inspect", "o.mxl"]), &["does not begin with MIXL"]);
}

#[test]
fn inputs_of_another_name_shape_or_type() {
    let folder = folder();
    let path = folder.path();
    arrays(path, "name.npz", "y", &[2, 6], ArrayData::F32(noise(12, 1)));
    says(&bad(path, 1, &["run", "m.mxl", "--input", "name.npz"]), &["x: ", "`y`"]);
    arrays(path, "shape.npz", "x", &[2, 5], ArrayData::F32(noise(10, 1)));
    says(&bad(path, 1, &["run", "m.mxl", "--input", "shape.npz"]), &["x: ", "shape 5", "takes 6"]);
    arrays(path, "type.npz", "x", &[2, 6], ArrayData::I64(vec![1; 12]));
    says(&bad(path, 1, &["run", "m.mxl", "--input", "type.npz"]), &["x: ", "int64", "float32 or int8"]);
    says(&bad(path, 1, &["run", "m.mxl", "--text", "hello"]), &["takes no text", "--input"]);
}

#[test]
fn inputs_that_are_no_numbers_or_too_large() {
    let folder = folder();
    let path = folder.path();
    let with = |value: f32| ArrayData::F32([vec![value], noise(11, 1)].concat());
    arrays(path, "nan.npz", "x", &[2, 6], with(f32::NAN));
    says(&bad(path, 1, &["run", "m.mxl", "--input", "nan.npz"]), &["x: ", "NaN", "nan_to_num"]);
    for (file, value) in [("nan.npz", f32::NAN), ("inf.npz", f32::INFINITY)] {
        arrays(path, file, "x", &[2, 6], with(value));
        let error = bad(path, 1, &["compile", "m.onnx", "-o", "n.mxl", "--calib", file]);
        says(&error, &["x: ", "calibration sample"]);
    }
    assert!(!path.join("n.mxl").exists());
    // What NumPy makes unless told otherwise is no mistake.
    let doubles = noise(12, 1).into_iter().map(f64::from).collect();
    arrays(path, "f64.npz", "x", &[2, 6], ArrayData::F64(doubles));
    good(path, &["compile", "m.onnx", "-o", "n.mxl", "--calib", "f64.npz"]);
}

#[test]
fn an_output_that_is_the_input() {
    let folder = folder();
    let path = folder.path();
    let before = std::fs::read(path.join("m.onnx")).unwrap();
    let error = bad(path, 2, &["compile", "m.onnx", "-o", "./m.onnx", "--calib", "x.npz"]);
    says(&error, &["./m.onnx", "is the input itself"]);
    says(&bad(path, 2, &["run", "m.mxl", "--input", "x.npz", "--output", "x.npz"]), &["x.npz"]);
    says(&bad(path, 2, &["run", "m.mxl", "--input", "x.npz", "--output", "m.mxl"]), &["m.mxl"]);
    assert_eq!(std::fs::read(path.join("m.onnx")).unwrap(), before);
}

#[test]
fn outputs_that_cannot_be_written_and_folders_for_files() {
    let folder = folder();
    let path = folder.path();
    std::fs::create_dir(path.join("folder")).unwrap();
    let compile = |output| bad(path, 1, &["compile", "m.onnx", "-o", output, "--calib", "x.npz"]);
    says(&compile("nowhere/m.mxl"), &["nowhere/m.mxl", "cannot be written", "folder exists"]);
    says(&compile("folder"), &["folder", "cannot be written"]);
    let run = |output| bad(path, 1, &["run", "m.mxl", "--input", "x.npz", "--output", output]);
    says(&run("nowhere/y.npz"), &["nowhere/y.npz", "cannot be written"]);
    says(&bad(path, 1, &["inspect", "folder"]), &["folder", "cannot be read"]);
    says(&bad(path, 1, &["run", "m.mxl", "--input", "folder"]), &["folder"]);
}

#[test]
fn text_that_is_none() {
    let folder = folder();
    std::fs::write(folder.path().join("t.txt"), b"play some jazz\n\xff\xfe\n").unwrap();
    let compile = |file| bad(folder.path(), 1, &["compile", "m.onnx", "-o", "n.mxl", "--calib", file]);
    says(&compile("t.txt"), &["t.txt", "UTF-8"]);
    std::fs::write(folder.path().join("t.txt"), b"\n\n").unwrap();
    says(&compile("t.txt"), &["t.txt", "no sentence"]);
}

#[test]
fn a_board_that_is_not_there() {
    let folder = folder();
    let error = bad(folder.path(), 1, &["run", "m.mxl", "--input", "x.npz", "--board", "nucleo"]);
    says(&error, &["nucleo", "mps2-an386"]);
    let error = bad(folder.path(), 1, &["profile", "m.mxl", "--board", "nucleo"]);
    says(&error, &["nucleo", "mixel boards"]);
}

#[test]
fn a_wrong_command_line() {
    let folder = folder();
    let error = bad(folder.path(), 2, &["run", "m.mxl", "--text", "a", "--input", "x.npz"]);
    says(&error, &["more than one"]);
    says(&bad(folder.path(), 2, &["run", "m.mxl"]), &["no input", "--text"]);
    assert!(bad(folder.path(), 2, &["compile"]).contains("Usage"));
    let error = bad(folder.path(), 2, &["validate", "m.onnx", "--calib", "x.npz", "--min-sqnr", "nan"]);
    assert!(error.contains("number of decibels"), "{error}");
    for share in ["nan", "95"] {
        let error = bad(folder.path(), 2, &["validate", "m.onnx", "--calib", "x.npz", "--min-top1", share]);
        assert!(error.contains("from 0 to 1"), "{error}");
    }
    assert!(
        bad(folder.path(), 2, &["compile", "m.onnx", "-o", "n", "--target", "z80"]).contains("cortex-m4")
    );
}

#[test]
fn forms_of_weights_that_are_not_there() {
    let folder = folder();
    let compile = |weights: &str| {
        let arguments = ["compile", "m.onnx", "-o", "n.mxl", "--calib", "x.npz", "--weights", weights];
        bad(folder.path(), 2, &arguments)
    };
    assert!(compile("int5").contains("expected int8, int4, sparse or auto"));
    says(&compile("int4:head"), &["--weights", "head", "node_y"]);
}

//! Models that take pictures, on the command line.

use std::path::Path;

use mixel::device::{boards, doctor};
use mixel::image::{Filter, Rgb8, read_png, resize, write_png};

use crate::support::onnx::Onnx;
use crate::{colours, doubling, good, json, procedural};

/// `model` as `m.onnx` and `m.mxl`, with a picture `in.png` of 24x20 pixels that it is calibrated on.
pub fn folder(model: &Onnx, options: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("m.onnx"), model.encoded()).unwrap();
    write_png(&path.join("in.png"), &procedural(24, 20)).unwrap();
    let arguments = ["compile", "m.onnx", "-o", "m.mxl", "--calib", "in.png"];
    good(path, &[&arguments, options].concat());
    folder
}

fn doubled(folder: &Path) -> Rgb8 {
    let picture = read_png(&folder.join("in.png")).unwrap();
    resize(&picture, 2 * picture.width(), 2 * picture.height(), Filter::Nearest).unwrap()
}

#[test]
fn from_picture_to_picture() {
    for channels_first in [true, false] {
        let mut model = doubling(24, 20, channels_first);
        // The range stated in the model, and on the command line.
        model.metadata("mixel.front_end", "image");
        let said = ["--pixels", "0,1"];
        for (model, options) in [(&model, &[][..]), (&doubling(24, 20, channels_first), &said[..])] {
            for more in [&[][..], &["--strips", "most"], &["--target", "cortex-m4"]] {
                let folder = folder(model, &[options, more].concat());
                let path = folder.path();
                let facts = json(path, &["inspect", "m.mxl"]);
                assert_eq!(facts["image"], serde_json::json!({ "low": 0.0, "high": 1.0, "head": "image" }));
                for port in [&facts["inputs"][0], &facts["outputs"][0]] {
                    assert_eq!(port["zero_point"], -128, "a pixel is its integer plus 128");
                    assert!((port["scale"].as_f64().unwrap() * 255.0 - 1.0).abs() < 1e-6);
                }
                let (answer, said) =
                    good(path, &["run", "m.mxl", "--image", "in.png", "--output", "out.png"]);
                assert!(answer.is_empty() && said.contains("out.png: 48x40 pixels"), "{said}");
                assert_eq!(read_png(&path.join("out.png")).unwrap(), doubled(path), "{options:?} {more:?}");
            }
        }
    }
}

#[test]
fn other_ranges_of_pixels() {
    for range in ["0,255", "-1,1", "-0.5,1.5"] {
        let folder = folder(&doubling(24, 20, true), &["--pixels", range]);
        let path = folder.path();
        good(path, &["run", "m.mxl", "--image", "in.png", "--output", "out.png"]);
        let (ours, truth) = (read_png(&path.join("out.png")).unwrap(), doubled(path));
        // Zero must be an integer, which may move all others by half a step.
        let most = ours.pixels().iter().zip(truth.pixels()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(most <= Some(1), "{range}: {most:?}");
    }
}

#[test]
fn a_model_and_16_bits() {
    let folder = folder(&doubling(24, 20, true), &["--pixels", "0,1"]);
    let path = folder.path();
    let run =
        ["run", "m.onnx", "--image", "in.png", "--output", "out.png", "--calib", "in.png", "--pixels", "0,1"];
    good(path, &[&run[..], &["--activations", "int16"]].concat());
    assert_eq!(read_png(&path.join("out.png")).unwrap(), doubled(path));
}

#[test]
fn classes_of_pictures() {
    let folder = folder(&colours(24, 20), &[]);
    let path = folder.path();
    std::fs::create_dir(path.join("many")).unwrap();
    for (name, colour) in [("a", [200, 10, 20]), ("b", [10, 20, 200]), ("c", [10, 200, 20])] {
        let flat = Rgb8::new(24, 20, colour.repeat(480)).unwrap();
        write_png(&path.join(format!("many/{name}.png")), &flat).unwrap();
    }
    std::fs::write(path.join("many/notes.txt"), "no picture").unwrap();
    good(path, &["compile", "m.onnx", "-o", "m.mxl", "--calib", "many"]);
    let (answer, _) = good(path, &["run", "m.mxl", "--image", "many"]);
    let classes: Vec<&str> =
        answer.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(classes, ["red", "blue", "green"], "{answer}");
    let answer = json(path, &["run", "m.mxl", "--image", "many/a.png"]);
    let best = &answer["answers"][0]["best"][0];
    assert_eq!(best["label"], "red");
    assert!((best["score"].as_f64().unwrap() - 200.0 / 255.0).abs() < 0.01, "{best}");
    let figures = json(path, &["validate", "m.onnx", "--calib", "many"]);
    assert_eq!((&figures["verdict"], &figures["samples"]), (&"pass".into(), &3.into()), "{figures}");
    assert_eq!(json(path, &["validate", "m.onnx", "--calib", "many", "--image", "in.png"])["samples"], 1);
}

#[test]
fn a_large_picture_calibrates_in_parts() {
    let folder = folder(&doubling(6, 5, false), &["--pixels", "0,1"]);
    let figures = json(folder.path(), &["validate", "m.onnx", "--calib", "in.png", "--pixels", "0,1"]);
    assert_eq!(figures["samples"], 16, "24x20 pixels in parts of 6x5");
}

#[test]
fn the_same_picture_from_an_emulated_board() {
    let lacks: Vec<_> = doctor::checks().into_iter().filter(|check| !check.optional && !check.ok()).collect();
    if let Some(lack) = lacks.first() {
        eprintln!("SKIPPED: emulated boards: {}: {:?}", lack.name, lack.found);
        return;
    }
    let folder = folder(&doubling(24, 20, true), &["--pixels", "0,1", "--target", "cortex-m4"]);
    let path = folder.path();
    let board = boards().iter().find(|board| board.name == "mps2-an386").unwrap().name;
    let run = ["run", "m.mxl", "--image", "in.png", "--output", "out.png", "--board", board];
    good(path, &run);
    assert_eq!(read_png(&path.join("out.png")).unwrap(), doubled(path));
}

//! A whole pixel-attention network (PAN, 16 self-calibrated blocks of 40 channels) as PyTorch exports it (`exporters/pan.py`), with
//! random weights, in int8 on natural images.

use std::io::Read;
use std::path::{Path, PathBuf};

use mixel::arrays::Array;
use mixel::compile::{CalibrationData, CompileOptions, Target, prepare};
use mixel::graph::{Arithmetic, Op, ValueId};
use mixel::image::{Filter, Frame, Rgb8, read_png, resize, tiles, write_png};
use mixel::quantize::{Activations, Options};
use mixel::reference::Reference;
use mixel::samples::Case;
use mixel::validate::{Fidelity, fidelity};
use mixel_core::plan::{DType, ImageFrontEnd, ImageHead};

use crate::procedural;
use crate::support::{array, data};

/// The model in `fixtures/NAME.zip`, in `folder`.
fn fixture(folder: &Path, name: &str) -> PathBuf {
    let path = format!("{}/tests/fixtures/{name}.zip", env!("CARGO_MANIFEST_DIR"));
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut model = Vec::new();
    archive.by_index(0).unwrap().read_to_end(&mut model).unwrap();
    let path = folder.join(name).with_extension("onnx");
    std::fs::write(&path, model).unwrap();
    path
}

/// `pictures` as PNG files in a folder of their own.
fn written(folder: &Path, pictures: &[Rgb8]) -> Vec<PathBuf> {
    std::fs::create_dir(folder).unwrap();
    let write = |(index, picture)| {
        let path = folder.join(format!("{index}.png"));
        write_png(&path, picture).unwrap();
        path
    };
    pictures.iter().enumerate().map(write).collect()
}

/// Pictures to calibrate on and others to measure on: three of BSD100 at half their size and the low resolution of Set5, or
/// procedural ones where the data is missing.
fn pictures(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let bsd = ["001", "002", "003"].map(|number| data(&format!("bsd100/img_{number}.png")));
    let set5 = ["baby", "bird", "butterfly", "head", "woman"]
        .map(|name| data(&format!("set5/LR_bicubic/X4/{name}x4.png")));
    let half = |path: &PathBuf| {
        let picture = read_png(path).unwrap();
        resize(&picture, picture.width() / 2, picture.height() / 2, Filter::Bicubic).unwrap()
    };
    let (Some(bsd), Some(set5)) = (bsd.into_iter().collect::<Option<Vec<_>>>(), set5.into_iter().collect())
    else {
        let seen = [procedural(96, 96), procedural(144, 60)];
        return (written(&folder.join("seen"), &seen), written(&folder.join("new"), &[procedural(60, 72)]));
    };
    (written(&folder.join("seen"), &bsd.iter().map(half).collect::<Vec<_>>()), set5)
}

/// The parts of `files` that the model takes.
fn parts(files: &[PathBuf]) -> Vec<Array> {
    let frame = Frame { width: 48, height: 48, planes: true };
    tiles(files, frame, &ImageFrontEnd { low: 0.0, high: 1.0, head: ImageHead::Image }).unwrap()
}

/// How true `model` is with 8 bits everywhere, with the number of its layers and of products of two activations.
fn measured(folder: &Path, model: &Path) -> (Fidelity, usize, usize) {
    let (seen, new) = pictures(folder);
    let seen: Vec<f32> = parts(&seen).iter().flat_map(|part| part.data.to_f32()).collect();
    let seen = array(&[seen.len() / (3 * 48 * 48), 3, 48, 48], seen);
    let options = CompileOptions {
        quantize: Options { activations: Activations::Int8, ..Options::default() },
        calibration: CalibrationData::Arrays(vec![("low".into(), seen)]),
        ..CompileOptions::default()
    };
    let prepared = prepare(model, &options).unwrap();
    let compiled = prepared.compile_whole(Target::Generic).unwrap();
    let cases: Vec<Case> = parts(&new).into_iter().map(|part| Case::Arrays(vec![part])).collect();
    let reference = Reference::load(model, &options.import).unwrap();
    let fidelity = fidelity(&prepared, &compiled, &reference, &cases).unwrap();
    let quantized = prepared.quantized();
    assert!(quantized.activations.iter().flatten().all(|activation| activation.dtype == DType::I8));
    let graph = &quantized.graph;
    let layers = graph.nodes.iter().filter(|node| matches!(node.op, Op::Conv { .. } | Op::Linear { .. }));
    let variable = |id: &ValueId| graph.value(*id).constant.is_none();
    let products = graph.nodes.iter().filter(|node| {
        matches!(node.op, Op::Binary { op: Arithmetic::Mul, .. }) && node.inputs.iter().all(variable)
    });
    let (layers, products) = (layers.count(), products.count());
    println!("{}: {:.2} dB over {} tiles", model.display(), fidelity.sqnr_db, fidelity.samples);
    for layer in fidelity.layers.iter().filter(|layer| layer.op.starts_with("Add") || layer.op == "Resize") {
        println!("  {} {:.1} dB", layer.name, layer.sqnr_db.unwrap_or(f64::NAN));
    }
    (fidelity, layers, products)
}

#[test]
fn sixteen_blocks_of_the_torchscript_exporter() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture(folder.path(), "pan");
    let (fidelity, layers, products) = measured(folder.path(), &model);
    assert_eq!((layers, products), (6 + 16 * 7, 16 + 1));
    assert!(fidelity.sqnr_db >= 28.0, "{} dB", fidelity.sqnr_db);
}

#[test]
fn two_blocks_of_the_dynamo_exporter() {
    let folder = tempfile::tempdir().unwrap();
    let model = fixture(folder.path(), "pan_dynamo");
    let (fidelity, layers, products) = measured(folder.path(), &model);
    assert_eq!((layers, products), (6 + 2 * 7, 2 + 1));
    assert!(fidelity.sqnr_db >= 36.0, "{} dB", fidelity.sqnr_db);
}

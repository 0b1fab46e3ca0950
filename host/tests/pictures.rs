//! Networks of pictures in integers, on the test images of the CIFAR-10 part: the SPACH models of models/zoo on every second one
//! (models/README.md has all seeds on all), and MLPerf Tiny's ResNet-8 on all 5,000. Calibrated on training images.

mod support;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use mixel::arrays::{Array, ArrayData};
use mixel::compile::{CalibrationData, CompileOptions, Prepared, Target, prepare};
use mixel::device::{Sample, boards};
use mixel::import::ImportOptions;
use mixel::reference::Reference;
use mixel::run::{on_host, open};
use mixel::samples::{Case, sample};
use mixel::validate::on_board;
use support::{array, data};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

/// An image of 32 x 32 pixels, red, green and blue of a pixel together, and its class.
struct Image {
    pixels: Vec<u8>,
    label: usize,
}

impl Image {
    /// The image as an input, a pixel of 255 being `white`.
    fn array(&self, white: f32) -> Array {
        array(&[1, 32, 32, 3], self.pixels.iter().map(|&pixel| f32::from(pixel) / 255.0 * white).collect())
    }
}

/// Every `step`-th image of an archive of `class/name.jpg`; the classes are sorted by their names.
fn images(archive: &Path, step: usize) -> Vec<Image> {
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    let mut files = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let mut jpeg = Vec::new();
        entry.read_to_end(&mut jpeg).unwrap();
        files.push((path.parent().unwrap().to_owned(), jpeg));
    }
    let mut classes: Vec<PathBuf> = files.iter().map(|(class, _)| class.clone()).collect();
    classes.dedup();
    assert!(classes.is_sorted() && classes.len() == 10);
    let image = |(class, jpeg): &(PathBuf, Vec<u8>)| {
        let pixels = JpegDecoder::new(ZCursor::new(jpeg)).decode().unwrap();
        assert_eq!(pixels.len(), 32 * 32 * 3);
        Image { pixels, label: classes.iter().position(|known| known == class).unwrap() }
    };
    files.iter().step_by(step).map(image).collect()
}

/// Training images for calibration, 500 of them, and all test images.
fn corpus() -> Option<(Vec<Image>, Vec<Image>)> {
    let (train, test) = (data("cifar10/train.tar")?, data("cifar10/test.tar")?);
    Some((images(&train, 40), images(&test, 1)))
}

/// The model at `path` with the ranges that it has on `known`.
fn quantized(path: &Path, known: &[Image], white: f32) -> Prepared {
    let values: Vec<f32> = known.iter().flat_map(|image| image.array(white).data.to_f32()).collect();
    let array = Array::new(&[known.len(), 32, 32, 3], ArrayData::F32(values)).unwrap();
    let calibration = CalibrationData::Arrays(vec![("input".into(), array)]);
    prepare(path, &CompileOptions { calibration, ..CompileOptions::default() }).unwrap()
}

/// The place of the largest value, the first of equals.
fn argmax<T: PartialOrd + Copy>(values: &[T]) -> usize {
    (0..values.len()).reduce(|best, at| if values[at] > values[best] { at } else { best }).unwrap()
}

/// Share of `images` that the model gets right, in percent: in integers and in float.
fn accuracy(path: &Path, prepared: &Prepared, images: &[Image], white: f32) -> (f64, f64) {
    let compiled = prepared.compile(Target::X86_64).unwrap();
    let plan = open(&compiled.plan, "").unwrap();
    let case = |image: &Image| sample(&plan, &Case::Arrays(vec![image.array(white)])).unwrap();
    let samples: Vec<Sample> = images.iter().map(case).collect();
    let outputs = on_host(plan, &samples, &mut |_, _, _| {}).unwrap();
    let signed = |bytes: &[u8]| bytes.iter().map(|&byte| byte as i8).collect::<Vec<i8>>();
    let reference = Reference::load(path, &ImportOptions::default()).unwrap();
    let (mut integers, mut floats) = (0, 0);
    for (image, outputs) in images.iter().zip(&outputs) {
        integers += usize::from(argmax(&signed(&outputs[0])) == image.label);
        let scores = reference.run(&[image.array(white)]).unwrap()[0].data.to_f32();
        floats += usize::from(argmax(&scores) == image.label);
    }
    let percent = |right: usize| 100.0 * right as f64 / images.len() as f64;
    (percent(integers), percent(floats))
}

/// The networks of models/zoo that take pictures.
fn zoo() -> [(&'static str, PathBuf); 5] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/zoo");
    ["spach-conv", "spach-attn", "spach-mlp", "spach-hybrid", "spach-conv48"]
        .map(|name| (name, folder.join(format!("{name}.onnx"))))
}

#[test]
fn mixers_in_integers_are_within_a_point_of_float() {
    let Some((known, test)) = corpus() else { return };
    let test: Vec<Image> = test.into_iter().step_by(2).collect();
    for (name, path) in zoo() {
        let (integers, float) = accuracy(&path, &quantized(&path, &known, 1.0), &test, 1.0);
        println!("{name}: int8 {integers:.2}, float {float:.2}");
        assert!((integers - float).abs() <= 1.0, "{name}: int8 {integers}, float {float}");
        assert!(float >= 51.3, "{name}: {float}, ten points above a linear model");
    }
}

#[test]
fn boards_compute_the_mixers_as_this_machine() {
    let Some((known, test)) = corpus() else { return };
    let cases: Vec<Case> =
        test.iter().step_by(625).map(|image| Case::Arrays(vec![image.array(1.0)])).collect();
    for (name, path) in zoo() {
        let prepared = quantized(&path, &known, 1.0);
        let arena = open(&prepared.compile(Target::CortexM4).unwrap().plan, "").unwrap().arena_bytes();
        assert!(arena <= 16 << 10, "{name}: an arena of {arena} bytes");
        for board in ["mps2-an386", "mps3-an547"] {
            let board = boards().iter().find(|known| known.name == board).unwrap();
            let result = on_board(&prepared, board, &cases).unwrap();
            println!("{name} on {}: {} images, bit-equal: {}", board.name, cases.len(), result.bit_equal);
            assert!(result.bit_equal, "{name} on {}: {:?}", board.name, result.first_difference);
        }
    }
}

/// The network takes pixels of 0 to 255. It was trained on pictures that had not been through JPEG with halved colours, as these have:
/// it gets fewer of them right than of its own test images.
#[test]
fn resnet_of_mlperf_tiny_in_integers_is_within_a_point_of_float() {
    let (Some((known, test)), Some(path)) = (corpus(), data("mlperf-tiny/ic_float.onnx")) else { return };
    let (integers, float) = accuracy(&path, &quantized(&path, &known, 255.0), &test, 255.0);
    println!("ic_float: int8 {integers:.2}, float {float:.2}");
    assert!((integers - float).abs() <= 1.0, "int8 {integers}, float {float}");
    assert!(float > 70.0, "{float}: the pixels are not as the network knows them");
}

//! Pictures: PNG files, scaling and measures, models that take pictures, and pictures that are none.

mod benchmark;
mod compare;
mod errors;
mod files;
mod models;
mod pixel_attention;
mod scaling;
#[path = "../support/mod.rs"]
mod support;

use mixel::image::Rgb8;
use support::command::{good, json, mixel};
use support::onnx::{Int, Ints, Onnx, Text};

/// A picture of gradients, a checkerboard and a disc.
fn procedural(width: usize, height: usize) -> Rgb8 {
    let pixel = |at: usize| {
        let (x, y) = (at % width, at / width);
        let board = if (x / 3 + y / 2) % 2 == 0 { 230 } else { 40 };
        let (dx, dy) = (2 * x as i64 - width as i64, 2 * y as i64 - height as i64);
        let disc = if dx * dx + dy * dy < (height * height) as i64 / 2 { 255 } else { 10 };
        [(x * 255 / width) as u8, if y < height / 2 { board } else { disc }, (y * 255 / height) as u8]
    };
    Rgb8::new(width, height, (0..width * height).flat_map(pixel).collect()).unwrap()
}

/// A model that repeats each pixel of `width * height` in a square of four, channels first or last.
fn doubling(width: i64, height: i64, channels_first: bool) -> Onnx {
    let mut model = Onnx::new(17);
    // Output channels 4 c to 4 c + 3 are the pixels of colour c.
    let copies: Vec<f32> = (0..36).map(|at| if at / 12 == at % 3 { 1.0 } else { 0.0 }).collect();
    model.floats("w", &[12, 3, 1, 1], &copies);
    let (from, to) = if channels_first {
        model.input("x", &[1, 3, height, width]);
        ("x", "y")
    } else {
        model.input("x", &[1, height, width, 3]);
        model.node("Transpose", &["x"], "x_first", &[("perm", Ints(&[0, 3, 1, 2]))]);
        ("x_first", "y_first")
    };
    model.node("Conv", &[from, "w"], "c", &[]);
    model.node("DepthToSpace", &["c"], to, &[("blocksize", Int(2)), ("mode", Text("CRD"))]);
    if !channels_first {
        model.node("Transpose", &["y_first"], "y", &[("perm", Ints(&[0, 2, 3, 1]))]);
    }
    model.output("y");
    model
}

/// A model that scores the mean of each colour.
fn colours(width: i64, height: i64) -> Onnx {
    let mut model = Onnx::new(17);
    model.input("x", &[1, 3, height, width]);
    model.node("ReduceMean", &["x"], "y", &[("axes", Ints(&[2, 3])), ("keepdims", Int(0))]).output("y");
    model.metadata("mixel.front_end", "image").metadata("mixel.labels", r#"["red", "green", "blue"]"#);
    model
}

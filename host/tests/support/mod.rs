//! What several tests share: data files, comparison, and the interpreter of the graph.
#![allow(dead_code, missing_docs)]

pub mod command;
pub mod interpreter;
pub mod mdta;
pub mod onnx;
pub mod recordings;

use std::path::PathBuf;

use interpreter::Tensor;
use mixel::arrays::{Array, ArrayData};

/// A file of the data folder, or a loud notice that it is not there.
pub fn data(path: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MIXEL_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let file = folder.join(path);
    if file.is_file() {
        return Some(file);
    }
    eprintln!("SKIPPED: data file missing: {}", file.display());
    None
}

/// The array as a tensor of reals.
pub fn tensor(array: &Array) -> Tensor {
    Tensor::new(&array.dims, array.data.to_f32())
}

/// A float array.
pub fn array(dims: &[usize], data: Vec<f32>) -> Array {
    Array::new(dims, ArrayData::F32(data)).expect("sizes fit")
}

/// Fails if two tensors differ by more than `tolerance` relative to the largest value.
pub fn assert_close(what: &str, ours: &[f32], theirs: &[f32], tolerance: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    let largest = theirs.iter().fold(1.0f32, |max, x| max.max(x.abs()));
    for (index, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= tolerance * largest, "{what}[{index}]: {a} is not {b}");
    }
}

//! Matrices whose weights take less than a byte each. They are unpacked in registers: no dense copy exists.
//!
//! The specification is that of the dense operators with the same weights ([`super::linear::reference`],
//! [`super::conv::reference`]).

use super::matrix::{Matrix, Weights};
use super::requant::Quantized;
use crate::arch::matrix::{Lane, Patches, Rounding};
use crate::arch::view::Out;
use crate::arch::{bitmap, int4};
use crate::pack::{Bitmap, Layout};

/// Four bits a weight, in the layout's [`crate::pack::Int4Order`]. Inputs are int8.
#[derive(Clone, Copy)]
pub(super) struct Int4;

impl Weights for Int4 {
    fn staging(layout: Layout) -> Layout {
        if layout.matrix().segmented { Layout::Generic } else { layout }
    }

    fn direct<X: Lane>(layout: Layout, rows: usize, _depth: usize) -> bool {
        rows == 1 || layout != Layout::ArmDsp
    }

    fn complete(matrix: &Matrix<'_, Self>) -> bool {
        let size = matrix.layout.int4().len(matrix.outputs, matrix.depth);
        size.and_then(|size| size.checked_mul(matrix.groups)) == Some(matrix.weights.len())
    }

    fn apply<X: Lane, Y: Quantized>(
        matrix: &Matrix<'_, Self>,
        (group, rounding): (usize, Rounding),
        patches: Patches<'_>,
        y: (Out<'_, Y>, usize),
    ) {
        let size = matrix.layout.int4().len(matrix.outputs, matrix.depth).unwrap_or(0);
        let weights = matrix.weights.window(group * size, size).cast();
        int4::outputs(matrix.layout, patches, weights, &matrix.channels(group), rounding.clamp, y);
    }
}

/// One [`Bitmap`] of all groups' outputs. Inputs are int8, and patches plain in every layout.
#[derive(Clone, Copy)]
pub(super) struct Sparse;

impl Weights for Sparse {
    fn staging(_layout: Layout) -> Layout {
        Layout::Generic
    }

    fn direct<X: Lane>(_layout: Layout, _rows: usize, _depth: usize) -> bool {
        true
    }

    fn complete(matrix: &Matrix<'_, Self>) -> bool {
        let outputs = matrix.groups * matrix.outputs;
        Bitmap::new(matrix.weights, outputs, matrix.depth).is_some_and(|bitmap| bitmap.valid(outputs))
    }

    fn apply<X: Lane, Y: Quantized>(
        matrix: &Matrix<'_, Self>,
        (group, rounding): (usize, Rounding),
        patches: Patches<'_>,
        y: (Out<'_, Y>, usize),
    ) {
        let outputs = matrix.groups * matrix.outputs;
        let Some(bitmap) = Bitmap::new(matrix.weights, outputs, matrix.depth) else { return };
        let bitmap = bitmap.window(group * matrix.outputs, matrix.outputs);
        bitmap::outputs(patches, &bitmap, &matrix.channels(group), rounding.clamp, y);
    }
}

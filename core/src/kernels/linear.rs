//! Weights times every row: fully connected layers, projections and 1x1 convolutions.
//!
//! Input `[..., depth]`, output `[..., outputs]`, the same dimensions in front. Weights `[outputs][depth]`: a byte each in the
//! layout's matrix order, four bits each, or as a bitmap with the values that are not zero.

use super::Run;
use super::matrix::{Dense, InPart, Lean, LeanInPart, Matrix, Weights};
use super::packed::{Int4, Sparse};
use super::part::{Made, Part, is_part, places};
use super::requant::{Channels, Clamp, Quantized};
use super::short_channels::shifts_fit;
use super::turned::Turned;
use super::wide::{lean, narrow, narrow_and_wide};
use crate::arch::matrix::{self, Lane, Patches, Staging, Windows};
use crate::pack::{Depth, Layout};
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Rows, Tensor};

/// The operator, int8 to int8.
pub struct Linear;

/// [`Linear`] without the common ways (see [`super::lean`]).
pub struct LinearLean;

/// The operator, int8 to int8, for a [`Part`] of the output's channels.
pub struct LinearPart;

/// [`LinearPart`] without the common ways (see [`super::lean`]).
pub struct LinearPartLean;

/// [`Linear`] by the code of [`LinearPart`], so that operator sets with both kinds have it once.
pub struct LinearByPart;

/// [`LinearByPart`] without the common ways, as [`LinearPartLean`].
pub struct LinearByPartLean;

/// The operator with 16-bit input or output.
pub struct Linear16;

/// The operator with weights of four bits, int8 to int8.
pub struct LinearInt4;

/// The operator with a bitmap of the weights that are not zero, int8 to int8.
pub struct LinearSparse;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct LinearParams {
    /// `[outputs][depth]` i8 in the layout's matrix order ([`crate::pack::MatrixOrder::pack`]); of [`LinearInt4`] in its order
    /// of four-bit weights ([`crate::pack::Int4Order::pack`]), of [`LinearSparse`] a [`crate::pack::Bitmap`]. The count is in
    /// bytes.
    pub weights: Constant,
    /// [`Channels`] block of `outputs` channels; the count is in bytes ([`Channels::bytes`]).
    pub channels: Constant,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl LinearParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.behind(write::Params::new())
    }

    /// The bytes that [`LinearPart`] reads, for a layer with as many outputs as the part has.
    pub fn encode_part(&self, part: Part) -> write::Params {
        self.behind(part.encode())
    }

    /// The bytes that [`super::LinearTurned`] reads.
    pub fn encode_turned(&self, turned: Turned) -> write::Params {
        self.behind(turned.encode())
    }

    fn behind(&self, params: write::Params) -> write::Params {
        params
            .constant(self.weights.offset, self.weights.count)
            .constant(self.channels.offset, self.channels.count)
            .range(self.min, self.max)
    }
}

fn read<'p, W: Weights>(operator: &Operator<'p>, input: &Tensor, output: &Tensor) -> Option<Matrix<'p, W>> {
    let mut cursor = operator.params();
    let outputs = Made::read::<W>(operator, &mut cursor, output)?.outputs();
    let sizes = (1, outputs, Depth::whole(input.inner()));
    let matrix = Matrix::read(operator, &mut cursor, sizes, output.zero_point);
    cursor.finished().then_some(matrix)
}

fn check<Y: Quantized, W: Weights>(operator: &Operator<'_>) -> Result<(), Fault> {
    let (input, output) = operator.unary()?;
    if input.dims[..3] != output.dims[..3] {
        return Err(Fault::Shapes);
    }
    if input.dynamic != output.dynamic || input.dynamic & 0b1000 != 0 {
        return Err(Fault::Dynamic);
    }
    read::<W>(operator, &input, &output).ok_or(Fault::Params)?.check::<Y>()
}

/// Whether the layout's loops take all rows: whole words of inputs where there are some, any single one.
pub(super) fn lean<W: Weights>(operator: &Operator<'_>) -> bool {
    let Ok((input, output)) = operator.unary() else { return false };
    read::<W>(operator, &input, &output).is_some_and(|matrix| {
        let tiles = matrix.depth >= 4 && matrix.rounding().simple;
        matrix.layout == Layout::ArmDsp && (input.outer() == 1 || tiles && shifts_fit(operator))
    })
}

/// Several rows are staged in scratch memory before their outputs are written; a single one is read where it lies, if the
/// layout can.
fn scratch<X: Lane, W: Weights>(operator: &Operator<'_>) -> usize {
    let layout = W::staging(operator.plan().layout());
    operator.unary().map_or(0, |(input, _)| {
        // What shares no memory with its outputs need not be staged for their sake.
        let rows = if is_part::<W>(operator) { input.outer() } else { 1 };
        let direct = input.outer() == rows && W::direct::<X>(layout, rows, input.inner());
        if direct { 0 } else { X::tile_bytes(layout, input.inner(), input.inner()) }
    })
}

/// After every chunk of staged rows but the last, what is written must end where the unread rows begin. That is linear in
/// the rows done, so the first and the last such place decide.
fn reach<W: Weights>(operator: &Operator<'_>, _input: usize) -> Option<isize> {
    if is_part::<W>(operator) {
        return None;
    }
    let (input, output) = operator.unary().ok()?;
    let rows = input.outer();
    if rows <= 1 {
        return None;
    }
    let chunk = matrix::rows(W::staging(operator.plan().layout()), input.inner());
    let (_, span) = input.row_spans(Rows::ALL).last()?;
    let last = rows - 1 - (span - 1) % chunk;
    let (from, to) = (input.inner() * input.dtype.size(), output.inner() * output.dtype.size());
    let gain = from as isize - to as isize;
    let first = chunk.min(span).min(last.max(1));
    Some(if last == 0 { input.bytes() as isize } else { (first as isize * gain).min(last as isize * gain) })
}

fn macs(operator: &Operator<'_>) -> u64 {
    let Ok((input, output)) = operator.unary() else { return 0 };
    let outputs = Made::read::<InPart>(operator, &mut operator.params(), &output).map_or(0, Made::outputs);
    input.elements() as u64 * outputs as u64
}

/// Elements from a row of outputs to the next: of a whole tensor as many as the matrix makes, which is at hand.
fn step<W: Weights>(matrix: &Matrix<'_, W>, output: &Tensor) -> usize {
    if W::PART { output.inner() } else { matrix.outputs }
}

fn run<X: Lane, Y: Quantized, W: Weights>(run: &Run<'_>) {
    let Ok((input, output)) = run.operator().unary() else { return };
    let Some(mut matrix) = read::<W>(run.operator(), &input, &output) else { return };
    matrix.backend = run.backend();
    #[cfg(mixel_columns)]
    if W::BY_COLUMNS && matrix.layout.matrix().by_columns && input.dtype == DType::I8 {
        return by_columns::<Y, W>(run, &matrix, (&input, &output));
    }
    let (x, y) = (run.read::<X>(&input), places::<Y, W>(run, &output));
    let (layout, depth, stride) = (matrix.layout, matrix.depth, step(&matrix, &output));
    let rounding = matrix.rounding();
    if input.outer() == 1 || !super::shared(&input, &output) {
        let mut spans = input.row_spans(run.rows());
        if spans.all(|(_, count)| W::direct::<X>(layout, count, depth)) {
            for (first, rows) in input.row_spans(run.rows()) {
                let bytes = x.window(first * depth, rows * depth).cast();
                let patches = Patches { bytes, rows, depth, staged: false };
                let y = y.window(first * stride, rows * stride);
                matrix.apply::<X, Y>((0, rounding), patches, y, stride);
            }
            return;
        }
    }
    let chunk = matrix::rows(layout, depth);
    let bytes = run.scratch::<u8>(0, X::tile_bytes(layout, depth, depth));
    let tile = Staging { layout, bytes, depth, run: depth };
    for (first, count) in input.row_spans(run.rows()) {
        let rows = [x.window(first * depth, count * depth)];
        let outside = X::narrow(0);
        let windows = Windows { rows: &rows, from: 0, step: depth, len: depth, count, outside, last: true };
        let place = y.window(first * stride, count * stride);
        if matrix.apply_windows::<X, Y>(rounding, windows, (&tile, 0), place, stride).is_some() || !W::COMMON
        {
            continue;
        }
        let mut done = 0;
        while done < count {
            let rows = chunk.min(count - done);
            let values = x.window((first + done) * depth, rows * depth);
            if rows == chunk {
                X::stage_all(&tile, &[values], 0, (depth, depth));
            } else {
                (0..rows).for_each(|row| X::stage(&tile, row, 0, values.window(row * depth, depth)));
            }
            let y = y.window((first + done) * stride, rows * stride);
            matrix.apply_tile::<X, Y>((0, rounding), (&tile, rows), y, stride);
            done += rows;
        }
    }
}

/// The operator on 8-bit rows for the Helium layout, which reads them where they lie, or some of them from scratch memory where
/// outputs take their place.
#[cfg(mixel_columns)]
fn by_columns<Y: Quantized, W: Weights>(
    run: &Run<'_>,
    matrix: &Matrix<'_, W>,
    (input, output): (&Tensor, &Tensor),
) {
    let (depth, stride) = (matrix.depth, step(matrix, output));
    let Some(product) = matrix.columns(depth) else { return };
    let (x, y) = (run.read::<i8>(input), places::<Y, W>(run, output));
    let staged = input.outer() > 1 && super::shared(input, output);
    let chunk = if staged { matrix::rows(matrix.layout, depth) } else { usize::MAX };
    let room = run.scratch::<i8>(0, if staged { chunk * depth } else { 0 });
    for (first, count) in input.row_spans(run.rows()) {
        for done in (0..count).step_by(chunk) {
            let (at, rows) = (first + done, chunk.min(count - done));
            let mut values = x.window(at * depth, rows * depth);
            if staged {
                room.copy_from(&values);
                values = room.reader();
            }
            product.outputs(values, rows, (y.window(at * stride, rows * stride), stride));
        }
    }
}

narrow_and_wide!(Linear, Linear16, scratch::<i8, Dense>, scratch::<i16, Dense>; Dense);
lean!(LinearLean, Linear, scratch::<i8, Lean>, lean::<Lean>; Lean);
narrow!(LinearPart, scratch::<i8, InPart>; InPart);
lean!(LinearPartLean, LinearPart, scratch::<i8, LeanInPart>, lean::<LeanInPart>; LeanInPart);
lean!(LinearByPart, Linear, scratch::<i8, InPart>, |_| true; InPart);
lean!(LinearByPartLean, Linear, scratch::<i8, LeanInPart>, lean::<LeanInPart>; LeanInPart);
narrow!(LinearInt4, scratch::<i8, Int4>; Int4);
narrow!(LinearSparse, scratch::<i8, Sparse>; Sparse);

/// The specification: `y[r][n] = clamp(zero + round(scale[n] * (bias[n] + sum_k x[r][k] * w[n][k])))`, with `weights` in
/// plain order `[outputs][depth]`.
pub fn reference<X: Quantized, Y: Quantized>(
    x: &[X],
    weights: &[i8],
    channels: &Channels<'_>,
    clamp: Clamp,
    depth: usize,
    y: &mut [Y],
) {
    let outputs = channels.bias.len();
    for (x, y) in x.chunks_exact(depth).zip(y.chunks_exact_mut(outputs)) {
        for (channel, y) in y.iter_mut().enumerate() {
            let row = &weights[channel * depth..][..depth];
            let sum = x.iter().zip(row).fold(0i32, |sum, (&x, &w)| sum.wrapping_add(x.wide() * w as i32));
            *y = channels.finish(channel, sum, clamp);
        }
    }
}

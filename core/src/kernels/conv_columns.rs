//! Convolution for the Helium layout: the rows that a row of outputs sees are staged column by column, with their padding, so
//! that the window of every pixel is one run of bytes. Each input is copied once a row of the window, and borders are pixels
//! like all others.

use super::Run;
use super::conv::Filter;
use super::matrix::Weights;
use super::requant::Quantized;
use super::window::{Rows, Window, overlap};
use crate::arch::helium::columns::{Spread, fill};
use crate::arch::helium::product;
use crate::plan::Tensor;

/// Bytes that columns take at most where more is not needed.
const ROOM: usize = 1152;

/// Columns that are staged at once.
struct Part {
    /// Outputs of them.
    outputs: usize,
    /// Bytes of a column.
    column: usize,
    /// Columns from a window to the next.
    step: usize,
    /// Columns of a window.
    kernel: usize,
}

impl Part {
    /// Rows of `width` outputs go in equal parts, in pairs where there are some.
    fn new(window: &Window, channels: usize, width: usize) -> Self {
        let ([height, kernel], step) = (window.kernel.map(usize::from), window.stride[1] as usize);
        let column = height * channels;
        let most = ROOM.checked_div(column).unwrap_or(0).max(kernel);
        let outputs = (most - kernel).checked_div(step).unwrap_or(0) + 1;
        let outputs = if outputs > 1 { outputs & !1 } else { outputs };
        let parts = width.div_ceil(outputs).max(1);
        let outputs = outputs.min(width.div_ceil(parts).next_multiple_of(2));
        Self { outputs, column, step, kernel }
    }

    /// Columns that `outputs` outputs see.
    fn columns(&self, outputs: usize) -> usize {
        outputs.saturating_sub(1) * self.step + self.kernel
    }

    fn bytes(&self) -> usize {
        self.columns(self.outputs) * self.column
    }
}

/// Bytes of the columns, and behind them the rows that an output in the input's place would overwrite too early.
pub(super) fn scratch<W: Weights>(filter: &Filter<'_, W>, input: &Tensor, output: &Tensor) -> usize {
    let part = Part::new(&filter.window, input.inner(), output.dims[2] as usize);
    let kept = if overlap(input, output) { filter.window.kept() } else { 0 };
    part.bytes().next_multiple_of(4) + kept * input.dims[2] as usize * input.inner()
}

/// The operator on 8-bit images.
pub(super) fn run<Y: Quantized, W: Weights>(
    run: &Run<'_>,
    filter: &Filter<'_, W>,
    (input, output): (&Tensor, &Tensor),
) {
    let Filter { window, matrix } = filter;
    let (x, y) = (run.read::<i8>(input), run.write::<Y>(output));
    let [images, height, width, channels] = input.dims_with(run.rows());
    let [_, out_height, out_width, out_channels] = output.dims_with(run.rows());
    let (length, out_length) = (input.dims[2] as usize * channels, output.dims[2] as usize * out_channels);
    let (image, out_image) = (input.dims[1] as usize * length, output.dims[1] as usize * out_length);
    let part = Part::new(window, channels, output.dims[2] as usize);
    let kept = if overlap(input, output) { window.kept() } else { 0 };
    let staged = run.scratch::<i8>(0, part.bytes());
    let ring = run.scratch::<i8>(part.bytes().next_multiple_of(4), kept * length);
    let (spread, outside) = (Spread::new(channels, part.column), i8::narrow(input.zero_point));
    for n in 0..images {
        let mut rows = Rows::new(x.window(n * image, image), height, length, ring, kept);
        for oy in 0..out_height {
            let top = window.start(0, oy);
            rows.advance(top);
            let ys = window.inside(0, top, height);
            for first in (0..out_width).step_by(part.outputs.max(1)) {
                let count = part.outputs.min(out_width - first);
                let (start, columns) = (window.start(1, first), part.columns(count));
                let before = ((-start).max(0) as usize).min(columns);
                let from = start.max(0) as usize;
                let inside = width.saturating_sub(from).min(columns - before);
                if ys.len() < window.kernel[0] as usize {
                    fill(staged, outside);
                } else {
                    fill(staged.window(0, before * part.column), outside);
                    let behind = (before + inside) * part.column;
                    fill(staged.window(behind, columns * part.column - behind), outside);
                }
                for ky in ys.clone() {
                    let row = rows.get((top + (ky * window.dilation[0] as usize) as isize).max(0) as usize);
                    let place = before * part.column + ky * channels;
                    spread.row(
                        row.window(from * channels, inside * channels),
                        staged.window(place, staged.len()),
                    );
                }
                let windows = product::Rows {
                    bytes: staged.reader(),
                    depth: matrix.depth,
                    step: part.step * part.column,
                    count,
                };
                let place = n * out_image + oy * out_length + first * out_channels;
                matrix.apply_columns(windows, (y.window(place, count * out_channels), out_channels));
            }
        }
    }
}

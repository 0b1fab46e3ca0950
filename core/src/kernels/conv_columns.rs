//! Convolution for the Helium layout: the rows that a row of outputs sees are staged column by column, with their padding, so
//! that the window of every pixel is one run of bytes. Borders are pixels like all others. Where a row of outputs sees the rows of
//! the one above but for one, columns slide up and only the new row is copied, before an output may take its place; elsewhere each
//! input is copied once a row of the window.

use super::Run;
use super::conv::Filter;
use super::matrix::Weights;
use super::requant::Quantized;
use super::window::{self, Rows, Window, overlap};
use crate::arch::helium::columns::{Spread, fill, slide};
use crate::arch::view::span;
use crate::plan::Tensor;

/// Bytes that columns take at most where more is not needed.
const ROOM: usize = 1664;

/// How an image goes through columns.
struct Columns {
    /// Outputs of columns that are staged at once.
    outputs: usize,
    /// Bytes of a column.
    column: usize,
    /// Columns from a window to the next.
    step: usize,
    /// Columns of a window.
    kernel: usize,
    /// Whether columns slide from a row of outputs to the next.
    slides: bool,
    /// Rows that are kept before an output in the input's place overwrites them.
    kept: usize,
}

impl Columns {
    /// Rows of outputs go in equal parts, in pairs where there are some; as a whole, if then they slide and need no more memory
    /// than parts and kept rows.
    fn new(window: &Window, input: &Tensor, output: &Tensor, kept: usize) -> Self {
        let ([height, kernel], step) = (window.kernel.map(usize::from), window.stride[1] as usize);
        let width = output.dims[2] as usize;
        let column = height * input.inner();
        let most = ROOM.checked_div(column).unwrap_or(0).max(kernel);
        let outputs = (most - kernel).checked_div(step).unwrap_or(0) + 1;
        let outputs = if outputs > 1 { outputs & !1 } else { outputs };
        let parts = width.div_ceil(outputs).max(1);
        let outputs = outputs.min(width.div_ceil(parts).next_multiple_of(2));
        let part = Self { outputs, column, step, kernel, slides: false, kept };
        let whole = Self { outputs: width.next_multiple_of(2), slides: true, kept: 0, ..part };
        let slides = height > 1 && window.stride[0] == 1 && window.dilation[0] == 1;
        let fits = outputs >= width || whole.scratch(input) <= part.scratch(input);
        if slides && fits { whole } else { part }
    }

    /// Columns that `outputs` outputs see.
    fn columns(&self, outputs: usize) -> usize {
        span(outputs, self.step, self.kernel)
    }

    /// Columns for the outputs from `first` on, of images of `width` columns with rows of `outputs` outputs.
    fn seen(&self, window: &Window, first: usize, [width, outputs]: [usize; 2]) -> Seen {
        let count = self.outputs.min(outputs - first);
        let (start, columns) = (window.start(1, first), self.columns(count));
        let before = ((-start).max(0) as usize).min(columns);
        let from = start.max(0) as usize;
        let inside = width.saturating_sub(from).min(columns - before);
        Seen { count, columns, before, from, inside }
    }

    fn bytes(&self) -> usize {
        self.columns(self.outputs).saturating_mul(self.column)
    }

    /// Bytes of the columns, and behind them the kept rows.
    fn scratch(&self, input: &Tensor) -> usize {
        window::scratch(self.bytes(), self.kept, input)
    }
}

/// Columns that some outputs of a row see.
#[derive(Clone, Copy)]
struct Seen {
    /// Outputs.
    count: usize,
    /// All columns, and those in front of the image.
    columns: usize,
    before: usize,
    /// The first column of the image, and how many of it.
    from: usize,
    inside: usize,
}

/// Bytes of scratch memory: the columns, the kept rows, and those of outputs that are stored as blocks.
pub(super) fn scratch<W: Weights>(filter: &Filter<'_, W>, input: &Tensor, output: &Tensor) -> usize {
    let (size, kept) = (filter.made.image::<W>(output), kept(&filter.window, input, output));
    let bytes = Columns::new(&filter.window, input, &size, kept).scratch(input);
    window::with_room(bytes, filter.made.room::<W>(output, 1))
}

/// Rows that are kept before an output in the input's place overwrites them.
fn kept(window: &Window, input: &Tensor, output: &Tensor) -> usize {
    if overlap(input, output) { window.kept() } else { 0 }
}

/// The operator on 8-bit images.
pub(super) fn run<Y: Quantized, W: Weights>(
    run: &Run<'_>,
    filter: &Filter<'_, W>,
    (input, output): (&Tensor, &Tensor),
) {
    let Filter { window, made, matrix } = filter;
    let (x, size) = (run.read::<i8>(input), made.image::<W>(output));
    let [images, height, width, channels] = input.dims_with(run.rows());
    let [_, out_height, out_width, _] = size.dims_with(run.rows());
    let length = input.dims[2] as usize * channels;
    let image = input.dims[1] as usize * length;
    let part = Columns::new(window, input, &size, kept(window, input, output));
    let places = made.rows::<Y, W>(run, output, (part.scratch(input), 1));
    let Columns { slides, kept, .. } = part;
    let Some(product) = matrix.columns(part.step * part.column) else { return };
    let staged = run.scratch::<i8>(0, part.bytes());
    let ring = run.scratch::<i8>(part.bytes().next_multiple_of(4), kept * length);
    let (spread, outside) = (Spread::new(channels, part.column), i8::narrow(input.zero_point));
    let (kernel, head) = (window.kernel[0] as usize, part.seen(window, 0, [width, out_width]));
    for n in 0..images {
        let mut rows = Rows::new(x.window(n * image, image), height, length, ring, kept);
        for oy in 0..out_height {
            let top = window.start(0, oy);
            rows.advance(top);
            let ys = window.inside(0, top, height);
            // Kernel rows that are there from the row above.
            let there = if slides && oy > 0 { kernel - 1 } else { 0 };
            let mut first = 0;
            while first < out_width {
                let seen = if first == 0 { head } else { part.seen(window, first, [width, out_width]) };
                let Seen { count, columns, before, from, inside } = seen;
                if there > 0 {
                    let columns = staged.window(0, columns * part.column);
                    slide(columns, [channels, there * channels], part.column);
                    if ys.end <= there {
                        (0..columns.len()).step_by(part.column.max(1)).for_each(|column| {
                            fill(columns.window(column + there * channels, channels), outside);
                        });
                    }
                } else if slides || ys.len() < kernel {
                    fill(staged, outside);
                } else {
                    fill(staged.window(0, before * part.column), outside);
                    let behind = (before + inside) * part.column;
                    fill(staged.window(behind, columns * part.column - behind), outside);
                }
                for ky in ys.start.max(there)..ys.end {
                    let row = rows.get((top + (ky * window.dilation[0] as usize) as isize).max(0) as usize);
                    let place = before * part.column + ky * channels;
                    spread.row(
                        row.window(from * channels, inside * channels),
                        staged.window(place, staged.len()),
                    );
                }
                let place = places.of(n, oy) + first * places.step;
                let y = places.y.window(place, count * places.step);
                product.outputs(staged.reader(), count, (y, places.step));
                first += part.outputs;
            }
            places.store(n, oy);
        }
    }
}

//! Depthwise convolution for the Helium layout: some rows of outputs at once, so that every input is scattered less often.
//!
//! An output in its input's place overwrites rows that the next band still sees. Where both lie so that a channel's outputs
//! only overwrite inputs of the same channel, one row is kept while the channels are worked on; otherwise rows of outputs are
//! computed one by one, and whole rows are kept before that.

use super::Run;
use super::requant::Quantized;
use super::window::{self, Rows, overlap};
use crate::arch::depthwise::Filter;
use crate::arch::helium::depthwise::{Band, MAX_ROWS, Shape, band};
use crate::arch::view::In;
use crate::plan::Tensor;

/// How a filter goes over an image, and what it keeps.
pub(super) struct Bands {
    shape: Shape,
    /// Whole rows that are kept before outputs are written.
    kept: usize,
    /// Whether a row is kept for the next band, channel by channel.
    keeps: bool,
}

impl Bands {
    /// None for filters that go another way.
    pub fn new(filter: &Filter<'_>, input: &Tensor, output: &Tensor) -> Option<Self> {
        let (window, width) = (&filter.window, output.dims[2] as usize);
        let shape = Shape::new(filter, width, 16)?;
        if !overlap(input, output) {
            return Some(Self { shape, kept: 0, keeps: false });
        }
        let kept = window.kept();
        let again = kept.saturating_sub(window.stride[0] as usize);
        let aligned = (input.offset.abs_diff(output.offset) as usize).is_multiple_of(filter.depth);
        let narrow = Shape::new(filter, width, 8)?;
        let whole = [shape, narrow].into_iter().find(|shape| shape.columns >= width);
        let whole = whole.or_else(|| narrow.whole(filter, width));
        match whole.filter(|_| aligned && again <= 1) {
            Some(shape) => Some(Self { shape, kept: 0, keeps: again == 1 }),
            None => Some(Self { shape: narrow.single(), kept, keeps: false }),
        }
    }

    /// Bytes of planes and kept rows.
    pub fn scratch(&self, filter: &Filter<'_>, input: &Tensor) -> usize {
        window::scratch(self.shape.bytes(filter), self.kept + self.keeps as usize, input)
    }

    /// The operator on 8-bit images.
    pub fn run(&self, run: &Run<'_>, filter: &Filter<'_>, (input, output): (&Tensor, &Tensor)) {
        let Filter { window, depth, .. } = *filter;
        let (x, y) = (run.read::<i8>(input), run.write::<i8>(output));
        let [images, height, width, _] = input.dims_with(run.rows());
        let [_, out_height, out_width, _] = output.dims_with(run.rows());
        let (length, out_length) = (input.dims[2] as usize * depth, output.dims[2] as usize * depth);
        let (image, out_image) = (input.dims[1] as usize * length, output.dims[1] as usize * out_length);
        let planes = run.scratch::<i8>(0, self.shape.bytes(filter));
        let ring =
            run.scratch::<i8>(planes.len().next_multiple_of(4), (self.kept + self.keeps as usize) * length);
        let (kernel, down) = (window.kernel[0] as usize, window.stride[0] as usize);
        let mut table = [In::new(&[]); MAX_ROWS];
        for n in 0..images {
            let mut rows = Rows::new(x.window(n * image, image), height, length, ring, self.kept);
            let mut oy = 0;
            while oy < out_height {
                let count = self.shape.rows.min(out_height - oy);
                let top = window.start(0, oy);
                rows.advance(top);
                let seen = (count - 1) * down + kernel;
                for (row, place) in table.iter_mut().enumerate().take(seen) {
                    let row = top + row as isize;
                    let inside = (0..height as isize).contains(&row);
                    *place = if inside { rows.get(row as usize) } else { In::new(&[]) };
                }
                if let (true, true, Some(first)) = (self.keeps, oy > 0 && top >= 0, table.first_mut()) {
                    *first = ring.reader();
                }
                let seen = Band {
                    rows: table.get(..seen).unwrap_or(&[]),
                    width,
                    outside: i8::narrow(input.zero_point),
                    count,
                    outputs: out_width,
                    keep: self.keeps.then_some((count * down, ring)),
                };
                let y = y.window(n * out_image + oy * out_length, count * out_length);
                band(&seen, (filter, self.shape), planes, (y, out_length));
                oy += count;
            }
        }
    }
}

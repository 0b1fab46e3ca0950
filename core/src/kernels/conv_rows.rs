//! Convolution for hosts: every image row is copied once, with its padding, and the windows of all pixels are read from
//! those copies. Nothing is gathered per pixel, and borders are pixels like all others.

use super::Run;
use super::conv::Filter;
use super::requant::Quantized;
use super::window::Window;
use crate::arch::fill;
use crate::arch::rows::Rows;
use crate::arch::view::{In, Out};
use crate::plan::Tensor;

/// Bytes behind the rows that groups of four may reach into.
const BEHIND: usize = 4;

/// Rows of an image with their padding: a ring of as many as a window reaches over, and a row of padding alone.
struct PaddedRows<'w, 'r> {
    window: &'w Window,
    image: In<'r, i8>,
    /// Rows of the image, elements from one to the next, and of those the ones present.
    height: usize,
    length: usize,
    present: usize,
    /// Bytes of a row with padding, and of the padding in front.
    padded: usize,
    front: usize,
    slots: Out<'r, i8>,
    /// Rows from here on are not in the ring yet.
    next: usize,
}

impl<'w, 'r> PaddedRows<'w, 'r> {
    /// Bytes of a row: up to the last tap of the last output, and the whole row.
    fn padded(window: &Window, input: &Tensor, output: &Tensor) -> usize {
        let reach =
            (output.dims[2] as usize).saturating_sub(1) * window.stride[1] as usize + window.extent(1);
        reach.max(window.pad[1] as usize + input.dims[2] as usize) * input.inner()
    }

    /// Bytes of scratch memory.
    fn bytes(window: &Window, input: &Tensor, output: &Tensor) -> usize {
        (window.extent(0) + 1) * Self::padded(window, input, output) + BEHIND
    }

    /// The rows of an image of `height` rows, with `width` pixels in each present.
    fn new(
        (window, outside): (&'w Window, i8),
        (input, output): (&Tensor, &Tensor),
        image: In<'r, i8>,
        [height, width]: [usize; 2],
        memory: Out<'r, i8>,
    ) -> Self {
        let padded = Self::padded(window, input, output);
        fill(memory.cast(), outside as u8);
        Self {
            window,
            image,
            height,
            length: input.dims[2] as usize * input.inner(),
            present: width * input.inner(),
            padded,
            front: window.pad[1] as usize * input.inner(),
            slots: memory,
            next: 0,
        }
    }

    /// Where row `row` begins in the scratch memory.
    fn start(&self, row: isize) -> usize {
        let ring = self.window.extent(0);
        let inside = (0..self.height as isize).contains(&row);
        (if inside { (row as usize).checked_rem(ring).unwrap_or(0) } else { ring }) * self.padded
    }

    /// Copies the rows that a window from row `top` on sees, with growing `top`.
    fn advance(&mut self, top: isize) {
        let until = ((top + self.window.extent(0) as isize).max(0) as usize).min(self.height);
        self.next = self.next.max(top.max(0) as usize);
        while self.next < until {
            let values = self.image.window(self.next * self.length, self.present);
            self.slots.window(self.start(self.next as isize) + self.front, values.len()).copy_from(&values);
            self.next += 1;
        }
    }
}

/// Bytes of scratch memory: where the segments begin, and the rows.
pub(super) fn scratch(filter: &Filter<'_>, input: &Tensor, output: &Tensor) -> usize {
    4 * filter.matrix.segments + PaddedRows::bytes(&filter.window, input, output)
}

/// The operator on 8-bit images.
pub(super) fn run<Y: Quantized>(run: &Run<'_>, filter: &Filter<'_>, (input, output): (&Tensor, &Tensor)) {
    let Filter { window, matrix } = filter;
    let (x, y) = (run.read::<i8>(input), run.write::<Y>(output));
    let [images, height, width, channels] = input.dims_with(run.rows());
    let [_, out_height, out_width, out_channels] = output.dims_with(run.rows());
    let image = input.dims[1] as usize * input.dims[2] as usize * channels;
    let out_length = output.dims[2] as usize * out_channels;
    let out_image = output.dims[1] as usize * out_length;
    let segments = matrix.segments;
    let starts = run.scratch::<u32>(0, segments);
    let memory = run.scratch::<i8>(4 * segments, PaddedRows::bytes(window, input, output));
    let of_group = channels.checked_div(matrix.groups).unwrap_or(0);
    // Segments are window rows, or their taps.
    let taps = matrix.segments.checked_div(window.kernel[0] as usize).unwrap_or(0);
    for n in 0..images {
        let outside = i8::narrow(input.zero_point);
        let x = x.window(n * image, image);
        let mut rows = PaddedRows::new((window, outside), (input, output), x, [height, width], memory);
        for oy in 0..out_height {
            let top = window.start(0, oy);
            rows.advance(top);
            for group in 0..matrix.groups {
                for ky in 0..window.kernel[0] as usize {
                    let row = rows.start(top + (ky * window.dilation[0] as usize) as isize);
                    for kx in 0..taps {
                        let tap = kx * window.dilation[1] as usize * channels;
                        starts.set(ky * taps + kx, (row + tap + group * of_group) as u32);
                    }
                }
                let rows = Rows {
                    bytes: memory.reader(),
                    starts: starts.reader(),
                    len: matrix.depth.checked_div(segments).unwrap_or(0),
                    step: window.stride[1] as usize * channels,
                    count: out_width,
                };
                let place = n * out_image + oy * out_length + group * matrix.outputs;
                matrix.apply_rows(group, rows, (y.window(place, y.len()), out_channels));
            }
        }
    }
}

//! Convolution for hosts: the windows of all pixels are segments of [`PaddedRows`].

use super::Run;
use super::conv::Filter;
use super::matrix::Weights;
use super::padded_rows::PaddedRows;
use super::requant::Quantized;
use super::window::with_room;
use crate::arch::rows::Rows;
use crate::plan::Tensor;

/// Bytes behind the rows that groups of four may reach into.
const BEHIND: usize = 4;

/// Bytes of scratch memory: where the segments begin, the rows, and those of outputs that are stored as blocks.
pub(super) fn scratch<W: Weights>(filter: &Filter<'_, W>, input: &Tensor, output: &Tensor) -> usize {
    let size = filter.made.image::<W>(output);
    with_room(padded(filter, input, &size), filter.made.room::<W>(output, PaddedRows::lines(&size)))
}

/// Of those the bytes for the image.
fn padded<W: Weights>(filter: &Filter<'_, W>, input: &Tensor, size: &Tensor) -> usize {
    4 * filter.matrix.inputs.segments + PaddedRows::bytes(&filter.window, input, size, BEHIND)
}

/// The operator on 8-bit images.
pub(super) fn run<Y: Quantized, W: Weights>(
    run: &Run<'_>,
    filter: &Filter<'_, W>,
    (input, output): (&Tensor, &Tensor),
) {
    let Filter { window, made, matrix } = filter;
    let (x, size) = (run.read::<i8>(input), &made.image::<W>(output));
    let places = made.rows::<Y, W>(run, output, (padded(filter, input, size), PaddedRows::lines(size)));
    let [images, height, width, channels] = input.dims_with(run.rows());
    let [_, out_height, out_width, _] = size.dims_with(run.rows());
    let image = input.dims[1] as usize * input.dims[2] as usize * channels;
    let segments = matrix.inputs.segments;
    let starts = run.scratch::<u32>(0, segments);
    let memory = run.scratch::<i8>(4 * segments, PaddedRows::bytes(window, input, size, BEHIND));
    let padded = PaddedRows::padded(window, input, size);
    // Segments are window rows, or their taps.
    let taps = segments.checked_div(window.kernel[0] as usize).unwrap_or(0);
    for segment in 0..segments {
        let (ky, kx) = (segment.checked_div(taps).unwrap_or(0), segment.checked_rem(taps).unwrap_or(0));
        let [row, tap] = [ky * window.dilation[0] as usize, kx * window.dilation[1] as usize];
        starts.set(segment, (row * padded + tap * channels) as u32);
    }
    let of_group = channels.checked_div(matrix.groups).unwrap_or(0);
    for n in 0..images {
        let outside = i8::narrow(input.zero_point);
        let x = x.window(n * image, image);
        let mut image = PaddedRows::new((window, outside), (input, size), x, [height, width], memory);
        for first in (0..out_height).step_by(PaddedRows::lines(size).max(1)) {
            let lines = PaddedRows::lines(size).min(out_height - first);
            image.load(first, lines);
            for group in 0..matrix.groups {
                let rows = Rows {
                    bytes: memory.reader().window(group * of_group, memory.len()),
                    starts: starts.reader(),
                    len: matrix.depth.checked_div(segments).unwrap_or(0),
                    step: window.stride[1] as usize * channels,
                    count: out_width,
                    lines,
                    line: window.stride[0] as usize * padded,
                };
                let y = places.y.window(places.of(n, first) + group * matrix.outputs, places.y.len());
                matrix.apply_rows(group, rows, (y, places.steps()));
            }
            places.store(n, first + lines - 1);
        }
    }
}

//! Convolution for hosts: the windows of all pixels are segments of [`PaddedRows`].

use super::Run;
use super::conv::Filter;
use super::matrix::Weights;
use super::padded_rows::PaddedRows;
use super::part::places;
use super::requant::Quantized;
use crate::arch::rows::Rows;
use crate::plan::Tensor;

/// Bytes behind the rows that groups of four may reach into.
const BEHIND: usize = 4;

/// Bytes of scratch memory: where the segments begin, and the rows.
pub(super) fn scratch<W: Weights>(filter: &Filter<'_, W>, input: &Tensor, output: &Tensor) -> usize {
    4 * filter.matrix.inputs.segments + PaddedRows::bytes(&filter.window, input, output, BEHIND)
}

/// The operator on 8-bit images.
pub(super) fn run<Y: Quantized, W: Weights>(
    run: &Run<'_>,
    filter: &Filter<'_, W>,
    (input, output): (&Tensor, &Tensor),
) {
    let Filter { window, matrix } = filter;
    let (x, y) = (run.read::<i8>(input), places::<Y, W>(run, output));
    let [images, height, width, channels] = input.dims_with(run.rows());
    let [_, out_height, out_width, out_channels] = output.dims_with(run.rows());
    let image = input.dims[1] as usize * input.dims[2] as usize * channels;
    let out_length = output.dims[2] as usize * out_channels;
    let out_image = output.dims[1] as usize * out_length;
    let segments = matrix.inputs.segments;
    let starts = run.scratch::<u32>(0, segments);
    let memory = run.scratch::<i8>(4 * segments, PaddedRows::bytes(window, input, output, BEHIND));
    let padded = PaddedRows::padded(window, input, output);
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
        let mut image = PaddedRows::new((window, outside), (input, output), x, [height, width], memory);
        for first in (0..out_height).step_by(PaddedRows::lines(output).max(1)) {
            let lines = PaddedRows::lines(output).min(out_height - first);
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
                let place = n * out_image + first * out_length + group * matrix.outputs;
                matrix.apply_rows(group, rows, (y.window(place, y.len()), [out_channels, out_length]));
            }
        }
    }
}

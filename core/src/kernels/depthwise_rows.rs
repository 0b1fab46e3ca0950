//! Depthwise convolution for hosts: rows of outputs from [`PaddedRows`].

use super::Run;
use super::padded_rows::PaddedRows;
use crate::arch::depthwise::{BEHIND, Filter, Lines, padded_lines, prepare, prepared_bytes};
use crate::kernels::requant::Quantized;
use crate::plan::{DType, Tensor};

/// Bytes of weights and constants as prepared; none when the operator is not one for this file.
fn prepared(filter: &Filter<'_>, input: &Tensor, output: &Tensor) -> Option<usize> {
    let bytes = input.dtype == DType::I8 && output.dtype == DType::I8;
    if bytes { prepared_bytes(filter) } else { None }
}

/// Bytes of scratch memory: what is prepared, and the rows.
pub(super) fn scratch(filter: &Filter<'_>, input: &Tensor, output: &Tensor) -> usize {
    let rows = PaddedRows::bytes(&filter.window, input, output, BEHIND);
    prepared(filter, input, output).map_or(0, |bytes| bytes + rows)
}

/// The operator on 8-bit images; false when the backend has no body for it.
pub(super) fn run(run: &Run<'_>, filter: &Filter<'_>, (input, output): (&Tensor, &Tensor)) -> bool {
    let Some(bytes) = prepared(filter, input, output) else { return false };
    let scratch = run.scratch::<u8>(0, bytes);
    if !prepare(filter, scratch) {
        return false;
    }
    let window = &filter.window;
    let (x, y) = (run.read::<i8>(input), run.write::<i8>(output));
    let [images, height, width, depth] = input.dims_with(run.rows());
    let [_, out_height, out_width, _] = output.dims_with(run.rows());
    let image = input.dims[1] as usize * input.dims[2] as usize * depth;
    let out_length = output.dims[2] as usize * depth;
    let out_image = output.dims[1] as usize * out_length;
    let memory = run.scratch::<i8>(bytes, PaddedRows::bytes(window, input, output, BEHIND));
    for n in 0..images {
        let outside = i8::narrow(input.zero_point);
        let x = x.window(n * image, image);
        let mut image = PaddedRows::new((window, outside), (input, output), x, [height, width], memory);
        for first in (0..out_height).step_by(PaddedRows::lines(output).max(1)) {
            let lines = PaddedRows::lines(output).min(out_height - first);
            image.load(first, lines);
            let lines = Lines {
                image: memory.reader(),
                row: PaddedRows::padded(window, input, output),
                lines,
                pixels: out_width,
                prepared: scratch.reader(),
            };
            let place = n * out_image + first * out_length;
            padded_lines(filter, lines, (y.window(place, y.len()), out_length));
        }
    }
    true
}

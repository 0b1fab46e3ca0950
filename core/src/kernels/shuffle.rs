//! Depth to space, also called pixel shuffle: every position becomes a block of positions.

use super::movement::copy;
use super::{Kernel, OpKind, Run};
use crate::arch::moving::{Plane, blocks_of_two};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, write};

/// The operator: `[n, h, w, b * b * c]` to `[n, h * b, w * b, c]`, of one type.
pub struct Shuffle;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShuffleParams {
    /// Side of the block, b.
    pub block: u8,
    /// Whether input channel `(k * b + i) * b + j` is channel k at row i and column j of the block (PyTorch's order); else it is
    /// `(i * b + j) * c + k`.
    pub channels_first: bool,
}

impl ShuffleParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().u8(self.block).u8(self.channels_first as u8)
    }

    /// Reads what [`ShuffleParams::encode`] writes.
    pub(crate) fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let (block, order) = (cursor.u8(), cursor.u8());
        (cursor.finished() && block > 0 && order <= 1).then_some(Self { block, channels_first: order == 1 })
    }
}

impl Kernel for Shuffle {
    const KIND: OpKind = OpKind::Shuffle;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (x, y) = operator.unary()?;
        let params = ShuffleParams::read(operator.params()).ok_or(Fault::Params)?;
        if x.dtype != y.dtype {
            return Err(Fault::Types);
        }
        let block = params.block as u64;
        let [[n, h, w, depth], out] = [x.dims, y.dims].map(|dims| dims.map(u64::from));
        let channels = out.into_iter().next_back().unwrap_or(0);
        let fits = out == [n, h * block, w * block, channels] && depth == channels * block * block;
        if fits && x.dynamic | y.dynamic == 0 { Ok(()) } else { Err(Fault::Shapes) }
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = ShuffleParams::read(run.operator().params()) else { return };
        let (block, size) = (params.block as usize, output.dtype.size());
        let [depth, channels] = [input.inner(), output.inner()].map(|elements| elements * size);
        let width = input.dims[2] as usize;
        let (x, y) = (run.read_bytes(&input), run.write_bytes(&output));
        let row_steps = [depth as isize, (block * channels) as isize];
        let rows = input.dims[0] as usize * input.dims[1] as usize;
        // Two by two with channels in fours, the most frequent case.
        let quads = if block == 2 && size == 1 && channels.is_multiple_of(4) { channels / 4 } else { 0 };
        if quads > 0 {
            let pixels = width * depth;
            let done = |row: usize| {
                let to = [0, 1].map(|i| (row * 2 + i) * width * 2 * channels);
                blocks_of_two(x, y, (row * pixels, to), width, quads, params.channels_first)
            };
            if (0..rows).all(done) {
                return;
            }
        }
        for (row, i) in (0..rows).flat_map(|row| (0..block).map(move |i| (row, i))) {
            let (from, to) = (row * width * depth, (row * block + i) * width * block * channels);
            if !params.channels_first {
                let plane = Plane { rows: width, inner: block * channels, row_steps, steps: [1, 1] };
                copy(x, y, [from + i * block * channels, to], &plane);
                continue;
            }
            for k in 0..channels / size {
                let (from, to) = (from + (k * block + i) * block * size, to + k * size);
                if size == 1 {
                    let plane = Plane { rows: width, inner: block, row_steps, steps: [1, channels as isize] };
                    copy(x, y, [from, to], &plane);
                    continue;
                }
                for j in 0..block {
                    let plane = Plane { rows: width, inner: size, row_steps, steps: [1, 1] };
                    copy(x, y, [from + j * size, to + j * channels], &plane);
                }
            }
        }
    }
}

/// The specification, for one image of `width` positions a row with `channels` channels in the end.
pub fn reference<T: Copy>(x: &[T], width: usize, channels: usize, params: &ShuffleParams, y: &mut [T]) {
    let block = params.block as usize;
    for (at, y) in y.iter_mut().enumerate() {
        let (k, column, row) =
            (at % channels, at / channels % (width * block), at / (channels * width * block));
        let (i, j) = (row % block, column % block);
        let depth =
            if params.channels_first { (k * block + i) * block + j } else { (i * block + j) * channels + k };
        *y = x[(row / block * width + column / block) * channels * block * block + depth];
    }
}

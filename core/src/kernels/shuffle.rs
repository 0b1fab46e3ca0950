//! Depth to space, also called pixel shuffle: every position becomes a block of positions.

use super::movement::copy;
use super::{Kernel, OpKind, Run};
use crate::arch::moving::{Plane, blocks_of_two};
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator, write};

/// The operator: `[n, h, w, b * b * c]` to c of the channels of `[n, h * b, w * b, ..]`, of one type. Other channels stay as they are.
pub struct Shuffle;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShuffleParams {
    /// Side of the block, b.
    pub block: u8,
    /// Whether input channel `(k * b + i) * b + j` is channel k at row i and column j of the block (PyTorch's order); else it is
    /// `(i * b + j) * c + k`.
    pub channels_first: bool,
    /// The first of the c channels.
    pub first: u16,
}

impl ShuffleParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().u8(self.block).u8(self.channels_first as u8).u16(self.first)
    }

    /// Reads what [`ShuffleParams::encode`] writes.
    pub fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let (block, order, first) = (cursor.u8(), cursor.u8(), cursor.short());
        let read = Self { block, channels_first: order == 1, first };
        (cursor.finished() && block > 0 && order <= 1).then_some(read)
    }

    /// The c channels that an input of `depth` channels gives: none are left over.
    pub(crate) fn channels(&self, depth: usize) -> Option<usize> {
        let area = self.block as usize * self.block as usize;
        depth.checked_div(area).filter(|channels| channels * area == depth)
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
        let [[n, h, w, _], out] = [x.dims, y.dims].map(|dims| dims.map(u64::from));
        let positions = out.into_iter().take(3).eq([n, h * block, w * block]);
        let channels = params.channels(x.inner()).map(|channels| params.first as usize + channels);
        let fits = positions && channels.is_some_and(|end| end <= y.inner());
        if fits && x.dynamic | y.dynamic == 0 { Ok(()) } else { Err(Fault::Shapes) }
    }

    fn run(run: &Run<'_>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(params) = ShuffleParams::read(run.operator().params()) else { return };
        let (block, size) = (params.block as usize, output.dtype.size());
        let Some(channels) = params.channels(input.inner()) else { return };
        // Bytes of a position: of the input, of what is made of the output, and of all of that.
        let [depth, channels, pitch] =
            [input.inner(), channels, output.inner()].map(|elements| elements * size);
        let width = input.dims[2] as usize;
        let (x, y) = (run.read_bytes(&input), run.write_bytes(&output));
        let y = y.window(params.first as usize * size, y.len());
        let row_steps = [depth as isize, (block * pitch) as isize];
        let rows = input.dims[0] as usize * input.dims[1] as usize;
        // Two by two with channels in fours, the most frequent case.
        let quads = if block == 2 && size == 1 && channels.is_multiple_of(4) { channels / 4 } else { 0 };
        if quads > 0 {
            let pixels = width * depth;
            let done = |row: usize| {
                let to = [0, 1].map(|i| (row * 2 + i) * width * 2 * pitch);
                blocks_of_two(x, y, (row * pixels, to), width, (quads, pitch), params.channels_first)
            };
            if (0..rows).all(done) {
                return;
            }
        }
        for (row, i) in (0..rows).flat_map(|row| (0..block).map(move |i| (row, i))) {
            let (from, to) = (row * width * depth, (row * block + i) * width * block * pitch);
            if !params.channels_first {
                // The positions of a block's row lie together where there are no other channels.
                let (columns, inner) =
                    if channels == pitch { (1, block * channels) } else { (block, channels) };
                let plane = Plane { rows: width, inner, row_steps, steps: [1, 1] };
                for j in 0..columns {
                    copy(x, y, [from + (i * block + j) * channels, to + j * pitch], &plane);
                }
                continue;
            }
            for k in 0..channels / size {
                let (from, to) = (from + (k * block + i) * block * size, to + k * size);
                if size == 1 {
                    let plane = Plane { rows: width, inner: block, row_steps, steps: [1, pitch as isize] };
                    copy(x, y, [from, to], &plane);
                    continue;
                }
                for j in 0..block {
                    let plane = Plane { rows: width, inner: size, row_steps, steps: [1, 1] };
                    copy(x, y, [from + j * size, to + j * pitch], &plane);
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

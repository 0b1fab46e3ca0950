//! Layers that make some of the channels of their output and leave the others as they are, so that the parts of a concatenation
//! are made where they belong; and convolutions whose every position becomes a block of positions there, so that a pixel shuffle is
//! where they store.
//!
//! Each is a kind of its own, with a [`Part`] in front of the parameters, and shares no memory with its input: rows of the output
//! are longer than what is made of them, and others may have been made already.

use core::marker::PhantomData;
use core::ops::Range;

use super::matrix::Weights;
use super::movement::copy;
use super::requant::Quantized;
use super::window::TOO_MANY;
use super::{OpKind, Run};
use crate::arch::moving::{Plane, blocks_of_two};
use crate::arch::view::Out;
use crate::pack::Layout;
use crate::plan::cursor::Cursor;
use crate::plan::{Operator, Tensor, write};

/// What an operator makes of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first of its channels.
    pub first: u16,
    /// How many there are, one or more.
    pub outputs: u16,
    /// Side of the block of positions that each position of the layer becomes, b: 1, or more for a convolution, which then has
    /// `b * b * outputs` outputs at each of its positions, those of the block's first row first: output `(i * b + j) * outputs + k` is channel
    /// k at row i and column j.
    pub block: u16,
}

impl Part {
    /// Channels from `first` on, position by position.
    pub fn channels(first: u16, outputs: u16) -> Self {
        Self { first, outputs, block: 1 }
    }

    /// Reads what [`Part::encode`] writes.
    pub fn read(params: &mut Cursor<'_>) -> Self {
        Self { first: params.short(), outputs: params.short(), block: params.short() }
    }

    /// What stands in front of the operator's other parameters.
    pub fn encode(self) -> write::Params {
        write::Params::new().u16(self.first).u16(self.outputs).u16(self.block)
    }

    /// Outputs that the layer has at each of its positions; of parts that are in no tensor as many as a tensor has elements at most.
    pub fn of_layer(self) -> usize {
        let [outputs, block] = [self.outputs, self.block].map(usize::from);
        outputs.saturating_mul(block.saturating_mul(block)).min(1 << 28)
    }
}

/// Whether `operator` makes some channels of its output only.
pub(super) fn is_part<W: Weights>(operator: &Operator<'_>) -> bool {
    W::PART && matches!(operator.kind, OpKind::ConvPart | OpKind::LinearPart)
}

/// What an operator makes, a whole tensor or a [`Part`].
#[derive(Clone, Copy)]
pub(super) struct Made {
    first: usize,
    channels: usize,
    block: usize,
}

impl Made {
    /// What `operator` makes of `output`, as `params` begin with where it is a part; none when that is not in it.
    #[inline(always)]
    pub fn read<W: Weights>(
        operator: &Operator<'_>,
        params: &mut Cursor<'_>,
        output: &Tensor,
    ) -> Option<Self> {
        if !is_part::<W>(operator) {
            return Some(Self { first: 0, channels: output.inner(), block: 1 });
        }
        let Part { first, outputs, block } = Part::read(params);
        let [first, channels, block] = [first, outputs, block].map(usize::from);
        // So there are no more outputs than the tensor has elements.
        let of_blocks = |size: u32| size as usize >= block && (size as usize).is_multiple_of(block);
        let [_, height, width, _] = output.dims;
        let static_image = operator.kind == OpKind::ConvPart && output.dynamic == 0;
        let blocks = block == 1 || static_image && of_blocks(height) && of_blocks(width);
        let inside = channels > 0 && first + channels <= output.inner();
        (block > 0 && blocks && inside).then_some(Self { first, channels, block })
    }

    /// Outputs at each position of the layer.
    pub fn outputs(self) -> usize {
        self.channels * self.block * self.block
    }

    fn block<W: Weights>(self) -> usize {
        if W::PART { self.block } else { 1 }
    }

    /// Of so many rows and columns of the output, those of the layer.
    #[inline(always)]
    pub fn positions<W: Weights>(self, size: [usize; 2]) -> [usize; 2] {
        size.map(|size| size.checked_div(self.block::<W>()).unwrap_or(0))
    }

    /// `output` with the layer's own positions.
    #[inline(always)]
    pub fn image<W: Weights>(self, output: &Tensor) -> Tensor {
        let [images, height, width, channels] = output.dims;
        let [height, width] = self.positions::<W>([height as usize, width as usize]).map(|size| size as u32);
        Tensor { dims: [images, height, width, channels], ..*output }
    }

    /// Bytes of `rows` rows of outputs, which stand in scratch memory until they are stored as blocks; at most [`TOO_MANY`].
    #[inline(always)]
    pub fn room<W: Weights>(self, output: &Tensor, rows: usize) -> usize {
        if self.block::<W>() == 1 {
            return 0;
        }
        let row = (self.image::<W>(output).dims[2] as usize).saturating_mul(self.outputs());
        row.saturating_mul(rows).min(TOO_MANY)
    }

    /// Where rows of outputs go: of blocks first into [`Made::room`] for `rows` rows, which is behind `room` bytes of the scratch memory.
    #[inline(always)]
    pub fn rows<'r, Y: Quantized, W: Weights>(
        self,
        run: &'r Run<'_>,
        output: &Tensor,
        (room, rows): (usize, usize),
    ) -> Places<'r, Y, W> {
        let y = run.write::<Y>(output);
        let y = if W::PART { y.window(self.first, y.len()) } else { y };
        // Of a shape that varies, rows are as far apart as they all would be.
        let (length, step) = (output.dims[2] as usize * output.inner(), output.inner());
        let image = output.dims[1] as usize * length;
        let plain = Places { y, step, row: length, image, blocks: None, form: PhantomData };
        if self.block::<W>() == 1 {
            return plain;
        }
        let (bytes, dims) = (self.room::<W>(output, rows), self.image::<W>(output).dims);
        let row = dims[2] as usize * self.outputs();
        let blocks = Blocks { y, length, step, made: self, rows, height: dims[1] as usize };
        Places {
            y: run.scratch(room.next_multiple_of(4), bytes),
            step: self.outputs(),
            row,
            image: 0,
            blocks: Some(blocks),
            form: PhantomData,
        }
    }
}

/// The elements of `output` from the first channel on that the operator makes: what it makes is as far from there as it would be
/// from the beginning of a tensor that it makes whole, channels of the others between.
pub(super) fn places<'r, Y: Quantized, W: Weights>(run: &'r Run<'_>, output: &Tensor) -> Out<'r, Y> {
    let y = run.write::<Y>(output);
    if !W::PART {
        return y;
    }
    let made = Made::read::<W>(run.operator(), &mut run.operator().params(), output);
    y.window(made.map_or(0, |made| made.first), y.len())
}

/// Rows of outputs after which tiles of a layout end, whatever the width of the rows: those that blocks are stored from at once, few
/// where no tile goes on in the next row.
pub(super) fn rows_of_tiles(layout: Layout) -> usize {
    if layout == Layout::ArmDsp { crate::arch::matrix::rows(layout, 0) } else { 1 }
}

/// Where a layer's rows of outputs go.
#[derive(Clone, Copy)]
pub(super) struct Places<'r, Y, W> {
    /// Memory for them.
    pub y: Out<'r, Y>,
    /// Elements from a position to the next.
    pub step: usize,
    row: usize,
    image: usize,
    blocks: Option<Blocks<'r, Y>>,
    form: PhantomData<W>,
}

/// What rows of outputs are stored to as blocks.
#[derive(Clone, Copy)]
struct Blocks<'r, Y> {
    y: Out<'r, Y>,
    /// Elements of a row there, and from a position to the next.
    length: usize,
    step: usize,
    made: Made,
    /// Rows that are stored at once, and rows of an image.
    rows: usize,
    height: usize,
}

impl<Y: Quantized, W: Weights> Places<'_, Y, W> {
    /// Whole tensors have nothing of blocks, and their firmware no code for them.
    #[inline(always)]
    fn blocks(&self) -> Option<&Blocks<'_, Y>> {
        self.blocks.as_ref().filter(|_| W::PART)
    }

    /// Where row `row` of image `image` begins.
    #[inline(always)]
    pub fn of(&self, image: usize, row: usize) -> usize {
        match self.blocks() {
            None => image * self.image + row * self.row,
            Some(blocks) => row.checked_rem(blocks.rows).unwrap_or(0) * self.row,
        }
    }

    /// Elements from a position to the next, and from a row to the next.
    #[cfg(not(target_os = "none"))]
    pub fn steps(&self) -> [usize; 2] {
        [self.step, self.row]
    }

    /// Whether rows up to `row` are stored when it is made: all its outputs must be there then.
    #[inline(always)]
    pub fn ends(&self, row: usize) -> bool {
        let end = |blocks: &Blocks<'_, Y>| {
            row + 1 == blocks.height || (row + 1).checked_rem(blocks.rows) == Some(0)
        };
        self.blocks().is_some_and(end)
    }

    /// Stores the rows up to `row` of image `image`, if they are stored then.
    #[inline(always)]
    pub fn store(&self, image: usize, row: usize) {
        if let Some(blocks) = self.blocks().filter(|_| self.ends(row)) {
            let rows = row - row.checked_rem(blocks.rows).unwrap_or(0)..row + 1;
            blocks.store(self.y, self.row, image * blocks.height, rows);
        }
    }
}

impl<Y: Quantized> Blocks<'_, Y> {
    /// Stores `rows` of the image whose first row is row `first` of all, from `x`, where rows are `row` elements apart. Parts are bytes.
    #[inline(never)]
    fn store(&self, x: Out<'_, Y>, row: usize, first: usize, rows: Range<usize>) {
        let (Made { channels, block, .. }, x, y) = (self.made, x.reader().cast::<u8>(), self.y.cast::<u8>());
        let row_steps = [self.made.outputs() as isize, (block * self.step) as isize];
        let width = row.checked_div(self.made.outputs()).unwrap_or(0);
        let quads = if block == 2 && channels.is_multiple_of(4) { channels / 4 } else { 0 };
        // The positions of a block's row lie together where there are no other channels.
        let (columns, inner) = if channels == self.step { (1, block * channels) } else { (block, channels) };
        let plane = Plane { rows: width, inner, row_steps, steps: [1, 1] };
        for (at, line) in rows.enumerate() {
            let to = [0, 1].map(|i| ((first + line) * block + i) * self.length);
            if quads > 0 && blocks_of_two(x, y, (at * row, to), width, (quads, self.step), false) {
                continue;
            }
            for (i, j) in (0..block).flat_map(|i| (0..columns).map(move |j| (i, j))) {
                let to = ((first + line) * block + i) * self.length + j * self.step;
                copy(x, y, [at * row + (i * block + j) * channels, to], &plane);
            }
        }
    }
}

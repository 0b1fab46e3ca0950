//! Matrix, bias and output scale of linear layers and convolutions.

use super::requant::{Channels, Clamp, Quantized};
use crate::arch::matrix::{Lane, MAX_CHANNELS, MAX_ROWS, Patches, Rounding, Staging, Sums, finish};
use crate::arch::view::{In, Out};
use crate::pack::Layout;
use crate::plan::cursor::Cursor;
use crate::plan::{Fault, Operator};

/// `groups` matrices `[outputs][depth]` and the channels of all of them.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'p> {
    pub layout: Layout,
    pub groups: usize,
    pub outputs: usize,
    pub depth: usize,
    weights: In<'p, i8>,
    channels: Channels<'p>,
    clamp: Clamp,
}

impl<'p> Matrix<'p> {
    /// weights (constant), channels (constant), min i32, max i32. `outputs` are those of one group.
    pub fn read(
        operator: &Operator<'p>,
        cursor: &mut Cursor<'_>,
        [groups, outputs, depth]: [usize; 3],
        zero_point: i32,
    ) -> Self {
        let weights = operator.constant(cursor);
        let channels = Channels::read(operator, cursor, groups * outputs);
        let clamp = Clamp { zero_point, min: cursor.i32(), max: cursor.i32() };
        Self { layout: operator.plan().layout(), groups, outputs, depth, weights, channels, clamp }
    }

    fn size(&self) -> usize {
        self.layout.matrix().len(self.outputs, self.depth)
    }

    /// Whether everything has the size that the shapes ask for.
    pub fn check<Y: Quantized>(&self) -> Result<(), Fault> {
        let aligned = (self.weights.as_ptr() as usize).is_multiple_of(4);
        let complete = self.size().checked_mul(self.groups) == Some(self.weights.len());
        if !complete || !aligned || !self.channels.valid(self.groups * self.outputs) {
            return Err(Fault::Constants);
        }
        if self.clamp.valid::<Y>() { Ok(()) } else { Err(Fault::Params) }
    }

    /// How all its sums become outputs.
    pub fn rounding(&self) -> Rounding {
        Rounding::new(&self.channels, self.clamp)
    }

    /// Outputs of the first `rows` patches of a tile for one group.
    pub fn apply_tile<X: Lane, Y: Quantized>(
        &self,
        (group, rounding): (usize, Rounding),
        (tile, rows): (&Staging<'_>, usize),
        y: Out<'_, Y>,
        stride: usize,
    ) {
        X::complete(tile);
        let patches = Patches { bytes: tile.bytes.reader(), rows, depth: self.depth, staged: true };
        self.apply::<X, Y>((group, rounding), patches, y, stride);
    }

    /// Outputs of `patches` for one group: row `r` goes to `y` from element `r * stride` on.
    pub fn apply<X: Lane, Y: Quantized>(
        &self,
        (group, rounding): (usize, Rounding),
        patches: Patches<'_>,
        y: Out<'_, Y>,
        stride: usize,
    ) {
        let size = self.size();
        let weights = self.weights.window(group * size, size);
        let channels = self.channels.window(group * self.outputs, self.outputs);
        if X::outputs(self.layout, patches, weights, &channels, rounding, (y, stride)) {
            return;
        }
        let padded = self.depth.next_multiple_of(self.layout.matrix().depth);
        let mut sums: Sums = [[0; MAX_CHANNELS]; MAX_ROWS];
        let mut first = 0;
        while first < self.outputs {
            let rest = weights.window(first * padded, size);
            let done = X::tile(self.layout, patches, rest, &mut sums);
            if done == 0 {
                return;
            }
            let count = done.min(self.outputs - first);
            let place = (y.window(first, y.len()), stride);
            finish(&sums, (patches.rows, count), &channels, first, self.clamp, place);
            first += done;
        }
    }
}

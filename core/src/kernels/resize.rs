//! Resampling of images, bilinear or nearest, by tables that the host makes: input `[n, h, w, c]`, output
//! `[n, oh, ow, c]`, with the same quantization.
//!
//! Each output row has two input rows and the weight of the second, and so has each output column. With `u` and `v` the
//! weights of the second row and column and `one = 2^bits`,
//! `y = round(((one-u) * ((one-v) * x00 + v * x01) + u * ((one-v) * x10 + v * x11)) / 2^(2 * bits))`, rounded once.
//! Weights of zero everywhere make it a nearest-neighbour resize.

use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};

/// The parameters of [`super::OpKind::Resize`] (int8) and [`super::OpKind::Resize16`] (int16) as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeParams {
    /// Bits of the weights: at most 11 for int8, 15 for int16.
    pub bits: u8,
    /// u16 triples, one an output row: first input row, second input row, weight of the second (0 to `2^bits`).
    pub rows: Constant,
    /// The same for output columns.
    pub columns: Constant,
}

impl ResizeParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new()
            .u8(self.bits)
            .constant(self.rows.offset, self.rows.count)
            .constant(self.columns.offset, self.columns.count)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self {
            bits: cursor.u8(),
            rows: Constant::read(&mut cursor),
            columns: Constant::read(&mut cursor),
        };
        cursor.finished().then_some(params)
    }
}

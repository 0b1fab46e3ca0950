//! Softmax along one axis: `y = clamp(zy + round(e(x) / sum(e(x)) * scale))` with `e(x) = exp(scale_x * (x - max))` from a
//! table that the host makes. Where the axis varies at run time, only the rows present take part.
//!
//! The largest element of a row has weight `2^30` exactly. The table has the weight of `d = max - x` at `d`, rounded, and
//! nothing beyond its end (weight 0), so it need not be longer than weights are above zero. 16-bit input splits
//! `d = 256 * high + low` and multiplies the two tables' weights.

use super::requant::Scale;
use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};

/// The parameters of [`super::OpKind::Softmax`] and [`super::OpKind::Softmax16`] as the plan stores them. Zero points are
/// those of the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxParams {
    /// Dimension 0 to 3 (of the four) along which the outputs sum to one.
    pub axis: u8,
    /// u32 `round(2^30 * exp(-scale_x * d))` for `d = 0 ..`, 1 to 256 entries; all 256 where `high` has more than one.
    pub table: Constant,
    /// u32 `round(2^30 * exp(-scale_x * 256 * d))` for `d = 0 ..`, 1 to 256 entries, for 16-bit input. Empty (`count` 0)
    /// for 8-bit input.
    pub high: Constant,
    /// One by the scale of the output, shift at least 3: `2^30 / 2^22` for 1/256.
    pub scale: Scale,
}

impl SoftmaxParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = write::Params::new().u8(self.axis);
        let params = params.constant(self.table.offset, self.table.count);
        self.scale.encode(params.constant(self.high.offset, self.high.count))
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self {
            axis: cursor.u8(),
            table: Constant::read(&mut cursor),
            high: Constant::read(&mut cursor),
            scale: Scale::read(&mut cursor),
        };
        cursor.finished().then_some(params)
    }
}

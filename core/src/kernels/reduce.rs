//! Mean, sum or largest value over a set of axes. The axes that stay keep their order; the output has as many elements as
//! they have, with or without ones for the axes that went.
//!
//! Where a reduced axis varies at run time only the rows present count, in the mean's divisor too; no rows give the
//! output's zero point.

use super::requant::Scale;
use crate::plan::cursor::Cursor;
use crate::plan::write;

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Combine {
    /// Sum by the number of elements.
    Mean = 0,
    /// Sum.
    Sum = 1,
    /// Largest.
    Max = 2,
}

/// The parameters of [`super::OpKind::Reduce`] (int8 throughout) and [`super::OpKind::Reduce16`] (any of int8 and int16) as
/// the plan stores them. Zero points are those of the tensors. At most 2^22 elements (2^14 of 16 bits) are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReduceParams {
    /// How.
    pub combine: Combine,
    /// Bit i for dimension i (of the four) of the input.
    pub axes: u8,
    /// Scale of the input by that of the output, without a mean's divisor: `y = clamp(zy + round(sum(x - zx) * scale / n))`.
    /// For a mean the shift is at most 38.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl ReduceParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = write::Params::new().u8(self.combine as u8).u8(self.axes);
        self.scale.encode(params).i32(self.min).i32(self.max)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let combine = match cursor.u8() {
            0 => Combine::Mean,
            1 => Combine::Sum,
            2 => Combine::Max,
            _ => return None,
        };
        let params = Self {
            combine,
            axes: cursor.u8(),
            scale: Scale::read(&mut cursor),
            min: cursor.i32(),
            max: cursor.i32(),
        };
        cursor.finished().then_some(params)
    }
}

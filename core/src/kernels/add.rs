//! Sum of two tensors: `y = clamp(zy + round((a - za) * ma / 2^shift + (b - zb) * mb / 2^shift))`, rounded once.
//!
//! Every dimension of `a` and `b` is that of the output or 1, and is then repeated. Either may be a constant. A difference
//! is a sum with a negative multiplier.

use super::requant::Clamp;
use crate::plan::cursor::Cursor;
use crate::plan::write;

/// The parameters of [`super::OpKind::Add`] and [`super::OpKind::Add16`] as the plan stores them. Zero points are those of
/// the tensors.
///
/// [`super::OpKind::Add`], int8 throughout, sums in 32 bits: `shift` is the one for which the larger of
/// `scale_a / scale_y` and `scale_b / scale_y`, times `2^shift`, rounds to 2^20 up to 2^21, but at most 30; that is what
/// LiteRT with XNNPACK computes. [`super::OpKind::Add16`] takes any of int8 and int16 and sums in 64 bits, with
/// multipliers up to 2^31 - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddParams {
    /// `round(scale_a / scale_y * 2^shift)`; within +-2^21 for int8.
    pub a: i32,
    /// The same for the second operand; negative for `a - b`.
    pub b: i32,
    /// 1 to 30 for int8, 1 to 62 otherwise.
    pub shift: u8,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl AddParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new().i32(self.a).i32(self.b).u8(self.shift).i32(self.min).i32(self.max)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self {
            a: cursor.i32(),
            b: cursor.i32(),
            shift: cursor.u8(),
            min: cursor.i32(),
            max: cursor.i32(),
        };
        cursor.finished().then_some(params)
    }

    fn clamp(&self, zero_point: i32) -> Clamp {
        Clamp { zero_point, min: self.min, max: self.max }
    }
}

//! The same values under another quantization: `y = clamp(zy + round((x - zx) * scale))`. int8 or int16 on either side; for
//! int8 to int8 a [`super::lut`] is faster.

use super::requant::{Clamp, Scale};
use crate::plan::cursor::Cursor;
use crate::plan::write;

/// A factor and a range: the parameters of [`super::OpKind::Requantize`], of [`super::mul`] and of [`super::div`] as the plan
/// stores them. Zero points are those of the tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescaleParams {
    /// Requantize: `scale_x / scale_y`. Mul: `scale_a * scale_b / scale_y`, the multiplier within +-2^30.
    /// Div: `scale_a / (scale_b * scale_y)`, the shift at most 42.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl RescaleParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.scale.encode(write::Params::new()).i32(self.min).i32(self.max)
    }

    pub(super) fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self { scale: Scale::read(&mut cursor), min: cursor.i32(), max: cursor.i32() };
        cursor.finished().then_some(params)
    }

    pub(super) fn clamp(&self, zero_point: i32) -> Clamp {
        Clamp { zero_point, min: self.min, max: self.max }
    }
}

//! Division by the Euclidean norm: `y = x / max(|x|, epsilon)`, the norm taken over neighbouring axes.

use super::requant::Scale;
use crate::plan::cursor::Cursor;
use crate::plan::write;

/// The parameters of [`super::OpKind::L2Norm`] (int8 throughout) and [`super::OpKind::L2Norm16`] (any of int8 and int16)
/// as the plan stores them. Zero points are those of the tensors. At most 2^22 elements share a norm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct L2NormParams {
    /// Bit i for dimension i (of the four); neighbouring bits only.
    pub axes: u8,
    /// `(epsilon / scale_x)^2`, multiplier not negative.
    pub epsilon: Scale,
    /// One by the scale of the output: `y = clamp(zy + round(x / norm * scale))`; shift at least 2.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl L2NormParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = self.epsilon.encode(write::Params::new().u8(self.axes));
        self.scale.encode(params).i32(self.min).i32(self.max)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self {
            axes: cursor.u8(),
            epsilon: Scale::read(&mut cursor),
            scale: Scale::read(&mut cursor),
            min: cursor.i32(),
            max: cursor.i32(),
        };
        cursor.finished().then_some(params)
    }
}

//! Product of two activations: `a [b, h, m, k]` times `b [b, h, k, n]` (or `[b, h, n, k]`, transposed) gives
//! `y [b, h, m, n]`. Dimensions 0 and 1 of the second operand may be 1 and are then repeated.
//!
//! Each of m, k and n may vary at run time: `k` then sums over the rows present only. Zero points are those of the tensors.

use super::requant::Scale;
use crate::plan::write;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct MatMulParams {
    /// Whether the second operand is `[b, h, n, k]`.
    pub transposed: bool,
    /// Scale of the first times that of the second operand by that of the output.
    pub scale: Scale,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl MatMulParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new()
            .u8(self.transposed as u8)
            .i32(self.scale.multiplier)
            .u8(self.scale.shift)
            .i32(self.min)
            .i32(self.max)
    }
}

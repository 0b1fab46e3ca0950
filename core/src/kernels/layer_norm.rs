//! Layer normalisation over the last axis: `y = (x - mean) / sqrt(var + epsilon) * gamma + beta` in integers, from the
//! exact variance, rounded once at the end (docs/numerics.md).

use super::requant::Scale;
use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};

/// The parameters of [`super::OpKind::LayerNorm`], [`super::OpKind::GroupNorm`] and their 16-bit variants as the plan
/// stores them. `n` is the number of elements that share a mean: the last dimension, or positions times channels of one
/// group; at most 2^22 for 8-bit input and 2^14 for 16-bit input.
///
/// With `c = n * x - sum(x)` and `v = n * sum(x^2) - sum(x)^2`, the normalised value is
/// `z = c / sqrt(v + n^2 * epsilon)`; it lies within the square root of n. The output is
/// `clamp(zy + round((z * gamma + beta) / 2^shift))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormParams {
    /// Groups of channels; 1 for LayerNorm.
    pub groups: u16,
    /// `epsilon / scale_x^2`, multiplier not negative; multiplier 0 for none.
    pub epsilon: Scale,
    /// Fraction bits of `v`: even, the most for which `(2^k + epsilon / scale_x^2) * n^2 * 2^fraction` stays below 2^62,
    /// but at most 40, where k is 14 for 8-bit and 30 for 16-bit input.
    pub fraction: u8,
    /// i32 a channel: `round(gamma / scale_y * 2^(shift + 32 - q))`, where `q` is [`z_bits`]`(n)`.
    pub gamma: Constant,
    /// i32 a channel: `round(beta / scale_y * 2^shift)`, within +-2^30.
    pub beta: Constant,
    /// Fraction bits before the last rounding, 1 to 30: the most for which all gammas are below 2^31 and all betas within
    /// +-2^30.
    pub shift: u8,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

/// Fraction bits of the normalised value when `n` elements share a mean: all that a 32-bit integer has room for.
pub const fn z_bits(n: usize) -> u8 {
    let bits = usize::BITS - n.saturating_sub(1).leading_zeros();
    (28 - bits.div_ceil(2)) as u8
}

impl NormParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.epsilon
            .encode(write::Params::new().u16(self.groups))
            .u8(self.fraction)
            .constant(self.gamma.offset, self.gamma.count)
            .constant(self.beta.offset, self.beta.count)
            .u8(self.shift)
            .i32(self.min)
            .i32(self.max)
    }

    pub(super) fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self {
            groups: cursor.u16(),
            epsilon: Scale::read(&mut cursor),
            fraction: cursor.u8(),
            gamma: Constant::read(&mut cursor),
            beta: Constant::read(&mut cursor),
            shift: cursor.u8(),
            min: cursor.i32(),
            max: cursor.i32(),
        };
        cursor.finished().then_some(params)
    }
}

//! Largest value and mean of a window: input `[n, h, w, c]`, output `[n, oh, ow, c]`.

use super::window::Window;
use crate::plan::write::{self, Constant};

/// The parameters of [`super::OpKind::MaxPool`] as the plan stores them. Input and output have the same scale and zero
/// point; taps outside the image do not take part.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolParams {
    /// Geometry.
    pub window: Window,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl MaxPoolParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.window.encode(write::Params::new()).i32(self.min).i32(self.max)
    }
}

/// The parameters of [`super::OpKind::AveragePool`] as the plan stores them.
///
/// The mean over `count` taps is one multiplication and one rounding: the factor
/// `multipliers[count - smallest] / 2^shift` holds the input's scale, the output's and `1 / count`, so a device never
/// divides. `smallest` is the least number of taps that any output has inside the image.
#[derive(Clone, Copy, Debug)]
pub struct AveragePoolParams {
    /// Geometry; dilation is 1.
    pub window: Window,
    /// Whether taps outside the image count, as zeros: then `count` is always `kh * kw`, and so is `smallest`.
    pub count_padding: bool,
    /// Number of taps of the first multiplier.
    pub smallest: u16,
    /// `round(input scale / (output scale * count) * 2^shift)` as i32, for `count` from `smallest` upwards to the largest
    /// number of taps that any output has.
    pub multipliers: Constant,
    /// Shift of all multipliers, 1 to 62: the largest for which the first multiplier is below 2^31.
    pub shift: u8,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl AveragePoolParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.window
            .encode(write::Params::new())
            .u8(self.count_padding as u8)
            .u16(self.smallest)
            .constant(self.multipliers.offset, self.multipliers.count)
            .u8(self.shift)
            .i32(self.min)
            .i32(self.max)
    }
}

//! Convolution of every channel on its own: input `[n, h, w, c]`, output `[n, oh, ow, c * multiplier]`, where output
//! channel `k` sees input channel `k / multiplier`.

use super::window::Window;
use crate::plan::write::{self, Constant};

/// The parameters as the plan stores them; the multiplier follows from the shapes.
#[derive(Clone, Copy, Debug)]
pub struct DepthwiseParams {
    /// Geometry.
    pub window: Window,
    /// `[kh][kw][c * multiplier]` i8 in the layout's order ([`crate::pack::Layout::pack_depthwise`]).
    pub weights: Constant,
    /// [`super::requant::Channels`] block of all output channels; the count is in bytes.
    pub channels: Constant,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl DepthwiseParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.window
            .encode(write::Params::new())
            .constant(self.weights.offset, self.weights.count)
            .constant(self.channels.offset, self.channels.count)
            .i32(self.min)
            .i32(self.max)
    }
}

//! Convolution in two dimensions (and in one, with height 1), with strides, dilation, padding and groups.
//!
//! Input `[n, h, w, cin]`, output `[n, oh, ow, cout]`. Taps outside the image count as the input's zero point, whose share
//! is in the bias, as everywhere.

use super::window::Window;
use crate::plan::write::{self, Constant};

/// The parameters of [`super::OpKind::Conv`] and [`super::OpKind::ConvTranspose`] as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct ConvParams {
    /// Geometry.
    pub window: Window,
    /// Groups; each takes its own part of the input channels and gives its own part of the output channels.
    pub groups: u16,
    /// One matrix a group, one after the other, each `[cout / groups][kh][kw][cin / groups]` i8 seen as
    /// `cout / groups` outputs of depth `kh * kw * (cin / groups)` in the layout's matrix order; the count is that of all.
    pub weights: Constant,
    /// [`super::requant::Channels`] block of all output channels; the count is in bytes.
    pub channels: Constant,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl ConvParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        self.window
            .encode(write::Params::new())
            .u16(self.groups)
            .constant(self.weights.offset, self.weights.count)
            .constant(self.channels.offset, self.channels.count)
            .i32(self.min)
            .i32(self.max)
    }
}

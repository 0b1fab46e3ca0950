//! Windows that slide over an image: the geometry that convolutions and pools share.

use crate::plan::cursor::Cursor;
use crate::plan::write;

/// A window of `kernel` taps, `dilation` apart, moved by `stride`; (height, width) each. Taps above and left of the image
/// are `pad`; what sticks out below and right follows from the size of the output.
///
/// One-dimensional operators have height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps.
    pub kernel: [u16; 2],
    /// Step between outputs (of a transposed convolution: between inputs).
    pub stride: [u16; 2],
    /// Distance of taps.
    pub dilation: [u16; 2],
    /// Rows above and columns left of the image.
    pub pad: [u16; 2],
}

impl Window {
    /// Appends the window to `params`: eight u16, in the order of the fields.
    pub fn encode(&self, params: write::Params) -> write::Params {
        let fields = [self.kernel, self.stride, self.dilation, self.pad];
        fields.into_iter().flatten().fold(params, write::Params::u16)
    }

    /// Reads what [`Window::encode`] writes.
    pub fn read(cursor: &mut Cursor<'_>) -> Self {
        let mut pair = || [cursor.u16(), cursor.u16()];
        Self { kernel: pair(), stride: pair(), dilation: pair(), pad: pair() }
    }

    /// Whether kernel, stride and dilation are not zero.
    pub fn valid(&self) -> bool {
        [self.kernel, self.stride, self.dilation].into_iter().flatten().all(|field| field > 0)
    }
}

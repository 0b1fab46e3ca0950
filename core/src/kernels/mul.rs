//! Product of two tensors: `y = clamp(zy + round((a - za) * (b - zb) * scale))`, rounded once.
//!
//! Shapes and operands as in [`super::add`], parameters [`super::requantize::RescaleParams`].

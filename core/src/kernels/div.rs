//! Quotient of two tensors: `y = clamp(zy + round((a - za) * multiplier / ((b - zb) * 2^shift)))`, rounded once.
//!
//! Shapes and operands as in [`super::add`], parameters [`super::requantize::RescaleParams`]. Where `b` is zero the output
//! is the largest that the clamp allows for positive `a * multiplier`, the smallest for a negative one and zero for zero.

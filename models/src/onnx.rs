//! ONNX export.

/// Epsilon of every layer normalisation.
pub const LAYER_NORM_EPSILON: f32 = 1e-5;

//! Transposed convolution: input `[n, h, w, cin]`, output `[n, oh, ow, cout]`.
//!
//! Output `(oy, ox)` sums over the taps `(ky, kx)` for which an input row `iy` with
//! `iy * stride + ky * dilation = oy + pad` exists, and likewise for columns: the usual definition, seen from the output.
//! Parameters are [`super::conv::ConvParams`] with the weights `[cout / groups][kh][kw][cin / groups]` of each group, not
//! flipped: `w[.., ky, kx, ..]` is what ONNX has at `[cin, cout, ky, kx]`. Missing taps count as the input's zero point.

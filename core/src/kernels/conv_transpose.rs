//! Transposed convolution: input `[n, h, w, cin]`, output `[n, oh, ow, cout]`.
//!
//! Output `(oy, ox)` sums over the taps `(ky, kx)` for which an input row `iy` with
//! `iy * stride + ky * dilation = oy + pad` exists, and likewise for columns: the usual definition, seen from the output.
//! Parameters are [`super::conv::ConvParams`] with the weights `[cout / groups][kh][kw][cin / groups]` of each group, not
//! flipped: `w[.., ky, kx, ..]` is what ONNX has at `[cin, cout, ky, kx]`. Missing taps count as the input's zero point.

use super::Run;
use super::conv::{Filter, Shapes};
use super::matrix::Dense;
use super::requant::{Channels, Clamp, Quantized};
use super::wide::narrow_and_wide;
use super::window::{Window, along};
use crate::arch::matrix::{self, Lane, Staging};
use crate::plan::{DType, Fault, Operator};

/// The operator, int8 to int8.
pub struct ConvTranspose;

/// The operator with 16-bit input or output.
pub struct ConvTranspose16;

/// The input row or column that tap `tap` of output `output` sees; none when it falls between or outside.
fn source(window: &Window, axis: usize, output: usize, tap: usize, size: usize) -> Option<usize> {
    let position = output + along(window.pad, axis) as usize;
    let offset = position.checked_sub(tap * along(window.dilation, axis) as usize)?;
    let stride = along(window.stride, axis) as usize;
    let index = offset.checked_div(stride)?;
    (index * stride == offset && index < size).then_some(index)
}

fn check<Y: Quantized>(operator: &Operator<'_>) -> Result<(), Fault> {
    let (input, output) = operator.unary()?;
    let filter = Filter::<Dense>::read(operator, &input, &output).ok_or(Fault::Params)?;
    if input.dynamic | output.dynamic != 0 {
        return Err(Fault::Dynamic);
    }
    filter.check::<Y>(&input, &output)
}

fn scratch<X: Lane>(operator: &Operator<'_>) -> usize {
    let Ok((input, output)) = operator.unary() else { return 0 };
    Filter::<Dense>::read(operator, &input, &output).map_or(0, |filter| filter.tile_bytes::<X>())
}

/// Outputs need input rows from above and below: no sharing.
fn reach(_operator: &Operator<'_>, _input: usize) -> Option<isize> {
    None
}

fn macs(operator: &Operator<'_>) -> u64 {
    let Ok((input, output)) = operator.unary() else { return 0 };
    Filter::<Dense>::read(operator, &input, &output).map_or(0, |filter| filter.macs(&output))
}

fn run<X: Lane, Y: Quantized>(run: &Run<'_>) {
    let Ok((input, output)) = run.operator().unary() else { return };
    let Some(Filter { window, mut matrix, .. }) = Filter::<Dense>::read(run.operator(), &input, &output)
    else {
        return;
    };
    matrix.backend = run.backend();
    let (x, y) = (run.read::<X>(&input), run.write::<Y>(&output));
    let [_, height, width, channels] = input.dims.map(|dim| dim as usize);
    let [images, out_height, out_width, out_channels] = output.dims.map(|dim| dim as usize);
    let [kernel_height, kernel_width] = window.kernel.map(usize::from);
    let most = matrix::rows(matrix.layout, matrix.depth);
    let depth = matrix.depth.checked_div(kernel_height * kernel_width).unwrap_or(0);
    let bytes = run.scratch::<u8>(0, X::tile_bytes(matrix.layout, matrix.depth, depth));
    let tile = Staging { layout: matrix.layout, bytes, depth: matrix.depth, run: depth };
    let rounding = matrix.rounding();
    let outside = X::narrow(input.zero_point);
    let rows = (0..images).flat_map(|n| (0..out_height).map(move |oy| (n, oy)));
    for (row, (n, oy)) in rows.enumerate() {
        let mut ox = 0;
        while ox < out_width {
            let count = most.min(out_width - ox);
            let y = y.window((row * out_width + ox) * out_channels, count * out_channels);
            for group in 0..matrix.groups {
                for pixel in 0..count {
                    for ky in 0..kernel_height {
                        let iy = source(&window, 0, oy, ky, height);
                        for kx in 0..kernel_width {
                            let at = (ky * kernel_width + kx) * depth;
                            match (iy, source(&window, 1, ox + pixel, kx, width)) {
                                (Some(iy), Some(ix)) => {
                                    let from = ((n * height + iy) * width + ix) * channels + group * depth;
                                    X::stage(&tile, pixel, at, x.window(from, depth));
                                }
                                _ => X::pad(&tile, pixel, at, depth, outside),
                            }
                        }
                    }
                }
                let y = y.window(group * matrix.outputs, y.len());
                matrix.apply_tile::<X, Y>((group, rounding), (&tile, count), y, out_channels);
            }
            ox += count;
        }
    }
}

narrow_and_wide!(ConvTranspose, ConvTranspose16, scratch::<i8>, scratch::<i16>);

/// The specification: every input value times every weight goes to the output that the tap names,
/// `o = i * stride + tap * dilation - pad`; positions that an output misses hold `outside`, the input's zero point.
/// `weights` are `[cout][kh][kw][cin / groups]`.
pub fn reference<X: Quantized, Y: Quantized>(
    (x, outside): (&[X], X),
    (weights, window, groups): (&[i8], &Window, usize),
    channels: &Channels<'_>,
    clamp: Clamp,
    shapes: Shapes,
    y: &mut [Y],
) {
    let ([_, height, width, cin], [images, out_height, out_width, cout]) = (shapes.input, shapes.output);
    let [kh, kw] = window.kernel.map(usize::from);
    let depth = cin / groups;
    let lands = |axis: usize, input: usize, tap: usize, output: usize| {
        let [stride, dilation, pad] =
            [window.stride, window.dilation, window.pad].map(|field| field[axis] as usize);
        input * stride + tap * dilation == output + pad
    };
    for (index, y) in y.iter_mut().enumerate().take(images * out_height * out_width * cout) {
        let (k, pixel) = (index % cout, index / cout);
        let (ox, oy, n) = (pixel % out_width, pixel / out_width % out_height, pixel / out_width / out_height);
        let mut sum = 0i32;
        for (ky, kx, c) in (0..kh * kw * depth).map(|tap| (tap / depth / kw, tap / depth % kw, tap % depth)) {
            let iy = (0..height).find(|&iy| lands(0, iy, ky, oy));
            let ix = (0..width).find(|&ix| lands(1, ix, kx, ox));
            let channel = k / (cout / groups) * depth + c;
            let value = match (iy, ix) {
                (Some(iy), Some(ix)) => x[((n * height + iy) * width + ix) * cin + channel],
                _ => outside,
            };
            sum = sum.wrapping_add(value.wide() * weights[((k * kh + ky) * kw + kx) * depth + c] as i32);
        }
        *y = channels.finish(k, sum, clamp);
    }
}

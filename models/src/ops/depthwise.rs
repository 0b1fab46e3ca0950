//! Depthwise 3 x 3 convolution on images whose channels lie together.
//!
//! The library's own goes group by group over images of one channel; with the channels in a vector the nine taps are nine
//! multiply-adds of rows that the cache holds.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use super::simd::{add_rows, vectorized};

/// Values of a filter.
const TAPS: usize = 9;

/// Every channel of `x`, `[images, height, width, C]`, with a 3 x 3 filter of its own, stride 1, one pixel of zeros around the
/// image. `filters` is `[9, C]`, row by row of the filter; `bias` is `[C]`. The result has the shape of `x`.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn depthwise(x: Tensor<4>, filters: Tensor<2>, bias: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as DepthwiseBackend>::depthwise3(
        x.into_dispatch(),
        filters.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait DepthwiseBackend: Backend {
    /// See [`depthwise`].
    fn depthwise3(
        x: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait DepthwiseGradient: DepthwiseBackend {
    /// Gradients of input, filters and bias from that of the result.
    fn depthwise3_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        filters: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

/// Size of an image: height, width, channels.
type Size = [usize; 3];

/// Copies an image into one with a border of zeros, whose border is zero already.
#[inline(always)]
fn pad(image: &[f32], [_, width, channels]: Size, padded: &mut [f32]) {
    let rows = padded.chunks_exact_mut((width + 2) * channels).skip(1);
    for (row, out) in image.chunks_exact(width * channels).zip(rows) {
        out[channels..][..row.len()].copy_from_slice(row);
    }
}

/// The three rows of the padded image around `row`.
#[inline(always)]
fn lines(padded: &[f32], row: usize, [_, width, channels]: Size) -> [&[f32]; 3] {
    let length = (width + 2) * channels;
    let lines = &padded[row * length..][..3 * length];
    [&lines[..length], &lines[length..2 * length], &lines[2 * length..]]
}

/// Where the nine neighbours of the pixel at `row` and `column` start in the padded image.
#[inline(always)]
fn taps(row: usize, column: usize, [_, width, channels]: Size) -> [usize; TAPS] {
    let mut starts = [0; TAPS];
    for (tap, start) in starts.iter_mut().enumerate() {
        *start = ((row + tap / 3) * (width + 2) + column + tap % 3) * channels;
    }
    starts
}

/// Adds the filtered image to `out`.
#[inline(always)]
fn filter<S: Simd>(simd: S, padded: &[f32], filters: &[f32], size: Size, out: &mut [f32]) {
    let [height, width, channels] = size;
    let lanes = S::F32_LANES;
    let whole = channels / lanes * lanes;
    for channel in (0..whole).step_by(lanes) {
        let mut weights = [simd.splat_f32s(0.0); TAPS];
        for (tap, weight) in weights.iter_mut().enumerate() {
            *weight = simd.partial_load_f32s(&filters[tap * channels + channel..][..lanes]);
        }
        for row in 0..height {
            let lines = lines(padded, row, size);
            let out = out[row * width * channels..][..width * channels].chunks_exact_mut(channels);
            for (column, out) in out.enumerate() {
                let out = &mut S::as_mut_simd_f32s(&mut out[channel..][..lanes]).0[0];
                let mut sum = *out;
                for (tap, &weight) in weights.iter().enumerate() {
                    let start = (column + tap % 3) * channels + channel;
                    let value = S::as_simd_f32s(&lines[tap / 3][start..][..lanes]).0[0];
                    sum = simd.mul_add_f32s(value, weight, sum);
                }
                *out = sum;
            }
        }
    }
    if whole == channels {
        return;
    }
    for row in 0..height {
        for column in 0..width {
            let out = &mut out[(row * width + column) * channels..][..channels];
            for (tap, start) in taps(row, column, size).into_iter().enumerate() {
                let (values, weights) =
                    (&padded[start..][..channels], &filters[tap * channels..][..channels]);
                for channel in whole..channels {
                    out[channel] += values[channel] * weights[channel];
                }
            }
        }
    }
}

/// Adds to `out`, `[9, C]`, what every tap saw times `grad`.
#[inline(always)]
fn correlate<S: Simd>(simd: S, padded: &[f32], grad: &[f32], size: Size, out: &mut [f32]) {
    let [height, width, channels] = size;
    let lanes = S::F32_LANES;
    let whole = channels / lanes * lanes;
    for channel in (0..whole).step_by(lanes) {
        let mut sums = [simd.splat_f32s(0.0); TAPS];
        for row in 0..height {
            let lines = lines(padded, row, size);
            let grad = grad[row * width * channels..][..width * channels].chunks_exact(channels);
            for (column, grad) in grad.enumerate() {
                let grad = S::as_simd_f32s(&grad[channel..][..lanes]).0[0];
                for (tap, sum) in sums.iter_mut().enumerate() {
                    let start = (column + tap % 3) * channels + channel;
                    let value = S::as_simd_f32s(&lines[tap / 3][start..][..lanes]).0[0];
                    *sum = simd.mul_add_f32s(value, grad, *sum);
                }
            }
        }
        for (tap, &sum) in sums.iter().enumerate() {
            let out = &mut S::as_mut_simd_f32s(&mut out[tap * channels + channel..][..lanes]).0[0];
            *out = simd.add_f32s(*out, sum);
        }
    }
    if whole == channels {
        return;
    }
    for row in 0..height {
        for column in 0..width {
            let grad = &grad[(row * width + column) * channels..][..channels];
            for (tap, start) in taps(row, column, size).into_iter().enumerate() {
                let (values, out) = (&padded[start..][..channels], &mut out[tap * channels..][..channels]);
                for channel in whole..channels {
                    out[channel] += values[channel] * grad[channel];
                }
            }
        }
    }
}

struct Forward<'a> {
    x: &'a [f32],
    filters: &'a [f32],
    bias: &'a [f32],
    size: Size,
}

impl WithSimd for Forward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let [height, width, channels] = self.size;
        let image = height * width * channels;
        let mut padded = vec![0.0; (height + 2) * (width + 2) * channels];
        let mut out = vec![0.0; self.x.len()];
        for (x, out) in self.x.chunks_exact(image).zip(out.chunks_exact_mut(image)) {
            pad(x, self.size, &mut padded);
            for out in out.chunks_exact_mut(channels) {
                out.copy_from_slice(self.bias);
            }
            filter(simd, &padded, self.filters, self.size, out);
        }
        out
    }
}

struct Slopes<'a> {
    grad: &'a [f32],
    x: &'a [f32],
    filters: &'a [f32],
    size: Size,
}

impl WithSimd for Slopes<'_> {
    type Output = [Vec<f32>; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Vec<f32>; 3] {
        let [height, width, channels] = self.size;
        let image = height * width * channels;
        // What a tap took from a pixel goes back to it: the same with the filter turned by half a circle.
        let turned: Vec<f32> = self.filters.chunks_exact(channels).rev().flatten().copied().collect();
        let mut padded = vec![0.0; (height + 2) * (width + 2) * channels];
        let [mut x_out, mut filters_out, mut bias_out] =
            [self.x.len(), TAPS * channels, channels].map(|len| vec![0.0; len]);
        let images = self.x.chunks_exact(image).zip(self.grad.chunks_exact(image));
        for ((x, grad), x_out) in images.zip(x_out.chunks_exact_mut(image)) {
            pad(x, self.size, &mut padded);
            correlate(simd, &padded, grad, self.size, &mut filters_out);
            add_rows(grad, &mut bias_out);
            pad(grad, self.size, &mut padded);
            filter(simd, &padded, &turned, self.size, x_out);
        }
        [x_out, filters_out, bias_out]
    }
}

impl DepthwiseBackend for Flex {
    fn depthwise3(
        x: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let shape = x.layout().shape().clone();
        let [_, size @ ..] = shape.dims::<4>();
        let inputs = [x, filters, bias].map(|tensor| tensor.to_contiguous());
        let [x, filters, bias] =
            inputs.each_ref().map(|tensor| tensor.as_slice::<f32>().expect("f32 tensors"));
        let out = vectorized(Forward { x, filters, bias, size });
        FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
    }
}

impl DepthwiseGradient for Flex {
    fn depthwise3_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        filters: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3] {
        let shape = x.layout().shape().clone();
        let [_, size @ ..] = shape.dims::<4>();
        let channels = size[2];
        let inputs = [grad, x, filters].map(|tensor| tensor.to_contiguous());
        let [grad, x, filters] =
            inputs.each_ref().map(|tensor| tensor.as_slice::<f32>().expect("f32 tensors"));
        let [x, filters, bias] = vectorized(Slopes { grad, x, filters, size });
        [
            FloatTensor::<Flex>::from_data(TensorData::new(x, shape)),
            FloatTensor::<Flex>::from_data(TensorData::new(filters, [TAPS, channels])),
            FloatTensor::<Flex>::from_data(TensorData::new(bias, [channels])),
        ]
    }
}

impl<B: DepthwiseGradient, C: CheckpointStrategy> DepthwiseBackend for Autodiff<B, C> {
    fn depthwise3(
        x: FloatTensor<Self>,
        filters: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Depthwise;

        impl<B: DepthwiseGradient> Backward<B, 3> for Depthwise {
            type State = [B::FloatTensorPrimitive; 2];

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [x, filters] = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let slopes = B::depthwise3_backward(grad, x, filters);
                for (parent, slope) in ops.parents.into_iter().zip(slopes) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, slope);
                    }
                }
            }
        }

        let nodes = [x.node(), filters.node(), bias.node()];
        let (x, filters) = (x.into_primitive(), filters.into_primitive());
        let out = B::depthwise3(x.clone(), filters.clone(), bias.into_primitive());
        match Depthwise.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([x, filters], out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradients::{agree, values};
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;

    /// The library's own convolution in groups.
    fn plain(x: Tensor<4>, filters: Tensor<2>, bias: Tensor<1>) -> Tensor<4> {
        let [_, channels] = filters.dims();
        let filters = filters.transpose().reshape([channels, 1, 3, 3]);
        let options = ConvOptions::new([1, 1], [1, 1], [1, 1], channels);
        conv2d(x.permute([0, 3, 1, 2]), filters, Some(bias), options).permute([0, 2, 3, 1])
    }

    #[test]
    fn values_and_gradients_are_those_of_plain_convolution() {
        for shape in [[2, 5, 7, 35], [1, 1, 1, 3], [3, 2, 4, 16]] {
            let channels = shape[3];
            agree(
                |[x, filters, bias]| {
                    let image = depthwise(x.reshape(shape), filters.reshape([TAPS, channels]), bias);
                    image.reshape([-1])
                },
                |[x, filters, bias]| {
                    let image = plain(x.reshape(shape), filters.reshape([TAPS, channels]), bias);
                    image.reshape([-1])
                },
                [values(shape.iter().product(), 0.0), values(TAPS * channels, 1.0), values(channels, 2.0)],
            );
        }
    }
}

//! Layer normalisation over the channels of each pixel, for images whose planes lie one behind the other.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use super::floats;
use super::simd::{dot, sum, vectorized};

/// `scale * (x - mean) / sqrt(variance + epsilon) + bias` of every pixel, mean and (biased) variance over its channels.
///
/// `x` is `[N, C, H, W]`; `scale` and `bias` are `[C]`. The result has the shape of `x`.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn channel_norm(x: Tensor<4>, scale: Tensor<1>, bias: Tensor<1>, epsilon: f32) -> Tensor<4> {
    let [_, channels, ..] = x.dims();
    assert_eq!([scale.dims(), bias.dims()], [[channels]; 2], "a scale and a bias for each channel");
    Tensor::from_dispatch(<Dispatch as ChannelNormBackend>::normalized_channels(
        x.into_dispatch(),
        scale.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
    ))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait ChannelNormBackend: Backend {
    /// See [`channel_norm`].
    fn normalized_channels(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait ChannelNormGradient: ChannelNormBackend {
    /// Gradients of `x`, `scale` and bias from that of the result.
    fn normalized_channels_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 3];
}

impl ChannelNormBackend for Flex {
    fn normalized_channels(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let [x, scale, bias] = [x, scale, bias].map(|tensor| tensor.to_contiguous());
        let shape = x.layout().shape().clone();
        let [_, _, height, width] = shape.dims();
        let mut out = floats(&x).to_vec();
        vectorized(Forward {
            scale: floats(&scale),
            bias: floats(&bias),
            pixels: height * width,
            epsilon,
            out: &mut out,
        });
        FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
    }
}

impl ChannelNormGradient for Flex {
    fn normalized_channels_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 3] {
        let [grad, x, scale] = [grad, x, scale].map(|tensor| tensor.to_contiguous());
        let shape = x.layout().shape().clone();
        let [_, channels, height, width] = shape.dims();
        let (mut of_x, mut normal) = (floats(&grad).to_vec(), floats(&x).to_vec());
        let (mut of_scale, mut of_bias) = (vec![0.0; channels], vec![0.0; channels]);
        vectorized(Slopes {
            scale: floats(&scale),
            pixels: height * width,
            epsilon,
            normal: &mut normal,
            of_x: &mut of_x,
            of_scale: &mut of_scale,
            of_bias: &mut of_bias,
        });
        [
            FloatTensor::<Flex>::from_data(TensorData::new(of_x, shape)),
            FloatTensor::<Flex>::from_data(TensorData::new(of_scale, [channels])),
            FloatTensor::<Flex>::from_data(TensorData::new(of_bias, [channels])),
        ]
    }
}

/// Makes mean 0 and variance 1 of the channels of every pixel of an image; gives the factor of each pixel in `factor`.
#[inline(always)]
fn normalize(image: &mut [f32], epsilon: f32, mean: &mut [f32], factor: &mut [f32]) {
    let pixels = mean.len();
    let share = pixels as f32 / image.len() as f32;
    mean.fill(0.0);
    factor.fill(0.0);
    for plane in image.chunks_exact(pixels) {
        for (mean, value) in mean.iter_mut().zip(plane) {
            *mean += share * value;
        }
    }
    for plane in image.chunks_exact_mut(pixels) {
        for ((value, mean), square) in plane.iter_mut().zip(&*mean).zip(&mut *factor) {
            *value -= mean;
            *square += share * *value * *value;
        }
    }
    for factor in factor.iter_mut() {
        *factor = 1.0 / (*factor + epsilon).sqrt();
    }
    for plane in image.chunks_exact_mut(pixels) {
        for (value, factor) in plane.iter_mut().zip(&*factor) {
            *value *= factor;
        }
    }
}

/// Normalises `out` in place.
struct Forward<'a> {
    scale: &'a [f32],
    bias: &'a [f32],
    pixels: usize,
    epsilon: f32,
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { scale, bias, pixels, epsilon, out } = self;
        let (mut mean, mut factor) = (vec![0.0; pixels], vec![0.0; pixels]);
        for image in out.chunks_exact_mut(scale.len() * pixels) {
            normalize(image, epsilon, &mut mean, &mut factor);
            for (plane, (scale, bias)) in image.chunks_exact_mut(pixels).zip(scale.iter().zip(bias)) {
                for value in plane {
                    *value = *value * scale + bias;
                }
            }
        }
    }
}

/// The gradients: `of_x` comes as that of the result, `normal` as the input.
struct Slopes<'a> {
    scale: &'a [f32],
    pixels: usize,
    epsilon: f32,
    normal: &'a mut [f32],
    of_x: &'a mut [f32],
    of_scale: &'a mut [f32],
    of_bias: &'a mut [f32],
}

impl WithSimd for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { scale, pixels, epsilon, normal, of_x, of_scale, of_bias } = self;
        let channels = scale.len();
        let share = 1.0 / channels as f32;
        let (mut mean, mut factor) = (vec![0.0; pixels], vec![0.0; pixels]);
        // Means over the channels of the scaled gradient, and of its product with the normal values.
        let (mut slope, mut along) = (vec![0.0; pixels], vec![0.0; pixels]);
        let images = normal.chunks_exact_mut(channels * pixels).zip(of_x.chunks_exact_mut(channels * pixels));
        for (normal, of_x) in images {
            normalize(normal, epsilon, &mut mean, &mut factor);
            slope.fill(0.0);
            along.fill(0.0);
            for (channel, (normal, grad)) in
                normal.chunks_exact(pixels).zip(of_x.chunks_exact_mut(pixels)).enumerate()
            {
                of_scale[channel] += dot(simd, normal, grad);
                of_bias[channel] += sum(simd, grad);
                let means = slope.iter_mut().zip(&mut along);
                for ((normal, grad), (slope, along)) in normal.iter().zip(grad).zip(means) {
                    *grad *= scale[channel];
                    *slope += share * *grad;
                    *along += share * *grad * normal;
                }
            }
            for (normal, grad) in normal.chunks_exact(pixels).zip(of_x.chunks_exact_mut(pixels)) {
                let pixels = slope.iter().zip(&along).zip(&factor);
                for ((normal, grad), ((slope, along), factor)) in normal.iter().zip(grad).zip(pixels) {
                    *grad = factor * (*grad - slope - normal * along);
                }
            }
        }
    }
}

impl<B: ChannelNormGradient, C: CheckpointStrategy> ChannelNormBackend for Autodiff<B, C> {
    fn normalized_channels(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct NormalizedChannels;

        impl<B: ChannelNormGradient> Backward<B, 3> for NormalizedChannels {
            type State = ([B::FloatTensorPrimitive; 2], f32);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let ([x, scale], epsilon) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let slopes = B::normalized_channels_backward(grad, x, scale, epsilon);
                for (parent, slope) in ops.parents.into_iter().zip(slopes) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, slope);
                    }
                }
            }
        }

        let nodes = [x.node(), scale.node(), bias.node()];
        let [x, scale, bias] = [x, scale, bias].map(|tensor| tensor.into_primitive());
        let out = B::normalized_channels(x.clone(), scale.clone(), bias, epsilon);
        match NormalizedChannels.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([x, scale], epsilon), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradients::{agree, values};

    #[test]
    fn value_and_gradients_are_those_of_its_formula() {
        let shape = [2, 5, 3, 4];
        let wide = |values: Tensor<1>| values.reshape([1, 5, 1, 1]);
        agree(
            |[x, scale, bias]| channel_norm(x.reshape(shape), scale, bias, 1e-5).reshape([120]),
            |[x, scale, bias]| {
                let x: Tensor<4> = x.reshape(shape);
                let centred = x.clone() - x.mean_dim(1);
                let variance = (centred.clone() * centred.clone()).mean_dim(1);
                let normal = centred / (variance + 1e-5).sqrt();
                (normal * wide(scale) + wide(bias)).reshape([120])
            },
            [values(120, 0.3), values(5, 1.1), values(5, 2.0)],
        );
    }
}

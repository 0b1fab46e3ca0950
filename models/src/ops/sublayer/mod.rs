//! The residual sublayers of a mixing network, each one operation: `x + gain .* f(norm(x))`.
//!
//! What happens to an image's tokens between two additions to the residual fits the first-level cache. As separate operations of
//! the training library it would be written to memory and read again a dozen times, forwards and backwards. The gradient
//! computes the inside again from `x` instead of keeping it.

mod attention;
mod feed_forward;
mod token_mlp;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use super::norm::{affine, norm_backward, standardize};
use super::simd::vectorized;

/// What is done to the normalised tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sublayer {
    /// The function.
    pub kind: Kind,
    /// Epsilon of the layer normalisation.
    pub epsilon: f32,
}

/// A function of normalised tokens `n`, `[images * N, C]`, with weights `first`, `first_bias`, `second`, `second_bias`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `gelu(n first + first_bias) second + second_bias` of every token: `first` is `[C, hidden]`, `second` `[hidden, C]`.
    FeedForward,
    /// Multi-head self-attention over the N tokens of an image: `first` is `[C, 3C]` for queries, keys and values, heads next to
    /// each other in each, `second` is `[C, C]`.
    Attention {
        /// N.
        tokens: usize,
        /// Heads; they divide C.
        heads: usize,
    },
    /// A feed-forward over the N tokens of an image, the same for every channel: `first` is `[N, hidden]`, `second` `[hidden, N]`.
    TokenMlp {
        /// N.
        tokens: usize,
    },
}

/// Parameters of a sublayer.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Scale of the normalisation, `[C]`.
    pub norm_scale: Tensor<1>,
    /// Bias of the normalisation, `[C]`.
    pub norm_bias: Tensor<1>,
    /// See [`Kind`].
    pub first: Tensor<2>,
    /// See [`Kind`].
    pub first_bias: Tensor<1>,
    /// See [`Kind`].
    pub second: Tensor<2>,
    /// See [`Kind`].
    pub second_bias: Tensor<1>,
    /// Factor of each channel of the result, `[C]`, before it is added to `x`.
    pub gain: Tensor<1>,
}

/// `x + gain .* f(norm(x))` for `x` `[images * N, C]`.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn sublayer(x: Tensor<2>, parameters: Parameters, sublayer: Sublayer) -> Tensor<2> {
    let Parameters { norm_scale, norm_bias, first, first_bias, second, second_bias, gain } = parameters;
    Tensor::from_dispatch(<Dispatch as SublayerBackend>::residual(
        x.into_dispatch(),
        norm_scale.into_dispatch(),
        norm_bias.into_dispatch(),
        first.into_dispatch(),
        first_bias.into_dispatch(),
        second.into_dispatch(),
        second_bias.into_dispatch(),
        gain.into_dispatch(),
        sublayer,
    ))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait SublayerBackend: Backend {
    /// See [`sublayer`].
    #[allow(clippy::too_many_arguments)]
    fn residual(
        x: FloatTensor<Self>,
        norm_scale: FloatTensor<Self>,
        norm_bias: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        second: FloatTensor<Self>,
        second_bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        sublayer: Sublayer,
    ) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait SublayerGradient: SublayerBackend {
    /// Gradients of the eight inputs, in their order, from that of the result.
    fn residual_backward(
        grad: FloatTensor<Self>,
        inputs: [FloatTensor<Self>; 8],
        sublayer: Sublayer,
    ) -> [FloatTensor<Self>; 8];
}

/// The parameters as slices.
#[derive(Clone, Copy)]
struct Weights<'a> {
    norm_scale: &'a [f32],
    norm_bias: &'a [f32],
    first: &'a [f32],
    first_bias: &'a [f32],
    second: &'a [f32],
    second_bias: &'a [f32],
    gain: &'a [f32],
    epsilon: f32,
}

/// Gradients of the parameters.
struct WeightSlopes {
    norm_scale: Vec<f32>,
    norm_bias: Vec<f32>,
    first: Vec<f32>,
    first_bias: Vec<f32>,
    second: Vec<f32>,
    second_bias: Vec<f32>,
    gain: Vec<f32>,
}

/// A function of a group of tokens.
trait Function {
    /// Tokens of a group; the last may have fewer where groups have no meaning.
    fn tokens(&self) -> usize;

    /// Adds `gain .* f(normal)` to `out`.
    fn forward<S: Simd>(&mut self, simd: S, weights: Weights<'_>, normal: &[f32], out: &mut [f32]);

    /// Adds to `normal_out` the gradient of `normal` for that of the result, `grad`, and to `slopes` those of the weights.
    fn backward<S: Simd>(
        &mut self,
        simd: S,
        weights: Weights<'_>,
        normal: &[f32],
        grad: &[f32],
        normal_out: &mut [f32],
        slopes: &mut WeightSlopes,
    );

    /// Completes `slopes` after the last group.
    fn finish(&self, weights: Weights<'_>, slopes: &mut WeightSlopes);
}

/// The second linear layer with the gain in its weights.
struct Gained {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Gained {
    fn new(weights: Weights<'_>) -> Self {
        let scaled = |values: &[f32]| -> Vec<f32> {
            values
                .chunks_exact(weights.gain.len())
                .flat_map(|row| row.iter().zip(weights.gain).map(|(a, b)| a * b))
                .collect()
        };
        Self { weights: scaled(weights.second), bias: scaled(weights.second_bias) }
    }

    /// Turns the gradients of the scaled weights into those of weights and gain.
    fn separate(weights: Weights<'_>, slopes: &mut WeightSlopes) {
        for (values, slopes_of) in
            [(weights.second, &mut slopes.second), (weights.second_bias, &mut slopes.second_bias)]
        {
            let width = weights.gain.len();
            for (values, slope) in values.chunks_exact(width).zip(slopes_of.chunks_exact_mut(width)) {
                for (((value, slope), gain), gain_out) in
                    values.iter().zip(slope).zip(weights.gain).zip(&mut slopes.gain)
                {
                    *gain_out += value * *slope;
                    *slope *= gain;
                }
            }
        }
    }
}

/// The normalised tokens of a group and what their gradient needs.
struct Normal {
    standard: Vec<f32>,
    factors: Vec<f32>,
    normal: Vec<f32>,
}

impl Normal {
    fn new(tokens: usize, width: usize) -> Self {
        let [standard, normal] = [tokens * width; 2].map(|len| vec![0.0; len]);
        Self { standard, factors: vec![0.0; tokens], normal }
    }

    /// The normalised `x`.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, weights: Weights<'_>, x: &[f32]) -> &[f32] {
        let width = weights.norm_scale.len();
        standardize(simd, x, width, weights.epsilon, &mut self.standard[..x.len()], &mut self.factors);
        affine(&self.standard[..x.len()], weights.norm_scale, weights.norm_bias, &mut self.normal[..x.len()]);
        &self.normal[..x.len()]
    }
}

struct Forward<'a, F> {
    function: F,
    weights: Weights<'a>,
    x: &'a [f32],
}

impl<F: Function> WithSimd for Forward<'_, F> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let Self { mut function, weights, x } = self;
        let width = weights.norm_scale.len();
        let group = function.tokens() * width;
        let mut normal = Normal::new(function.tokens(), width);
        let mut out = x.to_vec();
        for (x, out) in x.chunks(group).zip(out.chunks_mut(group)) {
            function.forward(simd, weights, normal.fill(simd, weights, x), out);
        }
        out
    }
}

struct Slopes<'a, F> {
    function: F,
    weights: Weights<'a>,
    x: &'a [f32],
    grad: &'a [f32],
}

impl<F: Function> WithSimd for Slopes<'_, F> {
    type Output = (Vec<f32>, WeightSlopes);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (Vec<f32>, WeightSlopes) {
        let Self { mut function, weights, x, grad } = self;
        let width = weights.norm_scale.len();
        let group = function.tokens() * width;
        let zeros = |values: &[f32]| vec![0.0; values.len()];
        let mut slopes = WeightSlopes {
            norm_scale: zeros(weights.norm_scale),
            norm_bias: zeros(weights.norm_bias),
            first: zeros(weights.first),
            first_bias: zeros(weights.first_bias),
            second: zeros(weights.second),
            second_bias: zeros(weights.second_bias),
            gain: zeros(weights.gain),
        };
        let mut normal = Normal::new(function.tokens(), width);
        let mut slope = vec![0.0; group];
        let mut out = grad.to_vec();
        for ((x, grad), out) in x.chunks(group).zip(grad.chunks(group)).zip(out.chunks_mut(group)) {
            let slope = &mut slope[..x.len()];
            slope.fill(0.0);
            function.backward(simd, weights, normal.fill(simd, weights, x), grad, slope, &mut slopes);
            norm_backward(
                simd,
                slope,
                &normal.standard[..x.len()],
                &normal.factors,
                weights.norm_scale,
                out,
                &mut slopes.norm_scale,
                &mut slopes.norm_bias,
            );
        }
        function.finish(weights, &mut slopes);
        (out, slopes)
    }
}

impl SublayerBackend for Flex {
    fn residual(
        x: FloatTensor<Self>,
        norm_scale: FloatTensor<Self>,
        norm_bias: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        second: FloatTensor<Self>,
        second_bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        sublayer: Sublayer,
    ) -> FloatTensor<Self> {
        let shape = x.layout().shape().clone();
        let inputs = [x, norm_scale, norm_bias, first, first_bias, second, second_bias, gain];
        let inputs = inputs.map(|tensor| tensor.to_contiguous());
        let (x, weights) = weights(&inputs, sublayer.epsilon);
        let out = match sublayer.kind {
            Kind::FeedForward => {
                let function = feed_forward::FeedForward::new(weights);
                vectorized(Forward { function, weights, x })
            }
            Kind::Attention { tokens, heads } => {
                let function = attention::Attention::new(weights, tokens, heads);
                vectorized(Forward { function, weights, x })
            }
            Kind::TokenMlp { .. } => {
                let function = token_mlp::TokenMlp::new(weights);
                vectorized(Forward { function, weights, x })
            }
        };
        FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
    }
}

impl SublayerGradient for Flex {
    fn residual_backward(
        grad: FloatTensor<Self>,
        inputs: [FloatTensor<Self>; 8],
        sublayer: Sublayer,
    ) -> [FloatTensor<Self>; 8] {
        let mut shapes = inputs.each_ref().map(|tensor| tensor.layout().shape().clone()).into_iter();
        let (grad, inputs) = (grad.to_contiguous(), inputs.map(|tensor| tensor.to_contiguous()));
        let grad = grad.as_slice::<f32>().expect("f32 gradients");
        let (x, weights) = weights(&inputs, sublayer.epsilon);
        let (x, slopes) = match sublayer.kind {
            Kind::FeedForward => {
                let function = feed_forward::FeedForward::new(weights);
                vectorized(Slopes { function, weights, x, grad })
            }
            Kind::Attention { tokens, heads } => {
                let function = attention::Attention::new(weights, tokens, heads);
                vectorized(Slopes { function, weights, x, grad })
            }
            Kind::TokenMlp { .. } => {
                let function = token_mlp::TokenMlp::new(weights);
                vectorized(Slopes { function, weights, x, grad })
            }
        };
        let WeightSlopes { norm_scale, norm_bias, first, first_bias, second, second_bias, gain } = slopes;
        [x, norm_scale, norm_bias, first, first_bias, second, second_bias, gain].map(|values| {
            let shape = shapes.next().expect("a shape an input");
            FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
        })
    }
}

/// The input and the parameters of contiguous tensors.
fn weights(inputs: &[FloatTensor<Flex>; 8], epsilon: f32) -> (&[f32], Weights<'_>) {
    let slices = inputs.each_ref().map(|tensor| tensor.as_slice::<f32>().expect("f32 tensors"));
    let [x, norm_scale, norm_bias, first, first_bias, second, second_bias, gain] = slices;
    (x, Weights { norm_scale, norm_bias, first, first_bias, second, second_bias, gain, epsilon })
}

impl<B: SublayerGradient, C: CheckpointStrategy> SublayerBackend for Autodiff<B, C> {
    fn residual(
        x: FloatTensor<Self>,
        norm_scale: FloatTensor<Self>,
        norm_bias: FloatTensor<Self>,
        first: FloatTensor<Self>,
        first_bias: FloatTensor<Self>,
        second: FloatTensor<Self>,
        second_bias: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        sublayer: Sublayer,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Residual;

        impl<B: SublayerGradient> Backward<B, 8> for Residual {
            type State = ([B::FloatTensorPrimitive; 8], Sublayer);

            fn backward(
                self,
                ops: Ops<Self::State, 8>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let (inputs, sublayer) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let slopes = B::residual_backward(grad, inputs, sublayer);
                for (parent, slope) in ops.parents.into_iter().zip(slopes) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, slope);
                    }
                }
            }
        }

        let inputs = [x, norm_scale, norm_bias, first, first_bias, second, second_bias, gain];
        let nodes = inputs.each_ref().map(|tensor| tensor.node());
        let inputs = inputs.map(|tensor| tensor.into_primitive());
        let [x, norm_scale, norm_bias, first, first_bias, second, second_bias, gain] = inputs.clone();
        let out =
            B::residual(x, norm_scale, norm_bias, first, first_bias, second, second_bias, gain, sublayer);
        match Residual.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((inputs, sublayer), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gelu;
    use crate::ops::gradients::{agree, values};
    use burn::tensor::activation::softmax;

    const EPSILON: f32 = 1e-6;
    const IMAGES: usize = 3;

    fn norm(x: Tensor<2>, scale: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
        let centred = x.clone() - x.mean_dim(1);
        let deviation = (centred.clone().square().mean_dim(1) + EPSILON).sqrt();
        centred / deviation * scale.unsqueeze::<2>() + bias.unsqueeze::<2>()
    }

    fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
        x.matmul(weight) + bias.unsqueeze::<2>()
    }

    /// The function of one image's normalised tokens from the library's operations.
    fn plain(kind: Kind, n: Tensor<2>, p: &Parameters) -> Tensor<2> {
        let [tokens, width] = n.dims();
        match kind {
            Kind::FeedForward => linear(
                gelu(linear(n, p.first.clone(), p.first_bias.clone())),
                p.second.clone(),
                p.second_bias.clone(),
            ),
            Kind::TokenMlp { .. } => {
                let hidden = gelu(linear(n.transpose(), p.first.clone(), p.first_bias.clone()));
                linear(hidden, p.second.clone(), p.second_bias.clone()).transpose()
            }
            Kind::Attention { heads, .. } => {
                let qkv = linear(n, p.first.clone(), p.first_bias.clone());
                let size = width / heads;
                let part = |index: usize, head: usize| {
                    let start = index * width + head * size;
                    qkv.clone().slice([0..tokens, start..start + size])
                };
                let heads = (0..heads).map(|head| {
                    let scores = part(0, head).matmul(part(1, head).transpose()) / (size as f32).sqrt();
                    softmax(scores, 1).matmul(part(2, head))
                });
                linear(Tensor::cat(heads.collect(), 1), p.second.clone(), p.second_bias.clone())
            }
        }
    }

    fn check(kind: Kind, tokens: usize, width: usize, first: [usize; 2], second: [usize; 2]) {
        let rows = IMAGES * tokens;
        let parameters = |inputs: [Tensor<1>; 7]| {
            let [norm_scale, norm_bias, weight, first_bias, weight2, second_bias, gain] = inputs;
            let (first, second) = (weight.reshape(first), weight2.reshape(second));
            Parameters { norm_scale, norm_bias, first, first_bias, second, second_bias, gain }
        };
        let split = |[x, a, b, c, d, e, f, g]: [Tensor<1>; 8]| {
            (x.reshape([rows, width]), parameters([a, b, c, d, e, f, g]))
        };
        agree(
            |inputs| {
                let (x, parameters) = split(inputs);
                sublayer(x, parameters, Sublayer { kind, epsilon: EPSILON }).reshape([-1])
            },
            |inputs| {
                let (x, p) = split(inputs);
                let normal = norm(x.clone(), p.norm_scale.clone(), p.norm_bias.clone());
                let images = (0..IMAGES).map(|image| {
                    plain(kind, normal.clone().slice([image * tokens..(image + 1) * tokens, 0..width]), &p)
                });
                (x + Tensor::cat(images.collect(), 0) * p.gain.clone().unsqueeze::<2>()).reshape([-1])
            },
            [
                rows * width,
                width,
                width,
                first[0] * first[1],
                first[1],
                second[0] * second[1],
                second[1],
                width,
            ]
            .map(|count| values(count, count as f32 * 0.37).iter().map(|value| value * 0.6).collect()),
        );
    }

    #[test]
    fn feed_forward_is_the_composed_one() {
        check(Kind::FeedForward, 30, 20, [20, 33], [33, 20]);
        check(Kind::FeedForward, 5, 32, [32, 64], [64, 32]);
    }

    #[test]
    fn attention_is_the_composed_one() {
        check(Kind::Attention { tokens: 9, heads: 1 }, 9, 16, [16, 48], [16, 16]);
        check(Kind::Attention { tokens: 20, heads: 2 }, 20, 36, [36, 108], [36, 36]);
    }

    #[test]
    fn token_mlp_is_the_composed_one() {
        check(Kind::TokenMlp { tokens: 16 }, 16, 8, [16, 8], [8, 16]);
        check(Kind::TokenMlp { tokens: 18 }, 18, 35, [18, 9], [9, 18]);
    }
}

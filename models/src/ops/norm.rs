//! Layer normalisation over the columns of rows, value and gradient in one pass each.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use super::simd::{dot, sum, vectorized};

/// Rows a group, which stays in the first-level cache.
const GROUP: usize = 64;

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` of every row of `x`, `[rows, C]`; `scale` and `bias` are `[C]`.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn layer_norm(x: Tensor<2>, scale: Tensor<1>, bias: Tensor<1>, epsilon: f32) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as NormBackend>::row_norm(
        x.into_dispatch(),
        scale.into_dispatch(),
        bias.into_dispatch(),
        epsilon,
    ))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait NormBackend: Backend {
    /// See [`layer_norm`].
    fn row_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait NormGradient: NormBackend {
    /// Gradients of input, scale and bias from that of the result.
    fn row_norm_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 3];
}

/// `(row - mean) / sqrt(variance + epsilon)` for rows as wide as `width`, and the factor of each.
#[inline(always)]
pub(super) fn standardize<S: Simd>(
    simd: S,
    x: &[f32],
    width: usize,
    epsilon: f32,
    out: &mut [f32],
    factors: &mut [f32],
) {
    let inverse = 1.0 / width as f32;
    let rows = x.chunks_exact(width).zip(out.chunks_exact_mut(width));
    for ((x, out), factor) in rows.zip(&mut *factors) {
        let mean = sum(simd, x) * inverse;
        for (out, x) in out.iter_mut().zip(x) {
            *out = x - mean;
        }
        *factor = dot(simd, out, out) * inverse;
    }
    // Roots and quotients of many rows at a time.
    for factor in &mut *factors {
        *factor = 1.0 / (*factor + epsilon).sqrt();
    }
    for (out, factor) in out.chunks_exact_mut(width).zip(factors) {
        for out in out {
            *out *= *factor;
        }
    }
}

/// `standard * scale + bias` row by row.
#[inline(always)]
pub(super) fn affine(standard: &[f32], scale: &[f32], bias: &[f32], out: &mut [f32]) {
    for (standard, out) in standard.chunks_exact(scale.len()).zip(out.chunks_exact_mut(scale.len())) {
        for (((out, value), scale), bias) in out.iter_mut().zip(standard).zip(scale).zip(bias) {
            *out = value * scale + bias;
        }
    }
}

/// Adds to `x_out` the gradient of [`standardize`] and [`affine`] for the gradient `grad` of their result, and to `scale_out`
/// and `bias_out` those of scale and bias. `grad` is left scaled.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn norm_backward<S: Simd>(
    simd: S,
    grad: &mut [f32],
    standard: &[f32],
    factors: &[f32],
    scale: &[f32],
    x_out: &mut [f32],
    scale_out: &mut [f32],
    bias_out: &mut [f32],
) {
    let width = scale.len();
    let rows = grad.chunks_exact_mut(width).zip(standard.chunks_exact(width)).zip(factors);
    for (((grad, standard), factor), x_out) in rows.zip(x_out.chunks_exact_mut(width)) {
        for ((((grad, standard), scale), scale_out), bias_out) in
            grad.iter_mut().zip(standard).zip(scale).zip(&mut *scale_out).zip(&mut *bias_out)
        {
            *scale_out += *grad * standard;
            *bias_out += *grad;
            *grad *= scale;
        }
        let mean = sum(simd, grad) / width as f32;
        let slope = dot(simd, grad, standard) / width as f32;
        for ((out, grad), standard) in x_out.iter_mut().zip(&*grad).zip(standard) {
            *out += factor * (grad - mean - standard * slope);
        }
    }
}

struct Forward<'a> {
    x: &'a [f32],
    scale: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
}

impl WithSimd for Forward<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        let width = self.scale.len();
        let mut out = vec![0.0; self.x.len()];
        let (mut standard, mut factors) = (vec![0.0; GROUP * width], [0.0; GROUP]);
        for (x, out) in self.x.chunks(GROUP * width).zip(out.chunks_mut(GROUP * width)) {
            let standard = &mut standard[..x.len()];
            standardize(simd, x, width, self.epsilon, standard, &mut factors);
            affine(standard, self.scale, self.bias, out);
        }
        out
    }
}

struct Slopes<'a> {
    grad: &'a [f32],
    x: &'a [f32],
    scale: &'a [f32],
    epsilon: f32,
}

impl WithSimd for Slopes<'_> {
    type Output = [Vec<f32>; 3];

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> [Vec<f32>; 3] {
        let width = self.scale.len();
        let [mut x_out, mut scale_out, mut bias_out] = [self.x.len(), width, width].map(|len| vec![0.0; len]);
        let [mut standard, mut slope] = [GROUP * width; 2].map(|len| vec![0.0; len]);
        let mut factors = [0.0; GROUP];
        let groups = self.x.chunks(GROUP * width).zip(self.grad.chunks(GROUP * width));
        for ((x, grad), x_out) in groups.zip(x_out.chunks_mut(GROUP * width)) {
            let (standard, slope) = (&mut standard[..x.len()], &mut slope[..x.len()]);
            standardize(simd, x, width, self.epsilon, standard, &mut factors);
            slope.copy_from_slice(grad);
            norm_backward(simd, slope, standard, &factors, self.scale, x_out, &mut scale_out, &mut bias_out);
        }
        [x_out, scale_out, bias_out]
    }
}

impl NormBackend for Flex {
    fn row_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        let shape = x.layout().shape().clone();
        let inputs = [x, scale, bias].map(|tensor| tensor.to_contiguous());
        let [x, scale, bias] = inputs.each_ref().map(|tensor| tensor.as_slice::<f32>().expect("f32 tensors"));
        let out = vectorized(Forward { x, scale, bias, epsilon });
        FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
    }
}

impl NormGradient for Flex {
    fn row_norm_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        epsilon: f32,
    ) -> [FloatTensor<Self>; 3] {
        let (shape, width) = (x.layout().shape().clone(), scale.layout().shape().clone());
        let inputs = [grad, x, scale].map(|tensor| tensor.to_contiguous());
        let [grad, x, scale] = inputs.each_ref().map(|tensor| tensor.as_slice::<f32>().expect("f32 tensors"));
        let [x, scale, bias] = vectorized(Slopes { grad, x, scale, epsilon });
        let tensor = |values, shape| FloatTensor::<Flex>::from_data(TensorData::new(values, shape));
        [tensor(x, shape), tensor(scale, width.clone()), tensor(bias, width)]
    }
}

impl<B: NormGradient, C: CheckpointStrategy> NormBackend for Autodiff<B, C> {
    fn row_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f32,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct RowNorm;

        impl<B: NormGradient> Backward<B, 3> for RowNorm {
            type State = ([B::FloatTensorPrimitive; 2], f32);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let ([x, scale], epsilon) = ops.state;
                let grad = grads.consume::<B>(&ops.node);
                let slopes = B::row_norm_backward(grad, x, scale, epsilon);
                for (parent, slope) in ops.parents.into_iter().zip(slopes) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, slope);
                    }
                }
            }
        }

        let nodes = [x.node(), scale.node(), bias.node()];
        let (x, scale) = (x.into_primitive(), scale.into_primitive());
        let out = B::row_norm(x.clone(), scale.clone(), bias.into_primitive(), epsilon);
        match RowNorm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(([x, scale], epsilon), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

//! Rounding as integers do it, for training that is to survive it: the value is rounded, the gradient passes as if it were not.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use super::floats;
use super::simd::vectorized;

/// Activations in 8 bits: the nearest of 256 evenly spaced values from the least to the largest, zero among them.
pub fn round_values<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let rows = 1;
    Tensor::from_dispatch(<Dispatch as RoundingBackend>::rounded(x.into_dispatch(), rows, false))
}

/// Weights in 8 bits: for each index of the first dimension the nearest of 255 values, evenly spaced around zero.
pub fn round_weights<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let rows = x.dims()[0];
    Tensor::from_dispatch(<Dispatch as RoundingBackend>::rounded(x.into_dispatch(), rows, true))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait RoundingBackend: Backend {
    /// Each of `rows` equal parts rounded on its own: [`round_values`], or `symmetric` as [`round_weights`].
    fn rounded(x: FloatTensor<Self>, rows: usize, symmetric: bool) -> FloatTensor<Self>;
}

impl RoundingBackend for Flex {
    fn rounded(x: FloatTensor<Self>, rows: usize, symmetric: bool) -> FloatTensor<Self> {
        let x = x.to_contiguous();
        let shape = x.layout().shape().clone();
        let mut out = floats(&x).to_vec();
        let row = (out.len() / rows).max(1);
        for row in out.chunks_mut(row) {
            vectorized(Rounding { values: row, symmetric });
        }
        FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
    }
}

struct Rounding<'a> {
    values: &'a mut [f32],
    symmetric: bool,
}

impl WithSimd for Rounding<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        // Partial results, so that the loop has no chain of dependencies.
        let (mut least, mut most) = ([0.0_f32; 16], [0.0_f32; 16]);
        for values in self.values.chunks(16) {
            for ((least, most), &value) in least.iter_mut().zip(&mut most).zip(values) {
                *least = if value < *least { value } else { *least };
                *most = if value > *most { value } else { *most };
            }
        }
        let least = least.into_iter().fold(0.0, f32::min);
        let most = most.into_iter().fold(0.0, f32::max);
        let step = if self.symmetric { most.max(-least) / 127.0 } else { (most - least) / 255.0 };
        if step <= 0.0 {
            return;
        }
        // Adding 1.5 * 2^23 leaves the nearest integer.
        const ROUND: f32 = 12_582_912.0;
        let inverse = 1.0 / step;
        for value in self.values {
            *value = ((*value * inverse + ROUND) - ROUND) * step;
        }
    }
}

impl<B: RoundingBackend, C: CheckpointStrategy> RoundingBackend for Autodiff<B, C> {
    fn rounded(x: FloatTensor<Self>, rows: usize, symmetric: bool) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Rounded;

        impl<B: RoundingBackend> Backward<B, 1> for Rounded {
            type State = ();

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                unary::<B, _>(ops.parents, ops.node, grads, |grad| grad);
            }
        }

        match Rounded.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((), B::rounded(x.into_primitive(), rows, symmetric)),
            OpsKind::UnTracked(prep) => prep.finish(B::rounded(x.into_primitive(), rows, symmetric)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn values_round_and_gradients_pass() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_floats([-1.0, 0.0, 0.3, 1.55, 0.011], &device).require_grad();
        let y = round_values(x.clone());
        let grads = (y.clone() * 3.0).sum().backward();
        let slope: Vec<f32> = x.grad(&grads).expect("a gradient").into_data().iter::<f32>().collect();
        assert_eq!(slope, [3.0; 5]);
        let y: Vec<f32> = y.into_data().iter::<f32>().collect();
        // Steps of 2.55 / 255.
        for (found, expected) in y.into_iter().zip([-1.0, 0.0, 0.3, 1.55, 0.01]) {
            assert!((found - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }

    #[test]
    fn weights_have_a_step_for_each_output() {
        let weights = Tensor::<2>::from_floats([[127.0, 0.4, -3.6], [-12.7, 0.04, 0.06]], &Device::flex());
        let rounded: Vec<f32> = round_weights(weights).into_data().iter::<f32>().collect();
        for (found, expected) in rounded.into_iter().zip([127.0, 0.0, -4.0, -12.7, 0.0, 0.1]) {
            assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
        }
    }
}

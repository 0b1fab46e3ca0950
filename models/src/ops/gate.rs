//! A gate: values times the sigmoid of their map, with both gradients in one pass.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use super::floats;
use super::functions::exp_negative;
use super::simd::vectorized;

/// `x * sigmoid(map)`, elementwise.
///
/// # Panics
/// If the shapes differ.
pub fn gate<const D: usize>(x: Tensor<D>, map: Tensor<D>) -> Tensor<D> {
    assert_eq!(x.dims(), map.dims(), "a map for each value");
    Tensor::from_dispatch(<Dispatch as GateBackend>::gated(x.into_dispatch(), map.into_dispatch()))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait GateBackend: Backend {
    /// See [`gate`].
    fn gated(x: FloatTensor<Self>, map: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait GateGradient: GateBackend {
    /// Gradients of `x` and `map` from that of the result.
    fn gated_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        map: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2];
}

impl GateBackend for Flex {
    fn gated(x: FloatTensor<Self>, map: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, map) = (x.to_contiguous(), map.to_contiguous());
        let shape = x.layout().shape().clone();
        let mut out = floats(&x).to_vec();
        vectorized(Forward { map: floats(&map), out: &mut out });
        FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
    }
}

impl GateGradient for Flex {
    fn gated_backward(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        map: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 2] {
        let [grad, x, map] = [grad, x, map].map(|tensor| tensor.to_contiguous());
        let (mut of_x, mut of_map) = (floats(&grad).to_vec(), floats(&grad).to_vec());
        vectorized(Slopes { x: floats(&x), map: floats(&map), of_x: &mut of_x, of_map: &mut of_map });
        [of_x, of_map]
            .map(|values| FloatTensor::<Flex>::from_data(TensorData::new(values, x.layout().shape().clone())))
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    let small = exp_negative(-x.abs());
    let share = 1.0 / (1.0 + small);
    if x < 0.0 { small * share } else { share }
}

/// `out *= sigmoid(map)`.
struct Forward<'a> {
    map: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (out, &map) in self.out.iter_mut().zip(self.map) {
            *out *= sigmoid(map);
        }
    }
}

/// The gradients, each from that of the result.
struct Slopes<'a> {
    x: &'a [f32],
    map: &'a [f32],
    of_x: &'a mut [f32],
    of_map: &'a mut [f32],
}

impl WithSimd for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let inputs = self.x.iter().zip(self.map);
        for ((of_x, of_map), (&x, &map)) in self.of_x.iter_mut().zip(self.of_map).zip(inputs) {
            let gate = sigmoid(map);
            *of_x *= gate;
            *of_map *= x * gate * (1.0 - gate);
        }
    }
}

impl<B: GateGradient, C: CheckpointStrategy> GateBackend for Autodiff<B, C> {
    fn gated(x: FloatTensor<Self>, map: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Gated;

        impl<B: GateGradient> Backward<B, 2> for Gated {
            type State = [B::FloatTensorPrimitive; 2];

            fn backward(
                self,
                ops: Ops<Self::State, 2>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let [x, map] = ops.state;
                let slopes = B::gated_backward(grads.consume::<B>(&ops.node), x, map);
                for (parent, slope) in ops.parents.into_iter().zip(slopes) {
                    if let Some(parent) = parent {
                        grads.register::<B>(parent.id, slope);
                    }
                }
            }
        }

        let nodes = [x.node(), map.node()];
        let [x, map] = [x, map].map(|tensor| tensor.into_primitive());
        let out = B::gated(x.clone(), map.clone());
        match Gated.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish([x, map], out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradients::{agree, values};
    use burn::tensor::activation;

    #[test]
    fn value_and_gradients_are_the_librarys() {
        agree(
            |[x, map]| gate(x, map.mul_scalar(4.0)),
            |[x, map]| x * activation::sigmoid(map.mul_scalar(4.0)),
            [values(50, 0.3), values(50, 1.1)],
        );
    }
}

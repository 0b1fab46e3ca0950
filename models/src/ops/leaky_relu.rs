//! Leaky ReLU, value and gradient in one pass each; the library's goes through masks.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

use super::gelu::map;

/// `x` where it is above zero, `slope * x` elsewhere.
pub fn leaky_relu<const D: usize>(x: Tensor<D>, slope: f32) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as LeakyReluBackend>::bent(x.into_dispatch(), slope))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait LeakyReluBackend: Backend {
    /// See [`leaky_relu`].
    fn bent(x: FloatTensor<Self>, slope: f32) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait LeakyReluSlope: LeakyReluBackend {
    /// 1 where `x` is above zero, `slope` elsewhere.
    fn bent_slope(x: FloatTensor<Self>, slope: f32) -> FloatTensor<Self>;
}

impl LeakyReluBackend for Flex {
    fn bent(x: FloatTensor<Self>, slope: f32) -> FloatTensor<Self> {
        map(x, |x| if x > 0.0 { x } else { slope * x })
    }
}

impl LeakyReluSlope for Flex {
    fn bent_slope(x: FloatTensor<Self>, slope: f32) -> FloatTensor<Self> {
        map(x, |x| if x > 0.0 { 1.0 } else { slope })
    }
}

impl<B: LeakyReluSlope, C: CheckpointStrategy> LeakyReluBackend for Autodiff<B, C> {
    fn bent(x: FloatTensor<Self>, slope: f32) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct Bent;

        impl<B: LeakyReluSlope> Backward<B, 1> for Bent {
            type State = (B::FloatTensorPrimitive, f32);

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let (x, slope) = ops.state;
                unary::<B, _>(ops.parents, ops.node, grads, |grad| {
                    B::float_mul(grad, B::bent_slope(x, slope))
                });
            }
        }

        match Bent.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((x.primitive().clone(), slope), B::bent(x.into_primitive(), slope))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::bent(x.into_primitive(), slope)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradients::{agree, values};
    use burn::tensor::activation;

    #[test]
    fn value_and_gradient_are_the_librarys() {
        agree(|[x]| leaky_relu(x, 0.2), |[x]| activation::leaky_relu(x, 0.2), [values(50, 0.3)]);
    }
}

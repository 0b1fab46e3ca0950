//! GELU in its exact (error function) form, value and slope in one vectorisable pass.
//!
//! The library's own evaluates `erf` through scalar calls, twice; in a small mixer that is most of a training step.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};
use pulp::{Simd, WithSimd};

use super::functions::normal;
use super::simd::vectorized;

/// `x * Phi(x)`, elementwise.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(<Dispatch as GeluBackend>::exact_gelu(x.into_dispatch()))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait GeluBackend: Backend {
    /// `x * Phi(x)`.
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait GeluSlope: GeluBackend {
    /// The derivative `Phi(x) + x * phi(x)`.
    fn exact_gelu_slope(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl GeluBackend for Flex {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        map(x, |x| x * normal(x).0)
    }
}

impl GeluSlope for Flex {
    fn exact_gelu_slope(x: FloatTensor<Self>) -> FloatTensor<Self> {
        map(x, |x| {
            let (cumulative, density) = normal(x);
            cumulative + x * density
        })
    }
}

/// `f` of every value.
pub(super) fn map(x: FloatTensor<Flex>, f: impl Fn(f32) -> f32) -> FloatTensor<Flex> {
    let x = x.to_contiguous();
    let shape = x.layout().shape().clone();
    let values = x.as_slice::<f32>().expect("a contiguous f32 tensor");
    let mut out = vec![0.0; values.len()];
    vectorized(Map { values, out: &mut out, f });
    FloatTensor::<Flex>::from_data(TensorData::new(out, shape))
}

/// `out = f(values)`.
struct Map<'a, F> {
    values: &'a [f32],
    out: &'a mut [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Map<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (out, &value) in self.out.iter_mut().zip(self.values) {
            *out = (self.f)(value);
        }
    }
}

impl<B: GeluSlope, C: CheckpointStrategy> GeluBackend for Autodiff<B, C> {
    fn exact_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct ExactGelu;

        impl<B: GeluSlope> Backward<B, 1> for ExactGelu {
            type State = B::FloatTensorPrimitive;

            fn backward(
                self,
                ops: Ops<Self::State, 1>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                unary::<B, _>(ops.parents, ops.node, grads, |grad| {
                    B::float_mul(grad, B::exact_gelu_slope(ops.state))
                });
            }
        }

        match ExactGelu.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x.primitive().clone(), B::exact_gelu(x.into_primitive())),
            OpsKind::UnTracked(prep) => prep.finish(B::exact_gelu(x.into_primitive())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// `Phi` in f64 from the power series of `erf`, to 40 terms: exact enough up to |x| = 4.
    fn reference(x: f64) -> f64 {
        let z = x / core::f64::consts::SQRT_2;
        let (mut term, mut sum) = (z, z);
        for n in 1..80 {
            term *= -z * z / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        x * (0.5 + sum / core::f64::consts::PI.sqrt())
    }

    #[test]
    fn value_and_gradient_are_the_exact_form() {
        let points: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 1e-3).collect();
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_floats(points.as_slice(), &device).require_grad();
        let y = gelu(x.clone());
        let gradients = y.clone().sum().backward();
        let slope = x.grad(&gradients).expect("a gradient");
        let y = y.into_data().iter::<f32>().collect::<Vec<f32>>();
        let slope = slope.into_data().iter::<f32>().collect::<Vec<f32>>();
        for ((&x, y), slope) in points.iter().zip(y).zip(slope) {
            let x = f64::from(x);
            assert!((f64::from(y) - reference(x)).abs() < 1e-6, "gelu({x}) = {y}");
            let expected = (reference(x + 1e-4) - reference(x - 1e-4)) / 2e-4;
            assert!((f64::from(slope) - expected).abs() < 2e-6, "slope({x}) = {slope}, {expected}");
        }
    }

    #[test]
    fn far_values_are_the_identity_or_zero() {
        let y = gelu(Tensor::<1>::from_floats([-1e4, -40.0, 0.0, 40.0, 1e4], &Device::flex()));
        let y = y.into_data().iter::<f32>().collect::<Vec<f32>>();
        assert!(y[0].abs() < 1e-30 && y[1].abs() < 1e-30, "{y:?}");
        assert_eq!(y[2..], [0.0, 40.0, 1e4]);
    }
}

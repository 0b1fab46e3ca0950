//! GELU in its exact (error function) form, value and slope in one vectorisable pass.
//!
//! The library's own evaluates `erf` through scalar calls, twice; in a small mixer that is most of a training step.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, TensorData};

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

fn map(x: FloatTensor<Flex>, f: impl Fn(f32) -> f32) -> FloatTensor<Flex> {
    let x = x.to_contiguous();
    let shape = x.layout().shape().clone();
    let values = x.as_slice::<f32>().expect("a contiguous f32 tensor");
    let values: Vec<f32> = values.iter().map(|&value| f(value)).collect();
    FloatTensor::<Flex>::from_data(TensorData::new(values, shape))
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

/// Cumulative distribution and density of the standard normal.
///
/// `erf` by Abramowitz and Stegun 7.1.26 (error below 1.5e-7, the rounding of f32 aside), without branches or calls.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    const INVERSE_SQRT_2PI: f32 = 0.398_942_3;
    let gauss = exp_negative(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * core::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let poly =
        t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152_1 + t * 1.061_405_4))));
    let upper_tail = 0.5 * poly * gauss;
    let cumulative = if x < 0.0 { upper_tail } else { 1.0 - upper_tail };
    (cumulative, INVERSE_SQRT_2PI * gauss)
}

/// `e^x` for `x <= 0`, relative error below 1e-6: `2^k * 2^f` with `f` in [-1/2, 1/2] by its Taylor series.
#[inline(always)]
pub(super) fn exp_negative(x: f32) -> f32 {
    // Below, the result is under the smallest normal number.
    let y = (x * core::f32::consts::LOG2_E).max(-126.0);
    // Adding 1.5 * 2^23 leaves the nearest integer in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = y + ROUND;
    let k = shifted - ROUND;
    let f = (y - k) * core::f32::consts::LN_2;
    let series = 1.0
        + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    series * power
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

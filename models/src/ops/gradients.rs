//! Tests of gradients: against those of the library's own operations, and against finite differences.

use burn::tensor::{Device, Tensor, TensorData, Tolerance};

/// Reproducible values in -1.2..1.2.
pub(super) fn values(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|index| (index as f32 * 0.7 + phase * 1.3).sin() * 1.2).collect()
}

/// Checks that value and gradients of `ours` are those of `plain`, and that the gradients are slopes of the value.
pub(super) fn agree<const N: usize>(
    ours: impl Fn([Tensor<1>; N]) -> Tensor<1>,
    plain: impl Fn([Tensor<1>; N]) -> Tensor<1>,
    inputs: [Vec<f32>; N],
) {
    let device = Device::flex().autodiff();
    let tensors = || {
        inputs.clone().map(|values| {
            let shape = [values.len()];
            Tensor::<1>::from_data(TensorData::new(values, shape), &device).require_grad()
        })
    };
    let (our_inputs, plain_inputs) = (tensors(), tensors());
    let (out, expected) = (ours(our_inputs.clone()), plain(plain_inputs.clone()));
    let tolerance = Tolerance::<f32>::absolute(2e-5).set_relative(1e-4);
    out.clone().into_data().assert_approx_eq(&expected.clone().into_data(), tolerance);

    // A sum in which every value has a weight of its own.
    let [count] = out.dims();
    let upstream = Tensor::<1>::from_data(TensorData::new(values(count, 0.4), [count]), &device);
    let grads = (out * upstream.clone()).sum().backward();
    let expected = (expected * upstream.clone()).sum().backward();
    let slopes = our_inputs.each_ref().map(|input| input.grad(&grads).expect("a gradient"));
    for (slope, input) in slopes.iter().zip(&plain_inputs) {
        let expected = input.grad(&expected).expect("a gradient");
        slope.clone().into_data().assert_approx_eq(&expected.into_data(), tolerance);
    }

    // Along a direction through all inputs at once: what rounding leaves of a difference is far below its slope.
    let step = 1e-2;
    let directions = inputs.each_ref().map(|input| values(input.len(), 3.0));
    let moved = |sign: f32| {
        let mut index = 0;
        let tensors = inputs.clone().map(|values| {
            let direction = &directions[index];
            index += 1;
            let values: Vec<f32> = values.iter().zip(direction).map(|(x, d)| x + sign * step * d).collect();
            let shape = [values.len()];
            Tensor::<1>::from_data(TensorData::new(values, shape), &device)
        });
        f64::from((ours(tensors) * upstream.clone()).sum().into_scalar::<f32>())
    };
    let difference = (moved(1.0) - moved(-1.0)) / (2.0 * f64::from(step));
    let slope: f64 = slopes
        .into_iter()
        .zip(&directions)
        .flat_map(|(slope, direction)| {
            let slope: Vec<f32> = slope.into_data().iter::<f32>().collect();
            slope.into_iter().zip(direction).map(|(a, b)| f64::from(a * b)).collect::<Vec<f64>>()
        })
        .sum();
    assert!(
        (difference - slope).abs() < 2e-2 * slope.abs().max(1.0),
        "difference {difference}, gradient {slope}"
    );
}

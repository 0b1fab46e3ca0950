//! Convolutions of few channels that keep height and width, directly: 1 x 1 and 3 x 3, dense or depthwise.
//!
//! The library's own gather patches into matrices; at 8 or 16 channels that costs more than the products. Here each image gets a
//! border of zeros once, and then every tap is an offset into it: an output is a weighted sum of shifted planes. Rows
//! run on into the border, so that the loops are as long as a plane; what falls between the rows is left out in the end.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};

use super::floats;
use super::planes::{Area, Layer};

/// `out[n][o] = bias[o] + sum over i of weight[o][i] * x[n][i]`, `*` a correlation with zeros around the image.
///
/// `x` is `[N, I, H, W]`, `weight` is `[O, I, K, K]` with K 1 or 3, `bias` is `[O]`; the result is `[N, O, H, W]`. A weight
/// `[I, 1, K, K]` for several inputs is depthwise: each output comes from the input of its number.
///
/// # Panics
/// If the shapes do not fit each other.
pub fn convolution(x: Tensor<4>, weight: Tensor<4>, bias: Tensor<1>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as ConvolutionBackend>::same_convolution(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
    ))
}

/// The backends that have the operation.
#[backend_extension(Flex, Autodiff)]
pub trait ConvolutionBackend: Backend {
    /// See [`convolution`].
    fn same_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

/// What a backend needs so that the operation can be differentiated on it.
pub trait ConvolutionGradient: ConvolutionBackend {
    /// The gradient of `x` from that of the result.
    fn same_convolution_x(
        grad: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        inputs: usize,
    ) -> FloatTensor<Self>;

    /// The gradients of the weight, `[O, depth, size, size]`, and of the bias from that of the result.
    fn same_convolution_weight(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        of_weight: [usize; 2],
    ) -> [FloatTensor<Self>; 2];
}

impl ConvolutionBackend for Flex {
    fn same_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.to_contiguous());
        let [images, inputs, height, width] = x.layout().shape().dims();
        let [outputs, depth, size, _] = weight.layout().shape().dims();
        let area = Area { height, width, size };
        let layer = Layer::new([inputs, outputs], depth);
        let out = layer.apply(&area, floats(&x), floats(&weight), floats(&bias));
        FloatTensor::<Flex>::from_data(TensorData::new(out, [images, outputs, height, width]))
    }
}

impl ConvolutionGradient for Flex {
    fn same_convolution_x(
        grad: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        inputs: usize,
    ) -> FloatTensor<Self> {
        let (grad, weight) = (grad.to_contiguous(), weight.to_contiguous());
        let [images, outputs, height, width] = grad.layout().shape().dims();
        let [_, depth, size, _] = weight.layout().shape().dims();
        let area = Area { height, width, size };
        // The transposed convolution: inputs and outputs change places, and the taps turn round.
        let layer = Layer::new([outputs, inputs], if depth == inputs { outputs } else { depth });
        let (weight, taps) = (floats(&weight), size * size);
        let turned: Vec<f32> = (0..depth)
            .flat_map(|input| (0..outputs).map(move |output| (output * depth + input) * taps))
            .flat_map(|at| weight[at..at + taps].iter().rev().copied())
            .collect();
        let out = layer.apply(&area, floats(&grad), &turned, &vec![0.0; inputs]);
        FloatTensor::<Flex>::from_data(TensorData::new(out, [images, inputs, height, width]))
    }

    fn same_convolution_weight(
        grad: FloatTensor<Self>,
        x: FloatTensor<Self>,
        [depth, size]: [usize; 2],
    ) -> [FloatTensor<Self>; 2] {
        let (grad, x) = (grad.to_contiguous(), x.to_contiguous());
        let [_, outputs, height, width] = grad.layout().shape().dims();
        let [_, inputs, _, _] = x.layout().shape().dims();
        let area = Area { height, width, size };
        let layer = Layer::new([inputs, outputs], depth);
        let (weight, bias) = layer.weight_gradient(&area, floats(&grad), floats(&x));
        [
            FloatTensor::<Flex>::from_data(TensorData::new(weight, [outputs, depth, size, size])),
            FloatTensor::<Flex>::from_data(TensorData::new(bias, [outputs])),
        ]
    }
}

impl<B: ConvolutionGradient, C: CheckpointStrategy> ConvolutionBackend for Autodiff<B, C> {
    fn same_convolution(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        #[derive(Debug)]
        struct SameConvolution;

        impl<B: ConvolutionGradient> Backward<B, 3> for SameConvolution {
            type State = (B::FloatTensorPrimitive, B::FloatTensorPrimitive);

            fn backward(
                self,
                ops: Ops<Self::State, 3>,
                grads: &mut Gradients,
                _checkpointer: &mut Checkpointer,
            ) {
                let (x, weight) = ops.state;
                let [_, depth, size, _] = weight.shape().dims();
                let [_, inputs, _, _] = x.shape().dims();
                let [of_x, of_weight, of_bias] = ops.parents;
                let grad = grads.consume::<B>(&ops.node);
                if let Some(node) = of_x {
                    grads.register::<B>(node.id, B::same_convolution_x(grad.clone(), weight, inputs));
                }
                if of_weight.is_some() || of_bias.is_some() {
                    let slopes = B::same_convolution_weight(grad, x, [depth, size]);
                    for (node, slope) in [of_weight, of_bias].into_iter().zip(slopes) {
                        if let Some(node) = node {
                            grads.register::<B>(node.id, slope);
                        }
                    }
                }
            }
        }

        let nodes = [x.node(), weight.node(), bias.node()];
        let [x, weight, bias] = [x, weight, bias].map(|tensor| tensor.into_primitive());
        let out = B::same_convolution(x.clone(), weight.clone(), bias);
        match SameConvolution.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight), out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::module::conv2d;
    use burn::tensor::ops::ConvOptions;
    use burn::tensor::{Device, Tolerance};

    /// Reproducible values.
    fn tensor<const D: usize>(shape: [usize; D], phase: f32, device: &Device) -> Tensor<D> {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7 + phase).sin()).collect();
        Tensor::from_data(TensorData::new(values, shape), device).require_grad()
    }

    #[test]
    fn values_and_gradients_are_the_librarys() {
        // Odd channels and sizes: groups that are not full, runs that end within a vector.
        let cases =
            [([2, 3, 5, 7], 8, 3), ([1, 8, 9, 4], 5, 1), ([3, 16, 6, 33], 3, 3), ([1, 1, 1, 1], 1, 3)];
        let dense = cases.map(|(shape, outputs, size)| (shape, outputs, shape[1], size));
        let depthwise = [([2, 5, 7, 6], 5, 1, 3), ([1, 3, 4, 4], 3, 1, 1)];
        for (shape, outputs, depth, size) in dense.into_iter().chain(depthwise) {
            let device = Device::flex().autodiff();
            let [_, inputs, height, width] = shape;
            let upstream = tensor([shape[0], outputs, height, width], 2.0, &device);
            let run = |ours: bool| {
                let x = tensor(shape, 0.0, &device);
                let weight = tensor([outputs, depth, size, size], 1.0, &device);
                let bias = tensor([outputs], 3.0, &device);
                let all = (x.clone(), weight.clone(), bias.clone());
                let out = if ours {
                    convolution(x, weight, bias)
                } else {
                    let options = ConvOptions::new([1, 1], [size / 2; 2], [1, 1], inputs / depth);
                    conv2d(x, weight, Some(bias), options)
                };
                let grads = (out.clone() * upstream.clone()).sum().backward();
                let of = |data: Option<burn::tensor::TensorData>| data.expect("a gradient");
                [
                    out.into_data(),
                    of(all.0.grad(&grads).map(|grad| grad.into_data())),
                    of(all.1.grad(&grads).map(|grad| grad.into_data())),
                    of(all.2.grad(&grads).map(|grad| grad.into_data())),
                ]
            };
            for (ours, plain) in run(true).iter().zip(run(false)) {
                ours.assert_approx_eq(&plain, Tolerance::<f32>::rel_abs(1e-5, 1e-4));
            }
        }
    }
}

//! A small convolutional network on the same histograms, all patches of a window as one picture.
//!
//! Three convolutions of 3 x 3, each halving the picture, and a linear layer; the answer is the mean over the windows so far.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};

use super::front_end::Frame;
use super::tokens::logs;
use super::train::Design;
use crate::weights::{Loader, Parameter, Start, Weight};

/// Channels behind the convolutions.
const CHANNELS: [usize; 3] = [12, 24, 32];

/// A network without its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Patches in a row, and rows of patches.
    pub grid: (usize, usize),
    /// Pixels on a side of a patch.
    pub patch: usize,
    /// Values of a pixel.
    pub values: usize,
    /// Number of classes.
    pub classes: usize,
}

/// The network.
#[derive(Module, Debug)]
pub struct Cnn {
    kernels: Vec<Param<Tensor<4>>>,
    biases: Vec<Param<Tensor<1>>>,
    head: Linear,
    columns: usize,
    rows: usize,
    patch: usize,
    values: usize,
}

impl Architecture {
    /// How many values all parameters have.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }
}

impl Design for Architecture {
    type Network = Cnn;

    fn parameters(&self) -> Vec<Parameter> {
        let (mut kernels, mut biases) = (Vec::new(), Vec::new());
        let mut from = self.values;
        let (mut width, mut height) = (self.grid.0 * self.patch, self.grid.1 * self.patch);
        for (layer, to) in CHANNELS.into_iter().enumerate() {
            let start = Start::Uniform { inputs: 9 * from };
            kernels.push((format!("conv{layer}/w"), vec![to, from, 3, 3], start));
            biases.push((format!("conv{layer}/b"), vec![to], start));
            (from, width, height) = (to, width.div_ceil(2), height.div_ceil(2));
        }
        let inputs = from * width * height;
        let start = Start::Uniform { inputs };
        let head = [
            ("head/w".into(), vec![inputs, self.classes], start),
            ("head/b".into(), vec![self.classes], start),
        ];
        kernels.into_iter().chain(biases).chain(head).collect()
    }

    fn network(&self, weights: &[Weight], device: &Device) -> Cnn {
        let mut loader = Loader::new(&self.parameters(), weights, device);
        Cnn {
            kernels: CHANNELS.iter().map(|_| loader.tensor()).collect(),
            biases: CHANNELS.iter().map(|_| loader.tensor()).collect(),
            head: loader.linear(),
            columns: self.grid.0,
            rows: self.grid.1,
            patch: self.patch,
            values: self.values,
        }
    }

    fn answers(network: &Cnn, recordings: &[Vec<Frame>], device: &Device) -> Vec<Tensor<2>> {
        let windows = recordings.iter().map(Vec::len).max().unwrap_or(0);
        let mut sum: Option<Tensor<2>> = None;
        (0..windows)
            .map(|index| {
                let logits = network.forward(network.pictures(recordings, index, device));
                let total = match sum.take() {
                    Some(sum) => sum + logits,
                    None => logits,
                };
                sum = Some(total.clone());
                total.div_scalar((index + 1) as f32)
            })
            .collect()
    }
}

impl Cnn {
    /// Window `index` of each recording, `[recordings, values, height, width]`.
    fn pictures(&self, recordings: &[Vec<Frame>], index: usize, device: &Device) -> Tensor<4> {
        let logs = logs();
        let (width, height) = (self.columns * self.patch, self.rows * self.patch);
        let mut all = vec![0.0; recordings.len() * self.values * height * width];
        let pictures = all.chunks_exact_mut(self.values * height * width);
        for (picture, frames) in pictures.zip(recordings) {
            let Some(frame) = frames.get(index) else { continue };
            let tokens = frame.counts.chunks_exact(self.patch * self.patch * self.values);
            for (&patch, counts) in frame.patches.iter().zip(tokens) {
                let (column, row) = (usize::from(patch) % self.columns, usize::from(patch) / self.columns);
                for (at, &count) in counts.iter().enumerate() {
                    let (pixel, value) = (at / self.values, at % self.values);
                    let (x, y) =
                        (column * self.patch + pixel % self.patch, row * self.patch + pixel / self.patch);
                    picture[(value * height + y) * width + x] = logs[usize::from(count)];
                }
            }
        }
        Tensor::from_data(TensorData::new(all, [recordings.len(), self.values, height, width]), device)
    }

    fn forward(&self, mut x: Tensor<4>) -> Tensor<2> {
        for (kernel, bias) in self.kernels.iter().zip(&self.biases) {
            let options = ConvOptions::new([2, 2], [1, 1], [1, 1], 1);
            x = relu(conv2d(x, kernel.val(), Some(bias.val()), options));
        }
        let [recordings, channels, height, width] = x.dims();
        self.head.forward(x.reshape([recordings, channels * height * width]))
    }
}

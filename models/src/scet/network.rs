//! The network in the training library.
//!
//! **SCPA** (of PAN, github zhaohengyuan1/PAN), on two halves of g = C / 2 channels, all leaky-ReLUs of slope 0.2:
//!
//! ```text
//! a = lrelu(plain3(lrelu(split_a(x))))
//! b = lrelu(split_b(x)),  b = lrelu(calibrated3(mapped3(b) . sigmoid(map(b))))
//! x + merge([a; b])
//! ```
//!
//! **MDTA**: `[q; k; v] = depthwise3(qkv(x))`; for every head `softmax(temperature * q k^T) v` between its channels, with q and k
//! of length 1 over all pixels.
//!
//! **GDFN**: `[u; v] = depthwise3(in(x))`, then `out(gelu(u) . v)`.

use burn::module::{Module, Param};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};

use super::Architecture;
use crate::onnx::LAYER_NORM_EPSILON;
use crate::ops::{channel_norm, convolution, gate, gelu, leaky_relu, round_values, round_weights};
use crate::weights::{self, Loader, Weight};

/// Slope of every leaky-ReLU below zero.
pub const SLOPE: f32 = 0.2;
/// Lower bound of a channel's length in the attention, so that a channel of zeros stays one.
pub const LEAST_LENGTH: f32 = 1e-12;

/// How exactly a network computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// In float.
    Float,
    /// As if weights and all values between operations had 8 bits, with gradients as in float. Training with it makes a
    /// network that loses little when it is quantized.
    Rounded,
}

impl Precision {
    fn values(self, x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Float => x,
            Self::Rounded => round_values(x),
        }
    }

    fn weights(self, weights: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Float => weights,
            Self::Rounded => round_weights(weights),
        }
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct Scet {
    shallow: Conv,
    /// SCPA blocks.
    pub blocks: Vec<Scpa>,
    /// Attention between channels.
    pub attention: Option<Mdta>,
    /// Gated feed-forward.
    pub feed_forward: Option<Gdfn>,
    deep_up: Conv,
    deep_image: Conv,
    image: Conv,
    scale: usize,
}

/// A convolution that keeps height and width.
#[derive(Module, Debug)]
struct Conv {
    weight: Param<Tensor<4>>,
    bias: Option<Param<Tensor<1>>>,
}

/// Layer normalisation over the channels of each pixel.
#[derive(Module, Debug)]
struct Norm {
    scale: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

/// Self-calibrated convolutions with pixel attention.
#[derive(Module, Debug)]
pub struct Scpa {
    split_a: Conv,
    split_b: Conv,
    plain: Conv,
    map: Option<Conv>,
    mapped: Conv,
    calibrated: Conv,
    merge: Conv,
}

/// Attention between channels, with its normalisation in front.
#[derive(Module, Debug)]
pub struct Mdta {
    norm: Norm,
    qkv: Conv,
    local: Conv,
    out: Conv,
    temperature: Param<Tensor<3>>,
}

/// Gated feed-forward, with its normalisation in front.
#[derive(Module, Debug)]
pub struct Gdfn {
    norm: Norm,
    inner: Conv,
    local: Conv,
    out: Conv,
}

impl Scet {
    /// The network with the given weights, on `device`.
    ///
    /// # Panics
    /// If the weights are not those of `architecture`, in the order of [`Architecture::parameters`].
    pub fn new(architecture: &Architecture, weights: &[Weight], device: &Device) -> Self {
        let mut loader = Loader::new(&architecture.parameters(), weights, device);
        let loader = &mut loader;
        let parts = architecture.parts;
        Self {
            shallow: Conv::biased(loader),
            blocks: (0..architecture.size.blocks).map(|_| Scpa::new(loader, parts.map)).collect(),
            attention: parts.attention.then(|| Mdta::new(loader)),
            feed_forward: parts.feed_forward.then(|| Gdfn::new(loader)),
            deep_up: Conv::biased(loader),
            deep_image: Conv::biased(loader),
            image: Conv::biased(loader),
            scale: architecture.size.scale,
        }
    }

    /// Its weights, in the order of [`Architecture::parameters`].
    pub fn weights(&self, architecture: &Architecture) -> Vec<Weight> {
        weights::collect(self, architecture.parameters())
    }

    /// Large images `[N, 3, sH, sW]` for small ones `[N, 3, H, W]`, both about [0, 1]; nothing is clipped.
    pub fn forward(&self, images: Tensor<4>, precision: Precision) -> Tensor<4> {
        let shallow = self.shallow.forward(images, precision);
        let mut deep = shallow.clone();
        for block in &self.blocks {
            deep = block.forward(deep, precision);
        }
        if let Some(attention) = &self.attention {
            deep = attention.forward(deep, precision);
        }
        if let Some(feed_forward) = &self.feed_forward {
            deep = feed_forward.forward(deep, precision);
        }
        let deep = shuffle(self.deep_up.forward(deep, precision), self.scale);
        self.deep_image.sums(deep, precision) + self.image.sums(shuffle(shallow, self.scale), precision)
    }
}

impl Conv {
    fn plain(loader: &mut Loader<'_>) -> Self {
        Self { weight: loader.tensor(), bias: None }
    }

    fn biased(loader: &mut Loader<'_>) -> Self {
        Self { weight: loader.tensor(), bias: Some(loader.tensor()) }
    }

    fn forward(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        precision.values(self.sums(x, precision))
    }

    /// The sums as they are before rounding.
    fn sums(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        let [outputs, ..] = self.weight.dims();
        let bias = match &self.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([outputs], &x.device()),
        };
        convolution(x, precision.weights(self.weight.val()), bias)
    }
}

impl Norm {
    fn new(loader: &mut Loader<'_>) -> Self {
        Self { scale: loader.tensor(), bias: loader.tensor() }
    }

    fn forward(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        precision.values(channel_norm(x, self.scale.val(), self.bias.val(), LAYER_NORM_EPSILON))
    }
}

impl Scpa {
    fn new(loader: &mut Loader<'_>, map: bool) -> Self {
        Self {
            split_a: Conv::plain(loader),
            split_b: Conv::plain(loader),
            plain: Conv::plain(loader),
            map: map.then(|| Conv::biased(loader)),
            mapped: Conv::plain(loader),
            calibrated: Conv::plain(loader),
            merge: Conv::plain(loader),
        }
    }

    /// `[N, C, H, W]` to the same.
    pub fn forward(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        let active =
            |layer: &Conv, x: Tensor<4>| precision.values(leaky_relu(layer.forward(x, precision), SLOPE));
        let a = active(&self.plain, active(&self.split_a, x.clone()));
        let b = active(&self.split_b, x.clone());
        let mut mapped = self.mapped.forward(b.clone(), precision);
        if let Some(map) = &self.map {
            mapped = precision.values(gate(mapped, map.forward(b, precision)));
        }
        let b = active(&self.calibrated, mapped);
        let merged = self.merge.forward(Tensor::cat(vec![a, b], 1), precision);
        precision.values(x + merged)
    }
}

impl Mdta {
    fn new(loader: &mut Loader<'_>) -> Self {
        Self {
            norm: Norm::new(loader),
            qkv: Conv::plain(loader),
            local: Conv::plain(loader),
            out: Conv::plain(loader),
            temperature: loader.tensor(),
        }
    }

    /// `[N, C, H, W]` to the same, the input added.
    pub fn forward(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        let [images, channels, height, width] = x.dims();
        let [heads, ..] = self.temperature.dims();
        let normal = self.norm.forward(x.clone(), precision);
        let qkv = self.local.forward(self.qkv.forward(normal, precision), precision);
        let [query, key, value] = [0, 1, 2].map(|part| {
            let channels = part * channels..(part + 1) * channels;
            let part = qkv.clone().slice([0..images, channels.clone()]);
            part.reshape([images, heads, channels.len() / heads, height * width])
        });
        let temperature = self.temperature.val().unsqueeze_dim(0);
        let scores = unit(query).matmul(unit(key).swap_dims(2, 3)) * temperature;
        let attended = softmax(scores, 3).matmul(value).reshape([images, channels, height, width]);
        precision.values(x + self.out.forward(precision.values(attended), precision))
    }
}

/// Every row divided by its length.
fn unit(rows: Tensor<4>) -> Tensor<4> {
    let length = (rows.clone() * rows.clone()).sum_dim(3).sqrt().clamp_min(LEAST_LENGTH);
    rows / length
}

impl Gdfn {
    fn new(loader: &mut Loader<'_>) -> Self {
        Self {
            norm: Norm::new(loader),
            inner: Conv::plain(loader),
            local: Conv::plain(loader),
            out: Conv::plain(loader),
        }
    }

    /// `[N, C, H, W]` to the same, the input added.
    pub fn forward(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        let normal = self.norm.forward(x.clone(), precision);
        let inner = self.local.forward(self.inner.forward(normal, precision), precision);
        let [images, double, ..] = inner.dims();
        let [gate, value] =
            [0..double / 2, double / 2..double].map(|channels| inner.clone().slice([0..images, channels]));
        let gated = precision.values(precision.values(gelu(gate)) * value);
        precision.values(x + self.out.forward(gated, precision))
    }
}

/// Pixel shuffle: `out[c][y s + i][x s + j] = in[c s s + i s + j][y][x]`.
pub fn shuffle(x: Tensor<4>, scale: usize) -> Tensor<4> {
    let [images, channels, height, width] = x.dims();
    let out = channels / (scale * scale);
    x.reshape([images, out, scale, scale, height, width]).permute([0, 1, 4, 2, 5, 3]).reshape([
        images,
        out,
        height * scale,
        width * scale,
    ])
}

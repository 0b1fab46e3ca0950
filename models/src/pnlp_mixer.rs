//! pNLP-Mixer (arXiv 2202.04350): projected words, mixed over tokens and channels by MLPs.
//!
//! The input of the network here is not the dense feature matrix but the indices of its non-zeros, so the bottleneck is
//! a sum of weight rows ([`crate::ops::project`]); [`crate::onnx`] exports the same weights as an ordinary product.

use burn::module::Module;
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor};
use mixel_core::text::{FrontEndError, TextFrontEnd};
use rand::Rng;

use crate::ops::{gelu, project};
use crate::weights::{self, Loader, Parameter, Start, Weight};

/// Sizes of the text front end and of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Hashes a word.
    pub n: u16,
    /// Bins of the counting Bloom filter.
    pub m: u16,
    /// Neighbours on each side of a word in its features.
    pub window: u16,
    /// Words of a sentence.
    pub length: u16,
    /// Width of the model, H.
    pub width: usize,
    /// Hidden width of both MLPs, D.
    pub hidden: usize,
    /// Mixer layers, N.
    pub layers: usize,
}

impl Size {
    /// The variant for microcontrollers.
    pub const NANO: Self = Self { n: 16, m: 256, window: 1, length: 32, width: 32, hidden: 64, layers: 2 };
    /// The paper's X-Small, for sentences of 64 subwords.
    pub const X_SMALL: Self =
        Self { n: 64, m: 1024, window: 0, length: 64, width: 64, hidden: 256, layers: 2 };
    /// The paper's Base, for sentences of 64 subwords.
    pub const BASE: Self = Self { window: 1, width: 256, ..Self::X_SMALL };
    /// The paper's X-Large, for sentences of 64 subwords.
    pub const X_LARGE: Self = Self { m: 2048, window: 1, width: 512, layers: 4, ..Self::X_SMALL };

    /// The text front end of this size.
    ///
    /// # Errors
    /// A parameter is out of the front end's range.
    pub const fn front_end(&self) -> Result<TextFrontEnd, FrontEndError> {
        TextFrontEnd::new(self.n, self.m, self.window, self.length)
    }

    /// Rows of the bottleneck's weights: `(2 * window + 1) * m`.
    pub const fn features(&self) -> usize {
        (2 * self.window as usize + 1) * self.m as usize
    }
}

/// What is predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// One class a sentence, by attention pooling.
    Sequence,
    /// One class a word, by a linear layer.
    Tokens,
}

/// A network without its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Its sizes.
    pub size: Size,
    /// What it predicts.
    pub head: Head,
    /// Number of classes, C.
    pub classes: usize,
}

impl Architecture {
    /// Name, shape and start of every parameter, in the order of the module's fields.
    pub fn parameters(&self) -> Vec<Parameter> {
        let Size { length, width, hidden, layers, .. } = self.size;
        let mut list = Vec::new();
        let mut linear = |path: &str, weight: &str, bias: &str, inputs: usize, outputs: usize| {
            let start = Start::Uniform { inputs };
            list.push((format!("{path}/{weight}"), vec![inputs, outputs], start));
            list.push((format!("{path}/{bias}"), vec![outputs], start));
        };
        linear("bottleneck", "w", "b", self.size.features(), width);
        let mut mixers = Vec::new();
        for layer in 0..layers {
            for (mixing, inputs) in [("token", usize::from(length)), ("channel", width)] {
                let path = format!("mixer{layer}/{mixing}");
                mixers.push((format!("{path}/norm_scale"), vec![width], Start::Ones));
                mixers.push((format!("{path}/norm_bias"), vec![width], Start::Zeros));
                for (weight, bias, from, to) in [("w1", "b1", inputs, hidden), ("w2", "b2", hidden, inputs)] {
                    let start = Start::Uniform { inputs: from };
                    mixers.push((format!("{path}/{weight}"), vec![from, to], start));
                    mixers.push((format!("{path}/{bias}"), vec![to], start));
                }
            }
        }
        let mut head = Vec::new();
        let mut linear = |path: &str, outputs: usize| {
            let start = Start::Uniform { inputs: width };
            head.push((format!("{path}/w"), vec![width, outputs], start));
            head.push((format!("{path}/b"), vec![outputs], start));
        };
        if self.head == Head::Sequence {
            linear("pool/value", width);
            linear("pool/score", width);
        }
        linear("head", self.classes);
        list.extend(mixers);
        list.extend(head);
        list
    }

    /// How many values all parameters have.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }

    /// Fresh weights. The same generator state gives the same weights.
    pub fn start(&self, rng: &mut impl Rng) -> Vec<Weight> {
        weights::start(self.parameters(), rng)
    }
}

/// The network.
#[derive(Module, Debug)]
pub struct PnlpMixer {
    bottleneck: Linear,
    mixers: Vec<Mixer>,
    pool: Option<Pool>,
    head: Linear,
}

/// One layer: token mixing, then channel mixing, each normalised before and added to its input.
#[derive(Module, Debug)]
struct Mixer {
    token_norm: LayerNorm,
    token: Mlp,
    channel_norm: LayerNorm,
    channel: Mlp,
}

#[derive(Module, Debug)]
struct Mlp {
    up: Linear,
    down: Linear,
}

/// Attention pooling: every channel has its own softmax over the tokens.
#[derive(Module, Debug)]
struct Pool {
    value: Linear,
    score: Linear,
}

impl PnlpMixer {
    /// The network with the given weights, on `device`.
    ///
    /// # Panics
    /// If the weights are not those of `architecture`, in the order of [`Architecture::parameters`].
    pub fn new(architecture: &Architecture, weights: &[Weight], device: &Device) -> Self {
        let mut loader = Loader::new(&architecture.parameters(), weights, device);
        Self {
            bottleneck: loader.linear(),
            mixers: (0..architecture.size.layers)
                .map(|_| Mixer {
                    token_norm: loader.norm(),
                    token: Mlp::new(&mut loader),
                    channel_norm: loader.norm(),
                    channel: Mlp::new(&mut loader),
                })
                .collect(),
            pool: (architecture.head == Head::Sequence)
                .then(|| Pool { value: loader.linear(), score: loader.linear() }),
            head: loader.linear(),
        }
    }

    /// The weights, in the order of [`Architecture::parameters`].
    pub fn weights(&self, architecture: &Architecture) -> Vec<Weight> {
        weights::collect(self, architecture.parameters())
    }

    /// Logits of a batch.
    ///
    /// `rows` is `[N * L, (2w+1) * n]`: the bottleneck's weight rows of every position (see [`crate::batch`]).
    /// `scale` multiplies their sum before the bias; it is 1 unless hashes were dropped. Returns `[N, C]` for a
    /// sequence head, `[N * L, C]` for a tokens head.
    pub fn forward(&self, rows: Tensor<2, Int>, length: usize, scale: f32) -> Tensor<2> {
        let [positions, _] = rows.dims();
        let mut x = project(self.bottleneck.weight.val(), rows);
        if scale != 1.0 {
            x = x.mul_scalar(scale);
        }
        if let Some(bias) = &self.bottleneck.bias {
            x = x + bias.val().unsqueeze();
        }
        let [_, width] = x.dims();
        let mut x = x.reshape([positions / length, length, width]);
        for mixer in &self.mixers {
            let mixed = mixer.token.forward(mixer.token_norm.forward(x.clone()).swap_dims(1, 2));
            x = x + mixed.swap_dims(1, 2);
            x = x.clone() + mixer.channel.forward(mixer.channel_norm.forward(x));
        }
        match &self.pool {
            Some(pool) => {
                let attention = softmax(pool.score.forward(x.clone()), 1);
                let pooled = (attention * pool.value.forward(x)).sum_dim(1);
                self.head.forward(pooled.reshape([positions / length, width]))
            }
            None => self.head.forward(x.reshape([positions, width])),
        }
    }
}

impl Mlp {
    fn new(loader: &mut Loader<'_>) -> Self {
        Self { up: loader.linear(), down: loader.linear() }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [rows, columns, inputs] = x.dims();
        // One matrix product over all rows is faster than a batch of small ones.
        let x = x.reshape([rows * columns, inputs]);
        let x = self.down.forward(gelu(self.up.forward(x)));
        x.reshape([rows, columns, inputs])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(size: Size, head: Head, classes: usize) -> usize {
        Architecture { size, head, classes }.parameter_count()
    }

    #[test]
    fn sizes_have_the_papers_parameter_counts() {
        // MTOP has 151 slot classes here (papers/pnlp_mixer: 208,279 and 1,156,887 with L = 64).
        assert_eq!(count(Size::X_SMALL, Head::Tokens, 151), 208_279);
        assert_eq!(count(Size::BASE, Head::Tokens, 151), 1_156_887);
        assert_eq!(count(Size::X_LARGE, Head::Tokens, 151), 4_415_895);
        assert_eq!(count(Size::NANO, Head::Sequence, 7), 43_975);
        assert_eq!(count(Size::NANO, Head::Tokens, 72), 44_008);
        assert_eq!(count(Size::NANO, Head::Sequence, 150), 48_694);
        let larger = Size { n: 32, m: 512, length: 48, width: 64, hidden: 128, ..Size::NANO };
        assert_eq!(count(larger, Head::Sequence, 22), 166_710);
    }
}

//! SPACH (arXiv 2108.13002): convolution, attention and a token MLP as spatial mixers in one frame.
//!
//! ```text
//! t = norm(patches of the image, through a linear layer)
//! block:  y = t + gain .* S(norm(t))        S: attention or token MLP over the N tokens; a 'pass' block has y = t
//!         y = y + depthwise3x3(t)
//!         t = y + W2 gelu(W1 norm(y))
//! logits = W mean(norm(t))
//! ```
//!
//! A multi-stage network halves the grid and doubles the width between stages: every 2 x 2 tokens through a linear layer without
//! bias, then a normalisation over the whole map ([`group_norm`]).

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use rand::Rng;

use crate::ops::{Kind, Parameters, Sublayer, depthwise, layer_norm, sublayer};
use crate::weights::{self, Loader, Parameter, Start, Weight};

/// Epsilon of the layer normalisations.
pub const NORM_EPSILON: f32 = 1e-6;
/// Epsilon of the normalisation over a map.
pub const GROUP_NORM_EPSILON: f32 = 1e-5;
/// Start of the gain of a spatial function: a fresh network is nearly one of 'pass' blocks.
const GAIN: f32 = 1e-4;
/// Channels of a pixel.
pub const COLOURS: usize = 3;

/// The spatial function of a block, beside its depthwise convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixer {
    /// None: the "convolution" of the paper.
    Pass,
    /// Multi-head self-attention.
    Attention,
    /// An MLP over the tokens, N to N/2 to N, the same for every channel.
    Mlp,
}

/// A network without its weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Height and width of an image.
    pub image: usize,
    /// Height and width of a patch, P.
    pub patch: usize,
    /// Width of the first stage, C; each further one is twice as wide as the one before.
    pub width: usize,
    /// Width of a head of attention.
    pub head: usize,
    /// Hidden width of the channel MLP as a multiple of its stage's width, r.
    pub ratio: usize,
    /// The blocks of each stage.
    pub stages: Vec<Vec<Mixer>>,
    /// Whether blocks have their depthwise convolution; without is for ablations only.
    pub depthwise: bool,
    /// Number of classes.
    pub classes: usize,
}

/// A block's place: its name, the width and the side of the token grid of its stage.
struct Place {
    path: String,
    width: usize,
    side: usize,
}

impl Architecture {
    /// A network of one stage of equal blocks with the paper's head width of 32.
    pub fn single(
        image: usize,
        patch: usize,
        width: usize,
        ratio: usize,
        blocks: Vec<Mixer>,
        classes: usize,
    ) -> Self {
        Self { image, patch, width, head: 32, ratio, stages: vec![blocks], depthwise: true, classes }
    }

    /// SPACH-T: 32 x 32 images, patches of 4 x 4, so 64 tokens; ratio 2.
    pub fn tiny(width: usize, blocks: Vec<Mixer>) -> Self {
        // 48 channels have no whole number of heads of width 32.
        Self {
            head: if width.is_multiple_of(32) { 32 } else { 16 },
            ..Self::single(32, 4, width, 2, blocks, 10)
        }
    }

    /// Values of a patch.
    pub const fn patch_values(&self) -> usize {
        self.patch * self.patch * COLOURS
    }

    /// Width and side of the token grid of each stage.
    fn shapes(&self) -> impl Iterator<Item = (usize, usize)> {
        let side = self.image / self.patch;
        (0..self.stages.len()).map(move |stage| (self.width << stage, side >> stage))
    }

    /// Width before the classes.
    fn last_width(&self) -> usize {
        self.width << (self.stages.len() - 1)
    }

    /// Name, shape and start of every parameter, in the order of the module's fields.
    pub fn parameters(&self) -> Vec<Parameter> {
        let mut list = Vec::new();
        linear(&mut list, "stem", self.patch_values(), self.width);
        norm(&mut list, "stem", self.width);
        for ((index, blocks), (width, side)) in self.stages.iter().enumerate().zip(self.shapes()) {
            if index > 0 {
                let start = Start::Uniform { inputs: 2 * width };
                list.push((format!("down{index}/w"), vec![2 * width, width], start));
                norm(&mut list, &format!("down{index}"), width);
            }
            for (block, &mixer) in blocks.iter().enumerate() {
                self.block(
                    &mut list,
                    mixer,
                    &Place { path: format!("stage{index}/block{block}"), width, side },
                );
            }
        }
        let width = self.last_width();
        norm(&mut list, "last", width);
        list.push(("head/w".into(), vec![width, self.classes], Start::Zeros));
        list.push(("head/b".into(), vec![self.classes], Start::Zeros));
        list
    }

    fn block(&self, list: &mut Vec<Parameter>, mixer: Mixer, place: &Place) {
        let &Place { ref path, width, side } = place;
        let tokens = side * side;
        let hidden = match mixer {
            Mixer::Pass => None,
            Mixer::Attention => Some((width, 3 * width, width)),
            Mixer::Mlp => Some((tokens, tokens / 2, tokens / 2)),
        };
        if let Some((inputs, inner, last)) = hidden {
            let path = format!("{path}/space");
            norm(list, &path, width);
            linear(list, &format!("{path}/first"), inputs, inner);
            linear(list, &format!("{path}/second"), last, inputs);
            list.push((format!("{path}/gain"), vec![width], Start::Fill(GAIN)));
        }
        if self.depthwise {
            list.push((format!("{path}/depthwise/w"), vec![9, width], Start::Uniform { inputs: 9 }));
            list.push((format!("{path}/depthwise/b"), vec![width], Start::Zeros));
        }
        let path = format!("{path}/channels");
        norm(list, &path, width);
        linear(list, &format!("{path}/first"), width, self.ratio * width);
        linear(list, &format!("{path}/second"), self.ratio * width, width);
    }

    /// How many values all parameters have.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }

    /// Multiplications of products and convolutions for one image.
    pub fn products(&self) -> usize {
        let tokens = |side: usize| side * side;
        let first = tokens(self.image / self.patch) * self.patch_values() * self.width;
        let stages =
            self.stages.iter().zip(self.shapes()).enumerate().map(|(index, (blocks, (width, side)))| {
                let (n, square) = (tokens(side), width * width);
                let down = if index > 0 { n * 2 * square } else { 0 };
                let depthwise = if self.depthwise { 9 * n * width } else { 0 };
                let blocks = blocks.iter().map(|mixer| {
                    let space = match mixer {
                        Mixer::Pass => 0,
                        Mixer::Attention => 4 * n * square + 2 * n * n * width,
                        Mixer::Mlp => n * (n / 2) * 2 * width,
                    };
                    space + depthwise + 2 * self.ratio * n * square
                });
                down + blocks.sum::<usize>()
            });
        first + stages.sum::<usize>() + self.last_width() * self.classes
    }

    /// Fresh weights. The same generator state gives the same weights.
    pub fn start(&self, rng: &mut impl Rng) -> Vec<Weight> {
        weights::start(self.parameters(), rng)
    }

    /// Weights none of which is special: gains of 1 and a head that is not zero, unlike [`Architecture::start`].
    pub fn random(&self, rng: &mut impl Rng) -> Vec<Weight> {
        let mut weights = self.start(rng);
        for weight in &mut weights {
            let (middle, range) = match weight.name.rsplit('/').next() {
                Some("norm_scale" | "gain") => (1.0, 0.3),
                Some("b" | "norm_bias") => (0.0, 0.3),
                _ => (0.0, 1.7 / (weight.shape[0] as f32).sqrt()),
            };
            weight.values.iter_mut().for_each(|value| *value = middle + rng.random_range(-range..range));
        }
        weights
    }
}

fn norm(list: &mut Vec<Parameter>, path: &str, width: usize) {
    list.push((format!("{path}/norm_scale"), vec![width], Start::Ones));
    list.push((format!("{path}/norm_bias"), vec![width], Start::Zeros));
}

fn linear(list: &mut Vec<Parameter>, path: &str, inputs: usize, outputs: usize) {
    list.push((format!("{path}/w"), vec![inputs, outputs], Start::Uniform { inputs }));
    list.push((format!("{path}/b"), vec![outputs], Start::Zeros));
}

/// The network.
#[derive(Module, Debug)]
pub struct Spach {
    stem: Linear,
    stem_norm: Norm,
    stages: Vec<Stage>,
    last: Norm,
    head: Linear,
}

#[derive(Module, Debug)]
struct Norm {
    scale: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Stage {
    down: Option<Down>,
    blocks: Vec<Block>,
}

#[derive(Module, Debug)]
struct Down {
    weight: Param<Tensor<2>>,
    norm: Norm,
}

#[derive(Module, Debug)]
struct Block {
    space: Option<Space>,
    depthwise: Option<Depthwise>,
    norm: Norm,
    first: Linear,
    second: Linear,
}

#[derive(Module, Debug)]
struct Space {
    norm: Norm,
    first: Linear,
    second: Linear,
    gain: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Depthwise {
    filters: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Spach {
    /// The network with the given weights, on `device`.
    ///
    /// # Panics
    /// If the weights are not those of `architecture`, in the order of [`Architecture::parameters`].
    pub fn new(architecture: &Architecture, weights: &[Weight], device: &Device) -> Self {
        let mut loader = Loader::new(&architecture.parameters(), weights, device);
        Self {
            stem: loader.linear(),
            stem_norm: Norm::new(&mut loader),
            stages: architecture
                .stages
                .iter()
                .enumerate()
                .map(|(index, blocks)| Stage {
                    down: (index > 0).then(|| Down { weight: loader.tensor(), norm: Norm::new(&mut loader) }),
                    blocks: blocks
                        .iter()
                        .map(|&mixer| Block::new(&mut loader, mixer, architecture.depthwise))
                        .collect(),
                })
                .collect(),
            last: Norm::new(&mut loader),
            head: loader.linear(),
        }
    }

    /// Logits `[images, classes]` of the patches of images, `[images * N, P * P * 3]`: patches and the pixels of each row by
    /// row, the colours of a pixel together. `architecture` is that of [`Spach::new`].
    pub fn forward(&self, architecture: &Architecture, patches: Tensor<2>) -> Tensor<2> {
        let mut t = self.stem_norm.forward(self.stem.forward(patches));
        for ((stage, mixers), (width, side)) in
            self.stages.iter().zip(&architecture.stages).zip(architecture.shapes())
        {
            if let Some(down) = &stage.down {
                t = down.forward(t, 2 * side);
            }
            for (block, &mixer) in stage.blocks.iter().zip(mixers) {
                let kind = match mixer {
                    Mixer::Attention => {
                        Kind::Attention { tokens: side * side, heads: (width / architecture.head).max(1) }
                    }
                    Mixer::Mlp | Mixer::Pass => Kind::TokenMlp { tokens: side * side },
                };
                t = block.forward(t, kind, side);
            }
        }
        let t = self.last.forward(t);
        let [rows, width] = t.dims();
        let (_, side) = architecture.shapes().last().expect("a stage");
        let images = rows / (side * side);
        let mean = t.reshape([images, side * side, width]).mean_dim(1).reshape([images, width]);
        self.head.forward(mean)
    }
}

impl Norm {
    fn new(loader: &mut Loader<'_>) -> Self {
        Self { scale: loader.tensor(), bias: loader.tensor() }
    }

    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        layer_norm(x, self.scale.val(), self.bias.val(), NORM_EPSILON)
    }
}

impl Block {
    fn new(loader: &mut Loader<'_>, mixer: Mixer, depthwise: bool) -> Self {
        Self {
            space: (mixer != Mixer::Pass).then(|| Space {
                norm: Norm::new(loader),
                first: loader.linear(),
                second: loader.linear(),
                gain: loader.tensor(),
            }),
            depthwise: depthwise.then(|| Depthwise { filters: loader.tensor(), bias: loader.tensor() }),
            norm: Norm::new(loader),
            first: loader.linear(),
            second: loader.linear(),
        }
    }

    fn forward(&self, t: Tensor<2>, kind: Kind, side: usize) -> Tensor<2> {
        let [rows, width] = t.dims();
        let mut y = t.clone();
        if let Some(space) = &self.space {
            let parameters = parameters(&space.norm, &space.first, &space.second, space.gain.val());
            y = sublayer(y, parameters, Sublayer { kind, epsilon: NORM_EPSILON });
        }
        if let Some(depth) = &self.depthwise {
            let map = t.reshape([rows / (side * side), side, side, width]);
            y = y + depthwise(map, depth.filters.val(), depth.bias.val()).reshape([rows, width]);
        }
        let gain = Tensor::ones([width], &y.device());
        let parameters = parameters(&self.norm, &self.first, &self.second, gain);
        sublayer(y, parameters, Sublayer { kind: Kind::FeedForward, epsilon: NORM_EPSILON })
    }
}

fn parameters(norm: &Norm, first: &Linear, second: &Linear, gain: Tensor<1>) -> Parameters {
    let bias = |linear: &Linear| linear.bias.as_ref().expect("linear layers with bias").val();
    Parameters {
        norm_scale: norm.scale.val(),
        norm_bias: norm.bias.val(),
        first: first.weight.val(),
        first_bias: bias(first),
        second: second.weight.val(),
        second_bias: bias(second),
        gain,
    }
}

impl Down {
    /// Every 2 x 2 tokens of grids with `side` tokens a side.
    fn forward(&self, t: Tensor<2>, side: usize) -> Tensor<2> {
        let [rows, width] = t.dims();
        let (images, half) = (rows / (side * side), side / 2);
        let squares = t.reshape([images, half, 2, half, 2, width]).permute([0, 1, 3, 2, 4, 5]);
        let down = squares.reshape([images * half * half, 4 * width]).matmul(self.weight.val());
        group_norm(down, images, self.norm.scale.val(), self.norm.bias.val())
    }
}

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` with mean and variance over all tokens and channels of an image, for `x`
/// `[images * N, C]`.
pub fn group_norm(x: Tensor<2>, images: usize, scale: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    let [rows, width] = x.dims();
    let x = x.reshape([images, rows / images * width]);
    let centred = x.clone() - x.mean_dim(1);
    let deviation = (centred.clone().square().mean_dim(1) + GROUP_NORM_EPSILON).sqrt();
    (centred / deviation).reshape([rows, width]) * scale.unsqueeze::<2>() + bias.unsqueeze::<2>()
}

#[cfg(test)]
mod tests {
    use super::Mixer::{Attention, Mlp, Pass};
    use super::*;
    use burn::tensor::TensorData;

    /// The paper's networks for ImageNet: 224 x 224 images, 1,000 classes.
    fn single(width: usize, blocks: usize, mixer: Mixer, ratio: usize) -> Architecture {
        Architecture::single(224, 16, width, ratio, vec![mixer; blocks], 1000)
    }

    /// Stages of so many blocks; the first stage has too many tokens for anything but 'pass'.
    fn staged(width: usize, depths: [usize; 4], mixer: Mixer, ratio: usize) -> Architecture {
        let mut stages = depths.map(|depth| vec![mixer; depth]);
        stages[0].fill(Pass);
        Architecture {
            stages: stages.to_vec(),
            ..Architecture::single(224, 4, width, ratio, Vec::new(), 1000)
        }
    }

    fn hybrid(width: usize, ratio: usize, second: [usize; 2]) -> Architecture {
        let stage = |[pass, attention]: [usize; 2]| [vec![Pass; pass], vec![Attention; attention]].concat();
        let stages = [[3, 0], second, [2, 10], [1, 2]].map(stage).to_vec();
        Architecture { stages, ..Architecture::single(224, 4, width, ratio, Vec::new(), 1000) }
    }

    #[test]
    fn the_papers_networks_have_its_parameter_counts() {
        const XXS: [usize; 4] = [2, 2, 6, 2];
        const LARGE: [usize; 4] = [3, 4, 12, 3];
        // Millions, to the digits given.
        for (architecture, millions) in [
            (single(384, 12, Pass, 2), 7.8),
            (single(192, 12, Attention, 2), 3.9),
            (single(384, 12, Mlp, 2), 8.3),
            (single(384, 24, Pass, 2), 15.0),
            (single(384, 12, Attention, 2), 14.9),
            (single(384, 24, Mlp, 2), 15.9),
            (single(512, 24, Pass, 3), 38.9),
            (single(512, 12, Attention, 3), 32.5),
            (single(512, 24, Mlp, 3), 39.8),
            (staged(64, XXS, Pass, 2), 5.1),
            (staged(64, XXS, Mlp, 2), 6.6),
            (staged(32, XXS, Attention, 2), 2.4),
            (staged(96, LARGE, Pass, 2), 17.3),
            (staged(96, LARGE, Mlp, 2), 20.3),
            (staged(64, LARGE, Attention, 2), 14.5),
            (staged(128, LARGE, Pass, 3), 43.6),
            (staged(128, LARGE, Mlp, 3), 46.5),
            (staged(96, LARGE, Attention, 3), 39.5),
            (hybrid(96, 2, [4, 0]), 28.0),
            (hybrid(128, 3, [2, 2]), 63.0),
        ] {
            let found = architecture.parameter_count() as f64 / 1e6;
            assert!((found - millions).abs() <= 0.05, "{found} for {millions}: {architecture:?}");
        }
    }

    #[test]
    fn tiny_networks_have_their_sizes() {
        for (width, mixer, parameters, products) in [
            (32, Pass, 29_482, 1.78),
            (32, Attention, 55_402, 4.93),
            (32, Mlp, 55_210, 2.57),
            (48, Pass, 62_650, 3.85),
            (48, Attention, 119_962, 9.75),
            (48, Mlp, 88_666, 5.03),
            (64, Pass, 108_106, 6.71),
            (64, Attention, 209_098, 16.1),
            (64, Mlp, 134_410, 8.28),
        ] {
            let tiny = Architecture::tiny(width, vec![mixer; 6]);
            assert_eq!(tiny.parameter_count(), parameters, "{width} {mixer:?}");
            let found = tiny.products() as f64 / 1e6;
            assert!((found - products).abs() < 0.01 * products, "{found} for {products}");
        }
        let staged = |stages: [&[Mixer]; 4]| {
            let stages = stages.map(<[Mixer]>::to_vec).to_vec();
            Architecture { stages, ..Architecture::single(32, 2, 16, 2, Vec::new(), 10) }
        };
        for (architecture, parameters) in [
            (staged([&[Pass], &[Pass], &[Pass; 2], &[Pass]]), 153_226),
            (staged([&[Pass], &[Attention], &[Attention; 2], &[Attention]]), 257_642),
            (staged([&[Pass], &[Mlp], &[Mlp; 2], &[Mlp]]), 158_864),
            (staged([&[Pass], &[Pass], &[Pass, Attention], &[Attention]]), 236_490),
        ] {
            assert_eq!(architecture.parameter_count(), parameters);
        }
    }

    #[test]
    fn maps_are_normalised_as_a_whole() {
        let device = Device::flex();
        let (images, rows, width) = (2, 6, 5);
        let values: Vec<f32> = (0..rows * width).map(|index| (index as f32 * 0.9).cos() * 3.0).collect();
        let (scale, bias) = ([1.0, -0.5, 2.0, 0.3, 1.5], [0.1, 0.2, -0.3, 0.0, 4.0]);
        let run = |values: &[f32]| -> Vec<f32> {
            let x = Tensor::<2>::from_data(TensorData::new(values.to_vec(), [rows, width]), &device);
            let [scale, bias] = [scale, bias].map(|values| Tensor::<1>::from_floats(values, &device));
            group_norm(x, images, scale, bias).into_data().iter::<f32>().collect()
        };
        let found = run(&values);
        for (image, found) in values.chunks_exact(15).zip(found.chunks_exact(15)) {
            let mean = image.iter().map(|&x| f64::from(x)).sum::<f64>() / 15.0;
            let variance = image.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 15.0;
            for (index, (&x, &found)) in image.iter().zip(found).enumerate() {
                let standard = (f64::from(x) - mean) / (variance + 1e-5).sqrt();
                let expected = standard * f64::from(scale[index % width]) + f64::from(bias[index % width]);
                assert!((expected - f64::from(found)).abs() < 1e-4, "{expected} {found}");
            }
        }
        // Without variance nothing but the bias is left.
        let constant = run(&[7.0; 30]);
        assert!(constant.chunks_exact(width).all(|row| row == bias), "{constant:?}");
    }
}

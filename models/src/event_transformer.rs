//! Event Transformer (arXiv 2204.03355), its causal form: latent vectors attend to the active patches of a window and carry
//! what they saw to the next.
//!
//! One window: tokens `t` of the active patches, memory `m`.
//!
//! ```text
//! e = gelu(t Wp + bp)                    a patch alone
//! x = gelu([e; position] We + be)        a patch at its place
//! x = x + relu(relu(x W1 + b1) W2 + b2)
//! z = cross(m <- x), z = own(z <- z)     every attention sees one learned row more
//! m = norm(m + z)                        carried to the next window
//! logits = relu(mean(relu(m Wm + bm)) Wh + bh) Wo + bo
//! ```
//!
//! What differs from the paper: windows run from the oldest to the newest, the memory is the normalised sum of the later
//! paper (EvT+, arXiv 2211.12222) and so stays in a range that integers hold, and every window has an answer.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor};
use rand::Rng;

use crate::ops::{Layout, attention, gelu, project};
use crate::weights::{self, Loader, Parameter, Start, Weight};

/// Sizes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Width of memory and tokens inside, D.
    pub width: usize,
    /// Width of a patch before its place is known.
    pub projection: usize,
    /// Frequencies of the positions' start values; four values each.
    pub bands: usize,
    /// Rows of the memory, L.
    pub latents: usize,
    /// Heads of every attention.
    pub heads: usize,
    /// Blocks in which the memory attends to itself.
    pub own: usize,
}

impl Size {
    /// The paper's.
    pub const EVT: Self = Self { width: 128, projection: 96, bands: 16, latents: 96, heads: 4, own: 2 };
    /// The variant for microcontrollers.
    pub const TINY: Self = Self { width: 32, projection: 32, bands: 4, latents: 16, heads: 4, own: 1 };

    /// Values of a position.
    pub const fn position(&self) -> usize {
        4 * self.bands
    }
}

/// A network without its weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Its sizes.
    pub size: Size,
    /// Values of a token.
    pub token: usize,
    /// Patches in a row, and rows of patches.
    pub grid: (usize, usize),
    /// Number of classes, C.
    pub classes: usize,
}

impl Architecture {
    /// Name, shape and start of every parameter, in the order of the module's fields.
    pub fn parameters(&self) -> Vec<Parameter> {
        let Size { width, projection, latents, own, .. } = self.size;
        let position = self.size.position();
        let (columns, rows) = self.grid;
        let mut list = Vec::new();
        let linear = |list: &mut Vec<Parameter>, path: String, inputs: usize, outputs: usize| {
            let start = Start::Uniform { inputs };
            list.push((format!("{path}/w"), vec![inputs, outputs], start));
            list.push((format!("{path}/b"), vec![outputs], start));
        };
        let norm = |list: &mut Vec<Parameter>, path: String| {
            list.push((format!("{path}/norm_scale"), vec![width], Start::Ones));
            list.push((format!("{path}/norm_bias"), vec![width], Start::Zeros));
        };
        linear(&mut list, "projection".into(), self.token, projection);
        list.push(("position".into(), vec![columns * rows, position], Start::Waves { columns, rows }));
        linear(&mut list, "embedding".into(), projection + position, width);
        linear(&mut list, "tokens/up".into(), width, width);
        linear(&mut list, "tokens/down".into(), width, width);
        list.push(("memory".into(), vec![latents, width], Start::Uniform { inputs: 1 }));
        let blocks = core::iter::once("cross".to_string()).chain((0..own).map(|index| format!("own{index}")));
        for path in blocks {
            for part in ["rows", "memory"] {
                norm(&mut list, format!("{path}/{part}"));
            }
            for part in ["query", "key", "value", "out"] {
                linear(&mut list, format!("{path}/{part}"), width, width);
            }
            for part in ["extra_key", "extra_value"] {
                list.push((format!("{path}/{part}"), vec![1, width], Start::Uniform { inputs: width }));
            }
            norm(&mut list, format!("{path}/attended"));
            linear(&mut list, format!("{path}/mlp0"), width, width);
            norm(&mut list, format!("{path}/inner"));
            linear(&mut list, format!("{path}/mlp1"), width, width);
            linear(&mut list, format!("{path}/mlp2"), width, width);
        }
        norm(&mut list, "memory".into());
        linear(&mut list, "pool".into(), width, width);
        linear(&mut list, "hidden".into(), width, width);
        linear(&mut list, "head".into(), width, self.classes);
        list
    }

    /// How many values all parameters have.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }

    /// Multiplications of the products for a window of `tokens` tokens, as exported: positions are a table.
    pub const fn products(&self, tokens: usize) -> usize {
        let Size { width, projection, latents, own, .. } = self.size;
        let square = width * width;
        // Queries, the output and the MLP of every block, and keys and values of those that attend to the memory.
        let memory = latents * ((1 + own) * 5 + own * 2 + 1) * square;
        let attention = 2 * latents * width * ((tokens + 1) + own * (latents + 1));
        let rows = tokens * (self.token * projection + projection * width + 4 * square);
        memory + attention + rows + square + width * self.classes
    }

    /// Fresh weights. The same generator state gives the same weights.
    pub fn start(&self, rng: &mut impl Rng) -> Vec<Weight> {
        weights::start(self.parameters(), rng)
    }
}

/// One window of every recording of a batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Tokens of all recordings, `[rows, token]`, at least one row.
    pub tokens: Tensor<2>,
    /// The patch of each row, `[rows, 1]`.
    pub patches: Tensor<2, Int>,
    /// One past the last row of each recording; rows behind the last belong to none.
    pub ends: Vec<usize>,
}

/// The network.
#[derive(Module, Debug)]
pub struct EventTransformer {
    projection: Linear,
    position: Param<Tensor<2>>,
    embedding: Linear,
    up: Linear,
    down: Linear,
    latents: Param<Tensor<2>>,
    cross: Block,
    own: Vec<Block>,
    norm: LayerNorm,
    pool: Linear,
    hidden: Linear,
    head: Linear,
    heads: usize,
}

/// Attention from the memory to rows, then an MLP, both added to their input.
#[derive(Module, Debug)]
struct Block {
    rows: LayerNorm,
    memory: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    extra_key: Param<Tensor<2>>,
    extra_value: Param<Tensor<2>>,
    attended: LayerNorm,
    mlp0: Linear,
    inner: LayerNorm,
    mlp1: Linear,
    mlp2: Linear,
}

impl EventTransformer {
    /// The network with the given weights, on `device`.
    ///
    /// # Panics
    /// If the weights are not those of `architecture`, in the order of [`Architecture::parameters`].
    pub fn new(architecture: &Architecture, weights: &[Weight], device: &Device) -> Self {
        let mut loader = Loader::new(&architecture.parameters(), weights, device);
        Self {
            projection: loader.linear(),
            position: loader.tensor(),
            embedding: loader.linear(),
            up: loader.linear(),
            down: loader.linear(),
            latents: loader.tensor(),
            cross: Block::new(&mut loader),
            own: (0..architecture.size.own).map(|_| Block::new(&mut loader)).collect(),
            norm: loader.norm(),
            pool: loader.linear(),
            hidden: loader.linear(),
            head: loader.linear(),
            heads: architecture.size.heads,
        }
    }

    /// Values of a token.
    pub fn token(&self) -> usize {
        let [token, _] = self.projection.weight.dims();
        token
    }

    /// The memory before the first window, `[recordings * L, D]`.
    pub fn reset(&self, recordings: usize) -> Tensor<2> {
        self.latents.val().repeat_dim(0, recordings)
    }

    /// Takes in the next window of each recording: logits `[recordings, C]`, and the memory `[recordings * L, D]` after it.
    pub fn step(&self, batch: Batch, memory: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let recordings = batch.ends.len();
        let [rows, width] = memory.dims();
        let latents = rows / recordings;

        let patch = gelu(self.projection.forward(batch.tokens));
        let position = project(self.position.val(), batch.patches);
        let x = gelu(self.embedding.forward(Tensor::cat(vec![patch, position], 1)));
        let x = x.clone() + relu(self.down.forward(relu(self.up.forward(x))));

        let mut z = self.cross.forward(x, memory.clone(), Layout { heads: self.heads, ends: batch.ends });
        for block in &self.own {
            z = block.forward(z.clone(), z, Layout::even(self.heads, recordings, latents));
        }
        let memory = self.norm.forward(memory + z);

        let pooled = relu(self.pool.forward(memory.clone())).reshape([recordings, latents, width]);
        let pooled = pooled.mean_dim(1).reshape([recordings, width]);
        (self.head.forward(relu(self.hidden.forward(pooled))), memory)
    }
}

impl Block {
    fn new(loader: &mut Loader<'_>) -> Self {
        Self {
            rows: loader.norm(),
            memory: loader.norm(),
            query: loader.linear(),
            key: loader.linear(),
            value: loader.linear(),
            out: loader.linear(),
            extra_key: loader.tensor(),
            extra_value: loader.tensor(),
            attended: loader.norm(),
            mlp0: loader.linear(),
            inner: loader.norm(),
            mlp1: loader.linear(),
            mlp2: loader.linear(),
        }
    }

    fn forward(&self, rows: Tensor<2>, memory: Tensor<2>, layout: Layout) -> Tensor<2> {
        let rows = self.rows.forward(rows);
        let attended = attention(
            self.query.forward(self.memory.forward(memory.clone())),
            [self.key.forward(rows.clone()), self.value.forward(rows)],
            [self.extra_key.val(), self.extra_value.val()],
            layout,
        );
        let z = memory + self.out.forward(attended);
        let inner = gelu(self.mlp0.forward(self.attended.forward(z.clone())));
        z + self.mlp2.forward(gelu(self.mlp1.forward(self.inner.forward(inner))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_papers_parameter_counts() {
        let evt = Architecture { size: Size::EVT, token: 144, grid: (21, 21), classes: 10 };
        // The published network adds no normalisation to its memory but one in front of the classes.
        assert_eq!(evt.parameter_count(), 493_226);
        let tiny = |token, side, classes| {
            Architecture { size: Size::TINY, token, grid: (side, side), classes }.parameter_count()
        };
        assert_eq!(tiny(64, 9, 10), 25_498);
        assert_eq!(tiny(144, 21, 10), 33_818);
    }

    #[test]
    fn work_grows_with_the_tokens() {
        let tiny = Architecture { size: Size::TINY, token: 64, grid: (9, 9), classes: 10 };
        let [a, b, c] = [0, 1, 2].map(|tokens| tiny.products(tokens));
        // A token: projection 64 x 32, embedding, MLP, key and value 5 x 32 x 32, and 2 x 16 x 32 of attention.
        assert_eq!((b - a, c - b), (8_192, 8_192));
        // The rest: 16 rows through 13 layers of 32 x 32, attention to 1 and 17 rows, and the head.
        assert_eq!(a, 13 * 16 * 1_024 + 2 * 16 * 32 * 18 + 1_024 + 320);
    }
}

//! SCET, the self-calibrated efficient Transformer for super-resolution (arXiv 2204.08913).
//!
//! ```text
//! f = conv3(x)                                      C channels
//! t = scpa(..scpa(f))                               convolutions that a map of their own scales, see [`network`]
//! t = t + mdta(norm(t)), t = t + gdfn(norm(t))      attention between channels, gated feed-forward
//! y = conv3(shuffle(conv3(t))) + conv3(shuffle(f))  deep and shallow up-sampler
//! ```
//!
//! Images are `[N, 3, H, W]` in [0, 1]; the result is `[N, 3, sH, sW]`. [`pytorch`] reads weights under the names of the
//! official repository (github AlexZou14/SCET at 1356aca).

pub mod network;
pub mod pytorch;
mod start;

pub use network::Scet;

use crate::weights::{Parameter, Start};

/// Sizes of the network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// Channels C. A multiple of the heads and of the squared scale.
    pub channels: usize,
    /// SCPA blocks.
    pub blocks: usize,
    /// Heads of the attention between channels.
    pub heads: usize,
    /// Hidden channels of the feed-forward for each of C, rounded down.
    pub expansion: f64,
    /// Up-scaling factor s.
    pub scale: usize,
}

impl Size {
    /// The paper's.
    ///
    /// # Panics
    /// If `scale` is none of 2, 3, 4.
    pub const fn full(scale: usize) -> Self {
        let (channels, heads) = match scale {
            2 | 4 => (64, 8),
            // Divisible by nine.
            3 => (63, 7),
            _ => panic!("the paper has the scales 2, 3 and 4"),
        };
        Self { channels, blocks: 16, heads, expansion: 2.66, scale }
    }

    /// The variant for microcontrollers.
    pub const fn tiny(scale: usize) -> Self {
        Self { channels: 16, blocks: 4, heads: 4, expansion: 2.0, scale }
    }

    /// Channels of each half of a SCPA block.
    pub const fn half(&self) -> usize {
        self.channels / 2
    }

    /// Channels of the feed-forward behind its gate.
    pub fn hidden(&self) -> usize {
        (self.channels as f64 * self.expansion) as usize
    }

    /// Channels at high resolution.
    pub const fn shuffled(&self) -> usize {
        self.channels / (self.scale * self.scale)
    }
}

/// Which of the paper's parts are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The map in [0, 1] that scales each pixel in a SCPA block.
    pub map: bool,
    /// The attention between channels.
    pub attention: bool,
    /// The gated feed-forward.
    pub feed_forward: bool,
}

impl Parts {
    /// The paper's network.
    pub const ALL: Self = Self { map: true, attention: true, feed_forward: true };
}

/// A network without its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Architecture {
    /// Its sizes.
    pub size: Size,
    /// Its parts.
    pub parts: Parts,
}

impl Architecture {
    /// All parts in a size.
    pub const fn new(size: Size) -> Self {
        Self { size, parts: Parts::ALL }
    }

    /// Name, shape and start of every parameter, in the order of the module's fields. Convolutions are
    /// `[outputs, inputs / groups, height, width]`.
    pub fn parameters(&self) -> Vec<Parameter> {
        let Size { channels, blocks, heads, .. } = self.size;
        let (half, hidden, shuffled) = (self.size.half(), self.size.hidden(), self.size.shuffled());
        let mut list = List(Vec::new());
        list.conv("shallow", [channels, 3, 3], true);
        for block in 0..blocks {
            let part = |part: &str| format!("scpa{block}/{part}");
            list.conv(&part("split_a"), [half, channels, 1], false);
            list.conv(&part("split_b"), [half, channels, 1], false);
            list.conv(&part("plain"), [half, half, 3], false);
            if self.parts.map {
                list.conv(&part("map"), [half, half, 1], true);
            }
            list.conv(&part("mapped"), [half, half, 3], false);
            list.conv(&part("calibrated"), [half, half, 3], false);
            list.conv(&part("merge"), [channels, 2 * half, 1], false);
        }
        if self.parts.attention {
            list.norm("mdta", channels);
            list.conv("mdta/qkv", [3 * channels, channels, 1], false);
            list.conv("mdta/local", [3 * channels, 1, 3], false);
            list.conv("mdta/out", [channels, channels, 1], false);
            list.0.push(("mdta/temperature".into(), vec![heads, 1, 1], Start::Ones));
        }
        if self.parts.feed_forward {
            list.norm("gdfn", channels);
            list.conv("gdfn/in", [2 * hidden, channels, 1], false);
            list.conv("gdfn/local", [2 * hidden, 1, 3], false);
            list.conv("gdfn/out", [channels, hidden, 1], false);
        }
        list.conv("deep/up", [channels, channels, 3], true);
        list.conv("deep/image", [3, shuffled, 3], true);
        list.conv("image", [3, shuffled, 3], true);
        list.0
    }

    /// How many values all parameters have.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(|(_, shape, _)| shape.iter().product::<usize>()).sum()
    }

    /// Multiplications of convolutions and matrix products for each pixel of the small image.
    pub fn products(&self) -> usize {
        let Size { channels, heads, scale, .. } = self.size;
        let large = |name: &str| name.ends_with("image/w");
        let convolutions: usize = self
            .parameters()
            .iter()
            .filter(|(name, ..)| name.ends_with("/w"))
            .map(|(name, shape, _)| {
                shape.iter().product::<usize>() * if large(name) { scale * scale } else { 1 }
            })
            .sum();
        let attention = if self.parts.attention { 2 * channels * channels / heads } else { 0 };
        convolutions + attention
    }
}

/// Parameters under construction.
struct List(Vec<Parameter>);

impl List {
    /// A convolution of `size` x `size` taps.
    fn conv(&mut self, path: &str, [outputs, inputs, size]: [usize; 3], bias: bool) {
        let start = Start::Uniform { inputs: inputs * size * size };
        self.0.push((format!("{path}/w"), vec![outputs, inputs, size, size], start));
        if bias {
            self.0.push((format!("{path}/b"), vec![outputs], start));
        }
    }

    fn norm(&mut self, path: &str, channels: usize) {
        self.0.push((format!("{path}/norm_scale"), vec![channels], Start::Ones));
        self.0.push((format!("{path}/norm_bias"), vec![channels], Start::Zeros));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_papers_parameter_counts() {
        let count = |size| Architecture::new(size).parameter_count();
        assert_eq!([2, 3, 4].map(|scale| count(Size::full(scale))), [684_002, 646_353, 683_354]);
        assert_eq!([2, 4].map(|scale| count(Size::tiny(scale))), [15_874, 15_712]);
    }

    #[test]
    fn products_are_those_of_the_papers_table() {
        let products = |size| Architecture::new(size).products();
        assert_eq!(products(Size::full(4)), 686_708);
        assert_eq!([2, 4].map(|scale| products(Size::tiny(scale))), [16_512; 2]);
    }

    #[test]
    fn parts_left_out_take_their_parameters_along() {
        let count = |parts| Architecture { size: Size::tiny(2), parts }.parameter_count();
        assert_eq!(count(Parts { map: false, ..Parts::ALL }), 15_874 - 4 * 72);
        assert_eq!(count(Parts { attention: false, ..Parts::ALL }), 15_874 - 1_492);
        assert_eq!(count(Parts { feed_forward: false, ..Parts::ALL }), 15_874 - 2_144);
    }
}

//! The first layer of a text model without its input: counting-Bloom features times weights is a sum of weight rows, one a
//! fingerprint bin, so neither features nor products exist (pNLP-Mixer, arXiv 2202.04350).
//!
//! Input: bins, u16 `[1, 1, length, n]`, [`crate::text::ABSENT`] in the rows without a word; output `[1, 1, length, h]`.
//! `y[t] = bias + sum over slots s and hashes i of weights[s][bin(t + s - slots / 2, i)]`, over rows with a word only.

use crate::plan::write::{self, Constant};

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct ProjectionParams {
    /// Words in the window, `2 * window + 1`: odd.
    pub slots: u16,
    /// Bins of one word's filter, `m`; larger bins in the input than `m - 1` count as absent.
    pub bins: u16,
    /// `[slots][bins][h]` i8, plain order in every layout.
    pub weights: Constant,
    /// [`super::requant::Channels`] block of `h` channels; the count is in bytes.
    pub channels: Constant,
    /// Smallest output.
    pub min: i32,
    /// Largest output.
    pub max: i32,
}

impl ProjectionParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        write::Params::new()
            .u16(self.slots)
            .u16(self.bins)
            .constant(self.weights.offset, self.weights.count)
            .constant(self.channels.offset, self.channels.count)
            .i32(self.min)
            .i32(self.max)
    }
}

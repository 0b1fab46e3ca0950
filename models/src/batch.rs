//! Sentences as the network takes them.

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use mixel_core::text::TextFrontEnd;

use crate::ops::ABSENT;

/// The bins of one sentence's words, `[words][n]`, at most the front end's length of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Bins, each below `m`.
    pub bins: Vec<u16>,
}

impl Sentence {
    /// Encodes a text.
    pub fn new(front_end: &TextFrontEnd, text: &str) -> Self {
        let mut bins = vec![0; front_end.bins_len()];
        let words = front_end.encode(text.as_bytes(), &mut bins).expect("a buffer of the right length");
        bins.truncate(words.present * front_end.n());
        Self { bins }
    }
}

/// The bottleneck's weight rows of sentences, `[sentences * L, (2w+1) * n]`: for position `t` and window slot `s` those
/// of word `t + s - w`, `s * m + bin` each, [`ABSENT`] where there is no word.
///
/// A bin may be [`Option::None`]: a hash dropped in training.
pub fn rows<'a>(
    front_end: &TextFrontEnd,
    sentences: impl IntoIterator<Item = &'a [Option<u16>]>,
    device: &Device,
) -> Tensor<2, Int> {
    let (n, slots) = (front_end.n(), front_end.slots());
    let mut rows = Vec::new();
    for sentence in sentences {
        for position in 0..front_end.length() {
            for slot in 0..slots {
                let word = (position + slot)
                    .checked_sub(front_end.window())
                    .and_then(|word| sentence.get(word * n..(word + 1) * n));
                let offset = (slot * front_end.m()) as i32;
                match word {
                    Some(bins) => {
                        rows.extend(bins.iter().map(|bin| bin.map_or(ABSENT, |bin| offset + i32::from(bin))))
                    }
                    None => rows.extend(core::iter::repeat_n(ABSENT, n)),
                }
            }
        }
    }
    let shape = [rows.len() / (slots * n), slots * n];
    Tensor::from_data(TensorData::new(rows, shape), (device, DType::I32))
}

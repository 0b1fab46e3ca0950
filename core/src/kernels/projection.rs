//! The first layer of a text model without its input: counting-Bloom features times weights is a sum of weight rows, one a
//! fingerprint bin, so neither features nor products exist (pNLP-Mixer, arXiv 2202.04350).
//!
//! Input: bins, u16 `[1, 1, length, n]`, [`crate::text::ABSENT`] in the rows without a word; output `[1, 1, length, h]`.
//! `y[t] = bias + sum over slots s and hashes i of weights[s][bin(t + s - slots / 2, i)]`, over rows with a word only.

use super::requant::{Channels, Clamp, Quantized};
use super::{Kernel, OpKind, Run};
use crate::arch::product::{CHANNELS, LANES, add, finish};
use crate::arch::view::{In, Out};
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Tensor};
use crate::text::ABSENT;

/// The operator, with int8 output.
pub struct Projection;

/// The operator with 16-bit output.
pub struct Projection16;

/// The parameters as the plan stores them.
#[derive(Clone, Copy, Debug)]
pub struct ProjectionParams {
    /// Words in the window, `2 * window + 1`: odd.
    pub slots: u16,
    /// Bins of one word's filter, `m`; larger bins in the input than `m - 1` count as absent.
    pub bins: u16,
    /// `[slots][bins][h]` i8, plain order in every layout; of [`super::ProjectionInt4`] rows of `h` in
    /// [`crate::pack::Int4Order::WORDS`]. The count is in bytes.
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
            .range(self.min, self.max)
    }
}

pub(super) struct Layer<'p> {
    pub slots: usize,
    pub bins: usize,
    pub weights: In<'p, i8>,
    pub channels: Channels<'p>,
    pub clamp: Clamp,
}

impl<'p> Layer<'p> {
    pub fn read(operator: &Operator<'p>, output: &Tensor) -> Option<Self> {
        let mut cursor = operator.params();
        let (slots, bins) = (cursor.short() as usize, cursor.short() as usize);
        let weights = operator.constant(&mut cursor);
        let channels = Channels::read(operator, &mut cursor, output.inner());
        let clamp = Clamp::read(&mut cursor, output.zero_point);
        cursor.finished().then_some(Self { slots, bins, weights, channels, clamp })
    }

    /// Whether all fits, with `row_bytes` for the weights of one bin.
    pub fn check<Y: Quantized>(
        operator: &Operator<'p>,
        dtype: DType,
        row_bytes: fn(usize) -> usize,
    ) -> Result<Self, Fault> {
        let (input, output) = operator.unary()?;
        if (input.dtype, output.dtype) != (DType::U16, dtype) {
            return Err(Fault::Types);
        }
        if input.dims[..3] != output.dims[..3] || input.dims[..2] != [1, 1] {
            return Err(Fault::Shapes);
        }
        if input.dynamic != output.dynamic || input.dynamic & 0b1011 != 0 {
            return Err(Fault::Dynamic);
        }
        let layer = Self::read(operator, &output).ok_or(Fault::Params)?;
        if layer.slots.is_multiple_of(2) || layer.bins == 0 || !layer.clamp.valid::<Y>() {
            return Err(Fault::Params);
        }
        let size = (layer.slots * layer.bins).checked_mul(row_bytes(output.inner()));
        let complete = size == Some(layer.weights.len()) && layer.channels.valid(output.inner());
        if complete { Ok(layer) } else { Err(Fault::Constants) }
    }

    fn run<Y: Quantized>(run: &Run<'p>) {
        let Ok((input, output)) = run.operator().unary() else { return };
        let Some(layer) = Self::read(run.operator(), &output) else { return };
        let (x, y) = (run.read::<u16>(&input), run.write::<Y>(&output));
        let [_, _, words, hashes] = input.dims_with(run.rows());
        let width = output.inner();
        for word in 0..words {
            let (x, y) = (x.window(0, words * hashes), y.window(word * width, width));
            let mut channel = 0;
            while channel < width {
                channel += if channel + CHANNELS <= width {
                    layer.sum::<Y, CHANNELS>(x, hashes, word, channel, y)
                } else if channel + LANES <= width {
                    layer.sum::<Y, LANES>(x, hashes, word, channel, y)
                } else {
                    layer.sum::<Y, 1>(x, hashes, word, channel, y)
                };
            }
        }
    }

    /// Calls `add` with every slot of one word's output that is there, and the bins of its word.
    #[inline(always)]
    fn each_slot(
        &self,
        (x, hashes): (In<'p, u16>, usize),
        word: usize,
        mut add: impl FnMut(usize, In<'p, u16>),
    ) {
        for slot in 0..self.slots {
            let Some(seen) = (word + slot).checked_sub(self.slots / 2) else { continue };
            let row = x.window(seen.saturating_mul(hashes), hashes);
            if !row.is_empty() && row.get(0) != ABSENT {
                add(slot, row);
            }
        }
    }

    /// Calls `add` with the number of every weight row that belongs to one word's output.
    #[inline(always)]
    pub fn each_row(&self, x: (In<'p, u16>, usize), word: usize, mut add: impl FnMut(usize)) {
        self.each_slot(x, word, |slot, row| {
            for hash in 0..row.len() {
                let bin = row.get(hash) as usize;
                if bin < self.bins {
                    add(slot * self.bins + bin);
                }
            }
        });
    }

    /// Outputs `channel .. channel + L` of one word; gives `L`.
    fn sum<Y: Quantized, const L: usize>(
        &self,
        x: In<'_, u16>,
        hashes: usize,
        word: usize,
        channel: usize,
        y: Out<'_, Y>,
    ) -> usize {
        let mut sums = [0i32; L];
        let width = y.len();
        let weights = self.weights.window(channel, self.weights.len());
        self.each_slot((x, hashes), word, |slot, row| {
            let start = slot * self.bins * width;
            add(&mut sums, (row, self.bins), (weights.window(start, self.bins * width), width));
        });
        let place = y.window(channel, L);
        if finish(&sums, &self.channels.window(channel, L), self.clamp, place.cast(), size_of::<Y>() == 1) {
            return L;
        }
        for (lane, sum) in sums.into_iter().enumerate() {
            y.set(channel + lane, self.channels.finish(channel + lane, sum, self.clamp));
        }
        L
    }
}

impl Kernel for Projection {
    const KIND: OpKind = OpKind::Projection;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        Layer::check::<i8>(operator, DType::I8, |width| width).map(drop)
    }

    fn run(run: &Run<'_>) {
        Layer::run::<i8>(run);
    }
}

impl Kernel for Projection16 {
    const KIND: OpKind = OpKind::Projection16;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        Layer::check::<i16>(operator, DType::I16, |width| width).map(drop)
    }

    fn run(run: &Run<'_>) {
        Layer::run::<i16>(run);
    }
}

/// The specification, in the words of the paper: features `[slot][bin]` counted first, then a matrix product with
/// `weights`, `[slots][bins][h]`. `features` is room for `slots * bins` counts.
pub fn reference<Y: Quantized>(
    (x, hashes): (&[u16], usize),
    (weights, slots, bins): (&[i8], usize, usize),
    channels: &Channels<'_>,
    clamp: Clamp,
    features: &mut [i32],
    y: &mut [Y],
) {
    let width = channels.bias.len();
    let words = x.len() / hashes;
    for (word, y) in y.chunks_exact_mut(width).enumerate() {
        features.fill(0);
        for slot in 0..slots {
            let seen = (word + slot).wrapping_sub(slots / 2);
            if seen < words && x[seen * hashes] != ABSENT {
                for &bin in &x[seen * hashes..][..hashes] {
                    if (bin as usize) < bins {
                        features[slot * bins + bin as usize] += 1;
                    }
                }
            }
        }
        for (channel, y) in y.iter_mut().enumerate() {
            let products = features.iter().zip(weights[channel..].iter().step_by(width));
            let sum = products.map(|(count, &weight)| count * weight as i32).sum();
            *y = channels.finish(channel, sum, clamp);
        }
    }
}

//! Attention between the channels of an image instead of its positions (transposed attention of Restormer and SCET): how
//! alike every two channels of a head are over all positions, as a cosine, and its softmax.
//!
//! Two operators. [`Gram`] adds up products over positions, so that an image may come in strips of rows; nothing is rounded. Then
//! [`CosineSoftmax`] divides by the norms, once an image. Normalised tensors exist nowhere, and the scales of queries and
//! keys cancel.

use super::fixed::{power_of_half, reciprocal_root};
use super::requant::{Clamp, Scale};
use super::softmax::{self, Divisor};
use super::{Kernel, OpKind, Run};
use crate::arch::planes::{self, POSITIONS, products, spread, squares};
use crate::arch::view::{In, Out};
use crate::plan::cursor::Cursor;
use crate::plan::write::{self, Constant};
use crate::plan::{DType, Fault, Operator, Tensor};

/// Products of queries and keys `[1, h, w, c]`, int8, summed over positions: for every channel i the products with the
/// `d` key channels of its head, then the square of query i, then that of key i, as `[1, c, d + 2, 2]` int32 of which two are
/// the low and the high word of a sum. In strips, rows add to those before.
///
/// No parameters: `d` is what the output's shape says.
pub struct Gram;

/// Softmax over the cosines of each channel: from the sums of [`Gram`] to `[1, 1, c, c]` int8 with zeros between channels of
/// different heads. The second operand, transposed, of the product with the values.
pub struct CosineSoftmax;

/// Numbers behind the products of a channel: two squares.
const SQUARES: usize = 2;
/// Words of a sum.
const WORDS: usize = 2;

/// Channels and channels of a head that sums of this shape are for.
fn channels(sums: &Tensor) -> Result<(usize, usize), Fault> {
    let [images, channels, numbers, words] = sums.dims.map(|dim| dim as usize);
    let width = numbers.checked_sub(SQUARES).filter(|&width| width > 0).ok_or(Fault::Shapes)?;
    let fits = images == 1 && words == WORDS && channels.is_multiple_of(width) && sums.dynamic == 0;
    match (fits, sums.dtype) {
        (_, dtype) if dtype != DType::I32 => Err(Fault::Types),
        (true, _) => Ok((channels, width)),
        (false, _) => Err(Fault::Shapes),
    }
}

impl Kernel for Gram {
    const KIND: OpKind = OpKind::Gram;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (q, k, sums) = operator.binary()?;
        let (channels, _) = channels(&sums)?;
        if q.dtype != DType::I8 || k.dtype != DType::I8 {
            return Err(Fault::Types);
        }
        let [images, _, _, inner] = q.dims.map(|dim| dim as usize);
        let same = q.dims == k.dims && images == 1 && inner == channels && q.dynamic | k.dynamic == 0;
        match (same, operator.params().finished()) {
            (true, true) => Ok(()),
            (false, _) => Err(Fault::Shapes),
            (true, false) => Err(Fault::Params),
        }
    }

    fn macs(operator: &Operator<'_>) -> u64 {
        let (Ok(q), Ok(sums)) = (operator.input(0), operator.output(0)) else { return 0 };
        q.elements() as u64 * sums.dims[2] as u64
    }

    fn scratch(operator: &Operator<'_>) -> usize {
        operator.input(0).map_or(0, |q| 2 * plane_bytes(q.inner()))
    }

    fn run(run: &Run<'_>) {
        let Ok((q, k, sums)) = run.operator().binary() else { return };
        let Ok((channels, width)) = channels(&sums) else { return };
        let zeros = [q.zero_point, k.zero_point];
        let positions = q.outer();
        let planes = plane_bytes(channels);
        let (q, k, sums) = (run.read::<i8>(&q), run.read::<i8>(&k), run.write::<i32>(&sums));
        let scratch = [0, planes].map(|from| run.scratch::<u32>(from, planes / 4));
        if !run.operator().resumed() {
            sums.fill(0);
        }
        #[cfg(mixel_helium)]
        if crate::arch::helium::gram::sums([q, k], zeros, [channels, width], |channel, number, sum| {
            planes::add(sums, WORDS * (channel * (width + SQUARES) + number), sum);
        }) {
            return;
        }
        let mut from = 0;
        while from < positions {
            let count = POSITIONS.min(positions - from);
            for ((x, zero), planes) in [q, k].into_iter().zip(zeros).zip(scratch) {
                spread(x.window(from * channels, count * channels), channels, zero, planes);
            }
            let block = Block {
                planes: scratch.map(|planes| planes.reader()),
                words: count.div_ceil(2),
                width,
                sums,
            };
            for head in (0..channels).step_by(width) {
                for query in (0..width).step_by(2) {
                    block.queries(head, query);
                }
            }
            for side in [0, 1] {
                let rest = channels & !3;
                (0..rest).step_by(4).for_each(|channel| block.squares::<4>(side, channel));
                (rest..channels).for_each(|channel| block.squares::<1>(side, channel));
            }
            from += count;
        }
    }
}

/// Positions whose products are added to the sums.
struct Block<'a> {
    /// Planes of queries and of keys.
    planes: [In<'a, u32>; 2],
    /// Words of a plane that are set.
    words: usize,
    /// Channels of a head.
    width: usize,
    sums: Out<'a, i32>,
}

impl Block<'_> {
    fn plane(&self, side: usize, channel: usize) -> In<'_, u32> {
        let [queries, keys] = self.planes;
        let planes = if side == 0 { queries } else { keys };
        planes.window(channel * planes::WORDS, planes.len())
    }

    fn add(&self, channel: usize, number: usize, value: i32) {
        let number = channel * (self.width + SQUARES) + number;
        planes::add(self.sums, WORDS * number, value);
    }

    /// The products of two queries, or of the last one, with the keys of their head.
    fn queries(&self, head: usize, query: usize) {
        let (two, mut key) = (query + 2 <= self.width, 0);
        while key < self.width {
            let four = key + 4 <= self.width;
            match (two, four) {
                (true, true) => self.products::<2, 4>(head, query, key),
                (true, false) => self.products::<2, 1>(head, query, key),
                (false, true) => self.products::<1, 4>(head, query, key),
                (false, false) => self.products::<1, 1>(head, query, key),
            }
            key += if four { 4 } else { 1 };
        }
    }

    fn products<const Q: usize, const K: usize>(&self, head: usize, query: usize, key: usize) {
        let sums: [[i32; K]; Q] =
            products(self.plane(0, head + query), self.plane(1, head + key), self.words);
        for (at, sums) in sums.into_iter().enumerate() {
            sums.into_iter().enumerate().for_each(|(of, sum)| self.add(head + query + at, key + of, sum));
        }
    }

    fn squares<const N: usize>(&self, side: usize, channel: usize) {
        let sums: [i32; N] = squares(self.plane(side, channel), self.words);
        sums.into_iter().enumerate().for_each(|(at, sum)| self.add(channel + at, self.width + side, sum));
    }
}

/// Bytes of the planes of one side.
fn plane_bytes(channels: usize) -> usize {
    channels * POSITIONS * 2
}

fn read(row: In<'_, i32>, number: usize) -> i64 {
    (row.get(WORDS * number) as u32 as i64) | (row.get(WORDS * number + 1) as i64) << 32
}

/// The parameters of [`CosineSoftmax`] as the plan stores them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CosineSoftmaxParams {
    /// i32 `round(2^16 * temperature * log2(e))` for every head.
    pub temperatures: Constant,
    /// One by the scale of the output, shift at least 3, as in [`super::softmax::SoftmaxParams`].
    pub scale: Scale,
}

impl CosineSoftmaxParams {
    /// The bytes that the operator reads.
    pub fn encode(&self) -> write::Params {
        let params = write::Params::new().constant(self.temperatures.offset, self.temperatures.count);
        self.scale.encode(params)
    }

    fn read(mut cursor: Cursor<'_>) -> Option<Self> {
        let params = Self { temperatures: Constant::read(&mut cursor), scale: Scale::read(&mut cursor) };
        cursor.finished().then_some(params)
    }
}

/// Partners of a channel whose logits are computed once; those of more are computed wherever they are needed.
const KNOWN: usize = 16;
/// Largest temperature in the plan's steps, in size: 2^12 log2(e).
const HOTTEST: u32 = 1 << 29;
/// Fraction bits of a temperature, of a cosine, and of their product.
const TEMPERATURE_BITS: u32 = 16;
const COSINE_BITS: u32 = 30;
const PRODUCT_BITS: u32 = super::fixed::POWER_BITS;

impl Kernel for CosineSoftmax {
    const KIND: OpKind = OpKind::CosineSoftmax;

    fn check(operator: &Operator<'_>) -> Result<(), Fault> {
        let (sums, y) = operator.unary()?;
        let (channels, width) = channels(&sums)?;
        let params = CosineSoftmaxParams::read(operator.params()).ok_or(Fault::Params)?;
        if y.dtype != DType::I8 {
            return Err(Fault::Types);
        }
        if y.dims.map(|dim| dim as usize) != [1, 1, channels, channels] || y.dynamic != 0 {
            return Err(Fault::Shapes);
        }
        if params.scale.multiplier <= 0 || !(3..=62).contains(&params.scale.shift) {
            return Err(Fault::Params);
        }
        let temperatures = operator.slice::<i32>(params.temperatures);
        let complete = temperatures.len() == channels / width;
        let fit = (0..temperatures.len()).all(|head| temperatures.get(head).unsigned_abs() <= HOTTEST);
        if complete && fit { Ok(()) } else { Err(Fault::Constants) }
    }

    fn run(run: &Run<'_>) {
        let Ok((sums, y)) = run.operator().unary() else { return };
        let Ok((channels, width)) = channels(&sums) else { return };
        let Some(params) = CosineSoftmaxParams::read(run.operator().params()) else { return };
        let temperatures = run.operator().slice::<i32>(params.temperatures);
        let (min, max) = y.dtype.range();
        let clamp = Clamp { zero_point: y.zero_point, min, max };
        let (sums, y) = (run.read::<i32>(&sums), run.write::<i8>(&y));
        y.fill(clamp.limit32(0) as i8);
        let numbers = (width + SQUARES) * WORDS;
        let row = |channel: usize| sums.window(channel * numbers, numbers);
        for channel in 0..channels {
            let (head, own) = (channel / width, row(channel));
            let query = read(own, width) as u64;
            let compute = |partner: usize| {
                let key = read(row(head * width + partner), width + 1) as u64;
                logit(cosine(read(own, partner), query, key), temperatures.get(head))
            };
            let mut first = [0; KNOWN];
            first.iter_mut().take(width).enumerate().for_each(|(partner, logit)| *logit = compute(partner));
            let logit = |partner: usize| first.get(partner).copied().unwrap_or_else(|| compute(partner));
            let largest = (0..width).fold(i64::MIN, |largest, partner| largest.max(logit(partner)));
            let weight = |partner: usize| power_of_half(largest.wrapping_sub(logit(partner)) as u64);
            let sum = (0..width).fold(0u64, |sum, partner| sum.wrapping_add(weight(partner) as u64));
            let divisor = Divisor::new(0, sum, params.scale);
            let y = y.window(channel * channels + head * width, width);
            (0..width).for_each(|partner| y.set(partner, divisor.apply(weight(partner), clamp) as i8));
        }
    }
}

/// `product / sqrt(query * key)` with [`COSINE_BITS`] fraction bits, good to 26; 0 for a channel of zeros.
fn cosine(product: i64, query: u64, key: u64) -> i32 {
    let ((a, a_exponent), (b, b_exponent)) = (reciprocal_root(query), reciprocal_root(key));
    // The product of the roots has 31 bits; of what they divide the upper 31 are kept.
    let inverse = (a as i64 * b as i64) >> 31;
    let excess = 33u32.saturating_sub(product.unsigned_abs().leading_zeros());
    let exponent = (a_exponent as u32 + b_exponent as u32).saturating_sub(31 + COSINE_BITS + excess);
    let cosine = ((product >> excess) * inverse).wrapping_shr(exponent);
    cosine.clamp(-1 << COSINE_BITS, 1 << COSINE_BITS) as i32
}

/// The power of two that stands for a cosine, with [`PRODUCT_BITS`] fraction bits.
fn logit(cosine: i32, temperature: i32) -> i64 {
    (cosine as i64 * temperature as i64) >> (COSINE_BITS + TEMPERATURE_BITS - PRODUCT_BITS)
}

/// The specification of [`Gram`]: the numbers of each channel, one after the other.
pub fn gram_reference(q: &[i8], k: &[i8], channels: usize, width: usize, zeros: [i32; 2], sums: &mut [i64]) {
    let sum = |a: (&[i8], usize, i32), b: (&[i8], usize, i32)| -> i64 {
        let side = |(x, channel, zero): (&[i8], usize, i32), at: usize| {
            (x[at * channels + channel] as i32 - zero) as i64
        };
        (0..a.0.len() / channels).map(|at| side(a, at) * side(b, at)).sum()
    };
    for (channel, row) in sums.chunks_exact_mut(width + SQUARES).enumerate() {
        let head = channel / width * width;
        let (query, key) = ((q, channel, zeros[0]), (k, channel, zeros[1]));
        for (partner, value) in row.iter_mut().take(width).enumerate() {
            *value = sum(query, (k, head + partner, zeros[1]));
        }
        row[width] = sum(query, query);
        row[width + 1] = sum(key, key);
    }
}

/// The specification of [`CosineSoftmax`] for one channel: `numbers` are its sums, `keys` the squares of the key channels of its
/// head. The quotients are those of every softmax.
pub fn cosine_softmax_reference(
    numbers: &[i64],
    keys: &[i64],
    temperature: i32,
    (scale, clamp): (Scale, Clamp),
    y: &mut [i32],
) {
    let width = keys.len();
    let logit = |partner: usize| {
        logit(cosine(numbers[partner], numbers[width] as u64, keys[partner] as u64), temperature)
    };
    let largest = (0..width).map(logit).max().unwrap_or(0);
    let weight = |partner: usize| power_of_half((largest - logit(partner)) as u64);
    softmax::quotients_reference(weight, scale, clamp, y);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four channels, two heads, against real numbers.
    #[test]
    fn attention_is_the_softmax_of_cosines() {
        let (channels, width, positions) = (4, 2, 500);
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as i8
        };
        let q: [i8; 2000] = core::array::from_fn(|_| random());
        // Keys that are like queries, more or less, and a channel of zeros.
        let k: [i8; 2000] = core::array::from_fn(|at| match at % channels {
            0 => q[at] / 2,
            1 => 5,
            2 => q[at].saturating_add(random() / 2),
            _ => q[at - 1].saturating_neg(),
        });
        let zeros = [-3, 5];
        let mut sums = [0i64; 16];
        gram_reference(&q, &k, channels, width, zeros, &mut sums);
        let real = |x: &[i8], channel: usize, zero: i32| -> [f64; 500] {
            core::array::from_fn(|at| f64::from(x[at * channels + channel] as i32 - zero))
        };
        let dot = |a: [f64; 500], b: [f64; 500]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        assert_eq!(positions * channels, q.len());
        for (temperature, channel) in [(0.7, 0), (8.0, 1), (30.0, 2), (-4.0, 3)].into_iter() {
            let head = channel / width * width;
            let query = real(&q, channel, zeros[0]);
            let powers = [0, 1].map(|partner| {
                let key = real(&k, head + partner, zeros[1]);
                let norms = (dot(query, query) * dot(key, key)).sqrt();
                (temperature * dot(query, key) / norms.max(1e-12)).exp()
            });
            let numbers = &sums[channel * 4..][..4];
            let keys = [sums[head * 4 + 3], sums[(head + 1) * 4 + 3]];
            let steps = (temperature * core::f64::consts::LOG2_E * 65_536.0).round() as i32;
            let clamp = Clamp { zero_point: -128, min: -128, max: 127 };
            let mut y = [0; 2];
            let scale = Scale { multiplier: 1 << 30, shift: 22 };
            cosine_softmax_reference(numbers, &keys, steps, (scale, clamp), &mut y);
            for (y, power) in y.iter().zip(powers) {
                let exact = (power / powers.iter().sum::<f64>() * 256.0 - 128.0).min(127.0);
                assert!((f64::from(*y) - exact).abs() <= 0.501, "channel {channel}: {y} instead of {exact}");
            }
        }
    }

    #[test]
    fn cosines_have_26_bits_at_all_sizes() {
        for bits in 0..40 {
            for (query, key) in
                [(1u64 << bits, 3 << bits), (7 << bits, 1 << (bits / 2)), (1 << (2 * bits / 3), 9)]
            {
                let most = ((query as f64) * (key as f64)).sqrt();
                for share in [1.0, 0.6, -0.25, -1.0] {
                    let product = (share * most) as i64;
                    let exact = product as f64 / most * 2f64.powi(30);
                    let found = f64::from(cosine(product, query, key));
                    assert!((found - exact).abs() <= 16.0, "{product} {query} {key}: {found}, {exact}");
                }
            }
        }
        assert_eq!(cosine(0, 0, 0), 0);
    }
}

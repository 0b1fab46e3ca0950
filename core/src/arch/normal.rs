//! Loops over int8 rows of layer norm and softmax for machines that have a shorter way than the common one: none or false, with
//! nothing done, on others.

#![allow(unsafe_code)]

use super::Backend;
use super::view::{In, Out};
#[cfg(all(mixel_dsp, not(mixel_helium)))]
use crate::kernels::fixed::high;
use crate::kernels::requant::Clamp;
#[cfg(all(mixel_dsp, not(mixel_helium)))]
use crate::kernels::requant::round_shift32;

/// Gains and offsets of channels, and what a row's elements are normalised with.
pub struct Affine<'a> {
    /// The instructions to use.
    pub backend: Backend,
    /// Gain of every channel.
    pub gamma: In<'a, i32>,
    /// Offset of every channel.
    pub beta: In<'a, i32>,
    /// Fraction bits, 1 to 30.
    pub shift: u8,
    /// Zero point and range of the results.
    pub clamp: Clamp,
    /// Factor of the elements, what is taken from that, and the factor of the difference, of which the upper half counts.
    pub standard: [i32; 3],
}

/// What all rows of a layer norm have in common (see `NormParams`).
pub struct Rows<'a> {
    /// Elements of a row.
    pub n: usize,
    /// Gain of every element.
    pub gamma: In<'a, i32>,
    /// Offset of every element.
    pub beta: In<'a, i32>,
    /// Fraction bits of gain and offset, 1 to 30.
    pub shift: u8,
    /// Zero point and range of the results.
    pub clamp: Clamp,
    /// What is added to `n^2` times the variance, which has `fraction` fraction bits.
    pub epsilon: u64,
    /// An even number, at most 40.
    pub fraction: u8,
    /// Fraction bits of a normalised element.
    pub z_bits: u8,
}

/// Normalises the first of the rows of `x`: how many. `y` is as long and may lie on top of `x`, or begin in front of it.
#[inline]
pub fn rows(x: In<'_, i8>, y: Out<'_, i8>, rows: &Rows<'_>) -> usize {
    #[cfg(mixel_helium)]
    if x.len() == y.len() && [rows.gamma.len(), rows.beta.len()] == [rows.n; 2] {
        return super::helium::normal::rows(x, y, rows);
    }
    let Rows { n, gamma, beta, shift, clamp, epsilon, fraction, z_bits } = rows;
    let _ = (x, y, n, gamma, beta, shift, clamp, epsilon, fraction, z_bits);
    0
}

/// Tables of a softmax: weights of the low and of the high part of a difference.
pub struct Weights<'a> {
    /// The instructions to use.
    pub backend: Backend,
    /// 16 entries.
    pub low: In<'a, u32>,
    /// 1 to 16 entries; the weight of what is beyond them is 0.
    pub high: In<'a, u32>,
}

/// [`Weights`] in registers: each loop is a function by itself, so that all it needs has its place there.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
#[derive(Clone, Copy)]
struct Tables<'a> {
    low: &'a [u32; 16],
    high: In<'a, u32>,
}

#[cfg(all(mixel_dsp, not(mixel_helium)))]
impl<'a> Tables<'a> {
    #[inline(always)]
    fn of(weights: &Weights<'a>) -> Option<Self> {
        // SAFETY: there are as many.
        let low = (weights.low.len() == 16).then(|| unsafe { &*weights.low.as_ptr().cast() })?;
        Some(Self { low, high: weights.high })
    }

    /// The weight of a difference, 0 to 255.
    #[inline(always)]
    fn weight(self, difference: i32) -> u32 {
        let difference = difference as u32 as usize;
        let parts = u64::from(self.low[difference & 15]) * u64::from(self.high.get(difference >> 4));
        (parts >> 32) as u32
    }

    #[inline(never)]
    fn sum(self, x: In<'_, i8>) -> (i32, u64) {
        let max = i32::from(largest_of_words(x));
        let weight = |index: usize| {
            // SAFETY: the index is below the length.
            u64::from(self.weight(max - i32::from(unsafe { x.get_unchecked(index) })))
        };
        (max, (0..x.len()).map(weight).sum())
    }

    #[inline(never)]
    fn quotients(self, x: In<'_, i8>, y: Out<'_, i8>, (max, factor, shift): (i32, i32, u8), zero_point: i32) {
        let clamp = Clamp::full::<i8>(zero_point);
        for index in 0..x.len().min(y.len()) {
            // SAFETY: the index is below both lengths.
            unsafe {
                let weight = self.weight(max - i32::from(x.get_unchecked(index)));
                let quotient = round_shift32(high(weight as i32, factor), shift - 32);
                *y.as_mut_ptr().add(index) = clamp.limit32(quotient) as i8;
            }
        }
    }
}

/// Sum and sum of squares of at most 2^16 elements.
#[inline]
pub fn moments(x: In<'_, i8>) -> Option<(i32, i32)> {
    #[cfg(mixel_helium)]
    if x.len() <= 1 << 16 {
        return Some(super::helium::normal::moments(x));
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if x.len() <= 1 << 16 {
        return Some(moments_of_words(x));
    }
    #[cfg(not(target_os = "none"))]
    if x.len() <= 1 << 16 {
        return Some(moments_of_bytes(x));
    }
    let _ = x;
    None
}

/// A loop that the compiler makes vectors of.
#[cfg(not(target_os = "none"))]
fn moments_of_bytes(x: In<'_, i8>) -> (i32, i32) {
    let (mut sum, mut squares) = (0, 0);
    for index in 0..x.len() {
        // SAFETY: index is below the length.
        let x = i32::from(unsafe { x.get_unchecked(index) });
        (sum, squares) = (sum + x, squares + x * x);
    }
    (sum, squares)
}

/// The largest of all, four at a time.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
#[inline(always)]
fn largest_of_words(x: In<'_, i8>) -> i8 {
    let words = x.len() / 4;
    let four = (0..words).fold(u32::from_ne_bytes([i8::MIN as u8; 4]), |four, index| {
        // SAFETY: all of the word lies in the window; these processors have words at any address.
        super::dsp::lanes::larger(unsafe { x.as_ptr().cast::<u32>().add(index).read_unaligned() }, four)
    });
    let two = super::dsp::lanes::larger(four, four >> 16);
    let one = super::dsp::lanes::larger(two, two >> 8) as i8;
    (words * 4..x.len()).fold(one, |max, index| max.max(x.get(index)))
}

/// Four elements at a time: 2 widenings and 4 dual multiplications.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
#[inline(always)]
fn moments_of_words(x: In<'_, i8>) -> (i32, i32) {
    use super::dsp::lanes::{dot, even, odd};
    let (mut sum, mut squares, words) = (0, 0, x.len() / 4);
    for index in 0..words {
        // SAFETY: all of the word lies in the window; these processors have words at any address.
        let word = unsafe { x.as_ptr().cast::<u32>().add(index).read_unaligned() };
        let (even, odd) = (even(word), odd(word));
        sum = dot(odd, 0x1_0001, dot(even, 0x1_0001, sum));
        squares = dot(odd, odd, dot(even, even, squares));
    }
    (words * 4..x.len())
        .map(|index| x.get(index) as i32)
        .fold((sum, squares), |(sum, squares), x| (sum + x, squares + x * x))
}

/// `clamp(zero point + round((high(high(factor * x - sum, inverse), gamma) + beta) / 2^shift))` of as many elements as `y` takes.
#[inline]
pub fn affine(x: In<'_, i8>, y: Out<'_, i8>, row: &Affine<'_>) -> bool {
    let complete = [x.len(), row.gamma.len(), row.beta.len()].into_iter().all(|len| len >= y.len());
    #[cfg(mixel_helium)]
    if complete {
        super::helium::normal::affine(x, y, row);
        return true;
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if complete && !y.is_empty() && row.clamp == Clamp::full::<i8>(row.clamp.zero_point) {
        let [count, sum, inverse] = row.standard;
        // SAFETY: there are as many elements, gains and offsets as results.
        unsafe {
            super::armv7em::affine(super::armv7em::AffineRow {
                x: x.as_ptr(),
                y: y.as_mut_ptr(),
                gamma: row.gamma.as_ptr(),
                beta: row.beta.as_ptr(),
                end: x.as_ptr().add(y.len()),
                count,
                less: sum.wrapping_neg(),
                inverse,
                shift: row.shift as u32,
                zero_point: row.clamp.zero_point,
            });
        }
        return true;
    }
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if complete && row.backend != Backend::Portable {
        // SAFETY: there are as many elements, gains and offsets as results; every backend of this architecture but the portable one
        // has AVX2.
        unsafe { super::x86::normal::affine(x.as_ptr(), (y.as_mut_ptr(), y.len()), row) };
        return true;
    }
    let _ = (complete, row.backend, row.shift, row.clamp, row.standard);
    false
}

/// The largest of the elements of `x` that are `stride` apart, and the sum of all their weights.
#[inline]
pub fn sum(x: In<'_, i8>, stride: usize, weights: &Weights<'_>) -> Option<(i32, u64)> {
    #[cfg(mixel_helium)]
    if weights.low.len() == 16 && stride > 0 {
        use super::helium::normal;
        let max = normal::largest(x, stride);
        return Some((max, normal::sum(x, stride, weights, max)));
    }
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if weights.backend != Backend::Portable && weights.low.len() == 16 && stride == 1 {
        // SAFETY: all that is in the windows is there; every backend of this architecture but the portable one has AVX2.
        return Some(unsafe { super::x86::normal::sum(x, weights) });
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if let (Some(weights), 1) = (Tables::of(weights), stride) {
        return Some(weights.sum(x));
    }
    let _ = (x, stride, weights.backend, weights.low, weights.high);
    None
}

/// `saturate(zero point + round(weight * factor / 2^shift))` of the elements of `x` that are `stride` apart, none above `max`; to
/// the same places of `y`, which is as long and shares no memory with `x` or begins with it. `shift` is 33 to 62.
#[inline]
pub fn quotients(
    (x, y): (In<'_, i8>, Out<'_, i8>),
    stride: usize,
    weights: &Weights<'_>,
    row: (i32, i32, u8),
    zero_point: i32,
) -> bool {
    let there = weights.low.len() == 16 && x.len() == y.len() && stride > 0;
    #[cfg(mixel_helium)]
    if there {
        super::helium::normal::quotients((x, y), stride, weights, row, zero_point);
        return true;
    }
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if there && weights.backend != Backend::Portable && stride == 1 {
        // SAFETY: there are as many results as elements; every backend of this architecture but the portable one has AVX2.
        unsafe { super::x86::normal::quotients(x, y, weights, row, zero_point) };
        return true;
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if let (Some(weights), true) = (Tables::of(weights), there && stride == 1) {
        weights.quotients(x, y, row, zero_point);
        return true;
    }
    let _ = (there, row, zero_point);
    false
}

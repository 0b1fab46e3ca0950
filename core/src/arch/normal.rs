//! Loops over int8 rows of layer norm and softmax for machines that have a shorter way than the common one: none or false, with
//! nothing done, on others.

#![allow(unsafe_code)]

use super::Backend;
use super::view::{In, Out};
#[cfg(all(mixel_vectors, not(miri)))]
use crate::kernels::layer_norm::standard;
use crate::kernels::requant::Clamp;

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
    /// The instructions to use.
    pub backend: Backend,
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
    #[cfg(all(mixel_vectors, not(miri)))]
    if rows.backend != Backend::Portable && [rows.gamma.len(), rows.beta.len()] == [rows.n; 2] {
        return rows_one_by_one(x, y, rows);
    }
    let Rows { backend, n, gamma, beta, shift, clamp, epsilon, fraction, z_bits } = rows;
    let _ = (x, y, backend, n, gamma, beta, shift, clamp, epsilon, fraction, z_bits);
    0
}

/// As [`rows`], without the windows and choices of the common way; gains and offsets are as many as a row has elements.
#[cfg(all(mixel_vectors, not(miri)))]
fn rows_one_by_one(x: In<'_, i8>, y: Out<'_, i8>, rows: &Rows<'_>) -> usize {
    let Rows { backend, n, gamma, beta, shift, clamp, .. } = *rows;
    let mut row = Affine { backend, gamma, beta, shift, clamp, standard: [0; 3] };
    let count = x.len().min(y.len()).checked_div(n).unwrap_or(0);
    for index in 0..count {
        let (x, y) = (x.window(index * n, n), y.window(index * n, n));
        let Some(both) = moments(x) else { return index };
        row.standard = standard(both, rows);
        // SAFETY: a row lies in both windows, gains and offsets are as many; every backend but the portable one has the instructions of
        // its architecture.
        unsafe { super::native::normal::affine(x.as_ptr(), (y.as_mut_ptr(), n), &row) };
    }
    count
}

/// Tables of a softmax: weights of the low and of the high part of a difference.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    /// The instructions to use.
    pub backend: Backend,
    /// 16 entries.
    pub low: In<'a, u32>,
    /// 1 to 16 entries; the weight of what is beyond them is 0.
    pub high: In<'a, u32>,
    /// A word for each element of a row along the last axis, in layouts for machines that keep weights from [`sum`] to [`quotients`].
    pub room: Out<'a, u32>,
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
    #[cfg(all(target_arch = "aarch64", not(target_os = "none")))]
    if x.len() <= 1 << 16 {
        // SAFETY: every machine of this architecture has NEON.
        return Some(unsafe { super::native::normal::moments(x) });
    }
    #[cfg(not(any(target_arch = "aarch64", target_os = "none")))]
    if x.len() <= 1 << 16 {
        return Some(moments_of_bytes(x));
    }
    let _ = x;
    None
}

/// A loop that the compiler makes vectors of.
#[cfg(not(any(target_arch = "aarch64", target_os = "none")))]
fn moments_of_bytes(x: In<'_, i8>) -> (i32, i32) {
    let (mut sum, mut squares) = (0, 0);
    for index in 0..x.len() {
        // SAFETY: index is below the length.
        let x = i32::from(unsafe { x.get_unchecked(index) });
        (sum, squares) = (sum + x, squares + x * x);
    }
    (sum, squares)
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
    #[cfg(all(mixel_vectors, not(miri)))]
    if complete && row.backend != Backend::Portable {
        // SAFETY: there are as many elements, gains and offsets as results; every backend but the portable one has
        // the instructions of its architecture.
        unsafe { super::native::normal::affine(x.as_ptr(), (y.as_mut_ptr(), y.len()), row) };
        return true;
    }
    let _ = (complete, row.backend, row.shift, row.clamp, row.standard);
    false
}

/// In the place of the largest element: the weights of all are kept in the room for them.
#[cfg(all(mixel_dsp, not(mixel_helium)))]
const KEPT: i32 = i32::MAX;

/// The largest of the elements of `x` that are `stride` apart, or what tells [`quotients`] that it need not know, and the sum of all their
/// weights. What is kept in the room for weights is good until the next call.
#[inline]
pub fn sum(x: In<'_, i8>, stride: usize, weights: &Weights<'_>) -> Option<(i32, u64)> {
    #[cfg(mixel_helium)]
    if weights.low.len() == 16 && stride > 0 {
        use super::helium::normal;
        let max = normal::largest(x, stride);
        return Some((max, normal::sum(x, stride, weights, max)));
    }
    #[cfg(all(mixel_vectors, not(miri)))]
    if weights.backend != Backend::Portable && weights.low.len() == 16 && stride == 1 {
        // SAFETY: all that is in the windows is there; every backend but the portable one has the instructions of its architecture.
        return Some(unsafe { super::native::normal::sum(x, weights) });
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if [weights.low.len(), weights.high.len()] == [16; 2]
        && x.len().wrapping_sub(1) < weights.room.len()
        && stride == 1
    {
        let ([low, high], kept) =
            ([weights.low, weights.high].map(|table| table.as_ptr()), weights.room.as_mut_ptr());
        // SAFETY: there is an element, and room for the weights of all; differences of bytes are below 256, and a weight is at most 2^30.
        let sum = unsafe { super::armv7em::weights(x.as_ptr(), x.as_ptr().add(x.len()), low, high, kept) };
        return Some((KEPT, sum));
    }
    let _ = (x, stride, weights.backend, weights.low, weights.high, weights.room);
    None
}

/// `saturate(zero point + round(weight * factor / 2^shift))` of the elements of `x` that are `stride` apart, those of the last [`sum`]; to
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
    #[cfg(all(mixel_vectors, not(miri)))]
    if there && weights.backend != Backend::Portable && stride == 1 {
        // SAFETY: there are as many results as elements; every backend but the portable one has the instructions of its architecture.
        unsafe { super::native::normal::quotients(x, y, weights, row, zero_point) };
        return true;
    }
    #[cfg(all(mixel_dsp, not(mixel_helium)))]
    if let (KEPT, factor, shift) = row
        && y.len().wrapping_sub(1) < weights.room.len()
    {
        let (kept, y, len) = (weights.room.as_mut_ptr(), y.as_mut_ptr(), y.len());
        // SAFETY: there is room for as many weights as there are results, one or more.
        unsafe { super::armv7em::quotients(kept, y, y.add(len), factor, u32::from(shift) - 32, zero_point) }
        return true;
    }
    let _ = (there, row, zero_point);
    false
}

//! Rows that are normalised, with NEON: sixteen elements at once, in four vectors of 32 bits.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::normal::{Affine, Weights};
use super::super::view::{In, Out};
use super::few::{self, LANES};
use super::scale::Range;
use crate::kernels::requant::Clamp;

/// Elements as 32-bit values.
#[inline]
#[target_feature(enable = "neon")]
fn wide(x: int8x16_t) -> [int32x4_t; 4] {
    let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
    [vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)), vmovl_high_s16(high)]
}

/// See [`super::super::normal::moments`].
#[target_feature(enable = "neon")]
pub(in super::super) fn moments(x: In<'_, i8>) -> (i32, i32) {
    let (mut sum, mut squares) = (vdupq_n_s32(0), vdupq_n_s32(0));
    for at in (0..x.len()).step_by(LANES) {
        // SAFETY: the elements are there.
        let x = unsafe { few::bytes(x.as_ptr().wrapping_add(at), x.len() - at, 0) };
        sum = vpadalq_s16(sum, vpaddlq_s8(x));
        squares = vpadalq_s16(squares, vmull_s8(vget_low_s8(x), vget_low_s8(x)));
        squares = vpadalq_s16(squares, vmull_high_s8(x, x));
    }
    (vaddvq_s32(sum), vaddvq_s32(squares))
}

/// What all elements of a row are normalised with.
struct Standard {
    count: int32x4_t,
    sum: int32x4_t,
    inverse: int32x4_t,
    shift: int32x4_t,
    range: Range,
}

impl Standard {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(row: &Affine<'_>) -> Self {
        let [count, sum, inverse] = row.standard;
        Self {
            count: vdupq_n_s32(count),
            sum: vdupq_n_s32(sum),
            inverse: vdupq_n_s32(inverse),
            shift: vdupq_n_s32(-i32::from(row.shift)),
            range: Range::new(row.clamp),
        }
    }

    /// Results of sixteen elements. `SQDMULH` is the upper half of twice the product, and saturates where both factors are the smallest
    /// number: the inverse of a root is positive, and half of what it gives is not so large.
    #[inline]
    #[target_feature(enable = "neon")]
    fn apply(&self, x: int8x16_t, gamma: [int32x4_t; 4], beta: [int32x4_t; 4]) -> int8x16_t {
        let mut values = wide(x);
        for ((value, gamma), beta) in values.iter_mut().zip(gamma).zip(beta) {
            let z = vqdmulhq_s32(vsubq_s32(vmulq_s32(self.count, *value), self.sum), self.inverse);
            let gain = vqdmulhq_s32(vshrq_n_s32::<1>(z), gamma);
            *value = vrshlq_s32(vsraq_n_s32::<1>(beta, gain), self.shift);
        }
        self.range.bytes(values)
    }
}

/// See [`super::super::normal::affine`].
///
/// # Safety
/// `x`, gains and offsets are valid for `len` reads, `y` for writes.
#[target_feature(enable = "neon")]
pub(in super::super) unsafe fn affine(x: *const i8, (y, len): (*mut i8, usize), row: &Affine<'_>) {
    let standard = Standard::new(row);
    let (gamma, beta) = (row.gamma.as_ptr(), row.beta.as_ptr());
    let whole = len / LANES * LANES;
    // SAFETY: the caller's.
    unsafe {
        for at in (0..whole).step_by(LANES) {
            let (gamma, beta) = (gamma.wrapping_add(at), beta.wrapping_add(at));
            let (gamma, beta) = (few::words(gamma, LANES), few::words(beta, LANES));
            vst1q_s8(y.wrapping_add(at), standard.apply(vld1q_s8(x.wrapping_add(at)), gamma, beta));
        }
        if whole < len {
            let left = len - whole;
            let (gamma, beta) = (gamma.wrapping_add(whole), beta.wrapping_add(whole));
            let (gamma, beta) = (few::words(gamma, left), few::words(beta, left));
            let values = standard.apply(few::bytes(x.wrapping_add(whole), left, 0), gamma, beta);
            few::store(values, y.wrapping_add(whole), left);
        }
    }
}

/// The tables of a softmax in registers, low part and high part: a vector for each of the four bytes of sixteen entries.
#[derive(Clone, Copy)]
struct Tables([uint8x16x4_t; 2]);

impl Tables {
    /// What a table has not, weighs 0.
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(weights: &Weights<'_>) -> Self {
        let table = |table: In<'_, u32>| {
            // SAFETY: sixteen entries of four bytes, or as many as there are and zeros.
            unsafe {
                if table.len() >= LANES {
                    return vld4q_u8(table.as_ptr().cast());
                }
                let mut entries = [0; LANES];
                few::copy(table.as_ptr(), entries.as_mut_ptr(), table.len());
                vld4q_u8(entries.as_ptr().cast())
            }
        };
        Self([table(weights.low), table(weights.high)])
    }

    /// Weights of sixteen differences.
    #[inline]
    #[target_feature(enable = "neon")]
    fn get(self, differences: uint8x16_t) -> [uint32x4_t; 4] {
        let [low, high] = self.0;
        let mut weights = look_up(low, vandq_u8(differences, vdupq_n_u8(15)));
        for (low, high) in weights.iter_mut().zip(look_up(high, vshrq_n_u8::<4>(differences))) {
            let first = vreinterpretq_u32_u64(vmull_u32(vget_low_u32(*low), vget_low_u32(high)));
            let last = vreinterpretq_u32_u64(vmull_high_u32(*low, high));
            *low = vuzp2q_u32(first, last);
        }
        weights
    }
}

/// The entries of sixteen indices, their bytes looked up one by one and interleaved.
#[inline]
#[target_feature(enable = "neon")]
fn look_up(table: uint8x16x4_t, indices: uint8x16_t) -> [uint32x4_t; 4] {
    let uint8x16x4_t(a, b, c, d) = table;
    let [a, b, c, d] = [a, b, c, d].map(|bytes| vqtbl1q_u8(bytes, indices));
    let halves = |a, b| [vzip1q_u8(a, b), vzip2q_u8(a, b)].map(|half| vreinterpretq_u16_u8(half));
    let ([a, b], [c, d]) = (halves(a, b), halves(c, d));
    [vzip1q_u16(a, c), vzip2q_u16(a, c), vzip1q_u16(b, d), vzip2q_u16(b, d)]
        .map(|word| vreinterpretq_u32_u16(word))
}

/// See [`super::super::normal::sum`], of neighbours.
#[target_feature(enable = "neon")]
pub(in super::super) fn sum(x: In<'_, i8>, weights: &Weights<'_>) -> (i32, u64) {
    let len = x.len();
    let tables = Tables::new(weights);
    let mut largest = vdupq_n_s8(i8::MIN);
    for at in (0..len).step_by(LANES) {
        // SAFETY: the elements are there.
        largest = vmaxq_s8(largest, unsafe { few::bytes(x.as_ptr().wrapping_add(at), len - at, i8::MIN) });
    }
    let max = vmaxvq_s8(largest);
    let mut sums = vdupq_n_u64(0);
    for at in (0..len).step_by(LANES) {
        // SAFETY: the elements are there.
        let x = unsafe { few::bytes(x.as_ptr().wrapping_add(at), len - at, max) };
        for weights in tables.get(vreinterpretq_u8_s8(vsubq_s8(vdupq_n_s8(max), x))) {
            sums = vpadalq_u32(sums, weights);
        }
    }
    // The elements that filled up the last sixteen weigh what the largest does.
    let filled = len.next_multiple_of(LANES) - len;
    let one = (u64::from(weights.low.get(0)) * u64::from(weights.high.get(0))) >> 32;
    (max.into(), vaddvq_u64(sums) - filled as u64 * one)
}

/// See [`super::super::normal::quotients`], of neighbours. Weights and factor are not negative, so that the doubled product (`SQDMULH`) fits,
/// of which one bit less is rounded away.
///
/// # Safety
/// `y` is as long as `x`.
#[target_feature(enable = "neon")]
pub(in super::super) unsafe fn quotients(
    x: In<'_, i8>,
    y: Out<'_, i8>,
    weights: &Weights<'_>,
    (max, factor, shift): (i32, i32, u8),
    zero_point: i32,
) {
    let len = x.len();
    let tables = Tables::new(weights);
    let (largest, factor) = (vdupq_n_s8(max as i8), vdupq_n_s32(factor));
    let shift = vdupq_n_s32(31 - i32::from(shift));
    let range = Range::new(Clamp::full::<i8>(zero_point));
    for at in (0..len).step_by(LANES) {
        // SAFETY: the elements are there.
        let x = unsafe { few::bytes(x.as_ptr().wrapping_add(at), len - at, 0) };
        let weights = tables.get(vreinterpretq_u8_s8(vsubq_s8(largest, x)));
        let quotients =
            weights.map(|weight| vrshlq_s32(vqdmulhq_s32(vreinterpretq_s32_u32(weight), factor), shift));
        // SAFETY: the results are there.
        unsafe { few::store(range.bytes(quotients), y.as_mut_ptr().wrapping_add(at), len - at) };
    }
}

//! Products of tensors, element by element, with NEON: sixteen at once.
//!
//! Differences to the zero points, moved up by 7 bits, fit 16 bits, so that their products are those that `Scale::apply_small` begins with;
//! `SQDMULH` leaves out the low 31 bits of a product with the multiplier, and `SRSHL` rounds the rest away.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use super::super::elementwise::Product;
use super::super::view::{In, Out};
use super::few::{self, LANES};
use super::scale::Range;

/// See [`super::super::elementwise::multiply`]; nothing is read or written beyond the shortest of the three.
#[target_feature(enable = "neon")]
pub(in super::super) fn multiply(a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, product: &Product) {
    let len = y.len().min(a.len()).min(b.len());
    let factors = Factors::new(product);
    let (a, b, y) = (a.as_ptr(), b.as_ptr(), y.as_mut_ptr());
    let whole = len / LANES * LANES;
    // SAFETY: the elements are there.
    unsafe {
        for at in (0..whole).step_by(LANES) {
            let (a, b) = (vld1q_s8(a.wrapping_add(at)), vld1q_s8(b.wrapping_add(at)));
            vst1q_s8(y.wrapping_add(at), factors.apply(a, b));
        }
        if whole < len {
            let left = len - whole;
            let (a, b) = (a.wrapping_add(whole), b.wrapping_add(whole));
            let values = factors.apply(few::bytes(a, left, 0), few::bytes(b, left, 0));
            few::store(values, y.wrapping_add(whole), left);
        }
    }
}

/// What all elements have in common.
struct Factors {
    zeros: [int8x16_t; 2],
    multiplier: int32x4_t,
    shift: int32x4_t,
    range: Range,
}

impl Factors {
    #[inline]
    #[target_feature(enable = "neon")]
    fn new(product: &Product) -> Self {
        let [a, b] = product.zeros;
        Self {
            zeros: [vdupq_n_s8(a as i8), vdupq_n_s8(b as i8)],
            multiplier: vdupq_n_s32(product.scale.multiplier),
            // Of 14 bits more and 31 left out; shifts beyond 32 give zero.
            shift: vdupq_n_s32(17 - i32::from(product.scale.shift)),
            range: Range::new(product.clamp),
        }
    }

    /// Results of sixteen elements.
    #[inline]
    #[target_feature(enable = "neon")]
    fn apply(&self, a: int8x16_t, b: int8x16_t) -> int8x16_t {
        let [zero_a, zero_b] = self.zeros;
        let ([a, a2], [b, b2]) = (raised(a, zero_a), raised(b, zero_b));
        let mut values = [
            vmull_s16(vget_low_s16(a), vget_low_s16(b)),
            vmull_high_s16(a, b),
            vmull_s16(vget_low_s16(a2), vget_low_s16(b2)),
            vmull_high_s16(a2, b2),
        ];
        for value in &mut values {
            *value = vrshlq_s32(vqdmulhq_s32(*value, self.multiplier), self.shift);
        }
        self.range.bytes(values)
    }
}

/// Differences to a zero point, times 2^7.
#[inline]
#[target_feature(enable = "neon")]
fn raised(x: int8x16_t, zero: int8x16_t) -> [int16x8_t; 2] {
    let low = vsubl_s8(vget_low_s8(x), vget_low_s8(zero));
    [vshlq_n_s16::<7>(low), vshlq_n_s16::<7>(vsubl_high_s8(x, zero))]
}

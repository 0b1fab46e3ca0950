//! The way from sums to outputs, four at a time: exact 64-bit products, one rounding, as `kernels/requant.rs` has it.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use crate::kernels::requant::{Clamp, Quantized};

/// Bias and scale of four outputs.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    pub bias: int32x4_t,
    multiplier: int32x4_t,
    /// Half a step and minus the shift, of outputs 0 and 1, and of 2 and 3.
    half: [int64x2_t; 2],
    right: [int64x2_t; 2],
}

impl Scales {
    /// Of the first `count` outputs from the addresses on; the rest has no meaning.
    ///
    /// # Safety
    /// `count` values are there at each address.
    #[inline]
    #[target_feature(enable = "neon")]
    pub unsafe fn new((bias, multiplier, shift): (*const i32, *const i32, *const u8), count: usize) -> Self {
        let (mut biases, mut multipliers, mut shifts) = ([0; 4], [0; 4], [1i64; 4]);
        for lane in 0..count.min(4) {
            // SAFETY: lane < count.
            unsafe {
                biases[lane] = *bias.add(lane);
                multipliers[lane] = *multiplier.add(lane);
                shifts[lane] = i64::from(*shift.add(lane));
            }
        }
        let halves = shifts.map(|shift| 1i64 << ((shift - 1) & 63));
        let rights = shifts.map(|shift| -shift);
        // SAFETY: arrays of four.
        unsafe {
            Self {
                bias: vld1q_s32(biases.as_ptr()),
                multiplier: vld1q_s32(multipliers.as_ptr()),
                half: [vld1q_s64(halves.as_ptr()), vld1q_s64(halves.as_ptr().add(2))],
                right: [vld1q_s64(rights.as_ptr()), vld1q_s64(rights.as_ptr().add(2))],
            }
        }
    }

    /// Sums, bias included, as steps of the output, saturated to 32 bits.
    #[inline]
    #[target_feature(enable = "neon")]
    fn steps(&self, sums: int32x4_t) -> int32x4_t {
        let low = vmull_s32(vget_low_s32(sums), vget_low_s32(self.multiplier));
        let high = vmull_high_s32(sums, self.multiplier);
        let low = vshlq_s64(vaddq_s64(low, self.half[0]), self.right[0]);
        let high = vshlq_s64(vaddq_s64(high, self.half[1]), self.right[1]);
        vqmovn_high_s64(vqmovn_s64(low), high)
    }

    /// Four outputs, as 32-bit values within the range.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn outputs(&self, sums: int32x4_t, clamp: Clamp) -> int32x4_t {
        let values = vqaddq_s32(self.steps(sums), vdupq_n_s32(clamp.zero_point));
        vminq_s32(vmaxq_s32(values, vdupq_n_s32(clamp.min)), vdupq_n_s32(clamp.max))
    }
}

/// Stores the first `count` of four outputs.
///
/// # Safety
/// `to` is valid for them.
#[inline]
#[target_feature(enable = "neon")]
pub(super) unsafe fn store<Y: Quantized>(values: int32x4_t, count: usize, to: *mut Y) {
    let mut lanes = [0i32; 4];
    // SAFETY: an array of four; the caller's.
    unsafe {
        vst1q_s32(lanes.as_mut_ptr(), values);
        if count >= 4 {
            to.cast::<[Y; 4]>().write_unaligned(lanes.map(Y::narrow));
        } else {
            for (lane, value) in lanes.into_iter().enumerate().take(count) {
                to.add(lane).write(Y::narrow(value));
            }
        }
    }
}

//! The way from sums to outputs, four at a time: exact 64-bit products, one rounding, as `kernels/requant.rs` has it.
#![allow(unsafe_code)]

use core::arch::aarch64::*;

use crate::kernels::requant::{Clamp, Quantized, Scale};

/// Bias and scale of four outputs.
#[derive(Clone, Copy)]
pub(super) struct Scales {
    pub bias: int32x4_t,
    multiplier: int32x4_t,
    /// Half a step and minus the shift, of outputs 0 and 1, and of 2 and 3.
    half: [int64x2_t; 2],
    right: [int64x2_t; 2],
    /// 31 minus the shift of every output, where the short form will do.
    short: Option<int32x4_t>,
}

impl Scales {
    /// One scale for all four, without bias.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn of(scale: Scale) -> Self {
        let (biases, multipliers, shifts) = ([0; 4], [scale.multiplier; 4], [scale.shift; 4]);
        // SAFETY: arrays of four.
        unsafe { Self::new((biases.as_ptr(), multipliers.as_ptr(), shifts.as_ptr()), 4) }
    }

    /// Of the first `count` outputs from the addresses on; the rest has no meaning.
    ///
    /// # Safety
    /// `count` values are there at each address.
    #[inline]
    #[target_feature(enable = "neon")]
    pub unsafe fn new((bias, multiplier, shift): (*const i32, *const i32, *const u8), count: usize) -> Self {
        let (mut biases, mut multipliers, mut shifts) = ([0; 4], [0; 4], [32i64; 4]);
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
        let shorter = shifts.map(|shift| 31 - shift as i32);
        let short = shifts.iter().all(|&shift| shift >= 32);
        // SAFETY: arrays of four.
        unsafe {
            Self {
                bias: vld1q_s32(biases.as_ptr()),
                multiplier: vld1q_s32(multipliers.as_ptr()),
                half: [vld1q_s64(halves.as_ptr()), vld1q_s64(halves.as_ptr().add(2))],
                right: [vld1q_s64(rights.as_ptr()), vld1q_s64(rights.as_ptr().add(2))],
                short: short.then_some(vld1q_s32(shorter.as_ptr())),
            }
        }
    }

    /// Sums, bias included, as steps of the output, saturated to 32 bits.
    ///
    /// From a shift of 32 on the product's low 31 bits cannot reach the result: `SQDMULH` leaves them out, and `SRSHL` adds half a step
    /// before it shifts. Where both factors are the smallest number the former saturates, one below 2^31, which the half makes up for.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn steps(&self, sums: int32x4_t) -> int32x4_t {
        if let Some(right) = self.short {
            return vrshlq_s32(vqdmulhq_s32(sums, self.multiplier), right);
        }
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

/// Zero point and range of outputs of 8 bits.
#[derive(Clone, Copy)]
pub(super) struct Range {
    zero_point: int16x8_t,
    min: int8x16_t,
    max: int8x16_t,
}

impl Range {
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn new(clamp: Clamp) -> Self {
        Self {
            zero_point: vdupq_n_s16(clamp.zero_point as i16),
            min: vdupq_n_s8(clamp.min as i8),
            max: vdupq_n_s8(clamp.max as i8),
        }
    }

    /// Steps as outputs. Saturating to 16 bits before the zero point is added changes nothing: what saturates stays saturated.
    #[inline]
    #[target_feature(enable = "neon")]
    pub fn bytes(self, [a, b, c, d]: [int32x4_t; 4]) -> int8x16_t {
        let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), self.zero_point);
        let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(c), d), self.zero_point);
        vminq_s8(vmaxq_s8(vqmovn_high_s16(vqmovn_s16(low), high), self.min), self.max)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_rule() {
        let values =
            [i32::MIN, i32::MIN + 1, -70_001, -3, -1, 0, 1, 2, 12_345, 1 << 30, i32::MAX - 1, i32::MAX];
        for shift in 1..=62 {
            for multiplier in [i32::MIN, i32::MIN + 1, -1, 0, 1, 1 << 30, 0x5555_5555, i32::MAX] {
                let scale = Scale { multiplier, shift };
                for four in values.as_chunks::<4>().0 {
                    let mut steps = [0; 4];
                    // SAFETY: four of each.
                    unsafe {
                        vst1q_s32(steps.as_mut_ptr(), Scales::of(scale).steps(vld1q_s32(four.as_ptr())))
                    };
                    let rule =
                        four.map(|value| scale.apply(value).clamp(i32::MIN.into(), i32::MAX.into()) as i32);
                    assert_eq!(steps, rule, "{four:?} {multiplier} {shift}");
                }
            }
        }
    }

    #[test]
    fn one_long_scale_makes_all_four_long() {
        let (multipliers, values) = ([1 << 30, i32::MAX, i32::MIN, 3], [-5, i32::MAX, i32::MIN, 1 << 29]);
        for shifts in [[31, 40, 62, 33], [32, 40, 62, 33]] {
            let mut steps = [0; 4];
            // SAFETY: four of each.
            unsafe {
                let scales = Scales::new(([0; 4].as_ptr(), multipliers.as_ptr(), shifts.as_ptr()), 4);
                vst1q_s32(steps.as_mut_ptr(), scales.steps(vld1q_s32(values.as_ptr())));
            }
            for (lane, step) in steps.into_iter().enumerate() {
                let scale = Scale { multiplier: multipliers[lane], shift: shifts[lane] };
                assert_eq!(i64::from(step), scale.apply(values[lane]), "{lane} of {shifts:?}");
            }
        }
    }
}

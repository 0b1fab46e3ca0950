//! The one rounding rule (docs/numerics.md). No other code of mixel rounds quantized values on a device.
//!
//! `(value * multiplier + 2^(shift-1)) >> shift` in 64 bits: one rounding, half towards plus infinity. It is the family
//! of LiteRT with XNNPACK; gemmlowp's two roundings differ from it.

use super::short_channels::Source;
use crate::arch::view::{Element, In};
use crate::plan::Operator;
use crate::plan::cursor::Cursor;
use crate::plan::write;

/// A real factor as `multiplier / 2^shift`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Numerator, 0 to 2^31 - 1 (negative for a negative factor).
    pub multiplier: i32,
    /// Power of two of the denominator, 1 to 62.
    pub shift: u8,
}

impl Scale {
    /// Whether the fields are in range.
    pub fn valid(self) -> bool {
        (1..=62).contains(&self.shift)
    }

    /// Appends multiplier i32 and shift u8 to `params`.
    pub fn encode(self, params: write::Params) -> write::Params {
        params.word(self.multiplier as u32).u8(self.shift)
    }

    /// Reads what [`Scale::encode`] writes.
    pub fn read(cursor: &mut Cursor<'_>) -> Self {
        Self { multiplier: cursor.word() as i32, shift: cursor.u8() }
    }

    /// As [`Scale::apply`] for values below 2^17 in size and a shift of 19 or more, without 64-bit additions and shifts:
    /// with the value moved up by 14 bits, the product's low word cannot reach the result.
    #[inline(always)]
    pub fn apply_small(self, value: i32) -> i32 {
        let high = ((value.wrapping_shl(14) as i64 * self.multiplier as i64) >> 32) as i32;
        // The high word is below 2^30 in size, so that shifts beyond 31 would give zero as 31 does.
        round_shift32(high, self.shift.saturating_sub(18).min(31))
    }

    /// `value` times this factor by `count` (at least 1), rounded once; beyond 32 bits times the factor it saturates at
    /// `2^31 / count`.
    ///
    /// Half the divisor is added before the shift, and rounding down twice is rounding down once, so that a 32-bit
    /// division does.
    #[inline(always)]
    pub fn apply_by(self, value: i32, count: i32) -> i32 {
        let half = (count as i64).wrapping_shl(self.shift.wrapping_sub(1) as u32);
        let sum = (value as i64 * self.multiplier as i64).wrapping_add(half).wrapping_shr(self.shift as u32);
        let sum = sum.max(i32::MIN as i64).min(i32::MAX as i64) as i32;
        sum.checked_div_euclid(count.max(1)).unwrap_or(0)
    }

    /// `value` times this factor, rounded once.
    #[inline(always)]
    pub fn apply(self, value: i32) -> i64 {
        round_shift(value as i64 * self.multiplier as i64, self.shift)
    }

    /// The rule in 64 bits, out of line: factors above 1/4 are rare. Plain arguments keep the common path free of stores.
    #[cold]
    #[inline(never)]
    fn long(self, value: i32, zero_point: i32, min: i32, max: i32) -> i32 {
        let shifted = self.apply(value).saturating_add(zero_point as i64);
        shifted.max(min as i64).min(max as i64) as i32
    }
}

/// `value / 2^shift`, rounded half towards plus infinity; `shift` is 1 to 62 (taken modulo 64 otherwise).
#[inline(always)]
pub fn round_shift(value: i64, shift: u8) -> i64 {
    let half = 1i64.wrapping_shl(shift.wrapping_sub(1) as u32);
    value.wrapping_add(half).wrapping_shr(shift as u32)
}

/// `value / 2^shift` in 32 bits, rounded half towards plus infinity; `shift` is 1 to 31 (taken modulo 32 otherwise) and
/// `value + 2^(shift-1)` fits.
#[inline(always)]
pub fn round_shift32(value: i32, shift: u8) -> i32 {
    let half = 1i32.wrapping_shl(shift.wrapping_sub(1) as u32);
    value.wrapping_add(half).wrapping_shr(shift as u32)
}

/// `numerator / denominator`, rounded half towards plus infinity; 0 when the denominator is not positive.
#[inline(always)]
pub fn round_div(numerator: i64, denominator: i64) -> i64 {
    if denominator <= 0 {
        return 0;
    }
    numerator
        .wrapping_mul(2)
        .wrapping_add(denominator)
        .checked_div_euclid(denominator.wrapping_mul(2))
        .unwrap_or(0)
}

/// Quantized element types of activations.
pub trait Quantized: Element {
    /// Smallest value.
    const MIN: i32;
    /// Largest value.
    const MAX: i32;

    /// As a wide integer.
    fn wide(self) -> i32;

    /// The low bits of a value that is already in range.
    fn narrow(value: i32) -> Self;
}

impl Quantized for i8 {
    const MIN: i32 = i8::MIN as i32;
    const MAX: i32 = i8::MAX as i32;

    #[inline(always)]
    fn wide(self) -> i32 {
        self as i32
    }

    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value as i8
    }
}

impl Quantized for i16 {
    const MIN: i32 = i16::MIN as i32;
    const MAX: i32 = i16::MAX as i32;

    #[inline(always)]
    fn wide(self) -> i32 {
        self as i32
    }

    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value as i16
    }
}

impl Quantized for i32 {
    const MIN: i32 = i32::MIN;
    const MAX: i32 = i32::MAX;

    #[inline(always)]
    fn wide(self) -> i32 {
        self
    }

    #[inline(always)]
    fn narrow(value: i32) -> Self {
        value
    }
}

/// The last step of an operator: zero point and range of its output. The range is that of a fused activation, within
/// the type's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    /// The integer that stands for zero.
    pub zero_point: i32,
    /// Smallest result.
    pub min: i32,
    /// Largest result.
    pub max: i32,
}

impl Clamp {
    /// The whole range of `T`.
    pub fn full<T: Quantized>(zero_point: i32) -> Self {
        Self { zero_point, min: T::MIN, max: T::MAX }
    }

    /// Reads what [`write::Params::range`] writes.
    pub fn read(cursor: &mut Cursor<'_>, zero_point: i32) -> Self {
        let (min, max) = cursor.range();
        Self { zero_point, min, max }
    }

    /// Whether the range is one of `T` and not empty.
    pub fn valid<T: Quantized>(self) -> bool {
        T::MIN <= self.min && self.min <= self.max && self.max <= T::MAX
    }

    /// `value` in steps of the output, shifted to its zero point and saturated.
    #[inline(always)]
    pub fn apply<T: Quantized>(self, value: i64) -> T {
        T::narrow(self.limit(value))
    }

    /// As [`Clamp::apply`], not narrowed to a type yet.
    #[inline(always)]
    pub fn limit(self, value: i64) -> i32 {
        let shifted = value.saturating_add(self.zero_point as i64);
        shifted.max(self.min as i64).min(self.max as i64) as i32
    }

    /// As [`Clamp::limit`] for values within +-2^30.
    #[inline(always)]
    pub fn limit32(self, value: i32) -> i32 {
        value.wrapping_add(self.zero_point).max(self.min).min(self.max)
    }
}

/// Bias and output factor of every output channel: `i32` bias (with the input's zero point times the weight sum folded
/// in), `i32` multiplier, `u8` shift.
#[derive(Clone, Copy)]
pub struct Channels<'p> {
    /// Bias in accumulator steps.
    pub bias: In<'p, i32>,
    /// Numerators.
    pub multiplier: In<'p, i32>,
    /// Shifts.
    pub shift: In<'p, u8>,
}

impl<'p> Channels<'p> {
    /// Reads the reference to the block (byte offset u32, bytes u32) from `cursor`; empty unless it has `count` channels.
    pub fn read(operator: &Operator<'p>, cursor: &mut Cursor<'_>, count: usize) -> Self {
        let block = operator.constant::<u8>(cursor);
        let block =
            if let Source::Scratch { channels, .. } = operator.channels() { *channels } else { block };
        let block = if block.len() == Self::bytes(count) { block } else { In::new(&[]) };
        let count = block.len() / 9;
        Self {
            bias: block.window(0, 4 * count).cast(),
            multiplier: block.window(4 * count, 4 * count).cast(),
            shift: block.window(8 * count, count),
        }
    }

    /// Bytes of the block for `count` channels: the three arrays one after the other.
    pub const fn bytes(count: usize) -> usize {
        count * 9
    }

    /// `count` channels from `first` on.
    pub fn window(&self, first: usize, count: usize) -> Self {
        Self {
            bias: self.bias.window(first, count),
            multiplier: self.multiplier.window(first, count),
            shift: self.shift.window(first, count),
        }
    }

    /// Whether there are `count` channels with shifts in range.
    pub fn valid(&self, count: usize) -> bool {
        let complete =
            self.bias.len() == count && self.multiplier.len() == count && self.shift.len() == count;
        complete && (0..count).all(|channel| self.scale(channel).valid())
    }

    /// The factor of one channel.
    #[inline(always)]
    pub fn scale(&self, channel: usize) -> Scale {
        Scale { multiplier: self.multiplier.get(channel), shift: self.shift.get(channel) }
    }

    /// Bias and factor of one channel.
    #[inline(always)]
    pub fn channel(&self, channel: usize) -> Channel {
        Channel { bias: self.bias.get(channel), scale: self.scale(channel) }
    }

    /// The output of one channel from its accumulator, which does not contain the bias yet.
    #[inline(always)]
    pub fn finish<T: Quantized>(&self, channel: usize, accumulator: i32, clamp: Clamp) -> T {
        self.channel(channel).apply(accumulator, clamp)
    }
}

/// Bias and output factor of one channel.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// Bias in accumulator steps.
    pub bias: i32,
    /// Factor from accumulator to output steps.
    pub scale: Scale,
}

impl Channel {
    /// The output from an accumulator, which does not contain the bias yet.
    ///
    /// From a shift of 33 on the product's low word cannot reach the result, and 32 bits do: one long multiplication,
    /// one addition, one shift. It is the same value as that of [`Scale::apply`].
    #[inline(always)]
    pub fn apply<T: Quantized>(self, accumulator: i32, clamp: Clamp) -> T {
        let sum = accumulator.wrapping_add(self.bias);
        let shift = self.scale.shift as u32;
        if shift < 33 {
            return T::narrow(self.scale.long(sum, clamp.zero_point, clamp.min, clamp.max));
        }
        let high = ((sum as i64 * self.scale.multiplier as i64) >> 32) as i32;
        let half = 1i32.wrapping_shl(shift - 33);
        let value = high.wrapping_add(half).wrapping_shr(shift - 32);
        T::narrow(value.wrapping_add(clamp.zero_point).max(clamp.min).min(clamp.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_up() {
        let half = Scale { multiplier: 1 << 30, shift: 31 };
        let rounded = [-3, -2, -1, 0, 1, 2, 3].map(|value| half.apply(value));
        assert_eq!(rounded, [-1, -1, 0, 0, 1, 1, 2]);
        assert_eq!([-3, -1, 1, 3].map(|value| round_div(value, 2)), [-1, 0, 1, 2]);
    }

    #[test]
    fn the_short_form_is_the_rule() {
        let values = [i32::MIN, -70_001, -3, -1, 0, 1, 2, 12_345, i32::MAX];
        for shift in 1..=62 {
            for multiplier in [i32::MIN + 1, -1, 0, 1, 1 << 30, 0x5555_5555, i32::MAX] {
                let channel = Channel { bias: 5, scale: Scale { multiplier, shift } };
                for value in values {
                    let clamp = Clamp::full::<i16>(-7);
                    let long: i16 = clamp.apply(channel.scale.apply(value.wrapping_add(5)));
                    assert_eq!(channel.apply::<i16>(value, clamp), long, "{value} {multiplier} {shift}");
                }
            }
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        let scale = Scale { multiplier: i32::MAX, shift: 62 };
        assert_eq!(scale.apply(i32::MIN), -1);
        assert_eq!(Clamp::full::<i8>(127).apply::<i8>(i64::MAX), 127);
        assert_eq!(round_div(5, 0), 0);
    }
}

//! Scalar functions without branches or calls, so that loops over them become vector code.

/// Cumulative distribution and density of the standard normal.
///
/// `erf` by Abramowitz and Stegun 7.1.26 (error below 1.5e-7, the rounding of f32 aside).
#[inline(always)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const INVERSE_SQRT_2PI: f32 = 0.398_942_3;
    let gauss = exp_negative(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * core::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let poly =
        t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152_1 + t * 1.061_405_4))));
    let upper_tail = 0.5 * poly * gauss;
    let cumulative = if x < 0.0 { upper_tail } else { 1.0 - upper_tail };
    (cumulative, INVERSE_SQRT_2PI * gauss)
}

/// `e^x` for `x <= 0`, relative error below 1e-6: `2^k * 2^f` with `f` in [-1/2, 1/2] by its Taylor series.
#[inline(always)]
pub(super) fn exp_negative(x: f32) -> f32 {
    // Below, the result is under the smallest normal number.
    let y = (x * core::f32::consts::LOG2_E).max(-126.0);
    // Adding 1.5 * 2^23 leaves the nearest integer in the low mantissa bits.
    const ROUND: f32 = 12_582_912.0;
    let shifted = y + ROUND;
    let k = shifted - ROUND;
    let f = (y - k) * core::f32::consts::LN_2;
    let series = 1.0
        + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    series * power
}

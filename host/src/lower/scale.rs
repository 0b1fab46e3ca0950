//! Real factors as the device's integers.

use mixel_core::kernels::requant::Scale;

use crate::error::{Error, ErrorKind, Result};

/// What a kernel can take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest size of the multiplier.
    pub multiplier: i64,
    /// Largest shift.
    pub shift: i32,
}

impl Limits {
    /// All that the rounding rule can.
    pub const ALL: Self = Self { multiplier: i32::MAX as i64, shift: 62 };
}

/// The [`Scale`] nearest to `real`: a multiplier of 31 significant bits, so the relative error is at most 2^-31. Factors
/// below 2^-31 lose bits, and those below 2^-63 become zero, which is what they do to any 32-bit accumulator.
///
/// # Errors
/// [`ErrorKind::Quantization`] when `real` is not finite or 2^30 or more.
pub fn nearest(real: f64, path: &str) -> Result<Scale> {
    nearest_within(real, Limits::ALL, path)
}

/// The [`Scale`] nearest to `real` within `limits`.
///
/// # Errors
/// As [`nearest`], by these limits.
pub fn nearest_within(real: f64, limits: Limits, path: &str) -> Result<Scale> {
    let (mantissa, exponent) = mantissa_exponent(real);
    let mut shift = (31 - exponent).min(limits.shift);
    let rounded = |shift: i32| (mantissa * 2f64.powi(exponent + shift)).round();
    // 0.999... may round up to 2^31.
    while shift >= 1 && rounded(shift).abs() > limits.multiplier as f64 {
        shift -= 1;
    }
    if !real.is_finite() || shift < 1 {
        let message = format!("a change of scale by {real:e} does not fit the device's multipliers");
        return Err(Error::new(ErrorKind::Quantization, path, message).hint(
            "the ranges of neighbouring tensors are too far apart: check weights and calibration inputs",
        ));
    }
    Ok(Scale { multiplier: rounded(shift) as i32, shift: shift as u8 })
}

/// `real = mantissa * 2^exponent` with the mantissa's size in [0.5, 1).
pub fn mantissa_exponent(real: f64) -> (f64, i32) {
    if real == 0.0 || !real.is_finite() {
        return (0.0, 0);
    }
    let mut exponent = real.abs().log2().floor() as i32 + 1;
    let mut mantissa = real / 2f64.powi(exponent);
    // The logarithm may land on the wrong side of a power of two.
    while mantissa.abs() >= 1.0 {
        mantissa /= 2.0;
        exponent += 1;
    }
    while mantissa.abs() < 0.5 {
        mantissa *= 2.0;
        exponent -= 1;
    }
    (mantissa, exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_is_within_half_a_unit() {
        let mut real = 0.9e-9;
        while real < 1e8 {
            for sign in [1.0, -1.0] {
                let scale = nearest(sign * real, "").unwrap();
                assert!(scale.valid());
                let back = scale.multiplier as f64 / 2f64.powi(scale.shift as i32);
                assert!((back / (sign * real) - 1.0).abs() <= 2f64.powi(-31), "{real} {scale:?}");
            }
            real *= 1.000_917;
        }
    }

    #[test]
    fn edges() {
        assert_eq!(nearest(0.5, "").unwrap(), Scale { multiplier: 1 << 30, shift: 31 });
        assert_eq!(nearest(1.0, "").unwrap(), Scale { multiplier: 1 << 30, shift: 30 });
        let below_one = nearest(1.0 - f64::EPSILON, "").unwrap();
        assert_eq!(below_one, Scale { multiplier: 1 << 30, shift: 30 });
        assert_eq!(nearest(0.0, "").unwrap().apply(i32::MAX), 0);
        assert_eq!(nearest(1e-30, "").unwrap().apply(i32::MAX), 0);
        assert!(nearest(f64::NAN, "").is_err());
        assert!(nearest(2e9, "").is_err());
    }
}

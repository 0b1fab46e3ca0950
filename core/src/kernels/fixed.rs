//! Integer reciprocal and reciprocal square root: what softmax and the norms divide by, once a row.

/// The upper half of a 64-bit product: `a * b / 2^32`, rounded down.
///
/// Adding to it and shifting on is exact: rounding down twice is rounding down once.
#[inline(always)]
pub fn high(a: i32, b: i32) -> i32 {
    ((a as i64 * b as i64) >> 32) as i32
}

/// `2^62 / m` rounded up, for `m` from 2^31 (smaller ones count as that): 2^30 + 1 to 2^31.
pub fn reciprocal(m: u32) -> u32 {
    let m = m.max(1 << 31) as u64;
    // From below: 2^48 / m to 15 bits, a Newton step to 28 bits, another one, and the last unit by trial.
    let seed = (u32::MAX / ((m >> 16) as u32 + 1)) as u64;
    let error = (1 << 48) - m * seed;
    let mut r = (seed << 14) + ((seed * error) >> 34);
    let rest = (1u64 << 62).wrapping_sub(m.wrapping_mul(r));
    r += ((rest >> 8).wrapping_mul(r)) >> 54;
    // Two steps are enough; a loop until it fits would be made into a 64-bit division by the compiler.
    r += (m.wrapping_mul(r) < 1 << 62) as u64;
    r += (m.wrapping_mul(r) < 1 << 62) as u64;
    r as u32
}

/// `2^exponent / sqrt(value)` as (mantissa, exponent), the mantissa 2^30 to 2^31 - 1 and good to 28 bits; 0 counts as 1.
///
/// Newton's `y = y * (3 - x * y^2) / 2` from a line that is right to 9 %.
pub fn reciprocal_root(value: u64) -> (i32, u8) {
    let value = value.max(1);
    let even = value.leading_zeros() & !1;
    let x = (value << even >> 32) as u32;
    let product = |a: u32, b: u32| a as u64 * b as u64;
    // x is 1/4 to 1 in Q32, y is 2 to 1 in Q30; the line is 2.133 - 1.219 x. Behind the first step y is at most the root, so that
    // squares and products shifted down fit 32 bits.
    let mut y = 2_290_000_000 - (product(x, 78) >> 8) as u32;
    for _ in 0..4 {
        let square = (product(y, y) >> 31) as u32;
        let rest = (3u32 << 29).saturating_sub((product(x, square) >> 32) as u32);
        y = (product(y, rest) >> 30) as u32;
    }
    (y.min(i32::MAX as u32) as i32, (62 - even / 2) as u8)
}

/// Fraction bits of what [`power_of_half`] takes.
pub const POWER_BITS: u32 = 26;

/// `2^30 * 2^-(x / 2^26)`, good to 27 bits.
///
/// The whole part shifts; for the fraction the series of `exp(-t)`, `t = fraction * ln 2`, from its tenth term inwards.
pub fn power_of_half(x: u64) -> u32 {
    const ONE: u32 = 1 << 30;
    const LN_2: u64 = 744_261_118;
    let (whole, fraction) = (x >> POWER_BITS, x & ((1 << POWER_BITS) - 1));
    if whole > 30 {
        return 0;
    }
    let t = (fraction * LN_2) >> POWER_BITS;
    let mut series = ONE;
    for term in (1..=10).rev() {
        let next = ((t * series as u64) >> 30) as u32;
        series = ONE - next.checked_div(term).unwrap_or(0);
    }
    series >> whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> impl Iterator<Item = u64> {
        let random = (0..20_000u64).scan(0x9E37_79B9_7F4A_7C15u64, |state, _| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            Some(*state)
        });
        random.chain((0..64).flat_map(|bit| [1 << bit, (1 << bit) + 1, (1u64 << bit).wrapping_sub(1)]))
    }

    #[test]
    fn reciprocal_is_exact() {
        for m in samples().map(|value| value as u32 | 1 << 31) {
            assert_eq!(reciprocal(m) as u64, (1u64 << 62).div_ceil(m as u64), "{m}");
        }
    }

    #[test]
    fn power_of_half_has_27_bits() {
        for x in
            samples().map(|x| x >> 33).chain([0, 1, (1 << 26) - 1, 1 << 26, 30 << 26, 31 << 26, u64::MAX])
        {
            let exact = 2f64.powf(30.0 - x as f64 / 2f64.powi(26));
            let found = power_of_half(x) as f64;
            assert!((found - exact).abs() <= 8.0, "{x}: {found} instead of {exact}");
        }
        assert_eq!([0, 1 << 26, 31 << 26].map(power_of_half), [1 << 30, 1 << 29, 0]);
    }

    #[test]
    fn reciprocal_root_has_28_bits() {
        for value in samples().filter(|&value| value > 0) {
            let (mantissa, exponent) = reciprocal_root(value);
            assert!(mantissa >= (1 << 30) - 4, "{value}");
            // mantissa^2 * value = 2^(2 * exponent), compared in 128 bits with a relative bound of 2^-27.
            let (product, whole) = ((mantissa as u128).pow(2) * value as u128, 1u128 << (2 * exponent));
            assert!(product.abs_diff(whole) >> 3 <= whole >> 30, "{value}: {mantissa} {exponent}");
        }
    }
}

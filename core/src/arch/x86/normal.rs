//! Rows that are normalised, with AVX2: eight elements at once, in 32 bits; upper halves of products as two times four of 64 bits.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::normal::{Affine, Weights};
use super::super::view::{In, Out};

/// Elements at once.
const LANES: usize = 8;

/// Upper halves of the signed products.
#[inline]
#[target_feature(enable = "avx2")]
fn high(a: __m256i, b: __m256i) -> __m256i {
    let even = _mm256_mul_epi32(a, b);
    let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
    _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd)
}

/// Upper halves of the unsigned products.
#[inline]
#[target_feature(enable = "avx2")]
fn high_unsigned(a: __m256i, b: __m256i) -> __m256i {
    let even = _mm256_mul_epu32(a, b);
    let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(a), _mm256_srli_epi64::<32>(b));
    _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd)
}

/// Values of 32 bits, saturated to bytes, in the low half.
#[inline]
#[target_feature(enable = "avx2")]
fn bytes(values: __m256i) -> __m128i {
    let halves = _mm_packs_epi32(_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values));
    _mm_packs_epi16(halves, halves)
}

/// Eight elements from `at`, or those that are left of `len`, filled up with `fill`.
///
/// # Safety
/// `x` is valid for `len` reads; `at` is below that.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn elements(x: *const i8, at: usize, len: usize, fill: i8) -> __m256i {
    // SAFETY: the elements are there.
    let eight = unsafe {
        if at + LANES <= len {
            _mm_loadl_epi64(x.wrapping_add(at).cast())
        } else {
            let mut some = [fill; LANES];
            some.as_mut_ptr().copy_from_nonoverlapping(x.wrapping_add(at), len - at);
            _mm_loadl_epi64(some.as_ptr().cast())
        }
    };
    _mm256_cvtepi8_epi32(eight)
}

/// The same for words, filled up with 0.
///
/// # Safety
/// `x` is valid for `len` reads; `at` is below that.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn words(x: *const i32, at: usize, len: usize) -> __m256i {
    // SAFETY: the words are there.
    unsafe {
        if at + LANES <= len {
            _mm256_loadu_si256(x.wrapping_add(at).cast())
        } else {
            let mut some = [0; LANES];
            some.as_mut_ptr().copy_from_nonoverlapping(x.wrapping_add(at), len - at);
            _mm256_loadu_si256(some.as_ptr().cast())
        }
    }
}

/// Stores eight bytes at `at`, or those that are left of `len`.
///
/// # Safety
/// `y` is valid for `len` writes; `at` is below that.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store(y: *mut i8, at: usize, len: usize, values: __m128i) {
    // SAFETY: the elements are there.
    unsafe {
        if at + LANES <= len {
            _mm_storel_epi64(y.wrapping_add(at).cast(), values);
        } else {
            let mut some = [0i8; LANES];
            _mm_storel_epi64(some.as_mut_ptr().cast(), values);
            y.wrapping_add(at).copy_from_nonoverlapping(some.as_ptr(), len - at);
        }
    }
}

/// See [`super::super::normal::affine`].
///
/// # Safety
/// `x`, gains and offsets are valid for `len` reads, `y` for writes. The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn affine(x: *const i8, (y, len): (*mut i8, usize), row: &Affine<'_>) {
    let [count, sum, inverse] = row.standard.map(|word| _mm256_set1_epi32(word));
    let half = _mm256_set1_epi32(1i32.wrapping_shl(u32::from(row.shift).wrapping_sub(1)));
    let shift = _mm_cvtsi32_si128(row.shift.into());
    let [zero_point, min, max] =
        [row.clamp.zero_point, row.clamp.min, row.clamp.max].map(|word| _mm256_set1_epi32(word));
    for at in (0..len).step_by(LANES) {
        // SAFETY: the caller's.
        let (x, gamma, beta) = unsafe {
            (elements(x, at, len, 0), words(row.gamma.as_ptr(), at, len), words(row.beta.as_ptr(), at, len))
        };
        let z = high(_mm256_sub_epi32(_mm256_mullo_epi32(count, x), sum), inverse);
        let value = _mm256_add_epi32(_mm256_add_epi32(high(z, gamma), beta), half);
        let value = _mm256_add_epi32(_mm256_sra_epi32(value, shift), zero_point);
        let value = _mm256_min_epi32(_mm256_max_epi32(value, min), max);
        // SAFETY: the caller's.
        unsafe { store(y, at, len, bytes(value)) };
    }
}

/// The tables of a softmax in registers: low part, high part, eight entries each.
#[derive(Clone, Copy)]
struct Tables([[__m256i; 2]; 2]);

impl Tables {
    /// What a table has not, weighs 0.
    ///
    /// # Safety
    /// The machine has AVX2.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn new(weights: &Weights<'_>) -> Self {
        Self([weights.low, weights.high].map(|table| {
            let mut entries = [0u32; 16];
            entries.iter_mut().enumerate().for_each(|(index, entry)| *entry = table.get(index));
            // SAFETY: sixteen entries.
            unsafe {
                let half = |index: usize| _mm256_loadu_si256(entries.as_ptr().wrapping_add(index).cast());
                [half(0), half(8)]
            }
        }))
    }

    /// Weights of eight differences, 0 to 255.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn get(self, differences: __m256i) -> __m256i {
        let [low, high] = self.0;
        high_unsigned(look_up(low, differences), look_up(high, _mm256_srli_epi32::<4>(differences)))
    }
}

/// The entries that the low four bits of `indices` name; what is above them is not looked at.
#[inline]
#[target_feature(enable = "avx2")]
fn look_up([first, second]: [__m256i; 2], indices: __m256i) -> __m256i {
    let [first, second] = [first, second].map(|half| _mm256_permutevar8x32_epi32(half, indices));
    // The bit of 8 says which half; a blend of single precision looks at the sign.
    let above = _mm256_castsi256_ps(_mm256_slli_epi32::<28>(indices));
    let [first, second] = [first, second].map(|half| _mm256_castsi256_ps(half));
    _mm256_castps_si256(_mm256_blendv_ps(first, second, above))
}

/// See [`super::super::normal::sum`], of neighbours.
///
/// # Safety
/// The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn sum(x: In<'_, i8>, weights: &Weights<'_>) -> (i32, u64) {
    let len = x.len();
    // SAFETY: the machine has AVX2.
    let tables = unsafe { Tables::new(weights) };
    let max = (0..len).map(|index| x.get(index)).max().unwrap_or(i8::MIN);
    let largest = _mm256_set1_epi32(max.into());
    let mut sums = _mm256_setzero_si256();
    for at in (0..len).step_by(LANES) {
        // SAFETY: the elements are there.
        let x = unsafe { elements(x.as_ptr(), at, len, max) };
        let weights = tables.get(_mm256_sub_epi32(largest, x));
        let even = _mm256_blend_epi32::<0b1010_1010>(weights, _mm256_setzero_si256());
        sums = _mm256_add_epi64(sums, _mm256_add_epi64(even, _mm256_srli_epi64::<32>(weights)));
    }
    let mut lanes = [0u64; 4];
    // SAFETY: four sums.
    unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), sums) };
    // The elements that filled up the last eight weigh what the largest does.
    let filled = len.next_multiple_of(LANES) - len;
    let one = (u64::from(weights.low.get(0)) * u64::from(weights.high.get(0))) >> 32;
    (max.into(), lanes.iter().sum::<u64>() - filled as u64 * one)
}

/// See [`super::super::normal::quotients`], of neighbours.
///
/// # Safety
/// `y` is as long as `x`. The machine has AVX2.
#[target_feature(enable = "avx2")]
pub(in super::super) unsafe fn quotients(
    x: In<'_, i8>,
    y: Out<'_, i8>,
    weights: &Weights<'_>,
    (max, factor, shift): (i32, i32, u8),
    zero_point: i32,
) {
    let len = x.len();
    // SAFETY: the machine has AVX2.
    let tables = unsafe { Tables::new(weights) };
    let [largest, factor, zero_point] = [max, factor, zero_point].map(|word| _mm256_set1_epi32(word));
    let shift = i32::from(shift) - 32;
    let half = _mm256_set1_epi32(1i32.wrapping_shl((shift as u32).wrapping_sub(1)));
    let shift = _mm_cvtsi32_si128(shift);
    for at in (0..len).step_by(LANES) {
        // SAFETY: the elements are there.
        let x = unsafe { elements(x.as_ptr(), at, len, 0) };
        let quotient = high(tables.get(_mm256_sub_epi32(largest, x)), factor);
        let value = _mm256_sra_epi32(_mm256_add_epi32(quotient, half), shift);
        // SAFETY: the results are there.
        unsafe { store(y.as_mut_ptr(), at, len, bytes(_mm256_add_epi32(value, zero_point))) };
    }
}

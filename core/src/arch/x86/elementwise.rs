//! Sums of tensors with AVX-512: two products an instruction.
//!
//! Bytes of two operands are interleaved as the upper halves of 16-bit values, so that `VPMADDWD` gives both products of an
//! element, times 256; a third operand is paired with zeros. Factors have 22 bits: they are taken in two parts of eleven.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::elementwise::Sum;
use super::super::view::{In, Out};
use super::avx512::Range;

/// Elements at once.
const LANES: usize = 64;

/// See [`super::super::elementwise::add`]; all are of one length.
///
/// # Safety
/// The machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in super::super) unsafe fn add<const N: usize>(x: [In<'_, i8>; N], y: Out<'_, i8>, sum: &Sum<N>) {
    const { assert!(N == 2 || N == 3) };
    let len = x.iter().fold(y.len(), |len, x| len.min(x.len()));
    let range = Range::new::<i8>(sum.clamp);
    let high = sum.factors.map(|factor| (factor + (1 << 10)) >> 11);
    let low: [i32; N] = core::array::from_fn(|operand| sum.factors[operand] - (high[operand] << 11));
    let pair = |parts: &[i32; N], first: usize| {
        let second = parts.get(first + 1).copied().unwrap_or(0);
        _mm512_set1_epi32(parts[first] & 0xFFFF | second << 16)
    };
    let half = 1i32.checked_shl(u32::from(sum.shift).wrapping_sub(1)).unwrap_or(0);
    let start = _mm512_set1_epi32(sum.zero.wrapping_add(half));
    let shift = _mm512_set1_epi32(sum.shift.into());
    let zero = _mm512_setzero_si512();
    for at in (0..len).step_by(LANES) {
        let mask = if len - at >= LANES { !0 } else { (1 << (len - at)) - 1 };
        let mut sums = [start; 4];
        for first in (0..N).step_by(2) {
            // SAFETY: the elements of the mask are there.
            let load = |x: &In<'_, i8>| unsafe { _mm512_maskz_loadu_epi8(mask, x.as_ptr().wrapping_add(at)) };
            let (a, b) = (load(&x[first]), x.get(first + 1).map_or(zero, load));
            let (high, low) = (pair(&high, first), pair(&low, first));
            let (a, a2) = (_mm512_unpacklo_epi8(zero, a), _mm512_unpackhi_epi8(zero, a));
            let (b, b2) = (_mm512_unpacklo_epi8(zero, b), _mm512_unpackhi_epi8(zero, b));
            let pairs = [
                _mm512_unpacklo_epi16(a, b),
                _mm512_unpackhi_epi16(a, b),
                _mm512_unpacklo_epi16(a2, b2),
                _mm512_unpackhi_epi16(a2, b2),
            ];
            for (sum, pairs) in sums.iter_mut().zip(pairs) {
                let (high, low) = (_mm512_madd_epi16(pairs, high), _mm512_madd_epi16(pairs, low));
                let products = _mm512_add_epi32(_mm512_slli_epi32::<3>(high), _mm512_srai_epi32::<8>(low));
                *sum = _mm512_add_epi32(*sum, products);
            }
        }
        let values = range.bytes(sums.map(|sum| _mm512_srav_epi32(sum, shift)));
        // SAFETY: the elements of the mask are there.
        unsafe { _mm512_mask_storeu_epi8(y.as_mut_ptr().wrapping_add(at), mask, values) };
    }
}

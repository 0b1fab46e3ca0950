//! Sums of tensors with AVX-512: two products an instruction.
//!
//! Bytes of both operands are interleaved as the upper halves of 16-bit values, so that `VPMADDWD` gives both products of an
//! element, times 256. Factors have 22 bits: they are taken in two parts of eleven.
#![allow(unsafe_code)]

use core::arch::x86_64::*;

use super::super::elementwise::Sum;
use super::super::view::{In, Out};
use super::avx512::Range;

/// Elements at once.
const LANES: usize = 64;

/// See [`super::super::elementwise::add`]; all three are of one length.
///
/// # Safety
/// The machine has the instructions.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub(in super::super) unsafe fn add(a: In<'_, i8>, b: In<'_, i8>, y: Out<'_, i8>, sum: &Sum<2>) {
    let len = y.len().min(a.len()).min(b.len());
    let range = Range::new::<i8>(sum.clamp);
    let high = sum.factors.map(|factor| (factor + (1 << 10)) >> 11);
    let low = [0, 1].map(|operand| sum.factors[operand] - (high[operand] << 11));
    let pair = |[a, b]: [i32; 2]| _mm512_set1_epi32(a & 0xFFFF | b << 16);
    let (high, low) = (pair(high), pair(low));
    let half = 1i32.checked_shl(u32::from(sum.shift).wrapping_sub(1)).unwrap_or(0);
    let start = _mm512_set1_epi32(sum.zero.wrapping_add(half));
    let shift = _mm512_set1_epi32(sum.shift.into());
    let scaled = |values: __m512i| {
        let (high, low) = (_mm512_madd_epi16(values, high), _mm512_madd_epi16(values, low));
        let sum = _mm512_add_epi32(_mm512_slli_epi32::<3>(high), _mm512_srai_epi32::<8>(low));
        _mm512_srav_epi32(_mm512_add_epi32(sum, start), shift)
    };
    for at in (0..len).step_by(LANES) {
        let mask = if len - at >= LANES { !0 } else { (1 << (len - at)) - 1 };
        // SAFETY: the elements of the mask are there.
        let (a, b) = unsafe {
            (
                _mm512_maskz_loadu_epi8(mask, a.as_ptr().wrapping_add(at)),
                _mm512_maskz_loadu_epi8(mask, b.as_ptr().wrapping_add(at)),
            )
        };
        let zero = _mm512_setzero_si512();
        let (a, a2) = (_mm512_unpacklo_epi8(zero, a), _mm512_unpackhi_epi8(zero, a));
        let (b, b2) = (_mm512_unpacklo_epi8(zero, b), _mm512_unpackhi_epi8(zero, b));
        let values = range.bytes([
            scaled(_mm512_unpacklo_epi16(a, b)),
            scaled(_mm512_unpackhi_epi16(a, b)),
            scaled(_mm512_unpacklo_epi16(a2, b2)),
            scaled(_mm512_unpackhi_epi16(a2, b2)),
        ]);
        // SAFETY: the elements of the mask are there.
        unsafe { _mm512_mask_storeu_epi8(y.as_mut_ptr().wrapping_add(at), mask, values) };
    }
}
